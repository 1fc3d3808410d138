"""A saved adapter's `adapter_config.json`: what LoRA was, and nothing of how it was trained."""

from __future__ import annotations

from ablation.dialects import defaults
from ablation.dialects.blocks import LORA_FIELDS, read_adapter
from ablation.dialects.keys import Key, Keys, by_setting, lora_keys
from ablation.dialects.reader import Reader

NAME = "peft_adapter"
DEFAULTS = defaults.WITH_TRAINER
_TELLING = frozenset(("r", "lora_alpha"))  # of a bare LoraConfig, which names no type
_FIELDS = {name.removeprefix("lora.") for name in LORA_FIELDS}
_MODEL = Key("base_model_name_or_path", "model.name_or_path")
_UNTOLD = "an adapter does not tell how it was trained"


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings."""
    keys = set(reader.root.value)
    bare = "r" in keys and keys <= {*_FIELDS, _MODEL.key}
    if not _TELLING.issubset(keys) and "peft_type" not in keys and not bare:
        return
    read_adapter(reader, "")
    reader.take(_MODEL.key, _MODEL.setting)
    for name in defaults.TRAINER_DEFAULTS:
        if name != "seed":
            reader.untold(name, _UNTOLD)


KEYS = Keys(by_setting(lora_keys(""), [_MODEL]))
