"""Every setting and many combinations on a tiny model: each trains as it says, or the plan refuses.

    python tests/soak/settings_matrix.py            all of them
    python tests/soak/settings_matrix.py optim      those whose name holds a text

A case is two files as people write them, flat TrainingArguments with a LoRA block and a DeepSpeed
file. It passes in two ways only: the plan (`load_study`, `expand`) refuses it with a file and a
line, or the run ends and its effective.json has every value that was planned. A run that fails is
a failure of the matrix, whatever its message.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import tiny
import yaml

from ablation.errors import UserError
from ablation.files import save_json
from ablation.machine.launcher import LaunchError, launch
from ablation.results import Results
from ablation.study.grid import expand, refuse_without_gpu
from ablation.study.load import load_study
from ablation.training.effective import planned_effective, same_value
from ablation.training.intent import batch_of
from ablation.training.request import make_request, save_request

TRAINER: dict[str, Any] = {
    "learning_rate": 5e-3,
    "max_steps": 3,
    "per_device_train_batch_size": 8,
    "dataloader_pin_memory": False,
    "torch_dtype": "float32",
    "max_length": 12,
    "world_size": 1,
    "deepspeed": "ds.json",
}
LORA: dict[str, Any] = {
    "r": 4,
    "lora_alpha": 8,
    "target_modules": ["q_proj", "v_proj"],
    "task_type": "SEQ_CLS",
}
DEEPSPEED: dict[str, Any] = {
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "zero_optimization": {"stage": 2},
}
STUDY = """\
title: {{en: matrix}}
purpose: {{en: matrix}}
current: current.yml
backup: backup.yml
seeds: [1]
model:
  path: model
  architecture: {architecture}
data: {{path: rows.csv}}
stages:
  - {{name: length, settings: [max_length]}}
"""


class _Absent:
    """Stands for a key that is left out."""

    def __str__(self) -> str:
        return "absent"


ABSENT = _Absent()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One configuration.

    Attributes:
        name: What it tries.
        trainer: Changes of the flat arguments.
        lora: Changes of the LoRA block; None leaves it out.
        deepspeed: The DeepSpeed file's changes; None leaves the file out.
        settings: Canonical settings that no flat argument writes.
        ranks: Processes of the run.
        must_run: Whether a refusal is a failure too.
    """

    name: str
    trainer: dict[str, Any] = field(default_factory=dict)
    lora: dict[str, Any] | None = field(default_factory=dict)
    deepspeed: dict[str, Any] | None = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    ranks: int = 1
    must_run: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a case: "runs", "refused" (planned and told) or "fails"."""

    case: Case
    kind: str
    message: str
    seconds: float

    @property
    def good(self) -> bool:
        """Whether it is as it should be."""
        return self.kind == "runs" or (self.kind == "refused" and not self.case.must_run)


# The cases ---------------------------------------------------------------------------------------


def zero(stage: int, **further: Any) -> dict[str, Any]:
    """A DeepSpeed file's change to a ZeRO stage."""
    return {"zero_optimization": {"stage": stage, **further}}


