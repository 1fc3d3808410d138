"""Simulated studies whose truth is known: a staged path of arms with Gaussian noise.

The unit is the standard deviation of a paired difference. Arms share their seeds, and neighbours on
the path share an arm, as in a true study; what the seeds have in common cancels in the differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from ablation.evidence import families, inference, sequential
from ablation.evidence.claims import MULTIPLES, Impact, judge_impact
from ablation.evidence.families import Evidence, Series

GAP = "gap"


@dataclass(frozen=True)
class Plan:
    """What is simulated.

    Attributes:
        effects: The true effect of each stage.
        seeds: Seeds of every arm.
        studies: How many studies.
        seed: Of the generator.
    """

    effects: Sequence[float]
    seeds: int
    studies: int
    seed: int = 1


def simulate(plan: Plan) -> Iterator[np.ndarray]:
    """The differences (seeds, stages + 1) of each study; the last column is the gap."""
    rng = np.random.default_rng(plan.seed)
    levels = np.concatenate([[0.0], np.cumsum(plan.effects)])
    for _ in range(plan.studies):
        arms = levels + rng.normal(0, sqrt(0.5), size=(plan.seeds, len(levels)))
        steps = np.diff(arms, axis=1)
        yield np.column_stack([steps, arms[:, -1] - arms[:, 0]])


def names(columns: int) -> list[str]:
    """The stages' names, and the gap's."""
    return [*(f"stage:{number}" for number in range(1, columns)), GAP]


def series_of(differences: np.ndarray) -> list[Series]:
    """The planned contrasts of a study."""
    return [
        Series(name, dict(enumerate(column.tolist())), True)
        for name, column in zip(names(differences.shape[1]), differences.T, strict=True)
    ]


def weigh(
    differences: np.ndarray, delta: float = 0.1, plan: sequential.Plan | None = None
) -> dict[str, tuple[Series, Evidence]]:
    """Each contrast with its evidence, through the code that the product runs."""
    series = series_of(differences)
    evidence = families.weigh(series, delta, plan)
    return {one.id: (one, evidence[one.id]) for one in series}


def impacts(differences: np.ndarray, delta: float = 0.1) -> dict[str, Impact]:
    """The measured impact of each contrast."""
    return {
        name: judge_impact(one.estimate, delta, MULTIPLES, evidence)
        for name, (one, evidence) in weigh(differences, delta).items()
    }


def fixed_status(values: np.ndarray, plan: sequential.Plan) -> str:
    """The verdict that a plan's most seeds would give without looks: Bonferroni, 90 % interval."""
    p = inference.t_test(values)
    if p is not None and p <= plan.alpha / plan.families:
        return sequential.SUPERIOR if values.mean() > 0 else sequential.INFERIOR
    equivalence = inference.tost(values, float(plan.delta or 0.0)).p
    equal = equivalence is not None and equivalence <= 0.05
    return sequential.EQUIVALENT if equal else sequential.UNDECIDED


@dataclass(frozen=True)
class Staged:
    """A study with looks against the same study with the most seeds.

    Attributes:
        statuses, fixed: The verdicts with looks, and without.
        runs: Share of the runs that were made: an arm goes on while a contrast needs it.
    """

    statuses: tuple[str, ...]
    fixed: tuple[str, ...]
    runs: float


def compare_looks(differences: np.ndarray, plan: sequential.Plan) -> Staged:
    """A study of a staged path with looks, against the fixed maximum on the same seeds."""
    columns = [differences[:, i] for i in range(differences.shape[1])]
    decisions = [sequential.decide(column, plan) for column in columns]
    stages = len(columns) - 1
    last = [0] * (stages + 1)
    for number, decision in enumerate(decisions):
        needed = (0, stages) if number == stages else (number, number + 1)
        for arm in needed:
            last[arm] = max(last[arm], decision.n)
    return Staged(
        tuple(d.status for d in decisions),
        tuple(fixed_status(column, plan) for column in columns),
        sum(last) / (plan.looks[-1] * len(last)),
    )
