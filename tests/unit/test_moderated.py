"""Variances shared by the arms of a study; the figures of docs/statistics.md in small."""

from __future__ import annotations

import numpy as np
import pytest
import simulated

from ablation.evidence.inference import PValues, adjusted
from ablation.evidence.moderated import Pool, moderate, pool
from ablation.evidence.spread import spread_of
from ablation.study.power import (
    SPENDINGS,
    TESTED,
    Error,
    own_share,
    prior_freedom,
    seeds_to_decide,
)

# Three seeds, four arms: seed and arm means are 0, so the numbers are the residuals.
RESIDUALS = np.array([[1.0, -1.0, 2.0, -2.0], [0.0, 0.0, -1.0, 1.0], [-1.0, 1.0, -1.0, 1.0]])


def test_the_common_noise_is_what_arms_and_seeds_do_not_explain():
    table = RESIDUALS + np.array([5.0, 6.0, 7.0, 9.0]) + np.array([[0.1], [0.2], [0.4]])
    found = pool(table)
    assert found.variance == pytest.approx((RESIDUALS**2).sum() / 6)
    assert (found.freedom, found.arms, found.prior) == (6, 4, 1.5)


def test_a_missing_run_leaves_the_noise_what_least_squares_say():
    table = RESIDUALS + np.array([5.0, 6.0, 7.0, 9.0])
    table[0, 1] = np.nan
    cells = [(s, a) for s in range(3) for a in range(4) if (s, a) != (0, 1)]
    design = np.zeros((11, 7))
    for i, (seed, arm) in enumerate(cells):
        design[i, seed] = design[i, 3 + arm] = 1
    values = np.array([table[cell] for cell in cells])
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    found = pool(table)
    assert found.variance == pytest.approx((left**2).sum() / 5, rel=1e-6)
    assert found.freedom == 5


def test_an_arm_with_one_seed_and_a_seed_with_one_arm_say_nothing_of_the_noise():
    wider = np.full((4, 5), np.nan)
    wider[:3, :4] = RESIDUALS
    wider[0, 4] = 50.0
    wider[3, 0] = -50.0
    assert pool(wider) == pool(RESIDUALS)


def test_two_arms_have_no_common_noise():
    assert pool(RESIDUALS[:, :2]) is None
    assert [prior_freedom(arms) for arms in (2, 3, 4, 5, 9)] == [0, 1, 1.5, 2, 2]


def test_a_contrast_takes_degrees_of_freedom_from_the_arms():
    common = Pool(variance=2.0, freedom=8, arms=5, prior=2)
    found = moderate(1.0, 3, 2.0, common)
    assert (found.pooled, found.variance, found.freedom) == (4.0, 2.5, 4)
    assert found.disagree
    assert not moderate(1.4, 3, 2.0, common).disagree


def test_a_contrast_without_common_noise_keeps_its_own():
    found = moderate(1.0, 3, 2.0, None)
    assert (found.variance, found.freedom, found.pooled, found.disagree) == (1.0, 2, None, False)


def test_the_simulation_computes_what_the_product_computes():
    tables = np.random.default_rng(4).normal(size=(3, 4, 5))
    weights = simulated.path_weights(5)
    all_at_once = simulated.weighed(tables, weights)
    for i, table in enumerate(tables):
        common = pool(table)
        for j, weight in enumerate(weights):
            values = table @ weight
            spread = moderate(float(values.var(ddof=1)), 4, float((weight**2).sum()), common)
            error = np.sqrt(spread.variance / 4)
            expected = simulated.two_sided(values.mean() / error, spread.freedom)
            assert all_at_once.p[i, j] == pytest.approx(expected)
            assert all_at_once.means[i, j] == pytest.approx(values.mean())
            assert all_at_once.errors[i, j] == pytest.approx(error)


def test_the_simulation_decides_what_the_product_decides():
    tables = np.random.default_rng(6).normal(size=(40, 4, 5)) + np.array([0, 0, 3, 3, 4])
    weights = simulated.path_weights(5)
    for table, rejected in zip(tables, simulated.rejects(tables), strict=True):
        tests = [PValues(p_value(table, w, TESTED), p_value(table, w, 0.0), 4) for w in weights]
        found = adjusted(tests, simulated.sides(weights))
        assert [one <= 0.05 for one in found] == rejected.tolist()


def p_value(table: np.ndarray, weight: np.ndarray, times: float) -> float:
    values, squares = table @ weight, float((weight**2).sum())
    own = float(values.var(ddof=1))
    spread = moderate(own, len(values), squares, pool(table), times)
    error = np.sqrt(spread.variance / len(values))
    return float(simulated.two_sided(values.mean() / error, spread.freedom))


def test_the_common_noise_counts_more_in_a_test_and_not_at_all_in_the_one_beside_it():
    common = Pool(variance=2.0, freedom=8, arms=5, prior=2)
    found = [moderate(1.0, 3, 2.0, common, times) for times in (0.0, 1.0, TESTED)]
    assert [one.freedom for one in found] == [2, 4, 10]
    assert [one.variance for one in found] == [1.0, 2.5, 3.4]


def test_an_effect_has_to_be_one_by_its_own_noise_too():
    assert adjusted([PValues(0.001, 0.2, 3)]) == [0.2]
    assert adjusted([PValues(0.03, 0.001, 3), PValues(0.9, 0.9, 3)])[0] == 0.06