def schedules() -> Iterator[Case]:
    """Every scheduler of both libraries, with its arguments, wrong ones, and forms of warm-up."""
    from transformers import SchedulerType

    kwargs: dict[str, list[dict[str, Any]]] = {
        "cosine_with_restarts": [{"num_cycles": 2}],
        "cosine": [{"num_cycles": 0.3}],
        "polynomial": [{"lr_end": 1e-6, "power": 2.0}, {"lr_end": 1.0}],
        "inverse_sqrt": [{"timescale": 100}],
        "cosine_with_min_lr": [
            {"min_lr": 1e-5},
            {"min_lr_rate": 0.1},
            {"min_lr": 1e-5, "min_lr_rate": 0.1},
        ],
        "cosine_warmup_with_min_lr": [
            {"min_lr": 1e-5},
            {"min_lr_rate": 0.1, "warmup_lr_rate": 0.1},
        ],
        "warmup_stable_decay": [
            {"num_decay_steps": 1},
            {
                "num_decay_steps": 1,
                "num_stable_steps": 1,
                "warmup_type": "cosine",
                "decay_type": "linear",
            },
            {"num_decay_steps": 1, "decay_type": "1-sqrt", "min_lr_ratio": 0.1},
            {"num_decay_steps": 1, "decay_type": "stairs"},
        ],
        "greedy": [{"factor": 0.9}],
        "reduce_lr_on_plateau": [{"factor": 0.5}],
    }
    for kind, stage in product(SchedulerType, (0, 2)):
        name = kind.value
        yield Case(
            name=f"schedule {name} zero {stage}",
            trainer={"lr_scheduler_type": name, "warmup_steps": 1},
            deepspeed=zero(stage),
        )
        for place, chosen in enumerate([*kwargs.get(name, []), {"no_such_argument": 1}]):
            yield Case(
                name=f"schedule {name} kwargs {place} zero {stage}",
                trainer={
                    "lr_scheduler_type": name,
                    "lr_scheduler_kwargs": chosen,
                    "warmup_steps": 1,
                },
                deepspeed=zero(stage),
            )
    for stage in (1, 3):
        for name in ("polynomial", "cosine_with_min_lr"):
            yield Case(
                name=f"schedule {name} zero {stage}",
                trainer={
                    "lr_scheduler_type": name,
                    "lr_scheduler_kwargs": {"min_lr": 1e-5} if "min" in name else {},
                },
                deepspeed=zero(stage),
                must_run=True,
            )
    for warmup in (0, 1, 2, 0.1, 0.5, 3, 100):
        yield Case(name=f"warmup_steps {warmup}", trainer={"warmup_steps": warmup}, must_run=True)
        yield Case(
            name=f"WarmupDecayLR warmup_steps {warmup}",
            trainer={"warmup_steps": warmup},
            deepspeed={
                "scheduler": {
                    "type": "WarmupDecayLR",
                    "params": {
                        "total_num_steps": "auto",
                        "warmup_num_steps": "auto",
                        "warmup_min_lr": "auto",
                        "warmup_max_lr": "auto",
                    },
                }
            },
        )
    yield Case(name="warmup_ratio", trainer={"warmup_ratio": 0.4}, must_run=True)


def deepspeed_schedules() -> Iterator[Case]:
    """DeepSpeed's schedulers and their parameters."""
    found = {
        "WarmupLR": [
            {},
            {"warmup_num_steps": 2},
            {"warmup_num_steps": 2, "warmup_type": "linear"},
            {"warmup_max_lr": 0.001},
            {"warmup_max_lr": "auto", "warmup_min_lr": "auto"},
            {"warmup_min_lr": 0.0001},
        ],
        "WarmupDecayLR": [
            {"total_num_steps": "auto"},
            {"total_num_steps": 10, "warmup_num_steps": 2},
            {"total_num_steps": 3, "warmup_num_steps": 5},
            {},
            {"total_num_steps": "auto", "warmup_max_lr": 0.001},
        ],
        "WarmupCosineLR": [
            {"total_num_steps": "auto", "warmup_num_steps": "auto"},
            {
                "total_num_steps": 10,
                "warmup_num_steps": 2,
                "cos_min_ratio": 0.1,
                "warmup_min_ratio": 0.1,
            },
            {},
        ],
        "OneCycle": [
            {"cycle_min_lr": 1e-4, "cycle_max_lr": 1e-3},
            {"cycle_min_lr": 1e-4, "cycle_max_lr": 1e-3, "cycle_momentum": False},
            {
                "cycle_min_lr": 1e-4,
                "cycle_max_lr": 1e-3,
                "cycle_first_step_size": 2,
                "cycle_first_stair_count": 1,
            },
            {},
            {
                "cycle_min_lr": 1e-4,
                "cycle_max_lr": 1e-3,
                "decay_lr_rate": 0.1,
                "decay_step_size": 1,
            },
        ],
        "LRRangeTest": [
            {
                "lr_range_test_min_lr": 1e-4,
                "lr_range_test_step_size": 2,
                "lr_range_test_step_rate": 5,
            },
            {"lr_range_test_staircase": True},
            {},
        ],
    }
    for (name, several), own in product(found.items(), (True, False)):
        for place, params in enumerate(several):
            block: dict[str, Any] = {"scheduler": {"type": name, "params": params}}
            if own:
                block["optimizer"] = {
                    "type": "AdamW",
                    "params": {
                        "lr": "auto",
                        "betas": "auto",
                        "eps": "auto",
                        "weight_decay": "auto",
                    },
                }
            yield Case(name=f"{name} {place} {'deepspeed' if own else 'torch'}", deepspeed=block)


