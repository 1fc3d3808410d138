"""A factor left out of the backup, each or those named: what the others do without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablation.designs.contrast import WITHOUT, Contrast, Made, Notes, switched
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
from ablation.designs.factors import unknown

LEAVE_ONE_OUT = "leave_one_out"


def _plan(space: Space, options: Options, seeds: Sequence[int]) -> DesignPlan:
    factors = space.factors()
    names = names_of(factors)
    left_out = options["stages"] or names
    sets = [names, *([n for n in names if n != name] for name in left_out)]
    facts: Notes = {"factors": names, "whole": set(left_out) == set(names)}
    return DesignPlan(cells_of(space, factors, sets, LEAVE_ONE_OUT), facts)


def _problems(space: Space, options: Options, asked: Asked) -> Iterator[Problem]:
    """A stage that is left out is one of the study's."""
    names = names_of(space.factors())
    for place, name in enumerate(options["stages"]):
        if name not in names:
            yield unknown(f"stages.{place}", "no stage has this name", name, names)


def _contrasts(made: Made) -> list[Contrast]:
    """All factors against all but this one."""
    every = frozenset(made.facts["factors"])
    return switched(made, WITHOUT, lambda name: (every, every - {name}), design=LEAVE_ONE_OUT)


DESIGN = Design(
    name=LEAVE_ONE_OUT,
    plan=_plan,
    description="The backup without one of its stages, for each stage or for those named.",
    options={
        "stages": {
            "type": "array",
            "items": {"type": "string", "description": "A stage, or remainder."},
            "uniqueItems": True,
            "default": [],
            "description": "The stages that are left out, one an arm; empty: each of them.",
        }
    },
    problems=_problems,
    answers={
        "en": ("It answers what is lost when the backup goes without a stage.",),
        "ko": ("백업에서 한 단계를 빼면 무엇을 잃는지 알려 준다.",),
    },
    contrasts=_contrasts,
)
