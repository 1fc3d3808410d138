"""What fresh seeds say of the recommended arm, by the intervals that the study's effects have."""

from __future__ import annotations

import pandas as pd

from ablation.comparison.findings.finding import SIDES
from ablation.designs.contrast import TOTAL, between
from ablation.evidence.by_row import ByRow
from ablation.evidence.confirmation import (
    ENOUGH_SEEDS,
    NOTHING_TO_CONFIRM,
    Confirmation,
    confirm,
)
from ablation.evidence.estimate import NOT_BY_ROW, measure, series_of
from ablation.study.grid import Grid
from ablation.study.options import MetricOptions

RECOMMENDED = "recommended"


def estimate_confirmation(
    grid: Grid, runs: pd.DataFrame, metric: MetricOptions, by_row: ByRow = NOT_BY_ROW
) -> Confirmation:
    """The confirmation's effects and verdict, out of its own grid.json and metrics.csv.

    Args:
        grid: The recommended arm and both sides.
        runs: Their runs.
        metric: study.yaml's `metric`.
        by_row: What the runs answered on each test row: then both intervals hold for new rows.
    """
    if not grid.arms:
        return Confirmation(status=NOTHING_TO_CONFIRM, reason="nothing_recommended")
    variants = {arm.name: arm.variant for arm in grid.arms}
    compared = [between(side, TOTAL, (RECOMMENDED, side), design="") for side in SIDES]
    series = series_of(measure(grid, runs, {"metric": metric}, by_row), compared)
    over_current, over_backup = (series[side].estimate for side in SIDES)
    arm = next(arm for arm in grid.arms if arm.name == RECOMMENDED)
    is_backup = arm.variant == variants["backup"]
    delta = float(metric["delta"])
    status, reason = confirm(over_current, over_backup, delta, is_backup)
    return Confirmation(
        status=status,
        reason=reason,
        few_seeds=min(over_current.n, over_backup.n) < ENOUGH_SEEDS,
        stages=tuple(arm.stages),
        variant=arm.variant,
        is_backup=is_backup,
        seeds=tuple(int(seed) for seed in grid.seeds),
        over_current=over_current,
        over_backup=over_backup,
        delta=delta,
    )
