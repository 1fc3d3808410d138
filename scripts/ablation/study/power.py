"""What a design can detect, before it is run: power of paired t tests, without scipy.stats.

`ablation.evidence.statistics` has the power of one plain test, too; it needs seconds to import,
which a plan should not take. A test holds the two together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

ALPHA = 0.05
POWER = 0.80

# How a study with looks spends its error (`ablation.study.looks`), and when it looks.
OBRIEN_FLEMING = "obf"
POCOCK = "pocock"
SPENDINGS = (OBRIEN_FLEMING, POCOCK)
SPENDING = POCOCK  # where a study names none: docs/statistics.md has what either saves

LOOKS = (3, 5, 7, 9, 12)

_POINTS = 500


@dataclass(frozen=True, kw_only=True)
class Error:
    """What a test of one mean over seeds has to beat.

    Attributes:
        n: Paired seeds.
        alpha: Two-sided error of all comparisons together.
        comparisons: How many share it.
        prior: Degrees of freedom that the other arms' noise adds (`prior_freedom`).
        rows: The variance that the test rows leave however many seeds there are, in that of a
            paired difference; 0 for these rows only.
    """

    n: int
    alpha: float = ALPHA
    comparisons: int = 1
    prior: float = 0.0
    rows: float = 0.0


# The degrees of freedom that the noise common to all arms is worth beside a contrast's own.
PRIORS = {3: 1.0, 4: 1.5, 5: 2.0}
# How many times as much it counts in a test, where a contrast's own noise is a test beside it.
TESTED = 4.0
# How the own noise's share of the error falls with the comparisons that share an arm.
SHARING = 0.45
STEP_SHARES = 3  # a step within a path: the step beside it, the total, and itself


def prior_freedom(arms: int) -> float:
    """The degrees of freedom that the common noise of so many arms is worth in an interval: d0.

    The most that keeps the family-wise error of a staged path at 5.5 % when one arm is five times
    as noisy as the others, at three seeds, where it is worst. Twice as much would raise it to 9 %.
    """
    return PRIORS[min(arms, max(PRIORS))] if arms >= min(PRIORS) else 0.0


def own_share(sharing: int) -> float:
    """What a contrast's own p value is multiplied by where so many comparisons share an arm.

    If that arm is noisier than the others, its comparisons move together, so that they need less
    than Bonferroni's factor: simulation finds the number of them to the power of 0.45.
    """
    return float(sharing**SHARING)


@lru_cache(maxsize=4096)
def detectable(error: Error, power: float = POWER) -> float | None:
    """The smallest mean that a two-sided t test finds, in sd of a paired difference.

    None below two seeds.
    """
    if error.n < 2:
        return None
    low, high = 0.0, 1.0
    while power_of(error, high) < power:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if power_of(error, middle) < power else (low, middle)
    return high


def power_of(error: Error, effect: float) -> float:
    """The chance that a two-sided t test finds a mean of `effect` sd of a paired difference.

    It has to be one by the noise common to all arms, and by its own alone. What is found more often
    where several effects are real is not counted. Given the measured variance it is a normal
    probability, and that variance is averaged over its quantiles. The common noise of many arms is
    taken to be known.
    """
    if error.n < 2:
        return 0.0
    from scipy import special  # here: each start of Snakemake imports this module

    truth = 1 / error.n + error.rows
    own = error.alpha / own_share(min(error.comparisons, STEP_SHARES))
    limits = np.maximum(
        _limits(error, TESTED * error.prior, error.alpha / error.comparisons),
        _limits(error, 0.0, own),
    )
    shift = abs(effect) / math.sqrt(truth)
    return float((special.ndtr(shift - limits) + special.ndtr(-shift - limits)).mean())


def _limits(error: Error, prior: float, alpha: float) -> np.ndarray:
    """What a mean has to beat, in its true standard errors, by quantiles of its own variance."""
    from scipy import special

    n, truth = error.n, 1 / error.n + error.rows
    critical = -float(special.stdtrit((n - 1 + prior) * (truth * n) ** 2, alpha / 2))
    return critical * np.sqrt((_variances(n - 1, prior) / n + error.rows) / truth)


@lru_cache(maxsize=64)
def _variances(df: int, prior: float) -> np.ndarray:
    """Ratios of a measured to the true variance, equally likely."""
    from scipy import special

    shares = (np.arange(_POINTS) + 0.5) / _POINTS
    return (prior + 2 * special.gammaincinv(df / 2, shares)) / (df + prior)


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
