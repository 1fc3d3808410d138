"""The report's first page: what to change, what it gains, how sure that is, what to doubt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.comparison.findings.finding import SIDES
from ablation.designs.design import BACKUP, CURRENT
from ablation.evidence.claims import DIVERGES
from ablation.evidence.inference import ALPHA
from ablation.evidence.recommendation import HURTS, RECOMMENDED
from ablation.report.advice import (
    arm_text,
    delta_text,
    joint_estimate,
    recommended_text,
)
from ablation.report.sections import impact_text
from ablation.report.sources import Sources
from ablation.words.catalogue import anchor, fence, in_code

MOST_CHANGES = 6  # settings named in the first sentence
MOST_LINES = 10  # of the patch


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The report's first page.

    Attributes:
        warnings: What puts all that follows in doubt: a partial report, a metric at its ceiling,
            runs that are missing or diverged.
        sentences: What to change, what it gains, how sure that is.
        patch_note: What the lines of the patch are, and where the whole of it is.
        lines: The changed lines of the patch, the first ten of them.
        fence: The marks of a code block that they cannot close.
    """

    warnings: Sequence[str]
    sentences: Sequence[str]
    patch_note: str
    lines: str
    fence: str


def answer(sources: Sources, diff: str) -> Answer:
    """The report's first page in words, with the beginning of the recommended patch."""
    changed = [
        line
        for line in diff.splitlines()
        if line[:1] in ("+", "-") and not line.startswith(("+++ ", "--- "))
    ]
    lines = "\n".join(changed[:MOST_LINES])
    return Answer(
        warnings=[*partial_lines(sources), *_doubts(sources)],
        sentences=_sentences(sources),
        patch_note=_patch_note(sources, len(changed)) if changed else "",
        lines=lines,
        fence=fence(lines),
    )


def partial_lines(sources: Sources) -> list[str]:
    """That the report is partial, where it is one."""
    if not sources.partial:
        return []
    status = sources.every_run["status"]
    done = int(status.ne("missing").sum())
    return [sources.messages("summary.partial", done=done, planned=len(status))]


def has_results(sources: Sources) -> bool:
    """Whether any run has ended."""
    return bool(sources.runs["status"].isin(("completed", "diverged")).any())


def _sentences(sources: Sources) -> list[str]:
    if not has_results(sources):
        return [sources.messages("summary.no_runs")]
    if sources.recommendation.applied == CURRENT:
        return [*_nothing(sources), gap_line(sources)]
    return [_change(sources), _gain(sources), _sure(sources)]


def _nothing(sources: Sources) -> list[str]:
    """That nothing is to be changed, and why: no arm is surely better, or fresh seeds refute it."""
    found = sources.recommendation
    lines = [recommended_text(sources)]
    if found.status == RECOMMENDED:
        lines.append(sources.messages(f"recommend.seen.{found.confirmation}"))
    return [" ".join(lines)]


def _change(sources: Sources) -> str:
    """The settings that change, those of the steps with the largest effects first."""
    t, arm = sources.messages, sources.recommendation.arm
    here, there = sources.settings(CURRENT), sources.settings(arm)
    changed = [name for name in _by_effect(sources) if here.get(name) != there.get(name)]
    shown = []
    for name in changed[:MOST_CHANGES]:
        old, new = t.values(here.get(name), there.get(name))
        shown.append(t("answer.setting", name=t.label(name), old=old, new=new))
    if len(changed) > MOST_CHANGES:
        shown.append(t("answer.more", n=len(changed) - MOST_CHANGES))
    return t("answer.change", changes=t.listing(shown), arm=arm_text(sources, arm))


def _by_effect(sources: Sources) -> list[str]:
    """The settings that differ, those of the step with the largest gain first."""
    gains = {
        name: float(step.improvement.estimate or 0.0)
        for step in reversed(sources.path)
        for name in step.settings
    }
    named = [difference.setting for difference in sources.trained]
    return sorted(named, key=lambda name: -gains.get(name, 0.0))


def _gain(sources: Sources) -> str:
    """The gain of the arm over current, and what it, current and the backup reach."""
    t, metric = sources.messages, sources.metric
    one = sources.contrasts[str(sources.recommendation.contrast)]
    text = t("answer.gain", effect=t.effect(joint_estimate(sources, one), metric))
    names = {CURRENT: CURRENT, BACKUP: BACKUP, "arm": str(sources.recommendation.arm)}
    found = _reached(sources, names)
    if found is None:
        return text
    key = "answer.reached_backup" if names["arm"] == BACKUP else "answer.reached"
    return f"{text} {t(key, **found)}"


