"""Causes ranked by measurement, and what to do about them: the patch, or why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.errors import UserError
from ablation.evidence.claims import LEVELS_THAT_MATTER
from ablation.evidence.contrast import REMAINDER, SHAPLEY, TOTAL
from ablation.evidence.effects import Effect
from ablation.evidence.recommended import recommended_arm
from ablation.report.patch import recommended_rewrite, shown_patch
from ablation.report.sections import impact_text, undecided_contrast
from ablation.report.sources import Sources
from ablation.study.grid import CURRENT
from ablation.study.study import load_study
from ablation.words.catalogue import cell, fence, is_score


def decided_steps(sources: Sources) -> list[Effect]:
    """Steps of the path with an effect that matters, in the order of the path."""
    return [s for s in sources.path if s.impact.level in LEVELS_THAT_MATTER]


def last_total(sources: Sources) -> Effect | None:
    """All stages together against current; None where one stage or the gap says the same."""
    if sources.stages_reach_backup:
        return None
    totals = sources.effects.of_role(TOTAL)
    return totals[-1] if len(totals) > 1 else None


def delta_text(sources: Sources, multiple: float = 1.0) -> str:
    """A multiple of the smallest effect that matters, without sign."""
    t, size = sources.messages, sources.effects.metric.delta * multiple
    if is_score(sources.metric):
        points = round(100 * size, 6)
        short = round(points, 1) == points
        return t("unit.points", value=f"{points:.1f}" if short else f"{points:g}")
    return t.number(size)


def cause_rows(sources: Sources) -> list[dict[str, str]]:
    """The steps of the path ranked by measurement, decided before undecided."""
    t, rows = sources.messages, []
    for rank, name in enumerate(sources.effects.ranking, start=1):
        step = sources.contrasts[name]
        share = step.share
        shown = t("share.none")
        if share is not None:
            interval = f"[{t.percent(share.low, 0)}, {t.percent(share.high, 0)}]"
            shown = f"{t.percent(share.estimate, 0)} {interval}"
        rows.append(
            {
                "rank": str(rank),
                "step": cell(sources.step_title(step)),
                "settings": t.listing([f"`{s}`" for s in sources.moved(step)]),
                "effect": t.effect(step.improvement, sources.metric),
                "share": shown,
                "impact": cell(impact_text(sources, step)),
            }
        )
    return rows


def recommendations(sources: Sources) -> list[dict[str, str]]:
    """The steps that helped, in order, each with the lines of the current file to change."""
    t, found = sources.messages, []
    left_out: list[str] = []
    for step in sources.path:
        if step.role == REMAINDER:
            continue
        if not step.impact.is_gain:
            left_out.append(sources.step_name(step))
            continue
        note = on_top_text(sources, step, left_out) if left_out else ""
        found.append(
            {
                "title": sources.step_title(step),
                "effect": t.effect(step.improvement, sources.metric),
                "impact": impact_text(sources, step),
                "note": note,
            }
        )
    return found


def on_top_text(sources: Sources, step: Effect, left_out: Sequence[str]) -> str:
    """What a step was measured on top of, and what it does without that where it was measured."""
    t, steps = sources.messages, sources.messages.listing(left_out)
    alone = sources.contrasts.get(f"only:{step.factor}")
    averaged = sources.contrasts.get(f"{SHAPLEY}:{step.factor}")
    for key, found in (("alone", alone), ("averaged", averaged)):
        if found is not None and found.improvement.estimate is not None:
            effect = t.effect(found.improvement, sources.metric)
            return t(f"recommend.on_top_{key}", steps=steps, effect=effect)
    return t("recommend.on_top", steps=steps)


@dataclass(frozen=True, kw_only=True)
class Patch:
    """What is recommended as a change of the current file.

    Attributes:
        note: Which arm it is, and where its files are.
        diff: The hunks; empty where nothing changes or the file cannot say it.
        fence: The marks of a code block that the hunks cannot close.
    """

    note: str
    diff: str = ""
    fence: str = ""


def recommended_patch(sources: Sources) -> Patch:
    """The hunks that turn the current file into the one in `recommended/`."""
    t, study = sources.messages, load_study(sources.study_file)
    arm, file = recommended_arm(sources.effects), sources.file_name("current")
    names = {"arm": sources.arm_title(arm), "file": Path(file).name, "stem": Path(file).stem}
    if arm == CURRENT:
        return Patch(note=t("recommend.patch_none", **names))
    try:
        found = recommended_rewrite(study, arm)
    except UserError as error:
        return Patch(note=t("recommend.patch_refused", problem=error.problem, **names))
    diff = shown_patch(found, study.folder).rstrip("\n")
    if not diff:
        return Patch(note=t("recommend.patch_empty", **names))
    return Patch(note=t("recommend.patch", **names), diff=diff, fence=fence(diff))


def rejected_lines(sources: Sources) -> list[str]:
    """Why each other step is not recommended, and what to make of the path as a whole."""
    t, lines = sources.messages, []
    for step in sources.path:
        impact, title = step.impact, sources.step_title(step)
        if impact.level == "undecided":
            reason = undecided_contrast(sources, step)
            lines.append(t("recommend.undecided", step=title, reason=reason))
        elif impact.level == "NONE":
            effect = t.effect(step.improvement, sources.metric)
            delta = delta_text(sources)
            lines.append(t("recommend.nothing", step=title, delta=delta, effect=effect))
        elif impact.direction == "hurts":
            effect = t.effect(step.improvement, sources.metric)
            lines.append(t("recommend.hurts", step=title, effect=effect))
        elif step.role == REMAINDER:
            effect, count = t.effect(step.improvement, sources.metric), len(sources.moved(step))
            lines.append(t("recommend.remainder", step=title, effect=effect, n=count))
    sums = {"stages": last_total(sources), "whole": sources.effects.gap}
    for key, contrast in sums.items():
        if contrast is not None and contrast.impact.is_gain:
            effect = t.effect(contrast.improvement, sources.metric)
            lines.append(t(f"recommend.{key}", effect=effect))
    return lines
