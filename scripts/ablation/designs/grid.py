"""Explicit values of settings on top of an arm, all combinations: for tuning."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

from ablation.designs.contrast import TUNING as TUNED
from ablation.designs.contrast import Contrast, Made, Notes, between
from ablation.designs.design import (
    BACKUP,
    CURRENT,
    TUNING,
    Asked,
    Cell,
    Design,
    DesignPlan,
    Options,
    Problem,
    Space,
)
from ablation.designs.factors import unknown
from ablation.designs.staged import staged_plan
from ablation.errors import UserError
from ablation.settings.catalogue import SETTINGS

GRID = "grid"
MOST_CELLS = 1000


def _plan(space: Space, options: Options, seeds: Sequence[int]) -> DesignPlan:
    base = base_cell(space, options["base"])
    names = list(options["values"])
    cells = []
    for values in product(*(options["values"][name] for name in names)):
        own = {name: _typed(name, value) for name, value in zip(names, values, strict=True)}
        name = "grid-" + ",".join(f"{n}={_short(value)}" for n, value in own.items())
        cells.append(Cell(name, TUNING, GRID, base.stages, {**base.settings, **own}))
    facts: Notes = {"base": base.name, "values": {n: list(options["values"][n]) for n in names}}
    return DesignPlan(cells, facts)


def base_cell(space: Space, name: str) -> Cell:
    """The arm of the staged path with this name, or that adds the stage of this name."""
    cells = staged_plan(space, {}, ()).cells
    return next(cell for cell in cells if name in (cell.name, cell.stage))


def _typed(name: str, value: Any) -> Any:
    return SETTINGS[name].read(value) if name in SETTINGS else value


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


def _problems(space: Space, options: Options, asked: Asked) -> Iterator[Problem]:
    bases = [CURRENT, BACKUP, *(stage.name for stage in space.stages)]
    if options["base"] not in bases:
        near = difflib.get_close_matches(options["base"], bases, n=1) or bases[:1]
        yield Problem(
            key="base",
            problem="a grid stands on an arm that is not there",
            found=options["base"],
            allowed=bases,
            write=f"base: {near[0]}",
        )
    for name, values in options["values"].items():
        if name not in space.current:
            text = "a grid names what no arm has"
            yield unknown(f"values.{name}", text, name, list(space.current), line="{}: …")
            continue
        for place, value in enumerate(values):
            yield from _value_problems(f"values.{name}.{place}", name, value)
    count = prod(map(len, options["values"].values()))
    if count > MOST_CELLS:
        yield Problem(
            key="",
            problem="the grid has more cells than can be meant",
            found=f"{count:,} cells",
            allowed=f"at most {MOST_CELLS:,}",
        )


def _value_problems(key: str, name: str, value: Any) -> Iterator[Problem]:
    try:
        _typed(name, value)
    except UserError as error:
        yield Problem(key=key, problem=error.problem, found=error.found, allowed=error.allowed)


def _contrasts(made: Made) -> list[Contrast]:
    base = made.facts["base"]
    return [
        between(f"{TUNED}:{name}", TUNED, (name, base), design=GRID)
        for name in made.facts["arms"]
        if name != base
    ]


DESIGN = Design(
    name=GRID,
    plan=_plan,
    description="Explicit values of settings on top of an arm, all combinations: for tuning once "
    "the cause is known.",
    options={
        "base": {
            "type": "string",
            "default": CURRENT,
            "description": "current, backup, or a stage: the arm that has it and those before it.",
        },
        "values": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "array", "minItems": 1},
            "description": "Setting to the values that it gets.",
        },
    },
    required=("values",),
    problems=_problems,
    suggested=False,
    contrasts=_contrasts,
    follows=lambda facts: {str(arm): str(facts["base"]) for arm in facts["arms"]},
)
