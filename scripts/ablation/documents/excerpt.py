"""Lines cut out of a configuration, with the keys above them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from ablation.documents.odd import BOM
from ablation.documents.secrets import mask_document
from ablation.documents.tree import Node, Use, parse

GAP = "# ..."


@dataclass(frozen=True)
class Excerpt:
    """Lines of a file with the keys above them for context.

    Attributes:
        text: The lines, secrets hidden, with a mark where lines are left out.
        lines: The lines that hold the values, ranges collapsed: "40-41, 44".
    """

    text: str
    lines: str


@dataclass(frozen=True)
class _Block:
    """The lines (from 1) of a key or an item, of its value, and of the keys above it."""

    first: int
    value: int
    last: int
    above: tuple[int, ...]
    plain: bool


def excerpt(text: str, file: str, numbers: Iterable[int]) -> Excerpt | None:
    """The values that begin in the named lines (from 1), as written; None without any.

    Raises:
        UserError: the text is no configuration.
    """
    blocks = list(_blocks(text, file))
    found = [block for number in set(numbers) if (block := _at(blocks, number))]
    if not found:
        return None
    masked = mask_document(text, file).removeprefix(BOM)
    lines = [line.rstrip() for line in masked.split("\n")]
    wanted = {n for block in found for n in range(block.first, block.last + 1)}
    shown = sorted(wanted | {number for block in found for number in block.above})
    return Excerpt(
        "\n".join(_cut(lines, shown)), ranges(n for n in wanted if _is_content(lines[n - 1]))
    )


def ranges(numbers: Iterable[int], shortest: int = 2) -> str:
    """Line numbers with so many neighbors or more collapsed: 40, 41, 44 is "40-41, 44"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(
        f"{a}-{b}" if b - a + 1 >= shortest else ", ".join(map(str, range(a, b + 1)))
        for a, b in runs
    )


def _blocks(text: str, file: str) -> Iterator[_Block]:
    body = text.removeprefix(BOM)
    starts = [0, *accumulate(len(line) + 1 for line in body.split("\n"))]

    def line(index: int) -> int:
        return bisect_right(starts, index)

    def below(node: Node, above: tuple[int, ...]) -> Iterator[_Block]:
        for use in node.children:
            first = use.key.line if use.key else line(use.start)
            last = max(first, line(max(use.start, use.end - 1)))
            block = use.node.kind != "scalar" and not use.node.flow  # it begins at its key
            value = first if block and use.key else line(use.start)
            yield _Block(first, value, last, above, _is_plain(use))
            if not use.alias:
                yield from below(use.node, (*above, first) if use.key else above)

    return below(parse(body, file), ())


def _is_plain(use: Use) -> bool:
    """Whether a value is a list or a mapping of scalars: it is shown whole."""
    return bool(use.node.children) and all(
        child.node.kind == "scalar" for child in use.node.children
    )


def _at(blocks: list[_Block], number: int) -> _Block | None:
    """The value that begins in a line: a list or a mapping of scalars whole, else the innermost."""
    there = [block for block in blocks if number in (block.first, block.value)]
    if not there:
        return None
    return next((block for block in there if block.plain), there[-1])


def _cut(lines: list[str], shown: list[int]) -> Iterator[str]:
    """The named lines without the blanks that all begin with, and marks for what is left out."""
    kept = [lines[number - 1] for number in shown if _is_content(lines[number - 1])]
    cut = min(_indent(line) for line in kept)
    before: int | None = None
    for number in shown:
        line = lines[number - 1]
        skipped = lines[before : number - 1] if before else []
        inside = before is not None and _indent(line) > _indent(lines[before - 1])
        if not inside and any(_is_content(other) for other in skipped):
            yield " " * max(0, _indent(line) - cut) + GAP
        yield line[cut:]
        before = number


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _is_content(line: str) -> bool:
    """Whether a line holds more than blanks or a comment."""
    return not line.strip().startswith("#") and bool(line.strip())