def optimizers() -> Iterator[Case]:
    """Every optimizer of both libraries, with and without ZeRO and offload."""
    from transformers.training_args import OptimizerNames

    for kind in OptimizerNames:
        yield Case(name=f"optim {kind.value}", trainer={"optim": kind.value})
        yield Case(
            name=f"optim {kind.value} zero 0", trainer={"optim": kind.value}, deepspeed=zero(0)
        )
    for name in ("adamw_torch", "adamw_torch_fused", "sgd"):
        for stage in (1, 3):
            yield Case(
                name=f"optim {name} zero {stage}",
                trainer={"optim": name},
                deepspeed=zero(stage),
                must_run=True,
            )
        yield Case(
            name=f"optim {name} offload",
            trainer={"optim": name, "adam_beta2": 0.95},
            deepspeed=zero(2, offload_optimizer={"device": "cpu"}),
        )
    yield Case(
        name="optim sgd decays", trainer={"optim": "sgd", "weight_decay": 0.01}, must_run=True
    )
    yield Case(name="optim_args", trainer={"optim": "adamw_torch", "optim_args": "betas=(0.1,0.2)"})
    yield Case(name="adafactor flag", trainer={"adafactor": True})
    params = {"lr": 5e-3, "betas": [0.9, 0.95], "eps": 1e-7, "weight_decay": 0.01}
    names = (
        "Adam",
        "AdamW",
        "FusedAdam",
        "SGD",
        "Lamb",
        "OneBitAdam",
        "Lion",
        "Adagrad",
        "Muon",
        "ZeroOneAdam",
        "OneBitLamb",
        "DeepSpeedCPUAdam",
        "Adafactor",
        "RMSprop",
    )
    trainer = {"weight_decay": 0.01, "adam_beta2": 0.95, "adam_epsilon": 1e-7}
    for name in names:
        for stage in (0, 2):
            own = params if "dam" in name else {"lr": 5e-3}
            yield Case(
                name=f"DeepSpeed {name} zero {stage}",
                trainer=trainer,
                deepspeed={"optimizer": {"type": name, "params": own}, **zero(stage)},
            )
    for extra in (
        {"adam_w_mode": False},
        {"adam_w_mode": True},
        {"torch_adam": True},
        {"torch_adam": True, "adam_w_mode": False},
        {"amsgrad": True},
        {"bias_correction": False},
        {"nonsense": 1},
    ):
        for name in ("Adam", "AdamW"):
            yield Case(
                name=f"DeepSpeed {name} {extra}",
                trainer=trainer,
                deepspeed={"optimizer": {"type": name, "params": params | extra}},
            )
    for stage in (0, 1, 2, 3):
        yield Case(
            name=f"DeepSpeed AdamW offload zero {stage}",
            trainer=trainer,
            deepspeed={
                "optimizer": {"type": "AdamW", "params": params},
                **zero(stage, offload_optimizer={"device": "cpu", "pin_memory": False}),
            },
        )
    for missing in params:
        own = {k: v for k, v in params.items() if k != missing}
        yield Case(
            name=f"DeepSpeed AdamW without {missing}",
            deepspeed={"optimizer": {"type": "AdamW", "params": own}},
        )
    for name, value in (
        ("adam_beta1", 0.0),
        ("adam_beta1", 1.0),
        ("adam_beta2", 1.0),
        ("adam_epsilon", 0.0),
        ("weight_decay", 0.5),
        ("max_grad_norm", 0.0),
        ("max_grad_norm", 0.3),
        ("learning_rate", 1e3),
    ):
        yield Case(name=f"{name} {value}", trainer={name: value})


