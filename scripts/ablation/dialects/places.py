"""Where each dialect writes each setting: the way back from canonical values to a user's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ablation.dialects.blocks import OPTIMIZERS
from ablation.settings.catalogue import SETTINGS

Settings = Mapping[str, object]


def _as_it_is(value: object, settings: Settings) -> object:
    return value


@dataclass(frozen=True)
class Place:
    """A key that can say a setting.

    Attributes:
        key: Its dotted path.
        write: From the canonical value, and all settings of the arm, to what the file has.
        follows: Whether `auto` there means what the first place says, and a value that
            contradicts the first place is refused, its default included: transformers and
            DeepSpeed compare the two.
    """

    key: str
    write: Callable[[object, Settings], object] = _as_it_is
    follows: bool = False


@dataclass(frozen=True)
class Warmup:
    """The keys of the warmup: one for a share of all steps, one for steps, one to switch it on."""

    ratio: str
    steps: str
    enabled: str | None = None


@dataclass(frozen=True)
class Places:
    """The places of one dialect.

    Attributes:
        settings: Setting to the keys that can say it, the one to add first. A name that ends in
            "." stands for all settings that begin with it.
        deepspeed: The DeepSpeed configuration that the file holds ("" where it is one); None
            where it holds none. Optimizer and scheduler blocks go there.
        warmup: The keys of the warmup.
        elsewhere: Keys under which DeepSpeed is configured in another form: no block of its own
            is added beside them.
    """

    settings: Mapping[str, tuple[Place, ...]]
    deepspeed: str | None = None
    warmup: Warmup | None = None
    elsewhere: tuple[str, ...] = ()

    def of(self, setting: str) -> tuple[Place, ...]:
        """The places of a setting; none where the dialect cannot say it."""
        if setting in self.settings:
            return self.settings[setting]
        for prefix, (place, *_) in self.settings.items():
            if prefix.endswith(".") and setting.startswith(prefix):
                return (Place(f"{place.key}{setting.removeprefix(prefix)}"),)
        return ()


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


def lora_places(block: str) -> dict[str, tuple[Place, ...]]:
    """A block of LoraConfig fields."""
    names = [name for name in SETTINGS if name.startswith("lora.")]
    return {name: (Place(f"{block}.{name.removeprefix('lora.')}"),) for name in names}


def optimizer_name(value: object, settings: Settings) -> object:
    """TrainingArguments' name of an optimizer and its implementation."""
    wanted = (settings["optim"], settings["optim_implementation"])
    return next((name for name, pair in OPTIMIZERS.items() if pair == wanted), None)


def trainer_places(block: str, *, follows: str | None = None) -> dict[str, tuple[Place, ...]]:
    """A block of TrainingArguments, beside a DeepSpeed configuration at `follows`."""
    dot = f"{block}." if block else ""
    names = [*_TRAINER, "optim"]
    found = {name: [Place(f"{dot}{name}")] for name in names}
    found["optim"] = [Place(f"{dot}optim", optimizer_name)]
    if follows is not None:
        for name, (place,) in deepspeed_places(follows, follows=True).items():
            found.setdefault(name, []).append(place)  # `deepspeed.` among them
    return {name: tuple(places) for name, places in found.items()}


def deepspeed_places(block: str, *, follows: bool = False) -> dict[str, tuple[Place, ...]]:
    """A DeepSpeed configuration."""
    dot = f"{block}." if block else ""
    keys = {
        "per_device_train_batch_size": "train_micro_batch_size_per_gpu",
        "gradient_accumulation_steps": "gradient_accumulation_steps",
        "learning_rate": "optimizer.params.lr",
        "adam_epsilon": "optimizer.params.eps",
        "weight_decay": "optimizer.params.weight_decay",
        "max_grad_norm": "gradient_clipping",
        "bf16": "bf16.enabled",
        "fp16": "fp16.enabled",
    }
    places = {name: (Place(f"{dot}{key}", follows=follows),) for name, key in keys.items()}
    betas = (Place(f"{dot}optimizer.params.betas", _betas, follows),)
    return {**places, "adam_beta1": betas, "adam_beta2": betas, "deepspeed.": (Place(dot),)}


