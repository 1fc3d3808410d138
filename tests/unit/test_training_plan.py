"""What a run is going to do, from the settings of its arm."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import SETTINGS

from ablation.errors import UserError
from ablation.training import intent as plan
from ablation.training.intent import Batch, fit_batch


def test_fewer_devices_accumulate_more():
    assert fit_batch(32, 1, 4, 1) == Batch(32, 4, 1)
    assert fit_batch(16, 2, 4, 2) == Batch(16, 4, 2)


def test_more_devices_accumulate_less_then_shrink_the_micro_batch():
    assert fit_batch(16, 2, 4, 8) == Batch(16, 1, 8)
    assert fit_batch(32, 1, 4, 8) == Batch(16, 1, 8)


def test_the_effective_batch_is_always_kept():
    for here in (1, 2, 3, 4, 6, 8, 12):
        assert fit_batch(12, 2, 4, here).rows == 96


def test_devices_that_do_not_divide_the_batch_are_refused():
    with pytest.raises(UserError, match="32 = 8 x 1 x 4, cannot be split") as caught:
        fit_batch(8, 1, 4, 3)
    assert caught.value.found == "devices: 3"


def test_an_epoch_covers_each_row_and_fills_the_last_batch():
    order = plan.epoch_order(rows=10, batch_rows=4, seed=1, epoch=0)
    assert len(order) == 12
    assert sorted(order[:10]) == list(range(10))
    assert order[10:].tolist() == order[:2].tolist()


def test_another_batch_has_another_order_of_the_rows():
    lengths = np.random.default_rng(1).integers(4, 60, 64)
    orders = [plan.epoch_order(64, rows, 1, 0, lengths).tolist() for rows in (8, 8, 16)]
    assert orders[0] == orders[1] != orders[2]


def test_epochs_and_seeds_have_orders_of_their_own():
    first = plan.epoch_order(50, 10, seed=1, epoch=0).tolist()
    assert first == plan.epoch_order(50, 10, seed=1, epoch=0).tolist()
    assert first != plan.epoch_order(50, 10, seed=1, epoch=1).tolist()
    assert first != plan.epoch_order(50, 10, seed=2, epoch=0).tolist()


def test_batches_of_similar_length_cover_the_same_rows_and_waste_less():
    lengths = np.random.default_rng(0).integers(3, 60, size=640)
    drawn = plan.epoch_order(640, 8, 1, 0)
    alike = plan.epoch_order(640, 8, 1, 0, lengths)
    assert sorted(alike) == sorted(drawn)
    assert alike.tolist() == plan.epoch_order(640, 8, 1, 0, lengths).tolist()
    assert alike.tolist() != plan.epoch_order(640, 8, 1, 1, lengths).tolist()
    shares = [
        plan.real_token_share(lengths, order, Batch(8, 1, 1), None) for order in (drawn, alike)
    ]
    assert shares[0] < 0.7 < 0.9 < shares[1]


def test_a_step_has_the_same_rows_however_its_batch_is_cut():
    order = plan.epoch_order(64, 16, seed=3, epoch=0)
    cuts = [Batch(16, 1, 1), Batch(8, 2, 1), Batch(8, 1, 2), Batch(4, 2, 2)]
    steps = [[set(step.ravel()) for step in plan.micro_batches(order, cut)] for cut in cuts]
    assert all(other == steps[0] for other in steps)


def test_padding_to_the_longest_wastes_less_than_to_a_width():
    lengths, order = np.array([2, 4, 6, 8]), np.arange(4)
    assert plan.real_token_share(lengths, order, Batch(2, 1, 2), None) == 20 / (4 * 2 + 8 * 2)
    assert plan.real_token_share(lengths, order, Batch(2, 1, 2), 10) == 20 / 40


def test_class_weights_are_the_clipped_power_of_the_inverse_share():
    labels = np.array([0] * 6 + [1] * 2)
    settings = SETTINGS | {"loss.class_weight_alpha": 0.5, "loss.class_weight_max": 1.2}
    weights = plan.class_weights(labels, 3, settings)
    # 8 rows, 2 classes: 8 / (2 * 6) and 8 / (2 * 2), to the power 0.5
    assert weights == pytest.approx([(8 / 12) ** 0.5, 1.2, 1.0])


def test_the_padding_token_is_one_that_no_row_ends_with():
    assert plan.choose_pad_id([None, 2], {5, 6}, 100) == 2
    assert plan.choose_pad_id([None, 2], {0, 1, 2}, 100) == 3


def test_a_metric_that_is_not_measured_and_chooses_nothing_stops_no_run():
    unmeasured = {"metric_for_best_model": "f1", "greater_is_better": True}
    assert plan.selection_metric(unmeasured) == ("eval_accuracy", True)


def test_lower_is_better_for_the_loss_alone():
    unset = {"greater_is_better": None}
    assert plan.selection_metric(unset | {"metric_for_best_model": "eval_loss"}) == (
        "eval_loss",
        False,
    )
    assert plan.selection_metric(unset | {"metric_for_best_model": None}) == ("eval_accuracy", True)


def test_deepspeed_gets_the_strategy_and_the_batch():
    config = plan.deepspeed_config(SETTINGS, Batch(8, 2, 1))
    assert config["zero_optimization"]["stage"] == 2
    assert config["train_batch_size"] == 16
    assert config["gradient_clipping"] == 1.0
    assert config["bf16"] == {"enabled": False}
    assert "optimizer" not in config
    assert "scheduler" not in config


def test_an_offloaded_torch_optimizer_is_not_replaced():
    device = {"deepspeed.zero_optimization.offload_optimizer.device": "cpu"}
    config = plan.deepspeed_config(SETTINGS | device, Batch(8, 1, 1))
    assert config["zero_force_ds_cpu_optimizer"] is False


def test_deepspeed_optimizer_and_scheduler_blocks():
    settings = SETTINGS | {
        "optim_implementation": "deepspeed",
        "lr_scheduler_type": "WarmupCosineLR",
        "lr_scheduler_kwargs": {"warmup_type": "linear", "total_num_steps": 500},
    }
    config = plan.deepspeed_config(settings, Batch(8, 1, 1))
    assert config["optimizer"]["type"] == "AdamW"
    assert config["optimizer"]["params"]["betas"] == [0.9, 0.999]
    assert config["scheduler"]["params"] == {
        "warmup_num_steps": "auto",
        "total_num_steps": 500,
        "warmup_type": "linear",
    }


def test_blocks_that_only_watch_do_not_reach_deepspeed():
    extra = {
        "deepspeed.flops_profiler.enabled": True,
        "deepspeed.activation_checkpointing.partition_activations": True,
    }
    config = plan.nest_deepspeed_keys(SETTINGS | extra)
    assert "flops_profiler" not in config
    assert config["activation_checkpointing"] == {"partition_activations": True}


def test_lora_arguments_do_not_share_lists_with_the_settings():
    arguments = plan.lora_arguments(SETTINGS)
    arguments["modules_to_save"].append("classifier")  # as peft does
    assert SETTINGS["lora.modules_to_save"] == ["score"]
    assert arguments["r"] == 4
