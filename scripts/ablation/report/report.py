"""The report as Markdown: everything is decided and formatted here, the template only shows it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2

from ablation.comparison.findings.finding import SIDES
from ablation.comparison.resolve import Difference
from ablation.dialects.reader import DEFAULT
from ablation.evidence.effects import StatementVerdict
from ablation.evidence.health import HealthWarning, health_rows
from ablation.evidence.outcomes import FINAL_SUFFIX
from ablation.evidence.stability import divergence_bound
from ablation.evidence.statistics import NO_SAMPLE, Estimate
from ablation.machine.progress import Run
from ablation.project import REPORT
from ablation.report.advice import (
    advice,
    cause_rows,
    decided_steps,
    delta_text,
    last_total,
    recommended_patch,
)
from ablation.report.answer import answer, gap_line, has_results
from ablation.report.computed import decided_claims, finding_lines, quantity_rows
from ablation.report.evidence import (
    Block,
    confirmation_lines,
    effect_label,
    evidence_blocks,
    left_out_lines,
)
from ablation.report.figures import FIGURES
from ablation.report.figures.figure import load_figure
from ablation.report.method import location_rows, method_lines
from ablation.report.retune import retune_block
from ablation.report.scale import scale_block
from ablation.report.sections import (
    group_sections,
    impact_text,
    level_text,
    undecided_text,
)
from ablation.report.sources import SHORTENED, Sources
from ablation.report.stability import stability_block
from ablation.results import figure_file
from ablation.settings.catalogue import NO_OP, in_arm
from ablation.study.claim import CONTRASTS
from ablation.words.catalogue import (
    cell,
    code,
    in_code,
    is_score,
    localized,
    prose,
    signed,
    texts_beside,
    without_html,
)

TEMPLATE = REPORT / "report.md.j2"


def render_report(sources: Sources, figures: str | Path, output: str | Path) -> str:
    """The report's Markdown; links are relative to the folder of `output`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    template = environment.get_template(TEMPLATE.name)
    return without_html(template.render(**report_context(sources, figures, output)))


def report_context(sources: Sources, figures: str | Path, output: str | Path) -> dict[str, Any]:
    """All values the template shows."""
    t, language = sources.messages, sources.messages.language
    folder, patch = Path(output).parent, recommended_patch(sources)
    study = sources.study.options
    return {
        "t": t,
        "metric": sources.metric,
        "title": prose(localized(study["title"], language)),
        "date": sources.measured_at or t("not_measured"),
        "purpose": prose(localized(study.get("purpose"), language)),
        "answer": answer(sources, patch.diff),
        "files": {side: cell(in_code(sources.file_name(side))) for side in SIDES},
        "differences": [difference_row(sources, d) for d in sources.trained],
        "difference_notes": difference_notes(sources),
        "quantities": quantity_rows(sources),
        "findings": finding_lines(sources),
        "decided_claims": decided_claims(sources),
        "sections": group_sections(sources),
        "causes": cause_rows(sources),
        "advice": advice(sources),
        "patch": patch,
        "confirmation": confirmation_lines(sources),
        "claims": claim_rows(sources),
        "claim_notes": claim_notes(sources),
        "impact_claims": impact_claim_lines(sources),
        "stability": stability_block(sources),
        "path_lines": path_lines(sources),
        "path": path_rows(sources),
        "path_notes": path_notes(sources),
        "evidence": [*evidence_blocks(sources), *_second_blocks(sources)],
        "absent": [*absent_lines(sources), *left_out_lines(sources)],
        "health": health_lines(sources),
        "method": method_lines(sources),
        "locations": location_rows(sources),
        "figures": [figure_block(name, figures, folder, language) for name in FIGURES],
        "has_runs": bool(sources.runs["status"].eq("completed").any()),
    }


def _second_blocks(sources: Sources) -> list[Block]:
    """What further designs say of the steps of the path: between tuned sides, and by rows."""
    return [block for block in (retune_block(sources), scale_block(sources)) if block is not None]


def figure_block(name: str, figures: str | Path, folder: Path, language: str) -> dict[str, str]:
    """A figure as the template shows it: section, name, link, alternative text, caption."""
    shown = load_figure(name)
    alt, caption = texts_beside("figure", name, shown.texts, language)
    link = relative(Path(figures) / figure_file(name, language), folder)
    return {"section": shown.section, "name": name, "link": link, "alt": alt, "caption": caption}


def relative(path: str | Path, folder: Path) -> str:
    """The path as a link from the report's folder, with forward slashes."""
    return os.path.relpath(path, folder).replace(os.sep, "/")


# --- Differences -------------------------------------------------------------------------------


