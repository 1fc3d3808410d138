"""Each planned curve equals what the installed scheduler class does, step by step."""

from __future__ import annotations

import numpy as np
import pytest

from ablation.errors import UserError
from ablation.settings.schedules import (
    effective_batch,
    learning_rates,
    steps_per_epoch,
    total_steps,
)

BASE = 1e-3
TOTAL = 40


def settings(name: str, warmup: float = 0.1, **kwargs: object) -> dict[str, object]:
    return {
        "learning_rate": BASE,
        "lr_scheduler_type": name,
        "lr_scheduler_kwargs": kwargs,
        "warmup_steps": warmup,
    }


def dummy_optimizer():
    torch = pytest.importorskip("torch")
    return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=BASE)


def stepped(optimizer, scheduler, steps: int = TOTAL) -> np.ndarray:
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return np.array(rates)


HF_CASES = [
    ("linear", 0.1, {}),
    ("linear", 7, {}),
    ("linear", 0, {}),
    ("cosine", 0.1, {}),
    ("cosine", 5, {"num_cycles": 1.5}),
    ("cosine_with_restarts", 0.1, {"num_cycles": 3}),
    ("polynomial", 0.1, {"lr_end": 1e-5, "power": 2.0}),
    ("constant", 0.1, {}),
    ("constant_with_warmup", 0.2, {}),
    ("inverse_sqrt", 0.1, {}),
    ("inverse_sqrt", 0, {"timescale": 20}),
    ("cosine_with_min_lr", 0.1, {"min_lr": 1e-4}),
    ("cosine_with_min_lr", 0.1, {"min_lr_rate": 0.2}),
    ("warmup_stable_decay", 0.1, {"num_decay_steps": 10, "min_lr_ratio": 0.1}),
    ("warmup_stable_decay", 4, {"num_decay_steps": 9, "decay_type": "1-sqrt"}),
]


@pytest.mark.parametrize(("name", "warmup", "kwargs"), HF_CASES)
def test_a_transformers_schedule_is_what_its_scheduler_steps_through(name, warmup, kwargs):
    transformers = pytest.importorskip("transformers")
    optimizer = dummy_optimizer()
    steps = int(warmup) if warmup >= 1 else int(np.ceil(TOTAL * warmup))
    scheduler = transformers.get_scheduler(
        name, optimizer, steps, TOTAL, scheduler_specific_kwargs=dict(kwargs)
    )
    planned = learning_rates(settings(name, warmup, **kwargs), TOTAL)
    np.testing.assert_allclose(planned, stepped(optimizer, scheduler), rtol=1e-12, atol=1e-18)


DEEPSPEED_CASES = [
    ("WarmupLR", {"warmup_num_steps": 5}),
    ("WarmupLR", {"warmup_num_steps": 5, "warmup_type": "linear", "warmup_min_lr": 1e-5}),
    ("WarmupDecayLR", {"warmup_num_steps": 8, "total_num_steps": 40, "warmup_max_lr": 2e-3}),
    ("WarmupDecayLR", {"warmup_num_steps": 1, "total_num_steps": 30, "warmup_type": "linear"}),
    (
        "WarmupCosineLR",
        {
            "warmup_num_steps": 4,
            "total_num_steps": 40,
            "warmup_min_ratio": 0.1,
            "cos_min_ratio": 0.025,
            "warmup_type": "linear",
        },
    ),
    ("WarmupCosineLR", {"warmup_num_steps": 6, "total_num_steps": 25}),
    (
        "OneCycle",
        {
            "cycle_min_lr": 1e-5,
            "cycle_max_lr": 3e-4,
            "cycle_first_step_size": 10,
            "cycle_second_step_size": 15,
            "decay_step_size": 2,
            "decay_lr_rate": 0.05,
        },
    ),
    (
        "OneCycle",
        {
            "cycle_min_lr": 1e-5,
            "cycle_max_lr": 3e-4,
            "cycle_first_step_size": 12,
            "cycle_first_stair_count": 3,
        },
    ),
    ("LRRangeTest", {"lr_range_test_min_lr": 1e-4, "lr_range_test_step_size": 5}),
    (
        "LRRangeTest",
        {
            "lr_range_test_min_lr": 1e-4,
            "lr_range_test_step_size": 5,
            "lr_range_test_staircase": True,
        },
    ),
]


@pytest.mark.parametrize(("name", "kwargs"), DEEPSPEED_CASES)
def test_a_deepspeed_schedule_is_what_its_scheduler_steps_through(name, kwargs):
    lr_schedules = pytest.importorskip("deepspeed.runtime.lr_schedules")
    optimizer = dummy_optimizer()
    given = dict(kwargs)
    if name == "WarmupDecayLR":
        given.setdefault("warmup_max_lr", BASE)  # what "auto" is filled with
    scheduler = getattr(lr_schedules, name)(optimizer, **given)
    planned = learning_rates(settings(name, **kwargs), TOTAL)
    np.testing.assert_allclose(planned, stepped(optimizer, scheduler), rtol=1e-9, atol=1e-18)


def test_auto_step_counts_of_deepspeed_come_from_the_run():
    planned = learning_rates(settings("WarmupCosineLR", 0.1, warmup_type="linear"), 100)
    named = settings(
        "WarmupCosineLR", 0.1, warmup_type="linear", warmup_num_steps=10, total_num_steps=100
    )
    np.testing.assert_array_equal(planned, learning_rates(named, 100))


def test_a_schedule_that_reacts_to_the_loss_cannot_be_planned():
    with pytest.raises(UserError, match="lr_scheduler_type"):
        learning_rates(settings("reduce_lr_on_plateau"), 10)


BATCH = {
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 2,
    "world_size": 4,
    "num_train_epochs": 3.0,
    "max_steps": -1,
}


def test_the_effective_batch_is_micro_batch_times_accumulation_times_devices():
    assert effective_batch(BATCH) == 64


@pytest.mark.parametrize(
    ("rows", "drop_last", "expected"), [(64, False, 1), (65, False, 2), (1000, False, 16)]
)
def test_an_unfinished_batch_is_a_step(rows, drop_last, expected):
    assert steps_per_epoch(BATCH, rows) == expected


def test_dropping_the_last_batch_cuts_micro_batches_and_keeps_at_least_one_step():
    dropping = {**BATCH, "dataloader_drop_last": True}
    assert steps_per_epoch(dropping, 1000) == 16  # 125 batches, 31 a device, 16 steps
    assert steps_per_epoch(dropping, 3) == 1


def test_total_steps_round_a_broken_epoch_up_and_max_steps_wins():
    assert total_steps({**BATCH, "num_train_epochs": 2.5}, 1000) == 40
    assert total_steps({**BATCH, "max_steps": 7}, 1000) == 7


def test_other_devices_with_the_same_effective_batch_need_the_same_steps():
    for world, accumulation in ((1, 8), (2, 4), (8, 1)):
        moved = {**BATCH, "world_size": world, "gradient_accumulation_steps": accumulation}
        for rows in (1, 63, 64, 65, 999, 1000, 1001):
            assert total_steps(moved, rows) == total_steps(BATCH, rows)
