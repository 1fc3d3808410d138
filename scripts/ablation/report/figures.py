"""The report's figures as SVG: text stays text, no dates inside, readable in grey.

Labels are English and ASCII, so that one file serves both languages on any machine's fonts; the
report gives each figure its caption and alternative text in the reader's language.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import itertools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ablation.data.counts import train_rows_of
from ablation.errors import UserError
from ablation.evidence.contrast import BETWEEN, INTERACTION, SHAPLEY
from ablation.evidence.effects import ArmSummary, Effect, Effects
from ablation.evidence.metrics import load_history, run_folder
from ablation.evidence.statistics import Estimate
from ablation.report import FIGURES, INTERACTIONS
from ablation.settings.schedules import learning_rates, steps_per_epoch, total_steps
from ablation.words.catalogue import MINUS, change_text, is_score

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
MOST_POINTS = 800


def draw_all(
    grid: Mapping[str, Any],
    runs_table: pd.DataFrame,
    effects: Effects,
    runs: str | Path,
    profile: Mapping[str, Any] | None,
    output: str | Path,
) -> list[Path]:
    """Draw every figure into the folder `output`; one without data says so in its place.

    The matrix of interactions is drawn only where the study has a factorial.
    """
    histories = load_histories(grid, runs)
    rows = train_rows_of(grid, runs_table, profile)
    draw: dict[str, Callable[[Figure], None]] = {
        "waterfall": lambda figure: draw_waterfall(figure, effects),
        "loss_curves": lambda figure: draw_losses(figure, histories),
        "learning_rates": lambda figure: draw_schedules(figure, grid, rows),
        "gradient_norms": lambda figure: draw_norms(figure, histories, grid),
        "attribution": lambda figure: draw_attribution(figure, effects),
        "quality_cost": lambda figure: draw_quality_cost(figure, effects),
        INTERACTIONS: lambda figure: draw_interactions(figure, effects),
    }
    names = (*FIGURES, INTERACTIONS) if effects.factorial else FIGURES
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with matplotlib.rc_context(STYLE):
        for name in names:
            figure = Figure(layout="constrained")
            draw[name](figure)
            paths.append(folder / f"{name}.svg")
            figure.savefig(paths[-1], metadata={"Date": None, "Creator": None})
    return paths


def _say(figure: Figure, text: str) -> None:
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


def _label_axis(axis: Axis, metric: str, text: str, unit: str) -> None:
    """Label an axis; one that shows a score is numbered in hundredths, which `unit` names."""
    axis.set_label_text(text.format(f"{metric} ({unit})" if is_score(metric) else metric))
    if is_score(metric):
        axis.set_major_formatter(lambda value, _: f"{100 * value:g}".replace("-", MINUS))


# --- Waterfall ---------------------------------------------------------------------------------


def path_steps(effects: Effects) -> tuple[list[str], pd.DataFrame]:
    """The arms of the staged path that have runs, and their values (seed x arm) on the seeds that
    all of these share, so that the steps add up to the gap."""
    metric = effects.metric.name
    columns = {arm.arm: arm.means[metric].values for arm in effects.arms}
    columns = {arm: values for arm, values in columns.items() if values}
    table = pd.DataFrame({arm: pd.Series(values) for arm, values in columns.items()})
    return list(columns), table.dropna().sort_index()


def draw_waterfall(figure: Figure, effects: Effects) -> None:
    """Steps from current to backup, each with its seeds, adding up to the gap."""
    arms, values = path_steps(effects)
    if len(arms) < 2 or arms[0] != "current" or values.empty:
        _say(figure, "No seed has been run on enough arms yet.")
        return
    figure.set_size_inches(1.6 + 1.15 * (len(arms) + 1), 3.9)
    axes = figure.subplots()
    levels = values.mean() - values["current"].mean()
    limits = _limits(values)
    name = effects.metric.name
    intervals = {(c.pair.reference, c.pair.arm): c for c in effects.contrasts if c.pair}
    better = 1 if effects.metric.higher_is_better else -1
    bounded = False
    for place, (before, arm) in enumerate(itertools.pairwise(arms), start=1):
        steps = values[arm] - values[before]
        contrast = intervals.get((before, arm))
        start = float(levels[before])
        ends = _interval(contrast, name, len(steps))
        _bar(axes, place, start, steps, better, ends, limits, name)
        bounded = bounded or ends is not None
        if place < len(arms) - 1:
            axes.plot([place + 0.32, place + 0.68], [levels[arm]] * 2, color=INK, lw=0.8)
    whole = arms[-1] == "backup"
    labels = ["current", *(_step_label(effects, arm) for arm in arms[1:])]
    if whole:
        gap = values["backup"] - values["current"]
        _bar(axes, len(arms), 0.0, gap, 0, None, limits, name)
        labels.append("backup minus\ncurrent")
    axes.plot([-0.32, 0.68], [0, 0], color=INK, lw=2)
    axes.axhline(0, color=INK, lw=0.6)
    axes.set_xticks(range(len(labels)), labels)
    axes.tick_params(axis="x", length=0)
    _label_axis(axes.yaxis, name, "{} minus current", "points")
    base = float(values["current"].mean())
    right = axes.secondary_yaxis("right", functions=(lambda y: y + base, lambda y: y - base))
    _label_axis(right.yaxis, name, "{}", "%")
    axes.set_ylim(*limits)
    _seed_legend(axes, values.index.tolist(), bounded)


def _limits(values: pd.DataFrame) -> tuple[float, float]:
    """The range of all bars and seed points, with room for the numbers above and below."""
    levels = values.mean() - values["current"].mean()
    steps = values.diff(axis=1).iloc[:, 1:]
    starts = levels.shift(1).iloc[1:]
    gaps = values.iloc[:, -1] - values["current"]
    drawn = [0.0, *levels, *(steps + starts).to_numpy().ravel(), *gaps]
    low, high = min(drawn), max(drawn)
    room = 0.2 * ((high - low) or 0.01)
    return low - room, high + room


def _interval(contrast: Effect | None, metric: str, seeds: int) -> tuple[float, float] | None:
    """A step's interval, None where there is none or it is over other seeds than are drawn."""
    if contrast is None or contrast.pair is None:
        return None
    found = contrast.pair.quantities[metric]
    if found.low is None or found.n != seeds:
        return None
    return found.low, found.high


