"""The report's evidence: planned contrasts with their tests, and what each design adds to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ablation.designs.contrast import (
    BETWEEN,
    CHAIN,
    COMPUTE_ALONE,
    EQUAL_COMPUTE,
    GREEDY,
    GREEDY_DIFFERENCE,
    INTERACTION,
    MAIN,
    ONLY,
    SHAPLEY,
    TUNING,
    WITHOUT,
)
from ablation.evidence.by_row import NEW_SPLITS
from ablation.evidence.effects import Effect
from ablation.evidence.family import SPENDING, Evidence
from ablation.evidence.inference import Odds
from ablation.evidence.statistics import Estimate
from ablation.report.advice import delta_text
from ablation.report.sections import impact_text
from ablation.report.sources import Sources
from ablation.words.catalogue import cell, code, localized

MORE_SIGNIFICANT = 1e-3
HARDLY = 0.99
ROMAN = {3: "III", 4: "IV", 5: "V"}


@dataclass(frozen=True)
class Block:
    """A part of the report: a heading, sentences, and a table with what is to be known of it.

    Attributes:
        title: Its heading.
        columns, rows: The table; no rows leave it out.
        notes: Sentences below it.
        figure: The name of a figure to show, or None.
    """

    title: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = field(default_factory=tuple)
    figure: str | None = None


def effect_label(sources: Sources, name: str) -> str:
    """What an effect of effects.json is about, in words, by its id."""
    t = sources.messages
    kind, _, rest = name.partition(":")
    if kind == "greedy":
        direction, _, rest = rest.partition(":")
        kind = f"greedy_{direction}"
    if kind == "remainder":
        kind, rest = "stage", kind
    if kind == "total":
        return t("evidence.label.total", name=sources.factors_of(rest))
    if kind == "tuning":
        return code(rest)
    return t(f"evidence.label.{kind}", name=sources.factor_title(rest))


def excludes_zero(effect: Estimate) -> bool:
    """Whether an effect's own interval lies on one side of zero."""
    return effect.low is not None and effect.high is not None and not effect.low <= 0 <= effect.high


def p_text(p: float | None, sources: Sources, digits: int = 2) -> str:
    """A p value: two digits, or that it is below 0.001 or above 0.99; a dash for none."""
    if p is None:
        return sources.messages("none")
    if p < MORE_SIGNIFICANT:
        return "< 0.001"
    return "> 0.99" if p > HARDLY else sources.messages.number(p, digits)


def evidence_blocks(sources: Sources) -> list[Block]:
    """Everything that stands under "Evidence", each part only where there is data for it."""
    if all(one.improvement.estimate is None for one in sources.effects.planned):
        return []
    parts = (
        evidence_block(sources),
        precision_block(sources),
        single_block(sources),
        shapley_block(sources),
        interaction_block(sources),
        fractional_block(sources),
        greedy_block(sources),
        tuning_block(sources),
        control_block(sources),
        compute_block(sources),
        sequential_block(sources),
    )
    return [part for part in parts if part is not None]


# --- Every planned contrast ---------------------------------------------------------------------


def evidence_block(sources: Sources) -> Block:
    """The planned contrasts with both intervals, both tests, and what is shown of them."""
    t, effects = sources.messages, sources.effects
    staged = effects.family.method == SPENDING
    confidence = t.percent(effects.family.simultaneous_confidence, 2)
    simultaneous = "repeated" if staged else "simultaneous"
    columns = [
        t("column.contrast"),
        t("evidence.column.effect"),
        t("evidence.column.own"),
        t(f"evidence.column.{simultaneous}", confidence=confidence),
        "n",
        t("evidence.column.p_plain" if staged else "evidence.column.p_holm"),
        t("evidence.column.p_flip" if staged else "evidence.column.p_flip_holm"),
        t("evidence.column.odds"),
        t("evidence.column.equivalence", delta=delta_text(sources)),
    ]
    rows = [_evidence_row(sources, one, staged) for one in effects.planned]
    notes = [t("evidence.reading"), *_pairing_line(sources), *_unequal_line(sources)]
    if any(one.evidence.max_t_p is not None for one in effects.planned):
        notes.append(t("evidence.max_t"))
    return Block(t("evidence.title"), columns, rows, notes)


