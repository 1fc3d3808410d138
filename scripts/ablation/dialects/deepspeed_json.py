"""A bare DeepSpeed configuration: what is not DeepSpeed's own has the native loop's defaults."""

from __future__ import annotations

from ablation.dialects import defaults
from ablation.dialects.deepspeed import read_deepspeed
from ablation.dialects.keys import Keys, by_setting, deepspeed_keys
from ablation.dialects.reader import Reader

NAME = "deepspeed_json"
SIGNATURE = ("train_micro_batch_size_per_gpu", "train_batch_size", "zero_optimization")
DEFAULTS = defaults.NATIVE_LOOP
REFUSES_REPEATED = ("deepspeed", "Duplicate keys in DeepSpeed config: ['{key}']")


# What Trainer's arguments decide where the file leaves it to them.
_FILLED = {
    "train_micro_batch_size_per_gpu": "per_device_train_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "gradient_clipping": "max_grad_norm",
    "optimizer.params.lr": "learning_rate",
    "optimizer.params.betas": "adam_beta1",
    "optimizer.params.eps": "adam_epsilon",
    "optimizer.params.weight_decay": "weight_decay",
    "scheduler.params.warmup_num_steps": "warmup_steps",
    "bf16.enabled": "bf16",
    "fp16.enabled": "fp16",
}


def _read_open(reader: Reader) -> None:
    """`auto` is Trainer's argument, which is not in this file; so is all that the file lacks."""
    trainer = defaults.TRAINER_DEFAULTS
    for key, setting in _FILLED.items():
        if reader.root.at(key) is not None and reader.raw(key) == "auto":
            note = f"auto: Trainer's {setting}, {trainer[setting]} by default"
            reader.untold(setting, note, key)
            if setting == "adam_beta1":
                reader.untold("adam_beta2", note, key)
    given = {"max_grad_norm"} if reader.root.at("gradient_clipping") is None else set()
    if reader.root.at("optimizer") is not None:
        given |= {"learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon"}
    for name in trainer:
        if name not in given and name != "seed":
            reader.untold(name, f"Trainer's {name}, which this file does not tell")


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings."""
    read_deepspeed(reader, "")
    if any(entry.value == "auto" for _, entry in reader.root.leaves()):
        _read_open(reader)
        return
    reader.derive(
        "num_train_epochs",
        defaults.SCRIPT_DEFAULTS["num_train_epochs"],
        defaults.SCRIPT,
        "a DeepSpeed file does not say how long it trains",
    )


KEYS = Keys(by_setting(deepspeed_keys("")), deepspeed="")
