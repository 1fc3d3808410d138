"""Everything of effects.json: contrasts with their evidence, attributions, and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ablation.evidence import claims as verdicts
from ablation.evidence import factorials, families, inference, sequential, stability, statistics
from ablation.evidence.contrasts import PLANNED, Contrast, contrasts_of, path_arms
from ablation.evidence.families import Evidence, Series
from ablation.evidence.judgements import judge_impacts, judge_statements
from ablation.evidence.metrics import COMPLETED, DIVERGED, MISSING
from ablation.evidence.outcomes import diverged_runs, paired_runs, wide_tables
from ablation.evidence.statistics import Estimate
from ablation.study.claim import SEED_SPREAD

SCHEMA_VERSION = 2


def estimate_effects(
    grid: Mapping[str, Any], runs: pd.DataFrame, study: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything of effects.json: arms, contrasts with impact and share, and verdicts."""
    metric = {
        **study["metric"],
        "delta": float(study["metric"]["delta"]),
        "higher_is_better": bool(study["metric"].get("higher_is_better", True)),
    }
    paired = paired_runs(grid, runs)
    table_of = wide_tables(paired, metric)
    compared = contrasts_of(grid)
    weighed = _weigh(grid, compared, table_of, metric, study)
    diverged = diverged_runs(paired)
    contrasts = [_estimate_contrast(c, table_of, metric, weighed, diverged) for c in compared]
    _add_shares(contrasts, table_of[metric["name"]])
    path = {arm["arm"] for arm in path_arms(grid)}
    arms = [_summarise_arm(arm, paired, table_of) for arm in grid["arms"]]
    confidences = weighed.plan and sequential.confidences_at(weighed.plan)
    return {
        "schema_version": SCHEMA_VERSION,
        "study": grid.get("study"),
        "metric": {
            **{key: metric[key] for key in ("name", "higher_is_better", "delta")},
            "impact_multiples": dict(verdicts.multiples_of(metric)),
        },
        "confidence": statistics.CONFIDENCE,
        "seeds": sorted({int(seed) for seed in paired["seed"]}),
        "arms": [arm for arm in arms if arm["arm"] in path],
        "design_arms": [arm for arm in arms if arm["arm"] not in path],
        "left_out": list(grid.get("left_out") or []),
        "contrasts": contrasts,
        "ranking": _ranking(contrasts, metric["name"]),
        "family": _family(weighed),
        **factorials.describe(weighed.tables, weighed.evidence, weighed.secondary, metric),
        "greedy": _greedy(compared, weighed.series),
        "sequential": _sequential(weighed),
        "noise_floor": noise_floor(table_of[metric["name"]], weighed),
        "claims": {
            "impact": judge_impacts(study, contrasts),
            "statements": judge_statements(study, contrasts, table_of, metric, confidences),
        },
        "missing": _runs_with(runs, MISSING),
        "diverged": _runs_with(runs, DIVERGED),
    }


@dataclass(frozen=True)
class Weighed:
    """Every series of a study with its evidence.

    Attributes:
        series: The contrasts' and factors' improvements by seed, by id.
        evidence: What may be concluded of each, corrected over the planned ones.
        tables: The factorial designs.
        secondary: The evidence of interactions, a family of their own.
        plan: The looks; None where the number of seeds is fixed.
    """

    series: dict[str, Series]
    evidence: dict[str, Evidence]
    tables: list[factorials.FactorTable]
    secondary: dict[str, Evidence]
    plan: sequential.Plan | None

    @property
    def planned(self) -> list[Series]:
        """The members of the family."""
        return [one for one in self.series.values() if one.counts]


def _weigh(
    grid: Mapping[str, Any],
    compared: Sequence[Contrast],
    table_of: Mapping[str, pd.DataFrame],
    metric: Mapping[str, Any],
    study: Mapping[str, Any],
) -> Weighed:
    table, delta = table_of[metric["name"]], metric["delta"]
    order = [int(seed) for seed in grid.get("seeds") or table.index]
    variants = {arm["arm"]: arm["variant"] for arm in grid["arms"]}
    found: list[Series] = []
    first: dict[tuple[str, str], str] = {}
    for contrast in compared:
        same = contrast.identical or same_results(table_of, metric["name"], contrast)
        one = _series(contrast, table, metric, same, order)
        if one.planned:
            pair = variants[contrast.arm], variants[contrast.reference]
            earlier = first.setdefault(pair, one.id)
            one = replace(one, same_as=None if earlier == one.id else earlier)
        found.append(one)
    tables = factorials.tables_of(grid, table, metric["higher_is_better"])
    found += [one for factors in tables for one in factors.series()]
    plan = sequential_plan(study, metric, sum(one.counts for one in found))
    inner = [one for factors in tables for one in factors.secondary()]
    own = plan and replace(plan, families=max(1, len(inner)))
    return Weighed(
        {one.id: one for one in found},
        families.weigh(found, delta, plan),
        tables,
        families.weigh(inner, delta, own),
        plan,
    )


