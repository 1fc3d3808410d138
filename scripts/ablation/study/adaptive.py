"""Studies whose results decide what is run next: what the decisions so far come to.

Three things are decided: how many seeds the arms get (`sequential`), which arms a greedy path goes
through (`greedy_path`), and which arm is confirmed (`confirm`). A decision is a JSON file that
`decisions` makes of results; what is read of it here needs no results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from ablation.designs import DESIGNS
from ablation.designs.contrast import GreedyStep, Notes
from ablation.designs.design import BACKUP, CELL, CURRENT, ENDPOINT, cell_of, subsets
from ablation.designs.feasibility import cannot_run
from ablation.designs.greedy_path import FORWARD, GREEDY_PATH
from ablation.documents.entries import load_plainly
from ablation.files import load_record
from ablation.results import Results
from ablation.study.grid import Arm, Grid, expand
from ablation.study.grid_file import ChosenFile, LookFile, StepFile
from ablation.study.options import LooksOptions
from ablation.study.power import OBRIEN_FLEMING
from ablation.study.study import Study

CONFIRM = "confirm"
RECOMMENDED = "recommended"


# --- Seeds -------------------------------------------------------------------------------------


def seeds_grid(study: Study, decisions: Sequence[LookFile], devices: int | None = None) -> Grid:
    """The arms with the seeds that they have been given so far.

    Args:
        study: A study with `sequential`.
        decisions: The decisions on seeds, look by look.
        devices: As in `expand`.
    """
    going = [decision for decision in decisions if not decision["stop"]]
    reached = study.looks[len(going)]
    grid = expand(study, devices, study.all_seeds()[:reached])
    kept = {arm.name: reached for arm in grid.arms}
    for place, decision in reversed(list(enumerate(going))):
        dropped = set(kept) - set(decision["arms"])
        kept |= dict.fromkeys(dropped, study.looks[place])
    return replace(grid, arms=[_with_seeds(arm, grid, kept[arm.name]) for arm in grid.arms])


def with_kept_spending(study: Study, path: str | Path, results: Results) -> Study:
    """The study; where it names no spending, with that by which its looks were made.

    The default was another one before looks noted theirs, and a study that has begun keeps its own.
    """
    options, first = study.options["sequential"], results.look(1)
    if not options or not first.is_file() or load_plainly(path).at("sequential.spending"):
        return study
    spending = load_record(first).get("spending", OBRIEN_FLEMING)
    kept: LooksOptions = {**options, "spending": spending}
    return replace(study, options={**study.options, "sequential": kept})


def _with_seeds(arm: Arm, grid: Grid, count: int) -> Arm:
    if count == len(grid.seeds):
        return arm
    own = grid.seeds if arm.seeds is None else arm.seeds
    return replace(arm, seeds=tuple(own[:count]))


def followers(grid: Grid) -> dict[str, str]:
    """The arms that no planned contrast needs, and the arm whose seeds each of them follows."""
    found: dict[str, str] = {}
    for facts in grid.designs:
        found |= DESIGNS[facts["design"]].follows(facts)
    return found


# --- Greedy path -------------------------------------------------------------------------------


def candidates(study: Study, devices: int | None = None) -> Grid | None:
    """Every arm that results may still add: all sets of factors; None where they add none."""
    asked = study.designs
    if GREEDY_PATH not in asked and not study.fresh_seeds:
        return None
    space = study.space()
    factors = space.factors(bool(study.fresh_seeds) or asked[GREEDY_PATH]["remainder"])
    every = [factor.name for factor in space.factors()]
    model = study.options["model"]["architecture"]
    arms = []
    for on in subsets([factor.name for factor in factors]):
        cell = cell_of(space, factors, on, GREEDY_PATH, every)
        if cannot_run(cell.settings, model, devices) is None:
            changed = tuple(n for n in cell.settings if cell.settings[n] != space.current[n])
            arm = Arm(
                name=cell.name,
                stage=None,
                changed=changed,
                settings=cell.settings,
                kind=cell.kind,
                designs=(),
                stages=cell.stages,
            )
            arms.append(arm)
    return Grid(study.name, arms, study.first_seeds())


def path_factors(study: Study) -> list[str]:
    """The factors of the greedy path, in the order of the study."""
    options = study.designs[GREEDY_PATH]
    return [factor.name for factor in study.space().factors(options["remainder"])]


def steps_of_path(study: Study) -> int:
    """How many steps have to be chosen: the last one has no alternative."""
    return len(path_factors(study)) - 1


def switched_on(factors: Sequence[str], direction: str, chosen: Sequence[str]) -> list[str]:
    """The factors that are on after these were chosen: switched on forward, off backward."""
    return [name for name in factors if (name in chosen) == (direction == FORWARD)]


def step_arms(
    study: Study, among: Grid, direction: str, decisions: Sequence[StepFile]
) -> tuple[Arm, dict[str, Arm]]:
    """The arm at which a step starts, and those it can go to, by the factor that they switch.

    Args:
        study: A study with a greedy path.
        among: Its candidates.
        direction: "forward" or "backward".
        decisions: The decisions of this direction so far, step by step.
    """
    factors = path_factors(study)
    chosen = _chosen(decisions)
    arms = {frozenset(arm.stages): arm for arm in among.arms}
    base = arms[frozenset(switched_on(factors, direction, chosen))]
    found = {}
    for name in factors:
        if name not in chosen:
            arm = arms.get(frozenset(switched_on(factors, direction, [*chosen, name])))
            if arm is not None:
                found[name] = arm
    return base, found


def _chosen(steps: Sequence[StepFile]) -> list[str]:
    """The factors that steps of a greedy path switched, in order."""
    return [step["chosen"] for step in steps if step["chosen"] is not None]


def path_grid(
    study: Study,
    among: Grid,
    decisions: Mapping[str, Sequence[StepFile]],
    devices: int | None = None,
) -> Grid:
    """The arms of the study with those that the greedy path went through or looked at.

    Args:
        study: A study with a greedy path.
        among: Its candidates.
        decisions: The decisions of each direction, step by step.
        devices: As in `expand`.
    """
    grid = expand(study, devices)
    arms = list(grid.arms)
    paths = {}
    for direction, steps in decisions.items():
        for place in range(len(steps)):
            _, found = step_arms(study, among, direction, steps[:place])
            for arm in found.values():
                _add(arm, GREEDY_PATH, arms)
        paths[direction] = _path(study, arms, direction, _chosen(steps))
    designs: list[Notes] = [
        {**d, "paths": paths, "arms": _members(arms, GREEDY_PATH)}
        if d["design"] == GREEDY_PATH
        else d
        for d in grid.designs
    ]
    return replace(grid, arms=arms, designs=designs)


def _add(arm: Arm, design: str, arms: list[Arm]) -> None:
    """Put a candidate among the arms, or mark the arm that it already is."""
    for place, own in enumerate(arms):
        if set(own.stages) == set(arm.stages) and own.settings == arm.settings:
            if own.seeds is None and design not in own.designs:
                arms[place] = replace(own, designs=(*own.designs, design))
            return
    arms.append(replace(arm, designs=(design,)))


def _members(arms: Sequence[Arm], design: str) -> list[str]:
    return [arm.name for arm in arms if design in arm.designs]


def _path(
    study: Study, arms: Sequence[Arm], direction: str, chosen: Sequence[str]
) -> list[GreedyStep]:
    """The path's steps: the factor that is switched and the arm that it leads to."""
    factors = path_factors(study)
    order = [*chosen, *(name for name in factors if name not in chosen)]
    found: list[GreedyStep] = []
    for count, name in enumerate(order, start=1):
        on = set(switched_on(factors, direction, order[:count]))
        arm = next((a for a in arms if set(a.stages) == on and a.seeds is None), None)
        found.append({"factor": name, "arm": arm.name if arm else None})
    return found


