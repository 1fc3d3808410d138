"""A training loop that drives DeepSpeed itself: `lora`, `training`, `data`, `deepspeed`."""

from __future__ import annotations

from ablation.dialects import defaults
from ablation.dialects.blocks import (
    check_ratio,
    read_absent_lora,
    read_dtype,
    read_lora,
    read_padding,
)
from ablation.dialects.deepspeed import read_deepspeed
from ablation.dialects.keys import (
    Key,
    Keys,
    Warmup,
    by_setting,
    deepspeed_keys,
    lora_keys,
    take_keys,
)
from ablation.dialects.reader import Reader

NAME = "deepspeed_native"
SIGNATURE = ("deepspeed.train_micro_batch_size_per_gpu", "training.epochs")
DEFAULTS = defaults.NATIVE_LOOP

_KEYS = (
    Key("training.epochs", "num_train_epochs"),
    Key("training.seed", "seed"),
    Key("data.max_length", "max_length"),
    Key("data.padding", "padding", read_padding),
    Key("data.truncation", "truncation"),
    Key("data.extract_ratio", "data.extract_ratio"),
    Key("model.name", "model.name_or_path"),
    Key("model.torch_dtype", "model.dtype", read_dtype),
    Key("model.dtype", "model.dtype", read_dtype),
    Key("model.trust_remote_code", "model.trust_remote_code"),
    Key("model.gradient_checkpointing", "gradient_checkpointing"),
    Key("hardware.num_gpus", "world_size"),
    Key("hardware.num_workers", "dataloader_num_workers"),
    Key("hardware.pin_memory", "dataloader_pin_memory"),
)
# What this loop takes from DeepSpeed's block: in a file without one, another loop reads them.
_OF_OTHERS = ("learning_rate", "lr", "batch_size")


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings, unless another loop has rate and batch."""
    others = [name for name in _OF_OTHERS if reader.root.at(f"training.{name}") is not None]
    if others and reader.root.at("deepspeed") is None:
        return
    for block in ("training", "data", "model", "hardware"):
        reader.block(block)
    read_lora(reader, "lora")
    read_absent_lora(reader)
    reader.include("deepspeed")
    read_deepspeed(reader, "deepspeed")
    take_keys(reader, _KEYS)
    _read_warmup(reader)
    reader.untrained("training.early_stopping_patience")
    reader.ignore(
        "run_id",
        "cache_dir",
        "model.save_path",
        "training.progress_interval",
        "training.val_check_interval",
        "data.dataset_all_path",
    )


def _read_warmup(reader: Reader) -> None:
    """Warmup of the loop: `warmup_steps` unless it is `auto`, then `warmup_ratio`."""
    if reader.raw("training.warmup_enabled") is False:
        reader.ignore("training.warmup_steps", "training.warmup_ratio")
        return
    steps = reader.raw("training.warmup_steps")
    if steps in (None, "auto"):
        check_ratio(reader, "training.warmup_ratio")
        reader.take(
            "training.warmup_ratio", "warmup_steps", note="a ratio of all steps, for `auto`"
        )
    else:
        reader.ignore("training.warmup_ratio")
        reader.take("training.warmup_steps", "warmup_steps")


KEYS = Keys(
    by_setting(lora_keys("lora"), deepspeed_keys("deepspeed"), _KEYS),
    deepspeed="deepspeed",
    warmup=Warmup("training.warmup_ratio", "training.warmup_steps", "training.warmup_enabled"),
    adapter=("lora",),
)