def precision_block(sources: Sources) -> Block:
    """For whom the intervals hold, what they rest on, and what would make them narrower."""
    t, scope, metric = sources.messages, sources.effects.scope, sources.metric
    reason = f".{scope.reason}" if scope.reason else ""
    size = t.number(scope.size, 6) if scope.size else t("none")
    notes = [t(f"precision.scope.{scope.rows}{reason}", size=size)]
    members = [one for one in sources.effects.planned if one.precision.own_sd is not None]
    shared = any(one.precision.shares for one in members)
    here = "seeds_alone" if scope.rows == NEW_SPLITS else "these"
    names = ["own_sd", "common_sd", *((here, "seeds", "rows", "both") if shared else ())]
    columns = [t("column.contrast"), *(t(f"precision.column.{name}") for name in names)]
    rows = []
    for one in members:
        found = one.precision
        cells = [_spread(sources, found.own_sd), _spread(sources, found.common_sd)]
        if shared:
            shares = found.shares or {}
            cells.append(t.interval(found.low, found.high, metric))
            cells += [
                t.percent(shares[name], 0) if name in shares else t("none")
                for name in ("seeds", "rows", "both")
            ]
        rows.append([cell(effect_label(sources, one.id)), *cells])
    if any(one.precision.common_sd is not None for one in members):
        notes.append(t("precision.moderated"))
    noisy = [effect_label(sources, one.id) for one in members if one.precision.disagree]
    if noisy:
        notes.append(t("precision.disagree", effects="; ".join(noisy)))
    if shared:
        notes.append(t("precision.shares"))
    return Block(t("precision.title"), columns, rows, notes)


def _spread(sources: Sources, value: float | None) -> str:
    return sources.messages("none") if value is None else _size(sources, value)


def _evidence_row(sources: Sources, one: Effect, staged: bool) -> list[str]:
    t, metric, found = sources.messages, sources.metric, one.evidence
    improvement, flips = one.improvement, [found.sign_flip_p]
    if not staged:
        flips += [found.sign_flip_p_adjusted, found.max_t_p]
    return [
        cell(effect_label(sources, one.id)),
        t.difference(improvement.estimate, metric),
        t.interval(improvement.low, improvement.high, metric),
        t.interval(found.low, found.high, metric),
        str(improvement.n),
        p_text(found.p if staged else found.p_adjusted, sources),
        " / ".join(p_text(p, sources, 3) for p in flips),
        odds_text(sources, one.odds),
        _equivalence_text(sources, found, staged),
    ]


def odds_text(sources: Sources, odds: Odds) -> str:
    """A probability of improvement with its exact interval."""
    t = sources.messages
    if odds.estimate is None:
        return t("none")
    if odds.low is None:
        return f"{t.percent(odds.estimate, 0)} {t('no_interval')}"
    ends = f"[{t.percent(odds.low, 0)}, {t.percent(odds.high, 0)}]"
    return f"{t.percent(odds.estimate, 0)} {ends}"


def _equivalence_text(sources: Sources, found: Evidence, staged: bool) -> str:
    """Whether an effect is surely small; with looks the repeated interval says so, not this p."""
    t = sources.messages
    if found.equivalent:
        shown = t("evidence.equivalent.shown")
    else:
        shown = t("evidence.equivalent.not_shown")
    p = found.equivalence_p
    return shown if staged or p is None else f"{shown} ({p_equals(p, sources)})"


def p_equals(p: float, sources: Sources) -> str:
    """A p value in a sentence: "p = 0.031", "p < 0.001"."""
    text = p_text(p, sources)
    return f"p {text}" if text[0] in "<>" else f"p = {text}"


