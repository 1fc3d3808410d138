"""Control: current with other seeds, against itself. Its difference is noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablation.designs.contrast import Contrast, Made, between
from ablation.designs.design import (
    CONTROL,
    CURRENT,
    Asked,
    Cell,
    Design,
    DesignPlan,
    Options,
    Problem,
    Space,
)

A_A = "a_a"
OFFSET = 1000


def other_seeds(seeds: Sequence[int], options: Options) -> tuple[int, ...]:
    """The seeds of the A/A control, one beside each of the study's."""
    named = options.get("seeds") or [(seed + OFFSET) % 2**31 for seed in seeds]
    return tuple(named[: len(seeds)])


def _plan(space: Space, options: Options, seeds: Sequence[int]) -> DesignPlan:
    own = other_seeds(seeds, options)
    cell = Cell(A_A, CONTROL, A_A, (), space.current, seeds=own)
    return DesignPlan([cell], {"reference": CURRENT, "arm": A_A})


def _problems(space: Space, options: Options, asked: Asked) -> Iterator[Problem]:
    """Its seeds: as many as the study's, and others."""
    own, seeds = options["seeds"], asked.seeds
    if not own:
        return
    free = list(range(max(seeds) + 1, max(seeds) + 1 + len(seeds)))
    if set(own) & set(seeds):
        yield Problem(
            key="seeds",
            problem="the A/A control has seeds of the study: it would be compared with itself",
            found=sorted(set(own) & set(seeds)),
            allowed="seeds that are not in `seeds`",
            write=f"seeds: {free}",
        )
    elif len(own) != len(seeds):
        text = "the A/A control needs one other seed for each of the study's"
        found, allowed = f"{len(own)} seeds", f"{len(seeds)}"
        yield Problem(
            key="seeds", problem=text, found=found, allowed=allowed, write=f"seeds: {free}"
        )


def _contrasts(made: Made) -> list[Contrast]:
    return [between(A_A, A_A, (A_A, CURRENT), design=A_A)] if A_A in made.arms else []


DESIGN = Design(
    name=A_A,
    plan=_plan,
    description="Control: current with other seeds, against itself. Its difference is noise.",
    options={
        "seeds": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 2147483647},
            "uniqueItems": True,
            "default": [],
            "description": "The other seeds, one for each of the study's; empty: each plus "
            f"{OFFSET}.",
        }
    },
    problems=_problems,
    suggested=False,
    contrasts=_contrasts,
    follows=lambda facts: {facts["arm"]: facts["reference"]},
)
