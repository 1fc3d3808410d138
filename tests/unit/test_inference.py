from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from ablation.evidence import inference
from ablation.evidence.spread import spread_of


def t_test(values: list[float]) -> float:
    return spread_of(values).p(float(np.mean(values)))


def test_the_t_test_is_scipys():
    values = [0.3, 0.1, -0.2, 0.5]
    assert t_test(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert spread_of([0.1]) is None
    assert spread_of([0.1, 0.1]) is None


def test_the_sign_flip_test_counts_all_sign_vectors():
    values = np.array([0.3, 0.1, -0.2, 0.5, 0.0])
    signs = np.array(list(itertools.product([-1, 1], repeat=5)))
    share = (np.abs(signs @ values) >= abs(values.sum()) - 1e-12).mean()
    assert inference.sign_flip_test(values) == pytest.approx(share)


def test_the_sign_flip_test_agrees_with_scipy():
    values = np.random.default_rng(1).normal(0.5, 1, 9)
    theirs = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert inference.sign_flip_test(values) == pytest.approx(theirs.pvalue)


def test_beyond_twenty_seeds_the_sign_flips_are_drawn_and_repeatable():
    values = np.random.default_rng(2).normal(0.4, 1, 24)
    first = inference.sign_flip_test(values)
    assert first == inference.sign_flip_test(values)
    assert first == pytest.approx(t_test(values), abs=0.01)


@pytest.mark.parametrize(("n", "floor"), [(3, 0.25), (4, 0.125), (5, 0.0625), (6, 0.03125)])
def test_unanimous_seeds_reach_the_floor_and_no_less(n, floor):
    assert inference.sign_flip_floor(n) == floor
    assert inference.sign_flip_test(np.arange(1, n + 1)) == floor


def test_so_many_seeds_can_be_significant_by_signs_alone():
    assert inference.seeds_below_floor(0.05 / 7) == 9
    assert inference.seeds_below_floor(0.05) == 6
    assert inference.seeds_below_floor(0.25) == 3


def test_holm_adjusts_step_by_step_and_never_falls():
    assert inference.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert inference.holm([0.6, 0.9]) == [1.0, 1.0]


def test_a_missing_p_value_still_counts_in_the_family():
    assert inference.holm([0.01, None]) == [0.02, None]


def test_one_contrast_alone_has_the_max_t_of_its_sign_flips():
    values = np.random.default_rng(3).normal(0.4, 1, (6, 1))
    assert inference.max_t_test(values)[0] == pytest.approx(inference.sign_flip_test(values[:, 0]))


def test_the_max_t_of_equal_contrasts_costs_nothing():
    values = np.random.default_rng(4).normal(0.8, 1, 7)
    alone = inference.max_t_test(values[:, None])[0]
    assert inference.max_t_test(np.column_stack([values] * 4)) == pytest.approx([alone] * 4)


def test_max_t_agrees_with_flipping_every_row():
    rows = np.random.default_rng(5).normal(0.5, 1, (5, 3))

    def sizes(flipped: np.ndarray) -> np.ndarray:
        return np.abs(stats.ttest_1samp(flipped, 0).statistic)

    signs = np.array(list(itertools.product([-1, 1], repeat=5)))
    largest = np.array([sizes(rows * s[:, None]).max() for s in signs])
    expected = [(largest >= t - 1e-9).mean() for t in sizes(rows)]
    assert inference.max_t_test(rows) == pytest.approx(expected)


def test_max_t_draws_flips_beyond_the_exact_sizes():
    rows = np.random.default_rng(6).normal(0.6, 1, (16, 2))
    assert inference.max_t_test(rows) == inference.max_t_test(rows)
    assert all(0 < p < 1 for p in inference.max_t_test(rows))


def test_tost_is_the_90_percent_interval():
    rng = np.random.default_rng(7)
    for _ in range(200):
        values = rng.normal(0.2, 1, 5)
        spread, mean = spread_of(values), float(values.mean())
        low, high = spread.interval(mean, 0.90)
        p = spread.equivalence_p(mean, 1.0)
        assert (p <= 0.05) == (low >= -1.0 and high <= 1.0)


def test_noise_is_never_equivalence():
    assert spread_of([5.0, -5.0, 0.1]).equivalence_p(0.1 / 3, 0.1) > 0.4


def test_the_probability_of_improvement_counts_ties_half_and_is_exact():
    found = inference.probability_of_improvement([0.1, 0.2, -0.1, 0.0])
    assert (found.wins, found.losses, found.ties) == (2, 1, 1)
    assert found.estimate == pytest.approx(0.625)
    exact = stats.binomtest(2, 3).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_three_wins_of_three_say_little():
    found = inference.probability_of_improvement([1.0, 2.0, 3.0])
    assert found.estimate == 1.0 and found.low < 0.3


def test_ties_alone_have_no_interval():
    assert inference.probability_of_improvement([0.0, 0.0]).low is None
    assert inference.probability_of_improvement([]).estimate is None


def test_rounding_is_neither_a_win_nor_a_spread():
    same = np.array([501, 507, 511]) / 1001 - np.array([498, 504, 508]) / 1001
    assert spread_of(same) is None
    assert inference.probability_of_improvement(same - same[0]).ties == 3


def test_pairing_is_the_correlation_over_seeds():
    assert inference.pairing([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]) == pytest.approx(1.0)
    assert inference.pairing([1.0, 2.0], [1.0, 2.0]) is None
    assert inference.pairing([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
