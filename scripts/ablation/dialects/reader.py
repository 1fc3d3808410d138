"""Collects canonical settings out of one configuration file, each with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ablation.dialects.defaults import DEEPSPEED_BELOW_ZERO, DEEPSPEED_UNSAID, TRAINER_DEFAULTS
from ablation.documents.entries import Entry, load_entries
from ablation.documents.tree import Repeated
from ablation.errors import UserError, shorten
from ablation.masking import hide
from ablation.settings.catalogue import (
    OTHER,
    SETTINGS,
    UNTRAINED,
    Setting,
    acts_on,
    not_run_here,
)

UNTOLD = "?"
EXPLICIT = "explicit"
DERIVED = "derived"
DEFAULT = "default"

# Settings of which DeepSpeed's block wins over the arguments of the Trainer that embeds it.
_DEEPSPEED_DECIDES = ("optim", "optim_implementation", "lr_scheduler_type", "lr_scheduler_kwargs")


_KINDS = {bool: "bool", int: "int", float: "float", type(None): "bool"}
_OTHERS = {
    name: Setting(
        name,
        _KINDS[type(default)],
        acts_on(name),
        "deepspeed",
        minimum=None if name in DEEPSPEED_BELOW_ZERO else 0,
        optional=default is None,
    )
    for name, default in DEEPSPEED_UNSAID.items()
    if not name.endswith("nvme_path")
}


@dataclass(frozen=True)
class Value:
    """The effective value of one setting on one side, and where it comes from.

    Attributes:
        value: The value in canonical form; None where the side has none.
        origin: "explicit", "derived" or "default".
        file: The file it stands in; None for a default.
        line: The line of its definition, from 1; None for a default.
        key: The key as the file has it, dotted; for a default the library that supplies it.
        note: What a reader should know about how it was read.
        also: Further places that say the same: (key, line, file).
        wins: Whether it stands in a block that overrules others without an error.
        unreadable: Whether it is shown as it is written because the setting cannot have it.
        overrules: Places that say otherwise and are not obeyed: (key, line).
    """

    value: Any
    origin: str
    file: str | None = None
    line: int | None = None
    key: str | None = None
    note: str | None = None
    also: tuple[tuple[str, int, str | None], ...] = ()
    wins: bool = False
    unreadable: bool = False
    overrules: tuple[tuple[str, int], ...] = ()

    def as_json(self) -> dict[str, object]:
        """The value as it is written to resolved/*.json."""
        return {
            "value": self.value,
            "origin": self.origin,
            "file": self.file,
            "line": self.line,
            "key": self.key,
            "note": self.note,
            "also": [{"key": key, "line": line, "file": file} for key, line, file in self.also],
        }


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Something in a file with which no run can start; explaining goes on without it.

    Attributes:
        kind: "library" (the source's own library refuses it), "value" (a value that the setting
            cannot have), "template" (a value that is filled in from elsewhere), "missing_file",
            "file" (a parser that stops at the file), "encoding" (it is not UTF-8) or "here" (no
            run of this project can do it).
        key: The key as the file has it.
        setting: The canonical name; None where none stands for the key.
        file: The file.
        line: The line.
        found: What stands there.
        library: Who refuses it.
        reason: Why, in a sentence or in the library's words.
        allowed: What may stand there.
        write: The line to write instead.
    """

    kind: str
    key: str
    setting: str | None
    file: str
    line: int | None
    found: str | None
    library: str | None = None
    reason: str
    allowed: str | None = None
    write: str | None = None

    def as_json(self) -> dict[str, object]:
        """The refusal as it is written to resolved/*.json."""
        return asdict(self)

    def error(self) -> UserError:
        """The refusal as a user's mistake, for whoever would start a run."""
        named = f"{self.library} refuses '{self.key}': " if self.key else f"{self.library}: "
        who = named if self.library else ""
        return UserError(
            f"{who}{self.reason}",
            file=self.file,
            line=self.line,
            found=self.found,
            allowed=self.allowed,
            write=self.write,
        )


@dataclass(frozen=True, kw_only=True)
class UnknownKey:
    """A key that nothing reads or no run acts upon.

    Attributes:
        key: The key.
        file: The file.
        line: The line of its value.
        value: Its value.
        note: What runs do instead; None where nothing reads it.
    """

    key: str
    file: str
    line: int
    value: Any
    note: str | None = None

    def as_json(self) -> dict[str, object]:
        """The key as it is written to resolved/*.json."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Stranger:
    """A key that the recognized trainer does not have.

    Attributes:
        key: The key.
        file: The file.
        line: The line of its value.
        value: Its value.
        nearest: The trainer's own key that is nearest to it; None where none is near.
        trains: Whether its words are those of training.
        refused: Whether the trainer refuses a file with such a key.
        passed_over: Whether the trainer does nothing with it.
    """

    key: str
    file: str
    line: int
    value: Any
    nearest: str | None
    trains: bool
    refused: bool
    passed_over: bool = False


@dataclass(frozen=True, kw_only=True)
class StepsTold:
    """A number of steps in a DeepSpeed configuration, which transformers compares with the run's.

    Attributes:
        name: `total_num_steps` or `warmup_num_steps`.
        steps: The number.
        file: Its file.
        line: Its line.
        key: Its key.
    """

    name: str
    steps: int
    file: str
    line: int
    key: str


@dataclass(frozen=True)
class Engine:
    """The DeepSpeed configuration that Trainer's arguments name.

    Attributes:
        key: Where it stands in the file.
        entry: The configuration.
        told: The numbers of steps in it that only the rows of the run can confirm.
    """

    key: str
    entry: Entry
    told: list[StepsTold] = field(default_factory=list)


@dataclass
class Reader:
    """Reads one file key by key; what no one reads is listed, never dropped.

    Attributes:
        root: The file, with the files that it includes in the places that name them.
        file: Its name.
        settings: Canonical name to the values found, the first one leading.
        read_keys: The file's keys that were read.
        untrained_keys: Keys that were read and that no run acts upon, with what runs do instead.
        automatic: Settings that are left to the library ("auto"), with their places.
        included: The files that were read besides.
        null_is_absent: Whether a null means that the key is not there.
        refusals: What no run can start with.
        missing: Keys that name a file which is not there.
        presets: Values below anchors that nothing repeats.
        no_blocks: Keys that hold something else than the block that they should.
        counting: How the trainer counts steps, where not as Trainer does: `by`, its name, and what
            else that needs.
        doubted: Keys that do nothing beside the others of the file: they speak against the dialect.
        without_effect: Keys that change nothing that is trained; the note is the reason.
        engine: The DeepSpeed configuration that must agree with Trainer's arguments, if any.
        switched_on: The key that switches LoRA on, if one does.
        arguments: The block of a script of its own that holds Trainer's arguments.
        own_names: Keys that are read as a setting although no library calls it so.
        written_as: Keys that are spelled otherwise in the file, as it has them.
        repeated: Keys that stand twice, in this file or in one that it includes.
    """

    root: Entry
    file: str
    settings: dict[str, list[Value]] = field(default_factory=dict)
    read_keys: set[str] = field(default_factory=set)
    untrained_keys: dict[str, str] = field(default_factory=dict)
    automatic: dict[str, Value] = field(default_factory=dict)
    included: list[str] = field(default_factory=list)
    null_is_absent: bool = False
    refusals: list[Refusal] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    no_blocks: set[str] = field(default_factory=set)
    counting: dict[str, object] = field(default_factory=dict)
    doubted: set[str] = field(default_factory=set)
    presets: list[Value] = field(default_factory=list)
    without_effect: dict[str, Value] = field(default_factory=dict)
    engine: Engine | None = None
    switched_on: str | None = None
    arguments: str | None = None
    own_names: list[str] = field(default_factory=list)
    written_as: Mapping[str, str] = field(default_factory=dict)
    repeated: list[Repeated] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._note_odd(self.root)

    def _note_odd(self, root: Entry) -> None:
        """Record what a reader of such files stops at, and keys that stand twice."""
        self.repeated += root.repeated
        for odd in root.odd:
            kind = "encoding" if odd.encoding else "file" if odd.reader else "here"
            refusal = Refusal(
                kind=kind,
                key="",
                setting=None,
                file=root.file,
                line=odd.line,
                found=odd.found,
                library=odd.reader,
                reason=odd.reason,
                allowed=odd.allowed,
            )
            self.refusals.append(refusal)

    def raw(self, key: str) -> object:
        """The plain value at a key, None where it is absent; marks the key as read."""
        entry = self.root.at(key)
        if entry is None:
            return None
        self._mark(key, entry)
        return entry.plain()

    def block(self, key: str) -> Entry | None:
        """The block at a key ("" is the whole file), None where it is absent, null or no block."""
        entry = self.root.at(key) if key else self.root
        if entry is None:
            return None
        if entry.value is None:
            self._mark(key, entry)
            return None
        if not isinstance(entry.value, dict):
            self._mark(key, entry)
            if key not in self.missing and key not in self.no_blocks:
                self.no_blocks.add(key)
                allowed = "a mapping of keys to values"
                self._refuse_value(key, entry, None, allowed, problem="is not a block")
            return None
        return entry

    def refuse(
        self,
        key: str,
        setting: str | None,
        library: str | None,
        reason: str,
        allowed: object = None,
        write: str | None = None,
    ) -> None:
        """Record that a library refuses what stands at a key; None is this project itself."""
        entry = self.root.at(key)
        self.refusals.append(
            Refusal(
                kind="library" if library else "here",
                key=key,
                setting=setting,
                file=entry.file if entry else self.file,
                line=entry.line if entry else None,
                found=_shown(key, entry) if entry else None,
                library=library,
                reason=reason,
                allowed=_listed(allowed),
                write=write,
            )
        )

    def stop(self, error: UserError) -> None:
        """Record a mistake after which nothing more was read."""
        self.refusals.append(
            Refusal(
                kind="value",
                key="",
                setting=None,
                file=error.file or self.file,
                line=error.line,
                found=None if error.found is None else shorten(error.found),
                reason=error.problem,
                allowed=_listed(error.allowed),
                write=error.write,
            )
        )

    def _refuse_value(
        self,
        key: str,
        entry: Entry,
        setting: str | None,
        allowed: object,
        problem: str = "has a value it cannot have",
        write: str | None = None,
    ) -> None:
        place = (entry.file, entry.line)
        if any((told.file, told.line) == place for told in self.refusals if told.kind == "file"):
            return  # its tag is refused already
        template = isinstance(entry.value, str) and bool(_TEMPLATE.search(entry.value))
        self.refusals.append(
            Refusal(
                kind="template" if template else "value",
                key=key,
                setting=setting,
                file=entry.file,
                line=entry.line,
                found=_shown(key, entry),
                reason=f"'{key}' is filled in from elsewhere" if template else f"'{key}' {problem}",
                allowed=_listed(allowed),
                write=write,
            )
        )

    def error(
        self, key: str, problem: str, allowed: str | Iterable[object], write: str | None = None
    ) -> UserError:
        """The complaint about the value at a key, with its place."""
        entry = self.root.at(key)
        return UserError(
            f"'{key}' {problem}",
            file=entry.file if entry else self.file,
            line=entry.line if entry else 1,
            found=None if entry is None else _shown(key, entry),
            allowed=allowed,
            write=write,
        )

    def take(
        self,
        key: str,
        setting: str,
        convert: Callable[[object], object] | None = None,
        note: str | None = None,
        wins: bool = False,
    ) -> None:
        """Read `key` as `setting`; nothing happens where it is absent or `auto`."""
        entry = self.root.at(key)
        if entry is None:
            return
        self._mark(key, entry)
        plain = entry.plain()
        if plain is None and self.null_is_absent:
            return
        if plain in ("auto", None) and setting == "model.dtype":  # null is transformers' own auto
            auto = Value("auto", EXPLICIT, entry.file, entry.line, key)
            self.settings.setdefault(setting, []).append(auto)
            return
        if plain == "auto":
            place = (entry.file, entry.line, self.written_as.get(key, key))
            self.automatic.setdefault(setting, Value(None, DERIVED, *place, "auto"))
            return
        self.add(key, entry, setting, convert(plain) if convert else plain, note, wins)

    def add(
        self,
        key: str,
        entry: Entry,
        setting: str,
        value: object,
        note: str | None = None,
        wins: bool = False,
    ) -> None:
        """Record a value for `setting`; one that the setting cannot have stays as it is written."""
        unreadable, written = False, value
        if setting not in SETTINGS and not setting.startswith(OTHER):
            value = meant(value)
        try:
            value = self.check(key, entry, SETTINGS.get(setting) or _OTHERS.get(setting), value)
        except UserError as error:
            unreadable, value = True, entry.plain()
            if isinstance(entry.value, dict):  # where the trainer has no block, another one has
                self.doubted.update(f"{key}.{below}" for below, _ in entry.leaves())
            if reason := not_run_here(setting, written):
                self.refuse(key, setting, None, reason)
            else:
                self._refuse_value(key, entry, setting, error.allowed)
        if entry.read_as_number and note is None and not entry.file.endswith(".json"):
            note = f"YAML 1.1 reads {entry.text} as text; it is read as the number it is"
        value = hide(key, value)
        found = Value(
            value,
            EXPLICIT,
            entry.file,
            entry.line,
            self.written_as.get(key, key),
            note,
            wins=wins,
            unreadable=unreadable,
        )
        self.settings.setdefault(setting, []).append(found)

    def check(self, key: str, entry: Entry, setting: Setting | None, value: object) -> object:
        """The value in the setting's own type.

        Raises:
            UserError: the setting cannot have it.
        """
        if setting is None:
            return value
        try:
            return setting.read(value)
        except UserError as error:
            raise UserError(
                f"'{key}' has a value it cannot have",
                file=entry.file,
                line=entry.line,
                found=_shown(key, entry),
                allowed=error.allowed,
            ) from None

    def derive(self, setting: str, value: object, key: str, note: str) -> None:
        """Record what follows for `setting` from other keys, unless the file says it itself."""
        if setting in self.settings:
            return
        entry = self.root.at(key)
        file, line = (entry.file, entry.line) if entry else (None, None)
        self.settings[setting] = [Value(value, DERIVED, file, line, key, note)]

    def untold(self, setting: str, note: str, key: str | None = None) -> None:
        """Record that the file does not tell a setting, so that nothing is concluded from it.

        Args:
            setting: The setting.
            note: Why it is not known.
            key: The key that leaves it open (`auto`); None where there is none.
        """
        if setting in self.settings:
            return
        entry = self.root.at(key) if key else None
        untold = Value(UNTOLD, DERIVED, note=note, unreadable=True)
        if entry:
            untold = replace(untold, value="auto", file=entry.file, line=entry.line, key=key)
        self.settings[setting] = [untold]

    def untrained(
        self, key: str, name: str | None = None, convert: Callable[[object], object] | None = None
    ) -> None:
        """Read a key that no run acts upon: compared, and listed unless its value is harmless."""
        entry = self.root.at(key)
        if entry is None:
            return
        name = name or key.rsplit(".", 1)[-1]
        if any(found.key == key for found in self.settings.get(name, ())):
            return
        known = UNTRAINED[name]
        self._mark(key, entry)
        plain = entry.plain()
        if plain is None and self.null_is_absent:
            return
        value = convert(plain) if convert else plain
        if isinstance(value, dict) and value.get("enabled") is False:
            value = False
        note = None if known.is_harmless(value) else known.note
        if note is not None:
            self.untrained_keys[key] = note
        self.add(key, entry, name, value, note)

    def other(self, vocabulary: Collection[str] = ()) -> None:
        """Read what is left: known keys that no run acts upon, then every leaf as it stands.

        Args:
            vocabulary: The trainer's own keys; other ones are not read as what they are called.
        """
        for key in list(self.root.value):
            if key in UNTRAINED and key in vocabulary and key not in self.read_keys:
                self.untrained(key)
        used = {_place(entry) for key, entry in self.root.leaves() if key in self.read_keys}
        for key, entry in self.root.leaves():
            if key in self.read_keys or _place(entry) in used:
                continue
            if self._in_preset(key):
                self._idle(key, entry, "a preset that no other place of the file uses")
                self.presets.append(replace(self.without_effect[key], note=None))
            else:
                self.add(key, entry, f"{OTHER}{key}", entry.plain())
                self._check_called(key, entry)

    def _check_called(self, key: str, entry: Entry) -> None:
        """Note a key that is called as a number or a switch, and has no such value."""
        setting = SETTINGS.get(key)
        if setting is None or entry.value is None or setting.kind not in ("float", "int", "bool"):
            return
        try:
            setting.read(entry.plain())
        except UserError as error:
            own = TRAINER_DEFAULTS.get(key)
            write = None if own is None else f"{key}: {json.dumps(own)}"
            self._refuse_value(key, entry, f"{OTHER}{key}", error.allowed, write=write)

    def _in_preset(self, key: str) -> bool:
        """Whether a key stands below an anchor of the top level that nothing repeats."""
        block = self.root.value.get(key.split(".")[0])
        return block is not None and block.anchored and isinstance(block.value, dict)

    def ignore(self, *keys: str) -> None:
        """Mark keys (and what is below them) as read: what they mean stands in another setting."""
        for key in keys:
            entry = self.root.at(key)
            if entry is not None:
                self._mark(key, entry)

    def idle(self, table: Mapping[str, Collection[str]]) -> None:
        """Mark keys that change nothing that is trained: reason to keys."""
        said = {value.key for values in self.settings.values() for value in values}
        for reason, keys in table.items():
            for key in keys:
                entry = self.root.at(key)
                if entry is not None and key not in said:
                    self._mark(key, entry)
                    self._idle(key, entry, reason)

    def _idle(self, key: str, entry: Entry, reason: str) -> None:
        value = hide(key, entry.plain())
        self.without_effect[key] = Value(value, EXPLICIT, entry.file, entry.line, key, reason)

    def doubt_blocks(self, plain: Collection[str]) -> None:
        """Doubt keys that hold a block where the trainer has a plain value."""
        for name, entry in self.root.value.items():
            if name in plain and isinstance(entry.value, dict):
                self.doubted.update(below for below, _ in entry.leaves(name))

    def doubt(self, reason: str, keys: Collection[str]) -> None:
        """Mark keys that the trainer passes over for what the rest of the file says."""
        there = [key for key in keys if self.root.at(key) is not None]
        self.idle({reason: there})
        self.doubted.update(there)

    def keep(self, key: str, name: str) -> None:
        """Record every leaf at or below `key` under `name` as it stands: listed, not trained."""
        entry = self.root.at(key)
        if entry is None:
            return
        self._mark(key, entry)
        if not isinstance(entry.value, dict):
            self.take(key, name)
            return
        for below, leaf in entry.leaves():
            if leaf.value != {}:
                self.take(f"{key}.{below}", f"{name}.{below}")

    def include(self, key: str) -> None:
        """Put the file that the value at `key` names in its place; a mapping stays as it is.

        Trainers open such a path as it stands, so from the folder that they are started in. It is
        looked for there, then from the root of the file's repository, then beside the file. One
        that is not found, or is none, is refused, and what it would say is not known. So is one
        outside of these three folders, links followed: whoever wrote this file need not be allowed
        to read that.
        """
        entry = self.root.at(key)
        if entry is None or not isinstance(entry.value, str):
            return
        self._mark(key, entry)
        found = next(iter(_candidates(self.file, entry.value)), None)
        if found is None:
            self._missing_file(key, entry)
            return
        try:
            loaded = load_entries(found)
        except UserError as error:
            self.missing.add(key)
            self.add(key, entry, f"{OTHER}{key}", entry.value)
            self.stop(error)
            return
        parent, _, name = key.rpartition(".")
        block = self.root.known(parent) if parent else self.root
        block.value[name] = loaded
        self._note_odd(loaded)
        self.included.append(str(found))

    def _missing_file(self, key: str, entry: Entry) -> None:
        folder = Path(self.file).parent
        beside = sorted(p.name for p in folder.iterdir() if p.suffix in _SUFFIXES)
        beside = [name for name in beside if name != Path(self.file).name]
        self.missing.add(key)
        self.add(key, entry, f"{OTHER}{key}", entry.value)
        self.refusals.append(
            Refusal(
                kind="missing_file",
                key=key,
                setting=f"{OTHER}{key}",
                file=entry.file,
                line=entry.line,
                found=_shown(key, entry),
                reason=f"'{key}' names a file that does not exist",
                allowed="a path from the working directory, the repository's root or this file's "
                f"folder; beside this one: {', '.join(beside) or 'there is none'}",
            )
        )

    def expand(self) -> None:
        """Put the values that `${a.b}` names, where they stand in this file, as OmegaConf does."""
        _expand(self.root, self.root)

    def first(self, setting: str) -> Value | None:
        """The leading value of a setting, if the file has one."""
        values = self.settings.get(setting)
        return values[0] if values else None

    def says(self, setting: str, value: object) -> bool:
        """Whether the file gives the setting this value."""
        first = self.first(setting)
        return first is not None and first.value == value

    def _mark(self, key: str, entry: Entry) -> None:
        self.read_keys.add(key)
        for below, _ in entry.leaves():
            self.read_keys.add(f"{key}.{below}")

    def unknown(self) -> list[UnknownKey]:
        """The keys that nothing reads or no run acts upon, with their places and why.

        The definition of an anchor is not unknown when the place that uses it was read.
        """
        untrained = (v[0] for name, v in self.settings.items() if name in UNTRAINED)
        noted = (found for found in untrained if found.key in self.untrained_keys)
        listed = list(map(self._unknown, (*self._others(), *self.presets)))
        listed += [
            replace(key, note=self.untrained_keys[key.key]) for key in map(self._unknown, noted)
        ]
        return sorted(listed, key=lambda found: (found.file, found.line))

    def _unknown(self, found: Value) -> UnknownKey:
        assert found.key is not None and found.line is not None, "it is written in a file"
        return UnknownKey(
            key=found.key, file=found.file or self.file, line=found.line, value=found.value
        )

    def _others(self) -> list[Value]:
        return [v[0] for name, v in self.settings.items() if name.startswith(OTHER)]

    def merged(self) -> dict[str, Value]:
        """One value for each setting; places that repeat it become its `also`.

        Two places that give different values are refused: such a file does not run, as
        transformers refuses a DeepSpeed block that contradicts the arguments.
        """
        return {name: self._agree(name, values) for name, values in self.settings.items()}

    def _agree(self, name: str, values: list[Value]) -> Value:
        first = values[0]
        if name == "gradient_checkpointing":  # any of its switches turns it on
            first = next((value for value in values if value.value), first)
        if name in _DEEPSPEED_DECIDES:
            first = next((value for value in values if value.wins), first)
        others = [value for value in values if value is not first]
        same = [other for other in others if other.value == first.value]
        differing = [other for other in others if other.value != first.value]
        if differing and first.wins:
            overruled = ", ".join(f"{o.key} in line {o.line}" for o in differing)
            first = replace(first, note=f"DeepSpeed's block decides, not {overruled}")
        elif differing and name != "gradient_checkpointing":
            self._refuse_twice(name, first, differing[0])
        kept = others if name == "gradient_checkpointing" else same
        also = tuple(
            (o.key, o.line, o.file) for o in kept if o.key is not None and o.line is not None
        )
        return replace(first, also=also)

    def _refuse_twice(self, name: str, first: Value, other: Value) -> None:
        key = other.key or name
        self.refusals.append(
            Refusal(
                kind="library",
                key=key,
                setting=name,
                file=other.file or self.file,
                line=other.line,
                found=f"{key} = {shorten(other.value)}, but line {first.line} has "
                f"{first.key} = {shorten(first.value)}",
                reason=f"{name} is written twice and the two disagree",
                allowed="the same value in both places, or `auto` in the DeepSpeed block",
                write=f"{key.rsplit('.', 1)[-1]}: {shorten(first.value)}",
            )
        )


_SUFFIXES = (".json", ".yml", ".yaml")
_CANONICAL = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")


def meant(value: object) -> object:
    """A switch or a number that is written as text: parsers turn it into one.

    A name such as "1.10" stays one: it is not how anybody writes that number.
    """
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not _CANONICAL.fullmatch(value):
        return value
    number = float(value)
    if "e" in value.lower():
        return number
    return next(
        (one for one in (value.isdigit() and int(value), number) if str(one) == value), value
    )


def switched(entry: Entry | None) -> bool | None:
    """What a switch says, as text and as 0 or 1, too; None where it is none, or not there."""
    said = meant(entry.plain()) if entry is not None else None
    return bool(said) if said in (True, False) else None


_TEMPLATE = re.compile(r"\$\{|\{\{|\$\(|\$[A-Z_]+$|%\(\w+\)s|<[A-Z_]+>|__[A-Z_]+__|@[A-Z_]+@")


_REFERENCE = re.compile(r"\$\{([\w.]+)\}")


def _expand(block: Entry, root: Entry) -> None:
    if not isinstance(block.value, dict):
        return
    for key, entry in block.value.items():
        named = _REFERENCE.fullmatch(entry.value) if isinstance(entry.value, str) else None
        target = root.at(named[1]) if named else None
        if target is None:
            _expand(entry, root)
        elif not (isinstance(target.value, str) and "${" in target.value):
            block.value[key] = replace(
                entry, value=target.value, read_as_number=target.read_as_number
            )


def _listed(allowed: object) -> str | None:
    if allowed is None or isinstance(allowed, str):
        return allowed
    return ", ".join(map(str, allowed)) if isinstance(allowed, Iterable) else str(allowed)


def _candidates(file: str, named: str) -> list[Path]:
    """Where a path of a file may lie: working directory, repository's root, beside the file.

    The working directory says nothing of a file of another repository, such as an older revision.
    """
    folder, path = Path(file).parent, Path(named)
    root, here = _repository(folder), _repository(Path.cwd())
    nearby = [Path()] if root == here else []
    allowed = [*nearby, *([root] if root else []), folder]
    places = [*(base / path for base in allowed), folder / path.name]
    return [place for place in places if _is_file_below(place, allowed)]


def _repository(folder: Path) -> Path | None:
    """The root of the repository that a folder is in; None where it is in none."""
    folder = folder.resolve()
    return next((p for p in (folder, *folder.parents) if (p / ".git").exists()), None)


def _is_file_below(path: Path, folders: Sequence[Path]) -> bool:
    """Whether it is a file in one of the folders, links followed."""
    try:
        there = path.resolve()
        return path.is_file() and any(there.is_relative_to(f.resolve()) for f in folders)
    except (OSError, ValueError, RuntimeError):
        return False


def _shown(key: str, entry: Entry) -> str:
    plain = hide(key, entry.plain())
    return "null" if plain is None else shorten(plain)


def _place(entry: Entry) -> tuple[str, int, int]:
    return entry.file, entry.line, entry.column
