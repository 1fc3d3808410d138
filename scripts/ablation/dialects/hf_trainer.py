"""`TrainingArguments` as one flat YAML or JSON file, with `deepspeed` and a LoRA block.

`deepspeed` is a mapping or the path of a file beside this one, whose lines are then that file's.
LoRA stands in a block `lora`, `peft_config`, `lora_config` or `peft`, or in flat keys `lora_r`, ...
"""

from __future__ import annotations

from dataclasses import replace

from ablation.dialects import defaults
from ablation.dialects.arguments import check_arguments
from ablation.dialects.blocks import (
    OF_WEIGHTS,
    read_absent_lora,
    read_lora,
    read_lora_keys,
    read_model,
    read_padding,
    read_quantized,
    read_switch,
    read_trainer,
)
from ablation.dialects.keys import (
    Key,
    Keys,
    Warmup,
    by_setting,
    deepspeed_keys,
    lora_keys,
    switch_keys,
    take_keys,
    trainer_keys,
    under,
)
from ablation.dialects.objective import tell_objective
from ablation.dialects.own_names import (
    CHECKPOINTING,
    SWITCHES,
    read_own_length,
    read_own_lora,
    read_own_model,
    read_own_names,
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
DEFAULTS = defaults.WITH_TRAINER

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


def _undo_sanitizing(reader: Reader) -> None:
    """`TrainingArguments.to_sanitized_dict()` writes null as text, and adds the batch sizes."""
    keys = reader.root.value
    texts = [key for key, entry in keys.items() if entry.value == "None"]
    if not texts or "output_dir" not in keys:
        return
    for key in texts:
        keys[key] = replace(keys[key], value=None)
    reader.ignore("train_batch_size", "eval_batch_size")


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings."""
    _undo_sanitizing(reader)
    read_model(reader)
    read_quantized(reader, [name for name in OF_WEIGHTS if name != "quantization_config"])
    read_trainer(reader, "", skip=tuple(name for name in OF_WEIGHTS if name in reader.read_keys))
    check_arguments(reader)
    for block in _BLOCKS:
        for switch in (f"{block}.enable", f"{block}.enabled", block):
            read_switch(reader, switch)
        read_lora(reader, block)
    for switch in SWITCHES:
        read_switch(reader, switch)
    read_lora_keys(reader, FLAT_LORA)
    take_keys(reader, _KEYS)
    for key in ("dataset", "dataset_name", "dataset_config", "packing", "max_samples"):
        entry = reader.root.at(key)
        if entry is not None and not isinstance(entry.value, dict):
            reader.untrained(key)
    read_own_names(reader, "")
    read_own_lora(reader, "", whole=False)
    for block in _BLOCKS:
        if reader.first("training.method") is None:
            read_own_lora(reader, block, whole=True)
        read_own_names(reader, block, CHECKPOINTING)
    if "model.name_or_path" not in reader.settings:
        read_own_model(reader, ("",))
    if "max_length" not in reader.settings:
        read_own_length(reader, ("",))
    read_absent_lora(reader)
    if told := tell_objective(reader):
        reader.derive("training.objective", *told)
    reader.doubted.update(reader.own_names)


KEYS = Keys(
    by_setting(
        trainer_keys(""),
        deepspeed_keys("deepspeed", follows=True),
        *(lora_keys(block) for block in _BLOCKS),
        under("", FLAT_LORA),
        (*switch_keys(_BLOCKS, SWITCHES), *_DTYPE),
        _KEYS,
    ),
    deepspeed="deepspeed",
    warmup=Warmup("warmup_ratio", "warmup_steps"),
    adapter=_BLOCKS,
)
