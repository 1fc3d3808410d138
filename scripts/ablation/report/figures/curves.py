"""Curves of the runs: logged steps by arm and seed, smoothed and thinned."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ablation.designs.design import RUNG_ARM, TUNED_ARM
from ablation.evidence.metrics import load_history
from ablation.report.figures.figure import Histories, lines_of
from ablation.results import run_folder
from ablation.study.grid_file import GridFile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MOST_POINTS, FEWEST_POINTS = 800, 30  # of a curve
MANY_PANELS, MOST_PANELS = 12, 24
ALL_POINTS = 30_000  # of a figure, about half a megabyte: pages carry it in every language


def load_histories(grid: GridFile, runs: str | Path, first: Collection[str] = ()) -> Histories:
    """Logged steps by arm and seed; arms that are one run are one, "this = that".

    Args:
        grid: The arms and seeds.
        runs: The folder of all runs.
        first: The arms that are drawn alone where there are more than `MOST_PANELS`.
    """
    titles: dict[str, str] = {}
    for arm in grid["arms"]:
        if arm["kind"] in (RUNG_ARM, TUNED_ARM):  # the path again
            continue
        known = titles.get(arm["variant"])
        titles[arm["variant"]] = f"{known} = {arm['arm']}" if known else arm["arm"]
    if len(titles) > MOST_PANELS:
        titles = {v: title for v, title in titles.items() if {*title.split(" = ")} & {*first}}
    found: dict[str, dict[int, pd.DataFrame]] = {title: {} for title in titles.values()}
    for variant, title in titles.items():
        for seed in grid["seeds"]:
            history = load_history(run_folder(runs, variant, seed))
            if len(history):
                found[title][seed] = history
    return found


def smooth(values: np.ndarray, share: float = 0.05) -> np.ndarray:
    """A centered running mean over `share` of the steps, narrower at both ends."""
    half = max(1, round(len(values) * share / 2))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    reach = np.minimum(half, np.minimum(at, len(values) - 1 - at))
    return (sums[at + reach + 1] - sums[at - reach]) / (2 * reach + 1)


def points_each(histories: Histories) -> int:
    """How many points each run's curve may have, so that the figure stays small."""
    curves = sum(map(len, histories.values()))
    return max(FEWEST_POINTS, min(MOST_POINTS, ALL_POINTS // max(1, curves)))


def thin(x: np.ndarray, y: np.ndarray, most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most so many points of a curve, evenly chosen; the last stays."""
    if len(x) <= most:
        return x, y
    keep = np.unique(np.linspace(0, len(x) - 1, most).astype(int))
    return x[keep], y[keep]


def mean_curve(histories: Mapping[int, pd.DataFrame], column: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps that all seeds logged, and the smoothed mean over seeds."""
    table = pd.concat([h.set_index("step")[column] for h in histories.values()], axis=1).dropna()
    return table.index.to_numpy(float), smooth(table.mean(axis=1).to_numpy(float))


def panels_of(figure: Figure, titles: Mapping[str, str], height: float) -> dict[str, Axes]:
    """A panel for each arm under its title, three beside each other; `align` ends them.

    Panels that matplotlib lets share an axis look at all others at each change: 90 take minutes.
    """
    columns = min(3, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure.set_size_inches(2.7 * columns + 0.6, height * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False)
    for spare in grid.flat[len(titles) :]:
        spare.set_visible(False)
    panels = dict(zip(titles, grid.flat, strict=False))
    for number, (name, axes) in enumerate(panels.items()):
        axes.set_title(lines_of(titles[name], 34, 3), loc="left")
        # Panels above an empty place are the last of their column.
        last = number + columns >= len(titles)
        axes.tick_params(labelbottom=last, labelleft=number % columns == 0)
        if len(titles) > MANY_PANELS:  # ticks are most of a large figure: the outer ones say it
            axes.tick_params(which="both", bottom=last, left=number % columns == 0)
    return panels


def align(panels: Iterable[Axes]) -> None:
    """Give panels the same limits: those that hold all of their curves."""
    every = list(panels)
    for ends, put in (("get_xlim", "set_xlim"), ("get_ylim", "set_ylim")):
        low, high = zip(*(getattr(axes, ends)() for axes in every), strict=True)
        for axes in every:
            getattr(axes, put)(min(low), max(high))
