"""Kedro parameters of a training pipeline: `split`, `train.*`, Trainer and DeepSpeed blocks."""

from __future__ import annotations

from ablation.dialects import defaults
from ablation.dialects.arguments import check_arguments
from ablation.dialects.blocks import (
    read_absent_lora,
    read_dtype,
    read_lora,
    read_padding,
    read_switch,
    read_trainer,
)
from ablation.dialects.deepspeed import embed_deepspeed
from ablation.dialects.keys import (
    Key,
    Keys,
    Warmup,
    by_setting,
    deepspeed_keys,
    lora_keys,
    take_keys,
    trainer_keys,
    under,
)
from ablation.dialects.reader import Reader

NAME = "kedro"
SIGNATURE = ("train.training_args", "train.tokenization")
DEFAULTS = defaults.WITH_TRAINER

_SPLIT = {
    "label_column": "data.label_column",
    "seed": "split.seed",
    "test_size": "split.test_size",
    "val_size": "split.val_size",
    "max_classes": "data.max_classes",
    "extract_ratio": "data.extract_ratio",
    "extract_seed": "split.extract_seed",
    "stratify_extract": "split.stratify_extract",
}
_SERIALIZATION = ("text_columns", "separator", "key_value_separator", "include_column_names")
_LOSS = ("use_class_weights", "class_weight_alpha", "class_weight_min", "class_weight_max")
_KEYS = (
    *under("split", _SPLIT),
    *under("train.serialization", {name: f"serialization.{name}" for name in _SERIALIZATION}),
    *under("train.tokenization", {"max_length": "max_length", "truncation": "truncation"}),
    Key("train.tokenization.padding", "padding", read_padding),
    *under("train.loss", {name: f"loss.{name}" for name in _LOSS}),
    Key("train.model.name_or_path", "model.name_or_path"),
    Key("train.model.torch_dtype", "model.dtype", read_dtype),
    Key("train.model.dtype", "model.dtype", read_dtype),
    Key("train.model.trust_remote_code", "model.trust_remote_code"),
    Key("train.deepspeed.num_gpus", "world_size"),
)
_CHECKPOINTING = Key("train.model.gradient_checkpointing", "gradient_checkpointing")
_BLOCKS = (
    "split",
    "train.serialization",
    "train.tokenization",
    "train.loss",
    "train.model",
    "train.lora",
    "train.deepspeed",
)


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings."""
    for block in _BLOCKS:
        reader.block(block)
    read_switch(reader, "train.lora.enable")
    take_keys(reader, _KEYS)
    read_trainer(reader, "train.training_args")
    check_arguments(reader)
    take_keys(reader, [_CHECKPOINTING])
    read_lora(reader, "train.lora.config")
    read_absent_lora(reader)
    reader.include("train.deepspeed.config")
    embed_deepspeed(reader, "train.deepspeed.config")
    reader.ignore(
        "split.labelize_num_proc",
        "train.serialization.num_proc",
        "train.tokenization.model_name",
        "train.tokenization.num_proc",
        "train.tokenization.sample_size",
        "train.tokenization.output_dir",
        "train.data",
        "train.model.num_labels",
        "train.lora.enable",
        "train.training_script",
        "train.metrics",
    )


KEYS = Keys(
    by_setting(
        trainer_keys("train.training_args"),
        deepspeed_keys("train.deepspeed.config", follows=True),
        lora_keys("train.lora.config"),
        [_CHECKPOINTING, Key("train.lora.enable", "lora.enable")],
        _KEYS,
    ),
    deepspeed="train.deepspeed.config",
    warmup=Warmup("train.training_args.warmup_ratio", "train.training_args.warmup_steps"),
)
