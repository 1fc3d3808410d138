"""Drawing every figure of a study: the one place that loads matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd

matplotlib.use("svg")

from matplotlib.figure import Figure

from ablation.data.counts import train_rows_of
from ablation.evidence.effects import Effects
from ablation.report.figures import figures_of
from ablation.report.figures.curves import load_histories
from ablation.report.figures.figure import STYLE, Drawing, load_figure


def draw_all(
    grid: Mapping[str, Any],
    runs_table: pd.DataFrame,
    effects: Effects,
    runs: str | Path,
    profile: Mapping[str, Any] | None,
    output: str | Path,
) -> list[Path]:
    """Draw every figure that the study has into the folder `output`."""
    drawing = Drawing(
        grid=grid,
        effects=effects,
        histories=load_histories(grid, runs),
        rows=train_rows_of(grid, runs_table, profile),
    )
    designs = [design["design"] for design in grid["designs"]]
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with matplotlib.rc_context(STYLE):
        for name in figures_of(designs):
            figure = Figure(layout="constrained")
            load_figure(name).draw(figure, drawing)
            paths.append(folder / f"{name}.svg")
            figure.savefig(paths[-1], metadata={"Date": None, "Creator": None})
    return paths
