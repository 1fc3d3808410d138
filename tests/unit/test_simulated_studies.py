"""Simulated studies whose truth is known; benchmarks/simulate_studies.py prints many more."""

from __future__ import annotations

import numpy as np
import pytest
import simulated
from simulated import Plan, sure, t_interval

from ablation.evidence import sequential
from ablation.study import power

SEEDS = (3, 5, 8, 12)


@pytest.mark.parametrize("n", SEEDS)
def test_95_percent_intervals_cover_93_to_97_percent(n):
    draws = np.random.default_rng(n).normal(0.4, 1.0, size=(4000, n))
    covered = [low <= 0.4 <= high for low, high in map(t_interval, draws)]
    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize(("n", "studies"), [(3, 2000), (5, 2000), (8, 1500)])
def test_seven_stages_that_do_nothing_are_called_effects_in_5_percent_of_studies(n, studies):
    wrong = 0
    for differences in simulated.simulate(Plan([0.0] * 7, n, studies, seed=n)):
        found = simulated.weigh(differences)
        wrong += any(evidence.significant for _, evidence in found.values())
    assert wrong / studies <= sure(0.05, studies)


@pytest.mark.parametrize("spending", power.SPENDINGS)
def test_looking_again_and_again_keeps_the_error(spending):
    studies, wrong = 1500, 0
    plan = sequential.LookPlan((3, 5, 8), spending=spending, families=8)
    for differences in simulated.simulate(Plan([0.0] * 7, 8, studies, seed=31)):
        found = [sequential.decide(column, plan).status for column in differences.T]
        wrong += any(status in (sequential.SUPERIOR, sequential.INFERIOR) for status in found)
    assert wrong / studies <= sure(0.05, studies)


def test_the_repeated_intervals_cover_whenever_one_stops():
    plan, missed, studies = sequential.LookPlan((3, 5, 8), spending=power.POCOCK), 0, 1500
    for values in np.random.default_rng(7).normal(0.8, 1, size=(studies, 8)):
        stopped = sequential.decide(values, plan).looks[-1]
        missed += not stopped.low <= 0.8 <= stopped.high
    assert missed / studies <= sure(0.05, studies)


def test_an_effect_of_delta_is_called_equivalent_in_5_percent_of_studies_over_all_looks():
    plan, wrong, studies = sequential.LookPlan((3, 5, 8), delta=3.0), 0, 1500
    for values in np.random.default_rng(8).normal(3.0, 1, size=(studies, 8)):
        looks = [sequential.latest_look(values[:n], plan) for n in plan.looks]
        wrong += any(look.low90 > -3.0 and look.high90 < 3.0 for look in looks)
    assert wrong / studies <= sure(0.05, studies)


def test_a_single_cause_among_seven_stages_is_ranked_first_and_confirmed():
    studies, first, confirmed, false = 1000, 0, 0, 0
    for differences in simulated.simulate(Plan([0, 0, 3, 0, 0, 0, 0], 5, studies, seed=2)):
        found = simulated.impacts(differences)
        first += int(np.abs(differences[:, :7].mean(axis=0)).argmax() == 2)
        confirmed += found["stage:3"].direction == "helps"
        others = [found[f"stage:{number}"] for number in (1, 2, 4, 5, 6, 7)]
        false += any(impact.direction != "unclear" for impact in others)
    assert first / studies >= 0.95
    assert confirmed / studies >= 0.80
    assert false / studies <= sure(0.05, studies)


@pytest.mark.parametrize(
    ("effects", "delta", "share"),
    # Where six of seven do nothing, each must be shown to be smaller than delta: that is corrected
    # over all of them, and takes more seeds than it did when it was not.
    [([3.0] * 7, 0.5, 0.70), ([5.0] * 7, 0.5, 0.70), ([0, 0, 3, 0, 0, 0, 0], 2.0, 0.80)],
    ids=["all 3 SD", "all 5 SD", "one 3 SD"],
)
def test_the_default_looks_save_runs_at_large_effects_with_the_same_verdicts(effects, delta, share):
    plan = sequential.LookPlan(power.LOOKS, delta=delta, families=8)
    plans = Plan(effects, power.LOOKS[-1], 300, seed=3)
    found = [simulated.compare_looks(study, plan) for study in simulated.simulate(plans)]
    assert np.mean([one.statuses == one.fixed for one in found]) >= 0.93
    assert np.mean([one.runs for one in found]) <= share