def _step_label(effects: Effects, arm: str) -> str:
    return "remainder" if arm == "backup" and len(effects.arms) > 2 else arm_label(arm)


def _bar(
    axes: Axes,
    place: int,
    start: float,
    steps: pd.Series,
    better: int,
    interval: tuple[float, float] | None,
    limits: tuple[float, float],
    metric: str,
) -> None:
    """One step of the waterfall: bar, seed points, interval and value; `better` 0 is the whole.

    An interval that leaves the picture ends in an arrow.
    """
    mean = float(steps.mean())
    helps = mean * better >= 0
    colour, hatch = (WHOLE, None) if better == 0 else (GAIN, None) if helps else (LOSS, "///")
    axes.bar(place, mean, 0.64, bottom=start, color=colour, hatch=hatch, edgecolor=INK, lw=0.8)
    ends = [start, start + mean]
    for number, value in enumerate(steps):
        x = place + 0.1 * (number - (len(steps) - 1) / 2) / max(1, len(steps) / 5)
        marker = MARKERS[number % len(MARKERS)]
        axes.plot(x, start + value, marker, ms=4, mfc="white", mec=INK, mew=0.8, zorder=4)
        ends.append(start + float(value))
    if interval is not None:
        room = 0.11 * (limits[1] - limits[0])
        inner = limits[0] + room, limits[1] - room
        low, high = (min(max(start + end, inner[0]), inner[1]) for end in interval)
        axes.vlines(place + 0.24, low, high, color=INK, lw=1.4, zorder=3)
        for shown, end, marker in ((low, interval[0], "v"), (high, interval[1], "^")):
            if not math.isclose(shown, start + end):
                axes.plot(place + 0.24, shown, marker, ms=4, color=INK)
        ends += [low, high]
    up = mean >= 0
    axes.annotate(
        change_text(mean, metric),
        (place, max(ends) if up else min(ends)),
        xytext=(0, 4 if up else -4),
        textcoords="offset points",
        ha="center",
        va="bottom" if up else "top",
        fontweight="bold",
    )


