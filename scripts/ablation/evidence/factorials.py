"""What the factorial and fractional designs of a study say of each factor, with its evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ablation.designs import fractions
from ablation.evidence import attribution, claims, inference, statistics
from ablation.evidence.contrasts import cells_of, facts_of
from ablation.evidence.families import Evidence, Series

FACTORIAL, FRACTIONAL = "factorial", "fractional"
BETWEEN = "×"


@dataclass(frozen=True)
class FactorTable:
    """A design's cells as improvements: higher is better.

    Attributes:
        design: "factorial" or "fractional".
        factors: Their names.
        cells: The factors that are on, in the order of the columns of `values`.
        values: Array (seeds, cells), the seeds that every cell has.
        seeds: These seeds.
        lacking: Cells that the study has no arm for: nothing is estimated then.
    """

    design: str
    factors: tuple[str, ...]
    cells: tuple[frozenset[str], ...]
    values: np.ndarray
    seeds: tuple[int, ...]
    lacking: tuple[frozenset[str], ...]

    def series(self) -> list[Series]:
        """One planned series for each factor: its Shapley value, or its main effect."""
        if self.lacking:
            return []
        if self.design == FACTORIAL:
            found = attribution.shapley_values(self.values)
            names = [f"shapley:{name}" for name in self.factors]
        else:
            chains = [[(1, (i,))] for i in range(len(self.factors))]
            found = fractions.chain_effects(self.values, self.matrix, chains)
            names = [f"main:{name}" for name in self.factors]
        return self._columns(names, found)

    def secondary(self) -> list[Series]:
        """The interactions: of pairs, or of the chains that the cells cannot tell apart.

        Both are what two factors do beyond the sum of each, which is twice the effect of a product
        of -1 and +1.
        """
        if self.lacking or len(self.factors) < 2:
            return []
        if self.design == FACTORIAL:
            pairs = combinations(self.factors, 2)
            names = [f"interaction:{BETWEEN.join(pair)}" for pair in pairs]
            return self._columns(names, attribution.shapley_interactions(self.values))
        chains = self.chains()
        names = [f"chain:{fractions.chain_name(c, self.factors)}" for c in chains]
        effects = fractions.chain_effects(self.values, self.matrix, chains)
        return self._columns(names, 2 * effects)

    @property
    def matrix(self) -> np.ndarray:
        """The cells as -1 and +1."""
        return fractions.design_of(self.cells, self.factors)

    def chains(self) -> list[list[tuple[int, fractions.Word]]]:
        """The alias chains of two-factor interactions."""
        every = fractions.alias_chains(self.matrix)
        return [chain for chain in every if len(chain[0][1]) == 2]

    def _columns(self, names: Sequence[str], values: np.ndarray) -> list[Series]:
        return [
            Series(name, dict(zip(self.seeds, column.tolist(), strict=True)), True)
            for name, column in zip(names, values.T, strict=True)
        ]


def tables_of(
    grid: Mapping[str, Any], table: pd.DataFrame, higher_is_better: bool
) -> list[FactorTable]:
    """The factor tables of the study's factorial and fractional designs.

    Args:
        grid: grid.json.
        table: The metric, seeds by arms.
        higher_is_better: Its direction.
    """
    found = []
    for design in (FACTORIAL, FRACTIONAL):
        facts = facts_of(grid, design)
        if facts is None:
            continue
        factors = tuple(facts["factors"])
        every = attribution.all_cells if design == FACTORIAL else fractions.fraction_cells
        wanted, arms = every(factors), cells_of(grid, design)
        lacking = tuple(cell for cell in wanted if cell not in arms)
        have = [cell for cell in wanted if cell in arms]
        rows = table.reindex(columns=[arms[cell]["arm"] for cell in have]).dropna()
        sign = 1.0 if higher_is_better else -1.0
        seeds = tuple(int(seed) for seed in rows.index)
        values = sign * rows.to_numpy()
        found.append(FactorTable(design, factors, tuple(have), values, seeds, lacking))
    return found


def evidence_dict(series: Series, evidence: Evidence, delta: float) -> dict[str, Any]:
    """What every effect says of its tests: family, simultaneous interval, equivalence."""
    found = evidence.as_dict()
    tests = ("method", "size", "p", "p_adjusted", "sign_flip_p", "sign_flip_p_adjusted")
    family = {key: found[key] for key in (*tests, "max_t_p", "floor", "seeds_for_floor")}
    n = len(series.values)
    words = inference.floor_in_words(n, comparisons=evidence.size) if n else None
    return {
        "family": {**family, "floor_in_words": words, "significant": evidence.significant},
        "simultaneous": {
            "low": evidence.low,
            "high": evidence.high,
            "confidence": evidence.confidence,
        },
        "tost": {
            "p": evidence.equivalence_p,
            "delta": delta,
            "equivalent": evidence.equivalent,
        },
    }


def describe(
    tables: Sequence[FactorTable],
    primary: Mapping[str, Evidence],
    secondary: Mapping[str, Evidence],
    metric: Mapping[str, Any],
) -> dict[str, Any]:
    """The keys `shapley`, `interactions`, `factorial` and `fractional` of effects.json."""
    full = next((t for t in tables if t.design == FACTORIAL), None)
    part = next((t for t in tables if t.design == FRACTIONAL), None)
    shapley, interactions = [], []
    if full is not None and not full.lacking:
        effects = _effects(full.series(), primary, metric, full)
        shapley = [{"factor": name, **one} for name, one in zip(full.factors, effects, strict=True)]
        effects = _effects(full.secondary(), secondary, metric)
        pairs = combinations(full.factors, 2)
        interactions = [
            {"pair": list(pair), **one} for pair, one in zip(pairs, effects, strict=True)
        ]
    return {
        "shapley": shapley,
        "interactions": interactions,
        "factorial": _table(full) if full else None,
        "fractional": _fractional(part, primary, secondary, metric) if part else None,
    }


def _table(table: FactorTable) -> dict[str, Any]:
    return {
        "factors": list(table.factors),
        "seeds": list(table.seeds),
        "cells": len(table.cells),
        "lacking": [sorted(cell) for cell in table.lacking],
    }


def _fractional(
    table: FactorTable,
    primary: Mapping[str, Evidence],
    secondary: Mapping[str, Evidence],
    metric: Mapping[str, Any],
) -> dict[str, Any]:
    found = {**_table(table), "effects": [], "chains": []}
    if table.lacking:
        return found
    words = fractions.defining_words(table.matrix)
    main = _effects(table.series(), primary, metric)
    chains = _effects(table.secondary(), secondary, metric)
    return {
        **found,
        "resolution": fractions.resolution(table.matrix),
        "defining_words": [BETWEEN.join(table.factors[i] for i in word) for word in words],
        "effects": [
            {"factor": name, "aliases": aliases, **one}
            for name, aliases, one in zip(table.factors, _main_aliases(table), main, strict=True)
        ],
        "chains": [
            {"aliases": _members(chain, table.factors), **one}
            for chain, one in zip(table.chains(), chains, strict=True)
        ],
    }


def _main_aliases(table: FactorTable) -> list[list[str]]:
    """What each main effect is confounded with, up to three factors: none of two, by design."""
    chains = fractions.alias_chains(table.matrix, order=3)
    own = {chain[0][1]: chain[1:] for chain in chains}
    return [_members(own.get((i,), []), table.factors) for i in range(len(table.factors))]


def _members(chain: Sequence[tuple[int, fractions.Word]], factors: Sequence[str]) -> list[str]:
    return [
        ("" if sign > 0 else "-") + BETWEEN.join(factors[i] for i in word) for sign, word in chain
    ]


def _effects(
    series: Sequence[Series],
    evidence: Mapping[str, Evidence],
    metric: Mapping[str, Any],
    whole: FactorTable | None = None,
) -> list[dict[str, Any]]:
    """Each series as an effect; with the table of a factorial, its share of the whole, too."""
    found = []
    for one in series:
        estimate, own = one.estimate, evidence[one.id]
        impact = claims.judge_impact(estimate, metric["delta"], claims.multiples_of(metric), own)
        found.append(
            {
                "id": one.id,
                "improvement": estimate.as_dict(),
                "values": {str(seed): value for seed, value in one.values.items()},
                **evidence_dict(one, own, metric["delta"]),
                "impact": {**asdict(impact), "possible": list(impact.possible)},
                "probability_of_improvement": inference.probability_of_improvement(
                    list(one.values.values())
                ).as_dict(),
                "share": _share(one, whole) if whole is not None else None,
            }
        )
    return found


def _share(one: Series, table: FactorTable) -> dict[str, float] | None:
    """The factor's share of what all factors do together, where that is surely not zero."""
    if len(table.values) < 2:
        return None
    whole = table.values[:, -1] - table.values[:, 0]
    part = list(one.values.values())
    interval = statistics.ratio_interval(part, whole)
    if interval is None:
        return None
    estimate = float(np.mean(part) / whole.mean())
    return {"estimate": estimate, "low": interval[0], "high": interval[1], "n": len(part)}
