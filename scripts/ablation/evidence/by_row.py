"""The test rows behind a study's effects: what makes an interval one on new rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ablation.data.outcomes import load_outcomes
from ablation.evidence import twoway
from ablation.evidence.twoway import Squares
from ablation.results import Results
from ablation.study.grid import Grid

# For whom the intervals of a study hold.
NEW_ROWS, THESE_ROWS, NEW_SPLITS = "new_rows", "these_rows", "new_splits"
# Why they do not hold for new rows.
NO_OUTCOMES, OTHER_METRIC, OTHER_ROWS = "no_outcomes", "metric", "other_rows"


def _accuracy(outcomes: np.ndarray, classes: int) -> np.ndarray:
    return (outcomes["label"] == outcomes["predicted"]).astype(np.int8)


def _loss(outcomes: np.ndarray, classes: int) -> np.ndarray:
    return np.array(outcomes["loss"])


def _f1(outcomes: np.ndarray, classes: int) -> np.ndarray:
    found = twoway.f1_values(outcomes["predicted"], outcomes["label"], classes)
    return found.astype(np.float32)


def _weighted_f1(outcomes: np.ndarray, classes: int) -> np.ndarray:
    values = outcomes["predicted"], outcomes["label"], classes
    return twoway.f1_values(*values, weighted=True).astype(np.float32)


# A value for each row whose mean is the metric.
METRICS: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "eval_accuracy": _accuracy,
    "eval_loss": _loss,
    "eval_macro_f1": _f1,
    "eval_weighted_f1": _weighted_f1,
}


@dataclass(frozen=True, kw_only=True)
class ByRow:
    """The metric of each run on each test row.

    Attributes:
        values: By arm and the seed that it stands beside; none where `scope` is not new rows.
        scope: For whom intervals can hold: "new_rows", "these_rows", or "new_splits" where each
            seed has test rows of its own.
        reason: Why these rows only: "no_outcomes", "metric" or "other_rows" (arms of one seed are
            tested on different ones); None otherwise.
        size: Test rows of a seed.
        rows: Which of all rows they are, numbers from 0 on, by arm and seed; none where they are
            the same for all.
    """

    values: Mapping[tuple[str, int], np.ndarray]
    scope: str
    reason: str | None = None
    size: int | None = None
    rows: Mapping[tuple[str, int], np.ndarray] = field(default_factory=dict)

    def squares(
        self, weights: Mapping[str, float], seeds: Iterable[int], counts: Iterable[int]
    ) -> dict[int, Squares]:
        """The mean squares of a contrast's first so many seeds, where all its runs have rows.

        Args:
            weights: The contrast's arms.
            seeds: Its seeds, in the order in which they were planned.
            counts: Numbers of seeds.
        """
        whole = []
        for seed in seeds:
            if not self._lines_up(weights, seed):
                break
            whole.append(seed)
        if not whole:
            return {}
        table = np.stack([self._row(weights, seed) for seed in whole])
        arm = next(iter(weights))
        numbers = np.stack([self.rows[arm, seed] for seed in whole]) if self.rows else None
        found = {
            n: twoway.mean_squares(table[:n])
            if numbers is None
            else twoway.mean_squares_of_splits(table[:n], numbers[:n])
            for n in set(counts)
            if n <= len(whole)
        }
        return {n: squares for n, squares in found.items() if squares is not None}

    def _lines_up(self, weights: Mapping[str, float], seed: int) -> bool:
        """Whether all arms have outcomes of a seed, on the same rows.

        The seeds of an A/A control are others, and so are their rows where each seed has its own.
        """
        if any((arm, seed) not in self.values for arm in weights):
            return False
        return len({id(self.rows.get((arm, seed))) for arm in weights}) == 1

    def _row(self, weights: Mapping[str, float], seed: int) -> np.ndarray:
        total = np.zeros(self.size or 0, dtype=np.float32)
        for arm, weight in weights.items():
            if weight in (1.0, -1.0):
                (np.add if weight > 0 else np.subtract)(total, self.values[arm, seed], out=total)
            elif weight:
                total += np.float32(weight) * self.values[arm, seed]
        return total


def load_by_row(grid: Grid, runs: str | Path, metric: str) -> ByRow:
    """The outcomes of a study's runs.

    Args:
        grid: Its arms and seeds.
        runs: The folder of the runs.
        metric: The study's metric.

    Raises:
        UserError: a file of outcomes is damaged.
    """
    if metric not in METRICS:
        return ByRow(values={}, scope=THESE_ROWS, reason=OTHER_METRIC)
    folders = Results(Path(runs).parent)
    read: dict[tuple[str, int], np.ndarray] = {}
    rows: dict[int, np.ndarray] = {}
    values: dict[tuple[str, int], np.ndarray] = {}
    for arm, own, paired in grid.arm_runs():
        run = arm.variant, own
        if run not in read:
            outcomes = load_outcomes(folders.run(*run))
            if outcomes is None or not len(outcomes):
                continue
            here = np.array(outcomes["row"])
            if own in rows and not np.array_equal(rows[own], here):
                return ByRow(values={}, scope=THESE_ROWS, reason=OTHER_ROWS)
            rows.setdefault(own, here)
            classes = 1 + int(max(outcomes["label"].max(), outcomes["predicted"].max()))
            read[run] = METRICS[metric](outcomes, classes)
        values[arm.name, paired] = read[run]
    if not values:
        return ByRow(values={}, scope=THESE_ROWS, reason=NO_OUTCOMES)
    first = next(iter(rows.values()))
    if all(np.array_equal(first, other) for other in rows.values()):
        return ByRow(values=values, scope=NEW_ROWS, size=len(first))
    if len({len(own) for own in rows.values()}) > 1:
        return ByRow(values={}, scope=NEW_SPLITS)
    numbers = _numbered(rows)
    placed = {
        (arm.name, paired): numbers[own]
        for arm, own, paired in grid.arm_runs()
        if (arm.name, paired) in values
    }
    return ByRow(values=values, scope=NEW_SPLITS, size=len(first), rows=placed)


def _numbered(rows: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Each seed's rows as numbers from 0 on, among all rows that any seed has."""
    every = np.unique(np.concatenate(list(rows.values())))
    return {seed: np.searchsorted(every, own).astype(np.int32) for seed, own in rows.items()}
