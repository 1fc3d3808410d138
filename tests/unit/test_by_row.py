"""From what runs answered on each row to intervals on new rows, and for whom these hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic import STUDY, build_study

from ablation.data.outcomes import SCHEMA, save_outcomes
from ablation.evidence import by_row, twoway
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.fresh import estimate_confirmation
from ablation.evidence.metrics import collect
from ablation.study.grid import load_grid

ROWS = 400
COLUMN = "quality.selected.eval_accuracy"


@pytest.fixture
def made(tmp_path):
    """A study whose runs kept what they answered: arms differ on some rows whatever the seed."""
    found = build_study(tmp_path, seeds=(1, 2, 3, 4))
    write_outcomes(found)
    return found


def write_outcomes(found, rows_of=lambda variant, seed: np.arange(ROWS)) -> None:
    rng = np.random.default_rng(1)
    taste = {}
    for run in load_grid(found.grid).runs():
        taste.setdefault(run.variant, rng.normal(0, 1, ROWS))
        outcomes = np.zeros(ROWS, dtype=SCHEMA)
        outcomes["row"] = rows_of(run.variant, run.seed)
        outcomes["predicted"] = taste[run.variant] + rng.normal(0, 0.3, ROWS) > 0
        outcomes["loss"] = rng.exponential(1, ROWS)
        save_outcomes(outcomes, found.runs / run.variant / f"seed-{run.seed}")


def effects_of(found):
    grid = load_grid(found.grid)
    rows = by_row.load_by_row(grid, found.runs, "eval_accuracy")
    return estimate_effects(grid, collect(grid, found.runs), STUDY, rows)


def test_with_outcomes_intervals_hold_for_new_rows_and_stand_beside_those_on_these(made):
    effects = effects_of(made)
    assert (effects.scope.rows, effects.scope.size) == ("new_rows", ROWS)
    for one in effects.planned:
        assert one.precision.new_rows
        assert one.improvement.low < one.precision.low <= one.precision.high < one.improvement.high
        assert sum(one.precision.shares.values()) == pytest.approx(1)
        assert one.precision.shares["rows"] > 0.5  # that is how they were made
    plain = effects_of_without(made)
    assert effects.by_id["gap"].precision.low == pytest.approx(plain.by_id["gap"].improvement.low)
    arm, before = effects.arms[0].means["eval_accuracy"], plain.arms[0].means["eval_accuracy"]
    assert arm.high - arm.low > before.high - before.low


def test_shares_and_the_confirmation_hold_for_new_rows_too(made):
    """Seen: they used the seeds alone, and were too sure of other rows."""
    wide, narrow = (effects.by_id["stage:epochs"].share for effects in both(made))
    assert wide.high - wide.low > narrow.high - narrow.low
    grid = load_grid(made.grid)
    arms = [
        replace(next(arm for arm in grid.arms if arm.name == name), name=called)
        for name, called in (
            ("current", "current"),
            ("stage2-epochs", "recommended"),
            ("backup", "backup"),
        )
    ]
    fresh = replace(grid, arms=arms)
    runs, metric = collect(fresh, made.runs), STUDY["metric"]
    rows = by_row.load_by_row(fresh, made.runs, "eval_accuracy")
    sure, unsure = (estimate_confirmation(fresh, runs, metric, *own) for own in ((), (rows,)))
    for side in ("over_current", "over_backup"):
        here, there = getattr(sure, side), getattr(unsure, side)
        assert here.estimate == there.estimate and there.low < here.low < here.high < there.high


def both(found):
    return effects_of(found), effects_of_without(found)


def effects_of_without(found):
    grid = load_grid(found.grid)
    return estimate_effects(grid, collect(grid, found.runs), STUDY)


def test_a_claim_on_a_factor_of_the_metric_holds_for_new_rows_as_one_on_a_difference(made):
    """Seen: the ratio was judged over seeds alone, the difference over seeds and rows."""
    for entry in STUDY["claims"]["statements"]:
        if entry["id"] == "accuracy":
            factor = entry | {"id": "factor", "unit": "factor", "low": 1.1, "high": None}
    study = STUDY | {"claims": {"statements": [factor]}}
    grid = load_grid(made.grid)
    runs = collect(grid, made.runs)
    rows = by_row.load_by_row(grid, made.runs, "eval_accuracy")
    here, there = (
        estimate_effects(grid, runs, study, *own).claims.statements[0] for own in ((), (rows,))
    )
    means = [
        runs.loc[runs["arm"] == arm, COLUMN].mean() for arm in ("stage3-regularisation", "current")
    ]
    assert here.estimate == there.estimate == pytest.approx(means[0] / means[1])
    assert there.interval_low < here.interval_low < here.interval_high < there.interval_high
    total = estimate_effects(grid, runs, study, rows).by_id["total:stage3-regularisation"]
    apart = (total.improvement.high - total.improvement.low) / means[1]
    assert there.interval_high - there.interval_low == pytest.approx(apart, rel=0.2)


def test_runs_that_finished_before_are_about_these_rows(made):
    run = load_grid(made.grid).runs()[0]
    (made.runs / run.variant / f"seed-{run.seed}" / "outcomes.npy").unlink()
    scope = effects_of(made).scope
    assert (scope.rows, scope.reason) == ("these_rows", "no_outcomes")


def test_arms_that_were_tested_on_other_rows_are_about_these_rows(made):
    first = load_grid(made.grid).runs()[0].variant
    write_outcomes(made, lambda variant, seed: np.arange(ROWS) + (variant == first))
    scope = effects_of(made).scope
    assert (scope.rows, scope.reason) == ("these_rows", "other_rows")


def test_seeds_with_test_rows_of_their_own_are_about_new_splits(made):
    write_outcomes(made, lambda variant, seed: np.arange(ROWS) + ROWS // 2 * seed)
    effects = effects_of(made)
    assert (effects.scope.rows, effects.scope.size) == ("new_splits", ROWS)
    gap = effects.by_id["gap"].precision
    assert gap.new_rows and sum(gap.shares.values()) == pytest.approx(1)
    apart = by_row.load_by_row(load_grid(made.grid), made.runs, "eval_accuracy")
    squares = apart.squares({"backup": 1.0, "current": -1.0}, (1, 2, 3, 4), {4})[4]
    values = [apart.values["backup", s] - apart.values["current", s] for s in (1, 2, 3, 4)]
    expected = twoway.mean_squares_of_splits(
        np.stack(values), np.stack([np.arange(ROWS) + ROWS // 2 * s for s in range(4)])
    )
    assert vars(squares) == pytest.approx(vars(expected))


def test_an_arm_with_the_rows_of_other_seeds_has_no_mean_squares_against_one_of_these():
    rows = {("current", 1): np.array([0, 1]), ("a_a", 1): np.array([1, 2])}
    values = {key: np.zeros(2) for key in rows}
    found = by_row.ByRow(values=values, scope="new_splits", size=2, rows=rows)
    assert found.squares({"current": 1.0, "a_a": -1.0}, (1,), {1}) == {}


@pytest.mark.parametrize("metric", sorted(by_row.METRICS))
def test_the_mean_over_the_rows_is_the_metric(made, metric):
    grid = load_grid(made.grid)
    found = by_row.load_by_row(grid, made.runs, metric)
    values = found.values[grid.arms[0].name, 1]
    assert values.shape == (ROWS,)
    assert np.isfinite(values.astype(float).mean())


def test_a_metric_that_no_row_has_is_about_these_rows(made):
    found = by_row.load_by_row(load_grid(made.grid), made.runs, "eval_f1_rare")
    assert (found.scope, found.reason) == ("these_rows", "metric")
