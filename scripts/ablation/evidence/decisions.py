"""Decisions that results make: more seeds or not, the next step of a path, what to confirm."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from ablation.designs.design import CURRENT
from ablation.evidence import sequential
from ablation.evidence.by_row import ByRow
from ablation.evidence.contrast import planned_contrasts
from ablation.evidence.estimate import NOT_BY_ROW, measure, sequential_plan, series_of
from ablation.evidence.family import decisions
from ablation.evidence.outcomes import long_table, quantities
from ablation.evidence.recommendation import Recommendation
from ablation.evidence.reports import NO_REPORTS, Reports
from ablation.evidence.statistics import paired_arrays, wide_table
from ablation.records import to_plain
from ablation.study.adaptive import followers
from ablation.study.grid import Arm, Grid
from ablation.study.grid_file import CandidateEntry, ChosenFile, LookFile, StepFile
from ablation.study.options import MeasuredOptions, MetricOptions

CONTINUE = "continue"
ALL_DECIDED = "all_decided"
MAXIMUM_REACHED = "maximum_reached"
NOTHING_RECOMMENDED = "nothing_recommended"
RECOMMENDED = "recommended"


# --- Seeds -------------------------------------------------------------------------------------


def metric_table(runs: pd.DataFrame, metric: MetricOptions) -> pd.DataFrame:
    """The study's metric, one row for each seed and one column for each arm; higher is better.

    A diverged run counts as the worst score there is; a loss of it has no value.
    """
    table = wide_table(long_table(runs, quantities(metric)[metric["name"]]))
    return table if metric["higher_is_better"] else -table


def decide_seeds(
    grid: Grid,
    runs: pd.DataFrame,
    seeds: Sequence[int],
    study: MeasuredOptions,
    look: int,
    *,
    by_row: ByRow = NOT_BY_ROW,
    reports: Reports = NO_REPORTS,
) -> LookFile:
    """Whether more seeds are run after a look, and for which arms.

    Args:
        grid: The arms with the seeds so far.
        runs: Their table, as `metrics.collect` makes it.
        seeds: All seeds of the study, in the order in which they are used.
        study: study.yaml, of which `metric` and `sequential` are read.
        look: Which look it is, from 1.
        by_row: What the runs answered on each test row.
        reports: The reports that the study has had.
    """
    family = planned_contrasts(grid)
    measured = measure(grid, runs, study, by_row, reports)
    plan = sequential_plan(study, measured.metric, len(family), measured.history)
    assert plan is not None, "the study looks in between"
    series = series_of(measured, family)
    judged: list[dict[str, Any]] = []
    needed: set[str] = set()
    for planned, decision in zip(family, decisions([*series.values()], plan).values(), strict=True):
        if decision.status == sequential.CONTINUE:
            needed |= set(planned.weights)
        judged.append({"id": planned.id, "design": planned.design, **to_plain(decision)})
    last = look == len(plan.looks)
    stop = last or not needed
    undecided = any(c["status"] in ("continue", "undecided") for c in judged)
    reason = (MAXIMUM_REACHED if last and undecided else ALL_DECIDED) if stop else CONTINUE
    here = plan.looks[look - 1]
    return {
        "look": look,
        "n": here,
        "stop": stop,
        "reason": reason,
        "seeds": [] if stop else list(seeds[here : plan.looks[look]]),
        "arms": [] if stop else _with_followers(grid, needed),
        "family": len(family),
        "spending": plan.spending,
        "contrasts": judged,
    }


def _with_followers(grid: Grid, needed: Collection[str]) -> list[str]:
    """The arms that are needed, and those that follow one of them, in the grid's order."""
    follow = {name for name, leader in followers(grid).items() if leader in needed}
    return [arm.name for arm in grid.arms if arm.name in needed or arm.name in follow]


# --- Greedy path -------------------------------------------------------------------------------


def choose_step(
    base: Arm,
    found: Mapping[str, Arm],
    runs: pd.DataFrame,
    metric: MetricOptions,
    direction: str,
    step: int,
) -> StepFile:
    """The factor that a greedy path switches next: that with the best mean over the seeds.

    Of equals, the first in the study. Its gain is the best of several and so looks better than it
    is: it is exploratory until fresh seeds confirm it.

    Args:
        base: The arm at which the step starts.
        found: The arms it can go to, by the factor that they switch.
        runs: Their table, as `metrics.collect` makes it.
        metric: study.yaml's `metric`.
        direction: "forward" or "backward".
        step: Which step it is, from 1.
    """
    table = metric_table(runs, metric)
    compared: list[CandidateEntry] = []
    for name, arm in found.items():
        above, below, common = paired_arrays(table, arm.name, base.name)
        gains = dict(zip(common, (above - below).tolist(), strict=True))
        mean = sum(gains.values()) / len(gains) if gains else None
        values = {str(seed): value for seed, value in gains.items()}
        compared.append(
            {"factor": name, "arm": arm.name, "gain": mean, "n": len(gains), "gains": values}
        )
    measured = {c["factor"]: c["gain"] for c in compared if c["gain"] is not None}
    chosen = max(measured, key=measured.__getitem__) if measured else next(iter(found), None)
    return {
        "direction": direction,
        "step": step,
        "base": base.name,
        "on": list(base.stages),
        "chosen": chosen,
        "exploratory": True,
        "candidates": compared,
    }


# --- Confirmation ------------------------------------------------------------------------------


def choose_confirmation(recommendation: Recommendation) -> ChosenFile:
    """The arm to confirm, by its factors: the recommended one; none where none is."""
    arm = recommendation.applied
    stages = [step.factor for step in recommendation.steps] if arm != CURRENT else []
    return {
        "arm": arm,
        "stages": stages,
        "reason": RECOMMENDED if stages else NOTHING_RECOMMENDED,
    }
