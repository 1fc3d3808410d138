"""Shapley values on the diagonal and interactions of pairs below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablation.designs.contrast import BETWEEN, INTERACTION, SHAPLEY
from ablation.evidence.statistics import Estimate
from ablation.report.figures.figure import INK, Drawing, Shown, lines_of, say
from ablation.words.catalogue import capital, change_text, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(figure: Figure, drawing: Drawing) -> None:
    """Shapley values on the diagonal and interactions of pairs below it, darker where larger."""
    effects = drawing.effects
    factors = effects.factorial.factors if effects.factorial else ()
    cells = {(str(one.factor),) * 2: one.improvement for one in effects.of_role(SHAPLEY)}
    for one in effects.of_role(INTERACTION):
        first, second = str(one.factor).split(BETWEEN)
        cells[first, second] = one.improvement
    known = {pair: e for pair, e in cells.items() if e.estimate is not None}
    if not known:
        say(figure, drawing.words("figure.no_cell"))
        return
    side = 1.25 * len(factors)
    figure.set_size_inches(side + 1.8, 0.72 * side + 0.9)
    axes = figure.subplots()
    largest = max(abs(e.estimate or 0.0) for e in known.values()) or 1.0
    for (column, row), effect in known.items():
        x, y = factors.index(column), factors.index(row)
        _matrix_cell(axes, (x, y), effect, largest, effects.metric.name)
    axes.set_xlim(-0.5, len(factors) - 0.5)
    axes.set_ylim(len(factors) - 0.5, -0.5)
    labels = [lines_of(plain(capital(drawing.sources.factor_title(name))), 16) for name in factors]
    axes.set_xticks(range(len(factors)), labels)
    axes.set_yticks(range(len(factors)), labels)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _matrix_cell(
    axes: Axes, at: tuple[int, int], effect: Estimate, largest: float, metric: str
) -> None:
    """One cell: shade by size, hatch where negative, a frame on the diagonal."""
    (x, y), value = at, effect.estimate or 0.0
    shade = 1.0 - 0.45 * abs(value) / largest
    axes.bar(
        x,
        0.96,
        0.96,
        bottom=y - 0.48,
        facecolor=str(round(shade, 3)),
        edgecolor=INK if x == y else "#9e9e9e",
        lw=1.6 if x == y else 0.6,
        hatch="///" if value < 0 else None,
    )
    text = change_text(value, metric)
    if effect.low is not None and effect.high is not None:
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


FIGURE = Shown(
    draw=draw,
    section="interactions",
    texts={
        "en": (
            "Matrix of Shapley values on the diagonal and interactions of pairs below it",
            "Shapley values on the diagonal (framed), interactions of pairs below, with "
            "their own 95% intervals. Darker is larger in size; hatched is negative.",
        ),
        "ko": (
            "대각선은 섀플리 값, 그 아래는 쌍별 상호작용을 나타낸 행렬",
            "대각선(테두리)은 섀플리 값, 그 아래는 쌍별 상호작용이며 괄호 안은 개별 95% "
            "신뢰구간이다. 진할수록 크기가 크고 빗금은 음수이다.",
        ),
    },
)
