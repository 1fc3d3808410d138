"""Paired contrasts over seeds: estimate, interval, and the number of seeds that would decide.

A long table has the columns `arm`, `seed`, `value` and holds one quantity; `wide_table` turns it
into a wide one, a row for each seed and a column for each arm. Differences are always arm minus
reference, in the quantity's own units; whether that is better is the caller's argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from ablation.evidence.spread import (
    ROUNDING,
    Background,
    Spread,
    has_spread,
    spread_of,
    t_quantile,
)
from ablation.study.power import MOST_SEEDS, POWER, Error, seeds_to_decide

CONFIDENCE = 0.95
EQUIVALENCE_CONFIDENCE = 0.90  # two one-sided 5 % tests are a 90 % interval

ONE_SEED = "one_seed"
NO_SEEDS = "no_seeds"
NO_SPREAD = "no_spread"
NO_SAMPLE = "of_machine"


@dataclass(frozen=True)
class Estimate:
    """A mean over paired seeds with its intervals.

    Attributes:
        estimate: The mean, or None when no seed is shared.
        sd: Standard deviation over seeds (n - 1), None below two seeds.
        n: Number of seeds.
        seeds: The seeds.
        low, high: The 95 % t interval; None when it does not exist.
        low90, high90: The 90 % t interval, for equivalence.
        no_interval: Why there is none: "one_seed", "no_seeds", "no_spread", or "of_machine" where
            seeds are no sample: then `low` and `high` are the smallest and the largest value.
        error, df: The standard error of the mean and its degrees of freedom, where it has one.
    """

    estimate: float | None
    sd: float | None
    n: int
    seeds: tuple[int, ...]
    low: float | None = None
    high: float | None = None
    low90: float | None = None
    high90: float | None = None
    no_interval: str | None = None
    error: float | None = None
    df: float | None = None


def interval_at(effect: Estimate, confidence: float) -> tuple[float, float] | None:
    """The t interval of an estimate at another confidence; None where it has none."""
    if effect.low is None or effect.estimate is None or effect.sd is None:
        return None
    if effect.error is None or effect.df is None:
        return effect.low, effect.low  # the same computation: exact at every confidence
    return Spread(error=effect.error, df=effect.df).interval(effect.estimate, confidence)


def mean_estimate(
    values: Sequence[float], seeds: Sequence[int], *, identical: bool = False
) -> Estimate:
    """The mean of per-seed values with t intervals of their own spread.

    `identical` says that the arms are the same computation, and then zero is exact.
    """
    return estimate(values, seeds, None if identical else spread_of(values), identical=identical)


def estimate(
    values: Sequence[float],
    seeds: Sequence[int],
    spread: Spread | None,
    *,
    identical: bool = False,
) -> Estimate:
    """The mean of per-seed values with the t intervals of a spread.

    Values without any spread give no interval, because a t interval of width zero would claim a
    certainty that a few equal counts do not have.
    """
    n = len(values)
    if n == 0:
        return Estimate(None, None, 0, (), no_interval=NO_SEEDS)
    array = np.asarray(values, dtype=float)
    mean = float(array.mean())
    where = tuple(int(seed) for seed in seeds)
    if identical:
        return Estimate(
            estimate=mean, sd=0.0, n=n, seeds=where, low=mean, high=mean, low90=mean, high90=mean
        )
    if n == 1:
        return Estimate(mean, None, 1, where, no_interval=ONE_SEED)
    if spread is None:
        return Estimate(mean, 0.0, n, where, no_interval=NO_SPREAD)
    ends = (*spread.interval(mean, CONFIDENCE), *spread.interval(mean, EQUIVALENCE_CONFIDENCE))
    sd = float(array.std(ddof=1))
    return Estimate(mean, sd, n, where, *ends, error=spread.error, df=spread.df)


def flipped(effect: Estimate) -> Estimate:
    """The same with the other sign."""

    def minus(value: float | None) -> float | None:
        return None if value is None else -value

    return replace(
        effect,
        estimate=minus(effect.estimate),
        low=minus(effect.high),
        high=minus(effect.low),
        low90=minus(effect.high90),
        high90=minus(effect.low90),
    )


def is_equivalent(effect: Estimate, delta: float) -> bool:
    """Whether the 90 % interval lies inside plus or minus delta (two one-sided tests)."""
    if effect.low90 is None or effect.high90 is None:
        return False
    return -delta < effect.low90 and effect.high90 < delta


def wide_table(table: pd.DataFrame) -> pd.DataFrame:
    """A long table as one row for each seed, one column for each arm, NaN where there is no value.

    Values that are not finite count as absent.
    """
    values = table["value"].to_numpy(dtype=float)
    rows = table[np.isfinite(values)]
    wide = rows.pivot(index="seed", columns="arm", values="value").astype(float).sort_index()
    return wide.reindex(columns=list(dict.fromkeys(table["arm"])))


def arm_values(wide: pd.DataFrame, arm: str) -> pd.Series:
    """The values of one arm, indexed by seed in ascending order."""
    if arm not in wide:
        return pd.Series(dtype=float)
    return wide[arm].dropna()


def by_seed(values: pd.Series) -> dict[int, float]:
    """An arm's values, each under its seed."""
    return dict(zip(map(int, values.index.tolist()), map(float, values.tolist()), strict=True))


