"""Planned learning rate of current and backup, over steps and over epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ablation.errors import UserError
from ablation.report.figures.curves import thin
from ablation.report.figures.figure import INK, Drawing, Shown, say
from ablation.settings.schedules import learning_rates, steps_per_epoch, total_steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(figure: Figure, drawing: Drawing) -> None:
    """Planned learning rate of current and backup, over steps and over epochs."""
    grid, rows, t = drawing.sources.grid, drawing.rows, drawing.words
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
        say(figure, t("figure.no_rows"))
        return
    figure.set_size_inches(8.0, 3.0)
    by_step, by_epoch = figure.subplots(1, 2, sharey=True)
    for name, curve in curves.items():
        settings = arms[name]
        style = {"color": INK, "lw": 1.8, "ls": "-" if name == "current" else "--"}
        label = t(
            "figure.schedule",
            side=t(f"side.{name}"),
            kind=settings["lr_scheduler_type"],
            steps=f"{len(curve):,}",
        )
        at = np.arange(1, len(curve) + 1, dtype=float)
        by_step.plot(*thin(at, curve), label=label, **style)
        by_epoch.plot(*thin(at / steps_per_epoch(settings, rows[name]), curve), **style)
    by_step.set_ylim(bottom=0)
    by_step.set_xlabel(t("figure.step"))
    by_step.set_ylabel(t("figure.rate"))
    by_epoch.set_xlabel(t("figure.epoch"))
    by_step.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)


FIGURE = Shown(
    draw=draw,
    section="schedule",
    texts={
        "en": (
            "Planned learning rate of the current and the backup configuration over steps "
            "and epochs",
            "Planned learning rates, computed from the settings, over steps and over epochs.",
        ),
        "ko": (
            "스텝과 에포크에 따른 현재 설정과 백업 설정의 학습률 계획",
            "설정에서 계산한 학습률 계획(왼쪽은 스텝, 오른쪽은 에포크 기준).",
        ),
    },
)