def _seed_legend(axes: Axes, seeds: Sequence[int], bounded: bool) -> None:
    for number, seed in enumerate(seeds[: len(MARKERS)]):
        marker = MARKERS[number]
        axes.plot([], [], marker, ms=4, mfc="white", mec=INK, mew=0.8, label=f"seed {seed}")
    if bounded:
        axes.plot([], [], color=INK, lw=1.4, label="95% interval")
    columns = min(6, len(seeds) + 1)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, fontsize=8)


# --- Attribution -------------------------------------------------------------------------------


def effect_name(name: str) -> str:
    """An effect's id as a label: "only:epochs" is "epochs, alone"."""
    kind, _, rest = name.partition(":")
    words = {
        "gap": "backup minus current",
        "remainder": "remainder",
        "only": f"{rest}, alone",
        "without": f"{rest}, on all others",
        "shapley": f"{rest}, mean over orders",
        "main": f"{rest}, mean over fraction",
    }
    return words.get(kind, rest)


def draw_attribution(figure: Figure, effects: Effects) -> None:
    """Every planned contrast with both intervals, its seeds, and the band of no matter."""
    found = [e for e in effects.planned if e.improvement.estimate is not None]
    if not found:
        _say(figure, "No planned contrast has been measured yet.")
        return
    figure.set_size_inches(7.2, 1.3 + 0.34 * len(found))
    axes = figure.subplots()
    delta = effects.metric.delta
    limits = _forest_limits(effects, found)
    axes.axvspan(-delta, delta, facecolor="#f0f0f0", edgecolor="#bdbdbd", hatch="....", lw=0)
    axes.axvline(0, color=INK, lw=0.8)
    kinds = [one.id.partition(":")[0] for one in found]
    for place, (kind, one) in enumerate(zip(kinds, found, strict=True)):
        _forest_row(axes, place, one, limits)
        if place and kind != kinds[place - 1] and {kind, kinds[place - 1]} - {"stage", "remainder"}:
            axes.axhline(place - 0.5, color="#d0d0d0", lw=0.6)
    axes.set_yticks(range(len(found)), [effect_name(one.id) for one in found])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlim(*limits)
    metric = effects.metric.name
    _label_axis(axes.xaxis, metric, "improvement of {}, right is better", "points")
    _forest_legend(figure, axes, effects)


def _forest_limits(effects: Effects, found: Sequence[Effect]) -> tuple[float, float]:
    """The range of seeds, and of intervals as far as they do not dwarf them."""
    delta = effects.metric.delta
    points = [v for one in found for v in one.values.values()] + [-delta, delta]
    low, high = min(points), max(points)
    reach = 0.35 * (high - low)
    pairs = [pair for one in found for pair in (one.improvement, one.evidence)]
    ends = [end for pair in pairs for end in (pair.low, pair.high) if end is not None]
    low = max(low - reach, min([low, *ends]))
    high = min(high + reach, max([high, *ends]))
    room = 0.04 * (high - low)
    return low - room, high + room


def _forest_row(
    axes: Axes,
    place: int,
    one: Effect,
    limits: tuple[float, float],
) -> None:
    """One contrast: thick its own interval, thin with ends the simultaneous one, seeds below."""
    inner = limits[0] + 0.01 * (limits[1] - limits[0]), limits[1] - 0.01 * (limits[1] - limits[0])
    for pair, width, cap in ((one.evidence, 1.0, "|"), (one.improvement, 3.6, None)):
        if pair.low is None:
            continue
        ends = [min(max(end, inner[0]), inner[1]) for end in (pair.low, pair.high)]
        axes.hlines(place, *ends, color=INK if cap else "#737373", lw=width, zorder=4 - width / 4)
        for shown, end, arrow in zip(ends, (pair.low, pair.high), "<>", strict=True):
            inside = math.isclose(shown, end)
            if cap and inside:
                axes.plot(shown, place, cap, ms=7, color=INK, mew=1.0, zorder=4)
            elif not inside:
                axes.plot(shown, place, arrow, ms=5, color=INK, zorder=4)
    seeds = list(one.values.values())
    below = [place + 0.27] * len(seeds)
    axes.plot(seeds, below, "o", ms=3.2, mfc="white", mec=INK, mew=0.7, zorder=5)
    mean = one.improvement.estimate
    axes.plot(mean, place, "D", ms=5, mfc=INK, mec="white", mew=0.8, zorder=6)


