"""A fraction of the combinations, resolution IV, with both ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablation.designs.contrast import CHAIN, MAIN, Contrast, Made, Notes, weighed
from ablation.designs.design import (
    Asked,
    Design,
    DesignPlan,
    Options,
    Problem,
    Space,
    cells_of,
    names_of,
)
from ablation.designs.factors import OPTIONS, counted, factor_facts, factor_problems, factors_of
from ablation.designs.fractions import (
    GENERATORS,
    chain_name,
    column,
    design_of,
    fraction_cells,
    interaction_chains,
)

FRACTIONAL = "fractional"
FEWEST, MOST = min(GENERATORS), max(GENERATORS)


def _plan(space: Space, options: Options, seeds: Sequence[int]) -> DesignPlan:
    factors = factors_of(space, options)
    names = names_of(factors)
    sets = sorted(fraction_cells(names), key=lambda on: (len(on), [n in on for n in names][::-1]))
    generators = [f"{letter}={word}" for letter, word in GENERATORS[len(names)].items()]
    facts: Notes = {**factor_facts(factors), "generators": generators}
    return DesignPlan(cells_of(space, factors, sets, FRACTIONAL), facts)


def _problems(space: Space, options: Options, asked: Asked) -> Iterator[Problem]:
    wrong = list(factor_problems(space, options))
    yield from wrong
    factors = factors_of(space, options) if not wrong else ()
    if not wrong and len(factors) not in GENERATORS:
        yield Problem(
            key="",
            problem=f"a fraction has {FEWEST} to {MOST} factors",
            found=counted(factors),
            allowed=f"{FEWEST} to {MOST} factors",
            write=_instead(space, options, len(factors)),
        )


def _instead(space: Space, options: Options, count: int) -> str:
    may_grow = space.remainder and not options["remainder"] and not options["factors"]
    if may_grow and count + 1 == FEWEST:
        return "- fractional: {remainder: true}"
    return "- factorial" if count < FEWEST else "- leave_one_out"


def _contrasts(made: Made) -> list[Contrast]:
    """Main effects, and the chains of interactions that the fraction cannot tell apart.

    The mean of the cells at plus minus that of the cells at minus; of a chain twice that, which is
    what two factors do beyond the sum of each.
    """
    factors, cells = made.facts["factors"], made.cells
    ordered = fraction_cells(factors)
    if not all(cell in cells for cell in ordered):
        return []
    matrix = design_of(ordered, factors)
    mains = [(MAIN, name, (i,), 2.0) for i, name in enumerate(factors)]
    chains = [
        (CHAIN, chain_name(chain, factors), chain[0][1], 4.0)
        for chain in interaction_chains(matrix)
    ]
    found = []
    for role, name, word, size in (*mains, *chains):
        signs = size * column(matrix, word) / len(ordered)
        weights = {cells[cell]: w for cell, w in zip(ordered, signs.tolist(), strict=True)}
        found.append(weighed(role, name, FRACTIONAL, weights))
    return found


DESIGN = Design(
    name=FRACTIONAL,
    plan=_plan,
    description="A fraction of the combinations, resolution IV, with both ends: "
    f"{FEWEST} to {MOST} factors in 8 or 16 arms.",
    options=OPTIONS,
    counts=range(FEWEST, MOST + 1),
    factors=factors_of,
    problems=_problems,
    answers={
        "en": (
            "It answers what each stage does on average over the others; interactions blur each "
            "other.",
        ),
        "ko": ("다른 단계들에 대해 평균한 각 단계의 효과를 알려 준다. 상호작용은 서로 섞인다.",),
    },
    contrasts=_contrasts,
    every_cell=fraction_cells,
)
