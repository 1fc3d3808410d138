"""Effects of stages, impact levels, and verdicts on claims, out of the table of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ablation import claims as verdicts
from ablation import statistics
from ablation.errors import UserError
from ablation.metrics import COMPLETED, DIVERGED, MISSING
from ablation.statistics import Estimate
from ablation.yamlfile import load_entries

SCHEMA_VERSION = 1
SEED_SPREAD = "seed_spread"
FINAL_SUFFIX = ".final"
WORST_SCORE = 0.0
METRIC = {"name": "eval_accuracy", "higher_is_better": True, "delta": 0.01}


@dataclass(frozen=True)
class Quantity:
    """One measured quantity and how it is read.

    Attributes:
        column: Its column in metrics.csv.
        higher_is_better: Its direction; None when it has none.
        worst: What a diverged run counts as: a number, "observed" (the worst value of any run of
            the study), or None (a diverged run has no value).
    """

    name: str
    column: str
    higher_is_better: bool | None
    worst: float | str | None


@dataclass(frozen=True)
class Contrast:
    """Two arms to compare: arm minus reference."""

    id: str
    kind: str
    arm: str
    reference: str
    stage: str | None
    settings: tuple[str, ...]
    identical: bool


def load_study_options(path: str | Path) -> dict[str, Any]:
    """The plain values of study.yaml, with the metric's defaults filled in."""
    options = load_entries(path).plain()
    return {**options, "metric": {**METRIC, **(options.get("metric") or {})}}


def quantities(metric: Mapping[str, Any]) -> dict[str, Quantity]:
    """Everything a contrast is estimated for; the study's metric comes first.

    The metric is read from the weights an arm selects (final or best epoch), and again, with the
    suffix ".final", from the final weights of every arm.
    """
    name, higher = str(metric["name"]), bool(metric.get("higher_is_better", True))
    measured = {"eval_accuracy": True, "eval_macro_f1": True, "eval_loss": False}
    measured = {name: higher} | {key: value for key, value in measured.items() if key != name}
    found = {}
    for key, better in measured.items():
        bounded = better and (key == "eval_accuracy" or "_f1" in key)
        worst: float | str = WORST_SCORE if bounded else "observed"
        found[key] = Quantity(key, f"quality.selected.{key}", better, worst)
        final = key + FINAL_SUFFIX
        found[final] = Quantity(final, f"quality.final.{key}", better, worst)
    for key, better in (
        ("initial_loss", None),
        ("final_loss", False),
        ("clipped_share", False),
        ("loss_roughness", False),
    ):
        found[key] = Quantity(key, f"optimisation.{key}", better, None)
    for key in ("train_runtime", "peak_memory_bytes"):
        found[key] = Quantity(key, f"cost.{key}", False, None)
    return found