def _forest_legend(figure: Figure, axes: Axes, effects: Effects) -> None:
    joint = "repeated" if effects.sequential else "simultaneous"
    axes.plot([], [], "D", ms=5, mfc=INK, mec="white", label="mean")
    axes.plot([], [], color="#737373", lw=3.6, label="own 95% interval")
    axes.plot([], [], "-|", color=INK, lw=1.0, ms=7, label=f"{joint} interval")
    axes.plot([], [], "o", ms=3.2, mfc="white", mec=INK, mew=0.7, label="one seed")
    axes.fill_between(
        [], [], facecolor="#f0f0f0", edgecolor="#bdbdbd", hatch="....", lw=0, label="within delta"
    )
    figure.legend(loc="outside upper center", ncols=5, fontsize=8)


# --- Quality against cost ----------------------------------------------------------------------


def draw_quality_cost(figure: Figure, effects: Effects) -> None:
    """The metric against the training time of every arm: seeds small, means large."""
    metric = effects.metric.name
    found = [(arm, _costs(arm, metric)) for arm in effects.arms]
    others = [_costs(arm, metric) for arm in effects.design_arms]
    found = [(arm, points) for arm, points in found if points]
    others = [points for points in others if points]
    if not found:
        _say(figure, "No run has finished yet.")
        return
    figure.set_size_inches(7.2, 3.6)
    axes = figure.subplots()
    longest = max(time for points in [*(p for _, p in found), *others] for time, _ in points)
    unit, size = next(
        (u, s) for u, s in (("h", 3600), ("min", 60), ("s", 1)) if longest >= 2 * s or s == 1
    )
    for number, points in enumerate(others):
        times, values = np.mean(points, axis=0)
        label = "arms of other designs" if number == 0 else None
        axes.plot(times / size, values, "x", ms=5, color="#969696", mew=1.2, label=label)
    shades = np.linspace(0.15, 0.85, len(found))
    for number, (arm, points) in enumerate(found):
        marker, shade = MARKERS[number % len(MARKERS)], str(shades[number])
        times, values = np.array(points).T
        axes.plot(times / size, values, marker, ms=3.5, mfc="none", mec=INK, mew=0.6, zorder=3)
        axes.plot(
            times.mean() / size,
            values.mean(),
            marker,
            ms=9,
            mfc=shade,
            mec=INK,
            mew=0.9,
            zorder=4,
            label=arm.arm,
        )
    axes.set_xlim(left=0)
    axes.set_xlabel(f"training time ({unit})")
    better = "higher" if effects.metric.higher_is_better else "lower"
    _label_axis(axes.yaxis, metric, f"{{}}, {better} is better", "%")
    figure.legend(
        loc="outside right upper", fontsize=8, title="mean (large), seeds (small)", title_fontsize=8
    )


def _costs(arm: ArmSummary, metric: str) -> list[tuple[float, float]]:
    """Training time (s) and metric of the seeds that have both; a diverged run has no time."""
    times, values = (arm.means[name].values for name in ("train_runtime", metric))
    return [(times[seed], values[seed]) for seed in values if seed in times]


# --- Interactions ------------------------------------------------------------------------------


