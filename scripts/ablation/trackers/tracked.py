"""What a tracker is told of a study: its runs with settings, series and scores, and its files."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ablation.documents.scalars import is_number
from ablation.evidence.metrics import load_history
from ablation.files import load_json
from ablation.results import Results
from ablation.study.grid import Arm, Grid, load_grid
from ablation.study.resolved import load_resolved
from ablation.study.run_metrics import RunMetrics, read_metrics
from ablation.words.catalogue import LANGUAGES

SERIES = ("loss", "learning_rate", "grad_norm")
NUMBERED = ("data.", "optimisation.", "cost.")  # sections of metrics.json, beside the scores


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A finished run.

    Attributes:
        id: Of what it measured: the same run measured anew has another.
        arm: The arm that it belongs to: its group.
        arms: All arms that share it.
        variant: The name of the arm's results.
        seed: Its seed.
        status: "completed" or "diverged".
        settings: Its effective settings, as short texts.
        series: Of each of `SERIES` its values, as (step, value); what is not finite is left out.
        scores: Numbers of metrics.json, dotted: "quality.eval_accuracy", "cost.train_runtime".
        ended: When it ended, in seconds since 1970.
    """

    id: str
    arm: str
    arms: tuple[str, ...]
    variant: str
    seed: int
    status: str
    settings: Mapping[str, str]
    series: Mapping[str, tuple[tuple[int, float], ...]]
    scores: Mapping[str, float]
    ended: float

    @property
    def name(self) -> str:
        """What people read: "backup, seed 1"."""
        return f"{self.arm}, seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class TrackedStudy:
    """A study with its finished runs.

    Attributes:
        name: The study's name: the experiment.
        title: What the report is called.
        runs: Its runs, those of the confirmation last.
        files: Effects, metrics and reports, where they are there.
        folder: Where a tracker may keep files of its own.
    """

    name: str
    title: str
    runs: tuple[TrackedRun, ...]
    files: tuple[Path, ...]
    folder: Path


def read_tracked(results: Results) -> TrackedStudy:
    """What there is to tell of a study.

    Raises:
        UserError: the study is not resolved, or a file of it is damaged.
    """
    study = load_resolved(results)
    grids = [load_grid(results.grid(study.adaptive))]
    if results.confirmation_grid.is_file():
        grids.append(load_grid(results.confirmation_grid))
    runs: dict[tuple[str, int], TrackedRun] = {}
    for grid in grids:
        for run in _runs_of(grid, results):
            runs.setdefault((run.variant, run.seed), run)
    return TrackedStudy(
        name=study.name,
        title=study.options["title"][LANGUAGES[0]],
        runs=tuple(runs.values()),
        files=tuple(path for path in _files(results) if path.is_file()),
        folder=results.tracked,
    )


def _files(results: Results) -> Iterator[Path]:
    yield from (results.effects, results.metrics, results.verdict, results.health)
    yield from (results.report(language) for language in LANGUAGES)
    yield results.page
    yield from sorted(results.figures.glob("*.svg"))
    yield from sorted(results.recommended.glob("*"))


def _runs_of(grid: Grid, results: Results) -> Iterator[TrackedRun]:
    """The finished runs of a grid, each once, under the first arm that it belongs to."""
    arms: dict[tuple[str, int], list[Arm]] = {}
    for arm, seed, _ in grid.arm_runs():
        arms.setdefault((arm.variant, seed), []).append(arm)
    for (variant, seed), own in arms.items():
        if results.run_metrics(variant, seed).is_file():
            yield read_run(results.run(variant, seed), own)


def read_run(folder: Path, arms: Sequence[Arm]) -> TrackedRun:
    """A finished run from its folder, as a member of these arms.

    Its settings are those that it read back from what it built; where it kept none, the planned.
    """
    metrics = load_json(folder / "metrics.json")
    run = read_metrics(metrics)
    effective = folder / "effective.json"
    settings = load_json(effective) if effective.is_file() else arms[0].settings
    seal = run.seal or json.dumps(metrics, sort_keys=True)
    told = f"{run.variant}/{run.seed}/{seal}"
    return TrackedRun(
        id=hashlib.sha256(told.encode()).hexdigest()[:16],
        arm=arms[0].name,
        arms=tuple(arm.name for arm in arms),
        variant=run.variant,
        seed=run.seed,
        status=run.status,
        settings={name: text_of(value) for name, value in settings.items()},
        series=read_series(folder),
        scores=dict(numbers_of(run)),
        ended=(folder / "metrics.json").stat().st_mtime,
    )


def numbers_of(run: RunMetrics) -> Iterator[tuple[str, float]]:
    """The finite numbers of a run by dotted name; of the scores those of the selected weights."""
    scores = {f"quality.{name}": value for name, value in run.quality.scores.items()}
    told = {n: value for n, value in run.columns().items() if n.startswith(NUMBERED)}
    for name, value in (scores | told).items():
        if is_number(value) and math.isfinite(value):
            yield name, float(value)


def text_of(value: Any) -> str:
    """A setting as a parameter: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def read_series(folder: Path) -> dict[str, tuple[tuple[int, float], ...]]:
    """The series of a run, step by step, out of its folder."""
    table = load_history(folder)
    found = {}
    for name in SERIES:
        kept = table[np.isfinite(table[name])]
        if len(kept):
            found[name] = tuple(zip(kept["step"].tolist(), kept[name].tolist(), strict=True))
    return found