def memory() -> Iterator[Case]:
    """ZeRO stages, offload, precision, checkpointing, buckets and loaders, together."""
    for stage, bf16, checkpointing in product(range(4), (False, True), (False, True)):
        dtype = {"bf16": True, "torch_dtype": "bfloat16"} if bf16 else {}
        yield Case(
            name=f"zero {stage} bf16 {bf16} checkpointing {checkpointing}",
            trainer={"gradient_checkpointing": checkpointing, **dtype},
            deepspeed={**zero(stage), "bf16": {"enabled": "auto"}},
            must_run=True,
        )
    for what, device, stage in product(("optimizer", "param"), ("cpu", "nvme", "none"), range(4)):
        yield Case(
            name=f"offload_{what} {device} zero {stage}",
            deepspeed=zero(stage, **{f"offload_{what}": {"device": device}}),
        )
    yield Case(
        name="offload both",
        deepspeed=zero(3, offload_param={"device": "cpu"}, offload_optimizer={"device": "cpu"}),
    )
    for dtype, bf16, fp16 in product(
        ("float32", "bfloat16", "float16", "auto"), (False, True), (False, True)
    ):
        yield Case(
            name=f"{dtype} bf16 {bf16} fp16 {fp16}",
            trainer={"torch_dtype": dtype, "bf16": bf16, "fp16": fp16},
        )
    for stage in range(4):
        yield Case(
            name=f"half weights without bf16 zero {stage}",
            trainer={"torch_dtype": "bfloat16"},
            deepspeed=zero(stage),
            must_run=True,
        )
    for key, value in (
        ("allgather_bucket_size", 1000),
        ("reduce_bucket_size", 1000),
        ("reduce_bucket_size", "auto"),
        ("overlap_comm", True),
        ("overlap_comm", False),
        ("contiguous_gradients", False),
        ("reduce_scatter", False),
        ("round_robin_gradients", True),
        ("sub_group_size", 1000),
        ("stage3_prefetch_bucket_size", 0),
        ("stage3_param_persistence_threshold", 0),
        ("stage3_max_live_parameters", 10),
        ("stage3_gather_16bit_weights_on_model_save", True),
        ("zero_quantized_weights", True),
        ("zero_hpz_partition_size", 1),
        ("legacy_stage1", True),
        ("elastic_checkpoint", True),
        ("load_from_fp32_weights", False),
        ("ignore_unused_parameters", False),
    ):
        for stage in (2, 3):
            yield Case(name=f"zero {stage} {key} {value}", deepspeed=zero(stage, **{key: value}))
    for key, value in (
        ("dataloader_num_workers", 1),
        ("dataloader_pin_memory", True),
        ("per_device_train_batch_size", 1),
        ("per_device_train_batch_size", 3),
        ("per_device_train_batch_size", 500),
        ("gradient_accumulation_steps", 3),
        ("world_size", 3),
        ("per_device_eval_batch_size", 2),
    ):
        yield Case(name=f"{key} {value}", trainer={key: value}, must_run=True)
    for block in (
        {"fp16": {"enabled": True}},
        {"bf16": {"enabled": True}},
        {"fp16": {"enabled": "auto", "loss_scale": 0}},
        {"zero_allow_untested_optimizer": False},
        {"zero_force_ds_cpu_optimizer": True},
        {"prescale_gradients": True},
        {"communication_data_type": "fp32"},
        {"gradient_clipping": 0.5},
        {"gradient_clipping": ABSENT},
        {"curriculum_learning": {"enabled": True}},
        {"activation_checkpointing": {"partition_activations": True}},
        {"wall_clock_breakdown": True},
        {"data_types": {"grad_accum_dtype": "fp32"}},
        {"zero_optimization": ABSENT},
    ):
        yield Case(name=f"deepspeed {json.dumps(block, default=str)[:60]}", deepspeed=block)
    yield Case(name="no deepspeed", trainer={"deepspeed": ABSENT}, deepspeed=None, must_run=True)


def texts() -> Iterator[Case]:
    """Padding, truncation and lengths in all values."""
    for padding, truncation, length in product(
        (True, False, "longest", "max_length", "do_not_pad"),
        (True, False, "longest_first", ABSENT),
        (12, ABSENT),
    ):
        yield Case(
            name=f"padding {padding} truncation {truncation} max_length {length}",
            trainer={"padding": padding, "truncation": truncation, "max_length": length},
        )
    for length in (1, 2, 63, 64, 65, 1000, 10**9):
        for padding in ("longest", "max_length"):
            yield Case(
                name=f"max_length {length} padding {padding}",
                trainer={"max_length": length, "padding": padding},
            )


def adapters() -> Iterator[Case]:
    """What LoRA adapts, and how."""
    targets: tuple[Any, ...] = (
        "all-linear",
        ["q_proj"],
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        ["self_attn.q_proj"],
        ["model.layers.1.self_attn.q_proj"],
        ["layers.2.self_attn.v_proj", "down_proj"],
        ["1.self_attn.q_proj"],
        ["score"],
        ["q_proj", "score"],
        ["embed_tokens"],
        ["q_proj", "embed_tokens"],
        ["lm_head"],
        ["q_proj", "lm_head"],
        "q_proj",
        r".*\.q_proj",
        r".*layers\.[12]\.self_attn\.(q|v)_proj",
        r".*(q_proj|score)",
        r"model\.embed_tokens",
        r".*\.nothing",
        "(",
        r".*norm",
        ["query_key_value"],
        ["q_proj", "c_attn"],
        ["norm"],
        ["input_layernorm"],
        ["self_attn"],
        ["mlp"],
        ["proj"],
        [],
        ["q_proj", "q_proj"],
        ABSENT,
        ["model"],
        ["Q_PROJ"],
        ["embed_tokens", "score", "q_proj"],
    )
    for place, value in enumerate(targets):
        yield Case(
            name=f"targets {place} {value}",
            lora={"target_modules": value},
        )
        yield Case(
            name=f"targets {place} {value} in layer 2",
            lora={"target_modules": value, "layers_to_transform": [2]},
        )
    for layers in ([0], [3], [1, 3], [-1], [4], [-5], [], 2, None, [0, 1, 2, 3], "all"):
        yield Case(name=f"layers {layers}", lora={"layers_to_transform": layers})
    for saved in (
        ["score"],
        ["classifier"],
        ["lm_head"],
        ["embed_tokens"],
        ["norm"],
        ["score", "embed_tokens"],
        ["input_layernorm"],
        ["q_proj"],
        ["nothing"],
        [],
        None,
        ["model.norm"],
        ["mlp"],
        ["layers"],
        ["score", "nothing"],
    ):
        yield Case(name=f"modules_to_save {saved}", lora={"modules_to_save": saved})
        yield Case(
            name=f"modules_to_save {saved} zero 3",
            lora={"modules_to_save": saved},
            deepspeed=zero(3),
        )
    for bias, rslora, dora in product(("none", "all", "lora_only"), (False, True), (False, True)):
        yield Case(
            name=f"bias {bias} rslora {rslora} dora {dora}",
            lora={"bias": bias, "use_rslora": rslora, "use_dora": dora},
            must_run=True,
        )
    for stage in (0, 3):
        yield Case(name=f"dora zero {stage}", lora={"use_dora": True}, deepspeed=zero(stage))
        yield Case(name=f"bias all zero {stage}", lora={"bias": "all"}, deepspeed=zero(stage))
    for init in (
        True,
        False,
        "gaussian",
        "pissa",
        "pissa_niter_4",
        "olora",
        "eva",
        "orthogonal",
        "loftq",
        "corda",
        "lora_ga",
        "nonsense",
    ):
        yield Case(name=f"init {init}", lora={"init_lora_weights": init})
        yield Case(name=f"init {init} zero 3", lora={"init_lora_weights": init}, deepspeed=zero(3))
    for key, value in (
        ("r", 1),
        ("r", 16),
        ("r", 64),
        ("r", 0),
        ("lora_alpha", 1),
        ("lora_alpha", 0),
        ("lora_alpha", 0.5),
        ("lora_dropout", 0.5),
        ("lora_dropout", 1.0),
        ("rank_pattern", {"q_proj": 8}),
        ("alpha_pattern", {"q_proj": 8}),
        ("exclude_modules", ["v_proj"]),
        ("fan_in_fan_out", True),
        ("layers_pattern", "layers"),
        ("target_parameters", ["x"]),
        ("lora_bias", True),
        ("trainable_token_indices", [1]),
        ("layer_replication", [[0, 2]]),
        ("megatron_config", {}),
        ("use_qalora", True),
        ("unknown_key", 1),
    ):
        yield Case(name=f"lora {key} {value}", lora={key: value})
    for task in ("SEQ_CLS", "CAUSAL_LM", ABSENT, "TOKEN_CLS", "FEATURE_EXTRACTION"):
        for saved in (None, ["score"]):
            yield Case(
                name=f"task_type {task} saved {saved}",
                lora={"task_type": task, "modules_to_save": saved},
            )
    for stage in range(4):
        yield Case(
            name=f"full zero {stage}", lora=None, trainer={"use_lora": False}, deepspeed=zero(stage)
        )
    yield Case(
        name="full bf16",
        lora=None,
        trainer={"use_lora": False, "bf16": True, "torch_dtype": "bfloat16"},
    )
    yield Case(
        name="full checkpointing",
        lora=None,
        trainer={"use_lora": False, "gradient_checkpointing": True},
    )
    yield Case(
        name="full offload",
        lora=None,
        trainer={"use_lora": False},
        deepspeed=zero(2, offload_optimizer={"device": "cpu"}),
    )
    yield Case(name="no lora block", lora=None)


