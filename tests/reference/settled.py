"""What transformers, accelerate and DeepSpeed make of arguments and a DeepSpeed configuration.

Their own objects are built one after the other, as `Trainer.train` builds them, up to the engine:
`TrainingArguments`, `HfTrainerDeepSpeedConfig` (which fills `auto` and compares), accelerate's
plugin and its last fill, `DeepSpeedConfig`, and the scheduler, which is stepped. Only the optimizer
is not built, as that compiles kernels: its class and signature are asked. `engine.py` beside this
file trains two layers with all of it.
"""

from __future__ import annotations

import copy
import inspect
import os
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("DS_ACCELERATOR", "cpu")

HIDDEN, STEPS = 16, 40


class Refused(Exception):
    """A library refuses; the text is its own."""


def settled(arguments: dict[str, Any], deepspeed: dict[str, Any]) -> dict[str, Any]:
    """The effective values, by the names of `TrainingArguments`.

    Raises:
        Refused: a library refuses the pair.
    """
    try:
        return _settled(arguments, copy.deepcopy(deepspeed))
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"{type(error).__name__}: {error}") from error


def _settled(arguments: dict[str, Any], deepspeed: dict[str, Any]) -> dict[str, Any]:
    args = training_arguments(arguments)
    config = finished_config(args, deepspeed)
    said = engine_config(config, args)
    optimizer = optimizer_of(said, args, config)
    rates = rates_of(said, args, optimizer["lr"])
    return {
        "per_device_train_batch_size": args.per_device_train_batch_size,
        "gradient_accumulation_steps": args.gradient_accumulation_steps,
        "max_grad_norm": said.gradient_clipping,
        "learning_rate": optimizer["lr"],
        "weight_decay": optimizer["weight_decay"],
        "adam_beta1": optimizer["betas"][0],
        "adam_beta2": optimizer["betas"][1],
        "adam_epsilon": optimizer["eps"],
        "optim": optimizer["optim"],
        "optim_implementation": optimizer["implementation"],
        "bf16": said.bfloat16_config.enabled,
        "fp16": said.float16_config.enabled,
        "deepspeed.zero_optimization.stage": int(said.zero_optimization_stage),
        "deepspeed.zero_optimization.reduce_bucket_size": said.zero_config.reduce_bucket_size,
        "deepspeed.zero_optimization.allgather_bucket_size": said.zero_config.allgather_bucket_size,
        "rates": rates,
    }


def training_arguments(arguments: dict[str, Any]) -> Any:
    """`TrainingArguments` on the CPU, DeepSpeed left aside."""
    from transformers import TrainingArguments

    return TrainingArguments(output_dir="unused", use_cpu=True, report_to="none", **arguments)


def finished_config(args: Any, deepspeed: dict[str, Any]) -> dict[str, Any]:
    """The configuration as accelerate hands it to DeepSpeed."""
    from accelerate.utils import DeepSpeedPlugin
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    filled = HfTrainerDeepSpeedConfig(deepspeed)
    filled.trainer_config_process(args)
    plugin = DeepSpeedPlugin(hf_ds_config=filled)
    plugin.set_mixed_precision(args.mixed_precision)
    model = SimpleNamespace(config=SimpleNamespace(hidden_size=HIDDEN))
    total = args.max_steps if args.max_steps > 0 else STEPS
    filled.trainer_config_finalize(args, model, total)
    buckets = {
        "reduce_bucket_size": HIDDEN * HIDDEN,
        "stage3_prefetch_bucket_size": int(0.9 * HIDDEN * HIDDEN),
        "stage3_param_persistence_threshold": 10 * HIDDEN,
    }
    late = {f"zero_optimization.{name}": value for name, value in buckets.items()}
    late["zero_optimization.stage3_gather_16bit_weights_on_model_save"] = False
    plugin.fill_match(
        "gradient_accumulation_steps",
        must_match=False,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
    )
    plugin.deepspeed_config_process(must_match=False, gradient_clipping=1.0, **late)
    return plugin.deepspeed_config


def engine_config(config: dict[str, Any], args: Any) -> Any:
    """What the engine reads of it."""
    from deepspeed.runtime.config import DeepSpeedConfig

    given = {**config, "steps_per_print": 10}
    if given["gradient_accumulation_steps"] is None:
        raise Refused("unsupported operand type(s) for *: 'int' and 'NoneType'")  # accelerate
    if "scheduler" in given and "type" not in given["scheduler"]:
        raise Refused("'DummyScheduler' object has no attribute 'get_last_lr'")  # Trainer
    said = DeepSpeedConfig(given)
    if said.gradient_clipping is None:
        raise Refused("'>' not supported between instances of 'NoneType' and 'float'")
    return said


