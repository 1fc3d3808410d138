"""Stages for two configurations that nobody has written a study for: one cause each."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ablation.comparison.resolve import Configuration, find_differences
from ablation.settings.catalogue import SETTINGS, SYSTEMS, group_of

SYSTEMS_STAGE = "systems"
_BATCH = ("per_device_train_batch_size", "gradient_accumulation_steps", "world_size")
# What moves one cause, in the order in which a person would ask: how much is trained, how fast, for
# how long, on what. A name that is not here is a group of `ablation.settings.catalogue`.
_CAUSES = {
    "lora_rank": ("lora.r", "lora.lora_alpha", "lora.use_rslora"),
    "lora_layers": ("lora.target_modules", "lora.layers_to_transform", "lora.modules_to_save"),
    "lora": (),
    "learning_rate": (),
    "scheduler": (),
    "epochs": (),
    "batch": (),
    "weight_decay": (),
    "optimizer": (),
    "loss": (),
    "max_length": (),
    "data": (),
    "selection": (),
    "precision": (),
}
NAMES = (*_CAUSES, SYSTEMS_STAGE)


@dataclass(frozen=True, kw_only=True)
class ProposedStage:
    """A stage that changes one cause.

    Attributes:
        name: One of `NAMES`.
        settings: What it takes over from the backup.
    """

    name: str
    settings: tuple[str, ...]


def propose_stages(current: Configuration, backup: Configuration) -> list[ProposedStage]:
    """The trained differences as stages: each cause alone, what only concerns systems last."""
    names = [d.setting for d in find_differences(current, backup) if d.trained]
    same_batch = _rows_of_a_step(current) == _rows_of_a_step(backup)
    found: dict[str, list[str]] = {name: [] for name in NAMES}
    for name in names:
        found[_cause(name, same_batch)].append(name)
    return [
        ProposedStage(name=name, settings=_in_order(name, settings))
        for name, settings in found.items()
        if settings
    ]


def _in_order(cause: str, settings: list[str]) -> tuple[str, ...]:
    """The settings as a person lists them: those of a named cause in its order."""
    listed = [name for name in _CAUSES.get(cause, ()) if name in settings]
    return (*listed, *(name for name in settings if name not in listed))


def _rows_of_a_step(side: Configuration) -> int:
    values = [side.settings[name].value for name in _BATCH]
    return prod(value for value in values if isinstance(value, int))


def _cause(setting: str, same_batch: bool) -> str:
    if setting in _BATCH and same_batch:
        return SYSTEMS_STAGE  # the step has the same rows, cut in another way
    if setting in SETTINGS and SETTINGS[setting].acts_on == SYSTEMS:
        return SYSTEMS_STAGE
    for name, settings in _CAUSES.items():
        if setting in settings:
            return name
    group = group_of(setting)
    return group if group in _CAUSES else SYSTEMS_STAGE
