from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ablation.evidence.confirmation import confirm
from ablation.evidence.fresh import estimate_confirmation
from ablation.evidence.outcomes import long_table, quantities
from ablation.evidence.stability import Divergences, count_divergences, divergence_bound, judge
from ablation.evidence.statistics import mean_estimate
from ablation.study.grid import Arm, Grid
from ablation.training.summary import noise_around_trend, roughness_around_trend


def test_a_smooth_curve_is_not_rough_however_it_falls():
    steps = np.arange(200)
    assert roughness_around_trend(np.exp(-0.01 * steps)) == pytest.approx(0, abs=1e-9)
    assert roughness_around_trend(2 + 3 * np.exp(-0.02 * steps)) < 1e-3


@pytest.mark.parametrize("level", [0.1, 10.0])
def test_roughness_is_the_relative_noise_at_any_level(level):
    noise = np.random.default_rng(1).normal(0, 0.05, 4000)
    falling = level * (1 + 3 * np.exp(-np.arange(4000) / 500))
    assert roughness_around_trend(falling * np.exp(noise)) == pytest.approx(0.05, rel=0.05)


def test_roughness_needs_three_steps_and_skips_what_is_not_finite():
    assert roughness_around_trend([1.0, 2.0]) is None
    assert roughness_around_trend([1.0, float("nan"), 1.0, 1.0]) == 0.0


def test_a_larger_batch_is_not_steadier_for_its_smaller_noise():
    runs = pd.DataFrame(
        {
            "arm": ["current", "backup"],
            "seed": [1, 1],
            "status": ["completed", "completed"],
            "optimisation.loss_roughness": [0.2, 0.1],
            "environment.world_size": [1, 2],
            "environment.per_device_train_batch_size": [8, 8],
            "environment.gradient_accumulation_steps": [1, 2],
        }
    )
    roughness = quantities({"name": "eval_accuracy"})["loss_roughness"]
    current, backup = long_table(runs, roughness)["value"]
    assert current == pytest.approx(backup) == pytest.approx(0.2 * np.sqrt(8))


def ratio(*values: float):
    return mean_estimate(list(values), range(len(values)))


def lost(seeds: int, *diverged: tuple[str, int]) -> Divergences:
    ran = {(arm, seed) for arm in "ab" for seed in range(1, seeds + 1)}
    return count_divergences(("a", "b"), ran, set(diverged))


NONE = lost(6)
STEADY, ROUGH, OPEN = ratio(-0.7, -0.6, -0.8), ratio(0.7, 0.6, 0.8), ratio(-0.7, 0.6, 0.1)


def test_less_roughness_is_steadier_and_more_is_not():
    assert judge(STEADY, STEADY, NONE) == "steadier"
    assert judge(ROUGH, ROUGH, NONE) == "less_steady"
    assert judge(OPEN, OPEN, NONE) == "undecided"


def test_an_arm_that_diverges_more_is_never_called_steadier():
    once = lost(6, ("a", 1))
    assert (once.arm, once.reference, once.p) == (1, 0, 1.0)
    assert judge(STEADY, STEADY, once) == "undecided"


def test_divergence_on_every_seed_decides_alone():
    every = lost(6, *(("a", seed) for seed in range(1, 7)))
    assert every.p == pytest.approx(2 / 64)
    assert judge(STEADY, STEADY, every) == "less_steady"


def test_seeds_on_which_both_diverge_say_nothing():
    both = lost(2, ("a", 1), ("b", 1))
    assert (both.arm, both.reference, both.p) == (1, 1, None)


def test_none_of_four_diverged_leaves_half_of_all_possible():
    assert divergence_bound(4) == pytest.approx(0.527, abs=0.001)
    assert (1 - divergence_bound(4)) ** 4 == pytest.approx(0.05)


def test_the_same_computation_is_equally_steady():
    same = mean_estimate([0.0, 0.0], [1, 2], identical=True)
    assert judge(same, same, NONE) == "same"


