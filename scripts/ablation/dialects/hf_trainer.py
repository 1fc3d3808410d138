"""`TrainingArguments` as one flat YAML or JSON file, with `deepspeed` and a LoRA block.

`deepspeed` is a mapping or the path of a file beside this one, whose lines are then that file's.
LoRA stands in a block `lora`, `peft_config`, `lora_config` or `peft`, or in flat keys `lora_r`, ...
"""

from __future__ import annotations

from ablation.dialects import defaults
from ablation.dialects.blocks import (
    read_lora,
    read_lora_keys,
    read_model,
    read_padding,
    read_trainer,
    refuse_full,
)
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

NAME = "hf_trainer"
SIGNATURE = (
    "per_device_train_batch_size",
    "num_train_epochs",
    "learning_rate",
    "max_steps",
    "output_dir",
    "per_gpu_train_batch_size",
)
DEFAULTS = (
    (defaults.TRAINER, defaults.TRAINER_DEFAULTS),
    (defaults.PEFT, defaults.LORA_DEFAULTS),
    (defaults.DEEPSPEED, defaults.DEEPSPEED_DEFAULTS),
    (defaults.NO_SUCH_STEP, defaults.PIPELINE_DEFAULTS),
)

_BLOCKS = ("lora", "peft_config", "lora_config", "peft")
FLAT_LORA = {
    "lora_r": "lora.r",
    "lora_rank": "lora.r",
    "lora_alpha": "lora.lora_alpha",
    "lora_dropout": "lora.lora_dropout",
    "lora_bias": "lora.bias",
    "lora_target_modules": "lora.target_modules",
    "lora_layers_to_transform": "lora.layers_to_transform",
    "lora_modules_to_save": "lora.modules_to_save",
    "use_rslora": "lora.use_rslora",
    "use_dora": "lora.use_dora",
}
_KEYS = (
    Key("max_length", "max_length"),
    Key("max_seq_length", "max_length"),
    Key("truncation", "truncation"),
    Key("padding", "padding", read_padding),
    *(Key(key, "world_size") for key in ("world_size", "num_gpus", "num_processes")),
)
_DTYPE = (Key("torch_dtype", "model.dtype"), Key("dtype", "model.dtype"))


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings."""
    read_trainer(reader, "")
    for block in _BLOCKS:
        refuse_full(reader, f"{block}.enable")
        refuse_full(reader, f"{block}.enabled")
        read_lora(reader, block)
    refuse_full(reader, "use_peft")
    refuse_full(reader, "use_lora")
    read_lora_keys(reader, FLAT_LORA)
    read_model(reader)
    take_keys(reader, _KEYS)
    for key in ("dataset", "dataset_name", "dataset_config", "packing", "max_samples"):
        reader.untrained(key)


KEYS = Keys(
    by_setting(
        trainer_keys(""),
        deepspeed_keys("deepspeed", follows=True),
        *(lora_keys(block) for block in _BLOCKS),
        under("", FLAT_LORA),
        _DTYPE,
        _KEYS,
    ),
    deepspeed="deepspeed",
    warmup=Warmup("warmup_ratio", "warmup_steps"),
)
