"""YAML as nodes that know their place in the text: what is written where, and what repeats it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from ablation.documents.entries import MAX_VALUES

MERGE = "<<"
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PROPERTIES = re.compile(r"(?:[&!]\S*\s*)*")


@dataclass(eq=False)
class Node:
    """One value of the text.

    Attributes:
        kind: "scalar", "list" or "mapping".
        start: The index at which it begins, behind its anchor and tag.
        end: The index behind its last character; blank lines that follow are not part of it.
        text: A scalar's value, unquoted.
        quote: How a scalar is written: `"`, `'`, `|`, `>`, or "" for plain.
        flow: Whether a collection is written in brackets.
        anchor: Its anchor's name.
        children: What stands below it.
        home: Where it is written.
    """

    kind: str
    start: int
    end: int
    text: str = ""
    quote: str = ""
    flow: bool = False
    anchor: str | None = None
    children: list[Use] = field(default_factory=list)
    home: Use | None = None


@dataclass(eq=False)
class Use:
    """A place at which a value stands: written there, or repeated through an alias.

    Attributes:
        key: Its key; None for the item of a list.
        node: The value.
        start: The index at which the value or the alias begins, its anchor included.
        end: The index behind it.
        alias: Whether an alias stands there.
    """

    key: Node | None
    node: Node
    start: int
    end: int
    alias: bool

    @property
    def merge(self) -> bool:
        """Whether it merges its value into the mapping it stands in."""
        return self.key is not None and self.key.text == MERGE and not self.key.quote


class _Parser:
    """Builds nodes out of a parser's events."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.events = yaml.parse(text, Loader=_Loader)
        self.anchors: dict[str, Node] = {}

    def root(self) -> Node:
        for event in self.events:
            if isinstance(event, yaml.MappingStartEvent):
                return self.node(event)
        raise AssertionError("the text was read as a mapping before")

    def use(self, key: Node | None, event: yaml.Event) -> Use:
        start = event.start_mark.index
        if isinstance(event, yaml.AliasEvent):
            return Use(key, self.anchors[event.anchor], start, event.end_mark.index, True)
        node = self.node(event)
        use = Use(key, node, start, node.end, False)
        node.home = use
        return use

    def node(self, event: yaml.Event) -> Node:
        start = event.start_mark.index
        if event.anchor or event.tag:
            start = _PROPERTIES.match(self.text, start, event.end_mark.index + 1).end()
        if isinstance(event, yaml.ScalarEvent):
            end = max(start, event.start_mark.index + len(self._written(event).rstrip()))
            node = Node("scalar", start, end, event.value, event.style or "")
        else:
            kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "list"
            node = Node(kind, start, start, flow=bool(event.flow_style))
        node.anchor = event.anchor
        if event.anchor:
            self.anchors[event.anchor] = node
        if node.kind == "mapping":
            self._fill_mapping(node)
        elif node.kind == "list":
            self._fill_list(node)
        return node

    def _written(self, event: yaml.Event) -> str:
        return self.text[event.start_mark.index : event.end_mark.index]

    def _fill_mapping(self, node: Node) -> None:
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.use(None, event).node
            node.children.append(self.use(key, next(self.events)))
        self._close(node, event)
        if node.children and not node.flow:
            node.start = node.children[0].key.start

    def _fill_list(self, node: Node) -> None:
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            node.children.append(self.use(None, event))
        self._close(node, event)

    def _close(self, node: Node, event: yaml.Event) -> None:
        if node.flow:
            node.end = event.end_mark.index
        elif node.children:
            node.end = node.children[-1].end


def parse(text: str, tabs: bool = False) -> Node:
    """The mapping that a text is, aliases followed to the nodes they repeat.

    Args:
        text: YAML or JSON that `load_entries` reads.
        tabs: Whether tabs are blanks, as in JSON.
    """
    return _Parser(text.replace("\t", " ") if tabs else text).root()


def find(mapping: Node, key: str) -> tuple[Use, Node, Use | None] | None:
    """The value of a key, merges followed: its use, the mapping it is written in, the merge.

    The merge is the `<<` of `mapping` that brings it; None where `mapping` itself has the key.
    """
    for use in mapping.children:
        if not use.merge and use.key.text == key:
            return use, mapping, None
    for merge in (use for use in reversed(mapping.children) if use.merge):
        for source in merged(merge):
            if found := find(source, key):
                return found[0], found[1], merge
    return None


def merged(merge: Use) -> list[Node]:
    """The mappings that a `<<` merges, the strongest first."""
    if merge.node.kind == "list":
        return [use.node for use in merge.node.children]
    return [merge.node]


def keys(mapping: Node) -> list[str]:
    """The keys of a mapping, merged ones first."""
    found: dict[str, None] = {}
    for merge in (use for use in mapping.children if use.merge):
        for source in merged(merge):
            found.update(dict.fromkeys(keys(source)))
    found.update(dict.fromkeys(use.key.text for use in mapping.children if not use.merge))
    return list(found)


def sources(mapping: Node) -> list[Node]:
    """The mapping and every one that is merged into it."""
    found = [mapping]
    for merge in (use for use in mapping.children if use.merge):
        for source in merged(merge):
            found += sources(source)
    return found


def walk(root: Node) -> Iterator[tuple[str, Node]]:
    """Dotted path and node of every value that a reader of the text sees below `root`."""
    left = [MAX_VALUES]

    def below(mapping: Node, prefix: str) -> Iterator[tuple[str, Node]]:
        for key in keys(mapping):
            left[0] -= 1
            if left[0] < 0:
                return
            path = f"{prefix}.{key}" if prefix else key
            node = find(mapping, key)[0].node
            yield path, node
            if node.kind == "mapping":
                yield from below(node, path)

    return below(root, "")


def written(root: Node) -> Iterator[tuple[str, Use]]:
    """Dotted path and use of every value as it is written: aliases and merges not followed."""

    def below(mapping: Node, prefix: str) -> Iterator[tuple[str, Use]]:
        for use in mapping.children:
            path = f"{prefix}.{use.key.text}" if prefix else use.key.text
            yield path, use
            if use.alias:
                continue
            if use.node.kind == "mapping":
                yield from below(use.node, path)
            else:
                yield from ((path, item) for item in use.node.children)

    return below(root, "")


def plain(node: Node) -> object:
    """The value of a node: scalars with numbers as people mean them, lists and dicts."""
    if node.kind == "mapping":
        return {key: plain(find(node, key)[0].node) for key in keys(node)}
    if node.kind == "list":
        return [plain(use.node) for use in node.children]
    if node.quote:
        return node.text
    value = yaml.safe_load(node.text) if node.text else None
    if isinstance(value, str) and value[0] in "+-.0123456789":
        try:
            return float(value)  # 1e-5, which YAML 1.1 reads as text
        except ValueError:
            return value
    return value
