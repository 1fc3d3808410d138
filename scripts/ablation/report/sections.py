"""The report's sections on groups of settings: what both files say, what follows, what it did."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ablation.comparison.findings.finding import SIDES, Side
from ablation.comparison.resolve import Difference
from ablation.data.counts import train_rows_of
from ablation.dialects.defaults import NO_SUCH_STEP, SCRIPT
from ablation.dialects.reader import DEFAULT, Value
from ablation.errors import UserError
from ablation.evidence.claims import DIVERGES
from ablation.evidence.effects import Effect, StatementVerdict
from ablation.evidence.outcomes import FINAL_SUFFIX
from ablation.evidence.statistics import Estimate, SeedRange
from ablation.report.excerpts import places, quotes
from ablation.report.sources import GROUPS, Sources
from ablation.settings.catalogue import NO_OP, group_of
from ablation.settings.quantities import lora_scale
from ablation.settings.schedules import effective_batch, learning_rates, total_steps
from ablation.words.catalogue import code, in_code, short_value

MOST_NAMED = 4

SCHEDULE_GROUPS = ("scheduler", "learning_rate", "epochs")


def group_sections(sources: Sources) -> list[dict[str, Any]]:
    """One section for each group with differences that reach training, in order."""
    sections: list[dict[str, Any]] = []
    for group in GROUPS:
        trained = [d for d in sources.trained if group_of(d.setting) == group]
        if trained:
            sections.append(_section(sources, group, trained, len(sections) + 1))
    with_figure = next(
        (s for name in SCHEDULE_GROUPS for s in sections if s["group"] == name), None
    )
    if with_figure is not None:
        with_figure["shows_schedules"] = True
    return sections


def _section(
    sources: Sources, group: str, trained: Sequence[Difference], number: int
) -> dict[str, Any]:
    t = sources.messages
    every = sources.study.differences
    idle = [d for d in every if group_of(d.setting) == group and d.acts_on == NO_OP]
    facts = _FACTS[group](sources) if group in _FACTS else []
    if idle:
        names = t.listing([code(d.setting) for d in idle])
        facts.append(t("fact.no_op", settings=names))
    return {
        "group": group,
        "number": number,
        "title": t(f"group.{group}"),
        "sides": [_side(sources, side, [*trained, *idle]) for side in SIDES],
        "arithmetic": batch_arithmetic(sources) if group == "batch" else [],
        "facts": facts,
        "measured": _measured(sources, trained),
        "shows_schedules": False,
    }


def _side(sources: Sources, side: Side, differences: Sequence[Difference]) -> dict[str, Any]:
    """One side of a section: the lines of its file, and the values that stand in no line."""
    t = sources.messages
    unwritten = [
        t("section.unwritten", setting=in_code(d.setting), **_default(sources, d.sides[side]))
        for d in differences
        if not places(d.sides[side]) and d.acts_on != NO_OP
    ]
    return {
        "title": t(f"side.{side}"),
        "quotes": quotes(sources, side, differences),
        "nowhere": t("section.nowhere", file=in_code(sources.file_name(side))),
        "unwritten": unwritten,
    }


def _default(sources: Sources, found: Value) -> dict[str, str]:
    t = sources.messages
    reason = t("origin.derived")
    if found.origin == DEFAULT:
        whose = {NO_SUCH_STEP: "origin.absent", SCRIPT: "origin.script"}
        key = whose.get(found.key or NO_SUCH_STEP, "origin.default")
        reason = t(key, library=found.key)
    return {"value": t.value(found.value), "reason": reason}


def _measured(sources: Sources, trained: Sequence[Difference]) -> list[str]:
    """What was measured for the steps that change a group's settings."""
    t, own = sources.messages, {d.setting for d in trained}
    lines = []
    for step in sources.path:
        mine = [name for name in step.settings if name in own]
        if not mine:
            continue
        others = [code(name) for name in sources.moved(step) if name not in own]
        if len(others) > MOST_NAMED:
            others = [t("section.others", n=len(others))]
        text = t(
            "section.measured",
            step=sources.step_title(step),
            effect=t.effect(step.improvement, sources.metric),
            verdict=impact_text(sources, step),
        )
        if others:
            text += " " + t("section.together", settings=t.listing(others))
        lines.append(text)
    return lines