def lengths_and_losses() -> Iterator[Case]:
    """Step and epoch limits, selection, loss."""
    for steps, epochs in product((-1, 0, 1, 2, ABSENT, 7), (-1, 0, 0.5, 1, 2.5, ABSENT)):
        yield Case(
            name=f"max_steps {steps} epochs {epochs}",
            trainer={"max_steps": steps, "num_train_epochs": epochs},
        )
    for metric in (
        "accuracy",
        "eval_accuracy",
        "loss",
        "eval_loss",
        "f1",
        "eval_f1",
        "macro_f1",
        "weighted_f1",
        "eval_macro_f1",
        "precision",
        "rouge",
        "train_loss",
        None,
        "f1_macro",
        "f1_rare",
    ):
        for greater in (True, False, None):
            yield Case(
                name=f"best by {metric} greater {greater}",
                trainer={
                    "load_best_model_at_end": True,
                    "metric_for_best_model": metric,
                    "greater_is_better": greater,
                    "eval_strategy": "epoch",
                    "save_strategy": "epoch",
                },
            )
    yield Case(name="metric without best", trainer={"metric_for_best_model": "f1"})
    for smoothing in (0.0, 0.1, 0.9, 1.0, 1.5):
        yield Case(
            name=f"label smoothing {smoothing}", trainer={"label_smoothing_factor": smoothing}
        )
    for alpha, low, high in (
        (1.0, 0.0, None),
        (0.5, 0.1, 3.0),
        (0.0, 0.0, 1.0),
        (2.0, 2.0, 1.0),
        (1.0, 0.0, 0.0),
    ):
        yield Case(
            name=f"class weights {alpha} {low} {high}",
            settings={
                "loss.use_class_weights": True,
                "loss.class_weight_alpha": alpha,
                "loss.class_weight_min": low,
                "loss.class_weight_max": high,
            },
        )
    for name, value in (
        ("data.extract_ratio", 0.3),
        ("data.extract_ratio", 1e-6),
        ("data.max_classes", 2),
        ("data.max_classes", 100),
    ):
        yield Case(name=f"{name} {value}", settings={name: value})
    for key, value in (
        ("group_by_length", True),
        ("neftune_noise_alpha", 5),
        ("torch_compile", True),
        ("auto_find_batch_size", True),
        ("full_determinism", True),
        ("tf32", True),
        ("average_tokens_across_devices", False),
        ("dataloader_drop_last", True),
        ("early_stopping_patience", 2),
        ("packing", True),
        ("load_in_4bit", True),
        ("fsdp", "full_shard"),
        ("seed", 7),
        ("eval_strategy", "steps"),
        ("no_such_argument", 3),
    ):
        yield Case(name=f"{key} {value}", trainer={key: value})


