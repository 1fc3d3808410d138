"""The metric against the training time of every arm: seeds small, means large."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ablation.evidence.effects import ArmSummary
from ablation.report.figures.figure import (
    INK,
    MARKERS,
    Drawing,
    Shown,
    label_axis,
    lines_of,
    say,
)
from ablation.words.catalogue import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(figure: Figure, drawing: Drawing) -> None:
    """The metric against the training time of every arm: seeds small, means large."""
    t, metric = drawing.words, drawing.effects.metric
    found, others = _points(drawing)
    if not found:
        say(figure, t("figure.no_run"))
        return
    figure.set_size_inches(7.2, 3.6)
    axes = figure.subplots()
    longest = max(time for points in [*(p for _, p in found), *others] for time, _ in points)
    unit, size = next(
        (u, s)
        for u, s in (("hours", 3600), ("minutes", 60), ("seconds", 1))
        if longest >= 2 * s or s == 1
    )
    for number, points in enumerate(others):
        times, values = np.mean(points, axis=0)
        label = t("figure.others") if number == 0 else None
        axes.plot(times / size, values, "x", ms=5, color="#969696", mew=1.2, label=label)
    shades = np.linspace(0.15, 0.85, len(found))
    for number, (title, points) in enumerate(found):
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
            label=lines_of(title, 30),
        )
    axes.set_xlim(left=0)
    axes.set_xlabel(t(f"figure.time.{unit}"))
    better = "higher" if metric.higher_is_better else "lower"
    label_axis(axes.yaxis, metric.name, t(f"figure.{better}", metric=drawing.in_unit("share")))
    figure.legend(
        loc="outside right upper", fontsize=8, title=t("figure.mean_and_seeds"), title_fontsize=8
    )


Points = list[tuple[float, float]]


def _points(drawing: Drawing) -> tuple[list[tuple[str, Points]], list[Points]]:
    """The points of the path's arms and of the recommended one by title, and those of others."""
    effects, sources = drawing.effects, drawing.sources
    metric, best = effects.metric.name, sources.recommendation.arm
    named = {title: sources.arms[name] for name, title in sources.path_arms.items()}
    apart = [arm for arm in effects.design_arms if arm.arm == best]
    for arm in apart:
        named[drawing.words("figure.recommended", arm=sources.arm_title(arm.arm))] = arm
    found = [(plain(title), _costs(arm, metric)) for title, arm in named.items()]
    others = [_costs(arm, metric) for arm in effects.design_arms if arm not in apart]
    return [one for one in found if one[1]], [points for points in others if points]


def _costs(arm: ArmSummary, metric: str) -> Points:
    """Training time (s) and metric of the seeds that have both; a diverged run has no time."""
    times, values = (arm.means[name].values or {} for name in ("train_runtime", metric))
    return [(times[seed], values[seed]) for seed in values if seed in times]


FIGURE = Shown(
    draw=draw,
    section="path",
    texts={
        "en": (
            "Quality against training time of every arm, seeds as small points, means as "
            "large ones",
            "Quality against training time. Large marks are means of an arm, small ones its "
            "seeds; gray crosses, where there are any, are the arms of other designs.",
        ),
        "ko": (
            "구성별 학습 시간과 성능. 작은 점은 시드, 큰 점은 평균",
            "학습 시간과 성능. 큰 표시는 구성의 평균, 작은 표시는 시드별 값, 회색 가위표는 "
            "다른 설계의 구성(있을 때만)이다.",
        ),
    },
)
