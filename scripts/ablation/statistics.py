"""Paired contrasts over seeds: estimate, interval, and the number of seeds that would decide.

A long table has the columns `arm`, `seed`, `value`; it holds one quantity. Differences are always
arm minus reference, in the quantity's own units; whether that is better is the caller's argument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95
EQUIVALENCE_CONFIDENCE = 0.90  # two one-sided 5 % tests are a 90 % interval
POWER = 0.80
MOST_SEEDS = 1000

ONE_SEED = "one_seed"
NO_SEEDS = "no_seeds"
NO_SPREAD = "no_spread"


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
        no_interval: Why there is none: "one_seed", "no_seeds" or "no_spread".
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

    def as_dict(self) -> dict[str, object]:
        """The same as plain JSON values."""
        return {**asdict(self), "seeds": list(self.seeds)}


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Student's t interval of the mean; needs at least two values."""
    array = np.asarray(values, dtype=float)
    if array.size < 2:
        raise ValueError("an interval needs at least two values")
    half = float(stats.t.ppf((1 + confidence) / 2, array.size - 1) * array.std(ddof=1))
    half /= math.sqrt(array.size)
    return float(array.mean()) - half, float(array.mean()) + half


def mean_estimate(
    values: Sequence[float], seeds: Sequence[int], *, identical: bool = False
) -> Estimate:
    """The mean of per-seed values with t intervals.

    Values without any spread give no interval, because a t interval of width zero would claim a
    certainty that a few equal counts do not have; `identical` says that the arms are the same
    computation, and then zero is exact.
    """
    n = len(values)
    if n == 0:
        return Estimate(None, None, 0, (), no_interval=NO_SEEDS)
    array = np.asarray(values, dtype=float)
    mean = float(array.mean())
    where = tuple(int(seed) for seed in seeds)
    if identical:
        return Estimate(mean, 0.0, n, where, mean, mean, mean, mean)
    if n == 1:
        return Estimate(mean, None, 1, where, no_interval=ONE_SEED)
    if float(np.ptp(array)) == 0.0:
        return Estimate(mean, 0.0, n, where, no_interval=NO_SPREAD)
    low, high = t_interval(array, CONFIDENCE)
    low90, high90 = t_interval(array, EQUIVALENCE_CONFIDENCE)
    return Estimate(mean, float(array.std(ddof=1)), n, where, low, high, low90, high90)


def arm_values(table: pd.DataFrame, arm: str) -> pd.Series:
    """The finite values of one arm, indexed by seed in ascending order."""
    rows = table[(table["arm"] == arm) & np.isfinite(table["value"].astype(float))]
    return rows.set_index("seed")["value"].astype(float).sort_index()


def paired_values(table: pd.DataFrame, arm: str, reference: str) -> pd.DataFrame:
    """Columns `arm` and `reference` over the seeds that both arms have."""
    both = pd.concat(
        {"arm": arm_values(table, arm), "reference": arm_values(table, reference)}, axis=1
    )
    return both.dropna().sort_index()


def paired_difference(
    table: pd.DataFrame, arm: str, reference: str, *, identical: bool = False
) -> Estimate:
    """Arm minus reference over the seeds both have."""
    pairs = paired_values(table, arm, reference)
    difference = pairs["arm"] - pairs["reference"]
    return mean_estimate(difference.tolist(), pairs.index.tolist(), identical=identical)


def paired_log_ratio(
    table: pd.DataFrame, arm: str, reference: str, *, identical: bool = False
) -> Estimate:
    """Logarithm of arm over reference, over the seeds both have where both are positive."""
    pairs = paired_values(table, arm, reference)
    pairs = pairs[(pairs["arm"] > 0) & (pairs["reference"] > 0)]
    ratios = np.log(pairs["arm"] / pairs["reference"])
    return mean_estimate(ratios.tolist(), pairs.index.tolist(), identical=identical)


def spread_ratio(
    table: pd.DataFrame, arm: str, reference: str, *, identical: bool = False
) -> Estimate:
    """Logarithm of the ratio of two standard deviations over seeds (arm over reference).

    The interval is that of the F distribution for two variances with n - 1 degrees of freedom
    (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.9). It ignores that seeds are paired;
    pairing only makes the ratio steadier, so the interval is wider than it need be.
    """
    pairs = paired_values(table, arm, reference)
    n = len(pairs)
    seeds = tuple(int(seed) for seed in pairs.index)
    if n < 2:
        return Estimate(None, None, n, seeds, no_interval=ONE_SEED if n else NO_SEEDS)
    if identical:
        return Estimate(0.0, 0.0, n, seeds, 0.0, 0.0, 0.0, 0.0)
    above, below = float(pairs["arm"].std(ddof=1)), float(pairs["reference"].std(ddof=1))
    if above == 0 or below == 0:
        return Estimate(None, None, n, seeds, no_interval=NO_SPREAD)
    log_ratio = math.log(above / below)

    def half(confidence: float) -> float:
        return 0.5 * math.log(float(stats.f.ppf((1 + confidence) / 2, n - 1, n - 1)))

    wide, narrow = half(CONFIDENCE), half(EQUIVALENCE_CONFIDENCE)
    return Estimate(
        log_ratio,
        None,
        n,
        seeds,
        log_ratio - wide,
        log_ratio + wide,
        log_ratio - narrow,
        log_ratio + narrow,
    )


def ratio_interval(
    numerator: Sequence[float], denominator: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Fieller's interval for the ratio of two paired means.

    None when it is not a bounded interval, which is exactly when the denominator's t interval at
    the same confidence includes zero (Fieller 1954, J. R. Stat. Soc. B 16(2):175-185).
    """
    top, bottom = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    n = top.size
    if n < 2:
        return None
    t2 = float(stats.t.ppf((1 + confidence) / 2, n - 1)) ** 2 / n
    cov = np.cov(top, bottom, ddof=1)
    a = float(bottom.mean()) ** 2 - t2 * float(cov[1, 1])
    b = float(top.mean() * bottom.mean()) - t2 * float(cov[0, 1])
    c = float(top.mean()) ** 2 - t2 * float(cov[0, 0])
    inside = b * b - a * c
    if a <= 0 or inside < 0:
        return None
    root = math.sqrt(inside)
    return (b - root) / a, (b + root) / a


def power_of(n: int, effect_in_sd: float) -> float:
    """Power of the two-sided 5 % paired t test with n seeds (noncentral t distribution)."""
    if n < 2:
        return 0.0
    shift = abs(effect_in_sd) * math.sqrt(n)
    critical = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))
    # The far tail adds nothing once the shift is large, and the near one is then certain.
    if shift > critical + 30:
        return 1.0
    near = float(stats.nct.sf(critical, n - 1, shift))
    return 1.0 if math.isnan(near) else near


def seeds_to_decide(sd: float | None, distance: float | None) -> int | None:
    """Fewest paired seeds that tell a mean from a limit `distance` away.

    With 80 % power at the two-sided 5 % level, taking the measured sd as the true one. None when
    sd or distance are unknown or zero, or when more than 1000 seeds would be needed.
    """
    if sd is None or distance is None or not sd > 0 or not distance > 0:
        return None
    low, high = 2, MOST_SEEDS
    if power_of(high, distance / sd) < POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        if power_of(middle, distance / sd) >= POWER:
            high = middle
        else:
            low = middle + 1
    return low


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
