"""The staged path at several sizes of the training data: how each effect changes with rows.

The largest size is that of the whole study; smaller ones are rungs below it, whose rows are among
those of the larger ones. Test rows are the same at all sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ablation.designs.contrast import (
    BEND,
    RUNG,
    TREND,
    Contrast,
    Made,
    PathStep,
    between,
    weighed,
)
from ablation.designs.design import (
    RUNG_ARM,
    Asked,
    Cell,
    Design,
    DesignPlan,
    Options,
    Problem,
    Space,
    tidy,
)
from ablation.designs.staged import staged_plan, steps_of
from ablation.settings.catalogue import Settings
from ablation.settings.quantities import POOL_ROWS

SCALE = "scale"
EPOCHS, STEPS = "epochs", "steps"
FEWEST_TO_BEND = 3


def _settle(space: Space, options: Options) -> Space:
    """All arms of the study draw from the rows of the largest rung."""
    top = {POOL_ROWS: max(options["rows"])}
    return replace(space, current={**space.current, **top}, backup={**space.backup, **top})


def _plan(space: Space, options: Options, seeds: Sequence[int]) -> DesignPlan:
    path, rows = staged_plan(space, {}, seeds).cells, sorted(options["rows"])
    cells = [
        Cell(
            name=on_rung(cell.name, rung),
            kind=RUNG_ARM,
            design=SCALE,
            stages=cell.stages,
            settings=_smaller(cell.settings, rung, rows[-1], options["hold"]),
        )
        for rung in rows[:-1]
        for cell in path
    ]
    return DesignPlan(cells, {"rows": rows, "hold": options["hold"], "steps": steps_of(path)})


def on_rung(arm: str, rows: int) -> str:
    """The name of an arm of the path at fewer rows."""
    return f"{arm}@{rows}"


def of_rung(name: str) -> str:
    """The arm of the path that one at fewer rows is."""
    return name.partition("@")[0]


def _smaller(settings: Settings, rows: int, top: int, hold: str) -> Settings:
    """The settings with fewer rows to draw from, and with the steps of the largest rung if held.

    From settings alone, so that an arm's name never depends on the data.
    """
    found = {**settings, POOL_ROWS: rows}
    if hold == STEPS and int(settings.get("max_steps", -1)) <= 0:
        found["num_train_epochs"] = tidy(settings["num_train_epochs"] * top / rows)
    return found


def _problems(space: Space, options: Options, asked: Asked) -> Iterator[Problem]:
    rows = options["rows"]
    if rows != sorted(rows):
        text = "the rungs of a ladder ascend: small ones are part of large ones"
        allowed = "whole numbers, ascending"
        write = f"rows: {sorted(rows)}"
        yield Problem(key="rows", problem=text, found=rows, allowed=allowed, write=write)
    if asked.pool is not None and max(rows) > asked.pool:
        text = "a rung has more rows than there are to train on"
        fitting = [count for count in rows if count <= asked.pool]
        yield Problem(
            key="rows",
            problem=text,
            found=max(rows),
            allowed=f"at most {asked.pool}: all rows but those held out",
            write=f"rows: {fitting}" if len(fitting) > 1 else None,
        )
    limited = any(int(side.get("max_steps", -1)) > 0 for side in (space.current, space.backup))
    if limited and options["hold"] == EPOCHS:
        text = "max_steps fixes the steps, so that epochs cannot be held"
        found = f"hold: {EPOCHS}"
        yield Problem(key="hold", problem=text, found=found, write=f"hold: {STEPS}")


# --- Contrasts ---------------------------------------------------------------------------------


def _contrasts(made: Made) -> list[Contrast]:
    """Each step and the gap at each smaller size, what size does to them, and whether evenly."""
    rows, found = made.facts["rows"], []
    for step in made.facts["steps"]:
        name = step["step"]
        pairs = pairs_of(step, rows)
        if not all(arm in made.arms for pair in pairs for arm in pair):
            continue
        found += [
            between(f"{RUNG}:{name}@{count}", RUNG, pair, name, design=SCALE)
            for count, pair in zip(rows[:-1], pairs, strict=False)
        ]
        found.append(weighed(TREND, name, SCALE, _sum(pairs, change_weights(rows))))
        if len(rows) >= FEWEST_TO_BEND:
            found.append(weighed(BEND, name, SCALE, _sum(pairs, bend_weights(rows))))
    return found


def pairs_of(step: PathStep, rows: Sequence[int]) -> list[tuple[str, str]]:
    """The arm and the one before it at each size; at the largest they are the path's own."""
    arm, before = step["arm"], step["before"]
    lower = [(on_rung(arm, count), on_rung(before, count)) for count in rows[:-1]]
    return [*lower, (arm, before)]


def at_rows(step: PathStep, rows: Sequence[int], target: float) -> dict[str, float]:
    """The weights with which a line through the effects at all sizes gives that at so many rows."""
    x = _logs(rows)
    middle = x.mean()
    weights = 1 / x.size + (math.log10(target) - middle) * (x - middle) / ((x - middle) ** 2).sum()
    return _sum(pairs_of(step, rows), weights)


def change_weights(rows: Sequence[int]) -> np.ndarray:
    """What a least-squares line over log10(rows) changes from the smallest to the largest size."""
    x = _logs(rows)
    apart = x - x.mean()
    return (x[-1] - x[0]) * apart / (apart**2).sum()


def bend_weights(rows: Sequence[int]) -> np.ndarray:
    """How far the effects at both ends lie above a straight line, against those between.

    The coefficient of a square over log10(rows), times the square of their whole width.
    """
    x = _logs(rows)
    basis = np.stack([np.ones_like(x), x, x**2])
    line, square = basis[:2], basis[2]
    left = square - line.T @ np.linalg.lstsq(line.T, square, rcond=None)[0]
    return (x[-1] - x[0]) ** 2 * left / (left**2).sum()


def _logs(rows: Sequence[int]) -> np.ndarray:
    return np.log10(np.asarray(rows, dtype=float))


def _sum(
    pairs: Sequence[tuple[str, str]], weights: Sequence[float] | np.ndarray
) -> dict[str, float]:
    """A weighted sum of differences, as weights of arms."""
    found: dict[str, float] = {}
    for (arm, before), weight in zip(pairs, weights, strict=True):
        found[arm] = found.get(arm, 0.0) + float(weight)
        found[before] = found.get(before, 0.0) - float(weight)
    return found


DESIGN = Design(
    name=SCALE,
    plan=_plan,
    settle=_settle,
    description="The staged path at several sizes of the training data; the largest is that of the "
    "whole study.",
    options={
        "rows": {
            "type": "array",
            "items": {"type": "integer", "minimum": 2, "description": "Training rows."},
            "minItems": 2,
            "uniqueItems": True,
            "description": "Training rows to draw from, before any extract, ascending; small ones "
            "are part of large ones. Three and more let effects be extrapolated.",
        },
        "hold": {
            "enum": [EPOCHS, STEPS],
            "default": EPOCHS,
            "description": "What is the same at all sizes: the passes over the rows, or the "
            "optimizer steps (those of the largest).",
        },
    },
    required=("rows",),
    problems=_problems,
    suggested=False,
    answers={
        "en": ("It answers how each effect changes with the rows to train on.",),
        "ko": ("학습 행 수에 따라 각 효과가 어떻게 변하는지 알려 준다.",),
    },
    contrasts=_contrasts,
    follows=lambda facts: {name: of_rung(name) for name in facts["arms"]},
)
