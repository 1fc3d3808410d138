"""Text for a terminal: it knows how wide Korean letters are."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def width_of(text: str) -> int:
    """Columns that a text takes: two for each Korean letter."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, columns: int) -> str:
    """The text with blanks up to a width."""
    return text + " " * max(0, columns - width_of(text))


def wrap(text: str, columns: int) -> list[str]:
    """Lines of at most so many columns, broken at blanks; words that are longer are cut."""
    lines: list[str] = []
    for word in text.split():
        while width_of(word) > columns:
            lines.append(_head(word, columns))
            word = word[len(lines[-1]) :]
        if lines and width_of(lines[-1]) + 1 + width_of(word) <= columns:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]


def _head(word: str, columns: int) -> str:
    used = 0
    for at, letter in enumerate(word):
        used += width_of(letter)
        if used > columns:
            return word[:at]
    return word


def cut(text: str, columns: int) -> str:
    """The text, or its beginning and an ellipsis where it is longer than so many columns."""
    return text if width_of(text) <= columns else _head(text, columns - 1) + "…"


def table(rows: Sequence[Sequence[str]], right: Sequence[int]) -> list[str]:
    """Lines of a table; the columns named in `right` are set to the right."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            " " * (width - width_of(text)) + text if place in right else pad(text, width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines
