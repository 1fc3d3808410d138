"""`ablation status`: how far a study is, from another shell, from the files that runs write."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablation.command.studies import find_study
from ablation.command.words import Parser
from ablation.errors import UserError
from ablation.evidence.look import Glance, Metric, look, read_metric, staged_pairs, value_of
from ablation.files import load_record
from ablation.machine.progress import (
    DIVERGED,
    DONE,
    FAILED,
    RUNNING,
    STOPPED,
    WAITING,
    Progress,
    Run,
    read_progress,
)
from ablation.results import Results
from ablation.words.catalogue import Messages
from ablation.words.terminal import cut, table

MOST_LINES = 20  # of running runs, and of failed ones
ARM_COLUMNS = 40


@dataclass(frozen=True, kw_only=True)
class Status:
    """What is known of a study while it runs.

    Attributes:
        study: Its name.
        progress: How far its runs are.
        metric: What effects are in.
        effects: The effects of the runs that are there.
    """

    study: str
    progress: Progress
    metric: Metric
    effects: list[Glance]


def add_arguments(parser: Parser) -> None:
    """The arguments of `ablation status`."""
    parser.option("study")
    parser.option("--json", action="store_true")
    parser.option("--results", default="results")


def main(args: argparse.Namespace, t: Messages) -> int:
    """Print how far the study is."""
    status = read_status(find_study(args.study), Path(args.results), t)
    if args.json:
        print(json.dumps(as_json(status), indent=1, ensure_ascii=False))
    else:
        print("\n".join(status_lines(status, t)))
    return 0


def read_status(study: Path, results: Path, t: Messages) -> Status:
    """How far a study is.

    Args:
        study: study.yaml.
        results: The folder of all results.
        t: The command's texts.

    Raises:
        UserError: nothing of it has begun.
    """
    name = study.absolute().parent.name
    files = begun_results(name, results, t)
    progress = read_progress(files)
    metric = read_metric(study)
    grid = load_record(files.planned_grid)
    values: dict[str, dict[int, float]] = {}
    fresh = files.confirmation_grid  # its seeds judge what the others chose
    apart = set(load_record(fresh)["seeds"]) if fresh.is_file() else set()
    for run in progress.runs:
        if run.seed in apart:
            continue
        value = value_of(run.measured, metric) if run.measured else None
        for arm in run.arms if value is not None else ():
            values.setdefault(arm, {})[run.seed] = float(value or 0.0)
    effects = look(staged_pairs(grid), values, metric)
    return Status(study=name, progress=progress, metric=metric, effects=effects)


def begun_results(study: str, results: Path, t: Messages) -> Results:
    """The results of a study that has begun.

    Raises:
        UserError: nothing of it has begun.
    """
    files = Results(results / study)
    if not files.planned_grid.is_file():
        problem = t("status.not_begun", study=study)
        raise UserError(problem, found=str(files.folder), write=f"ablation run {study}")
    return files


def as_json(status: Status) -> dict[str, Any]:
    """The status as plain values; every run without its metrics."""
    progress = status.progress
    states = (DONE, DIVERGED, RUNNING, FAILED, STOPPED, WAITING)
    runs = [
        {**{k: v for k, v in vars(run).items() if k != "measured"}, "log": str(run.log)}
        | {"seconds_left": run.seconds_left}
        for run in progress.runs
    ]
    return {
        "study": status.study,
        "at_work": progress.at_work,
        "counts": {state: progress.count(state) for state in states},
        "seconds_left": progress.seconds_left,
        "runs": runs,
        "metric": asdict(status.metric),
        "effects": [asdict(effect) for effect in status.effects],
        "effects_are_a_look": True,
    }


# --- As text -------------------------------------------------------------------------------------


def status_lines(status: Status, t: Messages) -> list[str]:
    """The status for a terminal."""
    progress = status.progress
    lines = [grid_line(status.study, progress, t)]
    for state, line in ((RUNNING, run_cells), (FAILED, None), (DIVERGED, None)):
        runs = [run for run in progress.runs if run.state == state]
        if not runs:
            continue
        lines += ["", t(f"status.{state}")]
        shown = runs[:MOST_LINES]
        if line:
            lines += table([line(run, t) for run in shown], (1, 2, 3, 4, 5))
        else:
            lines += [text for run in shown for text in failed_lines(run, t)]
        if len(runs) > MOST_LINES:
            lines.append("  " + t("status.more", count=len(runs) - MOST_LINES))
    return [*lines, *_effects(status, t)]


def grid_line(study: str, progress: Progress, t: Messages) -> str:
    """One line on the whole grid: done, running, failed, left, and how long it will take."""
    left = progress.count(WAITING, STOPPED)
    parts = [t("status.done", done=progress.count(DONE, DIVERGED), runs=len(progress.runs))]
    counts = ((RUNNING, progress.count(RUNNING)), (FAILED, progress.count(FAILED)), ("left", left))
    parts += [t(f"status.count.{name}", count=count) for name, count in counts if count]
    if progress.seconds_left is not None and progress.count(RUNNING, WAITING, STOPPED):
        key = "status.eta" if progress.at_work else "status.eta_idle"
        parts.append(t(key, time=t.seconds(progress.seconds_left)))
    elif left and not progress.at_work:
        parts.append(t("status.idle"))
    return f"{study}: {', '.join(parts)}"


def run_cells(run: Run, t: Messages) -> list[str]:
    """Arm, seed, step, loss, rate and time left of a running run."""
    step = t("none") if run.step is None else t("status.step", step=run.step, steps=run.steps)
    rate = t("none") if run.rate is None else t("status.rate", rate=t.number(run.rate))
    left = t("none") if run.seconds_left is None else t.seconds(run.seconds_left)
    return [
        cut(run.arms[0], ARM_COLUMNS),
        t("status.seed", seed=run.seed),
        step,
        t("status.loss", loss=t.number(run.loss)),
        rate,
        t("status.left", time=left),
    ]


def failed_lines(run: Run, t: Messages) -> list[str]:
    """Which run failed, why, and where its log is."""
    name = t("status.run", arm=cut(run.arms[0], ARM_COLUMNS), seed=run.seed)
    reason = run.reason or t("status.diverged_reason")
    return [f"  {name}: {reason}", f"    {run.log}"]


def _effects(status: Status, t: Messages) -> list[str]:
    measured = [effect for effect in status.effects if effect.estimate is not None]
    if not measured:
        return []
    rows = [_effect(effect, status.metric.name, t) for effect in measured]
    head = t("status.effects", metric=status.metric.name)
    return ["", head, *table(rows, (1,)), *(f"  {line}" for line in _warning(measured, t))]


def _effect(effect: Glance, metric: str, t: Messages) -> list[str]:
    return [
        t("status.against", arm=cut(effect.arm, ARM_COLUMNS), reference=cut(effect.reference, 24)),
        t.difference(effect.estimate, metric),
        t.interval(effect.low, effect.high, metric),
        t("status.seeds", count=effect.seeds),
    ]


def _warning(effects: Sequence[Glance], t: Messages) -> list[str]:
    return t("status.warning", comparisons=len(effects)).splitlines()
