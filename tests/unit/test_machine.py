"""How many devices a run gets."""

from __future__ import annotations

import pytest

from ablation.errors import UserError
from ablation.runs.machine import devices_of_run, visible_gpus

SOURCE = {
    "world_size": 4,
    "per_device_train_batch_size": 32,
    "gradient_accumulation_steps": 1,
}


@pytest.mark.parametrize(
    ("named", "count"), [("", 0), ("-1", 0), ("0", 1), ("0,3", 2), ("GPU-1a, GPU-2b", 2)]
)
def test_visible_gpus_are_those_the_environment_names(named, count):
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": named}) == count


@pytest.mark.parametrize(("gpus", "devices"), [(0, 1), (1, 1), (2, 2), (4, 4), (8, 4)])
def test_auto_takes_what_there_is_up_to_the_source(gpus, devices):
    assert devices_of_run("auto", SOURCE, gpus) == devices


def test_auto_takes_a_number_that_divides_the_effective_batch():
    assert devices_of_run("auto", SOURCE, 3) == 2


def test_source_and_numbers_are_taken_at_their_word():
    assert devices_of_run("source", SOURCE, 0) == 4
    assert devices_of_run(2, SOURCE, 0) == 2


@pytest.mark.parametrize("option", ["all", 0, -1, None, True])
def test_anything_else_is_refused(option):
    with pytest.raises(UserError, match="devices_per_run"):
        devices_of_run(option, SOURCE, 4)
