"""A configuration file as values that know their line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ablation.documents.odd import BOM, Odd, odd_source
from ablation.documents.scalars import read_plain
from ablation.documents.source import read_source
from ablation.documents.tree import MAX_VALUES, Node, Repeated, merged, parse
from ablation.errors import UserError

_FLAG = re.compile(r"--?([A-Za-z][\w.-]*)(?:=(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a file and where it stands.

    Attributes:
        value: A scalar, a list of entries, or a dict of key to entry.
        file: The file as the user named it.
        line: The line (from 1) where the value is written: that of the anchor's definition for
            an alias or a merged key.
        key_line: The line of its key.
        text: A scalar as it is spelled.
        column: The column (from 0) at which a scalar or flow collection begins.
        read_as_number: The value is a number that YAML 1.1 reads as text (`1e-5`).
        anchored: Whether it defines an anchor, so that other places may repeat it.
        repeated: Of the whole file, the keys that stand twice in a mapping.
        odd: Of the whole file, what a reader of the trainer's stops at.
        others: Of the whole file, the other mappings at its top: documents, or items of a list.
    """

    value: Any
    file: str
    line: int
    key_line: int
    text: str | None = None
    column: int = 0
    read_as_number: bool = False
    anchored: bool = False
    repeated: tuple[Repeated, ...] = ()
    odd: tuple[Odd, ...] = ()
    others: tuple[Entry, ...] = ()

    def plain(self) -> object:
        """The value without its places: scalars, lists and dicts."""
        if isinstance(self.value, dict):
            return {key: entry.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [entry.plain() for entry in self.value]
        return self.value

    def at(self, path: str) -> Entry | None:
        """The entry at a dotted path below this one, or None."""
        entry: Entry | None = self
        for key in path.split("."):
            if entry is None or not isinstance(entry.value, dict):
                return None
            entry = entry.value.get(key)
        return entry

    def known(self, path: str) -> Entry:
        """The entry at a dotted path that is known to be there.

        Raises:
            KeyError: it is not.
        """
        entry = self.at(path)
        if entry is None:
            raise KeyError(path)
        return entry

    def leaves(self, prefix: str | None = None) -> Iterator[tuple[str, Entry]]:
        """Dotted key and entry of each scalar, list and empty mapping below this one."""
        if isinstance(self.value, dict) and self.value:
            for key, entry in self.value.items():
                yield from entry.leaves(key if prefix is None else f"{prefix}.{key}")
        elif prefix is not None:
            yield prefix, self


def load_entries(path: str | Path) -> Entry:
    """The whole file as one entry whose value is a mapping.

    Aliases and merge keys are followed; each value keeps the line on which it is defined.

    Raises:
        UserError: as `read_text` and `parse`; the aliases expand without end.
    """
    source = read_source(path)
    root = parse(source.text.removeprefix(BOM), str(path))
    expansion = _Expansion(str(path))
    whole = expansion.entry(root)
    if isinstance(whole.value, list):  # the arguments of a command line
        whole = replace(whole, value=read_flags(whole.value))
    return replace(
        whole,
        repeated=tuple(one._replace(file=str(path)) for one in root.repeated),
        odd=(*odd_source(source, str(path)), *root.odd),
        others=tuple(expansion.entry(other) for other in root.others),
    )


def load_plainly(path: str | Path) -> Entry:
    """The same of a file of this project, where nothing odd may stand.

    Raises:
        UserError: as `load_entries`; a tag, a second document, another encoding than UTF-8.
    """
    root = load_entries(path)
    for odd in root.odd:
        raise odd.error(str(path))
    return root


class _Expansion:
    """Turns the nodes of one file into entries, aliases expanded, within a budget of values."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.budget = MAX_VALUES

    def entry(self, node: Node, key_line: int | None = None) -> Entry:
        """A node's entry, whose key stands in `key_line`."""
        self.budget -= 1
        if self.budget < 0:
            raise UserError(
                f"the file expands to more than {MAX_VALUES:,} values through its aliases",
                file=self.file,
                line=node.line,
                allowed="a configuration of a few hundred keys",
            )
        line = node.line
        if node.kind != "scalar" and not node.flow and key_line is not None:
            line = min(line, key_line)  # a block begins at its key
        value: object = node.value
        if node.kind == "mapping":
            value = self._mapping(node)
        elif node.kind == "list":
            value = [self.entry(use.node) for use in node.children]
        text = node.text if node.kind == "scalar" else None
        place = (self.file, line, key_line or line)
        return Entry(value, *place, text, node.column, node.read_as_number, bool(node.anchor))

    def _mapping(self, node: Node) -> dict[str, Entry]:
        """The entries of a mapping by key, those that are merged in first.

        YAML says that an earlier mapping of a list wins. A second `<<` is not in its rules: the
        later one wins, as in PyYAML up to 6.0.3 (6.0.4 decides by how Python stores the key).
        """
        found: dict[str, Entry] = {}
        for merge in (use for use in node.children if use.merge):
            for source in merged(merge)[::-1]:
                found.update(self._mapping_of(source))
        own = [use for use in node.children if not use.merge]
        return {**found, **{use.name.text: self.entry(use.node, use.name.line) for use in own}}

    def _mapping_of(self, source: Node) -> Mapping[str, Entry]:
        value = self.entry(source).value
        assert isinstance(value, dict), "only mappings are merged"
        return value


def read_flags(items: Sequence[Entry]) -> dict[str, Entry]:
    """The arguments of a command line by name; none where the items are no command line.

    What stands before the first flag (the program) is left out, and a flag without a value is on.
    """
    texts = [item.text for item in items if isinstance(item.text, str)]
    if len(texts) < len(items) or not any(text.startswith("--") for text in texts):
        return {}
    found: dict[str, list[Entry]] = {}
    flags: dict[str, Entry] = {}
    name = ""
    for item, text in zip(items, texts, strict=True):
        if flag := _FLAG.fullmatch(text):
            name = flag[1]
            flags[name] = item
            found[name] = [] if flag[2] is None else [_told(item, flag[2])]
        elif name:
            found[name].append(_told(item, text))
    return {name: _argument(flags[name], values) for name, values in found.items()}


def _argument(flag: Entry, values: Sequence[Entry]) -> Entry:
    if not values:
        return replace(flag, value=True, text="true")
    return values[0] if len(values) == 1 else replace(values[0], value=list(values), text=None)


def _told(item: Entry, text: str) -> Entry:
    return replace(item, value=read_plain(text), text=text, read_as_number=False)
