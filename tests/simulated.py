"""Simulated studies whose truth is known: a staged path of arms with Gaussian noise.

The unit is the standard deviation of a paired difference. Arms share their seeds, and neighbors on
the path share an arm, as in a true study; what the seeds have in common cancels in the differences.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise, product
from math import sqrt

import numpy as np
import pandas as pd
from scipy import special, stats

from ablation.designs.contrast import BEND, RUNG, TREND, Contrast
from ablation.designs.scale import bend_weights, change_weights, on_rung
from ablation.designs.shapley import shapley_weights
from ablation.evidence import by_row, family, inference, moderated, sequential, statistics, twoway
from ablation.evidence.claims import MULTIPLES, Impact, judge_impact
from ablation.evidence.family import Evidence, Series
from ablation.evidence.reports import share_of
from ablation.evidence.scale import read_scale
from ablation.evidence.spread import Background, spread_of
from ablation.evidence.together import ways_of
from ablation.study.looks import boundaries
from ablation.study.power import TESTED, own_share, prior_freedom

GAP = "gap"


@dataclass(frozen=True)
class Plan:
    """What is simulated.

    Attributes:
        effects: The true effect of each stage.
        seeds: Seeds of every arm.
        studies: How many studies.
        seed: Of the generator.
    """

    effects: Sequence[float]
    seeds: int
    studies: int
    seed: int = 1


def simulate(plan: Plan) -> Iterator[np.ndarray]:
    """The differences (seeds, stages + 1) of each study; the last column is the gap."""
    rng = np.random.default_rng(plan.seed)
    levels = np.concatenate([[0.0], np.cumsum(plan.effects)])
    for _ in range(plan.studies):
        arms = levels + rng.normal(0, sqrt(0.5), size=(plan.seeds, len(levels)))
        steps = np.diff(arms, axis=1)
        yield np.column_stack([steps, arms[:, -1] - arms[:, 0]])


def names(columns: int) -> list[str]:
    """The stages' names, and the gap's."""
    return [*(f"stage:{number}" for number in range(1, columns)), GAP]


def series_of(differences: np.ndarray) -> list[Series]:
    """The planned contrasts of a study."""
    return [
        Series(id=name, values=dict(enumerate(column.tolist())), planned=True)
        for name, column in zip(names(differences.shape[1]), differences.T, strict=True)
    ]


def weigh(
    differences: np.ndarray, delta: float = 0.1, plan: sequential.LookPlan | None = None
) -> dict[str, tuple[Series, Evidence]]:
    """Each contrast with its evidence, through the code that the product runs."""
    series = series_of(differences)
    evidence = family.weigh(series, delta, plan)
    return {one.id: (one, evidence[one.id]) for one in series}


def impacts(differences: np.ndarray, delta: float = 0.1) -> dict[str, Impact]:
    """The measured impact of each contrast."""
    return {
        name: judge_impact(one.estimate, delta, MULTIPLES, evidence, family.rule_of(one, evidence))
        for name, (one, evidence) in weigh(differences, delta).items()
    }


def fixed_status(values: np.ndarray, plan: sequential.LookPlan) -> str:
    """The verdict that a plan's most seeds would give without looks: Bonferroni, 90 % interval."""
    spread, mean = spread_of(values), float(values.mean())
    if spread is None:
        return sequential.UNDECIDED
    if spread.p(mean) <= plan.alpha / plan.families:
        return sequential.SUPERIOR if mean > 0 else sequential.INFERIOR
    equal = spread.equivalence_p(mean, float(plan.delta or 0.0)) <= 0.05 / plan.families
    return sequential.EQUIVALENT if equal else sequential.UNDECIDED


def t_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """The t interval of a mean, through the code that the product runs."""
    spread = spread_of(values)
    assert spread is not None
    return spread.interval(float(np.mean(values)), confidence)


@dataclass(frozen=True)
class Staged:
    """A study with looks against the same study with the most seeds.

    Attributes:
        statuses, fixed: The verdicts with looks, and without.
        runs: Share of the runs that were made: an arm goes on while a contrast needs it.
    """

    statuses: tuple[str, ...]
    fixed: tuple[str, ...]
    runs: float


