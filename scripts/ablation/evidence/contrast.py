"""What is estimated: weighted sums of arms, seed by seed.

A step of the path, the gap, a factor alone, a Shapley value, a main effect, an interaction, a step
of a greedy path and a control are all of this form. What differs is only the weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd

from ablation.designs import fractions
from ablation.designs.design import BACKUP, CELL, CURRENT, ENDPOINT
from ablation.designs.one_at_a_time import ONE_AT_A_TIME
from ablation.evidence import attribution
from ablation.study.grid import Arm, Grid

STAGE, REMAINDER, GAP, TOTAL = "stage", "remainder", "gap", "total"
ONLY, WITHOUT, SHAPLEY, MAIN = "only", "without", "shapley", "main"
INTERACTION, CHAIN = "interaction", "chain"
GREEDY, GREEDY_DIFFERENCE, TUNING, A_A = "greedy", "greedy_difference", "tuning", "a_a"
EQUAL_COMPUTE, COMPUTE_ALONE = "equal_compute", "compute_alone"

# Planned before any result and read as evidence: they share the error of the study. Totals are the
# arms that may be recommended, against current. Interactions are a second question, and a family
# of their own. The others check (controls) or explore (greedy path, tuning).
PLANNED = (STAGE, REMAINDER, GAP, TOTAL, ONLY, WITHOUT, SHAPLEY, MAIN)
SECONDARY = (INTERACTION, CHAIN)
SETS_OF_FACTORS = (ENDPOINT, STAGE, ONLY, WITHOUT, CELL)  # kinds of arms
BETWEEN = "×"
DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A weighted sum of arms, seed by seed, that is zero where nothing differs.

    Attributes:
        id: Its role and what it is about: "stage:epochs", "shapley:epochs", "gap".
        role: One of the roles above.
        factor: The stage or factor that it is about; of an interaction, its factors joined by "×".
        design: The design that asks for it.
        weights: The arms, each with its weight; the weights add up to zero.
    """

    id: str
    role: str
    factor: str | None
    design: str
    weights: Mapping[str, float]

    @property
    def pair(self) -> tuple[str, str] | None:
        """The arm and its reference, where it is one arm minus another."""
        if sorted(self.weights.values()) != [-1.0, 1.0]:
            return None
        reference, arm = sorted(self.weights, key=self.weights.__getitem__)
        return arm, reference

    def computations(self, grid: Grid) -> frozenset[tuple[str, float]]:
        """The computations that it weighs; none where it is zero by construction."""
        sums: dict[str, float] = {}
        for arm in grid.arms:
            if arm.name in self.weights:
                key = f"{arm.variant} {A_A if arm.name == A_A else ''}"
                sums[key] = round(sums.get(key, 0.0) + self.weights[arm.name], DIGITS)
        return frozenset((key, weight) for key, weight in sums.items() if weight)


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
        moved = contrast.computations(grid)
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
        *_of_path(grid),
        *_singles(grid, "one_at_a_time", ONLY),
        *_singles(grid, "leave_one_out", WITHOUT),
        *_greedy(grid),
        *_tuning(grid),
        *_controls(grid),
        *_factorial(grid),
        *_fractional(grid),
        *_other_totals(grid),
    ]


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
        and set(arm.designs) != {"greedy_path"}
    ]
    found: dict[str, Arm] = {}
    for arm in sorted(planned, key=lambda arm: arm.kind != ENDPOINT):
        found.setdefault(arm.variant, arm)
    return [arm for arm in planned if found[arm.variant] is arm]


def path_arms(grid: Grid) -> list[Arm]:
    """The arms of the staged path in order: current, the stages, backup."""
    return [arm for arm in grid.arms if "staged" in arm.designs]


def facts_of(grid: Grid, design: str) -> Mapping[str, Any] | None:
    """What grid.json says of one of the study's designs; None where the study has not got it."""
    return next((d for d in grid.designs if d["design"] == design), None)