def difference_row(sources: Sources, difference: Difference) -> dict[str, str]:
    """One row of the table of differences."""
    t, name = sources.messages, difference.setting
    claims = sources.study.options["claims"]["impact"]
    claimed = next((claim["impact"] for claim in claims if claim["setting"] == name), None)
    step = sources.owner(name)
    measured = t("none")
    count = len(sources.moved(step)) if step else 0
    if step is not None and step.role == "remainder" and count > 1:
        measured = t("differences.in_remainder", n=count)
    elif step is not None:
        key = "differences.alone" if count == 1 else "differences.together"
        place = t(key, step=sources.step_name(step), n=count)
        effect = t.effect(step.improvement, sources.metric)
        measured = t(
            "differences.measured", impact=level_text(sources, step), effect=effect, place=place
        )
    written = t.values(*(found.value for found in difference.sides.values()))
    values = {
        side: cell(t("value.default", value=text) if found.origin == DEFAULT else text)
        for (side, found), text in zip(difference.sides.items(), written, strict=True)
    }
    return {
        "setting": cell(t.setting(name)),
        **values,
        "claimed": claimed or t("none"),
        "measured": cell(measured),
    }


def difference_notes(sources: Sources) -> list[str]:
    """What stands below the table: how to read it, and the differences that train nothing."""
    t = sources.messages
    notes = [t("differences.measured_together")]
    kinds: dict[str, list[str]] = {"held": [], "no_op": [], "bookkeeping": []}
    for difference in sources.study.differences:
        name = difference.setting
        if difference.held:
            kinds["held"].append(code(name))
        elif difference.acts_on == NO_OP:
            kinds["no_op"].append(code(name))
        elif not in_arm(name):
            kinds["bookkeeping"].append(code(name))
    notes += [
        t(f"differences.{kind}", settings=t.listing(names))
        for kind, names in kinds.items()
        if names
    ]
    unstaged = [d.setting for d in sources.trained if not sources.study.stage_of(d.setting)]
    if unstaged:
        names = t.listing([code(name) for name in unstaged])
        effect = t.effect(sources.contrasts["remainder"].improvement, sources.metric)
        notes.append(t("differences.unstaged", settings=names, effect=effect))
    return notes


# --- Claims ------------------------------------------------------------------------------------


def claim_rows(sources: Sources) -> list[dict[str, str]]:
    """What was promised, what was measured, and the verdict."""
    t = sources.messages
    texts = {
        entry["id"]: prose(localized(entry.get("text") or entry["id"], t.language))
        for entry in sources.study.options["claims"]["statements"]
    }
    rows = []
    for claim in sources.effects.claims.statements:
        if claim.verdict == "undecided":
            verdict = undecided_text(sources, claim, claim.seeds_to_decide)
        else:
            verdict = t(f"verdict.{claim.verdict}")
        measured = t("effect.none")
        if claim.estimate is not None:
            measured = f"{in_words(sources, claim, claim.estimate)} {_interval(sources, claim)}"
        contrast = claim.contrast
        rows.append(
            {
                "claim": cell(texts.get(claim.id, claim.id)),
                "quantity": t(f"metric.{claim.quantity}"),
                "compared": cell(_compared(sources, contrast)),
                "claimed": _range(sources, claim, claim.low, claim.high),
                "measured": measured,
                "n": str(claim.n),
                "verdict": cell(verdict),
            }
        )
    return rows


def claim_notes(sources: Sources) -> list[str]:
    """What a measured time says of the source's time, where a claim is about time."""
    runs, claims = sources.runs, sources.effects.claims.statements
    timed = any(claim.quantity == "train_runtime" for claim in claims)
    cached = "environment.path" in runs and runs["environment.path"].eq("cached").any()
    notes = [sources.messages("claims.of_machine")] if timed else []
    return [*notes, sources.messages("claims.cached_time")] if timed and cached else notes


def _compared(sources: Sources, name: str) -> str:
    """What a claim's contrast compares: by a name of its own, a stage's, or any contrast's id."""
    t = sources.messages
    if name in CONTRASTS:
        return t(f"compared.{name}")
    steps = (s for s in sources.path if s.role == "stage" and name in (s.factor, s.id))
    step = next(steps, None)
    if step is None:
        return effect_label(sources, name)
    return t("compared.stage", step=sources.step_name(step))


def in_words(sources: Sources, claim: StatementVerdict, value: float) -> str:
    """A value in the unit of its claim; a reduction is shown as a change, so fewer is minus."""
    t = sources.messages
    if claim.unit == "factor":
        return t.factor(value)
    if claim.unit == "relative_reduction":
        return t.change(-value)
    return t.difference(value, claim.quantity)


