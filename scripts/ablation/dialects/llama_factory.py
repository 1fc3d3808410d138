"""LLaMA-Factory: Trainer arguments beside its own model, data and LoRA arguments.

Its own: alpha is twice the rank where it is not written; LoRA adapts all linear modules;
checkpointing is on, and `disable_gradient_checkpointing` turns it off; the base weights are loaded
in the precision of training. Refused: other methods than LoRA, other stages than `sft` and `pt`,
and optimizers of its own (GaLore, APOLLO, BAdam, Muon). Read in llamafactory 0.9.5.
"""

from __future__ import annotations

from ablation.dialects import defaults
from ablation.dialects.blocks import read_lora_keys, read_model, read_trainer
from ablation.dialects.keys import (
    Key,
    Keys,
    Settings,
    Warmup,
    by_setting,
    deepspeed_keys,
    take_keys,
    trainer_keys,
    under,
)
from ablation.dialects.reader import Reader
from ablation.settings.catalogue import words

NAME = "llama_factory"
SIGNATURE = ("finetuning_type", "cutoff_len", "lora_target", "disable_gradient_checkpointing")
DEFAULTS = (
    (defaults.LLAMA_FACTORY, defaults.LLAMA_FACTORY_DEFAULTS),
    (defaults.TRAINER, defaults.TRAINER_DEFAULTS),
    (defaults.PEFT, defaults.LORA_DEFAULTS),
    (defaults.DEEPSPEED, defaults.DEEPSPEED_DEFAULTS),
    (defaults.NO_SUCH_STEP, defaults.PIPELINE_DEFAULTS),
)

_LORA = {
    "lora_rank": "lora.r",
    "lora_alpha": "lora.lora_alpha",
    "lora_dropout": "lora.lora_dropout",
    "use_rslora": "lora.use_rslora",
    "use_dora": "lora.use_dora",
    "pissa_init": "lora.pissa_init",
}
_OWN_OPTIMIZERS = ("use_galore", "use_apollo", "use_badam", "use_muon", "use_adam_mini")
_UNTRAINED = words(
    "dataset template packing neat_packing max_samples train_on_prompt mask_history "
    "quantization_bit loraplus_lr_ratio flash_attn enable_liger_kernel use_unsloth fp8 "
    "upcast_layernorm upcast_lmhead_output"
)
_IGNORED = words(
    "do_train plot_loss overwrite_cache dataset_dir media_dir eval_dataset tokenized_path "
    "cache_dir preprocessing_num_workers preprocessing_batch_size use_fast_tokenizer "
    "print_param_status quantization_method quantization_type double_quantization "
    "include_effective_tokens_per_second "
    "compute_accuracy use_swanlab ddp_timeout low_cpu_mem_usage model_revision"
)


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings."""
    _refuse(reader)
    read_trainer(reader, "")
    read_model(reader)
    read_lora_keys(reader, _LORA)
    take_keys(reader, _OWN)
    rank = reader.first("lora.r")
    reader.derive(
        "lora.lora_alpha",
        2.0 * (rank.value if rank else defaults.LORA_DEFAULTS["lora.r"]),
        "lora_rank",
        "lora_alpha is not written: twice the rank",
    )
    _read_checkpointing(reader)
    _read_precision(reader)
    _read_validation_size(reader)
    reader.untrained("noisy_embedding_alpha", "neftune_noise_alpha")
    for key in _UNTRAINED:
        reader.untrained(key)
    reader.ignore(*_IGNORED)


def _refuse(reader: Reader) -> None:
    method = reader.raw("finetuning_type")
    if method not in (None, "lora"):
        raise reader.error(
            "finetuning_type",
            "is a method that cannot be run here",
            "lora",
            "finetuning_type: lora",
        )
    if reader.raw("stage") not in (None, "sft", "pt"):
        raise reader.error("stage", "is a kind of training that cannot be run here", "sft | pt")
    for key in _OWN_OPTIMIZERS:
        if reader.raw(key):
            raise reader.error(key, "is an optimizer that cannot be run here", "false")


def _targets(value: object) -> object:
    names = _names(value)
    return "all-linear" if names in (["all"], ["all-linear"]) else names


def _names(value: object) -> object:
    """Names that may stand in one text, with commas between them."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return value


def _read_checkpointing(reader: Reader) -> None:
    take_keys(reader, [_SWITCH])
    if reader.root.at(_SWITCH.key) is None and reader.says("gradient_checkpointing", False):
        written = reader.settings.pop("gradient_checkpointing")[0]
        reader.derive(
            "gradient_checkpointing",
            True,
            written.key,
            f"only `{_SWITCH.key}: true` turns it off in LLaMA-Factory",
        )


def _inverted(value: object) -> object:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "false"
    return not value if isinstance(value, bool) else value


def _read_precision(reader: Reader) -> None:
    """The base weights' dtype; without mixed precision it is the model's own."""
    if reader.raw("pure_bf16") is True:
        reader.untrained("pure_bf16")
        reader.derive("model.dtype", "bfloat16", "pure_bf16", "training in pure bfloat16")
    for key, dtype in (("bf16", "bfloat16"), ("fp16", "float16")):
        if reader.says(key, True):
            reader.derive("model.dtype", dtype, key, "loaded in the precision of training")


def _read_validation_size(reader: Reader) -> None:
    """A share of the rows; a whole number of rows is no share and stays unread."""
    size = reader.root.at("val_size")
    plain = size.plain() if size else None
    if size is not None and not (isinstance(plain, (int, float)) and plain >= 1):
        reader.take("val_size", "split.val_size")


def _joined(value: object, settings: Settings) -> object:
    """Names in one text with commas between them, as LLaMA-Factory's own examples have them."""
    if value == "all-linear":
        return "all"
    return ",".join(value) if isinstance(value, list) else value


_OWN = (
    Key("lora_target", "lora.target_modules", _targets, _joined),
    Key("additional_target", "lora.modules_to_save", _names, _joined),
    Key("cutoff_len", "max_length"),
)
_SWITCH = Key(
    "disable_gradient_checkpointing",
    "gradient_checkpointing",
    _inverted,
    lambda value, settings: not value,
)
KEYS = Keys(
    {
        **by_setting(
            trainer_keys(""),
            deepspeed_keys("deepspeed", follows=True),
            under("", _LORA),
            _OWN,
        ),
        _SWITCH.setting: (_SWITCH,),
    },
    deepspeed="deepspeed",
    warmup=Warmup("warmup_ratio", "warmup_steps"),
)
