"""What ran is what was planned, or the run fails with both values."""

from __future__ import annotations

import pytest
from tiny import FACTS, SETTINGS

from ablation.training.effective import EffectiveMismatch, compare, planned_effective
from ablation.training.intent import Batch

BATCH = Batch(8, 2, 1)


def test_a_mismatch_names_both_values():
    with pytest.raises(EffectiveMismatch, match=r"lora\.r: planned 128, but 64 runs"):
        compare({"lora.r": 64, "seed": 1}, {"lora.r": 128, "seed": 1})


def test_numbers_are_compared_by_value():
    compare(
        {"max_grad_norm": 1, "learning_rate": 2e-5}, {"max_grad_norm": 1.0, "learning_rate": 2e-05}
    )


def test_all_layers_are_planned_where_none_are_named():
    plan = planned_effective(SETTINGS | {"lora.layers_to_transform": None}, BATCH, 1, FACTS)
    assert plan["lora.layers_to_transform"] == [0, 1, 2, 3]


def test_the_machine_cuts_the_batch_and_keeps_its_size():
    plan = planned_effective(SETTINGS, BATCH, 1, FACTS)
    assert plan["gradient_accumulation_steps"] == 2
    assert plan["world_size"] == 1
    assert plan["effective_batch_size"] == 16


def test_mixed_precision_decides_the_type_of_the_weights():
    assert (
        planned_effective(SETTINGS | {"bf16": True}, BATCH, 1, FACTS)["engine_dtype"] == "bfloat16"
    )
    assert planned_effective(SETTINGS, BATCH, 1, FACTS)["engine_dtype"] == "float32"


def test_explicit_steps_of_a_deepspeed_scheduler_are_planned():
    settings = SETTINGS | {
        "lr_scheduler_type": "WarmupDecayLR",
        "lr_scheduler_kwargs": {"total_num_steps": 500, "warmup_max_lr": 1e-3},
    }
    plan = planned_effective(settings, BATCH, 1, FACTS)
    assert plan["scheduler.total_num_steps"] == 500
    assert plan["learning_rate"] == 1e-3
    assert "scheduler.warmup_num_steps" not in plan
