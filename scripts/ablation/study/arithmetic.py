"""Verdicts on the claims that arithmetic decides: no run, no interval, no seeds.

A statement of study.yaml's `claims.statements` with `decided_by: arithmetic` names a quantity (of
`quantities`, or a setting that is a number) and either a `contrast` as measured claims do
(`gap`, `all_stages`, `remainder`, a stage) or one `arm`, whose value itself is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import cast

from ablation.errors import UserError
from ablation.settings.quantities import Bounds, Quantities, ratio
from ablation.study.claim import (
    CONFIRMED,
    FACTOR,
    REDUCTION,
    REFUTED,
    UNDECIDED,
    VALUE,
    Claim,
    accepted_range,
    read_claim,
)
from ablation.study.explanation import ClaimSaid
from ablation.study.options import StatementOptions

ARITHMETIC = "arithmetic"
# Claims are rounded numbers; what is computed is not.
ROUNDING = 1e-6


def is_arithmetic(entry: StatementOptions) -> bool:
    """Whether a statement of study.yaml is decided without training."""
    return entry.get("decided_by") == ARITHMETIC


def judge_statements(
    entries: Sequence[StatementOptions],
    arms: Mapping[str, Quantities],
    contrasts: Mapping[str, tuple[str, str]],
) -> list[ClaimSaid]:
    """A verdict on each statement that arithmetic decides, in the shape of measured ones.

    Args:
        entries: `claims.statements` of study.yaml.
        arms: What each arm amounts to, by its name.
        contrasts: The names a claim may use: (arm, reference) of each.

    Raises:
        UserError: a claim names an unknown quantity, arm or contrast.
    """
    return [_judge(entry, arms, contrasts) for entry in entries if is_arithmetic(entry)]


def _judge(
    entry: StatementOptions,
    arms: Mapping[str, Quantities],
    contrasts: Mapping[str, tuple[str, str]],
) -> ClaimSaid:
    claim = read_claim(entry)
    arm, reference = _arms_of(claim, arms, contrasts)
    if not arms[arm].knows(claim.quantity):
        known = sorted({*arms[arm].values, *_numbers(arms[arm])})
        raise UserError(
            f"claim {claim.id} names an unknown quantity", found=claim.quantity, allowed=known
        )
    low, high = _bounds(claim, arms[arm], arms[reference] if reference else None)
    exact = low if low == high else None
    judged = {
        **asdict(claim),
        "decided_by": ARITHMETIC,
        "arm": arm,
        "reference": reference,
        "arm_value": arms[arm].get(claim.quantity),
        "reference_value": arms[reference].get(claim.quantity) if reference else None,
        "estimate": exact,
        "interval_low": low,
        "interval_high": high,
        "n": None,
        "no_interval": None,
        "verdict": verdict_of(claim, low, high),
        "seeds_to_decide": None,
        "text": entry.get("text"),
        "source": entry.get("source"),
    }
    return cast(ClaimSaid, judged)


def _arms_of(
    claim: Claim, arms: Mapping[str, Quantities], contrasts: Mapping[str, tuple[str, str]]
) -> tuple[str, str | None]:
    if claim.unit == VALUE:
        if claim.contrast not in arms:
            raise UserError(
                f"claim {claim.id} names an unknown arm", found=claim.contrast, allowed=list(arms)
            )
        return claim.contrast, None
    if claim.contrast not in contrasts:
        raise UserError(
            f"claim {claim.id} names an unknown contrast",
            found=claim.contrast,
            allowed=sorted(contrasts),
        )
    return contrasts[claim.contrast]


def _numbers(arm: Quantities) -> Iterator[str]:
    return (name for name in arm.settings if arm.knows(name))


def _bounds(claim: Claim, arm: Quantities, reference: Quantities | None) -> Bounds:
    if reference is None:
        value = arm.get(claim.quantity)
        return (None if claim.quantity in arm.at_most else value), value
    if claim.unit in (FACTOR, REDUCTION):
        low, high = ratio(reference, arm, claim.quantity)
        if claim.unit == FACTOR:
            return low, high
        return (None if high is None else 1.0 - high), (None if low is None else 1.0 - low)
    above, below = (side.get(claim.quantity) for side in (arm, reference))
    bounded = {claim.quantity} & (arm.at_most | reference.at_most)
    if above is None or below is None or bounded:
        return None, None
    return above - below, above - below


def verdict_of(claim: Claim, low: float | None, high: float | None) -> str:
    """Confirmed if all that is possible agrees with the claim, refuted if nothing does."""
    if low is None and high is None:
        return UNDECIDED
    below, above = accepted_range(claim)
    below -= abs(below) * ROUNDING if math.isfinite(below) else 0.0
    above += abs(above) * ROUNDING if math.isfinite(above) else 0.0
    lowest = -math.inf if low is None else low
    highest = math.inf if high is None else high
    if below <= lowest and highest <= above:
        return CONFIRMED
    return REFUTED if highest < below or lowest > above else UNDECIDED


def contrasts_of(stage_arms: Sequence[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """(arm, reference) by the names that claims use.

    Args:
        stage_arms: Stage and arm of each stage, in order.
    """
    path = ["current", *(arm for _, arm in stage_arms), "backup"]
    found = {stage: (arm, before) for (stage, arm), before in zip(stage_arms, path, strict=False)}
    found |= {"gap": ("backup", "current"), "remainder": ("backup", path[-2])}
    if stage_arms:
        found["all_stages"] = (path[-2], "current")
    return found