def kernels() -> Iterator[Case]:
    """Texts without padding, beside what else changes how a step is computed."""
    chosen = {"kernels": ["padding_free"]}
    ways: dict[str, dict[str, Any]] = {
        f"zero {stage}": {"deepspeed": zero(stage)} for stage in range(4)
    }
    ways |= {
        "bf16": {"trainer": {"bf16": True}},
        "checkpointing": {"trainer": {"gradient_checkpointing": True}},
        "padded to max_length": {"trainer": {"padding": "max_length"}},
        "full": {"lora": None, "trainer": {"use_lora": False}},
    }
    for name, way in ways.items():
        yield Case(name=f"padding free, {name}", settings=chosen, must_run=True, **way)


def ranks() -> Iterator[Case]:
    """Two processes."""
    for stage in range(4):
        yield Case(name=f"two ranks zero {stage}", ranks=2, deepspeed=zero(stage), must_run=True)
    yield Case(
        name="two ranks zero 3 full",
        ranks=2,
        deepspeed=zero(3),
        lora=None,
        trainer={"use_lora": False},
    )
    yield Case(name="two ranks zero 3 dora", ranks=2, deepspeed=zero(3), lora={"use_dora": True})


FAMILIES = (
    adapters,
    optimizers,
    deepspeed_schedules,
    schedules,
    memory,
    texts,
    lengths_and_losses,
    kernels,
    ranks,
)


def all_cases() -> list[Case]:
    """Every case, each name once."""
    return list({case.name: case for family in FAMILIES for case in family()}.values())


# Planning and running ----------------------------------------------------------------------------


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The base with the changes, without what is `ABSENT`."""
    return {key: value for key, value in {**base, **changes}.items() if value is not ABSENT}


@contextlib.contextmanager
def _study(case: Case, model: Path) -> Iterator[Path]:
    """The study.yaml of a case in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        facts = json.loads((model / "config.json").read_text())
        names = ("model_type", "num_hidden_layers", "hidden_size", "intermediate_size")
        names += ("num_attention_heads", "num_key_value_heads", "vocab_size")
        names += ("max_position_embeddings", "dtype")
        told = {name: facts[name] for name in names}
        written = merge(TRAINER, case.trainer)
        if case.lora is not None:
            written["lora"] = merge(LORA, case.lora)
        (folder / "current.yml").write_text(yaml.safe_dump(written))
        other = {**written, "max_length": 11 if written.get("max_length") != 11 else 10}
        (folder / "backup.yml").write_text(yaml.safe_dump(other))
        if case.deepspeed is not None:
            text = json.dumps(merge(DEEPSPEED, case.deepspeed), indent=1)
            (folder / "ds.json").write_text(text)
        (folder / "study.yaml").write_text(STUDY.format(architecture=json.dumps(told)))
        yield folder / "study.yaml"


