"""Steps from current to backup, each with its seeds, adding up to the gap."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from ablation.designs.contrast import STAGE
from ablation.evidence.effects import Effect, Effects
from ablation.report.figures.figure import (
    GAIN,
    INK,
    LOSS,
    MARKERS,
    WHOLE,
    Drawing,
    Shown,
    label_axis,
    lines_of,
    say,
)
from ablation.words.catalogue import Messages, capital, change_text, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLUMNS = 15  # letters of a line below a bar


def path_steps(effects: Effects) -> tuple[list[str], pd.DataFrame]:
    """The arms of the staged path that have runs, and their values (seed x arm) on the seeds that
    all of these share, so that the steps add up to the gap."""
    metric = effects.metric.name
    columns = {arm.arm: arm.means[metric].values for arm in effects.arms}
    columns = {arm: values for arm, values in columns.items() if values}
    table = pd.DataFrame({arm: pd.Series(values) for arm, values in columns.items()})
    return list(columns), table.dropna().sort_index()


def draw(figure: Figure, drawing: Drawing) -> None:
    """Steps from current to backup, each with its seeds, adding up to the gap."""
    effects, t = drawing.effects, drawing.words
    arms, values = path_steps(effects)
    whole = arms[-1:] == ["backup"]
    if whole and drawing.sources.stages_reach_backup:  # the last stage is the backup
        arms = arms[:-1]
    if len(arms) < 2 or arms[0] != "current" or values.empty:
        say(figure, t("figure.no_seed"))
        return
    figure.set_size_inches(1.5 + 0.96 * (len(arms) + 1), 4.2)
    axes = figure.subplots()
    levels = values.mean() - values["current"].mean()
    limits = _limits(values)
    name = effects.metric.name
    intervals = {(c.pair.reference, c.pair.arm): c for c in effects.contrasts if c.pair}
    better = 1 if effects.metric.higher_is_better else -1
    bounded = False
    for place, (before, arm) in enumerate(itertools.pairwise(arms), start=1):
        steps = values[arm] - values[before]
        ends = _interval(intervals.get((before, arm)), name, len(steps))
        bar = Bar(place=place, start=float(levels[before]), steps=steps, interval=ends)
        _draw_bar(axes, bar, better, limits, name)
        bounded = bounded or ends is not None
        if place < len(arms) - 1:
            axes.plot([place + 0.32, place + 0.68], [levels[arm]] * 2, color=INK, lw=0.8)
    labels = [t("side.current"), *(_step_label(drawing, arm) for arm in arms[1:])]
    if whole:
        gap = values["backup"] - values["current"]
        bar = Bar(place=len(arms), start=0.0, steps=gap, interval=None)
        _draw_bar(axes, bar, 0, limits, name)
        labels.append(lines_of(t("figure.gap"), COLUMNS))
    axes.plot([-0.32, 0.68], [0, 0], color=INK, lw=2)
    axes.axhline(0, color=INK, lw=0.6)
    axes.set_xticks(range(len(labels)), labels, fontsize=8)
    axes.tick_params(axis="x", length=0)
    change = t("figure.minus_current", metric=drawing.metric)
    label_axis(axes.yaxis, name, drawing.in_unit("points", change))
    base = float(values["current"].mean())
    scales = functools.partial(operator.add, base), functools.partial(operator.add, -base)
    right = axes.secondary_yaxis("right", functions=scales)
    label_axis(right.yaxis, name, drawing.in_unit("share"))
    axes.set_ylim(*limits)
    _seed_legend(axes, t, values.index.tolist(), bounded)


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
    if found.low is None or found.high is None or found.n != seeds:
        return None
    return found.low, found.high


def _step_label(drawing: Drawing, arm: str) -> str:
    """A step of the path on short lines: its number over its title."""
    sources = drawing.sources
    step = next((s for s in sources.path if s.pair and s.pair.arm == arm), None)
    if step is None:
        return lines_of(drawing.arm(arm), COLUMNS)
    title = sources.stage_title(step.factor) if step.role == STAGE else None
    name = capital(plain(sources.step_name(step)))
    return f"{name}\n{lines_of(plain(title or ''), COLUMNS, 5)}".strip()


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar: where it stands and begins, the seeds' values, its interval from its start."""

    place: int
    start: float
    steps: pd.Series
    interval: tuple[float, float] | None


def _draw_bar(axes: Axes, bar: Bar, better: int, limits: tuple[float, float], metric: str) -> None:
    """One step of the waterfall: bar, seed points, interval and value; `better` 0 is the whole.

    An interval that leaves the picture ends in an arrow.
    """
    place, start, steps, interval = bar.place, bar.start, bar.steps, bar.interval
    mean = float(steps.mean())
    helps = mean * better >= 0
    color, hatch = (WHOLE, None) if better == 0 else (GAIN, None) if helps else (LOSS, "///")
    axes.bar(place, mean, 0.64, bottom=start, color=color, hatch=hatch, edgecolor=INK, lw=0.8)
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


def _seed_legend(axes: Axes, t: Messages, seeds: Sequence[int], bounded: bool) -> None:
    for number, seed in enumerate(seeds[: len(MARKERS)]):
        marker = MARKERS[number]
        axes.plot(
            [], [], marker, ms=4, mfc="white", mec=INK, mew=0.8, label=t("figure.seed", seed=seed)
        )
    if bounded:
        axes.plot([], [], color=INK, lw=1.4, label=t("figure.interval"))
    columns = min(6, len(seeds) + 1)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, fontsize=8)


FIGURE = Shown(
    draw=draw,
    section="answer",
    texts={
        "en": (
            "Waterfall from the current configuration over each step to the backup",
            "The staged path. Each bar starts where the one before it ends; hatched bars "
            "make things worse. Points are seeds, lines 95% intervals of the step, with an "
            "arrow where they leave the picture. Only seeds that all arms have are drawn, so "
            "the steps add up to the gap.",
        ),
        "ko": (
            "현재 설정에서 각 단계를 거쳐 백업 설정에 이르는 폭포 차트",
            "단계별 효과. 각 막대는 앞 막대가 끝난 곳에서 시작하며, 빗금 친 막대는 성능이 "
            "나빠진 단계이다. 점은 시드별 값, 세로선은 단계 효과의 95% 신뢰구간이며 "
            "화살표는 그림 밖까지 이어진다는 뜻이다. 모든 구성에 있는 시드만 그렸으므로 단계의 "
            "합이 전체 격차와 같다.",
        ),
    },
)
