"""Decisions that results make: more seeds or not, the next step of a path, what to confirm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from ablation.designs.design import BACKUP, CURRENT, REMAINDER
from ablation.designs.factorial import FACTORIAL
from ablation.designs.fractional import FRACTIONAL
from ablation.designs.leave_one_out import LEAVE_ONE_OUT
from ablation.designs.one_at_a_time import ONE_AT_A_TIME
from ablation.designs.staged import STAGED
from ablation.evidence import attribution, sequential
from ablation.evidence.outcomes import long_table, quantities
from ablation.evidence.statistics import wide_table
from ablation.study.adaptive import followers
from ablation.study.grid import Arm, Grid

SPENDINGS = {"obf": sequential.OBRIEN_FLEMING, "pocock": sequential.POCOCK}
DIGITS = 12
CONTINUE = "continue"
ALL_DECIDED = "all_decided"
MAXIMUM_REACHED = "maximum_reached"
NOTHING_RECOMMENDED = "nothing_recommended"
RECOMMENDED = "recommended"


@dataclass(frozen=True)
class Planned:
    """A contrast that was planned before any result: a weighted sum of arms, seed by seed.

    Attributes:
        id: "stage:<name>", "remainder", "gap", "only:<name>", "without:<name>", "shapley:<name>"
            or "main:<name>".
        design: The design that it belongs to.
        weights: The arms that it needs, each with its weight.
    """

    id: str
    design: str
    weights: dict[str, float]


def planned_contrasts(grid: Grid) -> list[Planned]:
    """The contrasts that share the error of the study, in the order of its designs.

    The same arms asked for by two designs are one hypothesis, and stand here once, as the first
    asks. Left out: contrasts of an arm with itself (equal arms), designs of which an arm cannot
    run, and all that is exploratory (tuning, controls, greedy paths).
    """
    facts = {design["design"]: design for design in grid.designs}
    found = _of_path(grid)
    if ONE_AT_A_TIME in facts:
        found += _singles(grid, facts[ONE_AT_A_TIME], "only")
    if LEAVE_ONE_OUT in facts:
        found += _singles(grid, facts[LEAVE_ONE_OUT], "without")
    if FACTORIAL in facts:
        found += _shapley(grid, facts[FACTORIAL])
    if FRACTIONAL in facts:
        found += _main_effects(grid, facts[FRACTIONAL])
    variants = {arm.name: arm.variant for arm in grid.arms}
    once: dict[frozenset[tuple[str, float]], Planned] = {}
    for planned in found:
        moved = _moved(planned, variants)
        if moved:
            once.setdefault(moved, planned)
    return list(once.values())


def _moved(planned: Planned, variants: Mapping[str, str]) -> frozenset[tuple[str, float]]:
    """The computations that the contrast weighs; none where it is zero by construction."""
    sums: dict[str, float] = {}
    for arm, weight in planned.weights.items():
        sums[variants[arm]] = round(sums.get(variants[arm], 0.0) + weight, DIGITS)
    return frozenset((variant, weight) for variant, weight in sums.items() if weight)


def _of_path(grid: Grid) -> list[Planned]:
    path = [arm for arm in grid.arms if STAGED in arm.designs]
    found = []
    for before, arm in pairwise(path):
        name = f"stage:{arm.stage}" if arm.stage else REMAINDER
        found.append(Planned(name, STAGED, {arm.name: 1.0, before.name: -1.0}))
    return [*found, Planned("gap", STAGED, {BACKUP: 1.0, CURRENT: -1.0})]


def _by_set(grid: Grid, design: str) -> dict[frozenset[str], Arm]:
    return {frozenset(arm.stages): arm for arm in grid.arms if design in arm.designs}


def _singles(grid: Grid, facts: Mapping[str, Any], kind: str) -> list[Planned]:
    arms = _by_set(grid, facts["design"])
    every = frozenset(facts["factors"])
    found = []
    for name in facts["factors"]:
        alone = kind == "only"
        pair = (frozenset([name]), frozenset()) if alone else (every, every - {name})
        if all(on in arms for on in pair):
            high, low = (arms[on].name for on in pair)
            found.append(Planned(f"{kind}:{name}", facts["design"], {high: 1.0, low: -1.0}))
    return found


def _shapley(grid: Grid, facts: Mapping[str, Any]) -> list[Planned]:
    arms, factors = _by_set(grid, FACTORIAL), facts["factors"]
    cells = attribution.all_cells(factors)
    if not all(cell in arms for cell in cells):
        return []
    weights = attribution.shapley_weights(len(factors))
    return [
        Planned(
            f"shapley:{name}",
            FACTORIAL,
            {arms[cell].name: float(w) for cell, w in zip(cells, weights[row], strict=True)},
        )
        for row, name in enumerate(factors)
    ]


def _main_effects(grid: Grid, facts: Mapping[str, Any]) -> list[Planned]:
    arms = _by_set(grid, FRACTIONAL)
    if len(arms) < len(facts["arms"]) or any(FRACTIONAL in lost.designs for lost in grid.left_out):
        return []
    size = 2.0 / len(arms)
    return [
        Planned(
            f"main:{name}",
            FRACTIONAL,
            {arm.name: size if name in cell else -size for cell, arm in arms.items()},
        )
        for name in facts["factors"]
    ]


# --- Seeds -------------------------------------------------------------------------------------


def metric_table(runs: pd.DataFrame, metric: Mapping[str, Any]) -> pd.DataFrame:
    """The study's metric, one row for each seed and one column for each arm; higher is better.

    A diverged run counts as the worst value there is.
    """
    table = wide_table(long_table(runs, quantities(metric)[metric["name"]]))
    return table if metric["higher_is_better"] else -table


def improvements(table: pd.DataFrame, planned: Planned) -> dict[int, float]:
    """Each seed's value of a contrast, over the seeds that all its arms have.

    Rounded to what is no artefact of binary fractions: counts of test rows often differ by the
    same number on every seed, and that is no spread, not one of 1e-17.
    """
    wide = table.reindex(columns=list(planned.weights)).dropna()
    sums = (wide.to_numpy() @ list(planned.weights.values())).round(DIGITS)
    return {int(seed): float(value) for seed, value in zip(wide.index, sums, strict=True)}


def decide_seeds(
    grid: Grid,
    runs: pd.DataFrame,
    seeds: Sequence[int],
    options: Mapping[str, Any],
    metric: Mapping[str, Any],
    look: int,
) -> dict[str, Any]:
    """Whether more seeds are run after a look, and for which arms.

    Args:
        grid: The arms with the seeds so far.
        runs: Their table, as `metrics.collect` makes it.
        seeds: All seeds of the study, in the order in which they are used.
        options: study.yaml's `sequential`.
        metric: study.yaml's `metric`.
        look: Which look it is, from 1.
    """
    family = planned_contrasts(grid)
    plan = sequential.Plan(
        tuple(options["looks"]),
        float(options["alpha"]),
        SPENDINGS[options["spending"]],
        float(metric["delta"]),
        len(family),
    )
    table = metric_table(runs, metric)
    judged, needed = [], set()
    for planned in family:
        values = improvements(table, planned)
        ordered = {seed: values[seed] for seed in seeds if seed in values}
        decision = sequential.decide(ordered, plan)
        if decision.status == sequential.CONTINUE:
            needed |= set(planned.weights)
        judged.append({"id": planned.id, "design": planned.design, **decision.as_dict()})
    last = look == len(plan.looks)
    stop = last or not needed
    undecided = any(c["status"] in ("continue", "undecided") for c in judged)
    reason = (MAXIMUM_REACHED if last and undecided else ALL_DECIDED) if stop else CONTINUE
    follow = [name for name, leader in followers(grid).items() if leader in needed]
    arms = [arm.name for arm in grid.arms if arm.name in needed or arm.name in follow]
    here = plan.looks[look - 1]
    return {
        "look": look,
        "n": here,
        "stop": stop,
        "reason": reason,
        "seeds": [] if stop else list(seeds[here : plan.looks[look]]),
        "arms": [] if stop else arms,
        "family": len(family),
        "contrasts": judged,
    }


# --- Greedy path -------------------------------------------------------------------------------


def choose_step(
    base: Arm,
    found: Mapping[str, Arm],
    runs: pd.DataFrame,
    metric: Mapping[str, Any],
    direction: str,
    step: int,
) -> dict[str, Any]:
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
    table, compared = metric_table(runs, metric), []
    for name, arm in found.items():
        gains = improvements(table, Planned(name, "", {arm.name: 1.0, base.name: -1.0}))
        mean = sum(gains.values()) / len(gains) if gains else None
        values = {str(seed): value for seed, value in gains.items()}
        compared.append(
            {"factor": name, "arm": arm.name, "gain": mean, "n": len(gains), "gains": values}
        )
    measured = [c for c in compared if c["gain"] is not None]
    chosen = max(measured, key=lambda c: c["gain"])["factor"] if measured else None
    return {
        "direction": direction,
        "step": step,
        "base": base.name,
        "on": list(base.stages),
        "chosen": chosen if chosen is not None else next(iter(found), None),
        "exploratory": True,
        "candidates": compared,
    }


# --- Confirmation ------------------------------------------------------------------------------


def choose_confirmation(effects: Mapping[str, Any], recommended: str, grid: Grid) -> dict[str, Any]:
    """The factors to confirm: those of the recommended arm without the ones that do nothing.

    Args:
        effects: The contents of effects.json.
        recommended: The arm that the report recommends.
        grid: The arms that were measured.
    """
    arm = next(arm for arm in grid.arms if arm.name == recommended)
    nothing = {
        REMAINDER if contrast["kind"] == REMAINDER else contrast["stage"]
        for contrast in effects["contrasts"]
        if contrast["kind"] in ("stage", REMAINDER) and contrast["impact"]["level"] == "NONE"
    }
    stages = [name for name in arm.stages if name not in nothing]
    return {
        "arm": recommended,
        "stages": stages,
        "without": [name for name in arm.stages if name in nothing],
        "reason": RECOMMENDED if stages else NOTHING_RECOMMENDED,
    }
