"""A configuration file as values that know their line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ablation.documents.source import read_text
from ablation.documents.tree import BOM, MAX_VALUES, Node, merged, parse
from ablation.errors import UserError


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
        repeated: Of the whole file, the keys that stand twice in a mapping, with both lines.
    """

    value: Any
    file: str
    line: int
    key_line: int
    text: str | None = None
    column: int = 0
    read_as_number: bool = False
    anchored: bool = False
    repeated: tuple[tuple[str, int, int], ...] = ()

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
    text = read_text(path).removeprefix(BOM)
    root = parse(text, str(path))
    return replace(_Expansion(str(path)).entry(root), repeated=root.repeated)


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