def _betas(value: object, settings: Settings) -> object:
    return [settings["adam_beta1"], settings["adam_beta2"]]


_TRAINER = (
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "learning_rate",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "max_grad_norm",
    "label_smoothing_factor",
    "bf16",
    "fp16",
    "gradient_checkpointing",
    "load_best_model_at_end",
    "metric_for_best_model",
    "greater_is_better",
    "dataloader_num_workers",
    "dataloader_pin_memory",
)

_KEDRO_TRAINER = trainer_places("train.training_args", follows="train.deepspeed.config")

KEDRO = Places(
    {
        **_KEDRO_TRAINER,
        **lora_places("train.lora.config"),
        "gradient_checkpointing": (
            *_KEDRO_TRAINER["gradient_checkpointing"],
            Place("train.model.gradient_checkpointing"),
        ),
        "world_size": (Place("train.deepspeed.num_gpus"),),
        "max_length": (Place("train.tokenization.max_length"),),
        "truncation": (Place("train.tokenization.truncation"),),
        "padding": (Place("train.tokenization.padding"),),
        "data.extract_ratio": (Place("split.extract_ratio"),),
        "data.max_classes": (Place("split.max_classes"),),
        "loss.": (Place("train.loss."),),
        "model.dtype": (Place("train.model.torch_dtype"), Place("train.model.dtype")),
    },
    deepspeed="train.deepspeed.config",
    warmup=Warmup("train.training_args.warmup_ratio", "train.training_args.warmup_steps"),
)

DEEPSPEED_NATIVE = Places(
    {
        **lora_places("lora"),
        **deepspeed_places("deepspeed"),
        "num_train_epochs": (Place("training.epochs"),),
        "max_length": (Place("data.max_length"),),
        "truncation": (Place("data.truncation"),),
        "padding": (Place("data.padding"),),
        "data.extract_ratio": (Place("data.extract_ratio"),),
        "model.dtype": (Place("model.torch_dtype"), Place("model.dtype")),
        "gradient_checkpointing": (Place("model.gradient_checkpointing"),),
        "world_size": (Place("hardware.num_gpus"),),
        "dataloader_num_workers": (Place("hardware.num_workers"),),
        "dataloader_pin_memory": (Place("hardware.pin_memory"),),
    },
    deepspeed="deepspeed",
    warmup=Warmup("training.warmup_ratio", "training.warmup_steps", "training.warmup_enabled"),
)


def _renamed(names: Mapping[str, str]) -> dict[str, tuple[Place, ...]]:
    """Setting to the one key of the file's top level that says it."""
    return {setting: (Place(key),) for setting, key in names.items()}


def _joined(value: object, settings: Settings) -> object:
    """Names in one text with commas between them, as LLaMA-Factory's own examples have them."""
    if value == "all-linear":
        return "all"
    return ",".join(value) if isinstance(value, list) else value


def _inverted(value: object, settings: Settings) -> object:
    return not value


def _pads_to_the_limit(value: object, settings: Settings) -> object:
    return value == "max_length"


_FLAT_WARMUP = Warmup("warmup_ratio", "warmup_steps")
_FLAT_TRAINER = trainer_places("", follows="deepspeed")
_FLAT_DTYPE = {"model.dtype": (Place("torch_dtype"), Place("dtype"))}
_LORA_BLOCKS = ("lora", "peft_config", "lora_config", "peft")
_FLAT_LORA = {
    "lora.r": ("lora_r", "lora_rank"),
    "lora.lora_alpha": ("lora_alpha",),
    "lora.lora_dropout": ("lora_dropout",),
    "lora.bias": ("lora_bias",),
    "lora.target_modules": ("lora_target_modules",),
    "lora.layers_to_transform": ("lora_layers_to_transform",),
    "lora.modules_to_save": ("lora_modules_to_save",),
    "lora.use_rslora": ("use_rslora",),
    "lora.use_dora": ("use_dora",),
}
_NOT_TRL = ("lora.bias", "lora.layers_to_transform")


