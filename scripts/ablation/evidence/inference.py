"""Tests on paired differences over seeds, and their correction for a family of comparisons.

Every function takes improvements or differences with the sign the caller chose. The t test of
`spread` decides, because the intervals are t intervals; the sign-flip test stands beside it as the
one that assumes nothing but symmetry, with the smallest p value it can reach at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import stats

from ablation.evidence.spread import has_spread
from ablation.evidence.together import Sides, ways_of
from ablation.study.power import own_share

ALPHA = 0.05
MOST_EXACT = 20  # 2^19 sums are a few megabytes
MOST_EXACT_ROWS = 14
DRAWS = 100_000
FLIP_SEED = 20181  # only Monte Carlo beyond the exact sizes draws from it
ROUNDING = 1e-9
TIE = 1e-12  # what binary fractions leave of equal numbers


def sign_flip_sums(values: np.ndarray) -> np.ndarray:
    """The sums under every sign vector whose first sign is plus; the others mirror them."""
    sums = values[:1]
    for value in values[1:]:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def sign_flip_test(values: Sequence[float]) -> float | None:
    """Two-sided p value of the sign-flip permutation test of the mean; None without values.

    Exact over all 2^n sign vectors up to 20 seeds, then 100,000 random ones with the observed one
    among them (Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9(1):39).
    """
    array = np.asarray(values, dtype=float)
    if array.size == 0:
        return None
    reached = abs(float(array.sum())) - ROUNDING * float(np.abs(array).sum())
    if array.size <= MOST_EXACT:
        return float((np.abs(sign_flip_sums(array)) >= reached).mean())
    rng = np.random.default_rng(FLIP_SEED)
    signs = rng.integers(0, 2, size=(DRAWS, array.size), dtype=np.int8) * 2 - 1
    return float((1 + (np.abs(signs @ array) >= reached).sum()) / (1 + DRAWS))


def sign_flip_floor(n: int) -> float:
    """The smallest two-sided p value that a sign-flip test of n seeds can reach: 2 / 2^n."""
    return min(1.0, 2.0 / 2.0**n)


def seeds_below_floor(alpha: float = ALPHA) -> int:
    """Fewest seeds with which a sign-flip test can reach alpha at all: 6 for 0.05."""
    return max(1, math.ceil(1 - math.log2(alpha) - ROUNDING))


def holm(
    p_values: Sequence[float | None], comparisons: Sequence[Sides | None] = ()
) -> list[float | None]:
    """Adjusted p values (Holm 1979, Scand. J. Stat. 6(2):65-70), in the order given.

    They hold the family-wise error under any dependence. A missing p value counts as a member of
    the family, because leaving it out would make the others look better, and stays missing.

    Args:
        p_values: Of each member.
        comparisons: The sides of each; where given, only what can be without effect together is
            counted (see `together`).
    """
    return adjusted([None if p is None else PValues(p, 0.0, 2) for p in p_values], comparisons)


class PValues(NamedTuple):
    """Both p values of a comparison, and its seeds.

    Attributes:
        common: By the noise common to all arms.
        own: By its own noise alone.
        n: Seeds.
    """

    common: float
    own: float
    n: int


def adjusted(
    tests: Sequence[PValues | None], comparisons: Sequence[Sides | None] = ()
) -> list[float | None]:
    """Adjusted p values where an effect has to be one by two tests.

    The first, by the noise common to all arms, is corrected for all comparisons that share the
    error. The second, by the contrast's own noise, is there for arms that are noisier than the
    others: comparisons that share one move together (`own_share`).

    Args:
        tests: Of each member; None where it has none.
        comparisons: As for `holm`.
    """
    size = len(tests)
    first, second, n = np.array([one or (1.0, 1.0, 2) for one in tests]).reshape(size, 3).T
    count = np.arange(1, size + 1)[:, None, None]
    shares = own_share(count.reshape(1, size, 1), count, n)
    values = np.maximum(count * first, shares * second)
    found = np.minimum(1.0, closed(values, comparisons or [None] * size)).tolist()
    return [None if one is None else p for one, p in zip(tests, found, strict=True)]


def closed(values: np.ndarray, comparisons: Sequence[Sides | None]) -> np.ndarray:
    """The value at which each comparison is an effect whatever others are without one.

    A closed test (Marcus, Peritz and Gabriel 1976, Biometrika 63(3):655-660): in each way in which
    it can be without effect together with others, one of them has to be shown.

    Args:
        values: At which each member is shown, by how many share the error, by how many share an
            arm (each from 1 on), and by member.
        comparisons: The sides of each, None for what can be without effect whatever the others are.
    """
    ways, found = ways_of(comparisons), np.zeros(len(comparisons))
    more = np.arange(len(ways.free) + 1)[:, None]  # of the free ones, any number beside each way
    shared = np.maximum(ways.equal.sum(axis=1) + more, 1) - 1
    sharing = np.maximum(ways.sharing + more[..., None], 1) - 1
    held = values[shared[..., None], sharing, np.array(ways.linked, int)]
    shown = np.where(ways.equal, held, np.inf).min(axis=2, initial=np.inf)
    if ways.free:
        most = sharing.max(axis=2, initial=0) if ways.linked else np.maximum(more, 1) - 1
        own = values[shared[1:, :, None], most[1:, :, None], np.array(ways.free)]
        ordered, number = -np.sort(-own, axis=2), np.arange(len(ways.free))
        shown[1:] = np.minimum(shown[1:], ordered[number, :, number])  # those that show least
        found[ways.free] = np.minimum(shown[1:, :, None], own).max(axis=(0, 1))
    here = np.where(ways.equal, shown[..., None], 0.0)
    found[ways.linked] = here.max(axis=(0, 1), initial=0.0)
    return found


def max_t_test(rows: np.ndarray) -> list[float]:
    """Westfall-Young adjusted p values: the share of flips whose largest |t| reaches each |t|.

    Args:
        rows: Array (seeds, contrasts) without gaps. Whole rows are flipped, so that contrasts
            that share an arm stay as dependent as they are.
    """
    n = len(rows)
    if n <= MOST_EXACT_ROWS:
        codes = np.arange(2 ** (n - 1))[:, None] >> np.arange(n)[None, :]
        signs = 1.0 - 2.0 * (codes & 1)
    else:
        drawn = np.random.default_rng(FLIP_SEED).integers(0, 2, size=(20_000, n))
        signs = np.vstack([np.ones(n), 1.0 - 2.0 * drawn])
    observed = np.abs(_t_statistics(np.ones((1, n)), rows))[0]
    largest = np.abs(_t_statistics(signs, rows)).max(axis=1)
    return [float((largest >= t * (1 - ROUNDING)).mean()) for t in observed]


def _t_statistics(signs: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The t statistic of each contrast under each sign vector; 0 for a contrast of zeros."""
    n = len(rows)
    means = signs @ rows / n
    square = (rows**2).mean(axis=0)
    variance = np.maximum(square - means**2, ROUNDING**2 * square)
    return np.where(square > 0, means / np.sqrt(variance / (n - 1) + np.finfo(float).tiny), 0.0)


