"""Scores of predictions against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ablation.training.quality import class_f1, frequency_groups, quality_scores

# Classes 0 0 1 1 2; predicted 0 1 1 1 0. Class 3 has no row.
LABELS = np.array([0, 0, 1, 1, 2])
LOGITS = np.log(
    np.array(
        [
            [0.70, 0.10, 0.10, 0.10],
            [0.20, 0.60, 0.10, 0.10],
            [0.10, 0.50, 0.20, 0.20],
            [0.25, 0.40, 0.25, 0.10],
            [0.50, 0.20, 0.10, 0.20],
        ]
    )
)
TRAIN_COUNTS = np.array([50, 30, 20, 5])


def test_f1_of_each_class():
    f1, support = class_f1(LOGITS.argmax(axis=1), LABELS, 4)
    # class 0: 1 hit of 2 predicted and 2 real; class 1: 2 hits of 3 predicted and 2 real
    assert f1 == pytest.approx([0.5, 0.8, 0.0, 0.0])
    assert support.tolist() == [2, 2, 1, 0]


def test_macro_f1_leaves_classes_without_rows_out():
    scores = quality_scores(LOGITS, LABELS, TRAIN_COUNTS)
    assert scores["eval_macro_f1"] == pytest.approx((0.5 + 0.8 + 0.0) / 3)
    assert scores["eval_weighted_f1"] == pytest.approx((2 * 0.5 + 2 * 0.8 + 1 * 0.0) / 5)
    assert scores["eval_accuracy"] == pytest.approx(3 / 5)


def test_loss_is_the_mean_negative_log_probability_of_the_label():
    expected = -np.log([0.70, 0.20, 0.50, 0.40, 0.10]).mean()
    assert quality_scores(LOGITS, LABELS, TRAIN_COUNTS)["eval_loss"] == pytest.approx(expected)
    shifted = quality_scores(LOGITS + 1000, LABELS, TRAIN_COUNTS)
    assert shifted["eval_loss"] == pytest.approx(expected)


def test_thirds_of_classes_go_by_training_rows():
    groups = frequency_groups(np.array([5, 50, 20, 30]))
    assert np.flatnonzero(groups["frequent"]).tolist() == [1, 3]
    assert np.flatnonzero(groups["middle"]).tolist() == [2]
    assert np.flatnonzero(groups["rare"]).tolist() == [0]


def test_a_group_without_rows_scores_none():
    scores = quality_scores(LOGITS, LABELS, TRAIN_COUNTS)
    assert scores["eval_f1_frequent"] == pytest.approx((0.5 + 0.8) / 2)
    assert scores["eval_f1_middle"] == 0.0
    assert scores["eval_f1_rare"] is None
