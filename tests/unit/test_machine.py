"""What a run may have of the machine."""

from __future__ import annotations

import json

import pytest

from ablation.errors import UserError
from ablation.machine.gpus import (
    Gpu,
    devices_in_use,
    refuse_too_many,
    told_devices,
    visible_gpus,
)


@pytest.mark.parametrize(
    ("named", "count"),
    [("", 0), ("-1", 0), ("0", 1), ("0,3", 2), ("GPU-1a, GPU-2b", 2), ("2,-1,3", 1)],
)
def test_visible_gpus_are_those_the_environment_names(named, count):
    assert len(visible_gpus({"CUDA_VISIBLE_DEVICES": named}, "")) == count


def test_numbers_are_taken_at_their_word():
    assert told_devices(2) == told_devices("2") == 2
    assert told_devices("auto") is None and told_devices("source") is None


@pytest.mark.parametrize("option", ["all", 0, -1, None, True])
def test_anything_else_is_refused(option):
    with pytest.raises(UserError, match="devices_per_run"):
        told_devices(option)


def test_more_gpus_than_there_are_are_refused():
    refuse_too_many(2, [Gpu("0"), Gpu("1")])
    refuse_too_many(4, [])  # processes on the CPU
    with pytest.raises(UserError, match="write:   devices_per_run: 1"):
        refuse_too_many(2, [Gpu("0")])


def test_runs_that_have_begun_say_how_many_devices_they_use(tmp_path):
    assert devices_in_use(tmp_path, ["a", "b"]) is None
    folder = tmp_path / "b/seed-1"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{")
    assert devices_in_use(tmp_path, ["a", "b"]) is None
    (folder / "config.json").write_text(json.dumps({"batch": {"world_size": 4}}))
    assert devices_in_use(tmp_path, ["a", "b"]) == 4
