"""What a run is going to do, from the settings of its arm: plain data, without torch."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ablation.designs.feasibility import MEASURED
from ablation.errors import UserError
from ablation.settings.adapted import trains_head
from ablation.settings.catalogue import DEEPSPEED_SCHEDULERS, Settings

# Blocks of a DeepSpeed file that watch the training and don't change it.
OBSERVING = (
    "steps_per_print",
    "wall_clock_breakdown",
    "dump_state",
    "memory_breakdown",
    "monitor_config",
    "tensorboard",
    "csv_monitor",
    "wandb",
    "comet",
    "flops_profiler",
    "comms_logger",
)
SORTED_BATCHES = 50  # batches that are sorted by length together, at most
ADAMS = ("adamw", "adam")


@dataclass(frozen=True)
class Batch:
    """How one effective batch is cut: rows of a micro-batch, micro-batches of a step, devices."""

    micro: int
    accumulation: int
    world_size: int

    @property
    def rows(self) -> int:
        """Rows of one optimizer step."""
        return self.micro * self.accumulation * self.world_size

    def as_dict(self) -> dict[str, int]:
        """The three numbers by name."""
        return asdict(self)


def fit_batch(micro: int, accumulation: int, world_source: int, world_here: int) -> Batch:
    """Batch with the source's effective batch size, cut for the devices of this machine.

    The micro-batch stays and the accumulation changes; where that doesn't divide, the largest
    smaller micro-batch that does is taken.

    Raises:
        UserError: The devices here don't divide the effective batch.
    """
    rows = micro * accumulation * world_source
    if rows % world_here:
        allowed = [n for n in range(1, rows + 1) if rows % n == 0 and n <= max(world_here, 8)]
        raise UserError(
            f"the effective batch, {rows} = {micro} x {accumulation} x {world_source}, cannot be"
            " split evenly over the devices of a run",
            found=f"devices: {world_here}",
            allowed=allowed,
        )
    per_device = rows // world_here
    fitting = next(size for size in range(min(micro, per_device), 0, -1) if per_device % size == 0)
    return Batch(fitting, per_device // fitting, world_here)


def batch_of(settings: Settings, world_here: int) -> Batch:
    """Batch of an arm on this machine."""
    return fit_batch(
        settings["per_device_train_batch_size"],
        settings["gradient_accumulation_steps"],
        settings["world_size"],
        world_here,
    )


def epoch_order(
    rows: int, batch_rows: int, seed: int, epoch: int, lengths: np.ndarray | None = None
) -> np.ndarray:
    """Row numbers of one epoch in training order, filled up to whole effective batches.

    It depends on nothing but its arguments, so the rows of each optimizer step are the same for
    every number of devices, micro-batch and adapter. The last batch is filled with the first rows
    of the same order, as accelerate does between devices.

    Args:
        rows: Rows of the epoch.
        batch_rows: Rows of an effective batch.
        seed: The run's seed.
        epoch: Number of the epoch, from 0.
        lengths: Tokens of each row before any cut, so that max_length moves no row. Rows of a batch
            are then of similar length: each stretch of up to 50 batches is sorted, and the batches
            are shuffled. None leaves the rows as drawn.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(rows)
    filled = np.resize(order, -(-rows // batch_rows) * batch_rows)
    if lengths is None:
        return filled
    stretch = batch_rows * max(1, min(rows // (4 * batch_rows), SORTED_BATCHES))
    parts = [filled[i : i + stretch] for i in range(0, len(filled), stretch)]
    sorted_parts = [part[np.argsort(lengths[part], kind="stable")] for part in parts]
    batches = np.concatenate(sorted_parts).reshape(-1, batch_rows)
    return batches[generator.permutation(len(batches))].ravel()


def micro_batches(order: np.ndarray, batch: Batch) -> np.ndarray:
    """Row numbers as (step, micro-batch of a step, device, row): how devices share an epoch."""
    return order.reshape(-1, batch.accumulation, batch.world_size, batch.micro)


def real_token_share(
    lengths: np.ndarray, order: np.ndarray, batch: Batch, pad_to: int | None
) -> float:
    """Share of the processed tokens of one epoch that aren't padding.

    Args:
        lengths: Tokens of each row, after truncation.
        order: Row numbers in training order, as `epoch_order` returns them.
        batch: The batch's cut.
        pad_to: Least width of a row; None for the longest row of a micro-batch.
    """
    tokens = lengths[micro_batches(order, batch)]
    width = np.maximum(tokens.max(axis=-1, keepdims=True), pad_to or 0)
    return float(tokens.sum() / (np.zeros_like(tokens) + width).sum())


def class_weights(labels: np.ndarray, num_labels: int, settings: Settings) -> np.ndarray:
    """Weight of each class in the loss.

    It is clip((rows / (classes * rows of the class)) ** alpha, min, max). Classes without
    training rows weigh 1; they don't count among the classes.
    """
    counts = np.bincount(labels, minlength=num_labels).astype(float)
    present = counts > 0
    ratio = counts.sum() / (present.sum() * np.where(present, counts, 1))
    low, high = settings["loss.class_weight_min"], settings["loss.class_weight_max"]
    weights = np.clip(ratio ** settings["loss.class_weight_alpha"], low, high)
    return np.where(present, weights, 1.0)


def choose_pad_id(candidates: list[int | None], last_tokens: set[int], vocab_size: int) -> int:
    """Token id to pad with: one that no row ends with.

    The classification head pools the rightmost token that isn't the padding token, so a row that
    ends with it would be pooled too early.
    """
    for token in candidates:
        if token is not None and 0 <= token < vocab_size and token not in last_tokens:
            return token
    return next(token for token in range(vocab_size) if token not in last_tokens)


def selection_metric(settings: Settings) -> tuple[str, bool]:
    """Name of the validation metric that chooses the best epoch, and whether higher is better.

    Accuracy where the arm asks for none, or for one that is not measured and chooses nothing.
    """
    name = (settings.get("metric_for_best_model") or "accuracy").removeprefix("eval_")
    if name not in MEASURED:
        return "eval_accuracy", True
    higher = settings.get("greater_is_better")
    return f"eval_{name}", (name != "loss") if higher is None else bool(higher)


def uses_deepspeed_scheduler(settings: Settings) -> bool:
    """Whether DeepSpeed, and not transformers, makes the learning-rate schedule."""
    return settings["lr_scheduler_type"] in DEEPSPEED_SCHEDULERS


def deepspeed_config(settings: Settings, batch: Batch) -> dict[str, Any]:
    """DeepSpeed's configuration of an arm; "auto" stands where transformers fills the steps in."""
    config = nest_deepspeed_keys(settings)
    config.update(
        train_micro_batch_size_per_gpu=batch.micro,
        gradient_accumulation_steps=batch.accumulation,
        train_batch_size=batch.rows,
        gradient_clipping=settings["max_grad_norm"],
        steps_per_print=10**9,
        wall_clock_breakdown=False,
    )
    config.setdefault("bf16", {})["enabled"] = settings["bf16"]
    config.setdefault("fp16", {})["enabled"] = settings["fp16"]
    if settings["optim_implementation"] == "deepspeed" or settings["optim"] == "adam":
        config["optimizer"] = optimizer_block(settings)
    elif offload_device(settings) != "none":
        # Otherwise accelerate swaps the optimizer for DeepSpeedCPUAdam.
        config["zero_force_ds_cpu_optimizer"] = False
    if uses_deepspeed_scheduler(settings):
        config["scheduler"] = scheduler_block(settings)
    return config


def nest_deepspeed_keys(settings: Settings) -> dict[str, Any]:
    """The `deepspeed.*` settings as nested blocks, without those that only watch."""
    config: dict[str, Any] = {}
    for name, value in settings.items():
        first, *path = name.split(".")
        if first != "deepspeed" or not path or path[0] in OBSERVING or value is None:
            continue
        block = config
        for key in path[:-1]:
            block = block.setdefault(key, {})
        block[path[-1]] = value
    return config


def offload_device(settings: Settings) -> str:
    """Where the optimizer's state lives: "none" (the GPU), "cpu" or "nvme"."""
    return settings.get("deepspeed.zero_optimization.offload_optimizer.device") or "none"


def optimizer_block(settings: Settings) -> dict[str, Any]:
    """DeepSpeed's `optimizer` block."""
    names = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD"}
    params = {"lr": settings["learning_rate"], "weight_decay": settings["weight_decay"]}
    if settings["optim"] in ADAMS:
        params["betas"] = [settings["adam_beta1"], settings["adam_beta2"]]
        params["eps"] = settings["adam_epsilon"]
    if settings["optim"] == "adam":
        params["adam_w_mode"] = False  # it is AdamW otherwise, whatever its name
        params["torch_adam"] = settings["optim_implementation"] != "deepspeed"
    return {"type": names[settings["optim"]], "params": params}


def scheduler_block(settings: Settings) -> dict[str, Any]:
    """DeepSpeed's `scheduler` block; explicit parameters win over the settings' own."""
    name = settings["lr_scheduler_type"]
    params: dict[str, Any] = {}
    if name.startswith("Warmup"):
        params["warmup_num_steps"] = "auto"
    if name in ("WarmupDecayLR", "WarmupCosineLR"):
        params["total_num_steps"] = "auto"
    if name in ("WarmupLR", "WarmupDecayLR"):
        params.update(warmup_min_lr=0, warmup_max_lr=settings["learning_rate"])
    return {"type": name, "params": params | settings["lr_scheduler_kwargs"]}


def training_arguments(
    settings: Settings, batch: Batch, seed: int, output_dir: str
) -> dict[str, Any]:
    """Keyword arguments of `transformers.TrainingArguments` for an arm."""
    same = (
        "learning_rate",
        "weight_decay",
        "num_train_epochs",
        "max_steps",
        "warmup_steps",
        "adam_beta1",
        "adam_beta2",
        "adam_epsilon",
        "max_grad_norm",
        "label_smoothing_factor",
        "bf16",
        "fp16",
        "dataloader_num_workers",
        "dataloader_pin_memory",
    )
    arguments = {name: settings[name] for name in same}
    if not uses_deepspeed_scheduler(settings):
        arguments["lr_scheduler_type"] = settings["lr_scheduler_type"]
        arguments["lr_scheduler_kwargs"] = settings["lr_scheduler_kwargs"] or None
    return arguments | {
        "output_dir": output_dir,
        "per_device_train_batch_size": batch.micro,
        "per_device_eval_batch_size": settings.get("per_device_eval_batch_size") or batch.micro,
        "gradient_accumulation_steps": batch.accumulation,
        "optim": optimizer_name(settings),
        # transformers 5 renamed gradient_checkpointing.
        "activation_checkpointing": settings["gradient_checkpointing"],
        "activation_checkpointing_kwargs": {"use_reentrant": False},
        "seed": seed,
        "data_seed": seed,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "average_tokens_across_devices": True,
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "report_to": [],
        "disable_tqdm": True,
        "log_level": "warning",
    }


def optimizer_name(settings: Settings) -> str:
    """Value of `TrainingArguments.optim`; a DeepSpeed `optimizer` block takes its effect."""
    if settings["optim"] in ADAMS:
        fused = settings["optim_implementation"] == "torch_fused"
        return "adamw_torch_fused" if fused else "adamw_torch"
    return settings["optim"]


def lora_arguments(settings: Settings) -> dict[str, Any]:
    """Keyword arguments of `peft.LoraConfig` for an arm."""
    prefix = "lora."
    arguments = {
        name.removeprefix(prefix): copy.copy(value)  # peft extends lists in place
        for name, value in settings.items()
        if name.startswith(prefix)
    }
    for name in ("enable", "trains_head"):
        arguments.pop(name, None)
    return arguments | ({"task_type": "SEQ_CLS"} if trains_head(settings) else {})
