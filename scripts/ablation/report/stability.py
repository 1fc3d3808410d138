"""The report's part on convergence stability: which step makes training steadier, and by how much.

Changes are relative, in the unit in which people claim them ("50 % steadier"): minus is steadier.
"""

from __future__ import annotations

import math

from ablation.designs.contrast import GAP, TOTAL
from ablation.evidence.effects import Effect
from ablation.evidence.stability import Divergences, Stability, divergence_bound
from ablation.evidence.statistics import Estimate
from ablation.report.advice import last_total
from ablation.report.evidence import Block, p_equals
from ablation.report.sources import Sources
from ablation.words.catalogue import cell, signed


def stability_block(sources: Sources) -> Block | None:
    """Roughness, spread, clipping and divergences of each step, of all stages, and of the gap."""
    t = sources.messages
    compared = [*sources.path, last_total(sources), sources.effects.gap]
    found = [(c, c.pair.stability) for c in compared if c is not None and c.pair is not None]
    if all(stability.loss_roughness.estimate is None for _, stability in found):
        return None
    columns = [
        t("column.contrast"),
        t("metric.loss_roughness"),
        t("metric.loss_noise"),
        t("metric.seed_spread"),
        t("metric.clipped_share"),
        t("stability.column.divergences"),
        t("column.verdict"),
    ]
    measured = t(f"metric.{sources.metric}")
    notes = [
        t("stability.roughness"),
        t("stability.verdict"),
        t("stability.others", metric=measured),
    ]
    if sources.effects.sequential:
        notes.append(t("stability.looks"))
    return Block(t("stability.title"), columns, [_row(sources, *one) for one in found], notes)


def _row(sources: Sources, contrast: Effect, found: Stability) -> list[str]:
    t = sources.messages
    return [
        cell(_label(sources, contrast)),
        change_text(sources, found.loss_roughness),
        change_text(sources, found.loss_noise),
        change_text(sources, found.seed_spread),
        _clipped_text(sources, found.clipped_share),
        _lost_text(sources, found.divergences),
        t(f"stability.verdicts.{found.verdict}"),
    ]


def _label(sources: Sources, contrast: Effect) -> str:
    t, role = sources.messages, contrast.role
    if role in (TOTAL, GAP):
        return t("compared.all_stages" if role == TOTAL else "compared.gap")
    return sources.factor_title(contrast.factor or role)


def _lost_text(sources: Sources, lost: Divergences) -> str:
    """Diverged seeds of both arms, with the exact p where only one of them diverged on a seed."""
    t = sources.messages
    text = t("stability.count", arm=lost.arm, reference=lost.reference, n=lost.n)
    if lost.n and not lost.arm and not lost.reference:
        return f"{text} {t('stability.bound', bound=t.percent(divergence_bound(lost.n), 0))}"
    return text if lost.p is None else f"{text} ({p_equals(lost.p, sources)})"


def change_text(sources: Sources, log_ratio: Estimate) -> str:
    """The log of a ratio as a relative change with its interval and n: "−12.3% [−20.1%, −3.9%]"."""
    t = sources.messages
    if log_ratio.estimate is None:
        return t("effect.none")
    value, low, high = (
        None if end is None else t.change(math.expm1(end))
        for end in (log_ratio.estimate, log_ratio.low, log_ratio.high)
    )
    interval = t("no_interval") if low is None else f"[{low}, {high}]"
    return t("effect.text", value=value, interval=interval, n=log_ratio.n)


def _clipped_text(sources: Sources, difference: Estimate) -> str:
    """A difference of shares in points; without interval where no seed differs from another."""
    t = sources.messages
    if difference.estimate is None:
        return t("effect.none")
    value = t("unit.points", value=signed(100 * difference.estimate))
    if difference.low is None or difference.high is None:
        interval = t("no_interval")
    else:
        ends = (signed(100 * end) for end in (difference.low, difference.high))
        interval = f"[{', '.join(ends)}]"
    return t("effect.text", value=value, interval=interval, n=difference.n)
