"""The staged path with each arm at the best of several learning rates: steps between tuned sides.

A step may look large because one side's learning rate does not suit it. Here each side gets its own
best among multiples of its rate, chosen on validation rows that nothing else uses.
"""

from __future__ import annotations

from collections.abc import Sequence

from ablation.designs.contrast import RETUNED, Contrast, Made, between
from ablation.designs.design import TUNED_ARM, Cell, Design, DesignPlan, Options, Space, tidy
from ablation.designs.staged import staged_plan, steps_of
from ablation.settings.catalogue import Settings
from ablation.settings.quantities import TUNING_SHARE

RETUNE = "retune"
SHARE = 0.5  # of the validation rows: the others choose the best epoch, as in every run
# What of a schedule's own arguments is a rate, too: the whole schedule is multiplied.
_RATES = (
    "warmup_max_lr",
    "warmup_min_lr",
    "cycle_max_lr",
    "cycle_min_lr",
    "lr_range_test_min_lr",
    "min_lr",
    "lr_end",
)


def _plan(space: Space, options: Options, seeds: Sequence[int]) -> DesignPlan:
    path, multiples = staged_plan(space, {}, seeds).cells, sorted(options["learning_rate"])
    cells, sides = [], {}
    for cell in path:
        names = {multiple: f"{cell.name}~{multiple:g}x" for multiple in multiples}
        cells += [
            Cell(name, TUNED_ARM, RETUNE, cell.stages, _at(cell.settings, multiple))
            for multiple, name in names.items()
        ]
        sides[cell.name] = {name: _rate(cell.settings, m) for m, name in names.items()}
    return DesignPlan(cells, {"multiples": multiples, "sides": sides, "steps": steps_of(path)})


def _at(settings: Settings, multiple: float) -> Settings:
    """The settings at a multiple of their learning rate, with rows set aside to choose it on."""
    kwargs = dict(settings.get("lr_scheduler_kwargs") or {})
    for name in _RATES:
        if isinstance(kwargs.get(name), int | float):
            kwargs[name] = tidy(kwargs[name] * multiple)
    own = {"lr_scheduler_kwargs": kwargs} if kwargs else {}
    return {**settings, **own, "learning_rate": _rate(settings, multiple), TUNING_SHARE: SHARE}


def _rate(settings: Settings, multiple: float) -> float:
    return tidy(settings["learning_rate"] * multiple)


def _contrasts(made: Made) -> list[Contrast]:
    """Each step and the gap between the sides at the rates that results have chosen."""
    chosen = made.facts.get("chosen") or {}
    return [
        between(
            f"{RETUNED}:{step['step']}",
            RETUNED,
            (chosen[step["arm"]], chosen[step["before"]]),
            step["step"],
            design=RETUNE,
        )
        for step in made.facts["steps"]
        if step["arm"] in chosen and step["before"] in chosen
    ]


DESIGN = Design(
    name=RETUNE,
    plan=_plan,
    description="Each arm of the staged path at the best of several learning rates, chosen on "
    "validation rows that nothing else uses: would a step still matter, were both sides tuned?",
    options={
        "learning_rate": {
            "type": "array",
            "items": {"type": "number", "exclusiveMinimum": 0, "description": "A multiple."},
            "minItems": 2,
            "uniqueItems": True,
            "default": [0.5, 1, 2],
            "description": "Multiples of each arm's own learning rate.",
        }
    },
    suggested=False,
    answers={
        "en": ("It answers whether each step would still matter, were both sides tuned.",),
        "ko": ("양쪽 학습률을 모두 맞추어도 각 단계의 효과가 남는지 알려 준다.",),
    },
    contrasts=_contrasts,
    follows=lambda facts: {name: arm for arm, names in facts["sides"].items() for name in names},
)
