"""Whether steps would still matter, were both of their sides tuned: in words."""

from __future__ import annotations

from collections.abc import Mapping

from ablation.designs.contrast import GAP, RETUNED
from ablation.designs.retune import RETUNE
from ablation.designs.staged import effect_of
from ablation.evidence.effects import Effect
from ablation.evidence.retune import Side
from ablation.report.evidence import Block, excludes_zero
from ablation.report.sources import Sources
from ablation.words.catalogue import cell


def retune_block(sources: Sources) -> Block | None:
    """Each step as it is and between tuned sides, with the rates that these have."""
    t, effects = sources.messages, sources.effects
    sides = {side.arm: side for side in effects.retuned}
    if not sides:
        return None
    chosen = {side.chosen: side for side in effects.retuned if side.chosen is not None}
    found = effects.of_role(RETUNED)
    rows = [_row(sources, one, chosen) for one in found]
    names = ("plain", "tuned", "rates")
    columns = [t("column.step"), *(t(f"retune.{name}") for name in names), t("retune.matters")]
    notes = [t("retune.reading", multiples=_multiples(sources))]
    ends = [sources.arm_title(side.arm) for side in sides.values() if side.at_end]
    if ends:
        notes.append(t("retune.at_end", arms="; ".join(ends)))
    lacking = [sources.arm_title(side.arm) for side in sides.values() if side.chosen is None]
    if lacking:
        notes.append(t("retune.lacking", arms="; ".join(lacking)))
    return Block(t("retune.title"), columns, rows, notes)


def _multiples(sources: Sources) -> str:
    facts = next(one for one in sources.grid["designs"] if one["design"] == RETUNE)
    return ", ".join(f"{multiple:g}" for multiple in facts["multiples"])


def _row(sources: Sources, one: Effect, chosen: Mapping[str, Side]) -> list[str]:
    t, metric, step = sources.messages, sources.metric, str(one.factor)
    name = t("evidence.label.gap") if step == GAP else sources.factor_title(step)
    plain = sources.contrasts[effect_of(step)]
    arms = (one.pair.reference, one.pair.arm) if one.pair else ()
    rates = " → ".join(t.number(chosen[arm].rates[arm]) for arm in arms)
    return [
        cell(name),
        t.effect(plain.improvement, metric),
        t.effect(one.improvement, metric),
        rates,
        t(f"retune.verdict.{_verdict(plain, one)}"),
    ]


def _verdict(plain: Effect, tuned: Effect) -> str:
    """What tuning leaves of a step, by the corrected test of the tuned one."""
    if tuned.evidence.equivalent:
        return "none"
    if not tuned.evidence.significant:
        return "open"
    turned = (plain.improvement.estimate or 0.0) * (tuned.improvement.estimate or 0.0) < 0
    return "turns" if turned and excludes_zero(plain.improvement) else "stays"