@dataclass(frozen=True)
class Odds:
    """How often one arm beats the other on the same seed.

    Attributes:
        estimate: Share of seeds that improve, ties counted half; None without seeds.
        low, high: Exact 95 % Clopper-Pearson interval of the share among seeds that are no ties;
            None when all are.
        wins, losses, ties: Seeds.
    """

    estimate: float | None
    low: float | None
    high: float | None
    wins: int
    losses: int
    ties: int


def probability_of_improvement(values: Sequence[float], confidence: float = 0.95) -> Odds:
    """The paired probability of improvement with its exact interval (Clopper and Pearson 1934).

    Bouthillier et al. 2021 (arXiv 2103.03098) judge it against 0.75; with three seeds the interval
    spans almost everything, so it stands beside the mean and never alone.
    """
    array = np.asarray(values, dtype=float)
    wins, losses = int((array > TIE).sum()), int((array < -TIE).sum())
    ties = array.size - wins - losses
    if array.size == 0:
        return Odds(None, None, None, 0, 0, 0)
    estimate = (wins + 0.5 * ties) / array.size
    if wins + losses == 0:
        return Odds(estimate, None, None, 0, 0, ties)
    low, high = clopper_pearson(wins, wins + losses, confidence)
    return Odds(estimate, low, high, wins, losses, ties)


@lru_cache(maxsize=4096)
def clopper_pearson(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share."""
    ends = stats.binomtest(hits, n).proportion_ci(confidence, method="exact")
    return float(ends.low), float(ends.high)


def pairing(
    arm: Sequence[float] | np.ndarray, reference: Sequence[float] | np.ndarray
) -> float | None:
    """The correlation of two arms over seeds; None below three seeds or without spread.

    What pairing pays: the standard error is sqrt(1 - correlation) times that of unpaired seeds.
    """
    above, below = np.asarray(arm, dtype=float), np.asarray(reference, dtype=float)
    if above.size < 3 or not (has_spread(above) and has_spread(below)):
        return None
    return float(np.corrcoef(above, below)[0, 1])
