"""Drawing every figure of a study in each language: the one place that loads matplotlib."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")

from matplotlib.figure import Figure

from ablation.data.counts import train_rows_of
from ablation.files import save_text
from ablation.report.figures import figures_of
from ablation.report.figures.curves import load_histories
from ablation.report.figures.dark import on_dark_pages
from ablation.report.figures.figure import STYLE, Drawing, load_figure
from ablation.report.figures.fonts import know_hangul
from ablation.report.sources import Sources
from ablation.results import caption_file, figure_file
from ablation.words.catalogue import Messages, texts_beside

_PLACES = re.compile(r' (?:d|x|y)="[^"]*"')
_DIGITS = re.compile(r"(?<=\.\d\d)\d+")


def draw_all(languages: Sequence[Sources], runs: str | Path, output: str | Path) -> list[Path]:
    """Draw every figure that the study has into the folder `output`.

    Args:
        languages: What the report is made from, once in each language.
        runs: The folder of all runs.
        output: Where the figures are to be.
    """
    first = languages[0]
    chosen = {*first.arms, first.recommendation.arm or ""}
    histories = load_histories(first.grid, runs, chosen)
    rows = train_rows_of(first.grid, first.runs, first.profile)
    names = figures_of([design["design"] for design in first.grid["designs"]])
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    know_hangul()
    paths = []
    for sources in languages:
        drawing = Drawing(sources=sources, histories=histories, rows=rows)
        for name in names:
            paths.append(folder / figure_file(name, sources.messages.language))
            save_text(_draw(name, drawing), paths[-1])
            save_text(caption_of(name, drawing.words), caption_file(paths[-1]))
    return paths


def caption_of(name: str, words: Messages) -> str:
    """The caption of a figure in reStructuredText, as `snakemake --report` reads it."""
    caption = texts_beside("figure", name, load_figure(name).texts, words.language)[1]
    return re.sub(r"([\\*`_|])", r"\\\1", caption) + "\n"


def _draw(name: str, drawing: Drawing) -> str:
    """A figure as SVG, the same for the same drawing."""
    text = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure = Figure(layout="constrained")
        load_figure(name).draw(figure, drawing)
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return on_dark_pages(_PLACES.sub(_shorten, text.getvalue()))


def _shorten(places: re.Match[str]) -> str:
    """Places to a hundredth of a point: pages carry a thousand runs' curves in every language."""
    return _DIGITS.sub("", places.group())