def sequential_plan(
    study: Mapping[str, Any], metric: Mapping[str, Any], families: int
) -> sequential.Plan | None:
    """The looks of study.yaml's `sequential`; None where the number of seeds is fixed."""
    options = study.get("sequential")
    if options is None:
        return None
    return sequential.Plan(
        tuple(int(n) for n in options.get("looks", sequential.LOOKS)),
        float(options.get("alpha", inference.ALPHA)),
        str(options.get("spending", sequential.OBRIEN_FLEMING)),
        float(metric["delta"]),
        families,
    )


def same_results(tables: Mapping[str, pd.DataFrame], metric: str, contrast: Contrast) -> bool:
    """Whether two arms gave the same numbers to the last bit on every shared seed.

    Loss has enough digits that this does not happen by chance: such arms did the same thing.
    """
    for name in (metric, "eval_loss", "final_loss"):
        arm, reference, _ = statistics.paired_arrays(tables[name], contrast.arm, contrast.reference)
        if not len(arm) or not (arm == reference).all():
            return False
    return True


def _series(
    contrast: Contrast,
    table: pd.DataFrame,
    metric: Mapping[str, Any],
    same: bool,
    order: Sequence[int],
) -> Series:
    """A contrast's improvements by seed, in the order in which the seeds were planned."""
    arm, reference, seeds = statistics.paired_arrays(table, contrast.arm, contrast.reference)
    sign = 1.0 if metric["higher_is_better"] else -1.0
    found = dict(zip(seeds, (sign * (arm - reference)).tolist(), strict=True))
    ordered = {seed: found[seed] for seed in order if seed in found} | found
    return Series(contrast.id, ordered, contrast.planned, same)


def _estimate_contrast(
    contrast: Contrast,
    table_of: Mapping[str, pd.DataFrame],
    metric: Mapping[str, Any],
    weighed: Weighed,
    diverged: set[tuple[str, int]],
) -> dict[str, Any]:
    name, arm, reference = metric["name"], contrast.arm, contrast.reference
    series = weighed.series[contrast.id]
    same = series.identical
    differences = {
        key: statistics.paired_difference(
            table, arm, reference, identical=contrast.identical or (same and _is_quality(key))
        )
        for key, table in table_of.items()
    }
    ratio = statistics.paired_log_ratio(
        table_of["train_runtime"], arm, reference, identical=contrast.identical
    )
    improvement = oriented(differences[name], metric["higher_is_better"])
    steadiness = stability.compare(table_of, name, arm, reference, same, diverged)
    return {
        "id": contrast.id,
        "kind": contrast.kind,
        "design": contrast.design,
        "planned": contrast.planned,
        "arm": arm,
        "reference": reference,
        "stage": contrast.stage,
        "settings": list(contrast.settings),
        "one_run": contrast.identical,
        "same_results": same,
        "quantities": {key: value.as_dict() for key, value in differences.items()},
        "ratios": {
            SEED_SPREAD: steadiness["seed_spread"],
            "train_runtime": ratio.as_dict(),
        },
        "improvement": improvement.as_dict(),
        **judged(series, weighed.evidence[contrast.id], improvement, metric),
        "probability_of_improvement": improvement_odds(series, arm, reference, diverged).as_dict(),
        "pairing": _pairing(table_of[name], arm, reference),
        "stability": steadiness,
        "share": None,
    }


def judged(
    series: Series, evidence: Evidence, improvement: Estimate, metric: Mapping[str, Any]
) -> dict[str, Any]:
    """What every effect carries: impact, tests within the family, interval, equivalence."""
    impact = verdicts.judge_impact(
        improvement, metric["delta"], verdicts.multiples_of(metric), evidence
    )
    return factorials.evidence_dict(series, evidence, metric["delta"]) | {
        "impact": {**asdict(impact), "possible": list(impact.possible)}
    }


