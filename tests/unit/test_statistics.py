from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulated import t_interval

from ablation.evidence import statistics as st
from ablation.evidence.spread import spread_of
from ablation.study import power

ALONE = power.Error(n=2)


def table(**arms: list[float]) -> pd.DataFrame:
    rows = [
        {"arm": arm, "seed": seed, "value": value}
        for arm, values in arms.items()
        for seed, value in enumerate(values, start=1)
    ]
    return st.wide_table(pd.DataFrame(rows, columns=["arm", "seed", "value"]))


def test_the_interval_is_students():
    low, high = t_interval([1.0, 2.0, 3.0])
    half = 4.302652729911275 / math.sqrt(3)
    assert (low, high) == pytest.approx((2 - half, 2 + half))


def test_a_difference_is_arm_minus_reference_over_shared_seeds():
    nan = float("nan")
    found = st.paired_difference(table(a=[0.5, 0.7, nan, 0.9], b=[0.1, nan, 0.3, 0.4]), "a", "b")
    assert found.seeds == (1, 4)
    assert found.estimate == pytest.approx(0.45)
    assert found.low < found.low90 < 0.45 < found.high90 < found.high


def test_one_seed_gives_an_estimate_and_no_interval():
    found = st.paired_difference(table(a=[0.5], b=[0.1]), "a", "b")
    assert (found.n, found.low, found.no_interval) == (1, None, "one_seed")
    assert found.estimate == pytest.approx(0.4)


def test_no_shared_seed_gives_nothing():
    found = st.paired_difference(table(a=[], b=[0.1]), "a", "b")
    assert (found.n, found.estimate, found.no_interval) == (0, None, "no_seeds")


def test_equal_differences_give_no_interval_of_width_zero():
    found = st.paired_difference(table(a=[0.75, 0.5], b=[0.5, 0.25]), "a", "b")
    assert (found.estimate, found.low, found.no_interval) == (0.25, None, "no_spread")


def test_arms_that_are_one_computation_differ_by_exactly_zero():
    found = st.paired_difference(table(a=[0.7, 0.5], b=[0.7, 0.5]), "a", "b", identical=True)
    assert (found.estimate, found.low, found.high, found.n) == (0.0, 0.0, 0.0, 2)


def test_a_log_ratio_is_the_geometric_mean_of_ratios():
    found = st.paired_log_ratio(table(a=[2.0, 8.0], b=[1.0, 1.0]), "a", "b")
    assert math.exp(found.estimate) == pytest.approx(4.0)


def test_a_log_ratio_leaves_out_what_has_no_logarithm():
    assert st.paired_log_ratio(table(a=[2.0, 0.0], b=[1.0, 1.0]), "a", "b").seeds == (1,)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_intervals_cover_the_truth_at_few_seeds(n):
    draws = np.random.default_rng(7).normal(0.3, 1.0, size=(4000, n))
    covered = [low <= 0.3 <= high for low, high in map(t_interval, draws)]
    assert 0.93 <= np.mean(covered) <= 0.97


def test_the_spread_ratio_is_the_f_interval_of_two_variances():
    found = st.spread_ratio(table(a=[1.0, 2.0, 3.0], b=[2.0, 4.0, 6.0]), "a", "b")
    assert math.exp(found.estimate) == pytest.approx(0.5)
    assert math.exp(2 * found.high) == pytest.approx(0.25 * stats.f.ppf(0.975, 2, 2))


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_spread_ratio_covers_at_least_as_often_as_it_says(correlation):
    rng, hits = np.random.default_rng(3), 0
    cov = [[1.0, correlation], [correlation, 1.0]]
    for _ in range(600):
        pairs = rng.multivariate_normal([0, 0], cov, size=5)
        found = st.spread_ratio(pd.DataFrame({"a": pairs[:, 0], "b": pairs[:, 1]}), "a", "b")
        hits += found.low <= 0.0 <= found.high
    assert hits / 600 >= 0.93


def ratio_of(top, bottom):
    """The ratio of two paired means over seeds alone."""
    top, bottom = np.asarray(top), np.asarray(bottom)
    errors = [
        0.0 if (found := spread_of(one)) is None else found.error
        for one in (top, bottom, top - bottom)
    ]
    names = ("top_error", "bottom_error", "apart_error")
    means = {"top": float(top.mean()), "bottom": float(bottom.mean()), "df": len(top) - 1}
    return st.ratio_interval(**means, **dict(zip(names, errors, strict=True)))


def test_a_gap_without_spread_has_no_shares():
    """As it has no interval, it is not known to be other than zero."""
    gap = [502 / 1001 - 498 / 1001, 511 / 1001 - 507 / 1001, 4 / 1001]
    assert st.mean_estimate(gap, [1, 2, 3]).no_interval == st.NO_SPREAD
    assert ratio_of([0.001, 0.002, 0.004], gap) is None
    assert ratio_of(gap, gap) is None


def test_fiellers_interval_exists_exactly_when_the_denominator_is_not_zero():
    rng = np.random.default_rng(1)
    for _ in range(200):
        bottom, top = rng.normal(0.6, 0.5, 4), rng.normal(0.2, 0.2, 4)
        low, high = t_interval(bottom)
        found = ratio_of(top, bottom)
        assert (found is not None) == (low > 0 or high < 0)
        if found:
            assert found[0] <= top.mean() / bottom.mean() <= found[1]


@pytest.mark.parametrize(
    ("n", "smallest"),
    [(3, 3.26), (4, 2.13), (5, 1.68), (6, 1.43), (8, 1.16), (10, 1.00), (16, 0.75)],
)
def test_the_seeds_to_decide_agree_with_the_table_of_detectable_effects(n, smallest):
    assert power.seeds_to_decide(ALONE, smallest * 1.01) == n
    assert power.seeds_to_decide(ALONE, smallest * 0.98) > n


def test_no_thousand_seeds_decide_an_effect_that_the_test_rows_hide():
    assert power.seeds_to_decide(ALONE, 0.001) is None
    assert power.seeds_to_decide(ALONE, 0.5) < 100
    assert power.seeds_to_decide(replace(ALONE, rows=0.1), 0.5) is None


def test_equal_counts_have_no_spread_whatever_binary_fractions_leave():
    counts = table(a=[501 / 1001, 507 / 1001, 511 / 1001], b=[498 / 1001, 504 / 1001, 508 / 1001])
    found = st.paired_difference(counts, "a", "b")
    assert (found.no_interval, found.low) == ("no_spread", None)
    assert found.estimate == pytest.approx(3 / 1001)


def test_the_seeds_that_would_decide_are_a_range_and_more_than_there_are():
    effect = st.mean_estimate([0.1, -0.1, 0.2, 0.0], [1, 2, 3, 4])
    found = st.seed_range(effect, ALONE, 0.1)
    assert 4 < found.fewest < power.seeds_to_decide(ALONE, 0.1 / effect.sd) < found.most
    assert st.seed_range(effect, ALONE, 10.0).fewest == 5
    assert st.seed_range(effect, ALONE, 0.01).most is None
    assert st.seed_range(st.mean_estimate([0.1], [1]), ALONE, 0.1) is None