def _interval(sources: Sources, claim: StatementVerdict) -> str:
    """The interval of a claim's estimate; of a time, its range over the seeds."""
    t, low, high = sources.messages, claim.interval_low, claim.interval_high
    if low is None or high is None:
        return t("no_interval")
    ends = (high, low) if claim.unit == "relative_reduction" else (low, high)
    if claim.no_interval == NO_SAMPLE:
        least, most = (in_words(sources, claim, end) for end in ends)
        return t("claims.extremes", low=least, high=most)
    if claim.unit == "absolute":
        return t.interval(low, high, claim.quantity)
    return "[" + ", ".join(in_words(sources, claim, end) for end in ends) + "]"


def _range(sources: Sources, claim: StatementVerdict, low: float | None, high: float | None) -> str:
    t = sources.messages
    if claim.unit == "relative_reduction":
        ends = [None if end is None else -end for end in (high, low)]
        words = [None if end is None else t.change(end) for end in ends]
    else:
        words = [None if end is None else in_words(sources, claim, end) for end in (low, high)]
        if claim.unit == "absolute" and is_score(claim.quantity) and None not in (low, high):
            words[0] = signed(100 * float(low or 0))  # the unit stands once, at the end
    if words[0] is None:
        return t("range.at_most", high=words[1])
    if words[1] is None:
        return t("range.at_least", low=words[0])
    return t("range.between", low=words[0], high=words[1])


def impact_claim_lines(sources: Sources) -> list[str]:
    """The verdicts on the claimed levels, gathered by verdict."""
    t = sources.messages
    groups: dict[str, list[str]] = {}
    for claim in sources.effects.claims.impact:
        text = f"{code(claim.setting)} ({claim.claimed})"
        groups.setdefault(claim.verdict, []).append(text)
    order = ("confirmed", "refuted", "equivalent", "undecided", "not_separated", "no_difference")
    return [
        t(f"impact_claims.{verdict}", settings=t.listing(groups[verdict]))
        for verdict in order
        if verdict in groups
    ]


# --- The staged path ---------------------------------------------------------------------------


def path_lines(sources: Sources) -> list[str]:
    """What the steps of the path did: the gap, all stages, what helps, what hurts, what is open."""
    t, metric = sources.messages, sources.metric
    if not has_results(sources):
        return []
    lines = [gap_line(sources)]
    stages = last_total(sources)
    if stages is not None and stages.improvement.estimate is not None:
        effect = t.effect(stages.improvement, metric)
        verdict = impact_text(sources, stages)
        lines.append(t("summary.stages", effect=effect, verdict=verdict))
    for direction in ("helps", "hurts"):
        steps = [s for s in decided_steps(sources) if s.impact.direction == direction]
        if steps:
            parts = [f"{sources.step_title(s)} {t.effect(s.improvement, metric)}" for s in steps]
            lines.append(t(f"summary.{direction}", steps="; ".join(parts)))
    small = [s for s in sources.path if s.impact.level == "NONE"]
    if small:
        names = t.listing([sources.step_title(s) for s in small])
        lines.append(t("summary.nothing", steps=names, delta=delta_text(sources)))
    open_steps = [s for s in sources.path if s.impact.level == "undecided"]
    if open_steps:
        names = t.listing([sources.step_title(s) for s in open_steps])
        lines.append(t("summary.undecided", steps=names))
    return lines


def path_rows(sources: Sources) -> list[dict[str, str]]:
    """One row for each arm of the path with what it reached and what it cost."""
    t, metric = sources.messages, sources.metric
    rows = []
    for name, title in sources.path_arms.items():
        means = sources.arms[name].means
        clipped = means["clipped_share"].estimate
        rows.append(
            {
                "arm": cell(title),
                "n": str(means[metric].n),
                "metric": mean_text(sources, means[metric], metric),
                "final": mean_text(sources, means[metric + FINAL_SUFFIX], metric),
                "macro_f1": mean_text(sources, means["eval_macro_f1"], "eval_macro_f1"),
                "time": t.seconds(means["train_runtime"].estimate),
                "memory": t.memory(means["peak_memory_bytes"].estimate),
                "clipped": t.percent(clipped, 0),
            }
        )
    return rows


def path_notes(sources: Sources) -> list[str]:
    """How to read the table of the path; that its means are of other seeds, where they are."""
    t, seeds = sources.messages, {sources.arms[name].completed for name in sources.path_arms}
    return [t("path.reading"), *[t("path.unequal")] * (len(seeds) > 1)]


def mean_text(sources: Sources, summary: Estimate, metric: str) -> str:
    """A mean with the half width of its interval: "56.6% ± 2.1"."""
    t = sources.messages
    if summary.estimate is None:
        return t("none")
    text = t.score(summary.estimate, metric)
    if summary.low is None or summary.high is None:
        return text
    half = (summary.high - summary.low) / 2
    return f"{text} ± {100 * half:.1f}" if is_score(metric) else f"{text} ± {t.number(half)}"


