"""Variances that the arms of a study share, so that few seeds decide more.

Each contrast estimates its own variance from n - 1 differences, and a t test with two degrees of
freedom has to be beaten by 4.3 standard errors. But arms of one study are trained on the same rows
with the same seeds, and their noise is much alike: what the residuals of all arms say of it is
worth some degrees of freedom (Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3(1):3, with d0 fixed, as
it cannot be estimated from a handful of arms). Why d0 is what it is: docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ablation.study.power import PRIORS, prior_freedom

DISAGREE = 3.0
SWEEPS, SETTLED = 200, 1e-12


@dataclass(frozen=True, kw_only=True)
class Pool:
    """What the runs of all arms say of the noise of one run.

    Attributes:
        variance: Of a run around its arm and its seed, in the metric's unit squared.
        freedom: Degrees of freedom that it was estimated with.
        arms: Arms with at least two seeds.
        prior: What it is worth beside a contrast's own variance: d0.
    """

    variance: float
    freedom: int
    arms: int
    prior: float

    def of_contrast(self, squares: float) -> float:
        """The variance of one seed's weighted sum of arms, `squares` the sum of squared weights.

        2 for one arm minus another.
        """
        return squares * self.variance


def pool(table: np.ndarray) -> Pool | None:
    """The common noise of a study; None where it has fewer than three arms or nothing left over.

    Args:
        table: Values (seeds, arms) of runs that are computations of their own, NaN where there is
            none. A run that diverged is no noise: leave it out.
    """
    known = np.isfinite(table)
    known &= (known.sum(axis=0) >= 2)[None, :]
    known &= (known.sum(axis=1) >= 2)[:, None]
    known &= (known.sum(axis=0) >= 2)[None, :]
    seeds, arms = int(known.any(axis=1).sum()), int(known.any(axis=0).sum())
    freedom = int(known.sum()) - seeds - arms + 1
    if arms < min(PRIORS) or freedom < 1:
        return None
    left = _residuals(np.where(known, table, 0.0), known)
    variance = float((left**2).sum()) / freedom
    return Pool(variance=variance, freedom=freedom, arms=arms, prior=prior_freedom(arms))


def mixed(parts: Sequence[tuple[Pool | None, float]]) -> Pool | None:
    """The noise of a contrast whose arms have different noise; None where some of it is not known.

    Args:
        parts: Noise of some arms, and the sum of their squared weights in the contrast.
    """
    pools = [one for one, _ in parts if one is not None]
    if len(pools) < len(parts):
        return None
    whole = sum(squares for _, squares in parts)
    return Pool(
        variance=sum(one.of_contrast(squares) for one, squares in parts if one) / whole,
        freedom=sum(one.freedom for one in pools),
        arms=min(one.arms for one in pools),
        prior=min(one.prior for one in pools),
    )


def _residuals(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What arms and seeds do not explain: means are taken off in turns until nothing moves."""
    by_arm, by_seed = np.maximum(known.sum(axis=0), 1), np.maximum(known.sum(axis=1), 1)
    left = values - np.where(known, values.sum() / known.sum(), 0.0)
    scale = float(np.abs(left).max(initial=0.0))
    for _ in range(SWEEPS):  # one sweep where no run is missing
        arms = left.sum(axis=0) / by_arm
        left = np.where(known, left - arms[None, :], 0.0)
        seeds = left.sum(axis=1) / by_seed
        left = np.where(known, left - seeds[:, None], 0.0)
        if max(np.abs(arms).max(), np.abs(seeds).max()) <= SETTLED * scale:
            break
    return left


@dataclass(frozen=True, kw_only=True)
class Moderated:
    """The variance of a contrast over seeds, its own and the one that counts.

    Attributes:
        own: Of its own differences, n - 1 degrees of freedom.
        pooled: What the arms of the study make of it; None where nothing is pooled.
        variance: (d0 pooled + (n - 1) own) / (d0 + n - 1).
        freedom: d0 + n - 1.
    """

    own: float
    pooled: float | None
    variance: float
    freedom: float

    @property
    def disagree(self) -> bool:
        """Whether both variances differ threefold: then one arm is noisier than the others."""
        if self.pooled is None or self.pooled <= 0:
            return False
        ratio = self.own / self.pooled
        return not 1 / DISAGREE < ratio < DISAGREE

    @property
    def sd(self) -> float:
        """The standard deviation that counts."""
        return math.sqrt(self.variance)


def moderate(
    own: float,
    seeds: int,
    squares: float,
    common: Pool | None,
    times: float = 1.0,
) -> Moderated:
    """The moderated variance of a contrast.

    Args:
        own: The variance of its differences over seeds (n - 1).
        seeds: n.
        squares: The sum of its squared weights over arms, 2 for a difference of two.
        common: The study's noise; None leaves the contrast to itself.
        times: How much the common noise counts, of what it does in an interval; 0 for none.
    """
    if common is None or common.prior * times == 0:
        return Moderated(own=own, pooled=None, variance=own, freedom=seeds - 1)
    pooled, prior = common.of_contrast(squares), common.prior * times
    freedom = prior + seeds - 1
    variance = (prior * pooled + (seeds - 1) * own) / freedom
    return Moderated(own=own, pooled=pooled, variance=variance, freedom=freedom)
