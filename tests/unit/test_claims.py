from __future__ import annotations

import math

import pytest

from ablation.errors import UserError
from ablation.evidence.claims import (
    MULTIPLES,
    Impact,
    claim_distance,
    claim_interval,
    judge_claim,
    judge_impact,
    judge_impact_claim,
    level_of,
    levels_between,
    multiples_of,
)
from ablation.evidence.family import Evidence
from ablation.evidence.statistics import Estimate, is_equivalent, mean_estimate
from ablation.study.claim import Claim, accepted_range, read_claim
from ablation.study.power import Error

DELTA = 0.01


def effect(mean: float, half: float, half90: float | None = None, n: int = 5) -> Estimate:
    narrow = half * 0.77 if half90 is None else half90
    seeds = tuple(range(n))
    ends = mean - half, mean + half, mean - narrow, mean + narrow
    error = half / 2.776  # what Student's t has at 95 % with four degrees of freedom
    return Estimate(mean, error * math.sqrt(n), n, seeds, *ends, error=error, df=n - 1)


def judged(one: Estimate) -> Impact:
    """The impact of an effect on its own, without correction."""
    low, high = one.low, one.high
    evidence = Evidence(
        method="none",
        size=1,
        p=None,
        significant=low is not None and high is not None and (low > 0 or high < 0),
        equivalent=is_equivalent(one, DELTA),
        low=low,
        high=high,
        confidence=0.95,
        next_confidence=0.95,
        equivalence_p=None,
        estimate=one.estimate,
    )
    return judge_impact(one, DELTA, MULTIPLES, evidence, Error(n=one.n, alpha=0.05))


@pytest.mark.parametrize(
    ("size", "level"),
    [(0.0099, "NONE"), (0.01, "LOW"), (-0.0199, "LOW"), (0.02, "MEDIUM"), (-0.05, "HIGH")],
)
def test_levels_are_multiples_of_delta_whatever_the_sign(size, level):
    assert level_of(size, DELTA) == level


def test_an_interval_reaches_every_level_between_its_ends():
    assert levels_between(0.012, 0.06, DELTA) == ("LOW", "MEDIUM", "HIGH")
    assert levels_between(-0.03, 0.005, DELTA) == ("NONE", "LOW", "MEDIUM")
    assert levels_between(-0.06, -0.051, DELTA) == ("HIGH",)


def test_a_study_may_set_its_own_thresholds_if_they_rise():
    assert level_of(0.04, DELTA, multiples_of({"high": 3})) == "HIGH"
    with pytest.raises(UserError, match="rise from low to high"):
        multiples_of({"high": 1.5})


def test_an_effect_away_from_zero_has_a_level_and_a_direction():
    assert judged(effect(0.08, 0.02)).level == "HIGH"
    assert judged(effect(0.08, 0.02)).direction == "helps"
    assert judged(effect(-0.03, 0.01)).direction == "hurts"


def test_an_interval_with_zero_and_more_than_delta_is_undecided_and_says_how_many_seeds():
    impact = judged(effect(0.02, 0.04))
    assert (impact.level, impact.direction) == ("undecided", "unclear")
    assert impact.seeds_to_decide is not None and impact.seeds_to_decide.fewest > 5


def test_a_90_percent_interval_inside_delta_is_equivalence():
    impact = judged(effect(0.001, 0.011, 0.008))
    assert (impact.level, impact.equivalent) == ("NONE", True)


def test_a_small_effect_that_is_surely_not_zero_is_none():
    assert judged(effect(0.005, 0.004, 0.0039)).level == "NONE"


def test_one_seed_decides_nothing():
    impact = judged(mean_estimate([0.3], [1]))
    assert (impact.level, impact.seeds_to_decide) == ("undecided", None)


def test_equal_arms_have_no_impact():
    assert judged(mean_estimate([0.0, 0.0], [1, 2], identical=True)).level == "NONE"


