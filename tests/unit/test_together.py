"""How many comparisons can be without effect together, counted by hand."""

from __future__ import annotations

import pytest

from ablation.evidence.inference import holm
from ablation.evidence.together import most_true

TRIANGLE = [("a", "b"), ("b", "c"), ("a", "c")]
PATH = [("0", "1"), ("1", "2"), ("2", "3"), ("0", "3")]


def test_of_three_arms_that_are_not_all_equal_at_most_two_are():
    assert most_true(TRIANGLE, []) == 3
    assert most_true(TRIANGLE, [0]) == 1
    assert most_true(TRIANGLE, [0, 1]) == 1
    assert most_true(TRIANGLE, [0, 1, 2]) == 0


def test_steps_and_their_gap_cannot_differ_in_one_place_alone():
    assert most_true(PATH, [3]) == 2  # a gap that is not zero has a step that is not
    assert most_true(PATH, [1]) == 2  # all other steps, or the gap and one of them


def test_what_is_no_pair_of_arms_can_always_be_without_effect():
    assert most_true([*TRIANGLE, None, None], [0]) == 3
    assert most_true([*TRIANGLE, None, None], [0, 3]) == 2
    assert most_true([None, None], [1]) == 1


def test_arms_beyond_the_first_eight_are_counted_one_by_one():
    far = [(str(i), str(i + 1)) for i in range(12)]
    assert most_true(far, []) == 12
    assert most_true([*far, ("0", "11")], [0]) == 12


def test_the_step_down_counts_what_can_hold_together():
    p = [0.01, 0.02, 0.04]
    assert holm(p) == pytest.approx([0.03, 0.04, 0.04])
    assert holm(p, TRIANGLE) == pytest.approx([0.03, 0.03, 0.04])
    assert holm(p, [None] * 3) == holm(p)
