"""Training loss by arm: seeds thin, their smoothed mean thick, current's mean dashed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablation.report.figures.curves import align, mean_curve, panels_of, points_each, thin
from ablation.report.figures.figure import INK, Drawing, Shown, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(figure: Figure, drawing: Drawing) -> None:
    """Training loss by arm: seeds thin, their smoothed mean thick, current's mean dashed."""
    histories = drawing.histories
    present = {title: seeds for title, seeds in histories.items() if seeds}
    if not present:
        say(figure, drawing.words("figure.no_step"))
        return
    first = next(iter(histories))
    panels = panels_of(figure, {name: drawing.arm(name) for name in present}, 2.0)
    t, most = drawing.words, points_each(present)
    lead = thin(*mean_curve(present[first], "loss"), most) if first in present else None
    for title, axes in panels.items():
        for history in present[title].values():
            x, y = history["step"].to_numpy(float), history["loss"].to_numpy(float)
            axes.plot(*thin(x, y, most), color="#a6a6a6", lw=0.6)
        if title != first and lead is not None:
            axes.plot(*lead, color=INK, lw=1.2, ls="--")
        axes.plot(*thin(*mean_curve(present[title], "loss"), most), color=INK, lw=1.8)
    align(panels.values())
    axes = next(iter(panels.values()))
    axes.plot([], [], color="#a6a6a6", lw=0.8, label=t("figure.one_seed"))
    axes.plot([], [], color=INK, lw=1.8, label=t("figure.smoothed"))
    axes.plot([], [], color=INK, lw=1.2, ls="--", label=t("figure.smoothed_current"))
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    figure.supxlabel(t("figure.step"), fontsize=9)
    figure.supylabel(t("figure.loss"), fontsize=9)


FIGURE = Shown(
    draw=draw,
    section="runs",
    texts={
        "en": (
            "Training loss over optimizer steps, one panel for each arm",
            "Training loss by arm: seeds thin, their smoothed mean thick, that of current dashed. "
            "Of more than 24 arms only those of the path and the recommended one are drawn.",
        ),
        "ko": (
            "구성별 옵티마이저 스텝에 따른 학습 손실",
            "구성별 학습 손실. 가는 선은 시드별 값, 굵은 선은 평활화한 평균, 점선은 현재 "
            "설정의 평균이다. 구성이 24개를 넘으면 단계 경로의 구성과 권장 구성만 그린다.",
        ),
    },
)
