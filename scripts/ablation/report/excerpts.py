"""What a side says of some settings, in the user's own lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.comparison.findings.finding import Side
from ablation.comparison.resolve import Difference
from ablation.dialects.reader import Value
from ablation.documents.excerpt import excerpt
from ablation.documents.source import read_text
from ablation.report.sources import Sources
from ablation.words.catalogue import code, fence


@dataclass(frozen=True, kw_only=True)
class Quote:
    """Lines of one file.

    Attributes:
        where: The file's name and the numbers of the lines.
        text: The lines, secrets hidden.
        fence: The marks of a code block that the text cannot close.
    """

    where: str
    text: str
    fence: str


def places(found: Value) -> list[tuple[str, int]]:
    """File and line of all places that hold a setting: its own and those that repeat it."""
    every = [(found.file, found.line), *((file, line) for _, line, file in found.also)]
    return [(file, line) for file, line in every if file is not None and line is not None]


def quotes(sources: Sources, side: Side, differences: Sequence[Difference]) -> list[Quote]:
    """The lines of a side that hold the settings, file by file."""
    lines: dict[str, list[int]] = {}
    for file, line in (place for d in differences for place in places(d.sides[side])):
        lines.setdefault(file, []).append(line)
    found = []
    for file, numbers in lines.items():
        path = sources.path_of(side, file)
        cut = excerpt(read_text(path), path.name, numbers)
        if cut is not None:
            is_main = Path(file) == Path(sources.study.sides[side].file)
            name = sources.file_name(side) if is_main else path.name
            where = code(f"{name}:{cut.lines}")
            found.append(Quote(where=where, text=cut.text, fence=fence(cut.text)))
    return found
