"""A configuration as nodes that know their place in the text: what is written where, and repeated.

YAML and JSON have this one parser. What follows reads the nodes (`entries`), changes the text
beneath them (`edit`), or cuts lines out of it (`excerpt`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import yaml

from ablation.documents.odd import PYYAML, Odd, is_json, without_comments
from ablation.documents.scalars import (
    MERGE_TAG,
    NotAScalar,
    is_known,
    read_scalar,
    resolve_tag,
)
from ablation.errors import UserError, shorten

TEMPLATE = "a template that is filled in from elsewhere, no configuration yet"
MAX_VALUES = 50_000
MAX_DEPTH = 64
_COLLECTION_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("map", "seq")}
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Event = Any  # a parser's events have marks; the type of PyYAML's says that they may lack them
_PROPERTIES = re.compile(r"(?:[&!]\S*\s*)*")
_HALVES = re.compile(r"\\u[dD][89abAB]")  # libyaml stops at letters that JSON writes as two halves
# Tags for which PyYAML's safe loader has objects of its own.
_SAFE_OBJECTS = {f"tag:yaml.org,2002:{name}" for name in ("set", "binary", "omap", "pairs")}


class Repeated(NamedTuple):
    """A key that stands twice in a mapping: the line of the first and of the last, which counts."""

    key: str
    first: int
    last: int
    differs: bool
    file: str = ""


@dataclass(eq=False, slots=True)
class Node:
    """One value of the text.

    Attributes:
        kind: "scalar", "list" or "mapping".
        start: The index at which it begins, behind its anchor and tag.
        end: The index behind its last character; blank lines that follow are not part of it.
        line: The line (from 1) on which it begins, its anchor and tag included.
        column: The column (from 0) of the same place.
        text: A scalar's text, unquoted.
        value: What a scalar means.
        quote: How a scalar is written: `"`, `'`, `|`, `>`, or "" for plain.
        read_as_number: Whether a scalar is a number that YAML 1.1 reads as text (`1e-5`).
        merge: Whether it is the key `<<`.
        flow: Whether a collection is written in brackets.
        anchor: Its anchor's name.
        children: What stands below it.
        home: Where it is written.
        repeated: Of the whole text's node, the keys that stand twice in a mapping.
        odd: Of the whole text's node, what a reader of the trainer's stops at.
        others: Of the whole text's node, the other mappings that stand beside it at the top.
    """

    kind: str
    start: int
    end: int
    line: int = 1
    column: int = 0
    text: str = ""
    value: object = None
    quote: str = ""
    read_as_number: bool = False
    merge: bool = False
    flow: bool = False
    anchor: str | None = None
    children: list[Use] = field(default_factory=list)
    home: Use | None = None
    repeated: tuple[Repeated, ...] = ()
    odd: tuple[Odd, ...] = ()
    others: tuple[Node, ...] = ()

    @property
    def place(self) -> Use:
        """Where a value below the root is written."""
        assert self.home is not None, "the root has no place"
        return self.home


@dataclass(eq=False, slots=True)
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
    def name(self) -> Node:
        """The key of a member of a mapping."""
        assert self.key is not None, "an item of a list has no key"
        return self.key

    @property
    def merge(self) -> bool:
        """Whether it merges its value into the mapping it stands in."""
        return self.key is not None and self.key.merge


class _Parser:
    """Builds nodes out of a parser's events, within limits of depth and number."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        loader = yaml.SafeLoader if _HALVES.search(text) else _Loader
        self.events = self._limited(yaml.parse(text, Loader=loader))
        self.anchors: dict[str, Node] = {}
        self.open: set[int] = set()
        self.repeated: list[Repeated] = []
        self.odd: list[Odd] = []

    def _limited(self, events: Iterator[_Event]) -> Iterator[_Event]:
        depth = 0
        for count, event in enumerate(events):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MAX_DEPTH or count > 2 * MAX_VALUES:
                problem = (
                    "nested too deeply" if depth > MAX_DEPTH else "more values than it may have"
                )
                raise UserError(
                    f"not a configuration: {problem}",
                    file=self.file,
                    line=event.start_mark.line + 1,
                    allowed=f"at most {MAX_DEPTH} levels and {MAX_VALUES:,} values",
                )
            yield event

    def fail(self, problem: str, line: int, **facts: Any) -> UserError:
        return UserError(problem, file=self.file, line=line, **facts)

    def documents(self) -> list[Node]:
        """The documents of the text that are not empty."""
        found: list[Node] = []
        count = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                count += 1
                self.anchors = {}
                if count == 2:
                    self._note(
                        "expected a single document in the stream", event, PYYAML, several=True
                    )
            elif isinstance(event, yaml.NodeEvent):
                node = self.use(None, event).node
                if node.kind != "scalar" or node.value not in (None, ""):
                    found.append(node)
        return found

    def _note(self, reason: str, event: _Event, reader: str | None, **facts: Any) -> None:
        line = event.start_mark.line + 1
        found = facts.pop("found", None) or self.text.split("\n")[line - 1]
        self.odd.append(Odd(reader=reader, reason=reason, line=line, found=found, **facts))

    def use(self, key: Node | None, event: _Event) -> Use:
        start = event.start_mark.index
        end = event.end_mark.index
        if isinstance(event, yaml.AliasEvent):
            return Use(key, self._anchored(event), start, end, True)
        node = self.node(event)
        use = Use(key, node, start, node.end, False)
        node.home = use
        return use

    def _anchored(self, event: _Event) -> Node:
        node = self.anchors.get(event.anchor)
        if node is None:
            line = event.start_mark.line + 1
            raise self.fail(
                f"the alias '*{event.anchor}' has no anchor '&{event.anchor}' above it",
                line,
                found=self.text.split("\n")[line - 1],
            )
        if id(node) in self.open:
            raise self.fail("an alias stands inside the value that it repeats", node.line)
        return node

    def node(self, event: _Event) -> Node:
        mark = event.start_mark
        start = mark.index
        if event.anchor or event.tag:
            found = _PROPERTIES.match(self.text, start, event.end_mark.index + 1)
            start = found.end() if found else start
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, start)
        else:
            kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "list"
            if event.tag is not None and event.tag not in ("!", *_COLLECTION_TAGS):
                self._note_tag(event.tag, event)
            node = Node(kind, start, start, mark.line + 1, mark.column, flow=bool(event.flow_style))
        self._name(node, event.anchor)
        self.open.add(id(node))
        if node.kind == "mapping":
            self._fill_mapping(node)
        elif node.kind == "list":
            self._fill_list(node)
        self.open.discard(id(node))
        return node

    def _name(self, node: Node, anchor: str | None) -> None:
        if anchor in self.anchors:
            first = self.anchors[anchor].line
            raise self.fail(
                f"the anchor '&{anchor}' stands twice, first in line {first}", node.line
            )
        node.anchor = anchor
        if anchor is not None:
            self.anchors[anchor] = node

    def _note_tag(self, tag: str, event: _Event) -> None:
        """A tag builds an object where its loader knows it; here the value stays as it is."""
        self._note(
            "a tag would build an object out of the file",
            event,
            None if tag in _SAFE_OBJECTS else PYYAML,
            found=tag,
            allowed="plain YAML: text, numbers, lists and mappings",
        )

    def _scalar(self, event: _Event, start: int) -> Node:
        mark, written = event.start_mark, self.text[event.start_mark.index : event.end_mark.index]
        end = max(start, mark.index + len(written.rstrip()))
        node = Node("scalar", start, end, mark.line + 1, mark.column)
        node.text, node.quote = event.value, event.style or ""
        tag = resolve_tag(event.value, event.tag, event.implicit)
        if not is_known(tag):
            self._note_tag(tag, event)
            node.text = node.value = shorten(f"{tag} {event.value}".rstrip(), 1000)
            return node
        node.merge = tag == MERGE_TAG
        try:
            node.value, node.read_as_number = read_scalar(node.text, tag, not node.quote)
        except NotAScalar as problem:
            raise self.fail(str(problem), node.line, found=shorten(node.text)) from None
        return node

    def _fill_mapping(self, node: Node) -> None:
        said: dict[str, Use] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.use(None, event).node
            if key.kind != "scalar":
                found = self.text.split("\n")[key.line - 1]
                if "{{" in found:
                    raise self.fail(TEMPLATE, key.line, found=found, allowed="the rendered file")
                raise self.fail("a key is a list or a mapping", key.line, allowed="a name")
            use = self.use(key, next(self.events))
            if key.text in said and not key.merge:
                first = said[key.text]
                differs = plain(first.node) != plain(use.node)
                self.repeated.append(Repeated(key.text, first.name.line, key.line, differs))
            said[key.text] = use
            node.children.append(use)
            if key.merge and any(source.kind != "mapping" for source in merged(use)):
                raise self.fail("'<<' merges something that is not a mapping", use.node.line)
        self._close(node, event)
        if node.children and not node.flow:
            node.start = node.children[0].name.start

    def _fill_list(self, node: Node) -> None:
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            node.children.append(self.use(None, event))
        self._close(node, event)

    def _close(self, node: Node, event: _Event) -> None:
        if node.flow:
            node.end = event.end_mark.index
        elif node.children:
            node.end = node.children[-1].end