def compare_looks(differences: np.ndarray, plan: sequential.LookPlan) -> Staged:
    """A study of a staged path with looks, against the fixed maximum on the same seeds."""
    columns = [differences[:, i] for i in range(differences.shape[1])]
    decisions = [sequential.decide(column, plan) for column in columns]
    stages = len(columns) - 1
    last = [0] * (stages + 1)
    for number, decision in enumerate(decisions):
        needed = (0, stages) if number == stages else (number, number + 1)
        for arm in needed:
            last[arm] = max(last[arm], decision.n)
    return Staged(
        tuple(d.status for d in decisions),
        tuple(fixed_status(column, plan) for column in columns),
        sum(last) / (plan.looks[-1] * len(last)),
    )


# --- Many studies at once ----------------------------------------------------------------------
# The product's formulas over arrays (studies, seeds, arms); a test holds them together.

Noise = Callable[[np.random.Generator, tuple[int, int, int]], np.ndarray]
UNIT = sqrt(0.5)  # of a run, so that a difference of two has an SD of 1


def noisier(*arms: int, times: float = 5.0) -> Noise:
    """Normal noise, so many times as large in some arms."""

    def noise(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
        drawn = rng.normal(0, UNIT, shape)
        drawn[:, :, list(arms)] *= times
        return drawn

    return noise


def _one_in_ten_diverges(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    return np.where(rng.random(shape) < 0.1, -20.0, rng.normal(0, UNIT, shape))


NOISES: dict[str, Noise] = {
    "normal": lambda rng, shape: rng.normal(0, UNIT, shape),
    "one arm 5x": noisier(2),
    "skewed": lambda rng, shape: (rng.exponential(1, shape) - 1) * UNIT,
    "accuracy of 450 rows": lambda rng, shape: rng.binomial(450, 0.6, shape) / 450,
    "one in ten diverges": _one_in_ten_diverges,
}


def sure(alpha: float, studies: int) -> float:
    """The most that an error of alpha may show in so many studies (99.9 % of such simulations)."""
    return float(stats.binom.ppf(0.999, studies, alpha) / studies)


def path_weights(arms: int) -> np.ndarray:
    """The family of a staged path: its steps, the gap, and the totals that are no step."""
    ends = [(i, i + 1) for i in range(arms - 1)] + [(0, arms - 1)]
    ends += [(0, i) for i in range(2, arms - 1)]
    return _pairs(ends, arms)


def factorial_weights(factors: int) -> np.ndarray:
    """Those of all cells of so many factors: steps, every cell against the first, Shapley values.

    Cells are bit masks; the path switches factors on in their order.
    """
    cells = 2**factors
    pairs = [(2**i - 1, 2 ** (i + 1) - 1) for i in range(factors)]
    pairs += [(0, cell) for cell in range(2, cells)]
    return np.concatenate([_pairs(pairs, cells), shapley_weights(factors)])


def leave_one_out_weights(stages: int) -> np.ndarray:
    """Those of a path whose end is compared with itself without each stage.

    The arm without the last stage is on the path already.
    """
    ends = [(i, i + 1) for i in range(stages)] + [(0, i) for i in range(2, stages + 1)]
    without = range(stages + 1, 2 * stages)
    ends += [(arm, stages) for arm in without] + [(0, arm) for arm in without]
    return _pairs(ends, 2 * stages)


def main_effect_weights() -> np.ndarray:
    """Those of half of four factors' cells (D = ABC) and a path of which two arms are among them.

    Cells are arms 0 (none on) to 7 (all on); the path goes over arms 8 and 9, of one and three
    factors, and the cell of A and B.
    """
    low = (np.arange(8)[:, None] >> np.arange(3)) & 1
    coded = np.column_stack([2 * low - 1, (2 * low - 1).prod(axis=1)])
    effects = np.concatenate([coded.T / 4, np.zeros((4, 2))], axis=1)
    path = [0, 8, 3, 9, 7]
    pairs = [*pairwise(path), *((0, arm) for arm in range(1, 10) if arm != 8)]
    return np.concatenate([_pairs(pairs, 10), effects])


def _pairs(ends: Sequence[tuple[int, int]], arms: int) -> np.ndarray:
    weights = np.zeros((len(ends), arms))
    for row, (low, high) in enumerate(ends):
        weights[row, low], weights[row, high] = -1.0, 1.0
    return weights


# What studies ask beside a path of five arms; a greedy path explores, and is in no family.
FAMILIES = {
    **{f"path of {arms} arms": path_weights(arms) for arms in (3, 4, 6, 8)},
    "Shapley values of 3 factors": factorial_weights(3),
    "main effects of 4 factors": main_effect_weights(),
    "leave one out of 4 stages": leave_one_out_weights(4),
}


def two_sided(t: np.ndarray, freedom: float) -> np.ndarray:
    """The p values of t statistics."""
    return 2 * special.stdtr(freedom, -np.abs(t))


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """The contrasts of many studies (studies, contrasts), each with the error of its mean."""

    means: np.ndarray
    errors: np.ndarray
    freedom: float

    @property
    def p(self) -> np.ndarray:
        """Two-sided p values of no effect; 1 where there is neither spread nor mean."""
        t = self.means / np.maximum(self.errors, 1e-12)
        return two_sided(np.where(np.abs(self.means) < 1e-12, 0.0, t), self.freedom)

    def half(self, error: float) -> np.ndarray:
        """Half the widths of intervals that miss with this error."""
        return -special.stdtrit(self.freedom, error / 2) * self.errors


def weighed(
    tables: np.ndarray, weights: np.ndarray, prior: float | None = None, times: float = 1.0
) -> Weighed:
    """The contrasts of studies (studies, seeds, arms).

    `prior` stands in place of d0, 0 for a plain t; the common noise counts `times` that.
    """
    n, arms = tables.shape[1:]
    prior = times * (prior_freedom(arms) if prior is None else prior)
    left = tables - tables.mean(axis=1, keepdims=True) - tables.mean(axis=2, keepdims=True)
    left += tables.mean(axis=(1, 2), keepdims=True)
    pooled = (left**2).sum(axis=(1, 2)) / ((arms - 1) * (n - 1))
    values = tables @ weights.T
    squares = (weights**2).sum(axis=1)
    own = (n - 1) * values.var(axis=1, ddof=1)
    variance = (prior * pooled[:, None] * squares + own) / (prior + n - 1)
    return Weighed(means=values.mean(axis=1), errors=np.sqrt(variance / n), freedom=prior + n - 1)


def sides(weights: np.ndarray) -> list[tuple[str, str] | None]:
    """The arms of each contrast, as the product names the computations of both sides."""
    return [
        (str(int(w.argmin())), str(int(w.argmax()))) if sorted(w[w != 0]) == [-1, 1] else None
        for w in weights
    ]


@dataclass(frozen=True, kw_only=True)
class Together:
    """The sets of a family's contrasts that can be without effect together.

    Attributes:
        equal: Which they are (sets, contrasts).
        sharing: With how many of them each shares an arm.
    """

    equal: np.ndarray
    sharing: np.ndarray


def together(weights: np.ndarray) -> Together:
    """Those sets, as the product counts them: of contrasts of more than two arms, any."""
    ways = ways_of(sides(weights))
    equal, sharing = [], []
    for chosen in product((False, True), repeat=len(ways.free)):
        here = np.zeros((len(ways.equal), len(weights)), bool)
        here[:, ways.linked], here[:, ways.free] = ways.equal, chosen
        counts = np.zeros(here.shape, int)
        counts[:, ways.linked] = ways.sharing + sum(chosen)
        most = ways.sharing.max(axis=1, initial=0) + sum(chosen)
        counts[:, ways.free] = most[:, None]
        equal.append(here)
        sharing.append(np.maximum(counts, 1))
    found = np.concatenate(equal)
    some = found.any(axis=1)
    return Together(equal=found[some], sharing=np.concatenate(sharing)[some])


@lru_cache(maxsize=8)
def path_together(arms: int) -> Together:
    """Those of a path."""
    return together(path_weights(arms))


PerCount = Callable[[float], float]


def shown(
    tables: np.ndarray,
    limit: PerCount,
    prior: float | None = None,
    *,
    own: bool = True,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Whether any of each set of contrasts is shown that can be without effect: (sets, studies).

    Args:
        tables: Studies (studies, seeds, arms).
        limit: The p value to beat, by what it is multiplied by.
        prior: In place of d0.
        own: Whether it has to be one by its own noise, too.
        weights: The family (contrasts, arms); a path's where None.
    """
    _, n, arms = tables.shape
    sets = path_together(arms) if weights is None else together(weights)
    weights = path_weights(arms) if weights is None else weights
    first = weighed(tables, weights, prior, TESTED if own else 1.0).p
    second = weighed(tables, weights, 0).p if own else np.zeros_like(first)
    found = []
    for equal, sharing in zip(sets.equal, sets.sharing, strict=True):
        here = np.flatnonzero(equal)
        shares = own_share(sharing[here], len(here), n)
        of_own = np.array([limit(share) for share in shares.tolist()])
        beaten = (first[:, here] <= limit(len(here))) & (second[:, here] <= of_own)
        found.append(beaten.any(axis=1))
    return np.array(found)


def effects(shown: np.ndarray, sets: Together) -> np.ndarray:
    """Which contrasts are effects (studies, contrasts): shown in every set that holds them."""
    equal = sets.equal
    return np.stack([shown[equal[:, place]].all(axis=0) for place in range(equal.shape[1])], axis=1)


def rejects(
    tables: np.ndarray,
    alpha: float = inference.ALPHA,
    *,
    alone: bool = False,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Which contrasts are effects, in each study; `alone`: each by its own noise only."""
    prior = 0 if alone else None
    found = shown(tables, lambda shared: alpha / shared, prior, own=not alone, weights=weights)
    return effects(found, path_together(tables.shape[2]) if weights is None else together(weights))


def worst(found: Sequence[np.ndarray]) -> float:
    """The largest share of studies in which a set is shown, from halves of them in turn.

    The set is the worst of one half, and its share that of the other: the largest of many shares
    would be too large by chance.
    """
    halves = np.split(np.any(found, axis=0), 2, axis=1)
    shares = [half.mean(axis=1) for half in halves]
    return float(np.mean([shares[i][shares[1 - i].argmax()] for i in (0, 1)]))


def false_beside_effects(
    noise: Noise,
    n: int,
    studies: int,
    prior: float | None = None,
    *,
    own: bool = True,
    weights: np.ndarray | None = None,
) -> float:
    """The most studies of five arms with a false effect, whatever other contrasts are real.

    Those that are real are so large that they are always found: then the fewest others share the
    error. `prior` in place of d0; `own` and `weights` as for `shown`.
    """
    arms = 5 if weights is None else weights.shape[1]
    found, rng, size = [], np.random.default_rng(n), 20_000 if arms <= 6 else 4000
    for first in range(0, studies, size):
        tables = noise(rng, (min(size, studies - first), n, arms))
        limit = partial(operator.truediv, inference.ALPHA)
        found.append(shown(tables, limit, prior, own=own, weights=weights))
    return worst([np.concatenate(found, axis=1)])


def limits_at(looks: tuple[int, ...], number: int, spending: str) -> PerCount:
    """The nominal p to beat at a look, by what a p value is multiplied by.

    Read off a line on logarithms, as in the product.
    """
    known = (1, 2, 3, 5, 8)
    limits = [boundaries(looks, inference.ALPHA / m, spending)[number] for m in known]
    return lambda shared: math.exp(np.interp(math.log(shared), np.log(known), np.log(limits)))


def false_with_looks(noise: Noise, at: tuple[int, ...], spending: str, studies: int) -> float:
    """The same with looks at so many seeds."""
    tables = noise(np.random.default_rng(5), (studies, at[-1], 5))
    return worst([shown(tables[:, :n], limits_at(at, i, spending)) for i, n in enumerate(at)])


def false_effects(noise: Noise, n: int, studies: int) -> float:
    """The share of studies of five arms without effects that show any."""
    return float(rejects(noise(np.random.default_rng(n), (studies, n, 5))).any(axis=1).mean())


def power(effect: float, n: int, studies: int, *, alone: bool = False, steps: str = "one") -> float:
    """How often a step of so many SD is found among five arms: one real step, or all of them."""
    levels = effect * (np.arange(5) >= 2) if steps == "one" else effect * np.arange(5)
    tables = levels + NOISES["normal"](np.random.default_rng(n), (studies, n, 5))
    rejected = rejects(tables, alone=alone)
    return float(rejected[:, 1].mean() if steps == "one" else rejected[:, :4].mean())


# Where the gain of a path comes from, in SD.
SHAPES = {
    "the last step alone": (0.0, 0.0, 0.0, 1.5),
    "four equal steps": (0.5, 0.5, 0.5, 0.5),
    "the first step, then nothing": (1.5, 0.0, 0.0, 0.0),
}


def recommendations(
    steps: Sequence[float], n: int, studies: int, delta: float = 0.1
) -> dict[str, float]:
    """What five arms recommend: the largest gain whose simultaneous interval lies above delta.

    "recommended" is a share of studies; "without gain", and how often the interval of the chosen
    arm holds its true gain ("simultaneous", and "alone", as if it had not been chosen), are shares
    of recommendations; "too high" is what its estimate promises too much, in SD.
    """
    levels = np.concatenate([[0.0], np.cumsum(steps)])
    tables = levels + NOISES["normal"](np.random.default_rng(n), (studies, n, 5))
    weights = path_weights(5)
    found = weighed(tables, weights)
    candidates = np.flatnonzero(weights[:, 0] == -1)
    gain, truth = found.means[:, candidates], (weights @ levels)[candidates]
    half = found.half(inference.ALPHA / len(weights))[:, candidates]
    alone = found.half(inference.ALPHA)[:, candidates]
    sure = gain - half > delta
    some = sure.any(axis=1)
    best = np.where(sure, gain, -np.inf)[some].argmax(axis=1)
    off = np.take_along_axis((gain - truth)[some], best[:, None], axis=1)[:, 0]

    def covers(width: np.ndarray) -> float:
        chosen = np.take_along_axis(width[some], best[:, None], axis=1)[:, 0]
        return float((np.abs(off) <= chosen).mean())

    return {
        "recommended": float(some.mean()),
        "without gain": float((truth[best] <= 0).mean()),
        "simultaneous": covers(half),
        "alone": covers(alone),
        "too high": float(off.mean()),
    }


def following_advice(
    noise: str, n: int, studies: int, most: int = 40, reports: int = 6
) -> dict[str, float]:
    """Any false effect in any report, of who adds the seeds that each report asks for.

    After a report that leaves contrasts open, seeds are added until there are as many as would
    decide the one that needs fewest, and it is reported again. "uncorrected" judges every report
    as if it were the first.
    """
    weights, rng = path_weights(5), np.random.default_rng(n)
    drawn = NOISES[noise](rng, (studies, most, 5))
    return {
        name: float(_misled(drawn, n, reports, weights, again).mean())
        for name, again in (("corrected", share_of), ("uncorrected", lambda number: 1.0))
    }


def _misled(
    drawn: np.ndarray, n: int, reports: int, weights: np.ndarray, share: Callable[[int], float]
) -> np.ndarray:
    """Whether any report of each study shows a false effect."""
    seeds, wrong = np.full(len(drawn), n), np.zeros(len(drawn), bool)
    for number in range(1, reports + 1):
        going, had = ~wrong & (seeds <= drawn.shape[1]), seeds.copy()
        for size in np.unique(had[going]).tolist():
            here = np.flatnonzero(going & (had == size))
            values = drawn[here, :size]
            wrong[here] = rejects(values, inference.ALPHA * share(number)).any(axis=1)
            one = weighed(values, weights)
            level = inference.ALPHA * share(number + 1) / len(weights)
            sd = one.errors * math.sqrt(size * one.freedom / special.chdtri(one.freedom, 0.1))
            asked = special.ndtri(1 - level / 2) + special.ndtri(0.8)  # about `seed_range`'s fewest
            wanted = np.ceil((asked * sd / np.maximum(np.abs(one.means), 1e-9)) ** 2)
            seeds[here] = np.maximum(size + 1, wanted.min(axis=1))
    return wrong


def moderated_coverage(n: int, studies: int) -> dict[str, float]:
    """How often a step's own 95 % interval holds the truth on these rows, five arms.

    "equal noise", and where one arm is five times as noisy: a step to the "noisy arm", and one
    between "other arms".
    """
    weights, found = path_weights(5), {}
    for noise, steps in (
        ("normal", {"equal noise": 0}),
        ("one arm 5x", {"noisy arm": 1, "other arms": 0}),
    ):
        one = weighed(NOISES[noise](np.random.default_rng(n), (studies, n, 5)), weights)
        inside = np.abs(one.means) <= one.half(inference.ALPHA)
        found |= {name: float(inside[:, step].mean()) for name, step in steps.items()}
    return found


@dataclass(frozen=True)
class Outcomes:
    """Rows that two arms get right or wrong, out of a population of rows and seeds.

    As they are, intervals over seeds alone cover new rows as often as with trained models.

    Attributes:
        difficulty: SD of what a row is to both arms, in units of the noise of one answer.
        taste: SD of what a row is to each arm alone: what makes new rows another sample.
        seed: SD of what a seed does to an arm.
        easier: How much easier all rows are to the second arm.
    """

    difficulty: float = 2.0
    taste: float = 1.0
    seed: float = 0.1
    easier: float = 0.0

    def answers(
        self, rng: np.random.Generator, n: int, rows: int
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Whether each arm is right (seeds, rows), and what each row is to it."""
        difficulty = rng.normal(0, self.difficulty, rows)
        levels = [difficulty + rng.normal(0, self.taste, rows) + e for e in (0.0, self.easier)]
        right = [
            rng.standard_normal((n, rows), dtype=np.float32)
            + level
            + rng.normal(0, self.seed, (n, 1))
            > 0
            for level in levels
        ]
        return right, levels

    def truths(self) -> tuple[float, float]:
        """The share that each arm has right of new rows, on new seeds."""
        sd = math.sqrt(1 + self.difficulty**2 + self.taste**2 + self.seed**2)
        return float(special.ndtr(0.0)), float(special.ndtr(self.easier / sd))

    def draw(self, rng: np.random.Generator, n: int, rows: int) -> tuple[np.ndarray, float]:
        """Improvements (seeds, rows) of one arm over the other, and the truth on these rows.

        Improvements are -1, 0 or 1; the truth on new rows is 0.
        """
        right, levels = self.answers(rng, n, rows)
        before, after = (special.ndtr(level / math.hypot(1, self.seed)) for level in levels)
        return right[1].astype(np.float32) - right[0], float((after - before).mean())


def split_coverage(n: int, rows: int, share: float, studies: int) -> dict[str, float]:
    """How often 95 % intervals cover the truth where each seed draws its own test rows.

    "product" is the product's; "seeds_only" is the t interval over the seeds' means.

    Args:
        n: Seeds.
        rows: Test rows of a seed.
        share: Of all rows of the data set, which is a sample itself.
        studies: How many.
    """
    rng, drawn = np.random.default_rng(n * 7919 + rows), Outcomes()
    hits = {"product": 0, "seeds_only": 0}
    for _ in range(studies):
        whole, _ = drawn.draw(rng, n, round(rows / share))
        own = np.stack([rng.permutation(whole.shape[1])[:rows] for _ in range(n)])
        values = np.take_along_axis(whole, own, axis=1)
        squares, mean = twoway.mean_squares_of_splits(values, own), float(values.mean())
        alone = twoway.Error(variance=squares.seeds / (n * rows), freedom=n - 1, shares={})
        for name, one in (("product", twoway.error_of(squares)), ("seeds_only", alone)):
            low, high = one.interval(mean, 0.95)
            hits[name] += low <= 0 <= high
    return {name: count / studies for name, count in hits.items()}


def ratio_coverage(n: int, rows: int, studies: int, outcomes: Outcomes) -> dict[str, float]:
    """How often 95 % intervals of a ratio of two accuracies cover the truth on new rows and seeds.

    "product" is the product's; "seeds_only" is the t interval of the seeds' log ratios.
    """
    rng, hits = np.random.default_rng(n * 7919 + rows), {"product": 0, "seeds_only": 0}
    truth = -math.log(np.divide(*outcomes.truths()))
    for _ in range(studies):
        right, _ = outcomes.answers(rng, n, rows)
        values = {
            (name, seed): answers.astype(np.int8)
            for name, own in zip("ba", right, strict=True)
            for seed, answers in enumerate(own)
        }
        table = pd.DataFrame(
            {name: own.mean(axis=1) for name, own in zip("ba", right, strict=True)}
        )
        kept = by_row.ByRow(values=values, scope=by_row.NEW_ROWS, size=rows)

        def background(weights, seeds, kept=kept):
            return Background(squares=2.0, pools={}, rows=kept.squares(weights, seeds, {n}))

        for name, one in (
            ("product", statistics.log_ratio_of_means(table, ("a", "b"), background)),
            ("seeds_only", statistics.paired_log_ratio(table, "a", "b")),
        ):
            hits[name] += one.low <= truth <= one.high
    return {name: count / studies for name, count in hits.items()}


def row_coverage(
    n: int, rows: int, studies: int, outcomes: Outcomes | None = None
) -> dict[str, float]:
    """How often 95 % intervals cover the truth on new rows and new seeds.

    "floored" is the product's; "two_way" has no floor; "seeds_only" takes the rows for given.
    "these_rows" is how often that one covers the truth on these rows.
    """
    rng, drawn = np.random.default_rng(n * 7919 + rows), outcomes or Outcomes()
    hits = dict.fromkeys(("floored", "two_way", "seeds_only", "these_rows"), 0)
    for _ in range(studies):
        values, here = drawn.draw(rng, n, rows)
        squares, mean = twoway.mean_squares(values), float(values.mean())
        error = twoway.error_of(squares)
        plain = _without_floor(squares)
        alone = twoway.Error(variance=squares.seeds / (n * rows), freedom=n - 1, shares={})
        for name, one, truth in (
            ("floored", error, 0.0),
            ("two_way", plain, 0.0),
            ("seeds_only", alone, 0.0),
            ("these_rows", alone, here),
        ):
            low, high = one.interval(mean, 0.95)
            hits[name] += low <= truth <= high
    return {name: count / studies for name, count in hits.items()}


def shared_coverage(n: int, rows: int, studies: int, arms: int = 5) -> float:
    """How often 95 % intervals of a path's steps cover the truth on new rows and new seeds.

    As `row_coverage`, with the variance that the arms share: what a study of five arms reports.
    """
    rng, drawn, hits = np.random.default_rng(n * 7919 + rows), Outcomes(), 0
    for _ in range(studies):
        difficulty = rng.normal(0, drawn.difficulty, rows)
        levels = (difficulty + rng.normal(0, drawn.taste, rows) for _ in range(arms))
        right = [
            rng.standard_normal((n, rows)) + level + rng.normal(0, drawn.seed, (n, 1)) > 0
            for level in levels
        ]
        means = np.stack([one.mean(axis=1) for one in right], axis=1)
        common = moderated.pool(means)
        for before, after in pairwise(range(arms)):
            values = right[after].astype(np.float32) - right[before]
            own = means[:, after] - means[:, before]
            found = moderated.moderate(float(own.var(ddof=1)), n, 2.0, common)
            error = twoway.error_of(twoway.mean_squares(values), found.variance, found.freedom)
            low, high = error.interval(float(own.mean()), 0.95)
            hits += low <= 0 <= high
    return hits / (studies * (arms - 1))


def _without_floor(squares: twoway.Squares) -> twoway.Error:
    total = max(squares.seeds + squares.rows - squares.error, 1e-12)
    apart = squares.seeds**2 / (squares.n - 1) + squares.rows**2 / (squares.size - 1)
    apart += squares.error**2 / ((squares.n - 1) * (squares.size - 1))
    return twoway.Error(
        variance=total / (squares.n * squares.size), freedom=total**2 / apart, shares={}
    )


SIZES, ALL_ROWS = [300, 1000, 3000, 10_000], 60_000
# Effects by the logarithm (base 10) of the training rows.
TRUTHS: dict[str, Callable[[float], float]] = {
    "grows as the logarithm": lambda x: 0.02 + 0.02 * (x - 3),
    "fades as the logarithm": lambda x: 0.06 - 0.02 * (x - 3),
    "level": lambda x: 0.03,
    "fades as a power": lambda x: 0.08 * 10 ** (-0.3 * (x - 2.5)),
    "levels off at 10,000": lambda x: 0.03 + 0.02 * min(x - 3, 1.0),
    "rises and falls again": lambda x: 0.05 - 0.06 * (x - 3.2) ** 2,
}


def ladder(truth: str, studies: int, n: int = 4) -> dict[str, float]:
    """What sizes of the training data tell of all rows, where effects go on as the truth does.

    "told" is how often all rows are told; of those, "held" how often the interval holds the truth
    there, and "low", "estimate", "high" are means. Noise of a paired difference is 0.02 at the
    smallest size and 0.007 at the largest.
    """
    rng, effect = np.random.default_rng(11), TRUTHS[truth]
    means = np.array([effect(math.log10(rows)) for rows in SIZES])
    spread = np.linspace(0.02, 0.007, len(SIZES))
    all_ = [
        _of_all_rows(means + rng.normal(0, 1, (n, len(SIZES))) * spread) for _ in range(studies)
    ]
    told = [(one.low, one.estimate, one.high) for one in all_ if one is not None]
    low, estimate, high = np.array(told, dtype=float).reshape(-1, 3).T
    there = effect(math.log10(ALL_ROWS))
    return {
        "told": len(told) / studies,
        "held": float(((low <= there) & (there <= high)).sum() / max(1, len(told))),
        "low": float(low.mean()),
        "estimate": float(estimate.mean()),
        "high": float(high.mean()),
    }


def _of_all_rows(values: np.ndarray) -> statistics.Estimate | None:
    """What a ladder says of all rows, from the gap's differences (seeds, sizes)."""
    seeds = range(1, 1 + len(values))
    names = [on_rung("backup", rows) for rows in SIZES[:-1]] + ["backup"]
    columns = {f"{RUNG}:gap@{rows}": np.eye(len(SIZES))[i] for i, rows in enumerate(SIZES[:-1])}
    columns |= {GAP: np.eye(len(SIZES))[-1]}
    columns |= {f"{TREND}:gap": change_weights(SIZES), f"{BEND}:gap": bend_weights(SIZES)}
    series = {
        name: Series(
            id=name, values=dict(zip(seeds, (values @ weights).tolist(), strict=True)), planned=True
        )
        for name, weights in columns.items()
    }

    def estimate(one: Contrast) -> statistics.Estimate:
        weights = np.array([one.weights[arm] for arm in names])
        return statistics.mean_estimate((values @ weights).tolist(), list(seeds))

    evidence = family.weigh([series[f"{TREND}:gap"], series[f"{BEND}:gap"]], 0.01)
    step = {"step": "gap", "arm": "backup", "before": "current"}
    facts = {"rows": SIZES, "hold": "epochs", "steps": [step]}
    return read_scale(facts, series, evidence, estimate, ALL_ROWS).steps[0].all_rows


def tuned_sides(off: float, n: int, studies: int, effect: float = 1.0) -> dict[str, float]:
    """A step between sides at their own rates, and between sides tuned as a study tunes them.

    What an arm reaches falls with the square of how far its rate is from its best (1.5 SD at twice
    or half of it). The reference has its best rate; the arm's is `off` doublings too high. Each
    side takes the rate of 0.5, 1 and 2 times its own that is best over the seeds on rows that are
    set aside, whose noise is that of the test rows.

    Returns:
        "plain" and "tuned": means over studies; "sd": of the tuned contrast.
    """
    rng, rates = np.random.default_rng(3), np.array([-1.0, 0.0, 1.0])
    levels = np.stack([-1.5 * rates**2, effect - 1.5 * (rates + off) ** 2])  # (sides, rates)
    shape = (studies, n, 2, len(rates))
    aside, tested = (levels + rng.normal(0, UNIT, shape) for _ in range(2))
    chosen = aside.mean(axis=1).argmax(axis=2)
    means = tested.mean(axis=1)
    tuned = np.take_along_axis(means, chosen[..., None], axis=2)[..., 0]
    steps = tuned[:, 1] - tuned[:, 0]
    plain = means[:, 1, 1] - means[:, 0, 1]
    return {"plain": float(plain.mean()), "tuned": float(steps.mean()), "sd": float(steps.std())}