def decided_grid(
    study: Study, decisions: Sequence[LookFile] | Sequence[StepFile], devices: int | None = None
) -> tuple[Grid, Mapping[str, object]]:
    """The grid that the decisions come to, and what else grid.json says of them.

    Args:
        study: A study with `sequential` or `greedy_path`.
        decisions: All of them, in any order.
        devices: As in `expand`.
    """
    if study.looks:
        looks = sorted(cast(Sequence[LookFile], decisions), key=lambda look: look["look"])
        return seeds_grid(study, looks, devices), {"sequential": looks}
    ways = study.designs[GREEDY_PATH]["directions"]
    every = sorted(cast(Sequence[StepFile], decisions), key=lambda step: step["step"])
    steps = {way: [step for step in every if step["direction"] == way] for way in ways}
    among = candidates(study, devices)
    assert among is not None  # there is a greedy path
    return path_grid(study, among, steps, devices), {"greedy_path": steps}


def read_looks(results: Results, count: int) -> list[LookFile]:
    """The decisions of the first looks, up to the one that stops."""
    found: list[LookFile] = []
    while len(found) < count and not (found and found[-1]["stop"]):
        found.append(load_record(results.look(len(found) + 1)))
    return found


def read_steps(results: Results, direction: str, count: int) -> list[StepFile]:
    """The decisions of the first steps of a greedy path in a direction."""
    return [load_record(results.step(direction, number)) for number in range(1, count + 1)]


def read_decisions(study: Study, results: Results) -> list[LookFile] | list[StepFile]:
    """Every decision that the study's grid rests on.

    Raises:
        UserError: one of them is not there yet.
    """
    if study.looks:
        return read_looks(results, len(study.looks))
    ways = study.designs[GREEDY_PATH]["directions"]
    steps = steps_of_path(study)
    return [decision for way in ways for decision in read_steps(results, way, steps)]


# --- Confirmation ------------------------------------------------------------------------------


def confirmation_grid(study: Study, among: Grid, decision: ChosenFile) -> Grid:
    """Current, what is recommended and backup, on fresh seeds; no arm where nothing is."""
    seeds = list(study.fresh_seeds)
    if not decision["stages"]:
        return Grid(study.name, [], seeds)
    named = {arm.name: arm for arm in among.arms if arm.kind == ENDPOINT}
    wanted = set(decision["stages"])
    chosen = next(arm for arm in among.arms if set(arm.stages) == wanted)
    recommended = replace(chosen, name=RECOMMENDED, kind=CELL)
    arms = [named[CURRENT], recommended, named[BACKUP]]
    return Grid(study.name, [replace(arm, designs=(CONFIRM,)) for arm in arms], seeds)
