"""What two configurations do: effective settings with their places, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import ModuleType

from ablation.comparison.derive import derive, fill_earlier, fill_unsaid
from ablation.comparison.kind import Kind, kind_of
from ablation.comparison.versions import Versions, find_versions
from ablation.comparison.without_effect import has_no_effect
from ablation.dialects import choose, recognize
from ablation.dialects.reader import (
    DEFAULT,
    DERIVED,
    Reader,
    Refusal,
    StepsTold,
    Stranger,
    UnknownKey,
    Value,
)
from ablation.dialects.settle import settle
from ablation.dialects.vocabulary import default_of
from ablation.documents.entries import Entry, load_entries
from ablation.documents.tree import Repeated
from ablation.errors import UserError, raise_all
from ablation.settings.catalogue import NO_OP, OTHER, SETTINGS, UNTRAINED, acts_on, in_arm

NOT_SET = "not set"


@dataclass(frozen=True, kw_only=True)
class Script:
    """What shows that a script of people's own stands between a file and the libraries.

    Attributes:
        block: The block that is taken for Trainer's arguments; None at the top level.
        names: Keys that are read as a setting although no library calls it so.
        joined: Keys that name other files which are put together with this one.
    """

    block: str | None
    names: tuple[str, ...]
    joined: tuple[str, ...]


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
        refusals: What no run can start with.
        strangers: Keys that the dialect's trainer does not have.
        without_effect: Keys that change nothing that is trained; the note is the reason.
        speaks_for: The keys that speak for the dialect, as no other has them.
        repeated: Keys that stand twice.
        counting: How the trainer counts steps, where not as Trainer does.
        assumed: What is computed with in place of each value that cannot be read.
        steps_told: Numbers of steps that transformers compares with the run's.
        versions: The releases of libraries that it ran with, as far as files tell.
        script: What shows that a script of people's own reads the file; None where nothing does.
    """

    file: str
    dialect: str
    settings: dict[str, Value]
    unknown: list[UnknownKey]
    files: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    strangers: tuple[Stranger, ...] = ()
    without_effect: Mapping[str, Value] = field(default_factory=dict)
    speaks_for: tuple[str, ...] = ()
    repeated: tuple[Repeated, ...] = ()
    counting: Mapping[str, object] = field(default_factory=dict)
    assumed: Mapping[str, Value] = field(default_factory=dict)
    steps_told: tuple[StepsTold, ...] = ()
    versions: Versions = field(default_factory=dict)
    script: Script | None = None

    @property
    def readable(self) -> dict[str, Value]:
        """The settings with what is assumed in place of values that cannot be read."""
        return {**self.settings, **self.assumed}

    @property
    def kind(self) -> Kind:
        """The kind of training."""
        return kind_of(self.settings)

    def as_json(self) -> dict[str, object]:
        """The configuration as it is written to resolved/*.json."""
        return {
            "file": self.file,
            "files": list(self.files),
            "dialect": self.dialect,
            "settings": {name: value.as_json() for name, value in self.settings.items()},
            "kind": self.kind,
            "speaks_for": list(self.speaks_for),
            "unknown": [key.as_json() for key in self.unknown],
            "refusals": [refusal.as_json() for refusal in self.refusals],
            "strangers": [asdict(stranger) for stranger in self.strangers],
            "without_effect": {key: value.note for key, value in self.without_effect.items()},
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
    def sides(self) -> dict[str, Value]:
        """Both values by side."""
        return {"current": self.current, "backup": self.backup}

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

    def as_json(self, stage: str | None) -> dict[str, object]:
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
    versions: Versions | None = None,
) -> Configuration:
    """The effective settings of one configuration file.

    Args:
        path: The file; its name is used as it is in messages and provenance.
        architecture: Facts of the model (`num_hidden_layers`, `dtype`, ...), as in its
            config.json.
        dialect: The name of its dialect; recognized by its keys when None.
        world_size: How many devices it trains on where the file does not say.
        versions: The releases of libraries it ran with; those that files beside it tell where None.

    Raises:
        UserError: the file cannot be read, or no dialect accounts for its keys.
    """
    root = choose(load_entries(path), str(path), dialect)
    found = recognize(root, str(path), dialect)
    reader, module = found.reader, found.module
    reader.other(found.vocabulary)
    written = reader.merged()
    settings = _with_defaults(written, module)
    settle(reader, settings)
    versions = find_versions(path) if versions is None else versions
    fill_earlier(settings, versions)
    settings, unread = _derived(reader, module, settings, architecture, world_size)
    settings, idle = _without_idle_adapter(settings)
    unread |= _unreadable(written, architecture)
    return Configuration(
        file=str(path),
        dialect=module.NAME,
        settings=dict(sorted((settings | unread).items())),
        unknown=reader.unknown(),
        files=(str(path), *reader.included),
        refusals=tuple(reader.refusals),
        strangers=found.strangers,
        without_effect=idle | reader.without_effect,
        speaks_for=found.speaks_for,
        repeated=tuple(reader.repeated),
        counting=reader.counting,
        assumed={name: settings[name] for name in unread if name in settings},
        steps_told=tuple(reader.engine.told) if reader.engine else (),
        versions=versions,
        script=_script(reader),
    )


