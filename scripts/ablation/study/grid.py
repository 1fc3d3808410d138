"""The arms of a study and their runs: names come from content, equal arms are one run."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import jsonschema

from ablation.comparison.resolve import Configuration
from ablation.designs import plan_designs
from ablation.designs.contrast import Notes
from ablation.designs.design import APART, CURRENT, ENDPOINT, STAGE, Cell
from ablation.designs.feasibility import Reason, cannot_run, needs_gpu
from ablation.designs.staged import STAGED
from ablation.errors import UserError
from ablation.files import load_json, load_record, save_text
from ablation.project import SCHEMAS
from ablation.settings.architecture import is_full
from ablation.settings.catalogue import Settings
from ablation.study.grid_file import ArmEntry, GridFile, LeftOutEntry, RunEntry
from ablation.study.study import Study
from ablation.words.catalogue import LANGUAGES


@dataclass(frozen=True)
class Arm:
    """One complete effective configuration.

    Attributes:
        name: `current`, `stage1-<stage>`, ..., `backup`; `only-<stage>`, `without-<stage>`,
            `cell-<a>+<b>`, `grid-<setting>=<value>`, `a_a`, `matched-<stage>`, `<arm>@<rows>`,
            `<arm>~<multiple>x`.
        stage: The stage that it adds to the arm before it on the staged path; None for the others.
        changed: The settings whose values are no longer the current ones.
        settings: Every setting that reaches training.
        kind: "endpoint", "stage", "only", "without", "cell", "grid", "control", "rung" or
            "tuned".
        designs: The designs that it belongs to.
        stages: The factors that are switched on (stages, "remainder", or a design's own).
        seeds: Its own seeds where they are not the grid's. Those of an A/A control stand beside
            the grid's, one for one.
    """

    name: str
    stage: str | None
    changed: tuple[str, ...]
    settings: Settings
    kind: str = ENDPOINT
    designs: tuple[str, ...] = (STAGED,)
    stages: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = None

    @cached_property
    def variant(self) -> str:
        """The name of its results, from its content alone.

        Two arms with equal settings share it, and no other arm, stage or seed moves it. It tells
        rank, learning rate and epochs to a person; it is never parsed.
        """
        settings = self.settings
        kind = "full" if is_full(settings) else f"r{settings['lora.r']}"
        told = f"{kind}-lr{settings['learning_rate']:g}-ep{settings['num_train_epochs']:g}"
        return f"{told}-{content_hash(settings)[:8]}"

    def as_json(self) -> ArmEntry:
        """The arm as it is written to grid.json."""
        own = {} if self.seeds is None else {"seeds": list(self.seeds)}
        found = {
            "arm": self.name,
            "kind": self.kind,
            "stage": self.stage,
            "design": list(self.designs),
            "stages": list(self.stages),
            "variant": self.variant,
            **own,
            "changed": list(self.changed),
            "settings": self.settings,
        }
        return cast(ArmEntry, found)


@dataclass(frozen=True)
class Run:
    """An arm's variant with a seed."""

    variant: str
    seed: int


@dataclass(frozen=True)
class LeftOut:
    """An arm that a design asks for and that cannot be run.

    Attributes:
        name: Its name.
        stages: The factors that would be switched on.
        reason: Why it cannot be run.
        designs: The designs that ask for it.
    """

    name: str
    stages: tuple[str, ...]
    reason: Reason
    designs: tuple[str, ...]

    def as_json(self) -> LeftOutEntry:
        """It as it is written to grid.json's `left_out`."""
        return {
            "arm": self.name,
            "design": list(self.designs),
            "stages": list(self.stages),
            "reason": self.reason.id,
            "numbers": self.reason.numbers,
            "text": {language: self.reason.text(language) for language in LANGUAGES},
        }


@dataclass(frozen=True)
class Grid:
    """The arms in the order of the study, and the seeds.

    Attributes:
        study: The study's name.
        arms: The staged path first, then what other designs add.
        seeds: The seeds of every arm that has none of its own.
        designs: What each design comes to: its name, factors and further facts, arms in order.
        left_out: The arms that cannot run.
    """

    study: str
    arms: list[Arm]
    seeds: list[int]
    designs: Sequence[Notes] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def arm_runs(self) -> list[tuple[Arm, int, int]]:
        """Every arm with each of its seeds, and the grid's seed that it stands beside.

        Arm by arm within each seed: a partial grid has whole pairs.
        """
        found = []
        for place, paired in enumerate(self.seeds):
            for arm in self.arms:
                own = self.seeds if arm.seeds is None else arm.seeds
                if place < len(own):
                    found.append((arm, own[place], paired))
        return found

    def runs(self) -> list[Run]:
        """Every run once."""
        return list(dict.fromkeys(Run(arm.variant, seed) for arm, seed, _ in self.arm_runs()))

    def arm_of(self, variant: str) -> Arm:
        """The first arm with this variant.

        Raises:
            UserError: there is none.
        """
        for arm in self.arms:
            if arm.variant == variant:
                return arm
        raise UserError(
            "no arm of the grid has this variant",
            found=variant,
            allowed=[arm.variant for arm in self.arms],
        )

    def as_json(self) -> GridFile:
        """The grid as it is written to grid.json.

        A run whose seed stands beside another one (A/A) names that as its `paired_seed`.
        """
        return {
            "study": self.study,
            "arms": [arm.as_json() for arm in self.arms],
            "designs": self.designs,
            "left_out": [arm.as_json() for arm in self.left_out],
            "seeds": self.seeds,
            "runs": [_run(arm, seed, paired) for arm, seed, paired in self.arm_runs()],
        }


def _run(arm: Arm, seed: int, paired: int) -> RunEntry:
    found: RunEntry = {"arm": arm.name, "variant": arm.variant, "seed": seed}
    return found if paired == seed else {**found, "paired_seed": paired}


def content_hash(settings: Settings) -> str:
    """SHA-256 (hex) of an arm's settings, independent of their order."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def expand(study: Study, devices: int | None = None, seeds: Sequence[int] | None = None) -> Grid:
    """The arms of the study's designs: current, each cumulative stage, backup, and the others.

    Args:
        study: The study.
        devices: Devices that each run is told to use; None where the number adapts to the arm.
        seeds: The seeds to run; the study's first ones where None (see `Study.first_seeds`).

    Raises:
        UserError: an arm of the staged path cannot run: without it the path has no meaning.
    """
    chosen = list(study.first_seeds() if seeds is None else seeds)
    space = study.space()
    model = study.options["model"]["architecture"]
    arms: list[Arm] = []
    left: dict[str, LeftOut] = {}
    designs: list[Notes] = []
    for name, plan in plan_designs(study.designs, space, chosen).items():
        names = []
        lost = [LeftOut(*cell, designs=(name,)) for cell in plan.left_out]
        for cell in plan.cells:
            reason = cannot_run(cell.settings, model, devices)
            if reason is None:
                names.append(_place(cell, space.current, arms))
            elif cell.kind in (ENDPOINT, STAGE):
                raise _broken_path(study, cell, reason)
            else:
                lost.append(LeftOut(cell.name, cell.stages, reason, (name,)))
        for out in lost:
            before = left[out.name].designs if out.name in left else ()
            left[out.name] = replace(out, designs=(*before, *out.designs))
        designs.append({"design": name, **plan.facts, "arms": names})
    return Grid(study.name, arms, chosen, designs, list(left.values()))


def _place(cell: Cell, current: Settings, arms: list[Arm]) -> str:
    """Put the cell among the arms, or find the arm that it already is; the arm's name."""
    twin = _twin(cell, arms)
    if twin is not None:
        arms[arms.index(twin)] = replace(twin, designs=(*twin.designs, cell.design))
        return twin.name
    changed = tuple(n for n in cell.settings if cell.settings[n] != current.get(n))
    arms.append(
        Arm(
            name=cell.name,
            stage=cell.stage,
            changed=changed,
            settings=cell.settings,
            kind=cell.kind,
            designs=(cell.design,),
            stages=cell.stages,
            seeds=cell.seeds,
        )
    )
    return cell.name


def _twin(cell: Cell, arms: Sequence[Arm]) -> Arm | None:
    """The arm of another design with the same factors on, the one of the same name first."""
    if cell.design == STAGED or cell.kind in APART:
        return None
    twins = [
        arm
        for arm in arms
        if arm.kind not in APART
        and set(arm.stages) == set(cell.stages)
        and arm.settings == cell.settings
    ]
    return next((arm for arm in twins if arm.name == cell.name), twins[0] if twins else None)


def _broken_path(study: Study, cell: Cell, reason: Reason) -> UserError:
    """An arm of the staged path that cannot run, as the user's mistake."""
    if reason.id == "batch_not_divisible":
        return UserError(
            f"{cell.name} cannot run: {reason.text()}",
            file="config/config.yaml",
            found=f"devices_per_run: {reason.numbers['devices']}",
            allowed="auto, source, or a number that divides every arm's effective batch",
            write="devices_per_run: auto",
        )
    own = (study.current if cell.name == CURRENT else study.backup,)
    sides = own if cell.stage is None else (study.current, study.backup)
    place = _written(sides, reason, cell.settings)
    if cell.stage is None:
        file, line = place or (own[0].file, None)
        return UserError(f"{cell.name} cannot run: {reason.text()}", file=file, line=line)
    where = f" ({place[0]}:{place[1]})" if place else ""
    return UserError(
        f"stage '{cell.stage}' makes an arm that cannot run: {reason.text()}{where}",
        file=study.file,
        line=study.stage_line(cell.stage),
        found=list(cell.stages),
        allowed="settings that need each other in one stage",
    )


def _written(
    sides: Sequence[Configuration], reason: Reason, settings: Settings
) -> tuple[str, int] | None:
    """File and line of the first setting to blame that somebody wrote; None where nobody did."""
    for name in reason.settings:
        for side in sides:
            value = side.settings.get(name)
            if value and value.file and value.line and value.value == settings.get(name):
                return value.file, value.line
    return None


def refuse_without_gpu(study: Study, grid: Grid) -> None:
    """Refuse a grid of which an arm cannot run on the CPU.

    Raises:
        UserError: the first such arm, with the line to blame.
    """
    sides = (study.current, study.backup)
    for arm in grid.arms:
        reason = needs_gpu(arm.settings)
        if reason is None:
            continue
        file, line = _written(sides, reason, arm.settings) or (study.file, None)
        raise UserError(f"{arm.name} cannot run: {reason.text()}", file=file, line=line)


def load_grid(path: str | Path) -> Grid:
    """The grid in a grid.json.

    Raises:
        UserError: the file cannot be read, or is none that this version writes.
    """
    return read_grid(load_record(path), path)


def read_grid(data: Any, file: str | Path | None = None) -> Grid:
    """The grid in the content of a grid.json.

    Raises:
        UserError: it does not keep to the schema.
    """
    schema = load_json(SCHEMAS / "grid.schema.json")
    error = next(jsonschema.Draft202012Validator(schema).iter_errors(data), None)
    if error is not None:
        where = ".".join(map(str, error.absolute_path)) or "the whole"
        raise UserError(
            f"the grid is of another version, or was changed: {where}: {error.message[:200]}",
            file=file,
            write="snakemake --cores all   # writes it anew, and trains nothing again",
        )
    arms = [
        Arm(
            name=arm["arm"],
            stage=arm["stage"],
            changed=tuple(arm["changed"]),
            settings=arm["settings"],
            kind=arm["kind"],
            designs=tuple(arm["design"]),
            stages=tuple(arm["stages"]),
            seeds=tuple(arm["seeds"]) if "seeds" in arm else None,
        )
        for arm in data["arms"]
    ]
    left_out = [
        LeftOut(
            lost["arm"],
            tuple(lost["stages"]),
            Reason(lost["reason"], lost["numbers"]),
            tuple(lost["design"]),
        )
        for lost in data["left_out"]
    ]
    return Grid(data["study"], arms, data["seeds"], data["designs"], left_out)


def save_grid_csv(grid: Grid, path: str | Path) -> None:
    """Write the table arm × setting, one row for each arm."""
    names = list(grid.arms[0].settings)
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["arm", "variant", "stage", "changed", *names])
    for arm in grid.arms:
        values = [_cell(arm.settings[name]) for name in names]
        writer.writerow([arm.name, arm.variant, arm.stage or "", " ".join(arm.changed), *values])
    save_text(table.getvalue(), path)


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, (list, dict)) else value
