"""Broken inputs end in one message, and damaged results are named: some of tests/soak/inputs.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak.inputs import cases, damaged_records, damaged_results


@pytest.mark.parametrize(("kind", "every"), [("study", 37), ("configuration", 23), ("options", 1)])
def test_a_broken_input_is_refused_with_one_message_and_nothing_is_written(
    tmp_path: Path, kind: str, every: int
):
    seen = list(cases(kind, tmp_path, every))
    assert len(seen) > 3
    assert [one for one in seen if one.outcome != "refused"] == []


def test_no_damaged_file_of_a_run_is_read_as_good(tmp_path: Path):
    seen = list(damaged_results(tmp_path))
    assert len(seen) >= 50
    assert [one for one in seen if one.outcome != "refused"] == []


def test_no_damaged_record_of_a_study_is_read_as_good(tmp_path: Path):
    seen = list(damaged_records(tmp_path, every=5))
    assert len({one.name.split(":")[0] for one in seen}) >= 14
    assert [one for one in seen if one.outcome != "refused"] == []