# Keys under which Hydra, mmengine and scripts name the files that a file is put together with.
_JOINED = ("defaults", "_base_", "base_config", "extends", "inherits", "inherit_from")


def _script(reader: Reader) -> Script | None:
    joined = tuple(key for key in _JOINED if _names_files(reader.root.at(key)))
    if reader.arguments is None and not reader.own_names and not joined:
        return None
    return Script(block=reader.arguments, names=tuple(reader.own_names), joined=joined)


def _names_files(entry: Entry | None) -> bool:
    return entry is not None and bool(entry.value) and isinstance(entry.value, (str, list))


_MOST_MISTAKES = 5


def _derived(
    reader: Reader,
    module: ModuleType,
    settings: dict[str, Value],
    architecture: Mapping[str, object],
    world_size: int | None,
) -> tuple[dict[str, Value], dict[str, Value]]:
    """The settings with what follows from them, and those that nothing can follow from.

    A value that contradicts another or the model is refused and stays in the table as it is
    written; the rest is derived as if it had not been.

    Raises:
        UserError: what is wrong is no value of the file.
    """
    defaults = {name: (v, s) for s, table in reversed(module.DEFAULTS) for name, v in table.items()}
    unread: dict[str, Value] = {}
    mistakes = 0
    while True:
        found = dict(settings)
        refused: list[tuple[str, str, str, str]] = []
        try:
            derive(
                found,
                reader.automatic,
                architecture,
                world_size,
                lambda *refusal, noted=refused: noted.append(refusal),
            )
        except UserError as error:
            place = (error.file, error.line)
            wrong = [n for n, v in settings.items() if v.line and (v.file, v.line) == place]
            mistakes += 1
            if not wrong or mistakes > _MOST_MISTAKES:
                raise
            reader.stop(error)
            for name in wrong:
                unread[name] = replace(settings.pop(name), unreadable=True)
                if name in defaults:
                    value, source = defaults[name]
                    settings[name] = Value(value, DEFAULT, key=source)
        else:
            for refusal in refused:
                reader.refuse(*refusal)
            return found, unread


def _with_defaults(written: Mapping[str, Value], module: ModuleType) -> dict[str, Value]:
    """What can be read of a file, and what its dialect takes for what it does not say."""
    settings = {name: value for name, value in written.items() if not value.unreadable}
    for source, defaults in module.DEFAULTS:
        for name, value in defaults.items():
            settings.setdefault(name, Value(value, DEFAULT, key=source))
    return settings


def _unreadable(
    written: Mapping[str, Value], architecture: Mapping[str, object]
) -> dict[str, Value]:
    """The values that stay as they are written, as nobody can say here what they come to."""
    found = {name: value for name, value in written.items() if value.unreadable}
    dtype = written.get("model.dtype")
    if dtype is not None and dtype.value == "auto" and not _has_dtype(architecture):
        found["model.dtype"] = replace(dtype, note="the model's own, which is not known here")
    return found


def _has_dtype(architecture: Mapping[str, object]) -> bool:
    return bool(architecture.get("dtype") or architecture.get("torch_dtype"))