def plan_case(case: Case, model: Path) -> dict[str, Any]:
    """grid.json of the case.

    Raises:
        UserError: The plan refuses it.
    """
    with _study(case, model) as file:
        study = load_study(file)
        planned = expand(study)
        refuse_without_gpu(study, planned)
    grid = planned.as_json()
    for arm in grid["arms"]:
        arm["settings"] |= case.settings
    return grid


def run_case(case: Case, folder: Path, warm: Path) -> Outcome:
    """What becomes of a case.

    Args:
        case: The case.
        folder: Has `model` and `data` of `tiny`; the run goes into `runs`.
        warm: Folder of the warm worker.
    """
    started = time.monotonic()

    def outcome(kind: str, message: str = "") -> Outcome:
        return Outcome(case=case, kind=kind, message=message, seconds=time.monotonic() - started)

    try:
        grid = plan_case(case, folder / "model")
    except UserError as error:
        placed = error.line is not None or ".yml:" in str(error) or "ds.json:" in str(error)
        return outcome("refused" if placed else "fails", str(error))
    name = "".join(c if c.isalnum() else "-" for c in case.name)[:80]
    model, data = folder / "model/model.json", folder / "data"
    results = Results(tiny.as_results(folder / "runs" / name, model=model, data=data))
    variant = grid["arms"][0]["variant"]
    output = results.run(variant, 1)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            save_request(make_request(results, grid, variant, 1, case.ranks), output)
            launch(output, case.ranks, case.ranks, warm)
        except UserError as error:
            return outcome("fails", f"after the plan: {error}")
        except LaunchError as error:
            return outcome("fails", str(error))
        except SystemExit:
            return outcome("fails", printed.getvalue()[-1500:])
    return outcome(*_compared(case, grid["arms"][0]["settings"], output))


def _compared(case: Case, settings: dict[str, Any], output: Path) -> tuple[str, str]:
    """Whether effective.json has every value of the plan."""
    found = json.loads((output / "effective.json").read_text())
    planned = planned_effective(settings, batch_of(settings, case.ranks), 1, tiny.FACTS)
    planned.pop("dataloader_pin_memory", None)  # without a GPU transformers pins nothing
    wrong = [
        f"{name}: planned {value!r}, found {found.get(name)!r}"
        for name, value in planned.items()
        if name not in found or not same_value(found[name], value)
    ]
    return ("fails", "; ".join(wrong)) if wrong else ("runs", "")


def prepare(folder: Path) -> None:
    """The tiny model and its data."""
    tiny.write_model(folder / "model")
    tiny.write_data(folder / "data", rows=64)


def main(wanted: str = "") -> int:
    """Run the cases, say what became of them, and keep it in build/settings_matrix.json."""
    cases = [case for case in all_cases() if wanted in case.name]
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for case in cases:
            found = run_case(case, folder, folder / ".warm")
            outcomes.append(found)
            if not found.good:
                print(f"FAILED {case.name} ({found.kind}): {found.message}\n", flush=True)
    counts = Counter(found.kind for found in outcomes)
    seconds = sum(found.seconds for found in outcomes)
    print(f"{len(outcomes)} cases in {seconds:.0f} s: {dict(counts)}")
    record = [
        {"case": o.case.name, "outcome": o.kind, "message": o.message, "seconds": o.seconds}
        for o in outcomes
    ]
    save_json(record, ROOT / "results" / "soak" / "settings_matrix.json")
    return int(not all(found.good for found in outcomes))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
