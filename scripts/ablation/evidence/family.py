"""Evidence for contrasts: tests and intervals corrected over everything the study planned to ask.

One family holds all planned contrasts of a study: the steps of the path, the remainder, the gap,
and what its other designs estimate of each factor. With a fixed number of seeds, Holm's adjusted p
of two t tests says whether there is an effect (only what can be without effect together is
counted), and Bonferroni's simultaneous intervals say how large it can be. With sequential looks,
the spending boundaries at alpha over the size of the family do both. Interactions are a second
question, and a family of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ablation.evidence import inference, sequential, statistics
from ablation.evidence.reports import FIRST, Level, share_of
from ablation.evidence.spread import Background, Spread, spread_of
from ablation.evidence.statistics import Estimate
from ablation.evidence.together import Sides
from ablation.study.power import TESTED, Error

HOLM = "holm"
SPENDING = "spending_bonferroni"
UNCORRECTED = "none"


@dataclass(frozen=True, kw_only=True)
class Series:
    """The improvements of one contrast, seed by seed (positive is better).

    Attributes:
        id: The contrast's id.
        values: Improvement by seed, seeds in the order in which they were planned.
        planned: Whether it shares the error of its family.
        identical: Whether it is zero because both sides are the same computation.
        same_as: The id of an earlier series of the same runs: one hypothesis, asked by two designs.
        background: What other runs and the test rows say of its noise; None leaves it to itself.
        lost: Seeds without a value because a run diverged.
        sides: The computations of both sides, where it is one against another.
    """

    id: str
    values: Mapping[int, float]
    planned: bool
    identical: bool = False
    same_as: str | None = None
    background: Background | None = None
    lost: int = 0
    sides: Sides | None = None

    @property
    def counts(self) -> bool:
        """Whether it is a member of the family: planned, and not there already."""
        return self.planned and self.same_as is None

    @property
    def n(self) -> int:
        """How many seeds it has."""
        return len(self.values)

    def first(self, n: int) -> Series:
        """The same with the first n seeds only."""
        return replace(self, values=dict(list(self.values.items())[:n]))

    def spread(
        self, n: int | None = None, times: float = 1.0, *, new_rows: bool = True
    ) -> Spread | None:
        """The error of the mean of the first n seeds, of all where None.

        What every test, interval and look of this contrast rests on: on new test rows where the
        outcomes by row are there, and on request on these. The common noise counts so many times
        what it does in an interval.
        """
        values = list(self.values.values())[:n]
        if self.background is None or not values:
            return spread_of(values)
        last = list(self.values)[len(values) - 1]
        found = self.background
        return found.spread(values, last, new_rows=new_rows, times=times)

    @property
    def estimate(self) -> Estimate:
        """The mean with its own (uncorrected) intervals."""
        seeds = sorted(self.values)
        values = [self.values[seed] for seed in seeds]
        return statistics.estimate(values, seeds, self.spread(), identical=self.identical)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What may be concluded from a contrast.

    Attributes:
        method: "holm", "spending_bonferroni", or "none" for what is not planned.
        size: Contrasts in the family.
        p: Two-sided p value of the paired t test, alone: with its own noise over seeds.
        p_adjusted: Holm's; None with sequential looks, where the boundary stands for it.
        sign_flip_p, sign_flip_p_adjusted: The same of the sign-flip test.
        max_t_p: Westfall and Young's adjusted p, over the seeds that the whole family has.
        significant: Whether there is an effect.
        equivalent: Whether there is surely none as large as delta, corrected as the tests are.
        low, high: The simultaneous interval; None where there is none. With looks, that of the look
            that decided, of the latest where none did.
        confidence: What it holds at, together with all others of the family: one minus alpha
            over the size of the family.
        equivalence_p: Of two one-sided tests against delta, adjusted as `p_adjusted`; uncorrected
            with looks, where the boundary stands for it, and for what is not planned.
        next_confidence: What it will hold at in the next report, should seeds be added that no
            look declared; with looks, the same.
        estimate: The mean that direction and size are read from: with looks that of the look that
            decided, else that of all seeds.
    """

    method: str
    size: int
    p: float | None
    p_adjusted: float | None = None
    sign_flip_p: float | None = None
    sign_flip_p_adjusted: float | None = None
    max_t_p: float | None = None
    significant: bool
    equivalent: bool
    low: float | None
    high: float | None
    confidence: float
    next_confidence: float
    equivalence_p: float | None
    estimate: float | None


