"""Which arms a study trains: its designs, as sets of factors that are switched to the backup.

A factor is a stage, the remainder, or a list of settings that the study names. A cell is a set of
factors; the same cell in two designs is one arm. `grid.expand` makes arms of cells.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise, product
from typing import Any

from ablation.designs.feasibility import Reason
from ablation.designs.fractional import GENERATORS, fraction_cells
from ablation.settings.catalogue import MOVES_TOGETHER, SETTINGS
from ablation.settings.quantities import token_bounds
from ablation.settings.schedules import effective_batch

CURRENT = "current"
BACKUP = "backup"
REMAINDER = "remainder"

STAGED = "staged"
ONE_AT_A_TIME = "one_at_a_time"
LEAVE_ONE_OUT = "leave_one_out"
FACTORIAL = "factorial"
FRACTIONAL = "fractional"
GREEDY_PATH = "greedy_path"
GRID = "grid"
A_A = "a_a"
COMPUTE_MATCHED = "compute_matched"
DESIGNS = (
    STAGED,
    ONE_AT_A_TIME,
    LEAVE_ONE_OUT,
    FACTORIAL,
    FRACTIONAL,
    GREEDY_PATH,
    GRID,
    A_A,
    COMPUTE_MATCHED,
)
MOST_FACTORIAL = 6  # 64 cells; the analysis reads no larger table
MOST_GREEDY = 8  # 256 cells that the path may come to
A_A_OFFSET = 1000
FORWARD, BACKWARD = "forward", "backward"

# The kinds of arms in grid.json.
ENDPOINT, STAGE, ONLY, WITHOUT, CELL = "endpoint", "stage", "only", "without", "cell"
TUNING, CONTROL = "grid", "control"


@dataclass(frozen=True)
class Factor:
    """Settings that are switched from the current to the backup's values together."""

    name: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Space:
    """Everything between current and backup.

    Attributes:
        current: Every trained setting of the current side.
        backup: The same of the backup.
        stages: The study's stages, in order.
        remainder: What differs and no stage names; None where that is nothing.
    """

    current: dict[str, Any]
    backup: dict[str, Any]
    stages: tuple[Factor, ...]
    remainder: Factor | None

    def factors(self, remainder: bool = True) -> tuple[Factor, ...]:
        """The stages, and the remainder where there is one and it is asked for."""
        rest = (self.remainder,) if remainder and self.remainder else ()
        return (*self.stages, *rest)

    def settings(self, factors: Sequence[Factor], on: Collection[str]) -> dict[str, Any]:
        """The current settings with the backup's values of the factors that are on."""
        taken = {name for factor in factors if factor.name in on for name in factor.settings}
        return {n: self.backup[n] if n in taken else self.current[n] for n in self.current}


@dataclass(frozen=True)
class Cell:
    """An arm as a design asks for it.

    Attributes:
        name: The arm's name.
        kind: What it is: one of the kinds above.
        design: The design that asks for it.
        stages: The factors that are switched on, in their order.
        settings: Its settings.
        stage: The stage that it adds to the arm before it, on the staged path.
        seeds: Its own seeds, one beside each of the study's; None: the study's.
    """

    name: str
    kind: str
    design: str
    stages: tuple[str, ...]
    settings: dict[str, Any]
    stage: str | None = None
    seeds: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Plan:
    """What one design comes to.

    Attributes:
        cells: Its cells, in order.
        facts: What the analysis must know of it; goes into grid.json's `designs`.
        left_out: Arms that were not made: name, stages, and why.
    """

    cells: list[Cell]
    facts: dict[str, Any]
    left_out: list[tuple[str, tuple[str, ...], Reason]] = field(default_factory=list)


