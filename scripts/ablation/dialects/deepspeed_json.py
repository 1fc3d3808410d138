"""A bare DeepSpeed configuration: what is not DeepSpeed's own has the native loop's defaults."""

from __future__ import annotations

from ablation.dialects import defaults
from ablation.dialects.blocks import read_deepspeed
from ablation.dialects.deepspeed_native import DEFAULTS as NATIVE_DEFAULTS
from ablation.dialects.keys import Keys, by_setting, deepspeed_keys
from ablation.dialects.reader import Reader

NAME = "deepspeed_json"
SIGNATURE = ("train_micro_batch_size_per_gpu", "train_batch_size", "zero_optimization")
DEFAULTS = NATIVE_DEFAULTS


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings."""
    read_deepspeed(reader, "")
    reader.derive(
        "num_train_epochs",
        defaults.NATIVE_LOOP_DEFAULTS["num_train_epochs"],
        defaults.DEEPSPEED,
        "a DeepSpeed file does not say how long it trains",
    )


KEYS = Keys(by_setting(deepspeed_keys("")), deepspeed="")
