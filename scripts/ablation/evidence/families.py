"""Evidence for effects: tests and intervals corrected over everything the study planned to ask.

One family holds all planned contrasts of a study: the steps of the path, the remainder, the gap,
and what its other designs estimate of each factor. With a fixed number of seeds, Holm's adjusted p
of the t test says whether there is an effect, and Bonferroni's simultaneous intervals say how large
it can be. With sequential looks, the spending boundaries at alpha over the size of the family do
both. Interactions are a second question, and a family of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ablation.evidence import inference, sequential, statistics
from ablation.evidence.statistics import Estimate, mean_estimate

HOLM = "holm"
SPENDING = "spending_bonferroni"
UNCORRECTED = "none"


@dataclass(frozen=True)
class Series:
    """The improvements of one contrast, seed by seed (positive is better).

    Attributes:
        id: The contrast's id.
        values: Improvement by seed, seeds in the order in which they were planned.
        planned: Whether it shares the error of the study.
        identical: Whether it is zero because both sides are the same computation.
        same_as: The id of an earlier series of the same arms: one hypothesis, asked by two designs.
    """

    id: str
    values: Mapping[int, float]
    planned: bool
    identical: bool = False
    same_as: str | None = None

    @property
    def counts(self) -> bool:
        """Whether it is a member of the family: planned, and not there already."""
        return self.planned and self.same_as is None

    @property
    def estimate(self) -> Estimate:
        """The mean with its own (uncorrected) intervals."""
        seeds = sorted(self.values)
        values = [self.values[seed] for seed in seeds]
        return mean_estimate(values, seeds, identical=self.identical)


@dataclass(frozen=True)
class Evidence:
    """What may be concluded from a series.

    Attributes:
        method: "holm", "spending_bonferroni", or "none" for what is not planned.
        size: Contrasts in the family.
        p: Two-sided p value of the paired t test.
        p_adjusted: Holm's; None with sequential looks, where the boundary stands for it.
        sign_flip_p, sign_flip_p_adjusted: The same of the sign-flip test.
        max_t_p: Westfall and Young's adjusted p, over the seeds that the whole family has.
        floor: The smallest p that a sign-flip test of so many seeds can reach.
        seeds_for_floor: Fewest seeds with which it can reach the family's level.
        significant: Whether there is an effect.
        equivalent: Whether there is surely none as large as delta.
        low, high: The simultaneous interval; None where there is none.
        confidence: What it holds at, together with all others of the family: one minus alpha
            over the size of the family.
        equivalence_p: Of two one-sided tests against delta, uncorrected.
    """

    method: str
    size: int
    p: float | None
    p_adjusted: float | None
    sign_flip_p: float | None
    sign_flip_p_adjusted: float | None
    max_t_p: float | None
    floor: float
    seeds_for_floor: int
    significant: bool
    equivalent: bool
    low: float | None
    high: float | None
    confidence: float
    equivalence_p: float | None

    def as_dict(self) -> dict[str, object]:
        """The same as plain JSON values."""
        return asdict(self)


def weigh(
    series: Sequence[Series],
    delta: float,
    plan: sequential.Plan | None = None,
    alpha: float = inference.ALPHA,
) -> dict[str, Evidence]:
    """The evidence of each series, corrected over the planned ones.

    A planned series that is the same as an earlier one is the same hypothesis: it counts once, and
    both have the same evidence.

    Args:
        series: Planned and other contrasts; the others are tested alone, and say so.
        delta: The smallest effect that matters.
        plan: The looks of a sequential study (its `families` is the size of the family), or None.
        alpha: Two-sided family-wise error with a fixed number of seeds.
    """
    family = [s for s in series if s.counts]
    p_of = {s.id: _t_p(s) for s in family}
    flips = {s.id: inference.sign_flip_test(list(s.values.values())) for s in family}
    adjusted = dict(zip(p_of, inference.holm(list(p_of.values())), strict=True))
    adjusted_flips = dict(zip(flips, inference.holm(list(flips.values())), strict=True))
    joint = _joint(family)
    found = {}
    for one in series:
        if not one.planned:
            found[one.id] = _alone(one, delta, alpha)
            continue
        if one.same_as is not None:
            found[one.id] = found[one.same_as]
            continue
        size = plan.families if plan else len(family)
        level = (plan.alpha if plan else alpha) / max(1, size)
        fixed = _fixed(one, adjusted[one.id], delta, alpha, 1 - level)
        found[one.id] = Evidence(
            SPENDING if plan else HOLM,
            size,
            p_of[one.id],
            None if plan else adjusted[one.id],
            flips[one.id],
            None if plan else adjusted_flips[one.id],
            None if plan else joint.get(one.id),
            inference.sign_flip_floor(len(one.values)),
            inference.seeds_below_floor(level),
            *(_staged(one, plan) if plan else fixed),
            1 - level,
            inference.tost(list(one.values.values()), delta).p,
        )
    return found


def _t_p(one: Series) -> float | None:
    return 1.0 if one.identical else inference.t_test(list(one.values.values()))


def _fixed(
    one: Series, adjusted: float | None, delta: float, alpha: float, confidence: float
) -> tuple[bool, bool, float | None, float | None]:
    """Significant, equivalent, low and high with a fixed number of seeds."""
    effect = one.estimate
    ends = statistics.interval_at(effect, confidence) or (None, None)
    return (
        adjusted is not None and adjusted <= alpha,
        statistics.is_equivalent(effect, delta),
        *ends,
    )


def _staged(one: Series, plan: sequential.Plan) -> tuple[bool, bool, float | None, float | None]:
    """The same with sequential looks; the interval is that of the latest look."""
    if one.identical:
        return False, True, 0.0, 0.0
    decision = sequential.decide(one.values, plan)
    latest = sequential.latest_look(one.values, plan)
    ends = (latest.low, latest.high) if latest else (None, None)
    significant = decision.status in (sequential.SUPERIOR, sequential.INFERIOR)
    return significant, decision.status == sequential.EQUIVALENT, *ends


def _alone(one: Series, delta: float, alpha: float) -> Evidence:
    """Uncorrected evidence of what describes, checks or explores."""
    p = _t_p(one)
    return _uncorrected(
        len(one.values),
        alpha,
        _fixed(one, p, delta, alpha, 1 - alpha),
        p,
        inference.tost(list(one.values.values()), delta).p,
    )


def _uncorrected(
    n: int,
    alpha: float,
    found: tuple[bool, bool, float | None, float | None],
    p: float | None = None,
    equivalence_p: float | None = None,
) -> Evidence:
    """Evidence that stands alone; `found` is what `_fixed` gives."""
    floor, seeds = inference.sign_flip_floor(n), inference.seeds_below_floor(alpha)
    tests = p, None, None, None, None
    return Evidence(UNCORRECTED, 1, *tests, floor, seeds, *found, 1 - alpha, equivalence_p)


def _joint(family: Sequence[Series]) -> dict[str, float]:
    """Westfall and Young's adjusted p values over the seeds that all series have."""
    moving = [s for s in family if not s.identical and s.estimate.low is not None]
    shared = set.intersection(*(set(s.values) for s in moving)) if moving else set()
    if len(shared) < 2:
        return {}
    rows = np.array([[s.values[seed] for s in moving] for seed in sorted(shared)])
    return dict(zip((s.id for s in moving), inference.max_t_test(rows), strict=True))


def plain_evidence(effect: Estimate, delta: float) -> Evidence:
    """The evidence of an estimate on its own, without correction."""
    known = effect.low is not None and effect.high is not None
    found = (
        bool(known and (effect.low > 0 or effect.high < 0)),
        statistics.is_equivalent(effect, delta),
        effect.low,
        effect.high,
    )
    return _uncorrected(effect.n, inference.ALPHA, found)