def cells_of(grid: Grid, design: str) -> dict[frozenset[str], str]:
    """The names of a design's arms by the set of factors that is switched on."""
    return {frozenset(arm.stages): arm.name for arm in grid.arms if design in arm.designs}


def lacking_cells(grid: Grid, design: str) -> list[frozenset[str]]:
    """The cells of a factorial or fractional design that have no arm: then nothing is estimated."""
    facts = facts_of(grid, design)
    if facts is None:
        return []
    every = attribution.all_cells if design == "factorial" else fractions.fraction_cells
    arms = cells_of(grid, design)
    return [cell for cell in every(facts["factors"]) if cell not in arms]


def _between(
    name: str,
    role: str,
    arms: tuple[str, str],
    factor: str | None = None,
    *,
    design: str = "staged",
) -> Contrast:
    arm, reference = arms
    return Contrast(
        id=name, role=role, factor=factor, design=design, weights={arm: 1.0, reference: -1.0}
    )


def _of_path(grid: Grid) -> list[Contrast]:
    """Stages against the arm before, remainder, whole gap, and each stage arm against current."""
    path = path_arms(grid)
    found = []
    for before, arm in pairwise(path):
        pair = arm.name, before.name
        if arm is path[-1]:
            found.append(_between(REMAINDER, REMAINDER, pair))
        else:
            found.append(_between(f"stage:{arm.stage}", STAGE, pair, arm.stage))
    first, last = path[0].name, path[-1].name
    found.append(_between(GAP, GAP, (last, first)))
    return found + [
        _between(f"total:{arm.name}", TOTAL, (arm.name, first), arm.stage) for arm in path[1:-1]
    ]


def _other_totals(grid: Grid) -> list[Contrast]:
    """The candidates beside the path against current, where no other contrast is the same."""
    first = path_arms(grid)[0]
    on_path = {arm.name for arm in path_arms(grid)}
    return [
        _between(f"total:{arm.name}", TOTAL, (arm.name, first.name), design=arm.designs[0])
        for arm in candidate_arms(grid)
        if arm.name not in on_path and not (ONE_AT_A_TIME in arm.designs and arm.kind == ONLY)
    ]


def _singles(grid: Grid, design: str, role: str) -> list[Contrast]:
    """Each factor alone against none, or all factors against all but this one."""
    facts, found = facts_of(grid, design), []
    if facts is None:
        return []
    arms, every = cells_of(grid, design), frozenset(facts["factors"])
    for name in facts["factors"]:
        alone = frozenset([name]), frozenset()
        high, low = alone if role == ONLY else (every, every - {name})
        if high in arms and low in arms:
            pair = arms[high], arms[low]
            found.append(_between(f"{role}:{name}", role, pair, name, design=design))
    return found


def _greedy(grid: Grid) -> list[Contrast]:
    """The steps of the greedy paths, each as what switching its factor on does.

    And where both directions have a factor's step, what the step does more forward than backward.
    """
    facts, steps = facts_of(grid, "greedy_path"), []
    named = {arm.name for arm in grid.arms}
    for direction, path in ((facts or {}).get("paths") or {}).items():
        every = cells_of(grid, "greedy_path").get(frozenset(facts["factors"]), BACKUP)
        before = CURRENT if direction == "forward" else every
        for step in path:
            after = step["arm"]
            if after not in named:
                break
            pair = (after, before) if direction == "forward" else (before, after)
            name = f"greedy:{direction}:{step['factor']}"
            steps.append(_between(name, GREEDY, pair, step["factor"], design="greedy_path"))
            before = after
    return [*steps, *_greedy_differences(steps)]


