"""The staged path: current, then one stage after the other on top of those before, then backup."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ablation.designs.contrast import (
    GAP,
    REMAINDER,
    STAGE,
    TOTAL,
    Contrast,
    Made,
    PathStep,
    between,
)
from ablation.designs.design import (
    BACKUP,
    CURRENT,
    ENDPOINT,
    Cell,
    Design,
    DesignPlan,
    Options,
    Space,
    names_of,
)

STAGED = "staged"


def staged_plan(space: Space, options: Options, seeds: Sequence[int]) -> DesignPlan:
    """The arms of the path, in order."""
    stages, every = space.stages, names_of(space.factors())
    cells = [Cell(CURRENT, ENDPOINT, STAGED, (), space.current)]
    for number, stage in enumerate(stages, start=1):
        on = names_of(stages[:number])
        settings = space.settings(stages, on)
        name = f"stage{number}-{stage.name}"
        cells.append(Cell(name, STAGE, STAGED, tuple(on), settings, stage.name))
    cells.append(Cell(BACKUP, ENDPOINT, STAGED, tuple(every), space.backup))
    return DesignPlan(cells, {"factors": every})


def steps_of(path: Sequence[Cell]) -> list[PathStep]:
    """The steps of the path that change something, and the gap."""
    steps: list[PathStep] = [
        {"step": arm.stage or REMAINDER, "arm": arm.name, "before": before.name}
        for before, arm in pairwise(path)
        if arm.settings != before.settings
    ]
    return [*steps, {"step": GAP, "arm": path[-1].name, "before": path[0].name}]


def effect_of(step: str) -> str:
    """The id of the contrast that is a step of `steps_of`."""
    return step if step in (GAP, REMAINDER) else f"{STAGE}:{step}"


def _contrasts(made: Made) -> list[Contrast]:
    """Stages against the arm before, remainder, whole gap, and each stage arm against current."""
    (first, _), (last, _) = made.path[0], made.path[-1]
    found = []
    for (before, _), (arm, stage) in pairwise(made.path):
        if arm == last:
            found.append(between(REMAINDER, REMAINDER, (arm, before), design=STAGED))
        else:
            found.append(between(f"stage:{stage}", STAGE, (arm, before), stage, design=STAGED))
    found.append(between(GAP, GAP, (last, first), design=STAGED))
    return found + [
        between(f"total:{arm}", TOTAL, (arm, first), stage, design=STAGED)
        for arm, stage in made.path[1:-1]
    ]


DESIGN = Design(
    name=STAGED,
    plan=staged_plan,
    answers={
        "en": ("It answers what each stage adds to the ones before it.",),
        "ko": ("각 단계가 앞 단계들 위에 더하는 효과를 알려 준다.",),
    },
    contrasts=_contrasts,
)