@dataclass(frozen=True, kw_only=True)
class _Verdict:
    """Significant, equivalent, the simultaneous interval, and the mean that it is about."""

    significant: bool
    equivalent: bool
    low: float | None
    high: float | None
    estimate: float | None


def rule_of(one: Series, evidence: Evidence) -> Error:
    """What would decide a contrast with more seeds, in the report after this one.

    The tests that decide now; what describes or checks is judged by its own noise, alone.
    """
    spread, found = one.spread(), one.background
    pool = found.pools.get(list(one.values)[-1]) if found and one.values else None
    planned = evidence.method != UNCORRECTED
    return Error(
        n=one.n,
        alpha=(1 - evidence.next_confidence) * evidence.size,
        comparisons=evidence.size,
        prior=pool.prior if pool and planned else 0.0,
        rows=spread.rows if spread else 0.0,
    )


def weigh(
    series: Sequence[Series],
    delta: float,
    plan: sequential.LookPlan | None = None,
    level: Level = FIRST,
) -> dict[str, Evidence]:
    """The evidence of each series, corrected over the planned ones.

    A planned series that is the same as an earlier one is the same hypothesis: it counts once, and
    both have the same evidence.

    Args:
        series: Planned and other contrasts; the others are tested alone, and say so.
        delta: The smallest effect that matters.
        plan: The looks of a sequential study (its `families` is the size of the family), or None.
        level: What it is judged at with a fixed number of seeds.
    """
    family = [one for one in series if one.counts]
    weighed = _staged(family, delta, plan) if plan else _fixed(family, delta, level)
    for one in series:
        if not one.planned:
            weighed[one.id] = _alone(one, delta, level.alpha)
        elif one.same_as is not None:
            weighed[one.id] = weighed[one.same_as]
    return {one.id: weighed[one.id] for one in series}


def weigh_reports(
    series: Sequence[Series],
    delta: float,
    earlier: Sequence[tuple[Sequence[str], int, Level]],
    level: Level,
) -> dict[str, Evidence]:
    """The evidence of each series where earlier reports have judged some of them already.

    What the first report decided stays decided, by its seeds; what it left open is judged again.

    Args:
        series: Planned and other contrasts.
        delta: The smallest effect that matters.
        earlier: Of each report: its members, how many of the seeds it had, what it was judged at.
        level: What this one is judged at.
    """
    found = weigh(series, delta, level=level)
    for members, seeds, before in reversed(earlier):
        own = [one.first(seeds) for one in series if one.id in members and one.counts]
        decided = weigh(own, delta, level=before)
        found |= {n: e for n, e in decided.items() if e.significant or e.equivalent}
    return {one.id: found[one.same_as or one.id] for one in series}


def _fixed(family: Sequence[Series], delta: float, level: Level) -> dict[str, Evidence]:
    """Holm's tests and Bonferroni's intervals over the members, with a fixed number of seeds."""
    size, found, gone = len(family) + level.dropped, {}, [None] * level.dropped
    flips = [inference.sign_flip_test(list(one.values.values())) for one in family]
    tests = [_tests(one, _p(one, TESTED), _p(one)) for one in family]
    equal = [
        _tests(one, _equivalence_p(one, delta, TESTED), _equivalence_p(one, delta))
        for one in family
    ]
    columns = (
        inference.adjusted([*tests, *gone], [*(one.sides for one in family), *gone]),
        flips,
        inference.holm([*flips, *gone]),
        _joint(family),
        inference.adjusted([*equal, *gone]),
    )
    for one, adjusted, flip, flip_adjusted, joint, same in zip(family, *columns, strict=False):
        verdict = _verdict(one, adjusted, same, level.alpha, level.alpha / size)
        found[one.id] = Evidence(
            method=HOLM,
            size=size,
            p=_p(one),
            p_adjusted=adjusted,
            sign_flip_p=flip,
            sign_flip_p_adjusted=flip_adjusted,
            max_t_p=joint,
            confidence=1 - level.alpha / size,
            next_confidence=1 - level.following / size,
            equivalence_p=same,
            **vars(verdict),
        )
    return found