def _greedy_differences(steps: Sequence[Contrast]) -> list[Contrast]:
    named = {step.id: step for step in steps}
    found = []
    for factor in dict.fromkeys(step.factor for step in steps):
        ways = [named.get(f"greedy:{way}:{factor}") for way in ("forward", "backward")]
        if None in ways:
            continue
        forward, backward = (way.weights for way in ways if way is not None)
        weights = {a: forward.get(a, 0.0) - backward.get(a, 0.0) for a in {**forward, **backward}}
        found.append(
            Contrast(
                id=f"{GREEDY_DIFFERENCE}:{factor}",
                role=GREEDY_DIFFERENCE,
                factor=factor,
                design="greedy_path",
                weights=weights,
            )
        )
    return found


def _tuning(grid: Grid) -> list[Contrast]:
    facts = facts_of(grid, "grid")
    if facts is None:
        return []
    base = facts["base"]
    return [
        _between(f"tuning:{name}", TUNING, (name, base), design="grid")
        for name in facts["arms"]
        if name != base
    ]


def _controls(grid: Grid) -> list[Contrast]:
    """A/A, and each step split into its effect at equal compute and what compute alone does."""
    named, found = {arm.name for arm in grid.arms}, []
    if A_A in named:
        found.append(_between(A_A, A_A, (A_A, CURRENT), design=A_A))
    for control in (facts_of(grid, "compute_matched") or {}).get("controls", []):
        if not all(control[key] in named for key in ("arm", "before", "control")):
            continue
        step, matched = control["step"], control["control"]
        for role, pair in (
            (EQUAL_COMPUTE, (control["arm"], matched)),
            (COMPUTE_ALONE, (matched, control["before"])),
        ):
            found.append(_between(f"{role}:{step}", role, pair, step, design="compute_matched"))
    return found


def _factorial(grid: Grid) -> list[Contrast]:
    """Shapley values and pairwise interactions over a full table of cells."""
    facts = facts_of(grid, "factorial")
    if facts is None or lacking_cells(grid, "factorial"):
        return []
    factors, cells = facts["factors"], cells_of(grid, "factorial")
    arms = [cells[cell] for cell in attribution.all_cells(factors)]
    pairs = [BETWEEN.join(pair) for pair in combinations(factors, 2)]
    weighed = (
        (SHAPLEY, factors, attribution.shapley_weights(len(factors))),
        (INTERACTION, pairs, attribution.interaction_weights(len(factors))),
    )
    return [
        _weighed(role, name, "factorial", dict(zip(arms, row.tolist(), strict=True)))
        for role, names, rows in weighed
        for name, row in zip(names, rows, strict=True)
    ]


def _fractional(grid: Grid) -> list[Contrast]:
    """Main effects, and the chains of interactions that the fraction cannot tell apart.

    The mean of the cells at plus minus that of the cells at minus; of a chain twice that, which is
    what two factors do beyond the sum of each.
    """
    facts = facts_of(grid, "fractional")
    if facts is None or lacking_cells(grid, "fractional"):
        return []
    factors, cells = facts["factors"], cells_of(grid, "fractional")
    ordered = fractions.fraction_cells(factors)
    matrix = fractions.design_of(ordered, factors)
    mains = [(MAIN, name, (i,), 2.0) for i, name in enumerate(factors)]
    chains = [
        (CHAIN, fractions.chain_name(chain, factors), chain[0][1], 4.0)
        for chain in interaction_chains(matrix)
    ]
    found = []
    for role, name, word, size in (*mains, *chains):
        signs = size * fractions.column(matrix, word) / len(ordered)
        weights = {cells[cell]: w for cell, w in zip(ordered, signs.tolist(), strict=True)}
        found.append(_weighed(role, name, "fractional", weights))
    return found


def interaction_chains(matrix: np.ndarray) -> list[list[tuple[int, fractions.Word]]]:
    """The alias chains of two-factor interactions of a fraction's cells, coded -1 and +1."""
    return [chain for chain in fractions.alias_chains(matrix) if len(chain[0][1]) == 2]


def _weighed(role: str, name: str, design: str, weights: Mapping[str, float]) -> Contrast:
    return Contrast(
        id=f"{role}:{name}", role=role, factor=name, design=design, weights=dict(weights)
    )