def test_comparisons_of_one_arm_share_the_error_of_its_noise_less_than_all_share_the_other():
    """Two steps beside each other move with the arm between; two that share no arm need not."""
    own = [PValues(0.0, 0.03, 4), PValues(0.0, 0.9, 4)]
    together = adjusted(own, [("a", "b"), ("b", "c")])[0]
    assert together == pytest.approx(0.03 * own_share(2, 2, 4))
    assert 0.03 < adjusted(own, [("a", "b"), ("c", "d")])[0] < together < 0.06


def test_the_more_seeds_the_more_of_the_error_two_noisy_arms_apart_are_taken_to_share():
    assert [round(float(own_share(1, 2, n)), 2) for n in (3, 8, 1000)] == [1.23, 1.5, 1.68]
    assert own_share(1, 9, 8) == own_share(1, 3, 8)


@pytest.mark.parametrize("noise", sorted(simulated.NOISES))
@pytest.mark.parametrize("n", [3, 5])
def test_a_false_effect_in_at_most_5_percent_of_studies_whatever_the_noise(noise, n):
    studies = 8000
    wrong = simulated.false_effects(simulated.NOISES[noise], n, studies)
    assert wrong <= simulated.sure(0.055, studies)


def test_two_sd_are_found_up_to_three_times_as_often_as_alone():
    """One real step of five arms, then all of them; alone, three seeds find .10 and .19."""
    for n, one, every in ((3, 0.295, 0.35), (4, 0.58, 0.665), (5, 0.795, 0.875)):
        assert simulated.power(2.0, n, 8000) >= one
        assert simulated.power(2.0, n, 8000, steps="all") >= every
    assert simulated.power(2.0, 3, 8000, alone=True) <= 0.12


@pytest.mark.parametrize("effect", [1.0, 1.5, 2.0, 3.0])
def test_the_seeds_that_are_said_to_decide_do_in_four_studies_of_five(effect):
    """By both tests, with the noise of five arms and the family's correction."""
    rule = Error(n=2, comparisons=7, prior=prior_freedom(5))
    n = seeds_to_decide(rule, effect)
    assert 0.78 <= simulated.power(effect, n, 8000) <= 0.93
    assert simulated.power(effect, int(0.8 * n), 8000) < 0.8  # and not many too many


@pytest.mark.parametrize("effect", [0.0, 0.3])
def test_so_do_those_that_are_said_to_show_that_it_is_surely_smaller_than_delta(effect):
    n = seeds_to_decide(Error(n=2), effect, 1.0)
    draws = np.random.default_rng(3).normal(effect, 1.0, (4000, n))
    spreads = [(spread_of(values), values.mean()) for values in draws]
    shown = [one.equivalence_p(mean, 1.0) <= 0.05 for one, mean in spreads]
    assert np.mean(shown) == pytest.approx(0.84, abs=0.05)


@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize("shape", simulated.SHAPES)
def test_a_recommendation_gains_and_its_interval_holds_although_it_was_chosen(shape, n):
    """Its own interval would not: as the best of several it looks better than it is."""
    found = simulated.recommendations(simulated.SHAPES[shape], n, 8000)
    assert found["without gain"] <= 0.01
    assert found["simultaneous"] >= 0.97 > found["alone"]
    assert found["too high"] > 0.2


@pytest.mark.parametrize("n", [3, 5, 8])
def test_a_moderated_interval_covers_where_arms_are_alike_and_less_for_a_noisy_one(n):
    found = simulated.moderated_coverage(n, 8000)
    assert 0.945 <= found["equal noise"] <= 0.97
    assert 0.87 <= found["noisy arm"] < 0.95 < found["other arms"]


@pytest.mark.parametrize(
    "noise", ["normal", "skewed", "accuracy of 450 rows", "one in ten diverges", 0, 2, 3]
)
@pytest.mark.parametrize("n", [3, 4, 8])
def test_false_effects_stay_as_rare_beside_large_ones_whichever_arm_is_noisy(noise, n):
    """Whatever else is real, and so large that it is found: the fewest share the error then."""
    drawn = simulated.noisier(noise) if isinstance(noise, int) else simulated.NOISES[noise]
    assert simulated.false_beside_effects(drawn, n, 8000) <= simulated.sure(0.055, 8000)


@pytest.mark.parametrize("arms", [(0, 2), (1, 3), (3, 4)])
@pytest.mark.parametrize("n", [3, 5, 8])
def test_two_noisy_arms_keep_it_too(arms, n):
    """They move comparisons apart: without a factor of their own 6 to 6.5 % at 5 and 8 seeds."""
    assert simulated.false_beside_effects(simulated.noisier(*arms), n, 40_000) <= 0.0575


@pytest.mark.parametrize(
    "family", ["path of 8 arms", "Shapley values of 3 factors", "leave one out of 4 stages"]
)
def test_families_of_other_sizes_and_of_more_than_two_arms_keep_it(family):
    weights = simulated.FAMILIES[family]
    for noise in ("normal", "skewed"):
        drawn = simulated.NOISES[noise]
        assert simulated.false_beside_effects(drawn, 4, 2000, weights=weights) <= 0.05
    noisy = simulated.false_beside_effects(simulated.noisier(0), 4, 4000, weights=weights)
    assert noisy <= simulated.sure(0.055, 4000)


def test_the_common_noise_alone_would_not_keep_that():
    assert simulated.false_beside_effects(simulated.noisier(2), 3, 4000, own=False) > 0.1


@pytest.mark.parametrize("spending", SPENDINGS)
def test_looks_keep_it_beside_large_effects_with_a_noisy_arm(spending):
    wrong = simulated.false_with_looks(simulated.noisier(2), (3, 5, 8), spending, 4000)
    assert wrong <= simulated.sure(0.055, 4000)
