"""What to take over: one measured arm, with its evidence; report, patch and confirmation read it.

Every arm that a design asked for beforehand and that is a set of the path's factors is a candidate.
All of them against current are members of the study's family, so that the interval of the chosen
one holds although it was chosen. It is recommended where that interval lies above delta. A set of
factors that no run has seen is a guess, and is never recommended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ablation.designs.design import CELL, CURRENT, ONLY, WITHOUT, named
from ablation.designs.factorial import FACTORIAL
from ablation.designs.leave_one_out import LEAVE_ONE_OUT
from ablation.designs.one_at_a_time import ONE_AT_A_TIME
from ablation.evidence.confirmation import REFUTED, Confirmation
from ablation.evidence.statistics import mean_estimate

# The status of a recommendation.
RECOMMENDED = "recommended"
SIZE_OPEN = "size_open"
NOTHING = "nothing"

# What is known of a step.
HELPS, HURTS, NO_EFFECT, OPEN, NOT_MEASURED = "helps", "hurts", "no_effect", "open", "not_measured"

# The smallest design that has an arm of this kind.
SMALLEST = {ONLY: ONE_AT_A_TIME, WITHOUT: LEAVE_ONE_OUT, CELL: FACTORIAL}

# Whether fresh seeds have seen it.
SELECTED = "selected"

# Why a candidate that looks better was passed over.
DIVERGED, GAIN_OPEN, CONTAINS_HARM = "diverged", "gain_open", "contains_harm"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A factor, and what was measured of it nearest to the arm.

    Attributes:
        factor: A stage, or "remainder".
        verdict: "helps", "hurts", "no_effect", "open" or "not_measured".
        contrast: The contrast that says so.
        on_top_of: The factors that were on when it was measured.
    """

    factor: str
    verdict: str
    contrast: str | None
    on_top_of: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Question:
    """An arm that no run has seen and that would tell whether to take or leave a factor.

    Attributes:
        factor: The factor that it is about.
        verdict: What was measured of it: "hurts" where the arm has it, "helps" where it has not.
        arm: The arm to run.
        factors: The factors that are on in it.
        design: The design that runs it.
    """

    factor: str
    verdict: str
    arm: str
    factors: tuple[str, ...]
    design: str


@dataclass(frozen=True, kw_only=True)
class PassedOver:
    """A candidate that gained more than the chosen arm.

    Attributes:
        arm: Its name.
        reason: "diverged", "gain_open" (its gain is not surely above delta) or "contains_harm".
        factor: The factor that hurts in it.
    """

    arm: str
    reason: str
    factor: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The arm to take over.

    Attributes:
        status: "recommended", "size_open" (it surely helps, perhaps by less than delta) or
            "nothing".
        arm: The arm; "current" where nothing surely helps.
        variant: Of its runs.
        contrast: What measured it against current; its simultaneous interval holds over all
            candidates. None for current itself.
        candidates: The arms that it was chosen from.
        steps: Its factors.
        left_out: The others.
        questions: What to run to know more.
        passed_over: Candidates that look better, and why they are not taken.
        confirmation: "selected" until fresh seeds have seen it; then "confirmed", "refuted" or
            "undecided".
    """

    status: str
    arm: str
    variant: str
    contrast: str | None
    candidates: tuple[str, ...]
    steps: tuple[Step, ...]
    left_out: tuple[Step, ...]
    questions: tuple[Question, ...]
    passed_over: tuple[PassedOver, ...]
    confirmation: str = SELECTED

    @property
    def applied(self) -> str:
        """The arm whose settings are taken over: current, unless one is recommended."""
        taken = self.status == RECOMMENDED and self.confirmation != REFUTED
        return self.arm if taken else CURRENT

    def seen(self, verdict: Confirmation | None) -> Recommendation:
        """The same with what fresh seeds say of it, where they saw this arm."""
        if verdict is None or verdict.variant != self.variant:
            return self
        return replace(self, confirmation=verdict.status)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An arm that may be recommended.

    Attributes:
        arm: Its name; current has an empty set of factors.
        variant: Of its runs.
        factors: The factors that are on.
        contrast: What measures it against current; None for current and its equals.
        gain: The mean improvement over current.
        low: The lower end of its simultaneous interval.
        helps: Whether it surely is better than current.
        values: The metric by seed, oriented so that higher is better.
        diverges: Whether it diverged on more seeds than current.
    """

    arm: str
    variant: str
    factors: frozenset[str]
    contrast: str | None
    gain: float
    low: float | None
    helps: bool
    values: Mapping[int, float]
    diverges: bool


