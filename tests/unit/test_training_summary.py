"""Numbers that sum up a history."""

from __future__ import annotations

import math

import pytest

from ablation.training.summary import summarize_history


def line(step: int, loss: float | None, grad_norm: float | None, rate: float) -> dict:
    return {"step": step, "loss": loss, "grad_norm": grad_norm, "learning_rate": rate}


HISTORY = [line(1, 2.0, 0.5, 0.0), line(2, 1.0, 1.5, 2e-5), line(3, 1.5, 2.5, 1e-5)]


def test_clipping_is_counted_from_norms_before_it():
    summary = summarize_history(HISTORY, 1.0, 8)
    assert summary["clipped_share"] == pytest.approx(2 / 3)
    assert summary["grad_norm"]["median"] == 1.5
    assert summarize_history(HISTORY, 0.0, 8)["clipped_share"] == 0.0


def test_learning_rates_are_those_of_the_steps():
    rates = summarize_history(HISTORY, 1.0, 8)["learning_rate"]
    assert rates == pytest.approx({"first": 0.0, "peak": 2e-5, "last": 1e-5, "sum": 3e-5})


def test_the_summary_has_first_and_last_loss_and_the_noise_around_the_trend():
    summary = summarize_history(HISTORY, 1.0, 8)
    second_difference = math.log(1.5) - 2 * math.log(1.0) + math.log(2.0)
    assert summary["loss_roughness"] == pytest.approx(second_difference / math.sqrt(6))
    assert summary["initial_loss"] == 2.0
    assert summary["final_loss"] == 1.5
    assert summary["ln_num_labels"] == pytest.approx(math.log(8))


def test_a_diverged_history_gives_finite_numbers_only():
    summary = summarize_history([line(1, None, None, 0.1)], 1.0, 8)
    assert summary["final_loss"] is None
    assert summary["grad_norm"]["max"] is None
    assert summary["steps"] == 1
