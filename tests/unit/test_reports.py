"""A second report of a study is a second look: it says so, and is judged by what is left."""

from __future__ import annotations

from dataclasses import replace

import pytest
import simulated
from synthetic import STUDY, build_study

from ablation.errors import UserError
from ablation.evidence.estimate import estimate_effects, sequential_plan
from ablation.evidence.family import Series, weigh, weigh_reports
from ablation.evidence.metrics import collect
from ablation.evidence.reports import (
    FIRST,
    Level,
    Report,
    Reports,
    history_of,
    load_reports,
    report_of,
    save_reports,
    share_of,
)
from ablation.study.grid import load_grid

OF_FOUR = Report(metric="eval_accuracy", seeds=(1, 2, 3, 4), looks=(), members=("a", "b"))
OF_EIGHT = replace(OF_FOUR, seeds=tuple(range(1, 9)))


def test_all_reports_together_have_a_tenth_more_error_than_the_first():
    assert sum(share_of(number) for number in range(1, 60)) == pytest.approx(1.1)


def test_a_report_of_the_same_seeds_is_the_same_and_others_count():
    reports = Reports().adding(OF_FOUR).adding(OF_FOUR)
    assert reports.reports == (OF_FOUR,) and reports.before(OF_FOUR) == ()
    assert reports.before(OF_EIGHT) == (OF_FOUR,)
    assert reports.adding(OF_EIGHT).before(OF_FOUR) == ()  # made again, it is the first still
    looks = replace(OF_EIGHT, looks=(4, 8))
    assert reports.before(looks) == (OF_FOUR,)
    assert Reports(reports=(looks,)).before(replace(looks, seeds=(1, 2, 3))) == ()
    assert reports.before(replace(OF_FOUR, metric="eval_loss")) == (OF_FOUR,)


def test_a_contrast_that_was_reported_counts_also_when_it_is_no_longer_asked_for():
    few = replace(OF_FOUR, members=("a",))
    assert Reports(reports=(OF_FOUR,)).dropped(few) == ("b",)
    values = dict(enumerate([1.0, 1.2, 0.8]))
    alone = weigh([Series(id="a", values=values, planned=True)], 0.1, level=Level(dropped=1))
    assert (alone["a"].size, alone["a"].confidence) == (2, pytest.approx(0.975))
    assert alone["a"].p_adjusted == pytest.approx(2 * alone["a"].p)


def test_what_the_first_report_decided_stays_and_what_it_left_open_is_judged_again():
    sure = Series(id="a", values=dict(enumerate([1.0, 1.01, 0.99, -1.0, 0.5, -2.0])), planned=True)
    open_ = Series(id="b", values=dict(enumerate([0.5, -0.5, 0.6, 0.7, 0.6, 0.5])), planned=True)
    later = Level(alpha=0.0025)
    found = weigh_reports([sure, open_], 0.1, [(("a", "b"), 3, FIRST)], later)
    assert found["a"].significant and found["a"].estimate == pytest.approx(1.0)
    assert found["b"].estimate == pytest.approx(0.4) and not found["b"].significant
    assert found["b"].confidence == pytest.approx(1 - 0.0025 / 2)


def test_seeds_added_after_a_report_are_told_and_judged_by_what_is_left(tmp_path):
    made = build_study(tmp_path, seeds=(1, 2, 3, 4))
    grid = load_grid(made.grid)
    runs = collect(grid, made.runs)
    now = report_of(grid, STUDY)
    before = Reports(reports=(replace(now, seeds=now.seeds[:3]),))
    effects = estimate_effects(grid, runs, STUDY, reports=before)
    assert (effects.family.report, effects.family.alpha) == (2, pytest.approx(0.0025))
    first = estimate_effects(grid, runs[runs["seed"] < 4], STUDY)
    steps = ("stage:epochs", "stage:lora_lr")
    for name in steps:  # decided by the first report, and not taken back by the second
        assert effects.by_id[name].evidence == first.by_id[name].evidence
    open_ = effects.by_id["stage:regularisation"].evidence
    assert open_.confidence == pytest.approx(1 - 0.0025 / 7)
    again = estimate_effects(grid, runs, STUDY, reports=before.adding(now))
    assert again == effects


def test_looks_declared_after_a_report_share_what_is_left(tmp_path):
    made = build_study(tmp_path, seeds=(1, 2, 3))
    grid = load_grid(made.grid)
    study = {**STUDY, "sequential": {"looks": [3, 5]}}
    history = history_of(grid, study, Reports(reports=(report_of(grid, STUDY),)))
    metric = estimate_effects(grid, collect(grid, made.runs), STUDY).metric
    assert sequential_plan(study, metric, 7, history).alpha == pytest.approx(0.0025)
    assert sequential_plan(study, metric, 7).alpha == pytest.approx(0.05)


def test_the_list_of_reports_is_read_back_and_a_damaged_one_is_told(tmp_path):
    path = tmp_path / "reports.json"
    assert load_reports(path) == Reports()
    save_reports(Reports(reports=(OF_FOUR,)), path)
    assert load_reports(path).reports == (OF_FOUR,)
    for text in ('{"schema_version": 1, "reports": [3]}', '{"schema_version": 2, "reports": []}'):
        path.write_text(text)
        with pytest.raises(UserError, match="list of the study's reports"):
            load_reports(path)


@pytest.mark.parametrize("noise", ["normal", "one arm 5x"])
def test_who_follows_the_report_sees_a_false_effect_in_at_most_5_percent_of_studies(noise):
    """Adding the seeds that each report asks for, until all is decided."""
    followed = simulated.following_advice(noise, 4, 1000)
    assert followed["corrected"] <= simulated.sure(0.055, 1000)
    assert followed["uncorrected"] > 1.3 * followed["corrected"]