def parse(text: str, file: str) -> Node:
    """The mapping that a text is, aliases followed to the nodes they repeat.

    Nothing of it is executed: tags that build objects are refused.

    Args:
        text: YAML or JSON, without a byte order mark.
        file: Its name, for messages; one that ends in `.json` may be indented with tabs.

    Raises:
        UserError: it is empty, no YAML, no mapping, or more than a configuration may be; an alias
            stands inside what it repeats.
    """
    if is_json(file):
        text = without_comments(text).replace("\t", " ")
    found, parser = _parse(text, file)
    if not found:
        raise UserError(
            "the file is empty", file=file, line=1, allowed="a mapping of keys to values"
        )
    first, *others = _mappings(found, parser)
    if _is_command_line(first):
        reason = "a list of a command line's arguments, and trainers take a mapping"
        parser.odd.append(Odd(reader="the trainer", reason=reason, line=first.line, found="[--…]"))
    elif first.kind != "mapping":
        raise UserError(
            "not a configuration",
            file=file,
            line=first.line,
            found=text.strip().split("\n")[0],
            allowed="a mapping of keys to values, as in `learning_rate: 2.0e-5`",
        )
    first.repeated, first.odd = tuple(parser.repeated), tuple(parser.odd)
    first.others = tuple(others)
    return first