def draw_interactions(figure: Figure, effects: Effects) -> None:
    """Shapley values on the diagonal and interactions of pairs below it, darker where larger."""
    factors = effects.factorial.factors if effects.factorial else ()
    cells = {(one.factor,) * 2: one.improvement for one in effects.of_role(SHAPLEY)}
    cells |= {
        tuple(str(one.factor).split(BETWEEN)): one.improvement
        for one in effects.of_role(INTERACTION)
    }
    known = {pair: e for pair, e in cells.items() if e.estimate is not None}
    if not known:
        _say(figure, "Not every combination of the factorial has been run on a common seed yet.")
        return
    side = 1.25 * len(factors)
    figure.set_size_inches(side + 1.8, 0.72 * side + 0.9)
    axes = figure.subplots()
    largest = max(abs(e.estimate) for e in known.values()) or 1.0
    for (column, row), effect in known.items():
        x, y = factors.index(column), factors.index(row)
        _matrix_cell(axes, (x, y), effect, largest, effects.metric.name)
    axes.set_xlim(-0.5, len(factors) - 0.5)
    axes.set_ylim(len(factors) - 0.5, -0.5)
    labels = [arm_label(name, 12) for name in factors]
    axes.set_xticks(range(len(factors)), labels)
    axes.set_yticks(range(len(factors)), labels)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _matrix_cell(
    axes: Axes, at: tuple[int, int], effect: Estimate, largest: float, metric: str
) -> None:
    """One cell: shade by size, hatch where negative, a frame on the diagonal."""
    (x, y), value = at, effect.estimate
    shade = 1.0 - 0.45 * abs(value) / largest
    axes.add_patch(
        Rectangle(
            (x - 0.48, y - 0.48),
            0.96,
            0.96,
            facecolor=str(round(shade, 3)),
            edgecolor=INK if x == y else "#9e9e9e",
            lw=1.6 if x == y else 0.6,
            hatch="///" if value < 0 else None,
        )
    )
    text = change_text(value, metric)
    if effect.low is not None:
        ends = (change_text(end, metric) for end in (effect.low, effect.high))
        text += f"\n[{', '.join(ends)}]"
    axes.text(
        x,
        y,
        text,
        ha="center",
        va="center",
        fontsize=7.5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.9},
    )


# --- Curves of the runs ------------------------------------------------------------------------

Histories = dict[str, dict[int, pd.DataFrame]]


def load_histories(grid: Mapping[str, Any], runs: str | Path) -> Histories:
    """Logged steps by panel title and seed; arms that are one run share a panel."""
    titles: dict[str, str] = {}
    for arm in grid["arms"]:
        known = titles.get(arm["variant"])
        titles[arm["variant"]] = f"{known} = {arm['arm']}" if known else arm["arm"]
    found: Histories = {title: {} for title in titles.values()}
    for variant, title in titles.items():
        for seed in grid["seeds"]:
            history = load_history(run_folder(runs, variant, seed))
            if len(history):
                found[title][seed] = history
    return found


def smooth(values: np.ndarray, share: float = 0.05) -> np.ndarray:
    """A centred running mean over `share` of the steps, narrower at both ends."""
    half = max(1, round(len(values) * share / 2))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    reach = np.minimum(half, np.minimum(at, len(values) - 1 - at))
    return (sums[at + reach + 1] - sums[at - reach]) / (2 * reach + 1)


def thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `MOST_POINTS` points of a curve, evenly chosen; the last stays."""
    if len(x) <= MOST_POINTS:
        return x, y
    keep = np.unique(np.linspace(0, len(x) - 1, MOST_POINTS).astype(int))
    return x[keep], y[keep]


def mean_curve(histories: Mapping[int, pd.DataFrame], column: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps that all seeds logged, and the smoothed mean over seeds."""
    table = pd.concat([h.set_index("step")[column] for h in histories.values()], axis=1).dropna()
    return table.index.to_numpy(float), smooth(table.mean(axis=1).to_numpy(float))


