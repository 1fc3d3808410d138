"""Each effect against the rows to train on, with the line that is drawn to all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ablation.designs.contrast import GAP
from ablation.evidence.effects import Effects
from ablation.evidence.scale import MEASURED, Step
from ablation.evidence.statistics import Estimate
from ablation.report.figures.curves import align, panels_of
from ablation.report.figures.figure import INK, WHOLE, Drawing, Shown, label_axis, say
from ablation.words.catalogue import capital, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(figure: Figure, drawing: Drawing) -> None:
    """A panel for each effect: its value at each size, and at all rows where that is told."""
    effects, found, t = drawing.effects, drawing.effects.scale, drawing.words
    steps = found.steps if found else ()
    if not found or not any(_estimates(effects, step) for step in steps):
        say(figure, t("figure.no_size"))
        return
    panels = panels_of(figure, {step.step: _title(drawing, step) for step in steps}, 2.1)
    for step, axes in zip(steps, panels.values(), strict=True):
        _panel(axes, drawing, step)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + 0.9, height)
    at = [*found.rows]
    if found.all_rows is not None and any(step.all_rows for step in steps):
        at.append(found.all_rows)
    for axes in panels.values():
        axes.set_xscale("log")
        axes.set_xticks(at, [f"{count:,}" for count in at], fontsize=7.5)
        axes.minorticks_off()
    align(panels.values())
    figure.supxlabel(t("figure.rows"), fontsize=9)
    name = effects.metric.name
    for axes in panels.values():
        label_axis(axes.yaxis, name, "")
    figure.supylabel(t("figure.effect", metric=drawing.in_unit("points")), fontsize=9)


def _title(drawing: Drawing, step: Step) -> str:
    if step.step == GAP:
        return drawing.words("figure.gap")
    return plain(capital(drawing.sources.factor_title(step.step)))


def _estimates(effects: Effects, step: Step) -> dict[int, Estimate]:
    """The effect at each size that has one."""
    rows = effects.scale.rows if effects.scale else ()
    by_id = effects.by_id
    pairs = zip(rows, (by_id[name].improvement for name in step.effects), strict=True)
    return {count: effect for count, effect in pairs if effect.estimate is not None}


def _panel(axes: Axes, drawing: Drawing, step: Step) -> None:
    effects, t = drawing.effects, drawing.words
    known = _estimates(effects, step)
    all_rows = effects.scale.all_rows if effects.scale else None
    axes.axhline(0, color=WHOLE, lw=0.7)
    delta = effects.metric.delta
    axes.axhspan(-delta, delta, color="#eeeeee", zorder=0)
    for count, effect in known.items():
        _point(axes, count, effect, "o", INK)
    if step.all_rows is not None and all_rows is not None and len(known) > 1:
        logs = np.log10(list(known))
        values = [float(effect.estimate or 0.0) for effect in known.values()]
        slope, start = np.polyfit(logs, values, 1)
        ends = np.array([logs[0], np.log10(all_rows)])
        axes.plot(10**ends, start + slope * ends, "--", color=WHOLE, lw=0.9)
        _point(axes, all_rows, step.all_rows, "D", WHOLE)
    told = t(f"scale.course.{step.course}")
    if step.refused not in (None, MEASURED):
        told = t("figure.no_line", course=told)
    axes.annotate(told, (0.03, 0.97), xycoords="axes fraction", va="top", fontsize=7.5)


def _point(axes: Axes, rows: int, effect: Estimate, marker: str, color: str) -> None:
    if effect.estimate is None:
        return
    axes.plot([rows], [effect.estimate], marker, ms=4.5, mfc="white", mec=color, zorder=3)
    if effect.low is not None and effect.high is not None:
        axes.plot([rows, rows], [effect.low, effect.high], color=color, lw=1.2, zorder=2)


FIGURE = Shown(
    draw=draw,
    section="scale",
    texts={
        "en": (
            "Each effect against the rows to train on, and where a line reaches at all rows",
            "Each effect at each size with its own 95% interval; zero and delta are the gray line "
            "and band. Dashed: a line through the sizes, drawn to all rows (diamond) where they "
            "lie on one.",
        ),
        "ko": (
            "학습 행 수에 따른 각 효과와 전체 행으로 연장한 직선",
            "학습 행 수마다 측정한 각 효과와 개별 95% 신뢰구간. 회색 선은 0, 띠는 delta이다. "
            "파선은 여러 크기를 지나는 직선이며, 직선을 따를 때만 전체 행(마름모)까지 긋는다.",
        ),
    },
)
