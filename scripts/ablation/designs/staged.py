"""The staged path: current, then one stage after the other on top of those before, then backup."""

from __future__ import annotations

from collections.abc import Sequence

from ablation.designs.design import (
    BACKUP,
    CURRENT,
    ENDPOINT,
    STAGE,
    Cell,
    Design,
    Options,
    Plan,
    Space,
    names_of,
)

STAGED = "staged"


def staged_plan(space: Space, options: Options, seeds: Sequence[int]) -> Plan:
    """The arms of the path, in order."""
    stages, every = space.stages, names_of(space.factors())
    cells = [Cell(CURRENT, ENDPOINT, STAGED, (), space.current)]
    for number, stage in enumerate(stages, start=1):
        on = names_of(stages[:number])
        settings = space.settings(stages, on)
        name = f"stage{number}-{stage.name}"
        cells.append(Cell(name, STAGE, STAGED, tuple(on), settings, stage.name))
    cells.append(Cell(BACKUP, ENDPOINT, STAGED, tuple(every), space.backup))
    return Plan(cells, {"factors": every})


DESIGN = Design(
    name=STAGED,
    plan=staged_plan,
    answers={
        "en": "It answers what each stage adds to the ones before it.",
        "ko": "각 단계가 앞 단계들에 무엇을 더하는지 답합니다.",
    },
)
