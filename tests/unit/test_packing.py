"""How runs share the devices of a machine."""

from __future__ import annotations

import pytest

from ablation.settings.architecture import read_architecture
from ablation.study.forecast import pack
from ablation.study.forecast_text import load_texts, packing_lines
from ablation.study.grid import expand
from ablation.study.load import load_study
from ablation.study.packing import (
    CPU,
    EFFICIENCY,
    GPU,
    Machine,
    choose_way,
    device_memory,
    find_ways,
    makespan,
    rows_of,
)
from ablation.training.intent import batch_of


@pytest.fixture
def study(account_tax):
    return load_study(account_tax / "study.yaml")


@pytest.fixture
def arms(study):
    return [arm.settings for arm in expand(study).arms]


@pytest.fixture
def architecture(study):
    return read_architecture(study.options["model"]["architecture"])


BOX = Machine(GPU, 4, 80 * 10**9)


def test_runs_start_in_turn_where_there_is_room():
    assert makespan([3, 1, 1, 1], devices=1, at_once=2) == 3
    assert makespan([1, 1, 1, 3], devices=1, at_once=2) == 4
    assert makespan([3, 1, 1, 1], devices=2, at_once=1) == pytest.approx(6 / (2 * EFFICIENCY))


def test_many_equal_runs_go_one_on_each_device_and_a_single_one_over_all(arms, architecture):
    many = find_ways([1.0] * 40, arms, BOX, architecture, 100)
    assert [(way.devices, way.at_once) for way in many] == [(1, 4), (2, 2), (4, 1)]
    assert choose_way(many, BOX, None)[0].devices == 1
    assert many[0].length == 10 and many[2].length == pytest.approx(10 / EFFICIENCY)
    single = find_ways([1.0], arms, BOX, architecture, 100)
    assert choose_way(single, BOX, None)[0].devices == 4


def test_every_way_keeps_the_effective_batch_of_every_arm(arms, architecture):
    for way in find_ways([1.0], arms, Machine(GPU, 8, None), architecture, 100):
        for settings in arms:
            assert batch_of(settings, way.devices).rows == rows_of(settings)


def test_a_number_that_splits_some_batch_is_no_way(arms, architecture):
    odd = {**arms[0], "per_device_train_batch_size": 6, "gradient_accumulation_steps": 1}
    odd["world_size"] = 3
    found = find_ways([1.0], [odd, *arms], BOX, architecture, 100)
    assert [way.devices for way in found] == [1, 2]


def test_what_does_not_fit_or_is_not_known_is_as_the_source_has_it(arms, architecture):
    small = Machine(GPU, 4, 2 * 10**9)
    found = find_ways([1.0] * 40, arms, small, architecture, 100)
    assert not any(way.fits for way in found)
    assert choose_way(found, small, None)[0].devices == 4
    assert choose_way(found, small, None)[1] == "too_large"
    unknown = Machine(GPU, 4, None)
    way, reason = choose_way(find_ways([1.0] * 40, arms, unknown, architecture, 100), unknown, None)
    assert (way.devices, reason) == (4, "memory_not_known")


def test_what_has_begun_goes_on_with_as_many_devices(arms, architecture):
    found = find_ways([1.0] * 40, arms, BOX, architecture, 100)
    assert [way.devices for way in found if choose_way(found, BOX, 2)[0] is way] == [2]
    assert choose_way(found, BOX, 3)[0].devices == 1


def test_the_largest_arm_decides_what_a_device_must_hold(arms, architecture):
    each = [device_memory(architecture, [settings], 1, 100) for settings in arms]
    assert device_memory(architecture, arms, 1, 100) == max(each)
    assert device_memory(None, arms, 1, 100) is None


def test_without_a_gpu_runs_of_one_process_share_the_cores(arms):
    machine = Machine(CPU, 4)
    found = find_ways([1.0] * 8, arms, machine, None, None)
    assert (found[0].devices, found[0].at_once, found[0].length) == (1, 4, 2.0)
    assert choose_way(found, machine, None)[0].devices == 1


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("machine", [BOX, Machine(GPU, 2), Machine(CPU, 2), Machine(CPU, 1)])
def test_the_plan_tells_both_makespans(study, machine, language):
    said = pack(study, expand(study), machine)
    text = "\n".join(packing_lines(said, load_texts(language)))
    assert "{" not in text and text.count(":") >= len(said.ways)
    assert sum(way.devices == said.chosen for way in said.ways) == 1
