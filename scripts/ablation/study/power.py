"""What a design can detect, before it is run: power of paired t tests, without scipy.stats.

`ablation.evidence.statistics` has the same power for one test; it needs seconds to import, which a
plan should not take. A test holds the two together.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

ALPHA = 0.05
POWER = 0.80
_POINTS = 2000


@lru_cache(maxsize=512)
def detectable(n: int, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """The smallest mean difference that a two-sided paired t test finds, in its own sd.

    Args:
        n: Paired seeds; None is returned below two.
        alpha: Two-sided error of this one test; for one of m, alpha / m.
        power: The chance to find it.
    """
    if n < 2:
        return None
    low, high = 0.0, 1.0
    while power_of(n, high, alpha) < power:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if power_of(n, middle, alpha) < power else (low, middle)
    return high


def power_of(n: int, effect: float, alpha: float = ALPHA) -> float:
    """The chance that a two-sided paired t test finds a mean difference of `effect` sd.

    The t statistic is (Z + shift) / sqrt(V / df); given V it is a normal probability, and V is
    averaged over its quantiles.
    """
    if n < 2:
        return 0.0
    from scipy import special  # here: each start of Snakemake imports this module

    df, shift = n - 1, abs(effect) * math.sqrt(n)
    critical = -float(special.stdtrit(df, alpha / 2))
    limits = critical * _spreads(df)
    found = special.ndtr(shift - limits) + special.ndtr(-shift - limits)
    return float(found.mean())


@lru_cache(maxsize=64)
def _spreads(df: int) -> np.ndarray:
    """Ratios of a measured to the true standard deviation, equally likely."""
    from scipy import special

    shares = (np.arange(_POINTS) + 0.5) / _POINTS
    return np.sqrt(2 * special.gammaincinv(df / 2, shares) / df)


# Variances of an estimate from one seed, over that of a difference of two runs. Runs of a seed are
# taken to be independent with equal variance sigma^2, so that a difference has 2 sigma^2.


def of_contrast() -> float:
    """One arm against another."""
    return 1.0


def of_shapley(k: int) -> float:
    """A Shapley value over a full table of k factors: 0.5, 0.28, 0.17, ... for 2, 3, 4, ..."""
    weights = (
        math.comb(k - 1, size)
        * (math.factorial(size) * math.factorial(k - size - 1) / math.factorial(k)) ** 2
        for size in range(k)
    )
    return math.fsum(weights)


def of_main_effect(cells: int) -> float:
    """A main effect, the mean of half the cells minus that of the others: 4 sigma^2 / cells."""
    return 2.0 / cells
