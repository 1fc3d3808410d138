"""What a run answered on each row: one file, whole, mapped, and refused where it is damaged."""

from __future__ import annotations

import numpy as np
import pytest

from ablation.data import outcomes as rows
from ablation.errors import UserError
from ablation.training.quality import quality_scores

LOGITS = np.log(np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.25, 0.25, 0.5]]))
LABELS = np.array([0, 0, 2])


def test_outcomes_are_in_the_order_of_the_source_and_say_what_was_answered():
    found = rows.answers(LOGITS, LABELS, np.array([7, 3, 5]))
    assert found["row"].tolist() == [3, 5, 7]
    assert found["label"].tolist() == [0, 2, 0]
    assert found["predicted"].tolist() == [1, 2, 0]
    assert found["probability"] == pytest.approx(np.array([0.3, 0.5, 0.7]))
    assert found["loss"] == pytest.approx(-np.log([0.3, 0.5, 0.7]))


def test_scores_can_be_computed_again_from_the_outcomes():
    found = rows.answers(LOGITS, LABELS, np.arange(3))
    scores = quality_scores(LOGITS, LABELS, np.array([3, 2, 1]))
    assert (found["label"] == found["predicted"]).mean() == scores["eval_accuracy"]
    assert found["loss"].mean() == pytest.approx(scores["eval_loss"])


def test_a_saved_file_is_read_back_without_loading_it(tmp_path):
    saved = rows.answers(LOGITS, LABELS, np.arange(3))
    rows.save_outcomes(saved, tmp_path)
    found = rows.load_outcomes(tmp_path)
    assert isinstance(found, np.memmap)
    assert (found == saved).all()
    assert [path.name for path in tmp_path.iterdir()] == [rows.OUTCOMES]


def test_a_run_that_kept_none_has_none(tmp_path):
    assert rows.load_outcomes(tmp_path) is None


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, damage):
    path = tmp_path / rows.OUTCOMES
    rows.save_outcomes(rows.answers(LOGITS, LABELS, np.arange(3)), tmp_path)
    if damage == "other":
        np.save(path, np.zeros(3))
    else:
        path.write_bytes(path.read_bytes()[:-8] if damage == "cut" else b"")
    with pytest.raises(UserError) as error:
        rows.load_outcomes(tmp_path)
    assert "delete" in str(error.value)