def paired_arrays(
    wide: pd.DataFrame, arm: str, reference: str
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """The values of the arm, those of the reference, and the seeds that both arms have."""
    if arm not in wide or reference not in wide:
        return np.empty(0), np.empty(0), []
    above, below = wide[arm].to_numpy(), wide[reference].to_numpy()
    kept = ~(np.isnan(above) | np.isnan(below))
    return above[kept], below[kept], [int(seed) for seed in wide.index[kept]]


def paired_difference(
    wide: pd.DataFrame, arm: str, reference: str, *, identical: bool = False
) -> Estimate:
    """Arm minus reference over the seeds both have."""
    above, below, seeds = paired_arrays(wide, arm, reference)
    return mean_estimate(above - below, seeds, identical=identical)


def paired_log_ratio(
    wide: pd.DataFrame, arm: str, reference: str, *, identical: bool = False
) -> Estimate:
    """Logarithm of arm over reference, over the seeds both have where both are positive."""
    above, below, seeds = paired_arrays(wide, arm, reference)
    kept = (above > 0) & (below > 0)
    logs = np.log(above[kept]) - np.log(below[kept])
    return mean_estimate(
        logs, [s for s, k in zip(seeds, kept, strict=True) if k], identical=identical
    )


def log_ratio_of_means(
    wide: pd.DataFrame,
    arms: tuple[str, str],
    background: Callable[[Mapping[str, float], Mapping[int, float]], Background],
) -> Estimate:
    """Logarithm of the ratio of two arms' means, as surely as a contrast of them is known.

    By the delta method (Oehlert 1992, Am. Stat. 46(1):27-29) it moves as the arm over its mean
    minus the reference over its own: a weighted sum of arms seed by seed, whose error is found as
    that of every contrast. No estimate where a mean is not above zero.

    Args:
        wide: Seeds by arms.
        arms: The arm and its reference.
        background: What the noise of so weighted arms, with their values by seed, is judged by.
    """
    above, below, seeds = paired_arrays(wide, *arms)
    if not seeds or above.mean() <= 0 or below.mean() <= 0:
        return estimate([], [], None)
    weights = dict(zip(arms, (1 / float(above.mean()), -1 / float(below.mean())), strict=True))
    moved = math.log(above.mean() / below.mean()) + above / above.mean() - below / below.mean()
    values = dict(zip(seeds, map(float, moved), strict=True))
    spread = background(weights, values).spread(list(values.values()), seeds[-1])
    return estimate(list(values.values()), seeds, spread)


def machine_ratio(wide: pd.DataFrame, arm: str, reference: str) -> Estimate:
    """Logarithm of arm over reference in a quantity of the machine: the median over seeds.

    Times are no sample over seeds, so there is no interval; its ends are the extremes.
    """
    found = paired_log_ratio(wide, arm, reference)
    above, below, _ = paired_arrays(wide, arm, reference)
    kept = (above > 0) & (below > 0)
    return of_machine(found, np.log(above[kept] / below[kept]))


def of_machine(effect: Estimate, values: np.ndarray) -> Estimate:
    """An estimate of what seeds do not sample: the median, from the smallest to the largest."""
    if not values.size:
        return effect
    low, middle, high = (float(np.quantile(values, q)) for q in (0.0, 0.5, 1.0))
    return Estimate(middle, effect.sd, effect.n, effect.seeds, low, high, no_interval=NO_SAMPLE)


def spread_ratio(
    wide: pd.DataFrame,
    arm: str,
    reference: str,
    *,
    identical: bool = False,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Logarithm of the ratio of two standard deviations over seeds (arm over reference).

    The interval is that of the F distribution for two variances with n - 1 degrees of freedom
    (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.9). It ignores that seeds are paired;
    pairing only makes the ratio steadier, so the interval is wider than it need be.
    """
    values = paired_arrays(wide, arm, reference)
    n, seeds = len(values[2]), tuple(values[2])
    if n < 2:
        return Estimate(None, None, n, seeds, no_interval=ONE_SEED if n else NO_SEEDS)
    if identical:
        return Estimate(
            estimate=0.0, sd=0.0, n=n, seeds=seeds, low=0.0, high=0.0, low90=0.0, high90=0.0
        )
    above, below = (float(array.std(ddof=1)) for array in values[:2])
    if not (has_spread(values[0]) and has_spread(values[1])):
        return Estimate(None, None, n, seeds, no_interval=NO_SPREAD)
    ratio = math.log(above / below)
    wide_half, half90 = (half_spread(n, c) for c in (confidence, EQUIVALENCE_CONFIDENCE))
    ends = ratio - wide_half, ratio + wide_half, ratio - half90, ratio + half90
    return Estimate(ratio, None, n, seeds, *ends)


@lru_cache(maxsize=1024)
def half_spread(n: int, confidence: float) -> float:
    """Half the width of the interval of a log ratio of standard deviations of n seeds each."""
    return 0.5 * math.log(float(stats.f.isf((1 - confidence) / 2, n - 1, n - 1)))


def ratio_interval(
    *,
    top: float,
    bottom: float,
    top_error: float,
    bottom_error: float,
    apart_error: float,
    df: float,
) -> tuple[float, float] | None:
    """Fieller's 95 % interval for the ratio of two means.

    None when it is not a bounded interval, which is exactly when the denominator's t interval at
    95 % includes zero (Fieller 1954, J. R. Stat. Soc. B 16(2):175-185), or when the denominator has
    no spread and so no interval.

    Args:
        top, bottom: The means.
        top_error, bottom_error: Their standard errors; 0 where a mean is exact.
        apart_error: That of their difference, which tells how far they move together.
        df: Degrees of freedom of the bottom's error.
    """
    if bottom_error <= 0:
        return None
    t2 = t_quantile(CONFIDENCE, df) ** 2
    above, below = top_error**2, bottom_error**2
    together = (above + below - apart_error**2) / 2
    a = bottom**2 - t2 * below
    b = top * bottom - t2 * together
    c = top**2 - t2 * above
    inside = b * b - a * c
    if a <= 0 or inside < 0:
        return None
    root = math.sqrt(inside)
    return (b - root) / a, (b + root) / a


@dataclass(frozen=True, kw_only=True)
class SeedRange:
    """How many seeds in all would decide: a range, as a few seeds hardly know their spread.

    Attributes:
        fewest, most: With the true standard deviation at the lower and at the upper end of its 80 %
            interval; `most` is None beyond a thousand.
    """

    fewest: int
    most: int | None


def seed_range(
    effect: Estimate, rule: Error, distance: float | None, delta: float | None = None
) -> SeedRange | None:
    """The seeds that would decide an effect, more than it has.

    With 80 % power if the distance is the true one. The interval of the standard deviation is that
    of the chi-squared distribution with the degrees of freedom of the effect's error.

    Args:
        effect: The estimate.
        rule: What decides it; its `rows` is the part of the square of the effect's error that more
            seeds leave, in the effect's unit squared.
        distance: From the estimate to what it is to be told from: its own size where that is zero.
        delta: Below it an effect may be shown to be, too; None where that does not count.

    Returns:
        None where error or distance are unknown, or where it is always beyond a thousand.
    """
    if effect.error is None or effect.df is None or not distance:
        return None
    variance = effect.n * max(effect.error**2 - rule.rows, ROUNDING**2)
    found = []
    for q in (0.1, 0.9):
        sd = math.sqrt(variance * effect.df / float(stats.chi2.isf(q, effect.df)))
        error = replace(rule, rows=rule.rows / sd**2)
        found.append(seeds_to_decide(error, distance / sd, None if delta is None else delta / sd))
    fewest, most = found
    if fewest is None:
        return None
    more = effect.n + 1
    return SeedRange(fewest=max(fewest, more), most=None if most is None else max(most, more))


def seeds_for_spread(distance: float | None) -> int | None:
    """Fewest seeds that tell a ratio of standard deviations from a limit, with 80 % power.

    `distance` is between logarithms. The logarithm of a standard deviation has a variance of
    about 1 / (2 (n - 1)) for normal values, so that of the ratio has 1 / (n - 1).
    """
    if distance is None or not distance > 0:
        return None
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2) + stats.norm.ppf(POWER))
    seeds = math.ceil(1 + (z / distance) ** 2)
    return seeds if seeds <= MOST_SEEDS else None