def _mappings(found: list[Node], parser: _Parser) -> list[Node]:
    """The mappings at the top, of several documents or items of a list; any node without one."""
    items = [use.node for node in found if node.kind == "list" for use in node.children]
    listed = [node for node in items if node.kind == "mapping"]
    if listed and len(listed) == len(items):
        reason = "the top level is a list, and trainers take a mapping"
        parser.odd.append(
            Odd(reader="the trainer", reason=reason, line=found[0].line, found="- …", several=True)
        )
        found = [*found, *_in_one(listed)]
    mappings = [node for node in found if node.kind == "mapping" and node.children]
    return mappings or found


def _is_command_line(node: Node) -> bool:
    items = [use.node for use in node.children if node.kind == "list"]
    return any(item.text.startswith("--") for item in items)


def _in_one(found: Sequence[Node]) -> list[Node]:
    """Mappings without a key in common as one: the items of a list that say one thing each."""
    names = [use.name.text for node in found for use in node.children]
    if len(found) < 2 or len(set(names)) < len(names):
        return list(found)
    children = [use for node in found for use in node.children]
    return [replace(found[0], children=children)]


def _parse(text: str, file: str) -> tuple[list[Node], _Parser]:
    try:
        parser = _Parser(text, file)
        return parser.documents(), parser
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(file, text, error) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise UserError(
            "a character that YAML does not allow",
            file=file,
            line=line,
            found=f"U+{ord(error.character):04X}" if isinstance(error.character, str) else None,
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError("not YAML", file=file, line=1, found=str(error).split("\n")[0]) from None


def _spaces_for_tabs(line: str) -> str:
    body = line.lstrip("\t ")
    return line[: len(line) - len(body)].replace("\t", " ") + body


def _syntax_error(file: str, text: str, error: yaml.MarkedYAMLError) -> UserError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    lines = text.split("\n")
    found = lines[line - 1] if line <= len(lines) else ""
    problem = error.problem or "not YAML"
    write = None
    if "\t" in found[: len(found) - len(found.lstrip())] or "'\\t'" in problem:
        problem = "a tab stands in the indentation; YAML allows only spaces"
        write = _spaces_for_tabs(found.replace("\t", "  "))
    elif "{%" in found or "{{" in found:
        problem = TEMPLATE
    elif "nesting depth" in problem:
        problem = "not a configuration: nested too deeply"
    else:
        problem = f"not YAML: {problem}"
    return UserError(problem, file=file, line=line, found=found.strip("\n"), write=write)


def find(mapping: Node, key: str) -> tuple[Use, Node, Use | None] | None:
    """The value of a key, merges followed: its use, the mapping it is written in, the merge.

    The merge is the `<<` of `mapping` that brings it; None where `mapping` itself has the key.
    """
    for use in reversed(mapping.children):  # of a key that stands twice the last one counts
        if not use.merge and use.name.text == key:
            return use, mapping, None
    for merge in (use for use in reversed(mapping.children) if use.merge):
        for source in merged(merge):
            if found := find(source, key):
                return found[0], found[1], merge
    return None


def member(mapping: Node, key: str) -> Node:
    """The value of a key that a mapping has, merges followed."""
    found = find(mapping, key)
    assert found is not None, key
    return found[0].node


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
    found.update(dict.fromkeys(use.name.text for use in mapping.children if not use.merge))
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
            node = member(mapping, key)
            yield path, node
            if node.kind == "mapping":
                yield from below(node, path)

    return below(root, "")


def written(root: Node) -> Iterator[tuple[str, Use]]:
    """Dotted path and use of every value as it is written: aliases and merges not followed."""

    def below(mapping: Node, prefix: str) -> Iterator[tuple[str, Use]]:
        for use in mapping.children:
            path = f"{prefix}.{use.name.text}" if prefix else use.name.text
            yield path, use
            if use.alias:
                continue
            if use.node.kind == "mapping":
                yield from below(use.node, path)
            else:
                yield from ((path, item) for item in use.node.children)

    return below(root, "")


def plain(node: Node) -> object:
    """The value of a node: scalars, lists and dicts."""
    if node.kind == "mapping":
        return {key: plain(member(node, key)) for key in keys(node)}
    if node.kind == "list":
        return [plain(use.node) for use in node.children]
    return node.value
