"""What a design can detect, before it is run: power of paired t tests, without scipy.stats.

scipy.stats has the power of one plain test, too; it needs seconds to import, which a plan should
not take. A test holds the two together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

ALPHA = 0.05
POWER = 0.80
MOST_SEEDS = 1000

# How a study with looks spends its error (`ablation.study.looks`), and when it looks.
OBRIEN_FLEMING = "obf"
POCOCK = "pocock"
SPENDINGS = (OBRIEN_FLEMING, POCOCK)
SPENDING = POCOCK  # where a study names none: docs/statistics.md has what either saves

LOOKS = (3, 5, 7, 9, 12)

_POINTS = 500

IntoCount = int | np.ndarray


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
# How the own noise's share of the error falls with the comparisons that share an arm, and with up
# to three that need not: (exponent for many seeds, what few seeds take off it).
SHARING = 0.45
MOST_APART, APART = 3, (0.75, 1.35)
STEP_SHARES = 3  # a step within a path: the step beside it, the total, and itself


def prior_freedom(arms: int) -> float:
    """The degrees of freedom that the common noise of so many arms is worth in an interval: d0.

    The most that keeps the family-wise error of a staged path at 5.5 % when one arm is five times
    as noisy as the others, at three seeds, where it is worst. Twice as much would raise it to 9 %.
    """
    return PRIORS[min(arms, max(PRIORS))] if arms >= min(PRIORS) else 0.0


def own_share(sharing: IntoCount, count: IntoCount, n: IntoCount) -> np.ndarray:
    """What a contrast's own p value is multiplied by.

    If an arm is noisier than the others, its comparisons move together, so that they need less than
    Bonferroni's factor: simulation finds the number of them to the power of 0.45. If two are, two
    comparisons may each move alone, and the more seeds there are, the less the other test holds
    them: up to three comparisons count to the power of 0.30, 0.41, 0.48, 0.58 at 3, 4, 5, 8 seeds.

    Args:
        sharing: How many comparisons share the contrast's arm that most of them have.
        count: How many share the error at all.
        n: Seeds.
    """
    many, few = APART
    power = np.maximum(0.0, many - few / np.asarray(n))
    return np.asarray(
        np.maximum(np.power(sharing, SHARING), np.minimum(count, MOST_APART) ** power)
    )


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
    sharing = min(error.comparisons, STEP_SHARES)
    own = error.alpha / float(own_share(sharing, error.comparisons, error.n))
    limits = np.maximum(
        _limits(error, TESTED * error.prior, error.alpha / error.comparisons),
        _limits(error, 0.0, own),
    )
    shift = abs(effect) / math.sqrt(truth)
    return float((special.ndtr(shift - limits) + special.ndtr(-shift - limits)).mean())


def chance_to_decide(error: Error, effect: float, delta: float | None = None) -> float:
    """The chance that an effect of so many sd is shown, or that it is surely smaller than delta.

    The second takes two one-sided tests, each by the common noise and by its own.
    """
    found = power_of(error, effect)
    if delta is not None and abs(effect) < delta:
        one_sided = replace(error, alpha=2 * error.alpha)
        ends = (power_of(one_sided, delta - abs(effect)), power_of(one_sided, delta + abs(effect)))
        found = max(found, sum(ends) - 1)
    return found


def seeds_to_decide(error: Error, effect: float, delta: float | None = None) -> int | None:
    """Fewest paired seeds that decide with 80 % power; None beyond a thousand.

    Args:
        error: What has to be beaten; its n does not count.
        effect: The true mean, in sd of a paired difference.
        delta: The smallest effect that matters, in the same unit; None where only an effect counts.
    """

    def enough(n: int) -> bool:
        return chance_to_decide(replace(error, n=n), effect, delta) >= POWER

    low, high = 2, MOST_SEEDS
    if not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def _limits(error: Error, prior: float, alpha: float) -> np.ndarray:
    """What a mean has to beat, in its true standard errors, by quantiles of its own variance."""
    from scipy import special

    n, truth = error.n, 1 / error.n + error.rows
    critical = -float(special.stdtrit((n - 1 + prior) * (truth * n) ** 2, alpha / 2))
    return critical * np.sqrt((_variances(n - 1, prior) / n + error.rows) / truth)


@lru_cache(maxsize=256)
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
