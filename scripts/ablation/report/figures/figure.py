"""What a figure is, what it is drawn from, and what all of them share.

Figures are SVG: text stays text, no dates inside, readable in grey. Labels are English
and ASCII, so that one file serves both languages on any machine's fonts; the report gives each
figure its caption and alternative text in the reader's language.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pandas as pd

from ablation.evidence.effects import Effects
from ablation.words.catalogue import MINUS, is_score

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "staged-ablation",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "legend.frameon": False,
    "hatch.linewidth": 0.8,
}
GAIN, LOSS, WHOLE, INK = "#9ecae1", "#fdae6b", "#636363", "#222222"
MARKERS = "osD^vP*Xhd"

# Logged steps by panel title and seed.
Histories = Mapping[str, Mapping[int, pd.DataFrame]]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What figures are drawn from.

    Attributes:
        grid: The arms and seeds.
        effects: What was estimated.
        histories: Logged steps by panel title and seed; arms that are one run share a panel.
        rows: Training rows by arm.
    """

    grid: Mapping[str, Any]
    effects: Effects
    histories: Histories
    rows: Mapping[str, int]


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


def arm_label(arm: str, width: int = 16) -> str:
    """An arm's name on lines of about `width` letters: "stage1" over "epochs"."""
    head, _, name = arm.partition("-")
    lines = [head]
    for part in re.findall(r"[^_-]+[_-]*", name):
        if len(lines) == 1 or len(lines[-1]) + len(part) > width:
            lines.append(part)
        else:
            lines[-1] += part
    return "\n".join(lines)


def label_axis(axis: Axis, metric: str, text: str, unit: str) -> None:
    """Label an axis; one that shows a score is numbered in hundredths, which `unit` names."""
    axis.set_label_text(text.format(f"{metric} ({unit})" if is_score(metric) else metric))
    if is_score(metric):
        axis.set_major_formatter(lambda value, _: f"{100 * value:g}".replace("-", MINUS))