def require_runnable(*sides: Configuration) -> None:
    """Raise everything with which no run can start.

    Raises:
        UserError: a library refuses a file, a value cannot be read, or no run here can do it.
    """
    raise_all(refusal.error() for side in sides for refusal in side.refusals)


def _without_idle_adapter(
    settings: dict[str, Value],
) -> tuple[dict[str, Value], dict[str, Value]]:
    """The settings without those of an adapter that is not trained, and its keys in the file."""
    full = settings.get("lora.enable")
    if full is None or full.value is not False:
        return settings, {}
    idle = {
        str(value.key): replace(value, note="no adapter is trained")
        for name, value in settings.items()
        if _of_adapter(name) and value.line is not None
    }
    return {name: value for name, value in settings.items() if not _of_adapter(name)}, idle


def _of_adapter(name: str) -> bool:
    return name.startswith("lora.") and name != "lora.enable"


def resolve_pair(
    current: str | Path,
    backup: str | Path,
    architecture: Mapping[str, object],
    dialects: tuple[str | None, str | None] = (None, None),
    world_size: int | None = None,
    versions: tuple[Versions | None, Versions | None] = (None, None),
) -> tuple[Configuration, Configuration]:
    """Both sides' configurations; one that is silent about its devices has the other's.

    Raises:
        UserError: as `resolve_file`.
    """
    paths = (current, backup)
    sides = [
        resolve_file(path, architecture, dialect, world_size, told)
        for path, dialect, told in zip(paths, dialects, versions, strict=True)
    ]
    said = [side.settings["world_size"] for side in sides]
    for index, (own, other) in enumerate(zip(said, said[::-1], strict=True)):
        told = other.line is not None and not other.unreadable
        if own.origin == DERIVED and own.line is None and told:
            side = resolve_file(
                paths[index], architecture, dialects[index], other.value, sides[index].versions
            )
            note = f"not said in the file; taken from {other.file}:{other.line}"
            devices = replace(side.settings["world_size"], note=note)
            sides[index] = replace(side, settings={**side.settings, "world_size": devices})
    filled = fill_unsaid(sides[0].settings, sides[1].settings)
    first, second = (
        replace(side, settings=dict(sorted({**_trainers_own(side, other), **settings}.items())))
        for side, other, settings in zip(sides, sides[::-1], filled, strict=True)
    )
    return first, second


def _trainers_own(side: Configuration, other: Configuration) -> dict[str, Value]:
    """The trainer's own values for keys that only the other side writes and no arm has."""
    missing = [
        name
        for name in other.settings
        if name not in side.settings and (name in UNTRAINED or name.startswith(OTHER))
    ]
    found = {}
    for name in missing:
        own = default_of(side.dialect, name.removeprefix(OTHER))
        if own is not None:
            found[name] = Value(own.value, DEFAULT, key=own.library)
    return found


def find_differences(current: Configuration, backup: Configuration) -> list[Difference]:
    """The settings whose effective values differ, sorted by name.

    A held setting that one side does not mention (the split of a file that gets its data ready
    made) is unknown there rather than different, and left out: see `find_silent`.
    """
    idle = _passed_over(current, backup)
    return [
        replace(
            pair,
            no_effect=pair.setting in idle
            or has_no_effect(pair.setting, current.settings, backup.settings),
        )
        for pair in _pairs(current, backup)
        if pair.current.value != pair.backup.value
        and not _one_is_silent(pair)
        and not _both_harmless(pair)
    ]


def _passed_over(*sides: Configuration) -> set[str]:
    """The keys of which each trainer that is given them does nothing."""
    given = [{n for n in side.settings if n.startswith(OTHER) or n in UNTRAINED} for side in sides]
    passed = [{s.key for s in side.strangers if s.passed_over} for side in sides]
    idle = [{*keys, *(f"{OTHER}{key}" for key in keys)} for keys in passed]
    return {n for names in given for n in names} - (given[0] - idle[0]) - (given[1] - idle[1])


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


def _both_harmless(pair: Difference) -> bool:
    known = UNTRAINED.get(pair.setting)
    values = (pair.current.value, pair.backup.value)
    return known is not None and all(map(known.is_harmless, values))


def _one_is_silent(pair: Difference) -> bool:
    return pair.held and NOT_SET in (pair.current.note, pair.backup.note)
