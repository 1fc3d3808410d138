"""Every planned contrast with both intervals, its seeds, and the band of no matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablation.evidence.effects import Effect, Effects
from ablation.report.evidence import effect_label
from ablation.report.figures.figure import INK, Drawing, Shown, label_axis, lines_of, say
from ablation.words.catalogue import capital, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(figure: Figure, drawing: Drawing) -> None:
    """Every planned contrast with both intervals, its seeds, and the band of no matter."""
    effects, t = drawing.effects, drawing.words
    found = [e for e in effects.planned if e.improvement.estimate is not None]
    if not found:
        say(figure, t("figure.no_contrast"))
        return
    figure.set_size_inches(7.2, 1.3 + 0.34 * len(found))
    axes = figure.subplots()
    delta = effects.metric.delta
    limits = _forest_limits(effects, found)
    axes.axvspan(-delta, delta, facecolor="#f0f0f0", edgecolor="#bdbdbd", hatch="..", lw=0)
    axes.axvline(0, color=INK, lw=0.8)
    kinds = [one.id.partition(":")[0] for one in found]
    for place, (kind, one) in enumerate(zip(kinds, found, strict=True)):
        _forest_row(axes, place, one, limits)
        if place and kind != kinds[place - 1] and {kind, kinds[place - 1]} - {"stage", "remainder"}:
            axes.axhline(place - 0.5, color="#d0d0d0", lw=0.6)
    axes.set_yticks(
        range(len(found)),
        [lines_of(plain(capital(effect_label(drawing.sources, one.id))), 44, 2) for one in found],
    )
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlim(*limits)
    metric = effects.metric.name
    label = t("figure.improvement", metric=drawing.in_unit("points"))
    label_axis(axes.xaxis, metric, label)
    _forest_legend(figure, axes, drawing)


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
        if pair.low is None or pair.high is None:
            continue
        ends = [min(max(end, inner[0]), inner[1]) for end in (pair.low, pair.high)]
        axes.hlines(
            place, ends[0], ends[1], color=INK if cap else "#737373", lw=width, zorder=4 - width / 4
        )
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
    if mean is not None:
        axes.plot(mean, place, "D", ms=5, mfc=INK, mec="white", mew=0.8, zorder=6)


def _forest_legend(figure: Figure, axes: Axes, drawing: Drawing) -> None:
    t, joint = drawing.words, "repeated" if drawing.effects.sequential else "simultaneous"
    axes.plot([], [], "D", ms=5, mfc=INK, mec="white", label=t("figure.mean"))
    axes.plot([], [], color="#737373", lw=3.6, label=t("figure.own"))
    axes.plot([], [], "-|", color=INK, lw=1.0, ms=7, label=t(f"figure.{joint}"))
    axes.plot([], [], "o", ms=3.2, mfc="white", mec=INK, mew=0.7, label=t("figure.one_seed"))
    axes.fill_between(
        [],
        [],
        facecolor="#f0f0f0",
        edgecolor="#bdbdbd",
        hatch="..",
        lw=0,
        label=t("figure.within"),
    )
    figure.legend(loc="outside upper center", ncols=5, fontsize=8)


FIGURE = Shown(
    draw=draw,
    section="evidence",
    texts={
        "en": (
            "Forest plot of every planned contrast with its own and its simultaneous interval",
            "Every planned contrast; to the right is better. Diamond: mean. Thick line: its "
            "own 95% interval. Thin line with ends: simultaneous (or, with looks, repeated) "
            "interval. Circles: seeds. Dotted band: effects too small to matter. Arrows: "
            "the interval leaves the picture.",
        ),
        "ko": (
            "계획한 모든 비교의 개별 신뢰구간과 동시 신뢰구간을 나타낸 포레스트 그림",
            "계획한 모든 비교. 오른쪽일수록 좋다. 마름모는 평균, 굵은 선은 개별 95% "
            "신뢰구간, 양 끝에 마디가 있는 가는 선은 동시 신뢰구간(중간 분석이 있으면 반복 "
            "신뢰구간), 동그라미는 시드별 값, 점무늬 띠는 의미 없을 만큼 작은 효과의 범위이다. "
            "화살표는 구간이 그림 밖까지 이어진다는 뜻이다.",
        ),
    },
)
