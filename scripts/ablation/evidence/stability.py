"""Convergence stability: what it means here, and which of two arms is steadier.

Four measures, because "steady" is said of four things:

- loss roughness: the noise of the training loss around its trend (see
  `training.summary.roughness_around_trend`), in relation to its level and by itself. An arm that
  reaches a lower loss is rougher in relation to it and not by itself, so the verdict rests on both:
  where they disagree there is none. A few paired seeds decide.
- seed-to-seed spread: the ratio of the standard deviations of the metric over seeds. It is what a
  user who trains once cares for, but a standard deviation of few values is itself hardly known:
  halving it takes some 18 seeds to show. Reported with its F interval.
- share of clipped steps: how often the gradient was too long to be believed.
- divergences: runs whose loss stopped being a number. An arm that diverges on more seeds than the
  other is never called steadier, however smooth its other runs are.

A larger batch smooths the curve without making training any steadier: the noise of a mean over a
batch falls with its square root. So roughness is compared times the root of the effective batch
(see `outcomes.long_table`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from ablation.evidence import statistics
from ablation.evidence.outcomes import NOISE, ROUGHNESS
from ablation.evidence.statistics import Estimate

STEADIER = "steadier"
LESS_STEADY = "less_steady"
SAME = "same"
UNDECIDED = "undecided"
ALPHA = 0.05


@dataclass(frozen=True)
class Divergences:
    """On how many shared seeds each of two arms diverged.

    Attributes:
        arm, reference: Seeds on which it diverged.
        n: Seeds that both arms have run.
        p: Exact two-sided p of a sign test on the seeds on which only one of them did (McNemar
            1947, Psychometrika 12(2):153-157); None where there is no such seed.
    """

    arm: int
    reference: int
    n: int
    p: float | None


@dataclass(frozen=True, kw_only=True)
class Stability:
    """How steadily an arm trains against its reference.

    Attributes:
        verdict: "steadier", "less_steady", "same" or "undecided".
        loss_roughness, loss_noise, seed_spread: Logarithms of ratios (negative is steadier): of
            the noise of the loss in relation to its level, of that noise by itself, and of the
            metric's spread. Runs of earlier versions have no `loss_noise`.
        clipped_share: A difference.
        divergences: Counted over the seeds that both have run.
    """

    verdict: str
    loss_roughness: Estimate
    loss_noise: Estimate
    seed_spread: Estimate
    clipped_share: Estimate
    divergences: Divergences


def divergence_bound(n: int) -> float:
    """The largest rate of divergence that n runs without any leave possible, at 95 %.

    The rate at which none in n has a chance of 5 %: 1 - 0.05^(1/n) (Clopper and Pearson 1934,
    Biometrika 26(4):404-413).
    """
    return 1.0 - ALPHA ** (1.0 / n)


def count_divergences(
    pair: tuple[str, str], ran: set[tuple[str, int]], diverged: set[tuple[str, int]]
) -> Divergences:
    """The divergences of an arm and its reference over the seeds on which both have run."""
    arm, reference = pair
    seeds = [seed for name, seed in ran if name == arm and (reference, seed) in ran]
    here = {seed for seed in seeds if (arm, seed) in diverged}
    there = {seed for seed in seeds if (reference, seed) in diverged}
    only, others = len(here - there), len(there - here)
    p = float(stats.binomtest(only, only + others).pvalue) if only + others else None
    return Divergences(len(here), len(there), len(seeds), p)


def judge(roughness: Estimate, noise: Estimate, divergences: Divergences) -> str:
    """Whether an arm is steadier than its reference.

    Decided by the intervals of the log ratios of roughness, in relation to the loss and by itself,
    where both say the same; more divergences forbid "steadier", and surely more of them (sign test
    at 5 %) mean "less steady".
    """
    found = {_judge_scale(one, divergences) for one in (roughness, noise)}
    return found.pop() if len(found) == 1 else UNDECIDED


def _judge_scale(roughness: Estimate, divergences: Divergences) -> str:
    if divergences.p is not None and divergences.p <= ALPHA:
        return LESS_STEADY if divergences.arm > divergences.reference else STEADIER
    if roughness.low is None or roughness.high is None:
        return UNDECIDED
    if roughness.low == roughness.high == 0 and divergences.arm == divergences.reference:
        return SAME
    if roughness.low > 0:
        return LESS_STEADY if divergences.arm >= divergences.reference else UNDECIDED
    if roughness.high < 0:
        return STEADIER if divergences.arm <= divergences.reference else UNDECIDED
    return UNDECIDED


def compare(
    table_of: Mapping[str, pd.DataFrame],
    metric: str,
    pair: tuple[str, str],
    identical: bool,
    divergences: Divergences,
) -> Stability:
    """The stability of an arm against its reference.

    Args:
        table_of: Each quantity, seeds by arms.
        metric: The study's metric, whose spread over seeds is compared.
        pair: The arm and its reference.
        identical: Whether both are the same computation.
        divergences: On how many seeds they diverged.
    """
    arm, reference = pair
    roughness = statistics.paired_log_ratio(
        table_of[ROUGHNESS], arm, reference, identical=identical
    )
    noise = statistics.paired_log_ratio(table_of[NOISE], arm, reference, identical=identical)
    clipped = statistics.paired_difference(
        table_of["clipped_share"], arm, reference, identical=identical
    )
    spread = statistics.spread_ratio(table_of[metric], arm, reference, identical=identical)
    return Stability(
        verdict=judge(roughness, noise, divergences),
        loss_roughness=roughness,
        loss_noise=noise,
        seed_spread=spread,
        clipped_share=clipped,
        divergences=divergences,
    )