def optimizer_of(said: Any, args: Any, config: dict[str, Any]) -> dict[str, Any]:
    """The optimizer's class and the defaults of its groups."""
    import torch
    from deepspeed.ops.adam import DeepSpeedCPUAdam, FusedAdam

    offload = said.zero_config.offload_optimizer
    cpu = offload is not None and offload.device in ("cpu", "nvme")
    if "optimizer" not in config:
        return _trainers_optimizer(args, config, cpu, said)
    name, params = said.optimizer_name, dict(said.optimizer_params or {})
    if name is None:
        raise Refused(f"zero stage {said.zero_optimization_stage} requires an optimizer")
    if "max_grad_norm" in params:
        raise Refused("'max_grad_norm' is not supported as an optimizer parameter")
    mode = params.pop("adam_w_mode", True)
    if name in ("adam", "adamw"):
        optim = "adamw" if name == "adamw" or mode else "adam"
        if params.pop("torch_adam", False):
            cls = torch.optim.AdamW if optim == "adamw" else torch.optim.Adam
            return _group(cls, params, optim, "torch")
        if cpu:
            params.pop("fp32_optimizer_states", None)
        return _group(DeepSpeedCPUAdam if cpu else FusedAdam, params, optim, "deepspeed")
    cls = {"adagrad": torch.optim.Adagrad}.get(name) or getattr(torch.optim, name, None)
    if cls is None:
        raise Refused(f"{name} is not a supported DeepSpeed Optimizer")
    allowed = (torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad)
    if cls not in allowed and said.zero_enabled and not said.zero_allow_untested_optimizer:
        raise Refused("You are using an untested ZeRO Optimizer.")
    return _group(cls, params, name.lower(), "torch")


def _group(cls: Any, params: dict[str, Any], optim: str, implementation: str) -> dict[str, Any]:
    signature = inspect.signature(cls.__init__)
    bound = signature.bind(None, None, **params)
    bound.apply_defaults()
    found = bound.arguments
    return {
        "lr": found["lr"],
        "betas": list(found.get("betas") or (None, None)),
        "eps": found.get("eps"),
        "weight_decay": found.get("weight_decay"),
        "optim": optim,
        "implementation": implementation,
    }


def _trainers_optimizer(args: Any, config: dict[str, Any], cpu: bool, said: Any) -> dict[str, Any]:
    names = {
        "adamw_torch": ("adamw", "torch"),
        "adamw_torch_fused": ("adamw", "torch_fused"),
        "sgd": ("sgd", "torch"),
    }
    optim, implementation = names[args.optim.value]
    forced = said.zero_force_ds_cpu_optimizer
    if cpu and forced:
        device = config["zero_optimization"].get("offload_optimizer", {}).get("device", "none")
        if device == "none":
            raise Refused("You are using ZeRO-Offload with a client provided optimizer")
        optim, implementation = ("adamw" if optim == "adamw" else "adam"), "deepspeed"
    return {
        "lr": args.learning_rate,
        "betas": [args.adam_beta1, args.adam_beta2],
        "eps": args.adam_epsilon,
        "weight_decay": args.weight_decay,
        "optim": optim,
        "implementation": implementation,
    }


def rates_of(said: Any, args: Any, rate: float) -> list[float]:
    """The rates of the first steps, from the scheduler itself."""
    import torch
    from deepspeed.runtime import lr_schedules
    from transformers import get_scheduler

    total = args.max_steps if args.max_steps > 0 else STEPS
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    if said.scheduler_name is None:
        scheduler = get_scheduler(
            args.lr_scheduler_type,
            optimizer,
            num_warmup_steps=args.get_warmup_steps(total),
            num_training_steps=total,
            scheduler_specific_kwargs=args.lr_scheduler_kwargs,
        )
    else:
        if said.scheduler_name not in lr_schedules.VALID_LR_SCHEDULES:
            raise Refused(f"DeepSpeed does not recognize LR scheduler {said.scheduler_name}")
        cls = getattr(lr_schedules, said.scheduler_name)
        if said.scheduler_params is None:
            raise Refused("argument after ** must be a mapping, not NoneType")
        scheduler = cls(optimizer, **said.scheduler_params)
    rates = []
    for _ in range(min(total, 12)):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates
