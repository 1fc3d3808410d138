"""The interval of an effect on new rows: seeds and test rows are both a sample.

With d_sr the improvement on seed s and row r, d_sr = mu + a_s + b_r + e_sr, and the mean has the
variance sigma_a^2 / n + sigma_b^2 / R + sigma_e^2 / (n R). The interval over seeds alone leaves the
second term out: it is about these rows, and for others it covers less the more seeds there are. The
estimator is that of two-way clustering (Cameron, Gelbach and Miller 2011, J. Bus. Econ. Stat.
29(2):238-249) in closed form, with the degrees of freedom of Satterthwaite (1946, Biometrics
Bull. 2(6):110-114).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

SEEDS, ROWS, BOTH = "seeds", "rows", "both"
# How surer a mean square of seeds is that is raised to that of the error, which many rows tell.
AT_FLOOR = 4.0


@dataclass(frozen=True, kw_only=True)
class Squares:
    """The mean squares of a contrast's improvements over seeds and rows.

    Attributes:
        seeds: R times the variance of the seeds' means; its expectation is R sigma_a^2 + sigma_e^2.
        rows: n times the variance of the rows' means: n sigma_b^2 + sigma_e^2.
        error: What neither explains: sigma_e^2.
        n: Seeds.
        size: Rows, or clusters of rows.
    """

    seeds: float
    rows: float
    error: float
    n: int
    size: int


def mean_squares(values: np.ndarray, clusters: np.ndarray | None = None) -> Squares | None:
    """The mean squares of improvements (seeds, rows); None below two seeds or two rows.

    Args:
        values: Of each seed on each row.
        clusters: Where rows come from the same source, the number of each row's, from 0 on: then
            sources are the sample, and rows within one are not independent.
    """
    if clusters is not None:
        values = _by_cluster(values, clusters)
    n, size = values.shape
    if n < 2 or size < 2:
        return None
    values = values.astype(float, copy=False)
    by_seed, by_row, mean = values.mean(axis=1), values.mean(axis=0), float(values.mean())
    of_seeds = size * float(((by_seed - mean) ** 2).sum())
    of_rows = n * float(((by_row - mean) ** 2).sum())
    whole = float(np.einsum("sr,sr->", values, values)) - n * size * mean**2
    freedom = (n - 1) * (size - 1)
    return Squares(
        seeds=of_seeds / (n - 1),
        rows=of_rows / (size - 1),
        error=max(0.0, whole - of_seeds - of_rows) / freedom,
        n=n,
        size=size,
    )


def mean_squares_of_splits(values: np.ndarray, rows: np.ndarray) -> Squares | None:
    """The mean squares of improvements where each seed has test rows of its own.

    With R rows a seed, of which a pair of seeds shares the part k on average, the mean has the
    variance sigma_a^2 / n + sigma_b^2 (1 + (n - 1) k) / (n R) + sigma_e^2 / (n R). The variance of
    the seeds' means tells all of it but sigma_b^2 k / R, since shared rows move all means alike.
    sigma_b^2 is the covariance of two seeds on the rows that they share (Henderson's method of
    moments: 1953, Biometrics 9(2):226-252). So the shared part of the rows is `rows` and the other
    belongs to `error`: all that is made of mean squares holds as it stands, and k = 1 gives those
    of `mean_squares` to the last digit.

    Args:
        values: Of each seed on each of its rows (seeds, R).
        rows: Which row each of them is of (seeds, R), numbers from 0 on, none twice in a seed.

    Returns:
        None below two seeds or two rows.
    """
    n, size = values.shape
    if n < 2 or size < 2:
        return None
    values = values.astype(float, copy=False)
    by_seed = values.mean(axis=1)
    left = values - by_seed[:, None]
    whole = float(np.einsum("sr,sr->", left, left))
    flat = rows.ravel()
    pairs = float((np.bincount(flat).astype(float) ** 2).sum()) - n * size  # each both ways
    shared = pairs / (n * (n - 1) * size)
    common = 0.0
    if pairs:
        sums = np.bincount(flat, weights=left.ravel())
        # Residuals around a seed's own mean covary by a little less than the rows do.
        less = 1 - (2 - shared) / size
        common = (float(sums @ sums) - whole) / (pairs * less)
    error = max(0.0, whole / (n * (size - 1)) - shared * common)
    return Squares(
        seeds=size * float(by_seed.var(ddof=1)),
        rows=max(0.0, error + n * shared * common),
        error=error,
        n=n,
        size=size,
    )


def _by_cluster(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Sums of each cluster's rows, scaled so that their mean is that of the rows."""
    count = int(clusters.max()) + 1
    sums = np.stack([np.bincount(clusters, weights=row, minlength=count) for row in values])
    return sums * (count / values.shape[1])