def test_a_verdict_that_depends_on_the_scale_is_none():
    """Seen: backup against current +109 % in relation to the loss, -28.5 % by itself."""
    assert judge(ROUGH, STEADY, NONE) == judge(STEADY, OPEN, NONE) == "undecided"
    assert judge(STEADY, ratio(), NONE) == "undecided"  # runs of earlier versions


def test_the_noise_of_the_loss_itself_does_not_follow_its_level():
    rng = np.random.default_rng(4)
    noise = 0.05 * rng.normal(size=4000)
    assert noise_around_trend(2 + noise) == pytest.approx(0.05, rel=0.05)
    assert noise_around_trend(0.5 + noise) == pytest.approx(noise_around_trend(2 + noise))
    assert roughness_around_trend(0.5 + noise) > 3 * roughness_around_trend(2 + noise)


# --- Confirmation ------------------------------------------------------------------------------


def fresh(*values: float, identical: bool = False):
    return mean_estimate(list(values), range(len(values)), identical=identical)


BETTER, EQUAL = fresh(0.10, 0.11, 0.09, 0.10, 0.12), fresh(0.001, -0.001, 0.0, 0.002, -0.002)


def test_confirmed_is_better_than_current_and_no_worse_than_backup():
    assert confirm(BETTER, EQUAL, 0.01) == ("confirmed", "beats_current_and_keeps_up")


def test_a_recommendation_that_is_the_backup_needs_only_to_beat_current():
    same = fresh(0.0, 0.0, 0.0, identical=True)
    assert confirm(BETTER, same, 0.01, is_backup=True) == ("confirmed", "beats_current")


@pytest.mark.parametrize(
    ("over_current", "over_backup", "status", "reason"),
    [
        (fresh(-0.1, -0.11, -0.09), EQUAL, "refuted", "not_better_than_current"),
        (BETTER, fresh(-0.1, -0.11, -0.09), "refuted", "worse_than_backup"),
        (fresh(0.1, -0.1, 0.05), EQUAL, "undecided", "better_than_current_open"),
        (BETTER, fresh(0.1, -0.1, 0.05), "undecided", "as_good_as_backup_open"),
        (fresh(0.1), fresh(0.1), "undecided", "no_interval"),
    ],
)
def test_what_is_not_confirmed_says_why(over_current, over_backup, status, reason):
    assert confirm(over_current, over_backup, 0.01) == (status, reason)


def test_a_confirmation_is_estimated_from_its_own_grid_and_runs():
    names = ("current", "recommended", "backup")
    run = {"lora.r": 8, "learning_rate": 1e-3}
    arms = [
        Arm(name, None, (), {**run, "num_train_epochs": epochs}, stages=("epochs",))
        for epochs, name in enumerate(names, start=1)
    ]
    levels = {"current": 0.5, "recommended": 0.61, "backup": 0.6}
    noise = {"current": 1, "recommended": 2, "backup": 3}
    rows = [
        {
            "arm": name,
            "seed": seed,
            "status": "completed",
            "quality.selected.eval_accuracy": levels[name] + 0.001 * (seed * noise[name] % 5),
        }
        for name in names
        for seed in (101, 102, 103, 104, 105)
    ]
    grid = Grid("s", arms, [101, 102, 103, 104, 105])
    metric = {"name": "eval_accuracy", "higher_is_better": True, "delta": 0.02}
    found = estimate_confirmation(grid, pd.DataFrame(rows), metric)
    assert (found.status, found.few_seeds) == ("confirmed", False)
    assert found.over_current.estimate == pytest.approx(0.11, abs=0.005)
    assert found.stages == ("epochs",)


def test_nothing_recommended_is_nothing_to_confirm():
    found = estimate_confirmation(Grid("s", [], [9]), None, {"name": "eval_accuracy"})
    assert found.status == "nothing_to_confirm"
