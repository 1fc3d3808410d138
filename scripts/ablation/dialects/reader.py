"""Collects canonical settings out of one configuration file, each with its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ablation.dialects.defaults import DEEPSPEED_UNSAID
from ablation.documents.entries import Entry, load_entries
from ablation.errors import UserError, shorten
from ablation.settings.catalogue import SETTINGS, UNTRAINED, Setting, acts_on

HIDDEN = "(hidden)"
EXPLICIT = "explicit"
DERIVED = "derived"
DEFAULT = "default"

# Settings of which DeepSpeed's block wins over the arguments of the Trainer that embeds it.
_DEEPSPEED_DECIDES = ("optim", "optim_implementation", "lr_scheduler_type", "lr_scheduler_kwargs")


_SECRET = re.compile(r"(token|secret|password|api_?key)$", re.IGNORECASE)
_KINDS = {bool: "bool", int: "int", float: "float"}
_OTHERS = {
    name: Setting(name, _KINDS[type(default)], acts_on(name), "deepspeed")
    for name, default in DEEPSPEED_UNSAID.items()
    if default is not None
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
    """

    value: object
    origin: str
    file: str | None = None
    line: int | None = None
    key: str | None = None
    note: str | None = None
    also: tuple[tuple[str, int, str | None], ...] = ()
    wins: bool = False

    def as_json(self) -> dict:
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
    """

    root: Entry
    file: str
    settings: dict[str, list[Value]] = field(default_factory=dict)
    read_keys: set[str] = field(default_factory=set)
    untrained_keys: dict[str, str] = field(default_factory=dict)
    automatic: dict[str, Value] = field(default_factory=dict)
    included: list[str] = field(default_factory=list)
    null_is_absent: bool = False

    def raw(self, key: str) -> object:
        """The plain value at a key, None where it is absent; marks the key as read."""
        entry = self.root.at(key)
        if entry is None:
            return None
        self._mark(key, entry)
        return entry.plain()

    def block(self, key: str) -> Entry | None:
        """The block at a key ("" is the whole file), None where it is absent or null.

        Raises:
            UserError: something else than a mapping stands there.
        """
        entry = self.root.at(key) if key else self.root
        if entry is None:
            return None
        if entry.value is None:
            self._mark(key, entry)
            return None
        if not isinstance(entry.value, dict):
            raise self.error(key, "is not a block", "a mapping of keys to values")
        return entry

    def error(self, key: str, problem: str, allowed: object, write: str | None = None) -> UserError:
        """The complaint about the value at a key, with its place."""
        entry = self.root.at(key)
        return UserError(
            f"'{key}' {problem}",
            file=entry.file if entry else self.file,
            line=entry.line if entry else 1,
            found=None if entry is None else _shown(entry),
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
        if plain == "auto" and setting != "model.dtype":
            self.automatic.setdefault(
                setting, Value(None, DERIVED, entry.file, entry.line, key, "auto")
            )
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
        """Record a value for `setting`, checked against what the setting allows."""
        value = self.check(key, entry, SETTINGS.get(setting) or _OTHERS.get(setting), value)
        if entry.read_as_number and note is None:
            note = f"YAML 1.1 reads {entry.text} as text; it is read as the number it is"
        value = HIDDEN if _SECRET.search(key) and isinstance(value, str) else value
        found = Value(value, EXPLICIT, entry.file, entry.line, key, note, wins=wins)
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
                found=_shown(entry),
                allowed=error.allowed,
            ) from None

    def derive(self, setting: str, value: object, key: str, note: str) -> None:
        """Record what follows for `setting` from other keys, unless the file says it itself."""
        if setting in self.settings:
            return
        entry = self.root.at(key)
        place = (entry.file, entry.line) if entry else (None, None)
        self.settings[setting] = [Value(value, DERIVED, *place, key, note)]

    def untrained(
        self, key: str, name: str | None = None, convert: Callable[[object], object] | None = None
    ) -> None:
        """Read a key that no run acts upon: compared, and listed unless its value is harmless."""
        entry = self.root.at(key)
        if entry is None:
            return
        if key in self.untrained_keys:
            return
        name = name or key.rsplit(".", 1)[-1]
        known = UNTRAINED[name]
        self._mark(key, entry)
        plain = entry.plain()
        value = convert(plain) if convert else plain
        if isinstance(value, dict) and value.get("enabled") is False:
            return
        if value is None or any(value == h and type(value) is type(h) for h in known.harmless):
            return
        self.untrained_keys[key] = known.note
        self.add(key, entry, name, value, known.note)

    def ignore(self, *keys: str) -> None:
        """Mark keys (and what is below them) as known and without meaning for a comparison."""
        for key in keys:
            entry = self.root.at(key)
            if entry is not None:
                self._mark(key, entry)

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

        The file is looked for beside this one: first the path as it stands, then its last part.

        Raises:
            UserError: there is no such file, or it cannot be read.
        """
        entry = self.root.at(key)
        if entry is None or not isinstance(entry.value, str):
            return
        folder = Path(self.file).parent
        named = Path(entry.value)
        candidates = [folder / named, folder / named.name]
        found = next((path for path in candidates if _is_file(path)), None)
        if found is None:
            beside = sorted(p.name for p in folder.iterdir() if p.suffix in _SUFFIXES)
            beside = [name for name in beside if name != Path(self.file).name]
            raise self.error(
                key,
                "names a file that does not exist",
                f"a file beside this one: {', '.join(beside) or 'there is none'}",
                f"{key.rsplit('.', 1)[-1]}: {beside[0]}" if beside else None,
            )
        parent, _, name = key.rpartition(".")
        block = self.root.at(parent) if parent else self.root
        block.value[name] = load_entries(found)
        self.included.append(str(found))

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

    def unknown(self) -> list[dict]:
        """The keys that nothing reads or no run acts upon, with their places and why.

        The definition of an anchor is not unknown when the place that uses it was read.
        """
        leaves = list(self.root.leaves())
        used = {_place(entry) for key, entry in leaves if key in self.read_keys}
        listed = [
            (key, entry, None)
            for key, entry in leaves
            if key not in self.read_keys and _place(entry) not in used
        ]
        listed += [(key, self.root.at(key), note) for key, note in self.untrained_keys.items()]
        return [
            {
                "key": key,
                "file": entry.file,
                "line": entry.line,
                "value": HIDDEN if _SECRET.search(key) else entry.plain(),
                "note": note,
            }
            for key, entry, note in sorted(listed, key=lambda item: (item[1].file, item[1].line))
        ]

    def merged(self) -> dict[str, Value]:
        """One value for each setting; places that repeat it become its `also`.

        Raises:
            UserError: two places give different values. Such a file does not run: transformers
                refuses a DeepSpeed block that contradicts the arguments.
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
            other = differing[0]
            raise UserError(
                f"{name} is written twice and the two disagree",
                file=other.file,
                line=other.line,
                found=f"{other.key} = {shorten(other.value)}, but line {first.line} has "
                f"{first.key} = {shorten(first.value)}",
                allowed="the same value in both places, or `auto` in the DeepSpeed block",
                write=f"{other.key.rsplit('.', 1)[-1]}: {shorten(first.value)}",
            )
        kept = others if name == "gradient_checkpointing" else same
        also = tuple((o.key, o.line, o.file) for o in kept if o.line is not None)
        return replace(first, also=also)


_SUFFIXES = (".json", ".yml", ".yaml")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _shown(entry: Entry) -> str:
    plain = entry.plain()
    return "null" if plain is None else shorten(plain)


def _place(entry: Entry) -> tuple[str, int, int]:
    return entry.file, entry.line, entry.column
