"""What attempts at runs took is kept, whoever ends them, and says how often a run should save."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ablation.machine import attempts
from ablation.machine.attempts import all_attempts, begin_attempt, end_attempt, read_attempts
from ablation.report.method import useful_lines
from ablation.training.interval import (
    FIRST_INTERVAL,
    SECONDS_BEFORE_FAILURE,
    Pace,
    best_interval,
    seconds_between_failures,
)
from ablation.words.catalogue import Messages, load_catalogue


@pytest.fixture
def clock(monkeypatch):
    """A function that sets the time."""

    def at(seconds: float) -> None:
        monkeypatch.setattr(attempts.time, "time", lambda: seconds)

    return at


def test_attempts_add_up_until_a_run_is_done(tmp_path, clock):
    run = tmp_path / "arm/seed-1"
    clock(100)
    begin_attempt(run)
    clock(130)
    end_attempt(run)
    assert (read_attempts(run).seconds, read_attempts(run).failed) == (30, 1)
    begin_attempt(run)
    clock(150)
    (run / "metrics.json").touch()
    end_attempt(run)
    assert (read_attempts(run).seconds, read_attempts(run).failed) == (50, 1)
    assert all_attempts(tmp_path) == read_attempts(run)
    begin_attempt(run)  # it is trained again: what is past is no longer of interest
    assert read_attempts(run).seconds == 0


def test_an_attempt_whose_supervisor_was_killed_ended_with_its_last_step(tmp_path, clock):
    clock(100)
    begin_attempt(tmp_path)
    (tmp_path / "history.jsonl").touch()
    os.utime(tmp_path / "history.jsonl", (170, 170))
    clock(900)
    begin_attempt(tmp_path)
    assert (read_attempts(tmp_path).seconds, read_attempts(tmp_path).failed) == (70, 1)


def test_a_damaged_record_is_none(tmp_path):
    (tmp_path / attempts.FILE).write_text("[1")
    assert read_attempts(tmp_path) == attempts.Attempts()


def wasted(interval: float, save: float, failures: float) -> float:
    """Share of the time lost with this interval (Daly 2006, equation 20, without restarts)."""
    return (np.exp((interval + save) / failures) - 1) * failures / interval


@pytest.mark.parametrize(("save", "failures"), [(0.5, 86400), (30, 86400), (60, 3600), (300, 3600)])
def test_no_other_interval_between_checkpoints_loses_clearly_less(save, failures):
    every = np.geomspace(1, failures, 5000)
    best = min(wasted(interval, save, failures) for interval in every)
    assert wasted(best_interval(save, failures), save, failures) <= best * 1.001


def test_saves_that_take_longer_than_a_run_lives_are_made_as_often_as_it_fails():
    assert best_interval(50, 10) == 10


def test_failures_make_a_run_save_more_often():
    assert seconds_between_failures(0, 0) == SECONDS_BEFORE_FAILURE
    often = seconds_between_failures(3600, 9)
    assert often == (SECONDS_BEFORE_FAILURE + 3600) / 10
    assert Pace(between_failures=often).interval(1) < Pace().interval(1)
    assert Pace().interval(None) == FIRST_INTERVAL
    assert Pace(minutes=2).interval(None) == Pace(minutes=2).interval(50) == 120


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_report_says_what_share_of_the_time_trained_steps_that_count(language):
    rows = {
        "variant": ["a", "b", "c"],
        "seed": [1, 1, 1],
        "cost.train_runtime": [3600.0, 1800.0, None],
        "cost.wall_seconds": [5400.0, 3600.0, None],
        "cost.spent_seconds": [7200.0, 3600.0, None],
        "environment.world_size": [2, 1, None],
    }
    messages = Messages(language, load_catalogue("report", language))
    sources = SimpleNamespace(messages=messages, every_run=pd.DataFrame(rows))
    (line,) = useful_lines(sources)
    for part in ("5", "50%", "20%"):  # (2 * 2 + 1) hours, 2.5 of them trained, 2 * 0.5 lost
        assert f" {part}" in line
    whole = pd.DataFrame(rows | {"cost.spent_seconds": [5400.0002, 3600.0001, None]})
    (line,) = useful_lines(SimpleNamespace(messages=messages, every_run=whole))
    assert " 0%" in line and "<" not in line
    without = SimpleNamespace(messages=messages, every_run=pd.DataFrame(rows)[[]])
    assert useful_lines(without) == []