def improvement_odds(
    series: Series, arm: str, reference: str, diverged: set[tuple[str, int]]
) -> inference.Improvement:
    """How often the arm beats the reference; a diverged run loses to every run that did not."""
    values = []
    for seed, value in series.values.items():
        lost = (reference, seed) in diverged, (arm, seed) in diverged
        values.append(float(lost[0]) - float(lost[1]) if any(lost) else value)
    return inference.probability_of_improvement(values)


def _pairing(table: pd.DataFrame, arm: str, reference: str) -> dict[str, float | None]:
    """The correlation of both arms over seeds, and what it does to the standard error."""
    correlation = inference.pairing(*statistics.paired_arrays(table, arm, reference)[:2])
    factor = None if correlation is None else float(np.sqrt(1 - correlation))
    return {"correlation": correlation, "error_factor": factor}


def _is_quality(quantity: str) -> bool:
    return quantity.startswith("eval_") or quantity.endswith("_loss")


def oriented(difference: Estimate, higher_is_better: bool) -> Estimate:
    """The difference with the sign that makes positive better."""
    if higher_is_better:
        return difference

    def flip(value: float | None) -> float | None:
        return None if value is None else -value

    return Estimate(
        flip(difference.estimate),
        difference.sd,
        difference.n,
        difference.seeds,
        flip(difference.high),
        flip(difference.low),
        flip(difference.high90),
        flip(difference.low90),
        difference.no_interval,
    )


def _add_shares(contrasts: Sequence[dict[str, Any]], table: pd.DataFrame) -> None:
    """Each contrast's share of the gap with Fieller's interval, where the gap is not zero."""
    gap = next(contrast for contrast in contrasts if contrast["kind"] == "gap")
    whole = statistics.paired_values(table, gap["arm"], gap["reference"])
    for contrast in contrasts:
        if contrast["kind"] not in (*PLANNED, "total"):
            continue
        part = statistics.paired_values(table, contrast["arm"], contrast["reference"])
        seeds = part.index.intersection(whole.index)
        top = (part["arm"] - part["reference"]).loc[seeds]
        bottom = (whole["arm"] - whole["reference"]).loc[seeds]
        interval = statistics.ratio_interval(top.tolist(), bottom.tolist())
        if contrast is gap or interval is None:
            continue
        contrast["share"] = {
            "estimate": float(top.mean() / bottom.mean()),
            "low": interval[0],
            "high": interval[1],
            "n": len(seeds),
        }


def _ranking(contrasts: Sequence[Mapping[str, Any]], metric: str) -> list[str]:
    """Stages and remainder, decided before undecided, larger before smaller, whichever the sign."""

    def key(contrast: Mapping[str, Any]) -> tuple[bool, float]:
        size = contrast["quantities"][metric]["estimate"]
        undecided = contrast["impact"]["level"] == verdicts.UNDECIDED
        return undecided, -abs(size) if size is not None else 0.0

    ranked = [c for c in contrasts if c["kind"] in ("stage", "remainder") and not c["one_run"]]
    return [contrast["id"] for contrast in sorted(ranked, key=key)]


def _summarise_arm(
    arm: Mapping[str, Any], runs: pd.DataFrame, table_of: Mapping[str, pd.DataFrame]
) -> dict[str, Any]:
    own = runs[runs["arm"] == arm["arm"]]
    means = {}
    for name, table in table_of.items():
        values = statistics.arm_values(table, arm["arm"])
        summary = statistics.mean_estimate(values.tolist(), values.index.tolist()).as_dict()
        summary["values"] = {str(seed): float(value) for seed, value in values.items()}
        means[name] = summary
    seeds_of = {
        status: sorted(int(seed) for seed in own.loc[own["status"] == status, "seed"])
        for status in (COMPLETED, DIVERGED, MISSING)
    }
    keys = ("arm", "kind", "stage", "variant")
    return {**{key: arm.get(key) for key in keys}, **seeds_of, "means": means}


