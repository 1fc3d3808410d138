"""What a figure is, what it is drawn from, and what all of them share.

Figures are SVG, a file for each language: text stays text in the reader's font, no dates inside,
readable in gray and on a dark page. Names are those of the report: titles of stages, not ids.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import pandas as pd

from ablation.evidence.effects import Effects
from ablation.report.sources import Sources
from ablation.words.catalogue import MINUS, Messages, is_score, plain

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


HANGUL = "Noto Sans KR"  # whoever looks at it has it or another one; how wide it is, `fonts` knows
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "staged-ablation",
    "font.family": ["DejaVu Sans", HANGUL, "sans-serif"],
    "text.parse_math": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "legend.frameon": False,
    "hatch.linewidth": 0.8,
}
GAIN, LOSS, WHOLE, INK = "#9ecae1", "#fdae6b", "#636363", "#222222"
MARKERS = "osD^vP*Xhd"

# Logged steps by arm and seed.
Histories = Mapping[str, Mapping[int, pd.DataFrame]]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What figures are drawn from.

    Attributes:
        sources: What the report is made from, in the reader's language.
        histories: Logged steps by arm and seed; arms that are one run are one, "this = that".
        rows: Training rows by arm.
    """

    sources: Sources
    histories: Histories
    rows: Mapping[str, int]

    @property
    def effects(self) -> Effects:
        """What was estimated."""
        return self.sources.effects

    @property
    def words(self) -> Messages:
        """The catalogue of the report."""
        return self.sources.messages

    @property
    def metric(self) -> str:
        """The metric's name as people say it."""
        return self.words(f"metric.{self.effects.metric.name}")

    def in_unit(self, kind: str, text: str | None = None) -> str:
        """An axis of the metric, or of what `text` says of it, with its unit.

        Args:
            kind: "points" for differences, "share" for values; only scores have a unit.
            text: What the axis shows; None for the metric itself.
        """
        key = kind if is_score(self.effects.metric.name) else "plain"
        return self.words(f"figure.{key}", metric=text or self.metric)

    def arm(self, name: str) -> str:
        """An arm by its title: "Stage 2 (Epochs)"; of a history, those that are one run."""
        return plain(" = ".join(map(self.sources.arm_title, name.split(" = "))))


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A figure of the report.

    Attributes:
        draw: Draws it; says so in its place where there is nothing to draw yet.
        section: Where the report shows it: "answer", "path", "schedule", "runs", "evidence", or the
            name by which a design's own block asks for it.
        texts: Alternative text and caption in each language.
    """

    draw: Callable[[Figure, Drawing], None]
    section: str
    texts: Mapping[str, tuple[str, str]]


def load_figure(name: str) -> Shown:
    """A figure by the name that `FIGURES` has."""
    found: Shown = import_module(f"ablation.report.figures.{name}").FIGURE
    return found


def say(figure: Figure, text: str) -> None:
    """Put a sentence in the figure's place."""
    figure.set_size_inches(6.4, 1.2)
    figure.text(0.5, 0.5, text, ha="center", va="center", color=INK)


def lines_of(text: str, width: int, most: int = 4) -> str:
    """A text on lines of about `width` letters, a wide one counted twice; cut after `most`."""
    lines = [""]
    for word in _WORD.findall(text):
        before = lines[-1] if lines[-1].endswith("·") else f"{lines[-1]} ".lstrip()
        if before and _width(before) + _width(word) > width:
            lines.append(word)
        else:
            lines[-1] = before + word
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1]} …"]
    return "\n".join(lines)


_WORD = re.compile(r"\S+?·(?=\S)|\S+")  # Korean strings nouns together by middle dots


def _width(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def label_axis(axis: Axis, metric: str, text: str) -> None:
    """Label an axis; one that shows a score is numbered in hundredths."""
    axis.set_label_text(text)
    if is_score(metric):
        axis.set_major_formatter(lambda value, _: f"{100 * value:g}".replace("-", MINUS))