def _reached(sources: Sources, names: Mapping[str, str]) -> dict[str, str] | None:
    """What arms reach over the seeds that all of them have, and the metric with how many those are.

    Effects pair seeds, so means over other seeds do not differ by them. None where no seed is left.
    """
    t, metric = sources.messages, sources.metric
    arms = {arm.arm: arm for arm in (*sources.effects.design_arms, *sources.effects.arms)}
    values = {key: arms[name].means[metric].values or {} for key, name in names.items()}
    shared = set.intersection(*map(set, values.values()))
    if not shared:
        return None
    means = {k: math.fsum(v[seed] for seed in shared) / len(shared) for k, v in values.items()}
    label = t(f"metric.{metric}")
    if any(set(own) != shared for own in values.values()):
        label = t("answer.shared", metric=label, n=len(shared))
    return {"metric": label, **{key: t.score(mean, metric) for key, mean in means.items()}}


def _sure(sources: Sources) -> str:
    """What holds over all candidates, and whether fresh seeds have seen it."""
    t, found = sources.messages, sources.recommendation
    text = t(
        "answer.sure",
        size=sources.effects.family.size,
        n=len(found.candidates),
        delta=delta_text(sources),
        seen=t(f"recommend.seen.{found.confirmation}"),
    )
    fresh = sources.confirmation
    if fresh is not None and fresh.over_current is not None:
        effect = t.effect(fresh.over_current, sources.metric)
        text = f"{text} {t('answer.fresh', effect=effect)}"
    doubted = [q.factor for q in found.questions if q.verdict == HURTS]
    if not doubted:
        return text
    steps = t.listing([sources.factor_title(name) for name in doubted])
    return f"{text} {t('answer.has_harm', steps=steps, part=_link(sources, 'recommendations'))}"


def gap_line(sources: Sources) -> str:
    """What current and backup reach, and the gap between them."""
    t, metric = sources.messages, sources.metric
    gap, found = sources.contrasts["gap"], _reached(sources, {side: side for side in SIDES})
    if found is None:
        return t("summary.no_gap")
    effect, verdict = t.effect(gap.improvement, metric), impact_text(sources, gap)
    return t("summary.gap", effect=effect, verdict=verdict, **found)


def _doubts(sources: Sources) -> list[str]:
    """What to know before the answer is believed, with where the report tells it."""
    t, effects = sources.messages, sources.effects
    lines = [_ceiling_line(sources)] if effects.at_ceiling else []
    if effects.family.report > 1:
        lines.append(_later_line(sources))
    lost = [s for s in sources.path if s.impact.level == DIVERGES]
    if lost:
        parts = [f"{sources.step_title(s)}: {impact_text(sources, s)}" for s in lost]
        lines.append(t("summary.diverges", steps="; ".join(parts)))
    absent = len({(run.variant, run.seed) for run in [*effects.missing, *effects.diverged]})
    if absent and has_results(sources) and not sources.partial:
        lines.append(t("answer.absent", n=absent, part=_link(sources, "absent")))
    return lines


def _link(sources: Sources, heading: str) -> str:
    title = sources.messages(f"heading.{heading}")
    return f"[{title}](#{anchor(title)})"


def _later_line(sources: Sources) -> str:
    """That the same was reported before, and what is left of the error."""
    family = sources.effects.family
    return sources.messages(
        "summary.later_report",
        number=family.report,
        alpha=f"{100 * family.alpha:.3g}%",
        first=f"{100 * ALPHA:.3g}%",
    )


def _ceiling_line(sources: Sources) -> str:
    """That no arm can gain what matters, and a metric that still tells arms apart."""
    t, effects = sources.messages, sources.effects
    best = 1.0 - float(effects.headroom or 0.0)
    return t(
        "summary.ceiling",
        metric=t(f"metric.{sources.metric}"),
        best=t.score(best, sources.metric),
        delta=delta_text(sources),
        finer=t("metric.eval_loss"),
    )


def _patch_note(sources: Sources, changed: int) -> str:
    """What the lines of the patch are, and where the whole of it is."""
    t, name = sources.messages, Path(in_code(sources.file_name("current")))
    files = {"file": name.name, "stem": name.stem}
    if sources.partial:  # its files are not written before the study is finished
        return t("answer.lines_partial", n=changed, **files)
    return t("answer.lines" if changed <= MOST_LINES else "answer.first_lines", n=changed, **files)
