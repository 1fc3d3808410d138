"""How effects change with the rows to train on, in words."""

from __future__ import annotations

from ablation.evidence.scale import MEASURED, Scale, Step
from ablation.report.evidence import Block
from ablation.report.sources import Sources
from ablation.words.catalogue import cell


def scale_block(sources: Sources) -> Block | None:
    """Each effect at each size, how it changes, and what follows for all rows."""
    t, found = sources.messages, sources.effects.scale
    if found is None or not found.steps:
        return None
    sizes = [t("scale.rows", rows=f"{count:,}") for count in found.rows]
    beyond = found.all_rows is not None and found.all_rows > found.rows[-1]
    whole = t("scale.all", rows=f"{found.all_rows:,}") if beyond else None
    columns = [t("column.step"), *sizes, t("scale.change"), t("scale.course_column")]
    columns += [whole] if whole else []
    rows = [_row(sources, found, step, beyond) for step in found.steps]
    return Block(t("scale.title"), columns, rows, _notes(sources, found), "scale")


def _row(sources: Sources, found: Scale, step: Step, beyond: bool) -> list[str]:
    t, effects, metric = sources.messages, sources.contrasts, sources.metric
    cells = [t.effect(effects[name].improvement, metric) for name in step.effects]
    change = t.effect(effects[step.trend].improvement, metric)
    last = []
    if beyond:
        last = [
            t(f"scale.refused.{step.refused}")
            if step.all_rows is None
            else t.effect(step.all_rows, metric)
        ]
    name = t("evidence.label.gap") if step.step == "gap" else sources.factor_title(step.step)
    return [cell(name), *cells, change, t(f"scale.course.{step.course}"), *last]


def _notes(sources: Sources, found: Scale) -> list[str]:
    t = sources.messages
    notes = [t("scale.reading", largest=f"{found.rows[-1]:,}"), t(f"scale.hold.{found.hold}")]
    if any(step.all_rows for step in found.steps):
        notes.append(t("scale.extrapolated"))
    refused = {step.refused for step in found.steps} - {None, MEASURED}
    if refused:
        notes.append(t("scale.refusing"))
    return notes
