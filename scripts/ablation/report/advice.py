"""Causes ranked by measurement, and what to do about them: the patch, or why not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from ablation.designs.contrast import ONLY, REMAINDER, SHAPLEY, STAGE, TOTAL
from ablation.designs.design import BACKUP, CURRENT
from ablation.designs.factorial import FACTORIAL
from ablation.designs.staged import STAGED
from ablation.errors import UserError
from ablation.evidence.claims import LEVELS_THAT_MATTER
from ablation.evidence.confirmation import ENOUGH_SEEDS
from ablation.evidence.effects import Effect
from ablation.evidence.recommendation import (
    HELPS,
    OPEN,
    RECOMMENDED,
    PassedOver,
    Question,
    Step,
)
from ablation.evidence.statistics import Estimate
from ablation.report.patch import recommended_rewrite, shown_patch
from ablation.report.sections import impact_text, undecided_contrast
from ablation.report.sources import Sources
from ablation.study.claim import UNDECIDED
from ablation.words.catalogue import capital, cell, code, fence, in_code, is_score, prose

FIRST_LOOK, MOST_LOOKS = 3, 5


def decided_steps(sources: Sources) -> list[Effect]:
    """Steps of the path with an effect that matters, in the order of the path."""
    return [s for s in sources.path if s.impact.level in LEVELS_THAT_MATTER]


def last_total(sources: Sources) -> Effect | None:
    """All stages together against current; None where one stage or the gap says the same."""
    if sources.stages_reach_backup:
        return None
    totals = [one for one in sources.effects.of_role(TOTAL) if one.design == STAGED]
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
                "settings": t.listing([code(s) for s in sources.moved(step)]),
                "effect": t.effect(step.improvement, sources.metric),
                "share": shown,
                "impact": cell(impact_text(sources, step)),
            }
        )
    return rows


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What the report says of the recommendation.

    Attributes:
        headline: Which arm, how sure, and whether fresh seeds have seen it.
        steps: What it takes over, each with its evidence.
        others: What it leaves out, and why.
        passed: The arms that look better and are not recommended.
        questions: The arms that would tell more.
        lines: What to write in study.yaml for them.
    """

    headline: Sequence[str]
    steps: Sequence[str]
    others: Sequence[str]
    passed: Sequence[str]
    questions: Sequence[str]
    lines: Sequence[str]


def advice(sources: Sources) -> Advice:
    """The recommendation in words."""
    found = sources.recommendation
    return Advice(
        headline=_headline(sources),
        steps=[_step_line(sources, step) for step in found.steps],
        others=[_left_out_line(sources, step) for step in found.left_out if found.candidates],
        passed=[_passed_line(sources, one) for one in found.passed_over],
        questions=[_question_line(sources, one) for one in found.questions],
        lines=_lines_to_write(sources),
    )


def recommended_text(sources: Sources) -> str:
    """The status of the recommendation in a sentence: the arm, its gain over current, how sure."""
    t, found, metric = sources.messages, sources.recommendation, sources.metric
    if found.contrast is None:
        return t("recommend.nothing_sure")
    one = sources.contrasts[found.contrast]
    return t(
        f"recommend.{found.status}",
        arm=arm_text(sources, found.arm),
        effect=t.effect(joint_estimate(sources, one), metric),
        size=sources.effects.family.size,
        n=len(found.candidates),
        delta=delta_text(sources),
    )


def joint_estimate(sources: Sources, one: Effect) -> Estimate:
    """A planned contrast with its simultaneous interval; with looks, of the look that decided."""
    found, looks = one.evidence, sources.effects.sequential
    decided = [c.decision for c in looks.contrasts if c.id == one.id] if looks else []
    n = decided[0].n if decided and found.significant else one.improvement.n
    return replace(one.improvement, estimate=found.estimate, n=n, low=found.low, high=found.high)


def arm_text(sources: Sources, arm: str) -> str:
    """An arm as what it is made of: "current + stage 1 + stage 2 (`stage2-epochs`)"."""
    t = sources.messages
    if arm == BACKUP:
        return t("recommend.arm_backup")
    if made := sources.made_of(arm):
        return t("recommend.arm_made", arm=code(arm), made=made)
    return t("recommend.arm", factors=sources.factors_of(arm), arm=code(arm))


def _headline(sources: Sources) -> list[str]:
    t, found = sources.messages, sources.recommendation
    lines = [recommended_text(sources)]
    if found.status == RECOMMENDED:
        lines.append(t(f"recommend.seen.{found.confirmation}"))
    return lines


def _step_line(sources: Sources, step: Step) -> str:
    """A factor that is taken over, with what was measured of it."""
    t, name = sources.messages, capital(sources.factor_title(step.factor))
    if step.contrast is None:
        return t("recommend.step_unmeasured", step=name)
    one = sources.contrasts[step.contrast]
    text = t(
        "recommend.step_on" if step.on_top_of else "recommend.step",
        step=name,
        effect=t.effect(one.improvement, sources.metric),
        impact=impact_text(sources, one),
        before=sources.factors_text(step.on_top_of),
    )
    return " ".join([text, *_elsewhere(sources, step)])


