"""Each factor left out of the backup: what the others do without it."""

from __future__ import annotations

from collections.abc import Sequence

from ablation.designs.contrast import WITHOUT, Contrast, Made, switched
from ablation.designs.design import Design, Options, Plan, Space, cells_of, names_of

LEAVE_ONE_OUT = "leave_one_out"


def _plan(space: Space, options: Options, seeds: Sequence[int]) -> Plan:
    factors = space.factors()
    names = names_of(factors)
    sets = [names, *([n for n in names if n != name] for name in names)]
    return Plan(cells_of(space, factors, sets, LEAVE_ONE_OUT), {"factors": names})


def _contrasts(made: Made) -> list[Contrast]:
    """All factors against all but this one."""
    every = frozenset(made.facts["factors"])
    return switched(made, WITHOUT, lambda name: (every, every - {name}), design=LEAVE_ONE_OUT)


DESIGN = Design(
    name=LEAVE_ONE_OUT,
    plan=_plan,
    answers={
        "en": ("It answers what is lost when the backup goes without a stage.",),
        "ko": ("백업에서 한 단계를 빼면 무엇을 잃는지 답합니다.",),
    },
    contrasts=_contrasts,
)
