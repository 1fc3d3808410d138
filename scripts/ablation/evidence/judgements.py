"""Verdicts on the claims of study.yaml, out of the estimated contrasts.

Claimed levels of impact are judged within the study's family (see `claims.judge_impact`). Each
statement in numbers is one question that was asked beforehand, and is judged alone at 95 %; with
sequential looks, by the repeated interval that holds over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from ablation.designs.contrast import REMAINDER, STAGE, TOTAL
from ablation.designs.staged import STAGED
from ablation.errors import UserError
from ablation.evidence import claims as verdicts
from ablation.evidence import sequential, statistics
from ablation.evidence.effects import Effect, ImpactVerdict, Metric, StatementVerdict
from ablation.evidence.outcomes import OF_MACHINE, ROUGHNESS
from ablation.evidence.reports import Level
from ablation.evidence.statistics import Estimate
from ablation.study.arithmetic import is_arithmetic
from ablation.study.claim import (
    ABSOLUTE,
    FACTOR,
    REDUCTION,
    SEED_SPREAD,
    UNDECIDED,
    Claim,
    read_claim,
)
from ablation.study.options import MeasuredOptions
from ablation.study.power import ALPHA, Error

LogRatio = Callable[[Effect], Estimate]
SCALES = "scales"  # why a claim is undecided: its verdict depends on the scale


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The confidences of the intervals that statements are judged by.

    Attributes:
        at: That for an effect and that for equivalence, by the number of seeds.
        following: That for an effect in the report that comes next.
    """

    at: Callable[[int], tuple[float, float]]
    following: float


def levels_of(plan: sequential.LookPlan | None, level: Level) -> Levels:
    """The confidences of a study with looks, or with a fixed number of seeds."""
    if plan is not None:
        return Levels(at=sequential.confidences_at(plan), following=statistics.CONFIDENCE)
    share = level.alpha / ALPHA
    fixed = 1 - level.alpha, 1 - share * (1 - statistics.EQUIVALENCE_CONFIDENCE)
    return Levels(at=lambda n: fixed, following=1 - level.following)


def judge_impacts(study: MeasuredOptions, contrasts: Sequence[Effect]) -> tuple[ImpactVerdict, ...]:
    """A verdict on each claimed level of a setting that a step changes alone.

    What moves together with others gets none: their sum says nothing about any of them.
    """
    owner = {
        setting: contrast
        for contrast in contrasts
        if contrast.role in (STAGE, REMAINDER)
        for setting in contrast.settings
    }
    judged = []
    for claim in (study.get("claims") or {}).get("impact") or []:
        setting, claimed = str(claim["setting"]), str(claim["impact"]).upper()
        contrast = owner.get(setting)
        if contrast is None:
            verdict = verdicts.NO_DIFFERENCE
        elif len(contrast.settings) > 1:
            verdict = verdicts.NOT_SEPARATED
        else:
            verdict = verdicts.judge_impact_claim(claimed, contrast.impact)
        judged.append(
            ImpactVerdict(
                setting=setting,
                claimed=claimed,
                contrast=contrast.id if contrast else None,
                verdict=verdict,
            )
        )
    return tuple(judged)


def judge_statements(
    study: MeasuredOptions,
    contrasts: Sequence[Effect],
    table_of: Mapping[str, pd.DataFrame],
    metric: Metric,
    levels: Levels,
    ratio: LogRatio,
) -> tuple[StatementVerdict, ...]:
    """A verdict on each statement in numbers that runs decide (arithmetic decides the others).

    Args:
        study: study.yaml.
        contrasts: The estimated contrasts.
        table_of: Each quantity's table.
        metric: The study's metric.
        levels: What they are judged at.
        ratio: The logarithm of an arm's metric over its reference's, of a contrast.
    """
    names = _contrast_names(contrasts)
    judged = []
    for entry in (study.get("claims") or {}).get("statements") or []:
        if is_arithmetic(entry):
            continue
        claim = read_claim(entry)
        if claim.contrast not in names:
            raise UserError(
                f"claim {claim.id} names an unknown contrast",
                found=claim.contrast,
                allowed=sorted(names),
            )
        effect = claim_effect(claim, names[claim.contrast], table_of, metric.name, ratio)
        confidence, narrow = levels.at(effect.n)
        if effect.low is not None and claim.quantity not in OF_MACHINE:
            effect = _at(effect, confidence, narrow)
        delta = metric.delta if claim.quantity == metric.name else None
        verdict = _judge_statement(claim, effect, delta, confidence)
        if claim.quantity == ROUGHNESS:
            verdict = _on_both_scales(claim, verdict, names[claim.contrast], levels)
        if verdict.no_interval is None:
            seeds = _claim_seeds(claim, effect, verdict.verdict, levels.following)
            verdict = replace(verdict, seeds_to_decide=seeds)
        judged.append(verdict)
    return tuple(judged)


