"""Verdicts: what the source report promised against what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablation.errors import UserError
from ablation.evidence.family import Evidence
from ablation.evidence.statistics import Estimate, SeedRange, is_equivalent, seed_range
from ablation.study.claim import (
    ABSOLUTE,
    CONFIRMED,
    FACTOR,
    REDUCTION,
    REFUTED,
    UNDECIDED,
    Claim,
    accepted_range,
)
from ablation.study.power import Error

EQUIVALENT = "equivalent"
NO_DIFFERENCE = "no_difference"
NOT_SEPARATED = "not_separated"

DIVERGES = "DIVERGES"
LEVELS = ("NONE", "LOW", "MEDIUM", "HIGH")
LEVELS_THAT_MATTER = LEVELS[1:]
MULTIPLES = {"low": 1.0, "medium": 2.0, "high": 5.0}


@dataclass(frozen=True)
class Impact:
    """How large the effect of a contrast is, and how sure.

    Attributes:
        level: One of `LEVELS`, "undecided", or "DIVERGES" where a run of either side diverged.
        possible: The levels that the simultaneous interval reaches, whichever the sign.
        helping: The levels of help that it reaches: below zero there is none.
        direction: "helps", "hurts" or "unclear" (it is not sure that there is an effect).
        equivalent: Whether there is surely no effect as large as delta.
        seeds_to_decide: Seeds that would decide it; None if decided or unknown.
    """

    level: str
    possible: tuple[str, ...]
    helping: tuple[str, ...]
    direction: str
    equivalent: bool
    seeds_to_decide: SeedRange | None


def level_of(size: float, delta: float, multiples: Mapping[str, float] = MULTIPLES) -> str:
    """The level of an effect of this size (no sign), in multiples of delta."""
    size = abs(size)
    if size < multiples["low"] * delta:
        return "NONE"
    if size < multiples["medium"] * delta:
        return "LOW"
    return "MEDIUM" if size < multiples["high"] * delta else "HIGH"


def levels_between(
    low: float, high: float, delta: float, multiples: Mapping[str, float] = MULTIPLES
) -> tuple[str, ...]:
    """All levels that effects between `low` and `high` have."""
    sizes = abs(low), abs(high)
    smallest = 0.0 if low <= 0 <= high else min(sizes)
    first = LEVELS.index(level_of(smallest, delta, multiples))
    last = LEVELS.index(level_of(max(sizes), delta, multiples))
    return LEVELS[first : last + 1]


def judge_impact(
    improvement: Estimate,
    delta: float,
    multiples: Mapping[str, float],
    found: Evidence,
    rule: Error,
) -> Impact:
    """The measured impact of an improvement (positive is better).

    Whether there is an effect is decided by the corrected test, how large it can be by the
    simultaneous interval, and the level is that of the estimate. Undecided while there is no sure
    effect and the interval reaches further than delta, unless the effect is surely smaller.

    Args:
        improvement: The estimate with its own intervals.
        delta: The smallest effect that matters.
        multiples: From how many times delta on each level begins.
        found: What may be concluded within the study's family.
        rule: What would decide it (`statistics.seed_range`).
    """
    estimate, low, high = found.estimate, found.low, found.high
    if estimate is None or low is None or high is None:
        return Impact(UNDECIDED, LEVELS, LEVELS, "unclear", False, None)
    direction = "unclear"
    if found.significant:
        direction = "helps" if estimate > 0 else "hurts"
    possible = levels_between(low, high, delta, multiples)
    helping = levels_between(max(low, 0.0), max(high, 0.0), delta, multiples)
    if found.equivalent:
        return Impact("NONE", possible, helping, direction, True, None)
    if direction == "unclear" and max(-low, high) > delta:
        needed = seed_range(improvement, rule, abs(estimate), delta)
        return Impact(UNDECIDED, possible, helping, direction, False, needed)
    level = level_of(estimate, delta, multiples)
    return Impact(level, possible, helping, direction, False, None)


def diverging(impact: Impact, arm: int, reference: int) -> Impact:
    """The impact of a contrast whose arms diverged on so many seeds: a verdict before any mean."""
    if not arm and not reference:
        return impact
    direction = "unclear" if arm == reference else "hurts" if arm > reference else "helps"
    return Impact(DIVERGES, impact.possible, impact.helping, direction, False, None)


def judge_impact_claim(claimed: str, impact: Impact) -> str:
    """Verdict on a claimed level of impact, which is a claim that the difference helps so much.

    Judged by the simultaneous interval, so that what it confirms or refutes holds together for all
    claimed levels. Confirmed if the interval reaches no other level and does not lie below zero;
    refuted if no help in it has this level: a claim has a sign, and harm of that size is none.
    """
    if claimed not in LEVELS:
        raise UserError("a claimed impact has an unknown level", found=claimed, allowed=LEVELS)
    if impact.level == DIVERGES:
        return UNDECIDED
    if impact.equivalent:
        return CONFIRMED if claimed == "NONE" else EQUIVALENT
    if claimed == "NONE":
        known = impact.possible == ("NONE",)
        return CONFIRMED if known else UNDECIDED if "NONE" in impact.possible else REFUTED
    if claimed not in impact.helping:
        return REFUTED
    return CONFIRMED if impact.helping == (claimed,) else UNDECIDED


def in_unit(value: float | None, unit: str) -> float | None:
    """A difference (absolute) or a log ratio (else) in the unit of the claim."""
    if value is None or unit == ABSOLUTE:
        return value
    factor = math.exp(value)
    return factor if unit == FACTOR else 1.0 - factor


def claim_interval(effect: Estimate, unit: str) -> tuple[float | None, float | None]:
    """The 95 % interval in the unit of the claim, lower end first."""
    low, high = in_unit(effect.low, unit), in_unit(effect.high, unit)
    return (high, low) if unit == REDUCTION else (low, high)


def judge_claim(claim: Claim, effect: Estimate, delta: float | None) -> str:
    """Verdict on a claim; `delta` (same unit) allows "equivalent", None where there is none."""
    low, high = claim_interval(effect, claim.unit)
    if low is None or high is None:
        return UNDECIDED
    accept_low, accept_high = accepted_range(claim)
    if accept_low <= low and high <= accept_high:
        return CONFIRMED
    if delta is not None and claim.unit == ABSOLUTE and is_equivalent(effect, delta):
        return EQUIVALENT
    return REFUTED if high < accept_low or low > accept_high else UNDECIDED


def claim_distance(claim: Claim, effect: Estimate) -> float | None:
    """How far the estimate is from the nearest end of the accepted range.

    In the scale of the effect: of differences, or of log ratios.
    """
    if effect.estimate is None:
        return None
    ends = [end for end in accepted_range(claim) if math.isfinite(end)]
    if claim.unit == REDUCTION:
        ends = [1.0 - end for end in ends]
    if claim.unit != ABSOLUTE:
        ends = [math.log(end) for end in ends if end > 0]
    return min((abs(effect.estimate - end) for end in ends), default=None)


def multiples_of(own: Mapping[str, object] | None) -> dict[str, float]:
    """The thresholds of the impact levels, as multiples of delta.

    Args:
        own: study.yaml's `metric.impact_multiples`.
    """
    merged = {name: float(str((own or {}).get(name, value))) for name, value in MULTIPLES.items()}
    ordered: Sequence[float] = list(merged.values())
    if list(ordered) != sorted(ordered) or ordered[0] <= 0:
        raise UserError(
            "metric.impact_multiples must rise from low to high", found=merged, allowed=MULTIPLES
        )
    return merged
