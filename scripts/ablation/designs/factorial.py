"""All combinations of the factors: Shapley values and interactions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from ablation.designs.contrast import BETWEEN, INTERACTION, SHAPLEY, Contrast, Made, weighed
from ablation.designs.design import (
    Asked,
    Design,
    DesignPlan,
    Options,
    Problem,
    Space,
    cells_of,
    names_of,
    subsets,
)
from ablation.designs.factors import OPTIONS, counted, factor_facts, factor_problems, factors_of
from ablation.designs.fractions import GENERATORS
from ablation.designs.shapley import all_cells, interaction_weights, shapley_weights

FACTORIAL = "factorial"
MOST = 6  # 64 cells; the analysis reads no larger table


def factorial_plan(space: Space, options: Options, seeds: Sequence[int]) -> DesignPlan:
    """Every set of the factors."""
    factors = factors_of(space, options)
    cells = cells_of(space, factors, list(subsets(names_of(factors))), FACTORIAL)
    return DesignPlan(cells, factor_facts(factors))


def _problems(space: Space, options: Options, asked: Asked) -> Iterator[Problem]:
    wrong = list(factor_problems(space, options))
    yield from wrong
    factors = factors_of(space, options) if not wrong else ()
    if not wrong and len(factors) not in DESIGN.counts:
        yield Problem(
            key="",
            problem=f"a factorial has 2 to {MOST} factors",
            found=counted(factors),
            allowed=f"2 to {MOST} factors",
            write="- fractional" if len(factors) in GENERATORS else "- leave_one_out",
        )


def _contrasts(made: Made) -> list[Contrast]:
    """Shapley values and pairwise interactions over a full table of cells."""
    factors = made.facts["factors"]
    if not all(cell in made.cells for cell in all_cells(factors)):
        return []
    arms = [made.cells[cell] for cell in all_cells(factors)]
    pairs = [BETWEEN.join(pair) for pair in combinations(factors, 2)]
    weights = (
        (SHAPLEY, factors, shapley_weights(len(factors))),
        (INTERACTION, pairs, interaction_weights(len(factors))),
    )
    return [
        weighed(role, name, FACTORIAL, dict(zip(arms, row.tolist(), strict=True)))
        for role, names, rows in weights
        for name, row in zip(names, rows, strict=True)
    ]


DESIGN = Design(
    name=FACTORIAL,
    plan=factorial_plan,
    description="All combinations of the factors: Shapley values and interactions, "
    f"up to {MOST} factors.",
    options=OPTIONS,
    counts=range(2, MOST + 1),
    factors=factors_of,
    problems=_problems,
    answers={
        "en": (
            "It answers what each stage does on average over all orders (Shapley), and which "
            "interact.",
        ),
        "ko": ("모든 순서에 걸쳐 평균한 각 단계의 효과(섀플리 값)와 상호작용을 알려 준다.",),
    },
    contrasts=_contrasts,
    every_cell=all_cells,
)
