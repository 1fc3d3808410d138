"""What really runs, read back from the libraries' own objects after all of them filled theirs."""

from __future__ import annotations

import math
import re
from typing import Any

from ablation.errors import RunError
from ablation.frozen.padding_free import is_padding_free
from ablation.settings.adapted import find_adapted, trains_head
from ablation.settings.architecture import ABSENT, HEADS, Facts, is_full
from ablation.settings.catalogue import KERNELS, PADDING_FREE, Settings
from ablation.settings.quantities import cut_of, engine_dtype, kernels_of
from ablation.training.intent import (
    ADAMS,
    Batch,
    offload_device,
    scheduler_block,
    uses_deepspeed_scheduler,
)
from ablation.training.network import base_of

SCHEDULER_FACTS = (
    "total_num_steps",
    "warmup_num_steps",
    "warmup_type",
    "warmup_min_ratio",
    "cos_min_ratio",
)
# Settings that each library repeats as they are planned.
AS_PLANNED = (
    "num_train_epochs",
    "max_steps",
    "bf16",
    "fp16",
    "label_smoothing_factor",
    "dataloader_num_workers",
    "dataloader_pin_memory",
    "gradient_checkpointing",
    "max_grad_norm",
    "optim",
    "weight_decay",
    "learning_rate",
    "lr_scheduler_type",
    "padding",
    "deepspeed.zero_optimization.stage",
    "deepspeed.zero_optimization.allgather_bucket_size",
    "deepspeed.zero_optimization.reduce_bucket_size",
)
FIRST_MATRIX = re.compile(r"\.lora_(?:embedding_)?A\.")  # of an adapter, as peft names it
SAVED = ".modules_to_save."


class EffectiveMismatch(RunError):
    """A run does something else than its arm plans; the message names both values."""


