"""What really runs, read back from the libraries' own objects after all of them filled theirs."""

from __future__ import annotations

import math
import re
from typing import Any

from ablation.errors import RunError
from ablation.settings.architecture import ABSENT
from ablation.settings.quantities import engine_dtype
from ablation.training.intent import (
    Batch,
    offload_device,
    scheduler_block,
    uses_deepspeed_scheduler,
)

SCHEDULER_FACTS = (
    "total_num_steps",
    "warmup_num_steps",
    "warmup_type",
    "warmup_min_ratio",
    "cos_min_ratio",
)


class EffectiveMismatch(RunError):
    """A run does something else than its arm plans; the message names both values."""


def read_effective(trainer: Any, settings: dict[str, Any], max_length: int | None) -> dict:
    """Effective settings in canonical names, once the engine is built.

    Only what an object can tell is in here; nothing is copied from the plan.
    """
    engine = trainer.deepspeed
    args = trainer.args
    return (
        read_arguments(args)
        | read_engine(engine)
        | read_optimizer(engine.basic_optimizer)
        | read_schedule(trainer, settings)
        | read_adapter(trainer.model)
        | {
            "max_length": max_length,
            "padding": "longest" if trainer.data_collator.pad_to is None else "max_length",
            "data.train_rows": len(trainer.train_dataset),
        }
    )


def read_arguments(args: Any) -> dict[str, Any]:
    """From TrainingArguments, where Trainer itself uses the value."""
    names = (
        "num_train_epochs",
        "max_steps",
        "bf16",
        "fp16",
        "label_smoothing_factor",
        "seed",
        "dataloader_num_workers",
        "dataloader_pin_memory",
    )
    found = {name: getattr(args, name) for name in names}
    return found | {"gradient_checkpointing": bool(args.activation_checkpointing)}


def read_engine(engine: Any) -> dict[str, Any]:
    """From the DeepSpeed engine."""
    offload = engine.zero_offload_optimizer()
    device = getattr(offload, "device", None)
    return {
        "per_device_train_batch_size": engine.train_micro_batch_size_per_gpu(),
        "gradient_accumulation_steps": engine.gradient_accumulation_steps(),
        "effective_batch_size": engine.train_batch_size(),
        "world_size": engine.world_size,
        "max_grad_norm": engine.gradient_clipping(),
        "deepspeed.zero_optimization.stage": engine.zero_optimization_stage(),
        "deepspeed.zero_optimization.offload_optimizer.device": getattr(device, "value", device)
        or "none",
        "deepspeed.zero_optimization.allgather_bucket_size": engine.zero_allgather_bucket_size(),
        "deepspeed.zero_optimization.reduce_bucket_size": engine.zero_reduce_bucket_size(),
        "engine_dtype": dtype_name(next(engine.module.parameters()).dtype),
    }


def read_optimizer(optimizer: Any) -> dict[str, Any]:
    """From the optimizer that DeepSpeed wraps: the strongest decay of its groups counts."""
    groups = optimizer.param_groups
    module = type(optimizer).__module__
    fused = bool(optimizer.defaults.get("fused"))
    own = "deepspeed" in module
    return {
        "optimizer_class": f"{module}.{type(optimizer).__name__}",
        "optim_implementation": "deepspeed" if own else "torch_fused" if fused else "torch",
        "adam_beta1": groups[0]["betas"][0],
        "adam_beta2": groups[0]["betas"][1],
        "adam_epsilon": groups[0]["eps"],
        "weight_decay": max(group["weight_decay"] for group in groups),
    }


def read_schedule(trainer: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """From the scheduler: its class, total and warm-up steps, peak learning rate."""
    scheduler = trainer.lr_scheduler
    scheduler = getattr(scheduler, "scheduler", scheduler)
    steps = trainer.state.max_steps
    found: dict[str, Any] = {"scheduler_class": type(scheduler).__name__, "total_steps": steps}
    if uses_deepspeed_scheduler(settings):
        for name in SCHEDULER_FACTS:
            if hasattr(scheduler, name):
                found[f"scheduler.{name}"] = getattr(scheduler, name)
        peak = getattr(scheduler, "org_lrs", None) or getattr(scheduler, "max_lrs", [None])
        return found | {"lr_scheduler_type": type(scheduler).__name__, "learning_rate": peak[0]}
    args = trainer.args
    return found | {
        "lr_scheduler_type": getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type),
        "lr_scheduler_kwargs": args.lr_scheduler_kwargs or {},
        "scheduler.warmup_num_steps": args.get_warmup_steps(steps),
        "learning_rate": scheduler.base_lrs[0],
    }


