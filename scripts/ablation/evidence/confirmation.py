"""Whether fresh seeds confirm what is recommended: it must beat current and not fall behind backup.

Effects of stages that were picked because they looked best look better than they are; seeds that no
choice has seen have no such bias. Both conditions have to hold, so that neither needs a correction
(intersection-union test: Berger 1982, Technometrics 24(4):295-300).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from ablation.evidence.outcomes import wide_tables
from ablation.evidence.statistics import Estimate, mean_estimate, paired_values

CONFIRMED = "confirmed"
REFUTED = "refuted"
UNDECIDED = "undecided"
NOTHING_TO_CONFIRM = "nothing_to_confirm"
ENOUGH_SEEDS = 5


@dataclass(frozen=True)
class Confirmation:
    """What fresh seeds say of the recommended arm.

    Attributes:
        status: "confirmed", "refuted", "undecided", or "nothing_to_confirm".
        reason: Text id: what decided, or what is still open.
        few_seeds: Whether there are fewer than the five that are advised.
    """

    status: str
    reason: str
    few_seeds: bool


def confirm(
    over_current: Estimate, over_backup: Estimate, delta: float, is_backup: bool = False
) -> Confirmation:
    """The verdict on a recommendation, from improvements (positive is better) on fresh seeds.

    Confirmed: the 95 % interval over current is above zero, and the lower end of the 90 % interval
    over backup is above minus delta (it is not worse by an amount that matters). Refuted: surely
    no better than current, or surely worse than backup by more than delta. The backup itself
    (`is_backup`) has only current to beat.
    """
    few = min(over_current.n, over_backup.n) < ENOUGH_SEEDS
    if over_current.low is None or over_backup.low90 is None:
        return Confirmation(UNDECIDED, "no_interval", few)
    if over_current.high <= 0:
        return Confirmation(REFUTED, "not_better_than_current", few)
    if over_backup.high90 < -delta:
        return Confirmation(REFUTED, "worse_than_backup", few)
    if over_current.low <= 0:
        return Confirmation(UNDECIDED, "better_than_current_open", few)
    if is_backup:
        return Confirmation(CONFIRMED, "beats_current", few)
    if over_backup.low90 <= -delta:
        return Confirmation(UNDECIDED, "as_good_as_backup_open", few)
    return Confirmation(CONFIRMED, "beats_current_and_keeps_up", few)


def estimate_confirmation(
    grid: Mapping[str, Any], runs: pd.DataFrame, metric: Mapping[str, Any]
) -> dict[str, Any]:
    """The confirmation's effects and verdict, out of its own grid.json and metrics.csv."""
    if not grid["arms"]:
        return {**asdict(Confirmation(NOTHING_TO_CONFIRM, "nothing_recommended", False))}
    table = wide_tables(runs, metric)[metric["name"]]
    sign = 1.0 if metric.get("higher_is_better", True) else -1.0
    variants = {arm["arm"]: arm["variant"] for arm in grid["arms"]}
    found = {}
    for reference in ("current", "backup"):
        pairs = paired_values(table, "recommended", reference)
        values = sign * (pairs["arm"] - pairs["reference"]).to_numpy()
        same = variants["recommended"] == variants[reference]
        found[reference] = mean_estimate(values, list(pairs.index), identical=same)
    is_backup = variants["recommended"] == variants["backup"]
    verdict = confirm(found["current"], found["backup"], float(metric["delta"]), is_backup)
    arm = next(arm for arm in grid["arms"] if arm["arm"] == "recommended")
    return {
        **asdict(verdict),
        "stages": list(arm["stages"]),
        "variant": arm["variant"],
        "is_backup": is_backup,
        "seeds": [int(seed) for seed in grid["seeds"]],
        "over_current": found["current"].as_dict(),
        "over_backup": found["backup"].as_dict(),
        "delta": float(metric["delta"]),
    }