def _family(weighed: Weighed) -> dict[str, Any]:
    """The family of planned contrasts, and how it is corrected."""
    plan, evidence = weighed.plan, weighed.evidence
    members = [one.id for one in weighed.planned]
    size, n = len(members), min((len(one.values) for one in weighed.planned), default=0)
    alpha = plan.alpha if plan else inference.ALPHA
    level = alpha / max(1, size)
    return {
        "members": members,
        "size": size,
        "test": "paired_t",
        "method": families.SPENDING if plan else families.HOLM,
        "alpha": alpha,
        "simultaneous_confidence": 1 - level,
        "n": n,
        "sign_flip_floor": inference.sign_flip_floor(n),
        "seeds_for_floor": inference.seeds_below_floor(level),
        "floor_in_words": inference.floor_in_words(n, alpha, size) if n else None,
        "significant": [name for name in members if evidence[name].significant],
    }


def _greedy(compared: Sequence[Contrast], series: Mapping[str, Series]) -> dict[str, Any] | None:
    """The steps of the greedy paths, and where a factor's step differs between directions."""
    steps = [c for c in compared if c.design == "greedy_path"]
    if not steps:
        return None
    arms = {c.id: (c.arm, c.reference) for c in steps}
    interacting = []
    for factor in dict.fromkeys(c.stage for c in steps):
        pair = [series.get(f"greedy:{way}:{factor}") for way in ("forward", "backward")]
        if None in pair:
            continue
        seeds = sorted(set(pair[0].values) & set(pair[1].values))
        values = [pair[0].values[seed] - pair[1].values[seed] for seed in seeds]
        same = arms[pair[0].id] == arms[pair[1].id]
        difference = statistics.mean_estimate(values, seeds, identical=same)
        surely = difference.low is not None and (difference.low > 0 or difference.high < 0)
        interacting.append(
            {
                "factor": factor,
                "same_arms": same,
                "difference": difference.as_dict(),
                "interacts": surely and not same,
            }
        )
    return {
        "steps": [c.id for c in steps],
        "interacting": interacting,
        "exploratory": True,
    }


def _sequential(weighed: Weighed) -> dict[str, Any] | None:
    """Where each planned contrast stands: its looks, and why it stopped."""
    plan = weighed.plan
    if plan is None:
        return None
    decisions = {one.id: _decided(one, plan) for one in weighed.planned}
    return {
        "looks": list(plan.looks),
        "alpha": plan.alpha,
        "spending": plan.spending,
        "families": plan.families,
        "boundaries": list(plan.effect_limits),
        "equivalence_boundaries": list(plan.equivalence_limits),
        "next_seeds": sequential.seeds_needed(decisions.values()),
        "contrasts": [{"id": name, **d.as_dict()} for name, d in decisions.items()],
    }


def _decided(one: Series, plan: sequential.Plan) -> sequential.Decision:
    """Where a contrast stands; the same computation twice is equivalent without any test."""
    found = sequential.decide(one.values, plan)
    return replace(found, status=sequential.EQUIVALENT) if one.identical else found


def noise_floor(table: pd.DataFrame, weighed: Weighed) -> dict[str, Any]:
    """How large a difference is that means nothing, and the smallest effect these seeds can find.

    `a_a` is current against itself with other seeds, where the study has that control. `paired_sd`
    is pooled over the planned contrasts (root mean square), `detectable` the effect that the
    seeds find with 80 % power, once alone and once corrected for the family.
    """
    planned = [one for one in weighed.planned if not one.identical and len(one.values) > 1]
    variances = [float(np.var(list(s.values.values()), ddof=1)) for s in planned]
    sd = float(np.sqrt(np.mean(variances))) if variances else None
    n = min((len(s.values) for s in planned), default=0)

    def detectable(family: int) -> float | None:
        size = statistics.detectable_effect(n, family)
        return None if size is None or sd is None else size * sd

    control, current = weighed.series.get("a_a"), statistics.arm_values(table, "current")
    return {
        "a_a": control.estimate.as_dict() if control else None,
        "current_sd": float(current.std(ddof=1)) if len(current) > 1 else None,
        "paired_sd": sd,
        "n": n,
        "detectable": detectable(1),
        "detectable_corrected": detectable(len(weighed.planned)),
    }


def _runs_with(runs: pd.DataFrame, status: str) -> list[dict[str, Any]]:
    rows = runs.loc[runs["status"] == status, ["arm", "variant", "seed"]]
    return [
        {"arm": row.arm, "variant": row.variant, "seed": int(row.seed)}
        for row in rows.itertuples(index=False)
    ]
