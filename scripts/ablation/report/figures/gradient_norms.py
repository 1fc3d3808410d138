"""Gradient norm before clipping by arm, with the threshold and the share of steps above."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ablation.report.figures.curves import MANY_PANELS, align, panels_of, points_each, thin
from ablation.report.figures.figure import INK, Drawing, Shown, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(figure: Figure, drawing: Drawing) -> None:
    """Gradient norm before clipping by arm, with the threshold and the share of steps above."""
    grid, histories, t = drawing.sources.grid, drawing.histories, drawing.words
    present = {title: seeds for title, seeds in histories.items() if seeds}
    present = {
        title: seeds
        for title, seeds in present.items()
        if any(history["grad_norm"].gt(0).any() for history in seeds.values())
    }
    if not present:
        say(figure, t("figure.no_norm"))
        return
    limits = {arm["arm"]: float(arm["settings"].get("max_grad_norm") or 0) for arm in grid["arms"]}
    panels = panels_of(figure, {name: drawing.arm(name) for name in present}, 2.0)
    most = points_each(present)
    for title, axes in panels.items():
        limit = limits[title.split(" = ")[0]]
        norms = [h["grad_norm"].to_numpy(float) for h in present[title].values()]
        for number, history in enumerate(present[title].values()):
            x, y = history["step"].to_numpy(float), history["grad_norm"].to_numpy(float)
            axes.plot(*thin(x, y, most), lw=0.7, color=("#555555", "#a6a6a6")[number % 2])
        if limit > 0:
            above = float(np.mean(np.concatenate(norms) > limit))
            axes.axhline(limit, color=INK, lw=1.2, ls="--")
            text = t("figure.clipped", share=t.percent(above, 0))
        else:
            text = t("figure.no_clipping")
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
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        if len(panels) > MANY_PANELS:
            axes.minorticks_off()
    align(panels.values())
    axes = next(iter(panels.values()))
    axes.plot([], [], color="#777777", lw=0.8, label=t("figure.one_seed"))
    axes.plot([], [], color=INK, lw=1.2, ls="--", label=t("figure.threshold"))
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    figure.supxlabel(t("figure.step"), fontsize=9)
    figure.supylabel(t("figure.norm"), fontsize=9)


FIGURE = Shown(
    draw=draw,
    section="runs",
    texts={
        "en": (
            "Gradient norm before clipping over optimizer steps with the clipping threshold, "
            "by arm",
            "Gradient norm before clipping, logarithmic, against the threshold. Where most "
            "steps lie above the line, clipping rather than the learning rate sets the size "
            "of the update. Of more than 24 arms only those of the path and the recommended one "
            "are drawn.",
        ),
        "ko": (
            "구성별 옵티마이저 스텝에 따른 클리핑 전 그래디언트 노름과 클리핑 기준값",
            "클리핑 전 그래디언트 노름(로그 눈금)과 기준값. 대부분의 스텝이 선 위에 있으면 "
            "업데이트 크기가 학습률이 아니라 클리핑에 의해 정해진다. 구성이 24개를 넘으면 단계 "
            "경로의 구성과 권장 구성만 그린다.",
        ),
    },
)
