"""One claim of the source report in numbers, and the range of values that agrees with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ablation.errors import UserError
from ablation.study.options import StatementOptions

CONFIRMED = "confirmed"
REFUTED = "refuted"
UNDECIDED = "undecided"
ABSOLUTE = "absolute"
FACTOR = "factor"
REDUCTION = "relative_reduction"
VALUE = "value"
UNITS = (ABSOLUTE, FACTOR, REDUCTION)
SEED_SPREAD = "seed_spread"
# What a claim compares by names of its own; other contrasts go by their stage or their id.
CONTRASTS = ("gap", "all_stages", "remainder")
_SCORES = ("eval_accuracy", "eval_macro_f1", "eval_loss")
_OF_RUNS = (
    "initial_loss",
    "final_loss",
    "clipped_share",
    "loss_roughness",
    "loss_noise",
    "train_runtime",
    "peak_memory_bytes",
)


@dataclass(frozen=True)
class Claim:
    """One promise in numbers: a quantity of a contrast lies between `low` and `high`.

    Attributes:
        contrast: What it is about; an arm where the value of one arm is claimed.
        unit: "absolute" (arm minus reference), "factor" (arm over reference),
            "relative_reduction" (1 minus that factor), or "value" (of one arm).
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


def measured_quantities(metric: str) -> list[str]:
    """What a measured claim may be about in a study with this metric.

    A score with ".final" is that of the final weights, not of those that an arm selects.
    """
    scores = dict.fromkeys((metric, *_SCORES))
    return [*scores, *(f"{name}.final" for name in scores), *_OF_RUNS, SEED_SPREAD]


def read_claim(entry: StatementOptions) -> Claim:
    """A claim out of study.yaml's `claims.statements`.

    Raises:
        UserError: it lacks a key, or its unit, range or `beyond` cannot be.
    """
    name = str(entry.get("id", "?"))
    of_arm = "arm" in entry
    needed = ("id", "quantity", "arm" if of_arm else "contrast")
    missing = [key for key in needed if key not in entry]
    if missing:
        raise UserError(f"claim {name} lacks a key", found=list(entry), allowed=missing)
    unit = VALUE if of_arm else str(entry.get("unit", ABSOLUTE))
    if not of_arm and unit not in UNITS:
        raise UserError(f"claim {name} has an unknown unit", found=unit, allowed=UNITS)
    ends = entry.get("low"), entry.get("high")
    low, high = (None if end is None else float(end) for end in ends)
    if (low is None and high is None) or (low is not None and high is not None and low > high):
        raise UserError(
            f"claim {name} has an empty range", found=[low, high], allowed="low <= high"
        )
    beyond = str(entry.get("beyond", CONFIRMED))
    if beyond not in (CONFIRMED, REFUTED):
        allowed = [CONFIRMED, REFUTED]
        raise UserError(f"claim {name}: `beyond` is unknown", found=beyond, allowed=allowed)
    contrast = str(entry["arm"] if of_arm else entry["contrast"])
    return Claim(
        id=name,
        quantity=str(entry["quantity"]),
        contrast=contrast,
        unit=unit,
        low=low,
        high=high,
        beyond=beyond,
    )


def accepted_range(claim: Claim) -> tuple[float, float]:
    """The values that agree with the claim.

    Where `beyond` confirms, a contrast's range is open at its far end, away from no effect.
    """
    low = -math.inf if claim.low is None else claim.low
    high = math.inf if claim.high is None else claim.high
    if claim.beyond == CONFIRMED and claim.unit != VALUE:
        nothing = 1.0 if claim.unit == FACTOR else 0.0
        if low >= nothing:
            high = math.inf
        elif high <= nothing:
            low = -math.inf
    return low, high
