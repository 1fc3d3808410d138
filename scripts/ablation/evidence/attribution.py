"""Shapley values and interactions of factors over a full table of 2^k cells, seed by seed.

A cell is a set of factors that are switched on, coded as a bit mask: bit i is factor i. Values of a
study are an array (seeds, 2^k). Everything is a weighted sum of a seed's cells, so it is one matrix
product; means and intervals over seeds come after.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from math import factorial

import numpy as np

MOST_FACTORS = 6


@lru_cache(maxsize=32)
def shapley_weights(k: int) -> np.ndarray:
    """Weights (k, 2^k) of the cells in each factor's Shapley value.

    phi_i = sum over A without i of |A|! (k - |A| - 1)! / k! * [y(A + i) - y(A)]
    (Shapley 1953, Contributions to the Theory of Games II:307-317).
    """
    weights = np.zeros((k, 2**k))
    for i in range(k):
        for mask in range(2**k):
            if not mask >> i & 1:
                size = mask.bit_count()
                weight = factorial(size) * factorial(k - size - 1) / factorial(k)
                weights[i, mask | 1 << i] += weight
                weights[i, mask] -= weight
    return weights


@lru_cache(maxsize=32)
def interaction_weights(k: int) -> np.ndarray:
    """Weights (pairs, 2^k) of the cells in each pair's Shapley interaction, pairs in order.

    I_ij = sum over A without i, j of |A|! (k - |A| - 2)! / (k - 1)!
    * [y(A + ij) - y(A + i) - y(A + j) + y(A)] (Grabisch and Roubens 1999, Int. J. Game Theory
    28:547-565).
    """
    pairs = list(combinations(range(k), 2))
    weights = np.zeros((len(pairs), 2**k))
    for row, (i, j) in enumerate(pairs):
        both = 1 << i | 1 << j
        for mask in range(2**k):
            size = (mask & ~both).bit_count()
            weight = factorial(size) * factorial(k - size - 2) / factorial(k - 1)
            one_of_them = (mask & both).bit_count() == 1
            weights[row, mask] = -weight if one_of_them else weight
    return weights


def shapley_values(cells: np.ndarray) -> np.ndarray:
    """Shapley values (seeds, k) of cells (seeds, 2^k); a row adds up to its last minus first cell.

    Averaging over all orders, the noise of a value is smaller than that of a single contrast of
    two cells: 2 sigma^2 for one, 0.33 sigma^2 here with four factors.
    """
    return cells @ shapley_weights(factors_of(cells)).T


def shapley_interactions(cells: np.ndarray) -> np.ndarray:
    """Pairwise Shapley interactions (seeds, pairs), pairs in the order of `combinations`.

    Positive: the two do more together than apart, in the direction of the values.
    """
    return cells @ interaction_weights(factors_of(cells)).T


def factors_of(cells: np.ndarray) -> int:
    """How many factors a table of cells has."""
    k = int(cells.shape[1]).bit_length() - 1
    if cells.shape[1] != 2**k:
        raise ValueError("a full table has 2^k cells")
    return k


def all_cells(factors: Sequence[str]) -> list[frozenset[str]]:
    """Every set of the factors, in the order of the bit masks."""
    return [
        frozenset(name for i, name in enumerate(factors) if mask >> i & 1)
        for mask in range(2 ** len(factors))
    ]
