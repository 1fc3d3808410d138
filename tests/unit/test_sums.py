"""What a run wrote is known again, and damage to it is never read as a result."""

from __future__ import annotations

import json

import pytest

from ablation.errors import UserError
from ablation.files import save_json
from ablation.study.run_metrics import load_run
from ablation.sums import changed_files, seal_is_broken, sealed, stamps_of, sums_of


@pytest.fixture
def run(tmp_path):
    """A finished run: metrics.json and the history beside it."""
    (tmp_path / "history.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    sections = {name: {} for name in ("environment", "data", "optimisation", "cost")}
    quality = {"final": {"eval_accuracy": 0.875}}
    record = {"schema_version": 1, "status": "completed", "quality": quality, **sections}
    sums = sums_of(tmp_path, [tmp_path / "history.jsonl"])
    save_json(sealed(record | {"sums": sums}), tmp_path / "metrics.json")
    return tmp_path


def test_a_whole_run_is_read(run):
    assert load_run(run / "metrics.json").quality.final == {"eval_accuracy": 0.875}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("metrics.json", "0.875", "0.975"), ("history.jsonl", "0.5", "0.6")],
)
def test_a_digit_that_changed_is_named_and_not_read(run, file, old, new):
    path = run / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=rf"are damaged(.|\n)*found:   {file}"):
        load_run(run / "metrics.json")


def test_a_run_of_an_earlier_version_has_no_sums_and_stays_valid(run):
    metrics = json.loads((run / "metrics.json").read_text())
    save_json({n: v for n, v in metrics.items() if n not in ("sums", "seal")}, run / "metrics.json")
    assert load_run(run / "metrics.json").status == "completed"


def test_a_seal_holds_however_the_record_is_written():
    record = sealed({"b": (1, 2), "a": {1: 0.1}})
    assert not seal_is_broken(json.loads(json.dumps(record, indent=2)))
    assert seal_is_broken({**record, "c": 1})


def test_a_large_file_is_read_again_only_when_it_was_touched(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    stamps = stamps_of(tmp_path, [path])
    path.write_bytes(b"abc")  # the same content at another time
    assert changed_files(tmp_path, stamps) == []
    path.write_bytes(b"abd")
    assert changed_files(tmp_path, stamps) == ["weights"]
    path.unlink()
    assert changed_files(tmp_path, stamps) == ["weights"]
