"""How far the mean of a contrast may be from the truth: error and degrees of freedom.

Every test, interval and look reads them from here, and from nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from ablation.evidence.moderated import Moderated, Pool, moderate
from ablation.evidence.twoway import ROWS, Squares, error_of, quantile

ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The error of a mean over seeds.

    Attributes:
        error: Its standard error, in the unit of the mean; above zero.
        df: Degrees of freedom of the error.
        rows: The part of its square that the test rows leave however many seeds there are; 0 where
            the mean is about these rows.
    """

    error: float
    df: float
    rows: float = 0.0

    def p(self, mean: float) -> float:
        """Two-sided p value of Student's t test of no effect."""
        return 2 * float(special.stdtr(self.df, -abs(mean) / self.error))

    def half(self, confidence: float) -> float:
        """Half the width of the t interval."""
        return t_quantile(confidence, self.df) * self.error

    def interval(self, mean: float, confidence: float) -> tuple[float, float]:
        """Student's t interval of the mean."""
        half = self.half(confidence)
        return mean - half, mean + half

    def equivalence_p(self, mean: float, delta: float) -> float:
        """The larger p of two one-sided t tests against plus and minus delta.

        At most 0.05 exactly when the 90 % interval lies within plus or minus delta (Schuirmann
        1987, J. Pharmacokinet. Biopharm. 15(6):657-680). That the true effect is at least delta is
        what is tested, so a noisy study is never "equivalent".
        """
        return float(special.stdtr(self.df, -(delta - abs(mean)) / self.error))


def spread_of(values: Sequence[float] | np.ndarray) -> Spread | None:
    """The spread of a contrast's values over seeds; None below two, or where all are equal.

    Paired values are independent from seed to seed, so the error is sd / sqrt(n) with n - 1
    degrees of freedom (Student 1908, Biometrika 6(1):1-25).
    """
    array = np.asarray(values, dtype=float)
    if not has_spread(array):
        return None
    return Spread(error=float(array.std(ddof=1)) / math.sqrt(array.size), df=array.size - 1)


@dataclass(frozen=True, kw_only=True)
class Background:
    """What a study's other runs, and its test rows, say of a contrast's noise.

    Attributes:
        squares: The sum of the contrast's squared weights.
        pools: The noise common to all arms, by the last of the seeds that it is taken from.
        rows: The contrast's mean squares over seeds and test rows, by the number of seeds; none
            where the runs did not keep their outcomes.
    """

    squares: float
    pools: Mapping[int, Pool | None]
    rows: Mapping[int, Squares]

    def moderated(self, values: np.ndarray, last: int, times: float = 1.0) -> Moderated:
        """The variance over seeds of a contrast's values, the last of which has this seed."""
        own = float(values.var(ddof=1)) if has_spread(values) else 0.0
        return moderate(own, values.size, self.squares, self.pools.get(last), times)

    def spread(
        self,
        values: Sequence[float],
        last: int,
        *,
        new_rows: bool = True,
        times: float = 1.0,
    ) -> Spread | None:
        """The spread of a mean over seeds with a moderated variance; None where nothing varies.

        Args:
            values: Of each seed.
            last: The seed of the last of them.
            new_rows: Whether it is to hold for new test rows, where the outcomes are there.
            times: How much the common noise counts, of what it does in an interval.
        """
        array = np.asarray(values, dtype=float)
        if array.size < 2:
            return None
        found = self.moderated(array, last, times)
        squares = self.rows.get(array.size) if new_rows else None
        if squares is not None:
            error = error_of(squares, found.variance, found.freedom)
            return _spread(error.variance, error.freedom, error.variance * error.shares[ROWS])
        return _spread(found.variance / array.size, found.freedom)


def _spread(variance: float, freedom: float, rows: float = 0.0) -> Spread | None:
    if variance <= ROUNDING**2:
        return None
    return Spread(error=math.sqrt(variance), df=freedom, rows=rows)


def has_spread(values: np.ndarray) -> bool:
    """Whether values differ by more than binary fractions do.

    Counts of test rows often differ by the same number on every seed: 501/1001 - 498/1001 and
    507/1001 - 504/1001 are equal, but not to the last bit, and that is no standard deviation.
    """
    largest = float(np.abs(values).max(initial=0.0))
    return values.size > 1 and float(np.ptp(values)) > ROUNDING * max(1.0, largest)


@lru_cache(maxsize=4096)
def t_quantile(confidence: float, df: float) -> float:
    """The factor of a two-sided t interval: half of what is left over lies beyond it."""
    return quantile(confidence, df)