def _pairing_line(sources: Sources) -> list[str]:
    """How much comparing within seeds gained, over the planned contrasts."""
    t = sources.messages
    pairs = [one.pair.correlation for one in sources.effects.planned if one.pair]
    known = sorted(correlation for correlation in pairs if correlation is not None)
    if not known:
        return []
    middle = known[len(known) // 2]
    numbers = {"low": t.number(known[0], 2), "high": t.number(known[-1], 2)}
    error = t.number(max(0.0, 1 - middle) ** 0.5, 2)
    return [t("evidence.pairing", middle=t.number(middle, 2), error=error, **numbers)]


def _unequal_line(sources: Sources) -> list[str]:
    """That some contrasts have fewer seeds than others, where that is so."""
    numbers = {one.improvement.n for one in sources.effects.planned}
    if len(numbers) < 2:
        return []
    return [sources.messages("evidence.unequal", low=min(numbers), high=max(numbers))]


# --- Designs --------------------------------------------------------------------------------------


def _effect_rows(sources: Sources, found: Iterable[Effect]) -> list[list[str]]:
    return [
        [
            cell(effect_label(sources, one.id)),
            sources.messages.effect(one.improvement, sources.metric),
            cell(impact_text(sources, one)),
        ]
        for one in found
    ]


def single_block(sources: Sources) -> Block | None:
    """Each factor alone, and as the last one: a difference between both is an interaction.

    A column is there where the study has planned its contrasts.
    """
    t, metric = sources.messages, sources.metric
    found = {(c.role, str(c.factor)): c for c in sources.effects.of_role(ONLY, WITHOUT)}
    if not found:
        return None
    kinds = [kind for kind in ("only", "without") if any(kind == k for k, _ in found)]
    rows = []
    for name in dict.fromkeys(factor for _, factor in found):
        shown = [
            t("none")
            if one is None
            else f"{t.effect(one.improvement, metric)} → {impact_text(sources, one)}"
            for one in (found.get((kind, name)) for kind in kinds)
        ]
        rows.append([cell(sources.factor_title(name)), *map(cell, shown)])
    columns = [t("column.step"), *(t(f"single.{kind}") for kind in kinds)]
    notes = [t("single.reading")] if len(kinds) > 1 else []
    return Block(t("single.title"), columns, rows, notes)


def shapley_block(sources: Sources) -> Block | None:
    """Each factor's mean effect over all orders; together they are what all factors do."""
    t, effects, metric = sources.messages, sources.effects, sources.metric
    facts = effects.factorial
    if facts is None:
        return None
    if facts.lacking:
        names = t.listing([" + ".join(cell_) or "current" for cell_ in facts.lacking])
        return Block(t("shapley.title"), notes=[t("factorial.lacking", cells=names)])
    rows = []
    for one in effects.of_role(SHAPLEY):
        joint, share = one.evidence, one.share
        part = t("share.none")
        if share is not None:
            ends = f"[{t.percent(share.low, 0)}, {t.percent(share.high, 0)}]"
            part = f"{t.percent(share.estimate, 0)} {ends}"
        rows.append(
            [
                cell(sources.factor_title(str(one.factor))),
                t.effect(one.improvement, metric),
                t.interval(joint.low, joint.high, metric),
                part,
                cell(impact_text(sources, one)),
            ]
        )
    columns = [
        t("column.step"),
        t("column.effect"),
        t("shapley.joint"),
        t("shapley.share"),
        t("column.measured_impact"),
    ]
    notes = [t("shapley.reading", factors=len(facts.factors), cells=facts.cells)]
    return Block(t("shapley.title"), columns, rows, [*_shapley_sum(sources), *notes])


def _shapley_sum(sources: Sources) -> list[str]:
    """What the Shapley values add up to, and how that compares to the gap."""
    t, metric = sources.messages, sources.metric
    found = sources.effects.of_role(SHAPLEY)
    known = [e for e in (one.improvement.estimate for one in found) if e is not None]
    gap = sources.effects.gap.improvement.estimate
    if len(known) < len(found):
        return []
    whole = "remainder" in {one.factor for one in found}
    key = "shapley.sum_gap" if whole or sources.stages_reach_backup else "shapley.sum_stages"
    return [t(key, sum=t.difference(sum(known), metric), gap=t.difference(gap, metric))]


def interaction_block(sources: Sources) -> Block | None:
    """What pairs of factors do beyond the sum of both."""
    t, found = sources.messages, sources.effects.of_role(INTERACTION)
    if not found:
        return None
    staged = found[0].evidence.method == SPENDING
    rows = [
        [
            cell(_pair_title(sources, str(one.factor))),
            t.effect(one.improvement, sources.metric),
            t.interval(one.evidence.low, one.evidence.high, sources.metric),
            p_text(one.evidence.p if staged else one.evidence.p_adjusted, sources),
            cell(interaction_text(sources, one)),
        ]
        for one in found
    ]
    columns = [
        t("interactions.pair"),
        t("column.effect"),
        t("shapley.joint"),
        t("evidence.column.p_plain" if staged else "evidence.column.p_holm"),
        t("column.verdict"),
    ]
    notes = [t("interactions.reading", size=found[0].evidence.size)]
    return Block(t("interactions.title"), columns, rows, notes, "interactions")


def _pair_title(sources: Sources, pair: str) -> str:
    return " × ".join(sources.factor_title(name) for name in pair.split(BETWEEN))


def interaction_text(sources: Sources, one: Effect) -> str:
    """Whether factors strengthen or weaken each other, as far as that is sure."""
    t = sources.messages
    if one.evidence.equivalent:
        return t("interactions.none")
    if not one.evidence.significant:
        return t("interactions.open")
    return t("interactions.more" if (one.improvement.estimate or 0.0) > 0 else "interactions.less")


def fractional_block(sources: Sources) -> Block | None:
    """Main effects of the fraction, and the interactions that it cannot tell apart."""
    t, facts = sources.messages, sources.effects.fractional
    if facts is None:
        return None
    title = t("fractional.title")
    if facts.lacking:
        names = t.listing([" + ".join(cell_) or "current" for cell_ in facts.lacking])
        return Block(title, notes=[t("factorial.lacking", cells=names)])
    rows = []
    for one in sources.effects.of_role(MAIN, CHAIN):
        own = one.factor if one.role == MAIN else None
        aliases = one.aliases
        rows.append(
            [
                cell(sources.factor_title(own) if own else _chain(sources, aliases)),
                cell(t.listing([_product(sources, a) for a in aliases]) if own else t("none")),
                t.effect(one.improvement, sources.metric),
                cell(impact_text(sources, one) if own else interaction_text(sources, one)),
            ]
        )
    columns = [
        t("fractional.of"),
        t("fractional.aliases"),
        t("column.effect"),
        t("column.measured_impact"),
    ]
    numbers = {
        "cells": facts.cells,
        "resolution": ROMAN.get(facts.resolution or 0, str(facts.resolution or t("none"))),
    }
    notes = [t("fractional.reading", **numbers), t("fractional.caveat")]
    if facts.defining_words:
        words = t.listing([_product(sources, word) for word in facts.defining_words])
        notes.append(t("fractional.words", words=words))
    return Block(title, columns, rows, notes)


def _product(sources: Sources, name: str) -> str:
    """A product of factors in short words: "stage 1 × remainder"; a minus stays in front."""
    sign, factors = ("−", name[1:]) if name.startswith("-") else ("", name)
    return sign + " × ".join(sources.factor_name(one) for one in factors.split(BETWEEN))


def _chain(sources: Sources, aliases: Sequence[str]) -> str:
    first, *rest = (_product(sources, name) for name in aliases)
    return " ".join([first, *(f"− {o[1:]}" if o[0] == "−" else f"+ {o}" for o in rest)])


def greedy_block(sources: Sources) -> Block | None:
    """The greedy paths: what was chosen, over what, and what does something else the other way.

    No impact stands beside a step: it is the best of several, by the seeds that measure it.
    """
    t, steps = sources.messages, sources.effects.of_role(GREEDY)
    if not steps:
        return None
    rows = [
        [
            cell(effect_label(sources, step.id)),
            t.effect(step.improvement, sources.metric),
            cell(_losers(sources, step.id)),
        ]
        for step in steps
    ]
    columns = [t("column.contrast"), t("column.effect"), t("greedy.losers")]
    notes = [t("greedy.reading")]
    ways = sources.effects.of_role(GREEDY_DIFFERENCE)
    both = [sources.factor_name(str(one.factor)) for one in ways if one.one_run]
    if both:
        notes.append(t("greedy.same_arms", steps=t.listing(both)))
    for one in ways:
        if one.one_run:
            continue
        key = "greedy.interacts" if excludes_zero(one.improvement) else "greedy.no_difference"
        effect = t.effect(one.improvement, sources.metric)
        notes.append(t(key, step=sources.factor_title(str(one.factor)), effect=effect))
    return Block(t("greedy.title"), columns, rows, notes)


def _losers(sources: Sources, name: str) -> str:
    """The factors that a step of a greedy path did not choose, as what switching them on does."""
    t = sources.messages
    _, direction, factor = name.split(":", 2)
    steps = (sources.grid.get("greedy_path") or {}).get(direction) or []
    step = next((one for one in steps if one["chosen"] == factor), None)
    if step is None:
        return t("none")
    sign = 1 if direction == "forward" else -1
    return t.listing(
        [
            f"{sources.factor_name(o['factor'])} {t.difference(sign * o['gain'], sources.metric)}"
            for o in step["candidates"]
            if o["factor"] != factor and o["gain"] is not None
        ]
    )


def tuning_block(sources: Sources) -> Block | None:
    """Explicit values of a setting against the arm that the grid starts from."""
    t, found = sources.messages, sources.effects.of_role(TUNING)
    if not found:
        return None
    rows = _effect_rows(sources, found)
    columns = [t("column.arm"), t("column.effect"), t("tuning.impact")]
    pair = found[0].pair
    assert pair is not None, "it is one arm against another"
    base = sources.arm_title(pair.reference)
    return Block(t("tuning.title"), columns, rows, [t("tuning.reading", base=base)])


# --- Controls -------------------------------------------------------------------------------------


def control_block(sources: Sources) -> Block | None:
    """The noise: current against itself, and the smallest effect that these seeds can find."""
    t, noise = sources.messages, sources.effects.noise_floor
    metric, notes = sources.metric, []
    if noise.a_a is not None:
        effect = noise.a_a
        notes.append(t("controls.a_a", effect=t.effect(effect, metric)))
        notes.append(t("controls.a_a_sd", sd=_size(sources, effect.sd)))
        if excludes_zero(effect):
            notes.append(t("controls.a_a_warning"))
    if noise.current_sd is not None:
        notes.append(t("controls.current_sd", sd=_size(sources, noise.current_sd)))
    if noise.detectable is not None:
        notes.append(
            t(
                "controls.detectable",
                n=noise.n,
                sd=_size(sources, noise.paired_sd),
                alone=_size(sources, noise.detectable),
                corrected=_size(sources, noise.detectable_corrected),
                size=sources.effects.family.size,
            )
        )
        if sources.effects.sequential:
            notes.append(t("controls.looks"))
        if (noise.detectable_corrected or 0.0) > sources.effects.metric.delta:
            notes.append(t("controls.too_coarse", delta=delta_text(sources)))
    return Block(t("controls.title"), notes=notes) if notes else None


def _size(sources: Sources, value: float | None) -> str:
    return sources.messages.difference(value, sources.metric).lstrip("+")


def compute_block(sources: Sources) -> Block | None:
    """Each step split into what it does at equal compute and what the compute alone does."""
    t, metric = sources.messages, sources.metric
    parted = sources.effects.of_role(EQUAL_COMPUTE, COMPUTE_ALONE)
    found = {(c.role, str(c.factor)): c for c in parted}
    if not found:
        return None
    rows = []
    for name in dict.fromkeys(factor for _, factor in found):
        whole = sources.contrasts["remainder" if name == "remainder" else f"stage:{name}"]
        parts = [whole, found.get(("equal_compute", name)), found.get(("compute_alone", name))]
        shown = [
            t("none")
            if c is None
            else t("compute.same")
            if c.one_run
            else t.effect(c.improvement, metric)
            for c in parts
        ]
        rows.append([cell(sources.factor_title(name)), *shown])
    columns = [t("column.step"), t("compute.whole"), t("compute.equal"), t("compute.alone")]
    return Block(t("compute.title"), columns, rows, [t("compute.reading")])


# --- Seeds added ----------------------------------------------------------------------------------


def sequential_block(sources: Sources) -> Block | None:
    """Where each planned contrast stopped, and why."""
    t, facts = sources.messages, sources.effects.sequential
    if facts is None:
        return None
    rows = []
    for one in facts.contrasts:
        looks, metric = one.decision.looks, sources.metric
        last = looks[-1] if looks else None
        boundary = t.number(last.boundary if last else None, 2)
        found = t("none") if last is None else t.difference(last.estimate, metric)
        if last is not None and last.low is not None:
            found = f"{found} {t.interval(last.low, last.high, metric)}"
        rows.append(
            [
                cell(effect_label(sources, one.id)),
                str(one.decision.n),
                found,
                t.number(last.p if last else None, 2),
                boundary,
                t(f"sequential.status.{one.decision.status}"),
                t(f"sequential.reason.{one.decision.reason}"),
            ]
        )
    columns = [
        t("column.contrast"),
        "n",
        t("sequential.effect"),
        t("evidence.column.p_holm"),
        t("sequential.boundary"),
        t("column.verdict"),
        t("sequential.why"),
    ]
    limits = [
        t("sequential.look", n=n, p=t.number(p, 2))
        for n, p in zip(facts.looks, facts.boundaries, strict=True)
    ]
    notes = [
        t(
            "sequential.reading",
            looks=t.listing(limits),
            spending=t(f"sequential.spending.{facts.spending}"),
            alpha=t.percent(facts.alpha, 0),
            size=facts.families,
        )
    ]
    if facts.next_seeds:
        notes.append(t("sequential.next", n=facts.next_seeds))
    return Block(t("sequential.title"), columns, rows, notes)


# --- What did not run, and what was run again -----------------------------------------------------


def left_out_lines(sources: Sources) -> list[str]:
    """The arms that a design asks for and that cannot run, with the reason."""
    t = sources.messages
    return [
        t("absent.left_out", arm=code(lost.arm), reason=localized(lost.text, t.language))
        for lost in sources.effects.left_out
    ]


def confirmation_lines(sources: Sources) -> list[str]:
    """What fresh seeds say of the recommendation; empty where it was not run again."""
    t, verdict, metric = sources.messages, sources.confirmation, sources.metric
    if not verdict:
        return []
    reason = t(f"confirmation.reason.{verdict.reason}")
    lines = [t(f"confirmation.{verdict.status}", reason=reason)]
    if verdict.over_current is None or verdict.over_backup is None:
        return lines
    backup = verdict.over_backup
    below = replace(backup, low=backup.low90, high=backup.high90)
    lines.append(
        t(
            "confirmation.measured_backup" if verdict.is_backup else "confirmation.measured",
            stages=sources.factors_text(verdict.stages),
            seeds=t.listing([str(seed) for seed in verdict.seeds]),
            current=t.effect(verdict.over_current, metric),
            backup=t.effect(below, metric),
            delta=delta_text(sources),
        )
    )
    if verdict.few_seeds:
        lines.append(t("confirmation.few_seeds"))
    return lines