def recommend(
    candidates: Sequence[Candidate],
    measured: Sequence[Step],
    factors: Sequence[str],
    delta: float,
    asked: Collection[str],
) -> Recommendation:
    """The recommendation of a study.

    The candidate with the largest gain whose simultaneous interval lies above delta. Passed over is
    one with a factor that was measured to hurt where a measured arm without it is at least as good.

    Args:
        candidates: The measured arms, current among them.
        measured: The contrasts that switch one factor on.
        factors: The path's factors, in order.
        delta: The smallest effect that matters.
        asked: The designs that the study has with all their arms.
    """
    ranked = sorted((c for c in candidates if c.contrast), key=lambda c: -c.gain)
    passed: list[PassedOver] = []
    chosen, status = next(c for c in candidates if not c.factors), NOTHING
    for candidate in ranked:
        against = _against(candidate, candidates, measured, delta)
        if against is None:
            chosen, status = candidate, RECOMMENDED
            break
        passed.append(against)
    if status == NOTHING:
        open_size = {one.arm for one in passed if one.reason == GAIN_OPEN}
        sure = [c for c in ranked if c.helps and c.arm in open_size]
        if sure:
            chosen, status = sure[0], SIZE_OPEN
    known = {name: _nearest(name, chosen.factors, measured) for name in factors}
    better = {one.arm for one in ranked if one.gain > chosen.gain}
    return Recommendation(
        status=status,
        arm=chosen.arm,
        variant=chosen.variant,
        contrast=chosen.contrast,
        candidates=tuple(c.arm for c in candidates if c.contrast),
        steps=tuple(known[name] for name in factors if name in chosen.factors),
        left_out=tuple(known[name] for name in factors if name not in chosen.factors),
        questions=_questions(chosen, candidates, known, asked),
        passed_over=tuple(one for one in passed if one.arm in better),
    )


def _against(
    one: Candidate, candidates: Sequence[Candidate], measured: Sequence[Step], delta: float
) -> PassedOver | None:
    """Why a candidate is not recommended; None where nothing speaks against it."""
    if one.diverges:
        return PassedOver(arm=one.arm, reason=DIVERGED)
    if one.low is None or one.low <= delta:
        return PassedOver(arm=one.arm, reason=GAIN_OPEN)
    for factor in sorted(one.factors):
        if _nearest(factor, one.factors, measured).verdict != HURTS:
            continue
        for other in candidates:
            without = factor not in other.factors and not other.diverges
            if without and _at_least_as_good(other, one, delta):
                return PassedOver(arm=one.arm, reason=CONTAINS_HARM, factor=factor)
    return None


def _at_least_as_good(one: Candidate, other: Candidate, delta: float) -> bool:
    """Whether an arm is not worse than another by an amount that matters, or not in the mean.

    The lower end of the 90 % interval of their difference, over the seeds that both have, lies
    above minus delta (a test of not being worse, at 5 %).
    """
    seeds = sorted(set(one.values) & set(other.values))
    found = mean_estimate([one.values[s] - other.values[s] for s in seeds], seeds)
    if found.estimate is None:
        return False
    return found.estimate >= 0 or (found.low90 is not None and found.low90 > -delta)


def _nearest(factor: str, on: frozenset[str], measured: Sequence[Step]) -> Step:
    """What is known of a factor where these are on: the contrast whose arms come nearest.

    Of equally near ones that which decides, then the first.
    """

    def distance(one: Step) -> tuple[int, bool]:
        return len((on - {factor}) ^ set(one.on_top_of)), one.verdict == OPEN

    unknown = Step(factor=factor, verdict=NOT_MEASURED, contrast=None, on_top_of=())
    return min((one for one in measured if one.factor == factor), key=distance, default=unknown)


def _questions(
    chosen: Candidate,
    candidates: Sequence[Candidate],
    known: Mapping[str, Step],
    asked: Collection[str],
) -> tuple[Question, ...]:
    """The arms that no run has seen: without what hurts, and with what helps.

    An arm of a design that the study has is no question: it cannot run.
    """
    seen, factors, found = {one.factors for one in candidates}, list(known), []
    for factor, step in known.items():
        wanted = chosen.factors ^ {factor}
        needed = HURTS if factor in chosen.factors else HELPS
        on = tuple(name for name in factors if name in wanted)
        arm, kind = named(on, factors)
        design = SMALLEST[kind]
        if step.verdict == needed and wanted not in seen and design not in asked:
            found.append(
                Question(factor=factor, verdict=needed, arm=arm, factors=on, design=design)
            )
    return tuple(found)
