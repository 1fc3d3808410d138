"""When a study with looks may decide: the nominal p of each look.

The looks and the most seeds are fixed in advance. At a look the paired t test has to beat a nominal
p value that spends only part of the error (Lan and DeMets 1983, Biometrika 70(3):659-663). The
boundaries are computed: under no effect the t statistics of growing samples form a Markov chain
that knows no scale (Basu's theorem: direction and length of a Gaussian vector are independent), so
one state, integrated from seed to seed, gives them without simulation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy import special

from ablation.study.power import ALPHA, OBRIEN_FLEMING, POCOCK

CELLS = 400
_HALVINGS = 50


def spent(share: float, alpha: float, spending: str) -> float:
    """The two-sided error that may be spent when this share of the most seeds is there.

    O'Brien-Fleming form 4 - 4 Phi(z / sqrt(t)), z the upper alpha / 4 point; Pocock form
    alpha ln(1 + (e - 1) t) (Lan and DeMets 1983; CRAN gsMeanFreq).
    """
    if spending == POCOCK:
        return alpha * math.log(1 + (math.e - 1) * share)
    return 4 * float(special.ndtr(float(special.ndtri(alpha / 4)) / math.sqrt(share)))


@lru_cache(maxsize=256)
def boundaries(
    looks: tuple[int, ...],
    alpha: float = ALPHA,
    spending: str = OBRIEN_FLEMING,
    cells: int = CELLS,
) -> tuple[float, ...]:
    """The nominal two-sided p value to beat at each look; the last look is the most seeds.

    Args:
        looks: Numbers of seeds, rising, from 2 on.
        alpha: Two-sided error over all looks; for one of m contrasts, the family's over m.
        spending: "obf" (hard at first, costs the last look little) or "pocock" (saves
            seeds where effects are large).
        cells: Of the integration; 400 are good to 0.3 %.
    """
    shares = [spent(n / looks[-1], alpha, spending) for n in looks]
    found = [shares[0]]
    state = _start(looks[0], _cosine(shares[0], looks[0]), cells)
    for (before, n), already, may in zip(pairwise(looks), shares[:-1], shares[1:], strict=True):
        for seeds in range(before, n - 1):
            state = _advance(state, seeds, np.linspace(0, math.pi / 2, cells + 1))
        nominal = _nominal(state, n, may - already)
        found.append(nominal)
        state = _advance(state, n - 1, _edges(_cosine(nominal, n), cells))
    return tuple(found)


@dataclass(frozen=True)
class _State:
    """What is still going on after n seeds: mass of |cosine| between the values and their mean.

    Attributes:
        cosines: The middle of each cell of |w|, w = sum / sqrt(n * sum of squares).
        mass: Probability of each cell together with not having stopped before.
    """

    cosines: np.ndarray
    mass: np.ndarray


def _cosine(p: float, n: int) -> float:
    """The |cosine| beyond which the t test of n values has a two-sided p below this one."""
    t = -float(special.stdtrit(n - 1, p / 2))
    return 1.0 / math.sqrt(1.0 + (n - 1) / t**2) if t > 0 else 0.0


def _edges(cosine: float, cells: int) -> np.ndarray:
    """Cell edges, as angles, of what does not stop at a boundary."""
    return np.linspace(0, math.asin(cosine), cells + 1)


def _middles(angles: np.ndarray) -> np.ndarray:
    return np.sin((angles[1:] + angles[:-1]) / 2)


def _start(n: int, cosine: float, cells: int) -> _State:
    angles = _edges(cosine, cells)
    t = math.sqrt(n - 1) * np.tan(angles)
    inside = 1 - 2 * special.stdtr(n - 1, -t)
    return _State(_middles(angles), np.diff(inside))


def _within(cosines: np.ndarray, n: int, limits: np.ndarray) -> np.ndarray:
    """P(|w| after n + 1 values is at most each limit), for each |w| after n: (cosines, limits).

    The next value in units of the root of the sum of squares is u = T / sqrt(n) with T of Student's
    t distribution with n degrees of freedom, and the next w is (sqrt(n) w + u) / sqrt((n + 1)
    (1 + u^2)); so the limits on u are the roots of a quadratic.
    """
    s = math.sqrt(n) * cosines[:, None]
    b = limits[None, :] ** 2 * (n + 1)
    lead = np.where(np.abs(1 - b) < 1e-12, 1e-12, 1 - b)
    inner = b * (1 + s**2 - b)
    q = -(s + np.sqrt(np.maximum(inner, 0.0)))
    q = np.where(q == 0, -1e-300, q)
    roots = np.sort(np.stack([q / lead, (s**2 - b) / q]), axis=0)
    low, high = special.stdtr(n, math.sqrt(n) * roots)
    between = high - low
    return np.where(inner < 0, 1.0, np.where(lead > 0, between, 1.0 - between))


def _advance(state: _State, n: int, angles: np.ndarray) -> _State:
    """The state one seed later, within the cells between these angles."""
    kernel = np.diff(_within(state.cosines, n, np.sin(angles)), axis=1)
    return _State(_middles(angles), state.mass @ kernel)


def _nominal(state: _State, n: int, increment: float) -> float:
    """The nominal p at n seeds whose crossing, for the first time, has this probability."""

    def crossing(log_p: float) -> float:
        limit = np.array([_cosine(math.exp(log_p), n)])
        beyond = 1.0 - _within(state.cosines, n - 1, limit)[:, 0]
        return float(state.mass @ beyond) - increment

    # A first crossing is a crossing, so the nominal p is at least the increment.
    low, high = math.log(max(increment, 1e-300)), 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if crossing(middle) >= 0 else (middle, high)
    return math.exp(high)