def impact_text(sources: Sources, contrast: Effect) -> str:
    """The measured impact in words: level and direction, or undecided and what would decide.

    Where the interval reaches other levels than the estimate's, it says which.
    """
    t, impact = sources.messages, contrast.impact
    if contrast.one_run:
        return t("impact.one_run")
    if impact.level == DIVERGES and contrast.pair is not None:
        lost = contrast.pair.stability.divergences
        numbers = {"arm": lost.arm, "reference": lost.reference, "n": lost.n}
        return t("impact.diverges", level=DIVERGES, **numbers)
    if impact.level == "undecided":
        return undecided_contrast(sources, contrast)
    if contrast.same_results:
        return t("impact.same_results", level=impact.level)
    if impact.equivalent:
        return t("impact.equivalent")
    possible = impact.possible
    between = "impact.level" if len(possible) == 1 else "impact.levels"
    level = t(between, level=impact.level, low=possible[0], high=possible[-1])
    return t(f"impact.{impact.direction}", level=level)


def level_text(sources: Sources, contrast: Effect) -> str:
    """The measured impact in few words: `impact_text` without what would decide."""
    if contrast.impact.level == "undecided" and not contrast.one_run:
        return sources.messages("undecided.alone")
    return impact_text(sources, contrast)


def undecided_contrast(sources: Sources, contrast: Effect) -> str:
    """Undecided within the contrast's family, with what would decide it."""
    size, seeds = contrast.evidence.size, contrast.impact.seeds_to_decide
    return undecided_text(sources, contrast.improvement, seeds, size)


def undecided_text(
    sources: Sources,
    effect: Estimate | StatementVerdict,
    seeds: SeedRange | None,
    comparisons: int = 1,
) -> str:
    """Undecided, with its reason and the number of seeds that would decide.

    Args:
        sources: The report's inputs.
        effect: The estimate.
        seeds: How many seeds would decide; None where not even very many would.
        comparisons: How many comparisons it was corrected over.
    """
    t = sources.messages
    if effect.no_interval:
        return t(f"undecided.{effect.no_interval}")
    key = "undecided.corrected" if comparisons > 1 else "undecided.alone"
    words = t(key, size=comparisons)
    if not seeds:
        return t("undecided.many", undecided=words)
    if seeds.most is None:
        return t("undecided.from", undecided=words, fewest=seeds.fewest)
    if seeds.fewest == seeds.most:
        return t("undecided.seeds", undecided=words, seeds=seeds.fewest)
    return t("undecided.between", undecided=words, fewest=seeds.fewest, most=seeds.most)


# --- Facts that need no training ---------------------------------------------------------------


def batch_arithmetic(sources: Sources) -> list[str]:
    """The effective batch of both sides, multiplied out, and as it ran here."""
    t, lines = sources.messages, []
    for side in SIDES:
        settings = sources.settings(side)
        lines.append(
            t(
                "fact.batch.line",
                side=t(f"side.{side}"),
                micro=settings["per_device_train_batch_size"],
                accumulation=settings["gradient_accumulation_steps"],
                devices=settings["world_size"],
                batch=effective_batch(settings),
            )
        )
    return lines


def _batch(sources: Sources) -> list[str]:
    t = sources.messages
    here, there = (effective_batch(sources.settings(side)) for side in SIDES)
    if here == there:
        return [t("fact.batch.equal", batch=here)]
    return [t("fact.batch.differs", current=here, backup=there, factor=t.factor(there / here))]


def _pair(sources: Sources, name: str) -> tuple[Any, Any]:
    return sources.settings("current").get(name), sources.settings("backup").get(name)


def _ratio(sources: Sources, name: str) -> list[str]:
    here, there = _pair(sources, name)
    if not here or there is None:
        return []
    factor = sources.messages.factor(there / here)
    return [sources.messages("fact.ratio", setting=name, factor=factor)]


def _lora(sources: Sources) -> list[str]:
    t = sources.messages
    here, there = (lora_scale(sources.settings(side)) for side in SIDES)
    facts, ranks = [], _pair(sources, "lora.r")
    if not math.isclose(here, there):
        facts.append(t("fact.lora.scale", current=t.number(here), backup=t.number(there)))
    elif ranks[0] != ranks[1]:
        facts.append(t("fact.lora.same_scale", scale=t.number(here)))
    sizes = [sources.mean_of(side, "cost.trainable_parameters") for side in SIDES]
    if sizes[0] and sizes[1]:
        facts.append(
            t(
                "fact.lora.parameters",
                current=f"{sizes[0]:,.0f}",
                backup=f"{sizes[1]:,.0f}",
                factor=t.factor(sizes[1] / sizes[0]),
            )
        )
    layers = _pair(sources, "lora.layers_to_transform")
    if layers[0] != layers[1]:
        counts = [t("value.all") if v is None else f"{len(v)} ({short_value(v)})" for v in layers]
        facts.append(t("fact.lora.layers", current=counts[0], backup=counts[1]))
    return facts


def _learning_rate(sources: Sources) -> list[str]:
    return _ratio(sources, "learning_rate")