def read_effective(trainer: Any, settings: Settings, max_length: int | None) -> dict[str, Any]:
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
        | (read_whole(trainer.model) if is_full(settings) else read_adapter(trainer.model))
        | {
            "max_length": max_length,
            "padding": "longest" if trainer.data_collator.pad_to is None else "max_length",
            "data.train_rows": len(trainer.train_dataset),
            KERNELS: [PADDING_FREE] if is_padding_free(base_of(trainer.model)) else [],
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
    groups, kind = optimizer.param_groups, type(optimizer)
    fused = bool(optimizer.defaults.get("fused"))
    own = "deepspeed" in kind.__module__
    found = {
        "optimizer_class": f"{kind.__module__}.{kind.__name__}",
        "optim": algorithm_of(optimizer),
        "optim_implementation": "deepspeed" if own else "torch_fused" if fused else "torch",
        "weight_decay": max(group["weight_decay"] for group in groups),
    }
    if "betas" not in groups[0]:
        return found
    beta1, beta2 = groups[0]["betas"]
    return found | {"adam_beta1": beta1, "adam_beta2": beta2, "adam_epsilon": groups[0]["eps"]}


def algorithm_of(optimizer: Any) -> str:
    """What an optimizer computes, by the name that settings have for it."""
    decoupled = getattr(optimizer, "adam_w_mode", None)  # DeepSpeed's: one class for both
    if decoupled is not None:
        return "adamw" if decoupled else "adam"
    return type(optimizer).__name__.lower()


def read_schedule(trainer: Any, settings: Settings) -> dict[str, Any]:
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
    trained = {name: param for name, param in network.named_parameters() if param.requires_grad}
    lora = {name: param for name, param in trained.items() if FIRST_MATRIX.search(name)}
    layers = sorted({int(n) for name in lora for n in re.findall(r"\.layers\.(\d+)\.", name)})
    saved = {name.split(SAVED)[0].rsplit(".", 1)[-1] for name in trained if SAVED in name}
    return {
        "lora.layers_to_transform": layers,
        "lora.r": config.r,
        "lora.ranks": sorted({shape_of(param)[0] for param in lora.values()}),
        "lora.lora_alpha": config.lora_alpha,
        "lora.lora_dropout": config.lora_dropout,
        "lora.target_modules": sorted({last_name(FIRST_MATRIX.split(name)[0]) for name in lora}),
        "lora.modules_to_save": sorted(saved),
        "lora.bias": config.bias,
        "lora.use_rslora": config.use_rslora,
        "lora.use_dora": config.use_dora,
        "lora.init_lora_weights": config.init_lora_weights,
        "model.dtype": dtype_name(network.get_input_embeddings().weight.dtype),
        "trainable_biases": sum(name.endswith(".bias") for name in trained),
    }


def read_whole(network: Any) -> dict[str, Any]:
    """From a network without an adapter: whether all of it learns."""
    return {
        "lora.enable": hasattr(network, "peft_config"),
        "frozen": [name for name, param in network.named_parameters() if not param.requires_grad],
        "model.dtype": dtype_name(network.get_input_embeddings().weight.dtype),
    }


def shape_of(param: Any) -> tuple[int, ...]:
    """Shape of a parameter, also where ZeRO-3 keeps only a part of it here."""
    return tuple(getattr(param, "ds_shape", param.shape))


def last_name(path: str) -> str:
    """Last part of a dotted path."""
    return path.rsplit(".", 1)[-1]


def dtype_name(dtype: Any) -> str:
    """Name of a torch dtype without the module."""
    return str(dtype).removeprefix("torch.")


def planned_effective(settings: Settings, batch: Batch, seed: int, model: Facts) -> dict[str, Any]:
    """What `read_effective` should find for the arm on this machine.

    Args:
        settings: The arm's settings.
        batch: The batch's cut.
        seed: The run's seed.
        model: Facts of the model's config.json.
    """
    plan = {name: settings[name] for name in AS_PLANNED if settings.get(name) is not None}
    plan |= {
        KERNELS: kernels_of(settings),
        "max_length": cut_of(settings),
        "per_device_train_batch_size": batch.micro,
        "gradient_accumulation_steps": batch.accumulation,
        "world_size": batch.world_size,
        "effective_batch_size": batch.rows,
        "seed": seed,
        "deepspeed.zero_optimization.offload_optimizer.device": offload_device(settings),
        "engine_dtype": engine_dtype(settings),
        "model.dtype": engine_dtype(settings),
        "optim_implementation": settings["optim_implementation"],
    }
    if settings["optim"] in ADAMS:
        names = ("adam_beta1", "adam_beta2", "adam_epsilon")
        plan |= {name: settings[name] for name in names}
    else:
        plan["optim_implementation"] = "torch"  # DeepSpeed too takes torch's class
    plan |= (
        {"lora.enable": False, "frozen": []}
        if is_full(settings)
        else planned_adapter(settings, model)
    )
    return planned_schedule(settings, plan)


def planned_adapter(settings: Settings, model: Facts) -> dict[str, Any]:
    """What `read_adapter` should find."""
    same = (
        "r",
        "lora_alpha",
        "lora_dropout",
        "bias",
        "use_rslora",
        "use_dora",
        "init_lora_weights",
    )
    plan = {f"lora.{name}": settings[f"lora.{name}"] for name in same}
    plan["lora.ranks"] = [settings["lora.r"]]
    adapted = find_adapted(settings, model)
    if adapted is not None:
        return plan | {
            "lora.layers_to_transform": adapted.layers,
            "lora.target_modules": adapted.names,
            "lora.modules_to_save": list(adapted.saved),
        }
    layers, targets = settings["lora.layers_to_transform"], settings["lora.target_modules"]
    if layers is not None:
        plan["lora.layers_to_transform"] = sorted(layers)
    if not isinstance(targets, str):
        plan["lora.target_modules"] = sorted({last_name(name) for name in targets} - ABSENT)
    if trains_head(settings) and not settings["lora.modules_to_save"]:
        plan["lora.modules_to_save"] = list(HEADS)
    return plan


def planned_schedule(settings: Settings, plan: dict[str, Any]) -> dict[str, Any]:
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
        f"{name}: planned {value!r}, but {effective.get(name)!r} runs"
        for name, value in plan.items()
        if not same_value(effective.get(name), value)
    ]
    if wrong:
        raise EffectiveMismatch("the run would not do what its arm plans:\n  " + "\n  ".join(wrong))


def same_value(left: Any, right: Any) -> bool:
    """Whether two values are equal, numbers to 12 digits."""
    numbers = (int, float)
    if isinstance(left, numbers) and isinstance(right, numbers):
        return math.isclose(left, right, rel_tol=1e-12)
    return left == right