@dataclass(frozen=True, kw_only=True)
class Error:
    """The standard error of an effect on new rows.

    Attributes:
        variance: Of the mean.
        freedom: Satterthwaite's degrees of freedom; not whole.
        shares: Of the variance: what more seeds would take off, what more rows would, and what
            either would ("seeds", "rows", "both"); they add up to 1.
    """

    variance: float
    freedom: float
    shares: dict[str, float]

    def interval(self, mean: float, confidence: float) -> tuple[float, float]:
        """The two-sided t interval."""
        half = quantile(confidence, self.freedom) * math.sqrt(self.variance)
        return mean - half, mean + half


def quantile(confidence: float, freedom: float) -> float:
    """The factor of a two-sided t interval; degrees of freedom need not be whole."""
    return -float(special.stdtrit(freedom, (1 - confidence) / 2))


def error_of(
    squares: Squares, seed_variance: float | None = None, seed_freedom: float | None = None
) -> Error:
    """The standard error of an effect on new rows.

    The seeds' mean square is floored at that of the error: what it falls below by is chance. What
    it is raised to has the degrees of freedom of many rows, and so it counts up to five times its
    own: with its own, an interval of splits of their own would cover 99 % at three seeds.

    Args:
        squares: Of the contrast.
        seed_variance: A better estimate of the variance of one seed's mean (`moderate`).
        seed_freedom: Its degrees of freedom.
    """
    n, size = squares.n, squares.size
    found = squares.seeds if seed_variance is None else size * seed_variance
    freedom = n - 1 if seed_freedom is None else seed_freedom
    of_seeds = max(found, squares.error)
    if found < squares.error:
        freedom *= 1 + AT_FLOOR * (1 - found / squares.error)
    total = max(of_seeds, of_seeds + squares.rows - squares.error)
    apart = of_seeds**2 / freedom
    apart += squares.rows**2 / (size - 1) + squares.error**2 / ((n - 1) * (size - 1))
    shares = _shares(of_seeds, max(0.0, squares.rows - squares.error), squares.error)
    return Error(
        variance=total / (n * size),
        freedom=total**2 / apart if apart > 0 else float(freedom),
        shares=shares,
    )


def _shares(of_seeds: float, of_rows: float, error: float) -> dict[str, float]:
    """Shares of the variance of seeds, of rows, and of what either more seeds or rows average."""
    total = of_seeds + of_rows
    if total <= 0:
        return {SEEDS: 0.0, ROWS: 0.0, BOTH: 0.0}
    return {SEEDS: (of_seeds - error) / total, ROWS: of_rows / total, BOTH: error / total}


def f1_values(
    predictions: np.ndarray, labels: np.ndarray, classes: int, *, weighted: bool = False
) -> np.ndarray:
    """A value for each row whose mean is the F1 of all rows.

    F1 is no mean over rows, so these are pseudo-values of the infinitesimal jackknife (Jaeckel
    1972; Efron 1982, The Jackknife, the Bootstrap and Other Resampling Plans): the F1 plus R times
    its derivative by the row's weight. Unlike leaving rows out they never lose a class of one row.
    The averages run over the classes that occur in the labels, as in a run's scores.

    Args:
        predictions: Class of each row.
        labels: Class of each row.
        classes: How many there are.
        weighted: Weights by the rows of a class in place of equal ones.
    """
    hit, rows = predictions == labels, len(labels)
    support = np.bincount(labels, minlength=classes)
    count = np.maximum(support + np.bincount(predictions, minlength=classes), 1)
    f1 = 2 * np.bincount(labels[hit], minlength=classes) / count
    of_label = (2 * hit - f1[labels]) / count[labels]
    of_told = f1[predictions] / count[predictions]
    if not weighted:
        present = int((support > 0).sum())
        return float(f1[support > 0].mean()) + rows / present * (of_label - of_told)
    return f1[labels] + support[labels] * of_label - support[predictions] * of_told