def absent_lines(sources: Sources) -> list[str]:
    """The runs that failed, and those that are missing or diverged, by arm."""
    t, every = sources.messages, sources.every_run
    lines = [_failed_line(sources, run) for run in sources.failed]
    told = {(run.variant, run.seed) for run in sources.failed}
    fresh = every[every["confirms"]]
    for kind in ("missing", "diverged"):
        lost = [
            (sources.arm_title(r.arm), r.variant, r.seed) for r in getattr(sources.effects, kind)
        ]
        own = fresh.loc[fresh["status"].eq(kind), ["title", "variant", "seed"]]
        seeds: dict[str, list[str]] = {}
        for title, variant, seed in [*lost, *own.itertuples(index=False)]:
            if (variant, seed) not in told:
                seeds.setdefault(title, []).append(str(seed))
        lines += [
            t(f"absent.{kind}", arm=title, seeds=t.listing(numbers))
            for title, numbers in seeds.items()
        ]
    lines += _collapsed_lines(sources)
    return [*(lines or [t("absent.none")]), *_bound_lines(sources)]


def _collapsed_lines(sources: Sources) -> list[str]:
    """Runs far below all others of their arm, with the medians of the steps that rest on them."""
    t, metric, lines = sources.messages, sources.metric, []
    for run in sources.effects.collapsed:
        steps = [s for s in sources.path if s.pair and run.arm in (s.pair.arm, s.pair.reference)]
        medians = [f"{sources.step_name(s)} {t.difference(s.median, metric)}" for s in steps]
        values = {"value": t.score(run.value, metric), "median": t.score(run.median, metric)}
        lines.append(
            t(
                "absent.collapsed",
                arm=sources.arm_title(run.arm),
                seed=run.seed,
                steps=t.listing(medians),
                **values,
            )
        )
    return lines


def _bound_lines(sources: Sources) -> list[str]:
    """What missing runs could change, and how many of the runs may still diverge."""
    t, lines = sources.messages, []
    for step in sources.path:
        if step.pair is not None and step.pair.missing:
            ends = step.pair.if_missing
            key = "absent.unbounded" if ends is None else "absent.bounded"
            interval = t("none") if ends is None else t.interval(*ends, sources.metric)
            name, n = sources.step_title(step), step.improvement.n
            lines.append(t(key, step=name, n=n, missing=step.pair.missing, interval=interval))
    completed = [len(arm.completed) for arm in sources.arms.values()]
    if min(completed, default=0) and not sources.effects.diverged:
        bound = t.percent(divergence_bound(min(completed)), 0)
        lines.append(t("absent.divergence_bound", n=min(completed), bound=bound))
    return lines


def _failed_line(sources: Sources, run: Run) -> str:
    """A run that failed, with the reason in its log and where that is."""
    t = sources.messages
    reason = code(run.reason) if run.reason else t("absent.no_reason")
    every = sources.every_run
    titles = every.loc[every["variant"].eq(run.variant) & every["seed"].eq(run.seed), "title"]
    arm = next(iter(titles), run.arms[0])
    return t("absent.failed", arm=arm, seed=run.seed, reason=reason, log=run.log)


def health_lines(sources: Sources) -> list[dict[str, str]]:
    """The warnings about the runs, a row each, with the evidence of the first arm that has it."""
    groups: dict[str, list[HealthWarning]] = {}
    for warning in sources.health:
        groups.setdefault(_about(warning), []).append(_with_titles(sources, warning))
    return [_health_row(sources, group) for group in groups.values()]


def _about(warning: HealthWarning) -> str:
    """What is warned of: its kind, and what a run was made with that others were not."""
    unlike = warning.id.startswith("other_")  # of `evidence.health`, by what a run was made with
    return f"{warning.id} {warning.numbers['other']}" if unlike else warning.id


def _health_row(sources: Sources, group: Sequence[HealthWarning]) -> dict[str, str]:
    """A warning with all arms that have it."""
    t, first = sources.messages, group[0]
    row = health_rows([first], t.language)[0]
    arms, text = list(dict.fromkeys(warning.arm for warning in group)), row["text"]
    if len(arms) > 1:
        text = t("health.first", arm=sources.arm_title(arms[0]), text=text)
    seeds = sorted({seed for warning in group for seed in warning.seeds})
    short = len(arms) >= SHORTENED
    named = sources.arms_text(arms) if short else "; ".join(map(sources.arm_title, arms))
    told = {"arm": cell(named), "seeds": t.listing([str(s) for s in seeds])}
    return {**row, **told, "text": cell(text)}


def _with_titles(sources: Sources, warning: HealthWarning) -> HealthWarning:
    """The warning with the title of the arm that it compares with."""
    other = warning.numbers.get("other")
    if other not in {arm["arm"] for arm in sources.grid["arms"]}:
        return warning
    return replace(warning, numbers={**warning.numbers, "other": sources.arm_title(str(other))})
