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
# The most of it, in a contrast's own degrees of freedom, by how many comparisons share the error.
TRUST = {1: 0.0, 2: 0.25, 3: 0.5, 4: 0.65, 5: 0.85, 6: 1.0}


def prior_freedom(arms: int) -> float:
    """The degrees of freedom that the common noise of so many arms is worth: d0.

    The most that keeps the family-wise error of a staged path at 5.5 % when one arm is five times
    as noisy as the others, at three seeds, where it is worst. Twice as much would raise it to 9 %.
    """
    return PRIORS[min(arms, max(PRIORS))] if arms >= min(PRIORS) else 0.0


def trusted(prior: float, comparisons: int, n: int) -> float:
    """What a common noise counts in a test whose error so many comparisons share.

    An arm that is noisier than the others is tested too easily by a common noise. Where many
    comparisons share the error, most of them of other arms, that is made up for; where few can be
    without effect, it is not, and one alone is tested by its own noise. With n seeds, `TRUST` is
    the most that keeps 5.5 % for each number of comparisons (docs/statistics.md).
    """
    return min(prior, TRUST[min(comparisons, max(TRUST))] * (n - 1))


def counts_that_differ(comparisons: int) -> tuple[int, ...]:
    """The numbers up to this one whose tests differ in more than their share of the error."""
    return *range(1, min(comparisons, max(TRUST))), comparisons


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

    It has to be found beside all comparisons and beside fewer, so the least of those chances. The
    steps that find more where several effects are real are not counted.
    """
    if error.n < 2:
        return 0.0
    return min(_power(error, effect, count) for count in counts_that_differ(error.comparisons))


def _power(error: Error, effect: float, comparisons: int) -> float:
    """The same beside so many comparisons.

    Given the measured variance it is a normal probability, and that variance is averaged over its
    quantiles. The common noise of many arms is taken to be known.
    """
    from scipy import special  # here: each start of Snakemake imports this module

    n, prior = error.n, trusted(error.prior, comparisons, error.n)
    truth = 1 / n + error.rows
    freedom = (n - 1 + prior) * (truth * n) ** 2
    critical = -float(special.stdtrit(freedom, error.alpha / comparisons / 2))
    limits = critical * np.sqrt((_variances(n - 1, prior) / n + error.rows) / truth)
    shift = abs(effect) / math.sqrt(truth)
    return float((special.ndtr(shift - limits) + special.ndtr(-shift - limits)).mean())


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
