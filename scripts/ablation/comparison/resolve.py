"""What two configurations do: effective settings with their places, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ablation.comparison.derive import derive, fill_unsaid
from ablation.comparison.without_effect import has_no_effect
from ablation.dialects import DIALECTS, recognise
from ablation.dialects.reader import DEFAULT, DERIVED, Reader, Value
from ablation.documents.entries import load_entries
from ablation.errors import UserError
from ablation.settings.catalogue import NO_OP, SETTINGS, acts_on, in_arm

NOT_SET = "not set"


@dataclass(frozen=True)
class Configuration:
    """One side of a study.

    Attributes:
        file: The file as it is shown to the user.
        dialect: The name of its dialect.
        settings: Effective value of each setting, sorted by name.
        unknown: Keys that nothing reads, or that no run acts upon: {"key", "file", "line",
            "value", "note"}; the note says what runs do instead, None where nothing reads it.
        files: The file and those that it includes.
    """

    file: str
    dialect: str
    settings: dict[str, Value]
    unknown: list[dict]
    files: tuple[str, ...] = ()

    def as_json(self) -> dict:
        """The configuration as it is written to resolved/*.json."""
        return {
            "file": self.file,
            "files": list(self.files),
            "dialect": self.dialect,
            "settings": {name: value.as_json() for name, value in self.settings.items()},
            "unknown": self.unknown,
        }


@dataclass(frozen=True)
class Difference:
    """A setting whose effective value differs between the two sides.

    Attributes:
        setting: Its name.
        current: The value of the current side.
        backup: The value of the backup.
        no_effect: Whether the values differ and what they do does not, given the other settings
            of the two sides: epochs where `max_steps` rules on both.
    """

    setting: str
    current: Value
    backup: Value
    no_effect: bool = False

    @property
    def acts_on(self) -> str:
        """What the difference can change: one of the classes of `ablation.settings.catalogue`."""
        return NO_OP if self.no_effect else acts_on(self.setting)

    @property
    def held(self) -> bool:
        """Whether the study holds the setting equal in all arms, so that it explains nothing."""
        return self.setting in SETTINGS and SETTINGS[self.setting].held

    @property
    def trained(self) -> bool:
        """Whether the difference reaches training, so that it can be part of the gap."""
        return in_arm(self.setting) and not self.no_effect

    def as_json(self, stage: str | None) -> dict:
        """The difference as it is written to resolved/differences.json."""
        return {
            "setting": self.setting,
            "class": self.acts_on,
            "held": self.held,
            "current": self.current.as_json(),
            "backup": self.backup.as_json(),
            "stage": stage,
        }


def resolve_file(
    path: str | Path,
    architecture: Mapping[str, object],
    dialect: str | None = None,
    world_size: int | None = None,
) -> Configuration:
    """The effective settings of one configuration file.

    Args:
        path: The file; its name is used as it is in messages and provenance.
        architecture: Facts of the model (`num_hidden_layers`, `dtype`, ...), as in its
            config.json.
        dialect: The name of its dialect; recognised by its keys when None.
        world_size: How many devices it trains on where the file does not say.

    Raises:
        UserError: the file cannot be read, or has a value that a setting cannot have.
    """
    root = load_entries(path)
    if dialect is not None and dialect not in DIALECTS:
        raise UserError("there is no such dialect", found=dialect, allowed=list(DIALECTS))
    module = DIALECTS[dialect] if dialect else recognise(root, str(path))
    reader = Reader(root, str(path))
    module.read(reader)
    settings = reader.merged()
    for source, defaults in module.DEFAULTS:
        for name, value in defaults.items():
            settings.setdefault(name, Value(value, DEFAULT, key=source))
    derive(settings, reader.automatic, architecture, world_size)
    return Configuration(
        str(path),
        module.NAME,
        dict(sorted(settings.items())),
        reader.unknown(),
        (str(path), *reader.included),
    )


def resolve_pair(
    current: str | Path,
    backup: str | Path,
    architecture: Mapping[str, object],
    dialects: tuple[str | None, str | None] = (None, None),
    world_size: int | None = None,
) -> tuple[Configuration, Configuration]:
    """Both sides' configurations; one that is silent about its devices has the other's.

    Raises:
        UserError: as `resolve_file`.
    """
    paths = (current, backup)
    sides = [
        resolve_file(path, architecture, dialect, world_size)
        for path, dialect in zip(paths, dialects, strict=True)
    ]
    said = [side.settings["world_size"] for side in sides]
    for index, (own, other) in enumerate(zip(said, said[::-1], strict=True)):
        if own.origin == DERIVED and own.line is None and other.line is not None:
            side = resolve_file(paths[index], architecture, dialects[index], other.value)
            note = f"not said in the file; taken from {other.file}:{other.line}"
            devices = replace(side.settings["world_size"], note=note)
            sides[index] = replace(side, settings={**side.settings, "world_size": devices})
    filled = fill_unsaid(sides[0].settings, sides[1].settings)
    first, second = (
        replace(side, settings=dict(sorted(settings.items())))
        for side, settings in zip(sides, filled, strict=True)
    )
    return first, second


def find_differences(current: Configuration, backup: Configuration) -> list[Difference]:
    """The settings whose effective values differ, sorted by name.

    A held setting that one side does not mention (the split of a file that gets its data ready
    made) is unknown there rather than different, and left out: see `find_silent`.
    """
    return [
        replace(pair, no_effect=has_no_effect(pair.setting, current.settings, backup.settings))
        for pair in _pairs(current, backup)
        if pair.current.value != pair.backup.value and not _one_is_silent(pair)
    ]


def find_silent(current: Configuration, backup: Configuration) -> list[Difference]:
    """The held settings that only one side mentions."""
    return [pair for pair in _pairs(current, backup) if pair.held and _one_is_silent(pair)]


def _pairs(current: Configuration, backup: Configuration) -> list[Difference]:
    missing = Value(None, DEFAULT, note=NOT_SET)
    names = sorted({*current.settings, *backup.settings})
    return [
        Difference(name, current.settings.get(name, missing), backup.settings.get(name, missing))
        for name in names
    ]


def _one_is_silent(pair: Difference) -> bool:
    return pair.held and NOT_SET in (pair.current.note, pair.backup.note)
