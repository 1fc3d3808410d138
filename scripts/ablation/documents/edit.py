"""YAML and JSON text with values changed in place: comments, anchors and layout stay."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from ablation.documents.odd import BOM
from ablation.documents.style import Raw, Style, write_block, write_flow, write_key, write_scalar
from ablation.documents.tree import (
    Node,
    Use,
    find,
    keys,
    member,
    merged,
    parse,
    plain,
    sources,
    walk,
    written,
)
from ablation.errors import UserError


class Document:
    """A text that is changed value by value, each with the fewest lines.

    A value that several places repeat through an anchor is changed where it is written if all of
    them shall have it; else the place that shall differ gets a value of its own.

    Args:
        text: A mapping that `load_entries` reads.
        file: Its name, for messages.
        read: The dotted keys that its dialect reads. An anchored block of which none is read
            where it is written is a definition: what merges it is changed through it.
        order: Keys in the order in which people write them: a new key goes behind the last one
            that the block has.
    """

    def __init__(
        self, text: str, file: str, read: Collection[str] = (), order: Sequence[str] = ()
    ) -> None:
        self.bom = BOM if text.startswith(BOM) else ""
        self.body = text[len(self.bom) :]
        self.file = file
        self.read = set(read)
        self.order = {key: number for number, key in enumerate(order)}
        self.newline = "\r\n" if "\r\n" in self.body else "\n"
        self.root = self._parse()
        self.style = _style_of(self.root, self.body, file.endswith(".json"))

    @property
    def text(self) -> str:
        """The whole text as it is now."""
        return self.bom + self.body

    def get(self, path: str) -> Node | None:
        """The value at a dotted path, aliases and merges followed, or None."""
        hops = self._hops(path)
        return hops[-1][0].node if hops else None

    def plain(self, path: str) -> object:
        """The plain value at a path; None where there is none."""
        node = self.get(path)
        return plain(node) if node else None

    def set(self, path: str, value: object, same: Collection[str] = ()) -> None:
        """Write a value at a path, in the manner of the old one; add the key if it is missing.

        Args:
            path: Its dotted path.
            value: A scalar, a list, or a dict (only where no mapping stands yet).
            same: The paths that may change along with it.

        Raises:
            UserError: the value cannot be written there.
        """
        hops = self._hops(path)
        if not hops:
            self._add(path, value)
            return
        node = hops[-1][0].node
        if plain(node) == value and type(plain(node)) is type(value):
            return
        others = [user for user in self._users(node) if user != path and user not in same]
        if others and any(use.alias or merge for use, _, merge in hops):
            self._override(path, value)
            return
        before = self._copy(node)
        self._replace_node(node, value)
        for user in others:
            self._override(user, before)

    def remove(self, path: str) -> None:
        """Take a key out, and the blocks that it leaves empty.

        Raises:
            UserError: the key stands in a block that something else repeats.
        """
        hops = self._hops(path)
        if not hops:
            return
        parent = path.rpartition(".")[0]
        use, owner, merge = hops[-1]
        self._check_unused(use)
        if len(owner.children) > 1:
            others = [user for user in self._mappings(owner) if user != parent]
            if others:
                raise self._shared(path, use, others)
            self._cut(owner, use)
        elif merge is not None:
            self._cut_merge(path, parent, owner, merge)
        elif parent:
            self.remove(parent)
        else:
            raise UserError(f"'{path}' is all that the file has", file=self.file)

    def rename(self, path: str, key: str) -> None:
        """Give a key that stands in the text another name."""
        node = self._hops(path)[-1][0].name
        self._replace(node.start, node.end, write_key(key, self.style))

    def line(self, node: Node) -> int:
        """The line (from 1) at which a node begins."""
        return self.body.count("\n", 0, node.start) + 1

    # What repeats what

    def _parse(self) -> Node:
        return parse(self.body, self.file)

    def _hops(self, path: str) -> list[tuple[Use, Node, Use | None]]:
        """For each key of a path the use, the mapping that has it, and the merge that brings it."""
        node, hops = self.root, []
        for key in path.split("."):
            hop = find(node, key) if node.kind == "mapping" else None
            if hop is None:
                return []
            hops.append(hop)
            node = hop[0].node
        return hops

    def _definitions(self) -> list[str]:
        """Paths of anchored values that other places repeat and that are not read themselves."""
        uses = list(written(self.root))
        repeated = {id(use.node) for _, use in uses if use.alias}
        for _, use in uses:  # `<<: [*a, *b]`
            if use.merge:
                repeated.update(id(node) for node in merged(use))
        return [
            path
            for path, use in uses
            if not use.alias
            and id(use.node) in repeated
            and not any(key == path or key.startswith(f"{path}.") for key in self.read)
        ]

    def _live(self) -> list[tuple[str, Node]]:
        """Path and node of all values but those of mere definitions."""
        outside = self._definitions()
        return [
            (path, node)
            for path, node in walk(self.root)
            if not any(path == out or path.startswith(f"{out}.") for out in outside)
        ]

    def _users(self, node: Node) -> list[str]:
        """The paths at which a value is seen."""
        return [path for path, other in self._live() if other is node]

    def _mappings(self, mapping: Node) -> list[str]:
        """The paths of the mappings that a mapping is or is merged into."""
        live = [("", self.root), *self._live()]
        return [p for p, n in live if n.kind == "mapping" and mapping in sources(n)]

    def _shared(self, path: str, use: Use, others: list[str]) -> UserError:
        return UserError(
            f"'{path}' cannot be taken out: its block is repeated elsewhere",
            file=self.file,
            line=self.line(use.name),
            found=f"also used by {', '.join(others)}",
            allowed="an anchor that only this block uses",
        )

    def _check_unused(self, use: Use) -> None:
        """Refuse to take out an anchor that something outside of it repeats."""
        below = [use, *(child for _, child in written(use.node))] if _is_map(use) else [use]
        gone = {id(child.node) for child in below if not child.alias}
        kept = [other for _, other in written(self.root) if other.alias and other not in below]
        for other in kept:
            if id(other.node) in gone and not use.alias:
                raise UserError(
                    f"'{use.name.text}' cannot be taken out: its anchor is used elsewhere",
                    file=self.file,
                    line=self.line(use.name),
                    found=f"*{other.node.anchor} in line {self.line_at(other.start)}",
                )

    def line_at(self, index: int) -> int:
        """The line (from 1) of an index."""
        return self.body.count("\n", 0, index) + 1

    def _copy(self, node: Node) -> object:
        """A value with its scalars as they are spelled, to be written elsewhere."""
        if node.kind == "mapping":
            return {key: self._copy(member(node, key)) for key in keys(node)}
        if node.kind == "list":
            return [self._copy(use.node) for use in node.children]
        if node.quote in ("|", ">"):
            return node.text
        return Raw(self.body[node.start : node.end] or "null")

    # Changes

    def _replace(self, start: int, end: int, new: str) -> None:
        self.body = self.body[:start] + new + self.body[end:]
        self.root = self._parse()

    def _replace_node(self, node: Node, value: object) -> None:
        """Write a value over a node, wherever the node is written."""
        old = self.body[node.start : node.end]
        if isinstance(value, list) and node.kind == "list" and value:
            self._replace_list(node, value)
        elif node.kind == "scalar" and not isinstance(value, dict):
            new = write_flow(value, self.style)
            if not isinstance(value, list):
                new = write_scalar(value, self.style, "" if node.quote in ("|", ">") else old)
            self._replace(node.start, node.end, new if old else f" {new}")
        elif isinstance(value, dict) and not self._in_flow(node):
            self._replace_by_block(node, value)
        elif node.flow or node.kind == "scalar":
            column = self._indent(node.start) if self.style.json else None
            self._replace(node.start, node.end, write_flow(value, self.style, column))
        else:
            colon = self.body.index(":", node.place.name.end) + 1
            head = self.body[colon : node.start].split("\n")[0].rstrip("\r")
            new = f" {write_flow(value, self.style)}"
            comment = not head or "#" in head
            self._replace(colon, node.end, new + head if comment else head.rstrip() + new)

    def _in_flow(self, node: Node) -> bool:
        """Whether a node stands in brackets."""
        around = [use.node for _, use in written(self.root) if use.node.flow and not use.alias]
        around += [self.root] if self.root.flow else []
        return any(n.start < node.start < n.end for n in around)

    def _replace_by_block(self, node: Node, value: dict[str, object]) -> None:
        """A block below a key that has nothing, or a scalar."""
        use = node.place
        indent = self._indent(use.name.start)
        lines = write_block(use.name.text, value, indent, self.style)[1:]
        stop = self._line_end(use.end)
        start = len(self.body[: use.start].rstrip()) if node.end > node.start else use.start
        rest = self.body[use.end : stop]
        self._replace(start, stop, rest.rstrip() + "".join(self.newline + li for li in lines))

    def _replace_list(self, node: Node, value: list[object]) -> None:
        """A list over a list: on one line anew, else item by item."""
        old = self.body[node.start : node.end]
        value = _in_old_order([plain(use.node) for use in node.children], value)
        if node.flow and "\n" not in old:
            comma = re.search(r"\s*,\s*", old)
            first = self._written(node.children[0]) if node.children else ""
            items = [write_scalar(item, self.style, first) for item in value]
            inner = (comma.group() if comma else ", ").join(items)
            pad = old[1 : len(old) - len(old[1:].lstrip())] if node.children else ""
            self._replace(node.start, node.end, f"[{pad}{inner}{pad}]")
        else:
            self._replace_items(node, value)

    def _written(self, use: Use) -> str:
        return self.body[use.start : use.end]

    def _replace_items(self, node: Node, value: list[object]) -> None:
        uses = {id(use): plain(use.node) for use in node.children}
        gone = [use for use in node.children if uses[id(use)] not in value]
        new = [item for item in value if item not in uses.values()]
        first = self._written(node.children[0])
        texts = [write_scalar(item, self.style, first) for item in new]
        edits = [(use.start, use.end, t) for use, t in zip(gone, texts, strict=False)]
        out = gone[len(texts) :]
        after = [use for use in node.children if use not in out][-1]
        edits += [(*self._item_span(node, use, after), "") for use in out]
        for text in reversed(texts[len(gone) :]):
            if node.flow:
                at, lead = after.end, self._flow_gap(node)
            else:
                at = self._line_end(after.end)
                dash = self.body.rfind("\n", 0, after.start) + 1
                lead = self.newline + self.body[dash : after.start]
            edits.append((at, at, lead + text))
        for start, end, text in sorted(edits, key=lambda edit: -edit[0]):
            self.body = self.body[:start] + text + self.body[end:]
        self.root = self._parse()

    def _item_span(self, node: Node, use: Use, last: Use) -> tuple[int, int]:
        """What goes with an item of a list, of which `last` is the last to stay."""
        first = self.body.rfind("\n", 0, use.start) + 1
        around = self.body[first : use.start] + self.body[use.end : self._line_end(use.end)]
        alone = first > node.start and re.fullmatch(r"\s*,?\s*(#.*)?", around)
        if not node.flow or (alone and not self.style.json):  # YAML allows a last comma
            return self._lines(use.start, use.end)
        at = node.children.index(use)
        if at < node.children.index(last):
            return use.start, node.children[at + 1].start
        return node.children[at - 1].end, use.end

    def _override(self, path: str, value: object) -> None:
        """Write a value for one path only, where all else that repeats it keeps its own."""
        names = path.split(".")
        node = self.root
        for number, name in enumerate(names):
            hop = find(node, name)
            rest = names[number + 1 :]
            if hop is None:
                self._insert(node, name, _nest(rest, value))
                return
            use, _, merge = hop
            if merge is not None:
                block = self._copy(use.node) if rest else value
                self._insert(node, name, _changed(block, rest, value))
                return
            if use.alias and not rest:
                self._replace(use.start, use.end, write_flow(value, self.style))
                return
            if use.alias:
                self._open_alias(use)
                self._override(path, value)
                return
            node = use.node
        raise AssertionError(f"{path} is written in one place")

    def _open_alias(self, use: Use) -> None:
        """Turn `key: *name` into a mapping that merges it and can have keys of its own."""
        if self._in_flow_at(use.start):
            self._replace(use.start, use.end, f"{{<<: *{use.node.anchor}}}")
            return
        start = len(self.body[: use.start].rstrip())
        stop = self._line_end(use.end)
        indent = " " * (self._indent(use.name.start) + self.style.step)
        line = f"{self.newline}{indent}<<: *{use.node.anchor}"
        self._replace(start, stop, self.body[use.end : stop].rstrip() + line)

    def _in_flow_at(self, index: int) -> bool:
        return self._in_flow(Node("scalar", index, index))

    def _add(self, path: str, value: object) -> None:
        """Write a key that is not there, with the blocks that it needs."""
        names = path.split(".")
        node, depth = self.root, 0
        for name in names[:-1]:
            hop = find(node, name)
            if hop is None:
                break
            node, depth = hop[0].node, depth + 1
            if node.kind != "mapping":
                break
        parent = ".".join(names[:depth])
        if node.kind != "mapping":
            if plain(node) is not None:
                raise UserError(
                    f"'{path}' cannot be written: '{parent}' is not a mapping",
                    file=self.file,
                    line=self.line(node),
                    found=plain(node),
                )
            self.set(parent, _nest(names[depth:], value))
            return
        for home in self._homes(node):
            if all(user == parent for user in self._mappings(home)):
                self._insert(home, names[depth], _nest(names[depth + 1 :], value))
                return
        if any(use.alias or merge for use, _, merge in self._hops(parent)):
            self._override(path, value)
            return
        raise UserError(
            f"'{path}' cannot be added: its block is repeated elsewhere",
            file=self.file,
            line=self.line(node),
            found=f"used by {', '.join(self._mappings(node))}",
        )

    def _homes(self, node: Node) -> list[Node]:
        """Where a new key of a mapping may go: with its siblings, which may be merged in."""
        merges = [use for use in node.children if use.merge]
        if len(merges) < len(node.children) or not merges:
            return [node]
        return [*(home for use in merges for s in merged(use) for home in self._homes(s)), node]

    def _insert(self, mapping: Node, key: str, value: object) -> None:
        """Write a new key into a mapping, behind the last key that comes before it in order."""
        before = self._neighbor(mapping, key)
        if mapping.flow:
            self._insert_in_flow(mapping, key, value, before)
            return
        indent = self._column(mapping.children[0].name.start)
        lines = write_block(key, value, indent, self.style)
        if isinstance(value, dict) and self._spaced(mapping):
            lines.insert(0, "")
        at = self._line_end(before.end if before else mapping.end)
        self._replace(at, at, "".join(self.newline + line for line in lines))

    def _insert_in_flow(self, mapping: Node, key: str, value: object, before: Use | None) -> None:
        many = self.style.json and "\n" in self.body[mapping.start : mapping.end]
        if before is None:
            indent = self._indent(mapping.start)
            block = write_flow({key: value}, self.style, indent if self.style.json else None)
            self._replace(mapping.start, mapping.end, block)
            return
        gap = self._flow_gap(mapping)
        column = self._indent(before.name.start) if many else None
        pair = f"{write_key(key, self.style)}: {write_flow(value, self.style, column)}"
        self._replace(before.end, before.end, gap + pair)

    def _flow_gap(self, collection: Node) -> str:
        """What stands between two members of a collection in brackets."""
        first = collection.children[0]
        start = (first.key or first).start
        lead = re.search(r"\n[ \t]*$", self.body[collection.start + 1 : start])
        return f",{self.newline}{lead.group()[1:]}" if lead else ", "

    def _neighbor(self, mapping: Node, key: str) -> Use | None:
        if not mapping.children:
            return None
        place = self.order.get(key)
        if place is not None:
            placed = [(self.order.get(u.name.text, len(self.order)), u) for u in mapping.children]
            earlier = [(number, use) for number, use in placed if number < place]
            if earlier:
                return max(earlier, key=lambda pair: pair[0])[1]
        return mapping.children[-1]

    def _spaced(self, mapping: Node) -> bool:
        """Whether blank lines stand between the members of a block."""
        pairs = list(zip(mapping.children, mapping.children[1:], strict=False))
        gaps = [self.body[a.end : b.name.start] for a, b in pairs]
        blank = [gap for gap in gaps if re.search(r"\n[ \t]*\r?\n", gap)]
        return 2 * len(blank) > len(gaps)

    def _cut_merge(self, path: str, parent: str, owner: Node, merge: Use) -> None:
        """Stop merging a mapping that has nothing but the key to take out."""
        hops = self._hops(parent) if parent else []
        mapping = hops[-1][0].node if hops else self.root
        others = [user for user in self._mappings(mapping) if user != parent]
        if others or owner not in merged(merge) or merge not in mapping.children:
            raise self._shared(path, owner.children[0], others)
        if merge.node.kind == "list" and len(merge.node.children) > 1:
            item = next(use for use in merge.node.children if use.node is owner)
            last = [use for use in merge.node.children if use is not item][-1]
            self._replace(*self._item_span(merge.node, item, last), "")
        elif len(mapping.children) > 1:
            self._cut(mapping, merge)
        else:
            self.remove(parent)

    def _cut(self, mapping: Node, use: Use) -> None:
        """Take one of several members out of a mapping."""
        if not mapping.flow:
            self._replace(*self._lines(use.name.start, use.end), "")
            return
        at = mapping.children.index(use)
        if at + 1 < len(mapping.children):
            self._replace(use.name.start, mapping.children[at + 1].name.start, "")
        else:
            self._replace(mapping.children[at - 1].end, use.end, "")

    # Lines

    def _lines(self, start: int, end: int) -> tuple[int, int]:
        """The whole lines of a span, with one of two blank lines that would meet."""
        first = self.body.rfind("\n", 0, start) + 1
        stop = self.body.find("\n", end) + 1
        if not stop:  # the last line ends without a newline: so does the one before
            first = len(self.body[:first].rstrip("\r\n"))
            return first, len(self.body)
        before = self.body[:first].split("\n")[-2:-1] if first else [""]
        after = self.body[stop:].split("\n", 1)[0]
        if first and not before[0].strip() and not after.strip():
            first = self.body.rfind("\n", 0, first - 1) + 1
        return first, stop

    def _line_end(self, index: int) -> int:
        """The index behind the last character of a line, before its line break."""
        stop = self.body.find("\n", index)
        if stop < 0:
            return len(self.body)
        return stop - 1 if self.body[stop - 1] == "\r" and stop > index else stop

    def _column(self, index: int) -> int:
        return index - (self.body.rfind("\n", 0, index) + 1)

    def _indent(self, index: int) -> int:
        """The blanks that the line of an index begins with."""
        start = self.body.rfind("\n", 0, index) + 1
        line = self.body[start:]
        return len(line) - len(line.lstrip(" \t"))


def _is_map(use: Use) -> bool:
    return use.node.kind == "mapping" and not use.alias


def _nest(names: Sequence[str], value: object) -> object:
    """The value below the names, as mappings."""
    for name in reversed(names):
        value = {name: value}
    return value


def _changed(block: object, names: Sequence[str], value: object) -> object:
    """A copy of a block with another value at the end of the names."""
    if not names:
        return value
    inner = block.get(names[0], {}) if isinstance(block, dict) else {}
    base = block if isinstance(block, dict) else {}
    return {**base, names[0]: _changed(inner, names[1:], value)}


def _in_old_order(old: list[object], new: list[object]) -> list[object]:
    """The new items; those of text in the order in which the old list has them."""
    if not all(isinstance(item, str) for item in new):
        return new
    return [item for item in old if item in new] + [item for item in new if item not in old]


def _style_of(root: Node, text: str, json_only: bool) -> Style:
    """The quotes and the indentation that a file mostly has."""
    quotes: Counter[str] = Counter()
    steps: Counter[int] = Counter()

    def column(index: int) -> int:
        return index - (text.rfind("\n", 0, index) + 1)

    for _, use in written(root):
        node = use.node
        if use.alias:
            continue
        if node.kind == "scalar" and isinstance(plain(node), str):
            quotes[node.quote if node.quote in ('"', "'") else ""] += 1
        if node.kind == "mapping" and use.key and node.children:
            step = column(node.children[0].name.start) - column(use.name.start)
            steps[step] += "\n" in text[use.name.end : node.children[0].name.start]
    quote = quotes.most_common(1)[0][0] if quotes else '"'
    step = steps.most_common(1)[0][0] if steps else 2
    return Style(quote, step if step > 0 else 2, json_only)
