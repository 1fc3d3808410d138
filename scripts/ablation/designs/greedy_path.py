"""From one end to the other, each time by the factor that gains most (Fawcett and Hoos 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablation.designs.contrast import GREEDY, GREEDY_DIFFERENCE, Contrast, Made, between
from ablation.designs.design import (
    BACKUP,
    CURRENT,
    Asked,
    Design,
    DesignPlan,
    Factor,
    Options,
    Problem,
    Space,
    cells_of,
    names_of,
)
from ablation.designs.factorial import factorial_plan
from ablation.designs.factors import counted

GREEDY_PATH = "greedy_path"
MOST = 8  # 256 cells that the path may come to
FORWARD, BACKWARD = "forward", "backward"


def _factors(space: Space, options: Options) -> tuple[Factor, ...]:
    return space.factors(options["remainder"])


def _plan(space: Space, options: Options, seeds: Sequence[int]) -> DesignPlan:
    """Both ends: what lies between is decided by results (see `evidence.decisions`)."""
    factors = _factors(space, options)
    names = names_of(factors)
    cells = cells_of(space, factors, [(), names], GREEDY_PATH)
    return DesignPlan(cells, {"factors": names, "directions": list(options["directions"])})


def _all_sets(space: Space, options: Options, seeds: Sequence[int]) -> DesignPlan:
    return factorial_plan(space, {**options, "factors": {}}, seeds)


def _problems(space: Space, options: Options, asked: Asked) -> Iterator[Problem]:
    factors = _factors(space, options)
    if len(factors) not in DESIGN.counts:
        text = f"a greedy path has 2 to {MOST} factors"
        yield Problem(key="", problem=text, found=counted(factors), write="- leave_one_out")
    if asked.sequential:
        yield Problem(
            key="",
            problem="a greedy path needs all seeds at each step, and `sequential` adds them later",
            found="greedy_path and sequential",
            allowed="one of the two",
            write="sequential: null",
        )


def _contrasts(made: Made) -> list[Contrast]:
    """The steps of the greedy paths, each as what switching its factor on does.

    And where both directions have a factor's step, what the step does more forward than backward.
    """
    steps = []
    every = made.cells.get(frozenset(made.facts["factors"]), BACKUP)
    for direction, path in (made.facts.get("paths") or {}).items():
        before = CURRENT if direction == FORWARD else every
        for step in path:
            after = step["arm"]
            if after is None or after not in made.arms:
                break
            pair = (after, before) if direction == FORWARD else (before, after)
            name = f"greedy:{direction}:{step['factor']}"
            steps.append(between(name, GREEDY, pair, step["factor"], design=GREEDY_PATH))
            before = after
    return [*steps, *_differences(steps)]


def _differences(steps: Sequence[Contrast]) -> list[Contrast]:
    named = {step.id: step for step in steps}
    found = []
    for factor in dict.fromkeys(step.factor for step in steps):
        ways = [named.get(f"greedy:{way}:{factor}") for way in (FORWARD, BACKWARD)]
        if None in ways:
            continue
        forward, backward = (way.weights for way in ways if way is not None)
        weights = {a: forward.get(a, 0.0) - backward.get(a, 0.0) for a in {**forward, **backward}}
        found.append(
            Contrast(
                id=f"{GREEDY_DIFFERENCE}:{factor}",
                role=GREEDY_DIFFERENCE,
                factor=factor,
                design=GREEDY_PATH,
                weights=weights,
            )
        )
    return found


DESIGN = Design(
    name=GREEDY_PATH,
    plan=_plan,
    description="From one end to the other, each time by the factor that gains most "
    f"(exploratory); 2 to {MOST} factors.",
    options={
        "directions": {
            "type": "array",
            "items": {"enum": [FORWARD, BACKWARD], "description": "From current, or from backup."},
            "minItems": 1,
            "uniqueItems": True,
            "default": [FORWARD, BACKWARD],
            "description": "From current (forward), from backup, or both: a factor whose step "
            "differs between them interacts.",
        },
        "remainder": {
            "type": "boolean",
            "default": True,
            "description": "Whether what no stage names is a factor, too.",
        },
    },
    counts=range(2, MOST + 1),
    factors=_factors,
    problems=_problems,
    may_come_to=_all_sets,
    contrasts=_contrasts,
)
