"""Which learning rate each side of a retuned contrast takes: the best on rows set aside for it.

The rows are validation rows that no run selects its weights on and no effect is measured on, so the
contrast between the chosen arms, on the test rows, is not optimistic for having been chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from ablation.designs.contrast import Notes
from ablation.designs.retune import RETUNE
from ablation.evidence.contrast import facts_of
from ablation.study.grid import Grid
from ablation.study.options import MetricOptions
from ablation.study.run_metrics import COMPLETED

COLUMN = "quality.tuning."


@dataclass(frozen=True, kw_only=True)
class Side:
    """One arm of the path with its learning rates.

    Attributes:
        arm: The arm of the path.
        chosen: The arm at the best rate; None where no rate has all its runs.
        scores: The mean of the metric on the rows set aside, by arm; None where a run is missing
            or diverged.
        rates: The learning rate of each of them.
    """

    arm: str
    chosen: str | None
    scores: dict[str, float | None]
    rates: dict[str, float]

    @property
    def at_end(self) -> bool:
        """Whether the best rate is the lowest or the highest: a better one may lie beyond."""
        ordered = sorted(self.rates, key=self.rates.__getitem__)
        return self.chosen in (ordered[0], ordered[-1])


def choose_rates(
    grid: Grid, runs: pd.DataFrame, metric: MetricOptions
) -> tuple[Grid, tuple[Side, ...]]:
    """The grid with the chosen arms among what it notes, and how they were chosen.

    One rate for all seeds of a side: that with the best mean. A rate of which a run diverged or is
    missing is not chosen.

    Args:
        grid: The study's grid.
        runs: metrics.csv.
        metric: study.yaml's `metric`.
    """
    facts = facts_of(grid, RETUNE)
    if facts is None:
        return grid, ()
    sides = tuple(_side(arm, rates, runs, metric) for arm, rates in facts["sides"].items())
    chosen = {side.arm: side.chosen for side in sides if side.chosen is not None}
    designs: list[Notes] = [
        {**one, "chosen": chosen} if one is facts else one for one in grid.designs
    ]
    return replace(grid, designs=designs), sides


def _side(arm: str, rates: Mapping[str, float], runs: pd.DataFrame, metric: MetricOptions) -> Side:
    scores = {name: _score(name, runs, str(metric["name"])) for name in rates}
    known = {name: score for name, score in scores.items() if score is not None}
    sign = 1.0 if metric.get("higher_is_better", True) else -1.0
    chosen = max(known, key=lambda name: sign * known[name]) if known else None
    return Side(arm=arm, chosen=chosen, scores=scores, rates=dict(rates))


def _score(arm: str, runs: pd.DataFrame, metric: str) -> float | None:
    """The mean over all seeds; None where one of them has no score."""
    own, column = runs[runs["arm"] == arm], f"{COLUMN}{metric}"
    if own.empty or column not in own or not (own["status"] == COMPLETED).all():
        return None
    values = pd.to_numeric(own[column])
    return None if values.isna().any() else float(values.mean())
