"""Factors that a design names itself, in place of the stages: which they are, what is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence

from ablation.designs.contrast import Notes
from ablation.designs.design import (
    REMAINDER,
    Factor,
    Options,
    Problem,
    Space,
    moved_together,
    names_of,
)
from ablation.records import Schema

OPTIONS: dict[str, Schema] = {
    "remainder": {
        "type": "boolean",
        "default": False,
        "description": "Whether what no stage names is a factor, too.",
    },
    "factors": {
        "$ref": "#/$defs/factors",
        "default": {},
        "description": "Factors as lists of settings, in place of the stages.",
    },
}


def factors_of(space: Space, options: Options) -> tuple[Factor, ...]:
    """The factors of a factorial design: the stages, or the lists of settings that it names."""
    if not options["factors"]:
        return space.factors(options["remainder"])
    found = [
        Factor(name, moved_together(settings, space))
        for name, settings in options["factors"].items()
    ]
    taken = {name for factor in found for name in factor.settings}
    differing = [n for n in space.current if space.current[n] != space.backup[n]]
    rest = tuple(name for name in differing if name not in taken)
    if options["remainder"] and rest:
        found.append(Factor(REMAINDER, rest))
    return tuple(found)


def factor_facts(factors: Sequence[Factor]) -> Notes:
    """What the analysis must know of the factors."""
    settings = {factor.name: list(factor.settings) for factor in factors}
    return {"factors": names_of(factors), "settings": settings}


def factor_problems(space: Space, options: Options) -> Iterator[Problem]:
    """What is wrong with the factors that a design names itself."""
    differing = [n for n in space.current if space.current[n] != space.backup[n]]
    stages = {stage.name: stage for stage in space.stages}
    taken: dict[str, str] = {}
    for name, settings in options["factors"].items():
        own = moved_together(settings, space)
        if name == REMAINDER:
            text = "a factor cannot have this name: it means what no factor names"
            yield Problem(key=f"factors.{name}", problem=text, found=name, write="the_rest: …")
        elif name in stages and set(own) != set(stages[name].settings):
            text = "a factor has a stage's name and other settings"
            allowed = f"another name, or the stage's settings: {', '.join(stages[name].settings)}"
            yield Problem(key=f"factors.{name}", problem=text, found=list(own), allowed=allowed)
        for place, setting in enumerate(settings):
            where = f"factors.{name}.{place}"
            if setting not in differing:
                text = "a factor names what differs nowhere"
                yield unknown(where, text, setting, differing)
            elif setting in taken:
                text = "a setting stands in two factors"
                yield Problem(
                    key=where, problem=text, found=f"{setting}, already in '{taken[setting]}'"
                )
            taken.setdefault(setting, name)


def unknown(
    key: str, problem: str, found: str, allowed: Collection[str], line: str = "- {}"
) -> Problem:
    """A name that is not among the allowed ones, with the nearest of them to write."""
    near = difflib.get_close_matches(found, allowed, n=1)
    write = line.format(near[0]) if near else None
    return Problem(key=key, problem=problem, found=found, allowed=list(allowed), write=write)


def counted(factors: Sequence[Factor]) -> str:
    """How many factors there are, and which."""
    return f"{len(factors)}: {', '.join(names_of(factors))}"
