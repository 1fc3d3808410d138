"""Each factor alone, on top of current: what it does by itself."""

from __future__ import annotations

from collections.abc import Sequence

from ablation.designs.contrast import ONLY, Contrast, Made, switched
from ablation.designs.design import Design, DesignPlan, Options, Space, cells_of, names_of

ONE_AT_A_TIME = "one_at_a_time"


def _plan(space: Space, options: Options, seeds: Sequence[int]) -> DesignPlan:
    factors = space.factors()
    sets = [(), *((name,) for name in names_of(factors))]
    return DesignPlan(cells_of(space, factors, sets, ONE_AT_A_TIME), {"factors": names_of(factors)})


def _contrasts(made: Made) -> list[Contrast]:
    """Each factor alone against none."""
    none = frozenset[str]()
    return switched(made, ONLY, lambda name: (none | {name}, none), design=ONE_AT_A_TIME)


DESIGN = Design(
    name=ONE_AT_A_TIME,
    plan=_plan,
    answers={
        "en": ("It answers what each stage does alone on the current configuration.",),
        "ko": ("각 단계를 현재 설정에 하나만 적용했을 때의 효과를 알려 준다.",),
    },
    contrasts=_contrasts,
)
