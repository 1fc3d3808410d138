"""What a side says of some settings, in the user's own lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def places(provenance: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """File and line of all places that hold a setting: its own and those that repeat it."""
    for place in (provenance, *(provenance.get("also") or ())):
        if place.get("line") is not None:
            yield str(place["file"]), int(place["line"])


def quotes(sources: Sources, side: str, differences: Sequence[Mapping[str, Any]]) -> list[Quote]:
    """The lines of a side that hold the settings, file by file."""
    lines: dict[str, list[int]] = {}
    for file, line in (place for d in differences for place in places(d[side])):
        lines.setdefault(file, []).append(line)
    found = []
    for file, numbers in lines.items():
        path = sources.path_of(side, file)
        cut = excerpt(read_text(path), path.name, numbers)
        if cut is not None:
            name = sources.file_name(side) if _is_main(sources, side, file) else path.name
            where = code(f"{name}:{cut.lines}")
            found.append(Quote(where=where, text=cut.text, fence=fence(cut.text)))
    return found


def _is_main(sources: Sources, side: str, file: str) -> bool:
    return Path(file) == Path(sources.resolved[side]["file"])
