"""What is resolved of arguments and a DeepSpeed file is what the libraries make of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ablation.comparison.resolve import Configuration, resolve_file
from ablation.dialects.settle import planned_steps
from ablation.settings.schedules import learning_rates

pytest.importorskip("deepspeed")
import settled

MODEL = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": settled.HIDDEN}
PAIRS = 400


def some(rng: random.Random, *choices: Any) -> Any:
    return rng.choice(choices)


def arguments_of(rng: random.Random) -> dict[str, Any]:
    """Arguments as people write them: a few of them, some at their defaults."""
    every = {
        "learning_rate": (5e-5, 2e-5, 1e-3),
        "weight_decay": (0.0, 0.01, 0.1),
        "adam_beta1": (0.9,),
        "adam_beta2": (0.999, 0.95),
        "adam_epsilon": (1e-8, 1e-6),
        "max_grad_norm": (1.0, 0.3, 0.0),
        "per_device_train_batch_size": (8, 4, 1),
        "gradient_accumulation_steps": (1, 4),
        "lr_scheduler_type": ("linear", "cosine", "constant_with_warmup"),
        "warmup_steps": (0, 5, 0.1),
        "optim": ("adamw_torch", "adamw_torch_fused", "sgd"),
        "bf16": (True, False),
        "max_steps": (40, 12),
    }
    return {name: some(rng, *values) for name, values in every.items() if rng.random() < 0.4}


def usually_auto(rng: random.Random, *others: Any) -> Any:
    return "auto" if rng.random() < 0.85 else some(rng, *others)


def optimizer_of(rng: random.Random) -> dict[str, Any]:
    params = {
        "lr": usually_auto(rng, 5e-5, 2e-5, 1e-3),
        "betas": usually_auto(rng, [0.9, 0.999], [0.9, 0.95]),
        "eps": usually_auto(rng, 1e-8, 1e-6),
        "weight_decay": usually_auto(rng, 0.0, 0.01),
    }
    params = {name: value for name, value in params.items() if rng.random() < 0.75}
    if rng.random() < 0.15:
        params |= some(rng, {"torch_adam": True}, {"adam_w_mode": False}, {"bogus": 1})
    names = ("SGD", "Adagrad", "FusedAdam", "OneBitAdam")
    name = some(rng, "AdamW", "Adam", "adamw") if rng.random() < 0.9 else some(rng, *names)
    found = {"type": name, "params": params}
    found.pop("type" if rng.random() < 0.03 else "params" if rng.random() < 0.05 else "none", None)
    return found


def scheduler_of(rng: random.Random) -> dict[str, Any]:
    kind = some(rng, "WarmupLR", "WarmupLR", "WarmupDecayLR", "WarmupCosineLR", "LRRangeTest")
    params = {
        "warmup_min_lr": usually_auto(rng, 0, 1e-7),
        "warmup_max_lr": usually_auto(rng, 5e-5, 2e-5),
        "warmup_num_steps": usually_auto(rng, 1, 5, 4, 100),
        "warmup_type": some(rng, "log", "linear"),
        "total_num_steps": usually_auto(rng, 40, 100),
    }
    wanted = {
        "WarmupLR": list(params)[:4],
        "WarmupDecayLR": list(params),
        "WarmupCosineLR": ["warmup_num_steps", "total_num_steps"],
        "LRRangeTest": [],
    }[kind]
    params = {name: params[name] for name in wanted if rng.random() < 0.85}
    return {"type": kind, "params": params}


def zero_of(rng: random.Random) -> dict[str, Any]:
    every = {
        "offload_optimizer": some(rng, {"device": "cpu"}, {"device": "none"}, {"device": "auto"}),
        "reduce_bucket_size": usually_auto(rng, 5e8, 200_000),
        "allgather_bucket_size": some(rng, 5e8, 2e8),
        "overlap_comm": some(rng, True, False),
        "contiguous_gradients": True,
        "stage3_prefetch_bucket_size": "auto",
        "stage3_param_persistence_threshold": "auto",
        "cpu_offload": True,
        "round_robin": True,
    }
    odds = {"cpu_offload": 0.03, "round_robin": 0.03, "offload_optimizer": 0.3}
    found = {name: value for name, value in every.items() if rng.random() < odds.get(name, 0.4)}
    return {"stage": some(rng, 0, 1, 2, 2, 2, 3), **found}


def deepspeed_of(rng: random.Random) -> dict[str, Any]:
    every = {
        "train_micro_batch_size_per_gpu": usually_auto(rng, 8, 4),
        "gradient_accumulation_steps": usually_auto(rng, 1, 4),
        "train_batch_size": usually_auto(rng, 8),
        "gradient_clipping": usually_auto(rng, 1.0, 0.3),
        "optimizer": optimizer_of(rng),
        "scheduler": scheduler_of(rng),
        "zero_optimization": zero_of(rng),
        "bf16": some(rng, *[{"enabled": "auto"}] * 4, {"enabled": True}, {"enabled": False}, {}),
        "fp16": some(rng, {"enabled": "auto"}, {"enabled": False}, {"enabled": "auto"}),
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": some(rng, 10, "auto"),
        "wall_clock_breakdown": some(rng, *[False] * 5, "auto"),
    }
    odds = {
        "train_micro_batch_size_per_gpu": 0.9,
        "train_batch_size": 0.4,
        "zero_optimization": 0.97,
        "optimizer": 0.55,
        "scheduler": 0.4,
        "zero_allow_untested_optimizer": 0.2,
        "zero_force_ds_cpu_optimizer": 0.1,
        "wall_clock_breakdown": 0.2,
    }
    if rng.random() < 0.08:
        block = some(rng, "bf16", "fp16", "tensorboard", "activation_checkpointing", "aio")
        every[block] = {**every.get(block, {}), "unheard_of": 1}
    return {name: value for name, value in every.items() if rng.random() < odds.get(name, 0.6)}


def pairs() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    rng = random.Random(11)
    for _ in range(PAIRS):
        yield arguments_of(rng), deepspeed_of(rng)


def resolved(folder: Path, arguments: dict[str, Any], deepspeed: dict[str, Any]) -> Configuration:
    (folder / "ds.json").write_text(json.dumps(deepspeed))
    file = folder / "args.yaml"
    written = {"output_dir": "o", "world_size": 1, **arguments, "deepspeed": "ds.json"}
    file.write_text(yaml.safe_dump(written))
    return resolve_file(file, MODEL)


def disagreements(said: dict[str, Any], side: Configuration) -> list[str]:
    """The settings of which the libraries say something else."""
    values = {name: value.value for name, value in side.settings.items()}
    total = values["max_steps"] if values["max_steps"] > 0 else settled.STEPS
    rates = list(learning_rates(values, total))[: len(said["rates"])]
    found = [
        f"{name}: {values[name]!r}, the libraries {value!r}"
        for name, value in said.items()
        if name != "rates" and value is not None and values[name] != value
    ]
    if rates != pytest.approx(said["rates"], rel=1e-9, abs=1e-15):
        found.append(f"rates: {rates}, the libraries {said['rates']}")
    return found


def compare(folder: Path, arguments: dict[str, Any], deepspeed: dict[str, Any]) -> list[str]:
    """Where what is resolved of a pair and what the libraries say differ."""
    side = resolved(folder, arguments, deepspeed)
    reasons = [refusal.reason for refusal in side.refusals]
    total = arguments.get("max_steps", settled.STEPS)
    warmup = float(side.settings["warmup_steps"].value)
    wrong = [t for t in side.steps_told if t.steps != planned_steps(t, warmup, total)]
    reasons += [f"{told.name}: {told.steps}" for told in wrong]
    try:
        said = settled.settled(arguments, deepspeed)
    except settled.Refused as refused:
        return [] if reasons else [f"the libraries refuse: {refused}"]
    return [f"refused: {reason}" for reason in reasons] or disagreements(said, side)


def test_generated_pairs_settle_as_the_libraries_settle_them(tmp_path: Path) -> None:
    wrong = []
    for arguments, deepspeed in pairs():
        found = compare(tmp_path, arguments, deepspeed)
        if found:
            wrong.append((arguments, deepspeed, found))
    assert not wrong, f"{len(wrong)} of {PAIRS}; the first: {wrong[0]}"


WHOLE = {
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "zero_optimization": {"stage": 2},
}
ADAMW = {"type": "AdamW", "params": {"lr": "auto"}}
# Changes of it that DeepSpeed takes, and some that it stops at.
ODD: tuple[dict[str, Any], ...] = (
    {"zero_optimization": {"stage": 2, "overlap_comm": 1, "contiguous_gradients": "no"}},
    {"zero_optimization": {"stage": 2, "overlap_comm": "x"}},
    {"zero_optimization": {"stage": 3, "sub_group_size": -1}},
    {"zero_optimization": {"stage": 3, "stage3_module_granularity_threshold": -1}},
    {
        "zero_optimization": {
            "stage": 3,
            "stage3_gather_fp16_weights_on_model_save": True,
            "stage3_gather_16bit_weights_on_model_save": True,
        }
    },
    {
        "zero_optimization": {
            "stage": 3,
            "prefetch_bucket_size": 1000,
            "stage3_prefetch_bucket_size": 1000,
        }
    },
    {"zero_optimization": None},
    {"bf16": {"enabled": None}},
    {"bf16": {"enabled": "auto", "bf16_optimizer_states": True}},
    {
        "bf16": {"enabled": "auto", "bf16_master_weights_and_grads": True},
        "zero_optimization": {"stage": 0},
    },
    {"fp16": {"enabled": "auto", "min_loss_scale": 0}},
    {"data_types": None},
    {"activation_checkpointing": None},
    {"checkpoint": True},
    {"aio": None},
    {"compile": {"enabled": True}},
    {"compile": {"deepcompile": False}},
    {"communication_data_type": "float32"},
    {"communication_data_type": "BF16"},
    {"communication_data_type": None},
    {"torch_autocast": {"enabled": False, "dtype": "bfloat16"}},
    {"torch_autocast": {"enabled": False, "dtype": "half precision"}},
    {"checkpoint": {"tag_validation": "ignore"}},
    {"checkpoint": {"tag_validation": "never"}},
    {"optimizer": {**ADAMW, "params": []}},
    {"optimizer": {"type": "Muon", "params": {"lr": "auto", "max_grad_norm": 1.0}}},
    {"optimizer": {"type": "Adadelta", "params": {"lr": "auto", "betas": "auto"}}},
)


@pytest.mark.parametrize("odd", ODD, ids=[json.dumps(odd) for odd in ODD])
def test_odd_values_are_taken_or_refused_as_deepspeed_does(tmp_path: Path, odd: dict) -> None:
    for arguments in ({"max_steps": 12}, {"max_steps": 12, "bf16": True}):
        assert not compare(tmp_path, arguments, {**WHOLE, **odd})


@pytest.mark.parametrize("kind", ["WarmupLR", "WarmupDecayLR", "WarmupCosineLR", "LRRangeTest"])
def test_a_schedule_that_continues_begins_at_the_optimizers_rate(tmp_path: Path, kind: str) -> None:
    params: dict[str, Any] = {"last_batch_iteration": 3}
    if kind.startswith("Warmup"):
        params["warmup_num_steps"] = "auto"
    if kind in ("WarmupDecayLR", "WarmupCosineLR"):
        params["total_num_steps"] = "auto"
    block = {"type": kind, "params": params}
    arguments = {"max_steps": 12, "warmup_steps": 6}
    assert not compare(tmp_path, arguments, {**WHOLE, "scheduler": block})


def test_a_scale_that_moves_needs_a_floor(tmp_path: Path) -> None:
    block = {"enabled": "auto", "min_loss_scale": 0}
    for scale in ({}, {"loss_scale": 0}, {"loss_scale": 128}):
        assert not compare(tmp_path, {"fp16": True}, {**WHOLE, "fp16": {**block, **scale}})
