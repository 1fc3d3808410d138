"""What axolotl, LLaMA-Factory and TRL themselves make of small files, kept by tests/reference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablation.comparison.resolve import resolve_file

KEPT = json.loads((Path(__file__).parents[1] / "reference/trainers.json").read_text())
NAMES = [f"{n}-{case['trainer']}" for n, case in enumerate(KEPT)]


def test_each_trainer_is_kept_with_files_that_it_reads_and_files_that_it_refuses():
    for trainer in ("axolotl", "llama_factory", "trl"):
        cases = [case for case in KEPT if case["trainer"] == trainer]
        assert len(cases) >= 20
        assert {case["values"] is None for case in cases} == {True, False}


@pytest.mark.parametrize("case", KEPT, ids=NAMES)
def test_a_file_means_what_its_trainer_makes_of_it(tmp_path, case):
    file = tmp_path / "file.yml"
    file.write_text(case["text"])
    side = resolve_file(file, {}, case["trainer"])
    refused = any(r.kind in ("library", "value") for r in side.refusals)
    refused |= any(stranger.refused for stranger in side.strangers)
    assert refused == (case["values"] is None)
    for name, value in (case["values"] or {}).items():
        if value is not None:  # null is left to a library below the trainer
            assert side.settings[name].value == value, name
