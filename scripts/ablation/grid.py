"""The arms of a study and their runs: names come from content, equal arms are one run."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ablation.errors import UserError
from ablation.resolve import Configuration
from ablation.settings import in_arm
from ablation.study import Study

CURRENT = "current"
BACKUP = "backup"


@dataclass(frozen=True)
class Arm:
    """One complete effective configuration.

    Attributes:
        name: `current`, `stage1-<stage>`, ... or `backup`.
        stage: The stage that it adds to the arm before it; None for the endpoints.
        changed: The settings whose values are no longer the current ones.
        settings: Every setting that reaches training.
    """

    name: str
    stage: str | None
    changed: tuple[str, ...]
    settings: dict[str, object]

    @property
    def variant(self) -> str:
        """The name of its results, from its content alone.

        Two arms with equal settings share it, and no other arm, stage or seed moves it. It tells
        rank, learning rate and epochs to a person; it is never parsed.
        """
        settings = self.settings
        told = (
            f"r{settings['lora.r']}-lr{settings['learning_rate']:g}"
            f"-ep{settings['num_train_epochs']:g}"
        )
        return f"{told}-{content_hash(settings)[:8]}"


@dataclass(frozen=True)
class Run:
    """An arm's variant with a seed."""

    variant: str
    seed: int


@dataclass(frozen=True)
class Grid:
    """The arms in the order of the study, and the seeds."""

    study: str
    arms: list[Arm]
    seeds: list[int]

    def runs(self) -> list[Run]:
        """Every run once, arm by arm within each seed: a partial grid has whole pairs."""
        variants = list(dict.fromkeys(arm.variant for arm in self.arms))
        return [Run(variant, seed) for seed in self.seeds for variant in variants]

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

    def as_json(self) -> dict:
        """The grid as it is written to grid.json."""
        return {
            "study": self.study,
            "arms": [
                {
                    "arm": arm.name,
                    "kind": "stage" if arm.stage else "endpoint",
                    "stage": arm.stage,
                    "variant": arm.variant,
                    "changed": list(arm.changed),
                    "settings": arm.settings,
                }
                for arm in self.arms
            ],
            "seeds": self.seeds,
            "runs": [
                {"arm": arm.name, "variant": arm.variant, "seed": seed}
                for seed in self.seeds
                for arm in self.arms
            ],
        }


def content_hash(settings: dict[str, object]) -> str:
    """SHA-256 (hex) of an arm's settings, independent of their order."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def expand(study: Study) -> Grid:
    """The arms of the study: current, each cumulative stage, backup."""
    here, there = _trained(study.current), _trained(study.backup)
    settings = dict.fromkeys(sorted({*here, *there}))
    current = {name: here.get(name) for name in settings}
    backup = {name: there.get(name) for name in settings}
    arms = [Arm(CURRENT, None, (), current)]
    taken: set[str] = set()
    for number, stage in enumerate(study.stages, start=1):
        taken |= set(stage.settings)
        staged = {n: backup[n] if n in taken else current[n] for n in settings}
        arms.append(_arm(f"stage{number}-{stage.name}", stage.name, staged, current))
    arms.append(_arm(BACKUP, None, backup, current))
    return Grid(study.name, arms, list(study.options["seeds"]))


def _arm(
    name: str, stage: str | None, settings: dict[str, object], current: dict[str, object]
) -> Arm:
    changed = tuple(n for n in settings if settings[n] != current[n])
    return Arm(name, stage, changed, settings)


def _trained(side: Configuration) -> dict[str, object]:
    return {name: value.value for name, value in side.settings.items() if in_arm(name)}


def load_grid(path: str | Path) -> Grid:
    """The grid in a grid.json."""
    data = json.loads(Path(path).read_text())
    arms = [
        Arm(arm["arm"], arm["stage"], tuple(arm["changed"]), arm["settings"])
        for arm in data["arms"]
    ]
    return Grid(data["study"], arms, data["seeds"])


def save_grid_csv(grid: Grid, path: str | Path) -> None:
    """Write the table arm × setting, one row for each arm."""
    names = list(grid.arms[0].settings)
    with Path(path).open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["arm", "variant", "stage", "changed", *names])
        for arm in grid.arms:
            values = [_cell(arm.settings[name]) for name in names]
            writer.writerow(
                [arm.name, arm.variant, arm.stage or "", " ".join(arm.changed), *values]
            )


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def describe(study: Study, grid: Grid, devices: int, kind: str) -> str:
    """The plan in words: what will be trained, what is shared, and what no stage explains.

    Args:
        study: The study.
        grid: Its arms and seeds.
        devices: How many devices a run trains on here.
        kind: What they are: "GPU" or "CPU process".
    """
    lines = [f"study {study.name}: {len(grid.arms)} arms x {len(grid.seeds)} seeds"]
    seen: dict[str, str] = {}
    for arm in grid.arms:
        same = seen.get(arm.variant)
        seen.setdefault(arm.variant, arm.name)
        changes = ", ".join(_change(study, name) for name in _own_changes(study, arm))
        told = f"the same as {same}" if same else changes or "as it is"
        lines.append(f"  {arm.name}: {told}")
    lines.append(f"  {len(grid.runs())} runs, each on {devices} {kind}{'es' * (devices > 1)}")
    source = max(int(arm.settings["world_size"]) for arm in grid.arms)
    if source != devices:
        lines.append(
            f"  the source trains on {source} devices: "
            "gradient accumulation keeps its effective batch"
        )
    if study.unstaged():
        lines.append(f"  no stage names {len(study.unstaged())} of the differences: they are")
        lines.append("  the remainder between the last stage and backup, measured as one")
    held = [d.setting for d in study.differences if d.held]
    held += [d.setting for d in study.silent]
    if held:
        lines.append(f"  held equal in all arms: {', '.join(held)}")
    for side in (study.current, study.backup):
        lines += [f"  {text}" for text in _unread(side)]
    return "\n".join(lines)


def _unread(side: Configuration) -> list[str]:
    """One line for each block of the file that nothing reads."""
    blocks: dict[str, list[int]] = {}
    for key in side.unknown:
        blocks.setdefault(key["key"].split(".")[0], []).append(key["line"])
    return [f"{side.file}:{min(lines)}: nothing reads '{block}'" for block, lines in blocks.items()]


def _own_changes(study: Study, arm: Arm) -> list[str]:
    """The settings that the arm adds to the one before it."""
    if arm.stage:
        stage = next(s for s in study.stages if s.name == arm.stage)
        return [name for name in stage.settings if name in arm.changed]
    return study.unstaged() if arm.changed else []


def _change(study: Study, name: str) -> str:
    difference = next(d for d in study.differences if d.setting == name)
    before, after = (show(side.value) for side in (difference.current, difference.backup))
    return f"{name} {before} -> {after}"


def show(value: object) -> str:
    """A setting's value as a person writes it: 3 rather than 3.0, `not set` for none."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(_cell(value))