def long_table(runs: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """Columns arm, seed, value of one quantity; diverged runs count as its worst value."""
    table = runs[["arm", "seed", "status"]].copy()
    values = runs.get(quantity.column, np.nan)
    table["value"] = pd.to_numeric(pd.Series(values, index=runs.index), errors="coerce")
    table.loc[table["status"] == MISSING, "value"] = np.nan
    diverged = table["status"] == DIVERGED
    table.loc[diverged, "value"] = np.nan
    if quantity.worst is not None:
        completed = table.loc[table["status"] == COMPLETED, "value"].dropna()
        worst: float = np.nan
        if isinstance(quantity.worst, float):
            worst = quantity.worst
        elif len(completed):
            worst = float(completed.min() if quantity.higher_is_better else completed.max())
        table.loc[diverged, "value"] = worst
    return table[["arm", "seed", "value"]]


def path_arms(grid: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The arms of the staged path in order: current, the stages, backup."""
    arms = list(grid["arms"])
    named = {arm["arm"]: arm for arm in arms}
    for end in ("current", "backup"):
        if end not in named:
            raise UserError(f"the grid has no arm {end}", found=sorted(named), allowed=["current"])
    stages = [arm for arm in arms if arm["kind"] == "stage"]
    return [named["current"], *stages, named["backup"]]


def contrasts_of(grid: Mapping[str, Any]) -> list[Contrast]:
    """Stages against the arm before, remainder, whole gap, and each stage arm against current."""
    path = path_arms(grid)
    found = []
    for before, arm in pairwise(path):
        last = arm is path[-1]
        kind = "remainder" if last else "stage"
        name = kind if last else f"stage:{arm['stage']}"
        found.append(_contrast(name, kind, arm, before))
    found.append(_contrast("gap", "gap", path[-1], path[0]))
    found += [_contrast(f"total:{arm['arm']}", "total", arm, path[0]) for arm in path[1:-1]]
    return found


def _contrast(
    name: str, kind: str, arm: Mapping[str, Any], reference: Mapping[str, Any]
) -> Contrast:
    before = reference.get("changed") or []
    own = [setting for setting in arm.get("changed") or [] if setting not in before]
    return Contrast(
        name,
        kind,
        arm["arm"],
        reference["arm"],
        arm.get("stage"),
        tuple(own),
        arm["variant"] == reference["variant"],
    )


def same_results(tables: Mapping[str, pd.DataFrame], metric: str, contrast: Contrast) -> bool:
    """Whether two arms gave the same numbers to the last bit on every shared seed.

    Loss has enough digits that this does not happen by chance: such arms did the same thing.
    """
    for name in (metric, "eval_loss", "final_loss"):
        pairs = statistics.paired_values(tables[name], contrast.arm, contrast.reference)
        if pairs.empty or not (pairs["arm"] == pairs["reference"]).all():
            return False
    return True


def estimate_effects(
    grid: Mapping[str, Any], runs: pd.DataFrame, study: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything of effects.json: arms, contrasts with impact and share, and verdicts."""
    metric = {**study["metric"], "delta": float(study["metric"]["delta"])}
    table_of = {name: long_table(runs, q) for name, q in quantities(metric).items()}
    contrasts = [_estimate_contrast(c, table_of, metric) for c in contrasts_of(grid)]
    _add_shares(contrasts, table_of[metric["name"]])
    return {
        "schema_version": SCHEMA_VERSION,
        "study": grid.get("study"),
        "metric": {
            "name": metric["name"],
            "higher_is_better": bool(metric.get("higher_is_better", True)),
            "delta": metric["delta"],
            "impact_multiples": dict(verdicts.multiples_of(metric)),
        },
        "confidence": statistics.CONFIDENCE,
        "seeds": sorted({int(seed) for seed in runs["seed"]}),
        "arms": [_summarise_arm(arm, runs, table_of) for arm in grid["arms"]],
        "contrasts": contrasts,
        "ranking": _ranking(contrasts, metric["name"]),
        "claims": {
            "impact": _judge_impacts(study, contrasts),
            "statements": _judge_statements(study, contrasts, table_of, metric),
        },
        "missing": _runs_with(runs, MISSING),
        "diverged": _runs_with(runs, DIVERGED),
    }


def _estimate_contrast(
    contrast: Contrast, table_of: Mapping[str, pd.DataFrame], metric: Mapping[str, Any]
) -> dict[str, Any]:
    name = metric["name"]
    higher = bool(metric.get("higher_is_better", True))
    same = contrast.identical or same_results(table_of, name, contrast)
    arm, reference = contrast.arm, contrast.reference
    differences = {
        key: statistics.paired_difference(
            table, arm, reference, identical=contrast.identical or (same and _is_quality(key))
        )
        for key, table in table_of.items()
    }
    spread = statistics.spread_ratio(table_of[name], arm, reference, identical=same)
    ratio = statistics.paired_log_ratio(
        table_of["train_runtime"], arm, reference, identical=contrast.identical
    )
    improvement = oriented(differences[name], higher)
    impact = verdicts.judge_impact(improvement, metric["delta"], verdicts.multiples_of(metric))
    return {
        "id": contrast.id,
        "kind": contrast.kind,
        "arm": arm,
        "reference": reference,
        "stage": contrast.stage,
        "settings": list(contrast.settings),
        "one_run": contrast.identical,
        "same_results": same,
        "quantities": {key: value.as_dict() for key, value in differences.items()},
        "ratios": {SEED_SPREAD: spread.as_dict(), "train_runtime": ratio.as_dict()},
        "improvement": improvement.as_dict(),
        "impact": {**asdict(impact), "possible": list(impact.possible)},
        "share": None,
    }


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


def _runs_with(runs: pd.DataFrame, status: str) -> list[dict[str, Any]]:
    rows = runs.loc[runs["status"] == status, ["arm", "variant", "seed"]]
    return [
        {"arm": row.arm, "variant": row.variant, "seed": int(row.seed)}
        for row in rows.itertuples(index=False)
    ]


def _judge_impacts(
    study: Mapping[str, Any], contrasts: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """A verdict on each claimed level; a setting is measured with all that moves in its stage.

    What only moves with the remainder gets none: no one grouped those settings, so their sum says
    nothing about any of them.
    """
    owner = {
        setting: contrast
        for contrast in contrasts
        if contrast["kind"] in ("stage", "remainder")
        for setting in contrast["settings"]
    }
    judged = []
    for claim in (study.get("claims") or {}).get("impact") or []:
        setting, claimed = str(claim["setting"]), str(claim["impact"]).upper()
        contrast = owner.get(setting)
        if contrast is None:
            verdict = verdicts.NO_DIFFERENCE
        elif contrast["kind"] == "remainder" and len(contrast["settings"]) > 1:
            verdict = verdicts.NOT_SEPARATED
        else:
            raw = contrast["impact"]
            impact = verdicts.Impact(**{**raw, "possible": tuple(raw["possible"])})
            verdict = verdicts.judge_impact_claim(claimed, impact)
        judged.append(
            {
                "setting": setting,
                "claimed": claimed,
                "contrast": contrast["id"] if contrast else None,
                "verdict": verdict,
            }
        )
    return judged


def _judge_statements(
    study: Mapping[str, Any],
    contrasts: Sequence[Mapping[str, Any]],
    table_of: Mapping[str, pd.DataFrame],
    metric: Mapping[str, Any],
) -> list[dict[str, Any]]:
    names = _contrast_names(contrasts)
    judged = []
    for entry in (study.get("claims") or {}).get("statements") or []:
        claim = verdicts.read_claim(entry)
        if claim.contrast not in names:
            raise UserError(
                f"claim {claim.id} names an unknown contrast",
                found=claim.contrast,
                allowed=sorted(names),
            )
        effect = claim_effect(claim, names[claim.contrast], table_of, str(metric["name"]))
        delta = metric["delta"] if claim.quantity == metric["name"] else None
        verdict = verdicts.judge_claim(claim, effect, delta)
        low, high = verdicts.claim_interval(effect, claim.unit)
        judged.append(
            {
                **asdict(claim),
                "estimate": verdicts.in_unit(effect.estimate, claim.unit),
                "interval_low": low,
                "interval_high": high,
                "n": effect.n,
                "no_interval": effect.no_interval,
                "verdict": verdict,
                "seeds_to_decide": _claim_seeds(claim, effect, verdict),
            }
        )
    return judged


def _contrast_names(contrasts: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Contrasts by the names a claim may use: gap, all_stages, remainder, or a stage."""
    names = {c["stage"]: c for c in contrasts if c["kind"] == "stage"}
    names |= {c["id"]: c for c in contrasts if c["kind"] in ("gap", "remainder")}
    totals = [c for c in contrasts if c["kind"] == "total"]
    return names | ({"all_stages": totals[-1]} if totals else {})


def claim_effect(
    claim: verdicts.Claim,
    contrast: Mapping[str, Any],
    table_of: Mapping[str, pd.DataFrame],
    metric: str,
) -> Estimate:
    """What a claim is judged by: a difference, or for relative units a log ratio."""
    arm, reference, same = contrast["arm"], contrast["reference"], contrast["one_run"]
    if claim.quantity == SEED_SPREAD:
        if claim.unit == verdicts.ABSOLUTE:
            raise UserError(
                f"claim {claim.id}: a spread is compared as a ratio",
                found=claim.unit,
                allowed=[verdicts.FACTOR, verdicts.REDUCTION],
            )
        return statistics.spread_ratio(table_of[metric], arm, reference, identical=same)
    if claim.quantity not in table_of:
        raise UserError(
            f"claim {claim.id} names an unknown quantity",
            found=claim.quantity,
            allowed=[*table_of, SEED_SPREAD],
        )
    table = table_of[claim.quantity]
    if claim.unit == verdicts.ABSOLUTE:
        return statistics.paired_difference(table, arm, reference, identical=same)
    return statistics.paired_log_ratio(table, arm, reference, identical=same)


def _claim_seeds(claim: verdicts.Claim, effect: Estimate, verdict: str) -> int | None:
    if verdict != verdicts.UNDECIDED:
        return None
    distance = verdicts.claim_distance(claim, effect)
    if claim.quantity == SEED_SPREAD:
        return verdicts.more_than(effect.n, statistics.seeds_for_spread(distance))
    return verdicts.more_than(effect.n, statistics.seeds_to_decide(effect.sd, distance))
