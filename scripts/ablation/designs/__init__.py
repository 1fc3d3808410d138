"""Which arms a study trains: a design a file, as sets of factors switched to the backup.

To add one: write its file with a `DESIGN`, and name it in `DESIGNS`. study.yaml's schema, its
checks and the plan take all that they need from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ablation.designs import (
    a_a,
    compute_matched,
    factorial,
    fractional,
    greedy_path,
    grid,
    leave_one_out,
    one_at_a_time,
    retune,
    scale,
    staged,
)
from ablation.designs.design import Asked, Design, DesignPlan, Options, Problem, Space
from ablation.designs.staged import STAGED
from ablation.records import Schema

Designs = Mapping[str, Options]  # of a study, by name
DESIGNS: dict[str, Design] = {
    module.DESIGN.name: module.DESIGN
    for module in (
        staged,
        one_at_a_time,
        leave_one_out,
        greedy_path,
        grid,
        a_a,
        compute_matched,
        factorial,
        fractional,
        scale,
        retune,
    )
}


def read_designs(asked: Sequence[str | Options]) -> Designs:
    """The designs of study.yaml with their options; `staged` is always among them, first."""
    found: dict[str, Options] = {STAGED: {}}
    for item in asked:
        if isinstance(item, str):
            found.setdefault(item, {})
        else:
            found.update({name: dict(own or {}) for name, own in item.items()})
    return {name: {**DESIGNS[name].defaults(), **own} for name, own in found.items()}


def settle(designs: Designs, space: Space) -> Space:
    """The space with what the designs of the study make of the settings of all arms."""
    for name, own in designs.items():
        space = DESIGNS[name].settle(space, own)
    return space


def plan_designs(designs: Designs, space: Space, seeds: Sequence[int]) -> dict[str, DesignPlan]:
    """What each design of the study comes to, in the order of the study, staged first."""
    return {name: DESIGNS[name].plan(space, own, seeds) for name, own in designs.items()}


def find_problems(designs: Designs, space: Space, asked: Asked) -> Iterator[tuple[str, Problem]]:
    """What is wrong with the designs of study.yaml, each with the design's name."""
    for name, own in designs.items():
        for problem in DESIGNS[name].problems(space, own, asked):
            yield name, problem


def extend_schema(schema: Schema) -> None:
    """Put the designs and their options into study.yaml's JSON Schema, in place."""
    item = schema["properties"]["designs"]["items"]
    item["then"]["enum"] = [name for name, design in DESIGNS.items() if not design.required]
    item["properties"] = {
        name: design.schema() for name, design in DESIGNS.items() if design.options
    }