def read_adapter(network: Any) -> dict[str, Any]:
    """From peft's configuration and the parameters that can really learn."""
    config = network.peft_config["default"]
    names = [name for name, param in network.named_parameters() if param.requires_grad]
    lora = [name for name in names if ".lora_A." in name]
    layers = sorted({int(n) for name in lora for n in re.findall(r"\.layers\.(\d+)\.", name)})
    rank = {param.shape[0] for name, param in network.named_parameters() if ".lora_A." in name}
    modules = sorted({name.split(".lora_A.")[0].rsplit(".", 1)[-1] for name in lora})
    saved = {name.split(".modules_to_save.")[0].rsplit(".", 1)[-1] for name in names}
    heads = {name for name in config.modules_to_save or () if name in saved}
    numbered = {"lora.layers_to_transform": layers} if layers else {}
    return numbered | {
        "lora.r": config.r,
        "lora.ranks": sorted(rank),
        "lora.lora_alpha": config.lora_alpha,
        "lora.lora_dropout": config.lora_dropout,
        "lora.target_modules": modules,
        "lora.modules_to_save": sorted(heads),
        "lora.bias": config.bias,
        "lora.use_rslora": config.use_rslora,
        "lora.use_dora": config.use_dora,
        "lora.init_lora_weights": config.init_lora_weights,
        "model.dtype": dtype_name(network.get_input_embeddings().weight.dtype),
        "trainable_biases": sum(name.endswith(".bias") for name in names),
    }


def dtype_name(dtype: Any) -> str:
    """Name of a torch dtype without the module."""
    return str(dtype).removeprefix("torch.")


def planned_effective(
    settings: dict[str, Any], batch: Batch, seed: int, num_layers: int
) -> dict[str, Any]:
    """What `read_effective` should find for the arm on this machine."""
    same = (
        "num_train_epochs",
        "max_steps",
        "bf16",
        "fp16",
        "label_smoothing_factor",
        "dataloader_num_workers",
        "dataloader_pin_memory",
        "gradient_checkpointing",
        "max_grad_norm",
        "optim_implementation",
        "adam_beta1",
        "adam_beta2",
        "adam_epsilon",
        "weight_decay",
        "learning_rate",
        "lr_scheduler_type",
        "max_length",
        "padding",
        "lora.r",
        "lora.lora_alpha",
        "lora.lora_dropout",
        "lora.bias",
        "lora.use_rslora",
        "lora.use_dora",
        "lora.init_lora_weights",
        "deepspeed.zero_optimization.stage",
        "deepspeed.zero_optimization.allgather_bucket_size",
        "deepspeed.zero_optimization.reduce_bucket_size",
    )
    plan = {name: settings[name] for name in same if settings.get(name) is not None}
    layers = settings["lora.layers_to_transform"]
    saved = {*(settings["lora.modules_to_save"] or ()), "score"}
    plan |= {
        "per_device_train_batch_size": batch.micro,
        "gradient_accumulation_steps": batch.accumulation,
        "world_size": batch.world_size,
        "effective_batch_size": batch.rows,
        "seed": seed,
        "deepspeed.zero_optimization.offload_optimizer.device": offload_device(settings),
        "lora.ranks": [settings["lora.r"]],
        "lora.layers_to_transform": list(range(num_layers)) if layers is None else sorted(layers),
        "lora.modules_to_save": sorted(saved - ABSENT),
        "engine_dtype": engine_dtype(settings),
        "model.dtype": engine_dtype(settings),
    }
    targets = settings["lora.target_modules"]
    if not isinstance(targets, str):
        plan["lora.target_modules"] = sorted({name.rsplit(".", 1)[-1] for name in targets} - ABSENT)
    elif targets != "all-linear":
        del plan["lora.layers_to_transform"]  # the pattern chooses them
    return planned_schedule(settings, plan)


def planned_schedule(settings: dict[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
    """The plan with what the schedule decides."""
    if not uses_deepspeed_scheduler(settings):
        return plan | {"lr_scheduler_kwargs": settings["lr_scheduler_kwargs"]}
    params = scheduler_block(settings)["params"]
    told = {
        f"scheduler.{name}": params[name]
        for name in SCHEDULER_FACTS
        if params.get(name, "auto") != "auto"
    }
    if settings["lr_scheduler_type"].startswith("Warmup"):
        peak = params.get("warmup_max_lr", plan["learning_rate"])
        return plan | told | {"learning_rate": peak}
    # OneCycle and LRRangeTest set the learning rate, and OneCycle the betas, by themselves.
    own = ("learning_rate", "adam_beta1", "adam_beta2")
    return {name: value for name, value in plan.items() if name not in own} | told


def compare(effective: dict[str, Any], plan: dict[str, Any]) -> None:
    """Check that what runs is what was planned.

    Raises:
        EffectiveMismatch: A value differs; all of them are named.
    """
    wrong = [
        f"{name}: planned {value!r}, but {effective[name]!r} runs"
        for name, value in plan.items()
        if name in effective and not same_value(effective[name], value)
    ]
    if wrong:
        raise EffectiveMismatch("the run would not do what its arm plans:\n  " + "\n  ".join(wrong))


def same_value(left: Any, right: Any) -> bool:
    """Whether two values are equal, numbers to 12 digits."""
    numbers = (int, float)
    if isinstance(left, numbers) and isinstance(right, numbers):
        return math.isclose(left, right, rel_tol=1e-12)
    return left == right