def _weight_decay(sources: Sources) -> list[str]:
    t = sources.messages
    pulls = [
        float(s["learning_rate"]) * float(s["weight_decay"])
        for s in (sources.settings(side) for side in SIDES)
    ]
    current, backup = t.numbers(*pulls)
    fact = t("fact.weight_decay", current=current, backup=backup)
    return [*_ratio(sources, "weight_decay"), fact]


def planned_steps(sources: Sources) -> dict[str, int]:
    """Optimizer steps of both sides, where the number of training rows is known."""
    rows = train_rows_of(sources.grid, sources.runs, sources.profile)
    return {side: total_steps(sources.settings(side), rows[side]) for side in SIDES if side in rows}


def _epochs(sources: Sources) -> list[str]:
    t, facts = sources.messages, _ratio(sources, "num_train_epochs")
    steps, rows = planned_steps(sources), train_rows_of(sources.grid, sources.runs, sources.profile)
    if len(steps) == 2:
        for side in SIDES:
            counts = {"steps": f"{steps[side]:,}", "rows": f"{rows[side]:,}"}
            facts.append(t("fact.epochs", side=t(f"side.{side}"), **counts))
    return facts


def _scheduler(sources: Sources) -> list[str]:
    t, curves = sources.messages, {}
    for side, steps in planned_steps(sources).items():
        with suppress(UserError):
            curves[side] = learning_rates(sources.settings(side), steps)
    marks = ("first", "peak", "last")
    rates = [(float(c[0]), float(c.max()), float(c[-1])) for c in curves.values()]
    written = zip(*(t.numbers(*values) for values in zip(*rates, strict=True)), strict=True)
    return [
        t(
            "fact.scheduler",
            side=t(f"side.{side}"),
            kind=sources.settings(side)["lr_scheduler_type"],
            peak_step=int(np.argmax(curves[side])) + 1,
            steps=f"{len(curves[side]):,}",
            **dict(zip(marks, numbers, strict=True)),
        )
        for side, numbers in zip(curves, written, strict=True)
    ]


def _max_length(sources: Sources) -> list[str]:
    t, profile = sources.messages, sources.profile
    if profile is None:
        return []
    shares, facts = profile.truncated_share, []
    lengths = dict.fromkeys(_pair(sources, "max_length"))
    known = [(n, shares[n]) for n in lengths if n in shares]
    if known:
        parts = [t("fact.max_length.cut", length=n, share=t.percent(share)) for n, share in known]
        facts.append(t("fact.max_length.rows", parts=t.listing(parts)))
    if tokens := profile.tokens:
        numbers = {"median": t.number(tokens.median), "p95": t.number(tokens.p95)}
        facts.append(t("fact.max_length.tokens", **numbers))
    return facts


def _deepspeed(sources: Sources) -> list[str]:
    t = sources.messages
    peaks = [sources.mean_of(side, "cost.peak_memory_bytes") for side in SIDES]
    if peaks[0] is None or peaks[1] is None:
        return []
    return [t("fact.memory", current=t.memory(peaks[0]), backup=t.memory(peaks[1]))]


def _data(sources: Sources) -> list[str]:
    t, facts = sources.messages, []
    rows = train_rows_of(sources.grid, sources.runs, sources.profile)
    if len({*SIDES} & {*rows}) == 2:
        here, there = rows["current"], rows["backup"]
        factor = t.factor(there / here)
        facts.append(t("fact.data.rows", current=f"{here:,}", backup=f"{there:,}", factor=factor))
    own = {d.setting for d in sources.trained if group_of(d.setting) == "data"}
    claimed = {claim["setting"] for claim in sources.study.options["claims"]["impact"]}
    if claimed and not own & claimed:
        facts.append(t("fact.data.overlooked"))
    return facts


def _selection(sources: Sources) -> list[str]:
    t = sources.messages
    kept = {side: sources.settings(side).get("load_best_model_at_end") for side in SIDES}
    kinds = {
        side: t("selection.best" if best else "selection.final") for side, best in kept.items()
    }
    gap = sources.effects.gap.pair
    last = None if gap is None else gap.quantities[sources.metric + FINAL_SUFFIX]
    facts = [t("fact.selection", **kinds)]
    if last is not None and last.estimate is not None:
        facts.append(t("fact.selection_last", effect=t.effect(last, sources.metric)))
    return facts


_FACTS: dict[str, Callable[[Sources], list[str]]] = {
    "lora": _lora,
    "learning_rate": _learning_rate,
    "batch": _batch,
    "weight_decay": _weight_decay,
    "epochs": _epochs,
    "scheduler": _scheduler,
    "max_length": _max_length,
    "deepspeed": _deepspeed,
    "data": _data,
    "selection": _selection,
}
