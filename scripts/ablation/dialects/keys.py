"""A dialect's keys as one table, read forwards into settings and backwards into a user's file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ablation.dialects.blocks import OPTIMIZERS, TRAINER_SETTINGS
from ablation.dialects.deepspeed import join
from ablation.dialects.reader import Reader
from ablation.settings.catalogue import SETTINGS

Settings = Mapping[str, object]


def _as_it_is(value: object, settings: Settings) -> object:
    return value


@dataclass(frozen=True)
class Key:
    """A key that says a setting.

    Attributes:
        key: Its dotted path.
        setting: The setting. One that ends in "." stands for all settings that begin with it,
            and the key, which ends in "." too, for all keys.
        read: From what the file has to what the setting takes.
        write: From the setting's value, and all settings of the arm, to what the file has.
        follows: Whether `auto` there means what the setting's first key says, and a value that
            contradicts the first key is refused, its default included: transformers and
            DeepSpeed compare the two.
    """

    key: str
    setting: str
    read: Callable[[object], object] | None = None
    write: Callable[[object, Settings], object] = _as_it_is
    follows: bool = False


@dataclass(frozen=True)
class Warmup:
    """The keys of the warmup: one for a share of all steps, one for steps, one to switch it on."""

    ratio: str
    steps: str
    enabled: str | None = None


@dataclass(frozen=True)
class Keys:
    """How a dialect writes each setting: the way back from settings to a user's file.

    Attributes:
        settings: Setting to the keys that say it, the one to add first.
        deepspeed: The DeepSpeed configuration that the file holds ("" where it is one); None
            where it holds none. Optimizer and scheduler blocks go there.
        warmup: The keys of the warmup.
        elsewhere: Keys under which DeepSpeed is configured in another form: no block of its own
            is added beside them.
        adapter: The blocks of LoRA, where a file without one trains no adapter; none where a key
            of the trainer's own switches it.
    """

    settings: Mapping[str, tuple[Key, ...]]
    deepspeed: str | None = None
    warmup: Warmup | None = None
    elsewhere: tuple[str, ...] = ()
    adapter: tuple[str, ...] = ()

    def of(self, setting: str) -> tuple[Key, ...]:
        """The keys of a setting; none where the dialect cannot say it."""
        if setting in self.settings:
            return self.settings[setting]
        for prefix, (first, *_) in self.settings.items():
            if prefix.endswith(".") and setting.startswith(prefix):
                return (Key(f"{first.key}{setting.removeprefix(prefix)}", setting),)
        return ()


def by_setting(*tables: Iterable[Key]) -> dict[str, tuple[Key, ...]]:
    """The keys of some tables by setting; of those that say the same, the earlier ones lead."""
    found: dict[str, tuple[Key, ...]] = {}
    for key in (key for table in tables for key in table):
        found[key.setting] = (*found.get(key.setting, ()), key)
    return found


def under(block: str, names: Mapping[str, str]) -> tuple[Key, ...]:
    """The keys of a block, from a table of key to setting; "" is the file's top level."""
    return tuple(Key(join(block, name), setting) for name, setting in names.items())


def take_keys(reader: Reader, table: Iterable[Key]) -> None:
    """Read the keys of a table that a file has."""
    for key in table:
        reader.take(key.key, key.setting, key.read)


def optimizer_name(value: object, settings: Settings) -> object:
    """TrainingArguments' name of an optimizer and its implementation."""
    wanted = (settings["optim"], settings["optim_implementation"])
    return next((name for name, pair in OPTIMIZERS.items() if pair == wanted), None)


def trainer_keys(block: str) -> tuple[Key, ...]:
    """A block of TrainingArguments."""
    names = {name: name for name in SETTINGS if name in TRAINER_SETTINGS}
    return (*under(block, names), Key(join(block, "optim"), "optim", write=optimizer_name))


def lora_keys(block: str) -> tuple[Key, ...]:
    """A block of LoraConfig fields; its task type says whether peft trains a classifier's head."""
    own = ("lora.enable", "lora.trains_head")
    names = [name for name in SETTINGS if name.startswith("lora.") and name not in own]
    head = Key(join(block, "task_type"), "lora.trains_head", write=_task_type)
    return (*under(block, {name.removeprefix("lora."): name for name in names}), head)


def _task_type(value: object, settings: Settings) -> object:
    return None if value is False else "SEQ_CLS"


def switch_keys(blocks: Iterable[str], names: Iterable[str]) -> tuple[Key, ...]:
    """Keys of scripts that switch LoRA: in its blocks, and at the top level."""
    inside = [join(block, name) for block in blocks for name in ("enable", "enabled")]
    return tuple(Key(key, "lora.enable") for key in (*inside, *names))


_DEEPSPEED = {
    "train_micro_batch_size_per_gpu": "per_device_train_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "optimizer.params.lr": "learning_rate",
    "optimizer.params.eps": "adam_epsilon",
    "optimizer.params.weight_decay": "weight_decay",
    "gradient_clipping": "max_grad_norm",
    "bf16.enabled": "bf16",
    "fp16.enabled": "fp16",
}


def deepspeed_keys(block: str, *, follows: bool = False) -> tuple[Key, ...]:
    """A DeepSpeed configuration; one that `follows` stands beside TrainingArguments."""
    betas = join(block, "optimizer.params.betas")
    return (
        *(Key(key.key, key.setting, follows=follows) for key in under(block, _DEEPSPEED)),
        *(Key(betas, f"adam_beta{n}", None, _betas, follows) for n in (1, 2)),
        Key(f"{block}." if block else "", "deepspeed."),
    )


def _betas(value: object, settings: Settings) -> object:
    return [settings["adam_beta1"], settings["adam_beta2"]]


# In the order in which people write them: a new key goes behind the last of those before it.
_ORDER = """
    task_type r lora_r lora_rank lora_alpha lora_dropout target_modules layers_to_transform
    modules_to_save bias use_rslora use_dora init_lora_weights
    train_split seed test_size val_size max_classes extract_ratio
    max_length truncation padding
    sequence_len cutoff_len lora_target lora_target_modules lora_target_linear
    num_train_epochs num_epochs epochs max_steps micro_batch_size per_device_train_batch_size
    per_device_eval_batch_size
    train_micro_batch_size_per_gpu gradient_accumulation_steps
    zero_optimization stage offload_param offload_optimizer device pin_memory
    optimizer type params lr betas eps optim adam_beta1 adam_beta2 adam_epsilon
    learning_rate weight_decay scheduler lr_scheduler lr_scheduler_type lr_scheduler_kwargs
    warmup_enabled warmup_steps warmup_ratio
    gradient_clipping max_grad_norm label_smoothing_factor
    bf16 fp16 gradient_checkpointing num_gpus num_workers dataloader_num_workers
    dataloader_pin_memory
"""
ORDER = tuple(_ORDER.split())