def read_designs(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The designs of study.yaml with their options; `staged` is always among them, first."""
    found: dict[str, dict[str, Any]] = {STAGED: {}}
    for item in options["designs"]:
        if isinstance(item, str):
            found.setdefault(item, {})
        else:
            found.update({name: dict(own or {}) for name, own in item.items()})
    return {name: {**DEFAULTS.get(name, {}), **own} for name, own in found.items()}


# Options of a design that is named without any; the schema has the same.
DEFAULTS: dict[str, dict[str, Any]] = {
    FACTORIAL: {"remainder": False, "factors": {}},
    FRACTIONAL: {"remainder": False, "factors": {}},
    GREEDY_PATH: {"directions": [FORWARD, BACKWARD], "remainder": True},
    GRID: {"base": CURRENT, "values": {}},
    A_A: {"seeds": []},
    COMPUTE_MATCHED: {"match": "tokens"},
}


def plan_designs(options: Mapping[str, Any], space: Space, seeds: Sequence[int]) -> dict[str, Plan]:
    """What each design of the study comes to, in the order of the study, staged first."""
    return {
        name: _PLANNERS[name](space, options, seeds)
        for name, options in read_designs(options).items()
    }


def plan_design(name: str, space: Space, options: Mapping[str, Any], seeds: Sequence[int]) -> Plan:
    """What one design would come to, whether the study asks for it or not."""
    return _PLANNERS[name](space, {**DEFAULTS.get(name, {}), **options}, seeds)


# --- Cells -------------------------------------------------------------------------------------


def cell_of(
    space: Space, factors: Sequence[Factor], on: Collection[str], design: str, every: Sequence[str]
) -> Cell:
    """The arm in which these factors are on.

    Args:
        space: The settings.
        factors: All factors of the design.
        on: Those that are switched on.
        design: The design's name.
        every: All factors there are: with all of them on, the arm is the backup.
    """
    names = tuple(factor.name for factor in factors if factor.name in on)
    settings = space.settings(factors, on)
    missing = [name for name in every if name not in names]
    if not names:
        return Cell(CURRENT, ENDPOINT, design, names, settings)
    if not missing and settings == space.backup:
        return Cell(BACKUP, ENDPOINT, design, names, settings)
    if len(names) == 1:
        return Cell(f"only-{names[0]}", ONLY, design, names, settings)
    if len(missing) == 1 and set(names) < set(every):
        return Cell(f"without-{missing[0]}", WITHOUT, design, names, settings)
    return Cell(f"cell-{'+'.join(names)}", CELL, design, names, settings)


def _cells(
    space: Space, factors: Sequence[Factor], sets: Sequence[Collection[str]], design: str
) -> list[Cell]:
    every = [factor.name for factor in space.factors()]
    return [cell_of(space, factors, on, design, every) for on in sets]


def _names(factors: Sequence[Factor]) -> list[str]:
    return [factor.name for factor in factors]


def subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every set of the names: the empty one first, the whole last, by size."""
    for size in range(len(names) + 1):
        yield from combinations(names, size)


def _staged(space: Space, options: Mapping[str, Any], seeds: Sequence[int]) -> Plan:
    stages, every = space.stages, _names(space.factors())
    cells = [Cell(CURRENT, ENDPOINT, STAGED, (), space.current)]
    for number, stage in enumerate(stages, start=1):
        on = _names(stages[:number])
        settings = space.settings(stages, on)
        name = f"stage{number}-{stage.name}"
        cells.append(Cell(name, STAGE, STAGED, tuple(on), settings, stage.name))
    cells.append(Cell(BACKUP, ENDPOINT, STAGED, tuple(every), space.backup))
    return Plan(cells, {"factors": every})


def _one_at_a_time(space: Space, options: Mapping[str, Any], seeds: Sequence[int]) -> Plan:
    factors = space.factors()
    sets = [(), *((name,) for name in _names(factors))]
    return Plan(_cells(space, factors, sets, ONE_AT_A_TIME), {"factors": _names(factors)})


def _leave_one_out(space: Space, options: Mapping[str, Any], seeds: Sequence[int]) -> Plan:
    factors = space.factors()
    names = _names(factors)
    sets = [names, *([n for n in names if n != name] for name in names)]
    return Plan(_cells(space, factors, sets, LEAVE_ONE_OUT), {"factors": names})


def factors_of(space: Space, options: Mapping[str, Any]) -> tuple[Factor, ...]:
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


def moved_together(settings: Sequence[str], space: Space) -> tuple[str, ...]:
    """The settings, and those that mean nothing without them where they differ."""
    moved = [m for name in settings for m in MOVES_TOGETHER.get(name, ())]
    differing = [m for m in moved if space.current.get(m) != space.backup.get(m)]
    return tuple(dict.fromkeys([*settings, *differing]))


def _factorial(space: Space, options: Mapping[str, Any], seeds: Sequence[int]) -> Plan:
    factors = factors_of(space, options)
    cells = _cells(space, factors, list(subsets(_names(factors))), FACTORIAL)
    return Plan(cells, _factor_facts(factors))


def _fractional(space: Space, options: Mapping[str, Any], seeds: Sequence[int]) -> Plan:
    factors = factors_of(space, options)
    names = _names(factors)
    sets = sorted(fraction_cells(names), key=lambda on: (len(on), [n in on for n in names][::-1]))
    generators = [f"{letter}={word}" for letter, word in GENERATORS[len(names)].items()]
    facts = {**_factor_facts(factors), "generators": generators}
    return Plan(_cells(space, factors, sets, FRACTIONAL), facts)


def _factor_facts(factors: Sequence[Factor]) -> dict[str, Any]:
    settings = {factor.name: list(factor.settings) for factor in factors}
    return {"factors": _names(factors), "settings": settings}


def _greedy_path(space: Space, options: Mapping[str, Any], seeds: Sequence[int]) -> Plan:
    """Both ends: what lies between is decided by results (see `decisions`)."""
    factors = space.factors(options["remainder"])
    names = _names(factors)
    cells = _cells(space, factors, [(), names], GREEDY_PATH)
    return Plan(cells, {"factors": names, "directions": list(options["directions"])})


def _grid(space: Space, options: Mapping[str, Any], seeds: Sequence[int]) -> Plan:
    base = base_cell(space, options["base"])
    names = list(options["values"])
    cells = []
    for values in product(*(options["values"][name] for name in names)):
        own = {name: _typed(name, value) for name, value in zip(names, values, strict=True)}
        name = "grid-" + ",".join(f"{n}={_short(value)}" for n, value in own.items())
        cells.append(Cell(name, TUNING, GRID, base.stages, {**base.settings, **own}))
    facts = {"base": base.name, "values": {n: list(options["values"][n]) for n in names}}
    return Plan(cells, facts)


def base_cell(space: Space, name: str) -> Cell:
    """The arm of the staged path with this name, or that adds the stage of this name."""
    cells = _staged(space, {}, ()).cells
    return next(cell for cell in cells if name in (cell.name, cell.stage))


def _typed(name: str, value: Any) -> Any:
    return SETTINGS[name].read(value) if name in SETTINGS else value


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


# --- Controls ----------------------------------------------------------------------------------


def other_seeds(seeds: Sequence[int], options: Mapping[str, Any]) -> tuple[int, ...]:
    """The seeds of the A/A control, one beside each of the study's."""
    named = options.get("seeds") or [(seed + A_A_OFFSET) % 2**31 for seed in seeds]
    return tuple(named[: len(seeds)])


def _a_a(space: Space, options: Mapping[str, Any], seeds: Sequence[int]) -> Plan:
    own = other_seeds(seeds, options)
    cell = Cell(A_A, CONTROL, A_A, (), space.current, seeds=own)
    return Plan([cell], {"reference": CURRENT, "arm": A_A})


def _compute_matched(space: Space, options: Mapping[str, Any], seeds: Sequence[int]) -> Plan:
    """For each step of the staged path, the arm before it with the compute of the arm behind it.

    Step minus control is the step's effect at equal compute, control minus the arm before is what
    compute alone does; the two add up to the step's whole effect.
    """
    path = _staged(space, {}, seeds).cells
    cells, left_out, controls = [], [], []
    for before, arm in pairwise(path):
        step = arm.stage or REMAINDER
        name = f"matched-{step}"
        found = match_compute(before.settings, arm.settings, options["match"])
        if isinstance(found, Reason):
            left_out.append((name, before.stages, found))
        elif found:
            settings = {**before.settings, **found}
            cells.append(Cell(name, CONTROL, COMPUTE_MATCHED, before.stages, settings))
            controls.append(
                {
                    "step": step,
                    "arm": arm.name,
                    "before": before.name,
                    "control": name,
                    "set": found,
                }
            )
    facts = {"match": options["match"], "controls": controls}
    return Plan(cells, facts, left_out)


def match_compute(
    before: Mapping[str, Any], arm: Mapping[str, Any], match: str
) -> dict[str, Any] | Reason:
    """The duration with which `before` takes as many optimiser steps or tokens as `arm`.

    Computed from settings alone, so that an arm's name never depends on the data: epochs times
    extracted share over effective batch are steps, and times tokens of a row they are tokens.

    Args:
        before: The settings that keep all but their duration.
        arm: The settings whose compute is matched.
        match: "steps" or "tokens".

    Returns:
        The setting to change; empty where both take as much already; a reason where settings
        alone don't tell.
    """
    tokens = 1.0
    if match == "tokens":
        low, high = token_bounds(before, arm)
        if low is None or low != high:
            limits = [int(before["max_length"]), int(arm["max_length"])]
            return Reason("tokens_depend_on_texts", {"limits": limits})
        tokens = low
    limited = [int(side.get("max_steps", -1)) > 0 for side in (before, arm)]
    batches = effective_batch(before) / effective_batch(arm)
    if all(limited):
        per_step = 1.0 if match == "steps" else tokens / batches
        steps = max(1, round(int(arm["max_steps"]) * per_step))
        return {} if steps == int(before["max_steps"]) else {"max_steps": steps}
    if any(limited) or before.get("data.max_classes") != arm.get("data.max_classes"):
        return Reason("rows_not_known")
    share = float(arm["data.extract_ratio"]) / float(before["data.extract_ratio"])
    factor = share * (batches if match == "steps" else tokens)
    epochs = float(f"{float(arm['num_train_epochs']) * factor:.12g}")
    return {} if epochs == float(before["num_train_epochs"]) else {"num_train_epochs": epochs}


_PLANNERS = {
    STAGED: _staged,
    ONE_AT_A_TIME: _one_at_a_time,
    LEAVE_ONE_OUT: _leave_one_out,
    FACTORIAL: _factorial,
    FRACTIONAL: _fractional,
    GREEDY_PATH: _greedy_path,
    GRID: _grid,
    A_A: _a_a,
    COMPUTE_MATCHED: _compute_matched,
}