def _judge_statement(
    claim: Claim, effect: Estimate, delta: float | None, confidence: float
) -> StatementVerdict:
    verdict = verdicts.judge_claim(claim, effect, delta)
    low, high = verdicts.claim_interval(effect, claim.unit)
    return StatementVerdict(
        id=claim.id,
        quantity=claim.quantity,
        contrast=claim.contrast,
        unit=claim.unit,
        low=claim.low,
        high=claim.high,
        estimate=verdicts.in_unit(effect.estimate, claim.unit),
        interval_low=low,
        interval_high=high,
        confidence=confidence,
        n=effect.n,
        no_interval=effect.no_interval,
        verdict=verdict,
        seeds_to_decide=None,
    )


def _on_both_scales(
    claim: Claim, verdict: StatementVerdict, contrast: Effect, levels: Levels
) -> StatementVerdict:
    """The verdict on roughness, where the noise of the loss by itself says the same of it."""
    noise = contrast.pair.stability.loss_noise if contrast.pair else None
    if noise is not None and noise.low is not None:
        noise = _at(noise, *levels.at(noise.n))
        if verdicts.judge_claim(claim, noise, None) == verdict.verdict:
            return verdict
    return replace(verdict, verdict=UNDECIDED, no_interval=verdict.no_interval or SCALES)


def _contrast_names(contrasts: Sequence[Effect]) -> dict[str, Effect]:
    """Contrasts by the names a claim may use: gap, all_stages, remainder, a stage, or any id."""
    names = {c.id: c for c in contrasts if c.pair is not None}
    names |= {str(c.factor): c for c in contrasts if c.role == STAGE}
    totals = [c for c in contrasts if c.role == TOTAL and c.design == STAGED]
    return names | ({"all_stages": totals[-1]} if totals else {})


def claim_effect(
    claim: Claim,
    contrast: Effect,
    table_of: Mapping[str, pd.DataFrame],
    metric: str,
    ratio: LogRatio,
) -> Estimate:
    """What a claim is judged by: a difference, or for relative units a log ratio."""
    pair = contrast.pair
    if pair is None:
        raise ValueError(f"{contrast.id} is not one arm against another")
    arm, reference, same = pair.arm, pair.reference, contrast.one_run
    if claim.quantity == SEED_SPREAD:
        if claim.unit == ABSOLUTE:
            raise UserError(
                f"claim {claim.id}: a spread is compared as a ratio",
                found=claim.unit,
                allowed=[FACTOR, REDUCTION],
            )
        return statistics.spread_ratio(table_of[metric], arm, reference, identical=same)
    if claim.quantity not in table_of:
        raise UserError(
            f"claim {claim.id} names an unknown quantity",
            found=claim.quantity,
            allowed=[*table_of, SEED_SPREAD],
        )
    table = table_of[claim.quantity]
    if claim.quantity in OF_MACHINE and claim.unit == ABSOLUTE:
        return pair.quantities[claim.quantity]
    if claim.quantity in OF_MACHINE:
        return statistics.machine_ratio(table, arm, reference)
    if claim.quantity == metric:
        return pair.quantities[metric] if claim.unit == ABSOLUTE else ratio(contrast)
    if claim.unit == ABSOLUTE:
        return statistics.paired_difference(table, arm, reference, identical=same)
    return statistics.paired_log_ratio(table, arm, reference, identical=same)


def _at(effect: Estimate, confidence: float, narrow: float) -> Estimate:
    """The effect with its 95 % and 90 % intervals replaced by those of other confidences."""

    def ends(level: float) -> tuple[float, float] | None:
        if effect.sd is not None:
            return statistics.interval_at(effect, level)
        half = statistics.half_spread(effect.n, level)
        return float(effect.estimate or 0.0) - half, float(effect.estimate or 0.0) + half

    wide, inner = ends(confidence), ends(narrow)
    if wide is None or inner is None:
        return effect
    return replace(effect, low=wide[0], high=wide[1], low90=inner[0], high90=inner[1])


def _claim_seeds(
    claim: Claim, effect: Estimate, verdict: str, confidence: float
) -> statistics.SeedRange | None:
    if verdict != UNDECIDED:
        return None
    distance = verdicts.claim_distance(claim, effect)
    if claim.quantity != SEED_SPREAD:
        return statistics.seed_range(effect, Error(n=effect.n, alpha=1 - confidence), distance)
    seeds = statistics.seeds_for_spread(distance)
    if seeds is None:
        return None
    seeds = max(seeds, effect.n + 1)
    return statistics.SeedRange(fewest=seeds, most=seeds)
