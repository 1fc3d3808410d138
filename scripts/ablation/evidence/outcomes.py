"""The measured quantities of a study as tables of seeds and arms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ablation.evidence import statistics
from ablation.study.grid import Grid
from ablation.study.names import LOWER_IS_BETTER
from ablation.study.options import MetricOptions
from ablation.study.run_metrics import DIVERGED, MISSING

FINAL_SUFFIX = ".final"
WORST_SCORE = 0.0
ROUGHNESS, NOISE = "loss_roughness", "loss_noise"
# Not sampled over seeds: the same steps take longer on a busy machine.
OF_MACHINE = ("train_runtime", "peak_memory_bytes")
BATCH = (
    "environment.world_size",
    "environment.per_device_train_batch_size",
    "environment.gradient_accumulation_steps",
)


@dataclass(frozen=True)
class Quantity:
    """One measured quantity and how it is read.

    Attributes:
        column: Its column in metrics.csv.
        worst: What a diverged run counts as: the lowest score there is; None where it has no value,
            because a loss knows no worst one.
        shrinks_with_batch: Whether it is the noise of a mean over the batch, to be compared times
            the root of the effective batch.
    """

    column: str
    worst: float | None = None
    shrinks_with_batch: bool = False


def quantities(metric: MetricOptions) -> dict[str, Quantity]:
    """Everything a contrast is estimated for; the study's metric comes first.

    The metric is read from the weights an arm selects (final or best epoch), and again, with the
    suffix ".final", from the final weights of every arm.
    """
    name, higher = str(metric["name"]), bool(metric.get("higher_is_better", True))
    found = {}
    for key in dict.fromkeys((name, "eval_accuracy", "eval_macro_f1", "eval_loss")):
        better = higher if key == name else key not in LOWER_IS_BETTER
        worst = WORST_SCORE if better and is_bounded(key) else None
        found[key] = Quantity(f"quality.selected.{key}", worst)
        found[key + FINAL_SUFFIX] = Quantity(f"quality.final.{key}", worst)
    for key in ("initial_loss", "final_loss", "clipped_share", ROUGHNESS, NOISE):
        rough = key in (ROUGHNESS, NOISE)
        found[key] = Quantity(f"optimisation.{key}", shrinks_with_batch=rough)
    return found | {key: Quantity(f"cost.{key}") for key in OF_MACHINE}


def is_bounded(quantity: str) -> bool:
    """Whether a quantity lies between 0 and 1: accuracies and F1."""
    return quantity.startswith("eval_accuracy") or "_f1" in quantity


def long_table(runs: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """Columns arm, seed, value of one quantity; diverged runs count as its worst value, if any.

    A value that shrinks with the batch is given times the root of the effective batch, which makes
    it the noise of a single row.
    """
    table = runs[["arm", "seed", "status"]].copy()
    values = runs.get(quantity.column, np.nan)
    table["value"] = pd.to_numeric(pd.Series(values, index=runs.index), errors="coerce")
    if quantity.shrinks_with_batch and set(BATCH) <= set(runs):
        table["value"] *= np.sqrt(runs[list(BATCH)].apply(pd.to_numeric).prod(axis=1, skipna=False))
    table.loc[table["status"] == MISSING, "value"] = np.nan
    diverged = table["status"] == DIVERGED
    table.loc[diverged, "value"] = np.nan
    if quantity.worst is not None:
        table.loc[diverged, "value"] = quantity.worst
    return table[["arm", "seed", "value"]]


def paired_runs(grid: Grid, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with the seed that each stands beside: that of an A/A control is another's."""
    beside = {(arm.name, own): paired for arm, own, paired in grid.arm_runs() if own != paired}
    if not beside:
        return runs
    seeds = [
        beside.get((arm, int(seed)), int(seed))
        for arm, seed in zip(runs["arm"], runs["seed"], strict=True)
    ]
    return runs.assign(seed=seeds)


def wide_tables(runs: pd.DataFrame, metric: MetricOptions) -> dict[str, pd.DataFrame]:
    """Each quantity as a table of seeds (rows) and arms (columns)."""
    return {
        name: statistics.wide_table(long_table(runs, quantity))
        for name, quantity in quantities(metric).items()
    }


def with_status(runs: pd.DataFrame, *statuses: str) -> set[tuple[str, int]]:
    """The arm and seed of each run that ended so."""
    own = runs[runs["status"].isin(statuses)]
    return {(arm, int(seed)) for arm, seed in zip(own["arm"], own["seed"], strict=True)}
