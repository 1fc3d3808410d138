"""The plan in words, as a dry run tells it: what is trained, shared, decided later, held equal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ablation.comparison.resolve import Configuration
from ablation.designs.a_a import A_A
from ablation.designs.design import CONTROL, RUNG_ARM, TUNED_ARM, TUNING
from ablation.designs.greedy_path import GREEDY_PATH
from ablation.designs.grid import GRID
from ablation.designs.staged import STAGED
from ablation.dialects.reader import UnknownKey
from ablation.settings.catalogue import OTHER, UNKNOWN
from ablation.settings.quantities import POOL_ROWS
from ablation.study.grid import Arm, Grid
from ablation.study.study import Study
from ablation.words.catalogue import Messages, short_value
from ablation.words.errors import translate

MOST_LISTED = 16  # arms beside the staged path that are listed one by one


def outline(study: Study, grid: Grid, devices: int, on_gpus: bool, t: Messages) -> str:
    """What will be trained, what is shared, and what no stage explains.

    Args:
        study: The study.
        grid: Its arms and seeds.
        devices: How many devices a run trains on here.
        on_gpus: Whether they are GPUs, not processes of the CPU.
        t: The texts of a plan.
    """
    head = t("outline.head", study=study.name, arms=len(grid.arms), seeds=len(grid.seeds))
    lines = [*_arms(study, grid, t), *_runs(study, grid, devices, on_gpus, t)]
    unstaged = study.unstaged()
    if unstaged:
        lines += t("outline.remainder", count=len(unstaged)).splitlines()
    held = [d.setting for d in (*(d for d in study.differences if d.held), *study.silent)]
    if held:
        lines.append(t("outline.held", names=", ".join(held)))
    unknown = [d.setting.removeprefix(OTHER) for d in study.differences if d.acts_on == UNKNOWN]
    if unknown:
        lines.append(t("outline.unknown", names=", ".join(unknown)))
    for side in (study.current, study.backup):
        lines += [*_other_model(study, side, t), *_unread(side, t)]
    return "\n".join([head, *(f"  {line}" for line in lines)])


def _arms(study: Study, grid: Grid, t: Messages) -> Iterator[str]:
    seen: dict[str, str] = {}
    listed = [arm for arm in grid.arms if STAGED in arm.designs]
    others = [arm for arm in grid.arms if STAGED not in arm.designs]
    for arm in [*listed, *others[:MOST_LISTED]]:
        same = seen.get(arm.variant)
        seen.setdefault(arm.variant, arm.name)
        yield f"{arm.name}: {_told(study, grid, arm, same, t)}"
    if len(others) > MOST_LISTED:
        yield t("outline.more", count=len(others) - MOST_LISTED, study=study.name)
    for lost in grid.left_out:
        yield t("outline.left_out", arm=lost.name, reason=lost.reason.text(t.language))


def _runs(study: Study, grid: Grid, devices: int, on_gpus: bool, t: Messages) -> Iterator[str]:
    key = "gpu" if on_gpus else "cpu"
    yield t(f"outline.runs_{key}", runs=len(grid.runs()), devices=devices)
    yield from _to_be_decided(study, t)
    source = max(int(arm.settings["world_size"]) for arm in grid.arms)
    if source != devices:
        yield t("outline.source_devices", devices=source)


def _other_model(study: Study, side: Configuration, t: Messages) -> list[str]:
    """Where a side names another model than study.yaml; a folder goes by its last name."""
    trained, named = study.options["model"].get("path"), side.settings.get("model.name_or_path")
    if not trained or not named or not named.value:
        return []
    other = str(named.value)
    if Path(trained).name.lower() == Path(other).name.lower():
        return []
    where = f"{named.file}:{named.line}" if named.line else side.file
    return [t("outline.other_model", where=where, named=repr(other), trained=repr(trained))]


def _unread(side: Configuration, t: Messages) -> list[str]:
    """One line for each block with keys that nothing reads, and each key that no run acts upon."""
    blocks: dict[tuple[str, str], list[UnknownKey]] = {}
    lines = []
    for key in side.unknown:
        if key.note:
            lines.append(f"{key.file}:{key.line}: '{key.key}': {translate(key.note, t.language)}")
        else:
            blocks.setdefault((key.file, key.key.split(".")[0]), []).append(key)
    for (file, block), keys in blocks.items():
        where = f"{file}:{keys[0].line}"
        if len(keys) == 1:
            lines.append(t("outline.unread", where=where, key=keys[0].key))
        else:
            lines.append(t("outline.unread_block", where=where, count=len(keys), block=block))
    return lines


def _told(study: Study, grid: Grid, arm: Arm, same: str | None, t: Messages) -> str:
    """What an arm is, in a few words."""
    if arm.name == A_A:
        return t("outline.other_seeds", seeds=", ".join(map(str, arm.seeds or ())))
    if same:
        return t("outline.same", arm=same)
    if STAGED in arm.designs:
        changes = [_change(study, name, t) for name in _own_changes(study, arm)]
        return ", ".join(changes) or t("outline.as_it_is")
    if arm.kind == TUNED_ARM:
        return f"learning_rate {_show(arm.settings['learning_rate'], t)}"
    if arm.kind == RUNG_ARM:
        return t("outline.rung", rows=f"{arm.settings[POOL_ROWS]:,}")
    if arm.kind == TUNING:
        start = next(design["base"] for design in grid.designs if design["design"] == GRID)
        base = next(one for one in grid.arms if one.name == start)
        own = [name for name in arm.settings if arm.settings[name] != base.settings[name]]
        values = ", ".join(f"{name} {_show(arm.settings[name], t)}" for name in own)
        return t("outline.tuned", arm=base.name, values=values)
    if arm.kind == CONTROL:
        rest = set(study.unstaged()).union(*(s.settings for s in study.stages))
        own = [name for name in arm.changed if name not in rest] or list(arm.changed)
        return ", ".join(f"{name} {_show(arm.settings[name], t)}" for name in own)
    return " + ".join(arm.stages) or t("outline.as_it_is")


def _to_be_decided(study: Study, t: Messages) -> Iterator[str]:
    """What results will add to the plan."""
    if study.looks:
        yield t("outline.looks", looks=", ".join(map(str, study.looks)))
    if GREEDY_PATH in study.designs:
        yield t("outline.greedy")
    if study.fresh_seeds:
        yield t("outline.confirm", seeds=", ".join(map(str, study.fresh_seeds)))


def _own_changes(study: Study, arm: Arm) -> list[str]:
    """The settings that the arm adds to the one before it."""
    if arm.stage:
        stage = next(s for s in study.stages if s.name == arm.stage)
        return [name for name in stage.settings if name in arm.changed]
    return study.unstaged() if arm.changed else []


def _change(study: Study, name: str, t: Messages) -> str:
    difference = next(d for d in study.differences if d.setting == name)
    before, after = (_show(side.value, t) for side in (difference.current, difference.backup))
    return f"{name} {before} -> {after}"


def _show(value: object, t: Messages) -> str:
    """A setting's value as a person writes it: 3 rather than 3.0."""
    if value is None:
        return t("outline.not_set")
    if isinstance(value, (bool, float)):
        return short_value(value)
    return json.dumps(value) if isinstance(value, (list, dict)) else str(value)