@pytest.mark.parametrize(
    ("claimed", "mean", "half", "verdict"),
    [
        ("HIGH", 0.10, 0.02, "confirmed"),
        ("HIGH", 0.06, 0.03, "undecided"),
        ("LOW", 0.10, 0.02, "refuted"),
        ("HIGH", -0.10, 0.02, "refuted"),
        ("HIGH", 0.001, 0.008, "equivalent"),
        ("NONE", 0.001, 0.008, "confirmed"),
        ("MEDIUM", 0.02, 0.30, "undecided"),
        # a claim has a sign: harm of that size, or help below it, is not what was promised
        ("HIGH", -0.03, 0.04, "refuted"),
        ("MEDIUM", -0.03, 0.06, "undecided"),
        ("NONE", 0.08, 0.02, "refuted"),
        ("NONE", 0.008, 0.007, "undecided"),
    ],
)
def test_verdicts_on_claimed_levels(claimed, mean, half, verdict):
    assert judge_impact_claim(claimed, judged(effect(mean, half))) == verdict


def test_an_unknown_level_is_an_error():
    with pytest.raises(UserError, match="unknown level"):
        judge_impact_claim("HUGE", judged(effect(0.1, 0.01)))


def claim(unit: str = "absolute", low=0.05, high=0.15, beyond: str = "confirmed") -> Claim:
    return Claim("c", "eval_accuracy", "gap", unit, low, high, beyond)


@pytest.mark.parametrize(
    ("mean", "half", "verdict"),
    [
        (0.10, 0.03, "confirmed"),
        (0.30, 0.03, "confirmed"),
        (0.02, 0.02, "refuted"),
        (0.10, 0.08, "undecided"),
        (0.001, 0.008, "equivalent"),
    ],
)
def test_verdicts_on_a_promised_gain(mean, half, verdict):
    assert judge_claim(claim(), effect(mean, half), DELTA) == verdict


def test_a_cost_beyond_what_was_promised_is_not_confirmed():
    factor = claim("factor", 2.5, 3.5, "refuted")
    assert judge_claim(factor, effect(math.log(3.0), 0.1), None) == "confirmed"
    assert judge_claim(factor, effect(math.log(5.0), 0.1), None) == "refuted"


def test_a_promised_loss_is_open_downwards():
    assert accepted_range(claim(low=-0.15, high=-0.05)) == (-math.inf, -0.05)


def test_a_reduction_turns_the_interval_of_the_ratio_around():
    low, high = claim_interval(effect(math.log(0.5), math.log(2.0)), "relative_reduction")
    assert (low, high) == pytest.approx((0.0, 0.75))
    reduction = claim("relative_reduction", 0.5, 0.7)
    assert judge_claim(reduction, effect(math.log(0.4), 0.1), None) == "confirmed"
    assert judge_claim(reduction, effect(math.log(1.2), 0.1), None) == "refuted"


def test_without_an_interval_a_claim_is_undecided():
    assert judge_claim(claim(), mean_estimate([0.1], [1]), DELTA) == "undecided"


def test_the_distance_to_decide_is_to_the_nearest_end_that_counts():
    assert claim_distance(claim(), effect(0.12, 0.1)) == pytest.approx(0.07)
    half = claim("relative_reduction", 0.5, 0.7)
    assert claim_distance(half, effect(math.log(0.6), 0.1)) == pytest.approx(math.log(0.6 / 0.5))


@pytest.mark.parametrize(
    "entry",
    [
        {"unit": "percent", "low": 1, "high": 2},
        {"low": 0.2, "high": 0.1},
        {},
        {"low": 1, "beyond": "maybe"},
    ],
)
def test_a_claim_that_cannot_be_judged_is_an_error(entry):
    with pytest.raises(UserError, match="claim x"):
        read_claim({"id": "x", "quantity": "eval_accuracy", "contrast": "gap", **entry})
