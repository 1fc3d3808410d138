"""The contrasts of a study's grid, and their values seed by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from ablation.designs import DESIGNS
from ablation.designs.contrast import (
    A_A,
    ONLY,
    PLANNED,
    TOTAL,
    Contrast,
    Made,
    Notes,
    between,
)
from ablation.designs.design import ENDPOINT, SETS_OF_FACTORS
from ablation.designs.greedy_path import GREEDY_PATH
from ablation.designs.one_at_a_time import ONE_AT_A_TIME
from ablation.study.grid import Arm, Grid

DIGITS = 12


def computations(contrast: Contrast, grid: Grid) -> frozenset[tuple[str, float]]:
    """The computations that it weighs; none where it is zero by construction."""
    sums: dict[str, float] = {}
    for arm in grid.arms:
        if arm.name in contrast.weights:
            key = f"{arm.variant} {A_A if arm.name == A_A else ''}"
            sums[key] = round(sums.get(key, 0.0) + contrast.weights[arm.name], DIGITS)
    return frozenset((key, weight) for key, weight in sums.items() if weight)


def sides_of(contrast: Contrast, grid: Grid) -> tuple[str, str] | None:
    """The computations of both sides; None where it is not one against another."""
    found = dict(computations(contrast, grid))
    if sorted(found.values()) != [-1.0, 1.0]:
        return None
    first, second = sorted(found)
    return first, second


def values_of(contrasts: Sequence[Contrast], table: pd.DataFrame) -> dict[str, dict[int, float]]:
    """Each contrast's value by seed, over the seeds that all of its arms have.

    Args:
        contrasts: What to estimate.
        table: Seeds by arms, the value of one quantity.
    """
    arms = list(dict.fromkeys(arm for c in contrasts for arm in c.weights))
    wide = table.reindex(columns=arms)
    weights = np.array([[c.weights.get(arm, 0.0) for arm in arms] for c in contrasts])
    values = wide.fillna(0.0).to_numpy() @ weights.reshape(-1, len(arms)).T
    lacking = wide.isna().to_numpy() @ (weights != 0).reshape(-1, len(arms)).T
    return {
        contrast.id: {
            int(seed): float(value)
            for seed, value, lacks in zip(wide.index, column, gaps, strict=True)
            if not lacks
        }
        for contrast, column, gaps in zip(contrasts, values.T, lacking.T, strict=True)
    }


def distinct(contrasts: Iterable[Contrast], grid: Grid) -> dict[str, str]:
    """The first contrast that asks the same of the same runs, by id; itself where it is the first.

    Left out are those that are zero by construction: an arm against itself.
    """
    first: dict[frozenset[tuple[str, float]], str] = {}
    found = {}
    for contrast in contrasts:
        moved = computations(contrast, grid)
        if moved:
            found[contrast.id] = first.setdefault(moved, contrast.id)
    return found


def planned_contrasts(grid: Grid) -> list[Contrast]:
    """The contrasts that share the error of the study, each hypothesis once, as first asked."""
    planned = [c for c in contrasts_of(grid) if c.role in PLANNED]
    kept = set(distinct(planned, grid).values())
    return [contrast for contrast in planned if contrast.id in kept]


def contrasts_of(grid: Grid) -> list[Contrast]:
    """Everything a study estimates: the staged path first, then what its other designs ask."""
    return [
        contrast
        for name, design in DESIGNS.items()
        if facts_of(grid, name) is not None
        for contrast in design.contrasts(made_of(grid, name))
    ] + _other_totals(grid)


def made_of(grid: Grid, design: str) -> Made:
    """What has come of a design in the grid."""
    return Made(
        facts=facts_of(grid, design) or {},
        cells=cells_of(grid, design),
        path=[(arm.name, arm.stage) for arm in path_arms(grid)],
        arms=frozenset(arm.name for arm in grid.arms),
    )


def candidate_arms(grid: Grid) -> list[Arm]:
    """The arms that may be recommended: sets of the path's factors that a design asked for.

    Current is among them. What only a greedy path came to was not planned before its results. Of
    arms of the same runs, an end of the path, then the first.
    """
    factors = set(path_arms(grid)[-1].stages)
    planned = [
        arm
        for arm in grid.arms
        if arm.kind in SETS_OF_FACTORS
        and set(arm.stages) <= factors
        and set(arm.designs) != {GREEDY_PATH}
    ]
    found: dict[str, Arm] = {}
    for arm in sorted(planned, key=lambda arm: arm.kind != ENDPOINT):
        found.setdefault(arm.variant, arm)
    return [arm for arm in planned if found[arm.variant] is arm]


def _other_totals(grid: Grid) -> list[Contrast]:
    """The candidates beside the path against current, where no other contrast is the same."""
    first = path_arms(grid)[0]
    on_path = {arm.name for arm in path_arms(grid)}
    return [
        between(f"total:{arm.name}", TOTAL, (arm.name, first.name), design=arm.designs[0])
        for arm in candidate_arms(grid)
        if arm.name not in on_path and not (ONE_AT_A_TIME in arm.designs and arm.kind == ONLY)
    ]


def path_arms(grid: Grid) -> list[Arm]:
    """The arms of the staged path in order: current, the stages, backup."""
    return [arm for arm in grid.arms if "staged" in arm.designs]


def facts_of(grid: Grid, design: str) -> Notes | None:
    """What grid.json says of one of the study's designs; None where the study has not got it."""
    return next((d for d in grid.designs if d["design"] == design), None)


def cells_of(grid: Grid, design: str) -> dict[frozenset[str], str]:
    """The names of a design's arms by the set of factors that is switched on."""
    return {frozenset(arm.stages): arm.name for arm in grid.arms if design in arm.designs}


def lacking_cells(grid: Grid, design: str) -> list[frozenset[str]]:
    """The cells of a design that have no arm, where it needs all of them to estimate anything."""
    facts, every = facts_of(grid, design), DESIGNS[design].every_cell
    if facts is None or every is None:
        return []
    arms = cells_of(grid, design)
    return [cell for cell in every(facts["factors"]) if cell not in arms]


def lost_seeds(
    contrast: Contrast, values: Mapping[int, float], diverged: set[tuple[str, int]]
) -> int:
    """On how many seeds a contrast has no value because a run of it diverged."""
    return len({seed for arm, seed in diverged if arm in contrast.weights and seed not in values})