def _trainer_lora() -> dict[str, tuple[Place, ...]]:
    """A LoRA block beside flat Trainer arguments, or keys that begin with `lora_`."""
    blocks = [lora_places(block) for block in _LORA_BLOCKS]
    return {
        name: (
            *(block[name][0] for block in blocks),
            *(Place(key) for key in _FLAT_LORA.get(name, ())),
        )
        for name in blocks[0]
    }


HF_TRAINER = Places(
    {
        **_FLAT_TRAINER,
        **_FLAT_DTYPE,
        **_trainer_lora(),
        **_renamed({"truncation": "truncation", "padding": "padding"}),
        "max_length": (Place("max_length"), Place("max_seq_length")),
        "world_size": (Place("world_size"), Place("num_gpus"), Place("num_processes")),
    },
    deepspeed="deepspeed",
    warmup=_FLAT_WARMUP,
)

DEEPSPEED_JSON = Places(deepspeed_places(""), deepspeed="")

LLAMA_FACTORY = Places(
    {
        **_FLAT_TRAINER,
        **_renamed(
            {
                "lora.r": "lora_rank",
                "lora.lora_alpha": "lora_alpha",
                "lora.lora_dropout": "lora_dropout",
                "lora.use_rslora": "use_rslora",
                "lora.use_dora": "use_dora",
                "max_length": "cutoff_len",
            }
        ),
        "lora.target_modules": (Place("lora_target", _joined),),
        "lora.modules_to_save": (Place("additional_target", _joined),),
        "gradient_checkpointing": (Place("disable_gradient_checkpointing", _inverted),),
    },
    deepspeed="deepspeed",
    warmup=_FLAT_WARMUP,
)

AXOLOTL = Places(
    {
        **_FLAT_TRAINER,
        **_renamed(
            {
                "lora.r": "lora_r",
                "lora.lora_alpha": "lora_alpha",
                "lora.lora_dropout": "lora_dropout",
                "lora.target_modules": "lora_target_modules",
                "lora.layers_to_transform": "peft_layers_to_transform",
                "lora.modules_to_save": "lora_modules_to_save",
                "lora.use_rslora": "peft_use_rslora",
                "lora.use_dora": "peft_use_dora",
                "lora.init_lora_weights": "peft_init_lora_weights",
                "num_train_epochs": "num_epochs",
                "max_length": "sequence_len",
                "lr_scheduler_type": "lr_scheduler",
            }
        ),
        "per_device_train_batch_size": (
            Place("micro_batch_size"),
            *_FLAT_TRAINER["per_device_train_batch_size"][1:],
        ),
        "optim": (Place("optimizer", optimizer_name),),
        "padding": (Place("pad_to_sequence_len", _pads_to_the_limit),),
    },
    deepspeed="deepspeed",
    warmup=_FLAT_WARMUP,
)

TRL = Places(
    {
        **_FLAT_TRAINER,
        **{name: (Place(keys[0]),) for name, keys in _FLAT_LORA.items() if name not in _NOT_TRL},
        "model.dtype": (Place("dtype"), Place("torch_dtype")),
        "max_length": (Place("max_length"), Place("max_seq_length")),
        "world_size": (Place("num_processes"),),
    },
    deepspeed="deepspeed",
    warmup=_FLAT_WARMUP,
    elsewhere=("deepspeed_config", "accelerate_config"),
)

# A dialect's module may say its own as `PLACES` instead.
PLACES: dict[str, Places] = {
    "kedro": KEDRO,
    "deepspeed_native": DEEPSPEED_NATIVE,
    "hf_trainer": HF_TRAINER,
    "deepspeed_json": DEEPSPEED_JSON,
    "llama_factory": LLAMA_FACTORY,
    "axolotl": AXOLOTL,
    "trl": TRL,
}