def _elsewhere(sources: Sources, step: Step) -> list[str]:
    """What a factor that was measured on top of others does without them."""
    t, found = sources.messages, []
    for role in (ONLY, SHAPLEY) if step.on_top_of else ():
        one = sources.contrasts.get(f"{role}:{step.factor}")
        if one is not None and one.improvement.estimate is not None:
            effect = t.effect(one.improvement, sources.metric)
            found.append(t(f"recommend.elsewhere.{role}", effect=effect))
    return found


def _left_out_line(sources: Sources, step: Step) -> str:
    """A factor that is left out, with the reason."""
    t = sources.messages
    if step.contrast is None:
        return t("recommend.step_unmeasured", step=capital(sources.factor_title(step.factor)))
    one = sources.contrasts[step.contrast]
    values = {
        "step": capital(sources.factor_title(step.factor)),
        "effect": t.effect(one.improvement, sources.metric),
        "before": sources.factors_text(step.on_top_of) or t("recommend.current"),
        "delta": delta_text(sources),
        "n": len(sources.moved(one)),
    }
    bundle = step.factor == REMAINDER and step.verdict == HELPS
    key = "recommend.remainder" if bundle else f"recommend.left.{step.verdict}"
    if step.verdict == OPEN:
        key, values["reason"] = "recommend.undecided", undecided_contrast(sources, one)
    text = t(key, **values)
    at = sources.contrasts.get(f"{STAGE}:{step.factor}")
    if at is None or at is one or at.improvement.estimate is None:
        return text
    effect = t.effect(at.improvement, sources.metric)
    return f"{text} {t('recommend.elsewhere.stage', effect=effect)}"


def _passed_line(sources: Sources, one: PassedOver) -> str:
    """An arm that looks better, and why it is not recommended."""
    t = sources.messages
    # Not of the family alone: the gap is not in it where one stage is all of it.
    pairs = [c for c in sources.effects.contrasts if c.pair and c.pair.arm == one.arm]
    total = next(c for c in pairs if c.pair and c.pair.reference == CURRENT)
    return t(
        f"recommend.passed.{one.reason}",
        arm=arm_text(sources, one.arm),
        effect=t.effect(total.improvement, sources.metric),
        delta=delta_text(sources),
        step=sources.factor_name(one.factor) if one.factor else t("none"),
    )


def _question_line(sources: Sources, one: Question) -> str:
    key = f"recommend.question.{one.verdict}"
    return sources.messages(key, arm=code(one.arm), step=sources.factor_title(one.factor))


def _lines_to_write(sources: Sources) -> list[str]:
    """What to write in study.yaml: the designs of the questions, and fresh seeds."""
    found, lines = sources.recommendation, []
    if found.questions:
        own = [d for d in sources.study.options["designs"] if d != STAGED]
        for question in found.questions:
            whole = question.design == FACTORIAL and REMAINDER in question.factors
            design = {FACTORIAL: {"remainder": True}} if whole else question.design
            own += [] if design in own else [design]
        lines.append(f"designs: {yaml_line(own)}")
    if not sources.study.looks:
        lines += _looks_to_declare(sources)
    if found.status == RECOMMENDED and not sources.study.fresh_seeds:
        first = max([100, *sources.effects.seeds]) + 1
        lines.append(f"confirm: {yaml_line({'seeds': list(range(first, first + ENOUGH_SEEDS))})}")
    return lines


def _looks_to_declare(sources: Sources) -> list[str]:
    """Looks that may decide what is open: added seeds are looks, and have to be declared as such.

    From the seeds that are there, each half as many again, until the fewest that would decide all.
    """
    ranges = [s.impact.seeds_to_decide for s in sources.path if s.impact.level == UNDECIDED]
    wanted = [one.fewest for one in ranges if one is not None]
    looks = [max(FIRST_LOOK, sources.effects.family.n)]
    while wanted and looks[-1] < max(wanted) and len(looks) < MOST_LOOKS:
        looks.append(math.ceil(1.5 * looks[-1]))
    return [f"sequential: {yaml_line({'looks': looks})}"] if len(looks) > 1 else []


def yaml_line(value: object) -> str:
    """A value as YAML in one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()


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
    t, study = sources.messages, sources.study
    arm, file = sources.recommendation.applied, sources.file_name("current")
    name = Path(in_code(file))
    names = {"arm": code(arm), "file": name.name, "stem": name.stem}
    if arm == CURRENT:
        return Patch(note=t("recommend.patch_none", **names))
    try:
        found = recommended_rewrite(study, arm)
    except UserError as error:
        return Patch(
            note=t(
                "recommend.patch_refused",
                problem=prose("; ".join(one.problem for one in error.parts or (error,))),
                **names,
            )
        )
    diff = shown_patch(found, study.folder).rstrip("\n")
    if not diff:
        return Patch(note=t("recommend.patch_empty", **names))
    return Patch(note=t("recommend.patch", **names), diff=diff, fence=fence(diff))
