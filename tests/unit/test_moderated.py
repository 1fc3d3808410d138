"""Variances shared by the arms of a study; the figures of docs/statistics.md in small."""

from __future__ import annotations

import numpy as np
import pytest
import simulated

from ablation.evidence.inference import holm
from ablation.evidence.moderated import Pool, moderate, pool
from ablation.study.power import prior_freedom

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
    assert [prior_freedom(arms) for arms in (2, 3, 4, 5, 9)] == [0, 1, 1.5, 2.25, 2.25]


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
    p = simulated.weighed(tables, weights).p
    for row, rejected in zip(p, simulated.holm_rejects(p), strict=True):
        adjusted = holm(row.tolist(), simulated.sides(weights))
        assert [one <= 0.05 for one in adjusted] == rejected.tolist()


@pytest.mark.parametrize("noise", sorted(simulated.NOISES))
@pytest.mark.parametrize("n", [3, 5])
def test_a_false_effect_in_at_most_5_percent_of_studies_whatever_the_noise(noise, n):
    studies = 8000
    wrong = simulated.false_effects(simulated.NOISES[noise], n, studies)
    assert wrong <= simulated.sure(0.055, studies)


def test_two_sd_are_found_with_three_to_five_seeds_twice_as_often_as_alone():
    for n, least in ((3, 0.32), (4, 0.58), (5, 0.78)):
        assert simulated.power(2.0, n, 8000) >= least
    assert simulated.power(2.0, 3, 8000, alone=True) <= 0.15


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


def test_a_noisy_arm_beside_large_effects_costs_error_at_few_seeds():
    """What docs/statistics.md warns of: the limit holds where nothing has an effect."""
    noise = simulated.NOISES["one arm 5x"]
    assert simulated.false_effects(noise, 3, 8000, real=(1, 4)) > 0.055
    assert simulated.false_effects(simulated.NOISES["normal"], 3, 8000, real=(1, 4)) <= 0.05
