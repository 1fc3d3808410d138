"""Kedro parameters of a training pipeline: `split`, `train.*`, Trainer and DeepSpeed blocks."""

from __future__ import annotations

from ablation.dialects import defaults
from ablation.dialects.blocks import (
    read_deepspeed,
    read_dtype,
    read_lora,
    read_padding,
    read_trainer,
    refuse_full,
)
from ablation.dialects.reader import Reader

NAME = "kedro"
SIGNATURE = ("train.training_args", "train.tokenization")
DEFAULTS = (
    (defaults.TRAINER, defaults.TRAINER_DEFAULTS),
    (defaults.PEFT, defaults.LORA_DEFAULTS),
    (defaults.DEEPSPEED, defaults.DEEPSPEED_DEFAULTS),
    (defaults.NO_SUCH_STEP, defaults.PIPELINE_DEFAULTS),
)

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
_TOKENIZATION = ("max_length", "truncation", "padding")
_BLOCKS = (
    "split",
    "train.serialization",
    "train.tokenization",
    "train.loss",
    "train.model",
    "train.lora",
    "train.deepspeed",
)
_LOSS = ("use_class_weights", "class_weight_alpha", "class_weight_min", "class_weight_max")


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings."""
    for block in _BLOCKS:
        reader.block(block)
    refuse_full(reader, "train.lora.enable")
    for key, setting in _SPLIT.items():
        reader.take(f"split.{key}", setting)
    for key in _SERIALIZATION:
        reader.take(f"train.serialization.{key}", f"serialization.{key}")
    for key in _TOKENIZATION:
        reader.take(f"train.tokenization.{key}", key, read_padding if key == "padding" else None)
    for key in _LOSS:
        reader.take(f"train.loss.{key}", f"loss.{key}")
    reader.take("train.model.name_or_path", "model.name_or_path")
    for key in ("torch_dtype", "dtype"):
        reader.take(f"train.model.{key}", "model.dtype", read_dtype)
    reader.take("train.model.trust_remote_code", "model.trust_remote_code")
    read_trainer(reader, "train.training_args")
    reader.take("train.model.gradient_checkpointing", "gradient_checkpointing")
    read_lora(reader, "train.lora.config")
    reader.take("train.deepspeed.num_gpus", "world_size")
    reader.include("train.deepspeed.config")
    read_deepspeed(reader, "train.deepspeed.config")
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