def _staged(
    family: Sequence[Series], delta: float, plan: sequential.LookPlan
) -> dict[str, Evidence]:
    """The same with looks; the interval is that of the latest one."""
    found, decided = {}, decisions(family, plan)
    for one in family:
        found[one.id] = Evidence(
            method=SPENDING,
            size=plan.families,
            p=_p(one),
            sign_flip_p=inference.sign_flip_test(list(one.values.values())),
            confidence=1 - plan.alpha / max(1, plan.families),
            next_confidence=1 - plan.alpha / max(1, plan.families),
            equivalence_p=_equivalence_p(one, delta),
            **vars(_looked(one, decided[one.id], plan)),
        )
    return found


def decisions(
    members: Sequence[Series], plan: sequential.LookPlan
) -> dict[str, sequential.Decision]:
    """Where each member of a family stands.

    The same computation twice needs no test. Where a run diverged and left no value, more seeds do
    not decide: that is its verdict.
    """
    looked = {
        one.id: sequential.Member(values=one.values, spread=one.spread, sides=one.sides)
        for one in members
        if not one.lost
    }
    decided = sequential.decide_together(looked, plan)
    return {one.id: _decided(one, decided.get(one.id)) for one in members}


def _decided(one: Series, found: sequential.Decision | None) -> sequential.Decision:
    if found is None:
        return sequential.Decision(sequential.UNDECIDED, sequential.DIVERGED, one.n, None, ())
    return replace(found, status=sequential.EQUIVALENT, next_n=None) if one.identical else found


def _looked(one: Series, decision: sequential.Decision, plan: sequential.LookPlan) -> _Verdict:
    if one.identical:
        return _Verdict(significant=False, equivalent=True, low=0.0, high=0.0, estimate=0.0)
    significant = decision.status in (sequential.SUPERIOR, sequential.INFERIOR)
    latest = sequential.latest_look(one.values, plan, one.spread)
    told = decision.looks[-1] if significant else latest
    return _Verdict(
        significant=significant,
        equivalent=decision.status == sequential.EQUIVALENT,
        low=told.low if told else None,
        high=told.high if told else None,
        estimate=told.estimate if significant and told else one.estimate.estimate,
    )


def _alone(one: Series, delta: float, alpha: float) -> Evidence:
    """Uncorrected evidence of what describes, checks or explores."""
    p, same = _p(one), _equivalence_p(one, delta)
    return Evidence(
        method=UNCORRECTED,
        size=1,
        p=p,
        confidence=1 - alpha,
        next_confidence=1 - alpha * share_of(2),
        equivalence_p=same,
        **vars(_verdict(one, p, same, alpha, alpha)),
    )


def _verdict(
    one: Series, p: float | None, same: float | None, alpha: float, level: float
) -> _Verdict:
    """What a p value and an interval at this level say with a fixed number of seeds."""
    effect = one.estimate
    low, high = statistics.interval_at(effect, 1 - level) or (None, None)
    return _Verdict(
        significant=p is not None and p <= alpha,
        equivalent=same is not None and same <= alpha,
        low=low,
        high=high,
        estimate=effect.estimate,
    )


def _p(one: Series, times: float = 0.0) -> float | None:
    """The p value of the t test, with its own noise where the common one does not count."""
    if one.identical:
        return 1.0
    spread, mean = one.spread(times=times), one.estimate.estimate
    return None if spread is None or mean is None else spread.p(mean)


def _equivalence_p(one: Series, delta: float, times: float = 0.0) -> float | None:
    if one.identical:
        return 0.0
    spread, mean = one.spread(times=times), one.estimate.estimate
    return None if spread is None or mean is None else spread.equivalence_p(mean, delta)


def _tests(one: Series, common: float | None, own: float | None) -> inference.PValues | None:
    """Both tests of `inference.adjusted`; the first alone where its own values do not differ."""
    return None if common is None else inference.PValues(common, own or 0.0, max(2, one.n))


def _joint(family: Sequence[Series]) -> list[float | None]:
    """Westfall and Young's adjusted p values over the seeds that all series have."""
    moving = [one for one in family if not one.identical and one.spread() is not None]
    shared = set.intersection(*(set(one.values) for one in moving)) if moving else set()
    if len(shared) < 2:
        return [None] * len(family)
    rows = np.array([[one.values[seed] for one in moving] for seed in sorted(shared)])
    found = dict(zip((one.id for one in moving), inference.max_t_test(rows), strict=True))
    return [found.get(one.id) for one in family]