def _panels(figure: Figure, titles: Sequence[str], height: float) -> dict[str, Axes]:
    columns = min(3, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure.set_size_inches(2.7 * columns + 0.6, height * rows + 0.4)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for spare in grid.flat[len(titles) :]:
        spare.set_visible(False)
    panels = dict(zip(titles, grid.flat, strict=False))
    for number, (title, axes) in enumerate(panels.items()):
        axes.set_title(title.replace(" = ", " =\n") if len(title) > 34 else title, loc="left")
        # Panels above an empty place are the last of their column.
        axes.tick_params(labelbottom=number + columns >= len(titles))
    return panels


def draw_losses(figure: Figure, histories: Histories) -> None:
    """Training loss by arm: seeds thin, their smoothed mean thick, current's mean dashed."""
    present = {title: seeds for title, seeds in histories.items() if seeds}
    if not present:
        _say(figure, "No run has logged a step yet.")
        return
    first = next(iter(histories))
    panels = _panels(figure, list(present), 2.0)
    for title, axes in panels.items():
        for history in present[title].values():
            x, y = thin(history["step"].to_numpy(float), history["loss"].to_numpy(float))
            axes.plot(x, y, color="#a6a6a6", lw=0.6)
        if title != first and first in present:
            axes.plot(*thin(*mean_curve(present[first], "loss")), color=INK, lw=1.2, ls="--")
        axes.plot(*thin(*mean_curve(present[title], "loss")), color=INK, lw=1.8)
    axes = next(iter(panels.values()))
    axes.plot([], [], color="#a6a6a6", lw=0.8, label="one seed")
    axes.plot([], [], color=INK, lw=1.8, label="mean over seeds, smoothed")
    axes.plot([], [], color=INK, lw=1.2, ls="--", label="the same for current")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    figure.supxlabel("optimiser step", fontsize=9)
    figure.supylabel("training loss", fontsize=9)


def draw_norms(figure: Figure, histories: Histories, grid: Mapping[str, Any]) -> None:
    """Gradient norm before clipping by arm, with the threshold and the share of steps above."""
    present = {title: seeds for title, seeds in histories.items() if seeds}
    present = {
        t: s for t, s in present.items() if any(h["grad_norm"].gt(0).any() for h in s.values())
    }
    if not present:
        _say(figure, "No run has logged a gradient norm yet.")
        return
    limits = {arm["arm"]: float(arm["settings"].get("max_grad_norm") or 0) for arm in grid["arms"]}
    panels = _panels(figure, list(present), 2.0)
    for title, axes in panels.items():
        limit = limits[title.split(" = ")[0]]
        norms = [h["grad_norm"].to_numpy(float) for h in present[title].values()]
        for number, history in enumerate(present[title].values()):
            x, y = thin(history["step"].to_numpy(float), history["grad_norm"].to_numpy(float))
            axes.plot(x, y, lw=0.7, color=("#555555", "#a6a6a6")[number % 2])
        if limit > 0:
            above = float(np.mean(np.concatenate(norms) > limit))
            axes.axhline(limit, color=INK, lw=1.2, ls="--")
            text = f"{above:.0%} of steps clipped"
        else:
            text = "no clipping"
        axes.text(
            0.98,
            0.97,
            text,
            transform=axes.transAxes,
            ha="right",
            va="top",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85},
        )
        axes.set_yscale("log")
    axes = next(iter(panels.values()))
    axes.plot([], [], color="#777777", lw=0.8, label="one seed")
    axes.plot([], [], color=INK, lw=1.2, ls="--", label="clipping threshold (max_grad_norm)")
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    figure.supxlabel("optimiser step", fontsize=9)
    figure.supylabel("gradient norm before clipping", fontsize=9)


# --- Planned learning rates --------------------------------------------------------------------


def draw_schedules(figure: Figure, grid: Mapping[str, Any], rows: Mapping[str, int]) -> None:
    """Planned learning rate of current and backup, over steps and over epochs."""
    arms = {arm["arm"]: arm["settings"] for arm in grid["arms"]}
    curves = {}
    for name in ("current", "backup"):
        if name in rows:
            try:
                steps = total_steps(arms[name], rows[name])
                curves[name] = learning_rates(arms[name], steps)
            except UserError:
                continue
    if not curves:
        _say(figure, "The number of training rows is not known yet.")
        return
    figure.set_size_inches(8.0, 3.0)
    by_step, by_epoch = figure.subplots(1, 2, sharey=True)
    for name, curve in curves.items():
        settings = arms[name]
        style = {"color": INK, "lw": 1.8, "ls": "-" if name == "current" else "--"}
        label = f"{name}: {settings['lr_scheduler_type']}, {len(curve)} steps"
        steps = np.arange(1, len(curve) + 1, dtype=float)
        by_step.plot(*thin(steps, curve), label=label, **style)
        by_epoch.plot(*thin(steps / steps_per_epoch(settings, rows[name]), curve), **style)
    by_step.set_ylim(bottom=0)
    by_step.set_xlabel("optimiser step")
    by_step.set_ylabel("learning rate")
    by_epoch.set_xlabel("epoch")
    by_step.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
