"""Verdicts: what the source report promised against what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablation.errors import UserError
from ablation.statistics import Estimate, seeds_to_decide

CONFIRMED = "confirmed"
REFUTED = "refuted"
EQUIVALENT = "equivalent"
UNDECIDED = "undecided"
NO_DIFFERENCE = "no_difference"
NOT_SEPARATED = "not_separated"

LEVELS = ("NONE", "LOW", "MEDIUM", "HIGH")
MULTIPLES = {"low": 1.0, "medium": 2.0, "high": 5.0}

ABSOLUTE = "absolute"
FACTOR = "factor"
REDUCTION = "relative_reduction"
UNITS = (ABSOLUTE, FACTOR, REDUCTION)


@dataclass(frozen=True)
class Impact:
    """How large the effect of a contrast is, and how sure.

    Attributes:
        level: One of `LEVELS`, or "undecided".
        possible: The levels that the 95 % interval reaches.
        direction: "helps", "hurts" or "unclear" (the interval includes zero).
        equivalent: Whether the 90 % interval lies inside plus or minus delta.
        seeds_to_decide: Seeds that would decide it; None if decided or unknown.
    """

    level: str
    possible: tuple[str, ...]
    direction: str
    equivalent: bool
    seeds_to_decide: int | None


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


def is_equivalent(effect: Estimate, delta: float) -> bool:
    """Whether the 90 % interval lies inside plus or minus delta (two one-sided tests)."""
    if effect.low90 is None or effect.high90 is None:
        return False
    return -delta < effect.low90 and effect.high90 < delta


def more_than(n: int, seeds: int | None) -> int | None:
    """A number of seeds that is more than the n that did not decide; None stays unknown."""
    return None if seeds is None else max(seeds, n + 1)


def judge_impact(
    improvement: Estimate, delta: float, multiples: Mapping[str, float] = MULTIPLES
) -> Impact:
    """The measured impact of an improvement (positive is better).

    Undecided while the 95 % interval includes both zero and more than delta, unless the 90 %
    interval shows the effect to be smaller than delta.
    """
    if improvement.estimate is None or improvement.low is None or improvement.high is None:
        return Impact(UNDECIDED, LEVELS, "unclear", False, None)
    low, high = improvement.low, improvement.high
    direction = "helps" if low > 0 else "hurts" if high < 0 else "unclear"
    possible = levels_between(low, high, delta, multiples)
    if is_equivalent(improvement, delta):
        return Impact("NONE", possible, direction, True, None)
    if direction == "unclear" and max(-low, high) > delta:
        size = abs(improvement.estimate)
        needed = more_than(improvement.n, seeds_to_decide(improvement.sd, max(size, delta - size)))
        return Impact(UNDECIDED, possible, direction, False, needed)
    level = level_of(improvement.estimate, delta, multiples)
    return Impact(level, possible, direction, False, None)


def judge_impact_claim(claimed: str, impact: Impact) -> str:
    """Verdict on a claimed level of impact, which is a claim that the difference helps.

    Confirmed if the interval reaches no other level, refuted if it does not reach this one or if
    the difference makes things worse.
    """
    if claimed not in LEVELS:
        raise UserError("a claimed impact has an unknown level", found=claimed, allowed=LEVELS)
    if impact.equivalent:
        return CONFIRMED if claimed == "NONE" else EQUIVALENT
    if impact.level == UNDECIDED and impact.possible == LEVELS:
        return UNDECIDED
    if impact.direction == "hurts" and claimed != "NONE" and impact.level != "NONE":
        return REFUTED
    if impact.possible == (claimed,):
        return CONFIRMED
    return REFUTED if claimed not in impact.possible else UNDECIDED


@dataclass(frozen=True)
class Claim:
    """One promise in numbers: a quantity of a contrast lies between `low` and `high`.

    Attributes:
        unit: "absolute" (arm minus reference), "factor" (arm over reference) or
            "relative_reduction" (1 minus that factor).
        low, high: The promised range; None is open.
        beyond: What a result past the far end of the range says, where "far" is away from no
            effect: "confirmed" (a gain larger than promised) or "refuted" (a cost that is not
            what was promised).
    """

    id: str
    quantity: str
    contrast: str
    unit: str
    low: float | None
    high: float | None
    beyond: str


def read_claim(entry: Mapping[str, Any]) -> Claim:
    """A claim out of study.yaml's `claims.statements`.

    Raises:
        UserError: a unit that is not known, or a range that is empty.
    """
    name = str(entry["id"])
    unit = str(entry.get("unit", ABSOLUTE))
    if unit not in UNITS:
        raise UserError(f"claim {name} has an unknown unit", found=unit, allowed=UNITS)
    low, high = entry.get("low"), entry.get("high")
    low = None if low is None else float(low)
    high = None if high is None else float(high)
    if (low is None and high is None) or (low is not None and high is not None and low > high):
        raise UserError(
            f"claim {name} has an empty range", found=[low, high], allowed="low <= high"
        )
    beyond = str(entry.get("beyond", CONFIRMED))
    if beyond not in (CONFIRMED, REFUTED):
        raise UserError(
            f"claim {name}: `beyond` is unknown", found=beyond, allowed=[CONFIRMED, REFUTED]
        )
    return Claim(name, str(entry["quantity"]), str(entry["contrast"]), unit, low, high, beyond)


def accepted_range(claim: Claim) -> tuple[float, float]:
    """The values that agree with the claim; open at its far end if `beyond` confirms."""
    low = -math.inf if claim.low is None else claim.low
    high = math.inf if claim.high is None else claim.high
    if claim.beyond == CONFIRMED:
        nothing = 1.0 if claim.unit == FACTOR else 0.0
        if low >= nothing:
            high = math.inf
        elif high <= nothing:
            low = -math.inf
    return low, high


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


def multiples_of(metric: Mapping[str, Any]) -> Mapping[str, float]:
    """The thresholds of the impact levels, as multiples of delta; the study may set its own."""
    own = metric.get("impact_multiples") or {}
    merged = {name: float(own.get(name, value)) for name, value in MULTIPLES.items()}
    ordered: Sequence[float] = list(merged.values())
    if list(ordered) != sorted(ordered) or ordered[0] <= 0:
        raise UserError(
            "metric.impact_multiples must rise from low to high", found=merged, allowed=MULTIPLES
        )
    return merged
