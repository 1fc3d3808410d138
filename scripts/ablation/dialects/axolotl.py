"""axolotl: its own names for the Trainer's arguments, and defaults of its own.

Its own: one epoch, a cosine schedule, micro-batches of one row, bf16 where the GPU has it, rows
beyond `sequence_len` dropped rather than cut, and a warmup of 3 % of all steps but at most 100.
The number of steps depends on the data, so that cap is applied only where `max_steps` says how
many there are; otherwise the warmup is 3 % of all steps, and a note says so. Its ratios round down
where the Trainer's round up. Refused: full fine-tuning, schedules and optimizers that do not exist
here, and files that axolotl itself refuses (no `learning_rate`, no `lora_r`).
Read in axolotl 0.19.0.
"""

from __future__ import annotations

from ablation.dialects import defaults
from ablation.dialects.blocks import (
    check_ratio,
    read_lora_keys,
    read_model,
    read_optim,
    read_trainer,
)
from ablation.dialects.keys import (
    Key,
    Keys,
    Settings,
    Warmup,
    by_setting,
    deepspeed_keys,
    optimizer_name,
    trainer_keys,
    under,
)
from ablation.dialects.reader import Reader
from ablation.errors import UserError
from ablation.settings.catalogue import HF_SCHEDULERS, words

NAME = "axolotl"
SIGNATURE = ("base_model", "micro_batch_size", "sequence_len", "lora_target_linear")
DEFAULTS = (
    (defaults.AXOLOTL, defaults.AXOLOTL_DEFAULTS),
    (defaults.TRAINER, defaults.TRAINER_DEFAULTS),
    (defaults.PEFT, defaults.LORA_DEFAULTS),
    (defaults.DEEPSPEED, defaults.DEEPSPEED_DEFAULTS),
    (defaults.NO_SUCH_STEP, defaults.PIPELINE_DEFAULTS),
)

_LORA = {
    "lora_r": "lora.r",
    "lora_alpha": "lora.lora_alpha",
    "lora_dropout": "lora.lora_dropout",
    "lora_modules_to_save": "lora.modules_to_save",
    "lora_fan_in_fan_out": "lora.fan_in_fan_out",
    "lora_target_parameters": "lora.target_parameters",
    "lora_rank_pattern": "lora.rank_pattern",
    "lora_alpha_pattern": "lora.alpha_pattern",
    "peft_layers_to_transform": "lora.layers_to_transform",
    "peft_layers_pattern": "lora.layers_pattern",
    "peft_layer_replication": "lora.layer_replication",
    "peft_use_rslora": "lora.use_rslora",
    "peft_use_dora": "lora.use_dora",
    "peft_init_lora_weights": "lora.init_lora_weights",
    "peft_trainable_token_indices": "lora.trainable_token_indices",
}
_RENAMED = {
    "micro_batch_size": "per_device_train_batch_size",
    "num_epochs": "num_train_epochs",
    "sequence_len": "max_length",
    "eval_batch_size": "per_device_eval_batch_size",
}
_READ_HERE = ("bf16", "fp16", "gradient_checkpointing", "warmup_steps", "warmup_ratio", "optim")
_UNTRAINED = words(
    "datasets sample_packing batch_flattening train_on_inputs chat_template "
    "loraplus_lr_ratio loraplus_lr_embedding embedding_lr embedding_lr_scale lr_groups gptq "
    "early_stopping_patience curriculum_sampling flash_attention xformers_attention sdp_attention "
    "adam_beta3 adam_epsilon2 fsdp_version max_samples fp8"
)
_IGNORED = words(
    "model_type tokenizer_type base_model_config tokenizer_config strict dataset_prepared_path "
    "shuffle_merged_datasets dataset_processes dataset_num_proc test_datasets special_tokens "
    "tokens wandb_project wandb_entity wandb_watch wandb_name wandb_run_id wandb_log_model "
    "use_wandb mlflow_tracking_uri mlflow_experiment_name use_mlflow use_tensorboard "
    "evals_per_epoch saves_per_epoch eval_table_size eval_max_new_tokens "
    "auto_resume_from_checkpoints lora_model_dir eval_sample_packing lora_on_cpu gc_steps "
    "loss_watchdog_threshold loss_watchdog_patience"
)
_WARMUP_SHARE, _WARMUP_CAP = 0.03, 100


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings."""
    reader.null_is_absent = True
    _refuse(reader)
    read_trainer(reader, "", skip=_READ_HERE)
    for key, setting in _RENAMED.items():
        reader.take(key, setting)
    read_model(reader, name_key="base_model")
    read_lora_keys(reader, _LORA)
    _read_targets(reader)
    _read_accumulation(reader)
    if reader.root.at("optimizer") is not None:
        read_optim(reader, "optimizer")
    _read_schedule(reader)
    _read_warmup(reader)
    _read_precision(reader)
    _read_memory(reader)
    if reader.raw("pad_to_sequence_len") is True:
        reader.take("pad_to_sequence_len", "padding", lambda value: "max_length")
    reader.take("excess_length_strategy", "excess_length_strategy")
    for key in _UNTRAINED:
        reader.untrained(key)
    reader.ignore(*_IGNORED)


def _refuse(reader: Reader) -> None:
    adapter = reader.raw("adapter")
    if adapter not in ("lora", "qlora"):
        raise _missing(
            reader, "adapter", "full fine-tuning cannot be run here", "lora | qlora", "lora"
        )
    for key, example in (("learning_rate", "2.0e-4"), ("lora_r", "16"), ("lora_alpha", "32")):
        if reader.raw(key) is None:
            raise _missing(reader, key, f"axolotl needs `{key}`", "a number", example)
    if reader.raw("rl"):
        raise reader.error("rl", "is a kind of training that cannot be run here", "no rl")
    for key in ("lr_quadratic_warmup", "cosine_constant_lr_ratio", "relora"):
        if reader.raw(key):
            raise reader.error(key, "makes a schedule that cannot be run here", HF_SCHEDULERS)


def _missing(reader: Reader, key: str, problem: str, allowed: str, example: str) -> UserError:
    entry = reader.root.at(key)
    return UserError(
        problem,
        file=reader.file,
        line=entry.line if entry else 1,
        found=f"{key}: {entry.plain() if entry and entry.value is not None else 'not set'}",
        allowed=allowed,
        write=f"{key}: {example}",
    )


def _read_targets(reader: Reader) -> None:
    """`lora_target_linear` adds every linear module, by name, to `lora_target_modules`."""
    if reader.raw("lora_target_linear") is True:
        reader.ignore("lora_target_modules")
        reader.take("lora_target_linear", "lora.target_modules", lambda value: "all-linear")
        return
    targets = reader.root.at("lora_target_modules")
    if targets is not None and targets.plain() not in (None, []):
        reader.take("lora_target_modules", "lora.target_modules")
        read_lora_keys(reader, {})  # once more, now that the modules are known
    else:
        reader.ignore("lora_target_modules")


def _read_accumulation(reader: Reader) -> None:
    """`batch_size` says nothing: accumulation is 1 before axolotl would divide it up."""
    if reader.raw("batch_size") is not None:
        note = "axolotl accumulates once unless gradient_accumulation_steps says otherwise"
        reader.derive("gradient_accumulation_steps", 1, "batch_size", note)


def _read_schedule(reader: Reader) -> None:
    """The schedule; a cosine with a floor is transformers' `cosine_with_min_lr`."""
    floor = reader.raw("cosine_min_lr_ratio")
    kind = reader.raw("lr_scheduler")
    if kind is not None and kind not in HF_SCHEDULERS:
        raise reader.error("lr_scheduler", "is a schedule that cannot be run here", HF_SCHEDULERS)
    if floor and kind in (None, "cosine"):
        if isinstance(floor, bool) or not isinstance(floor, (int, float)) or not 0 <= floor <= 1:
            raise reader.error(
                "cosine_min_lr_ratio", "has a value it cannot have", "a number from 0 to 1"
            )
        entry = reader.root.at("cosine_min_lr_ratio")
        note = "a cosine that ends at cosine_min_lr_ratio"
        reader.add("cosine_min_lr_ratio", entry, "lr_scheduler_type", "cosine_with_min_lr", note)
        reader.settings.pop("lr_scheduler_kwargs", None)
        reader.add(
            "cosine_min_lr_ratio", entry, "lr_scheduler_kwargs", {"min_lr_rate": float(floor)}, note
        )
        return
    reader.take("lr_scheduler", "lr_scheduler_type")


def _read_warmup(reader: Reader) -> None:
    """`warmup_steps`, else `warmup_ratio`, else 3 % of all steps but at most 100; 1 becomes 2."""
    steps, ratio = reader.raw("warmup_steps"), reader.raw("warmup_ratio")
    total = reader.first("max_steps")
    known = total.value if total and total.value > 0 else None
    if steps is not None:
        note = "axolotl makes 2 of 1" if steps == 1 else None
        reader.take("warmup_steps", "warmup_steps", lambda value: 2 if value == 1 else value, note)
        return
    if ratio is not None:
        check_ratio(reader, "warmup_ratio")
        reader.take("warmup_ratio", "warmup_steps", note="a ratio of all steps")
        share, key = ratio, "warmup_ratio"
    else:
        share, key = _WARMUP_SHARE, defaults.AXOLOTL
    if known:
        count = int(share * known)
        count = min(count, _WARMUP_CAP) if ratio is None else count
        reader.settings.pop("warmup_steps", None)
        note = f"{share:g} of {known} steps, rounded down" + (
            ", at most 100" if ratio is None else ""
        )
        reader.derive("warmup_steps", float(2 if count == 1 else count), key, note)
    elif ratio is None:
        note = "3 % of all steps; axolotl's limit of 100 steps acts beyond 3333 steps"
        reader.derive("warmup_steps", share, key, note)


def _read_precision(reader: Reader) -> None:
    """bf16 with `auto` where the GPU has it; the base weights are loaded in the same precision."""
    bf16, fp16 = reader.raw("bf16"), reader.raw("fp16")
    if bf16 == "full":
        reader.take("bf16", "model.dtype", lambda value: "bfloat16", "pure bfloat16")
        reader.derive("bf16", False, "bf16", "weights in bfloat16, no mixed precision")
    elif bf16 not in (None, "auto"):
        reader.take("bf16", "bf16")
    elif bf16 is None and fp16 is True:
        reader.derive("bf16", False, "fp16", "fp16 is set")
    else:
        key = "bf16" if bf16 == "auto" else defaults.AXOLOTL
        reader.derive("bf16", True, key, "auto: where the GPU has it, as every recent one")
    if reader.says("bf16", True):
        reader.derive("fp16", False, "bf16", "bf16 wins over fp16")
    else:
        reader.take("fp16", "fp16")
    own = {"bfloat16": "bfloat16", "float16": "float16", "float32": "float32"}
    for key, dtype in own.items():
        if reader.raw(key) is True:
            reader.take(key, "model.dtype", lambda value, dtype=dtype: dtype)
    precision = "float16" if reader.says("fp16", True) else "float32"
    precision = "bfloat16" if reader.says("bf16", True) else precision
    reader.derive("model.dtype", precision, "bf16", "loaded in the precision of training")


def _read_memory(reader: Reader) -> None:
    """Checkpointing, which may also move what it saves; the loader's workers; validation rows."""
    if reader.raw("gradient_checkpointing") in ("offload", "offload_disk", "unsloth"):
        reader.untrained("gradient_checkpointing", "gradient_checkpointing_offload")
        reader.take("gradient_checkpointing", "gradient_checkpointing", lambda value: True)
    else:
        reader.take("gradient_checkpointing", "gradient_checkpointing")
    loader = ("dataloader_num_workers", "dataloader_pin_memory", "dataloader_prefetch_factor")
    if all(reader.raw(key) is None for key in loader):
        note = "axolotl starts a worker for each GPU where nothing is written; counted as one"
        reader.derive("dataloader_num_workers", 1, defaults.AXOLOTL, note)
    size = reader.root.at("val_set_size")
    if size is not None and not (isinstance(size.plain(), (int, float)) and size.plain() >= 1):
        reader.take("val_set_size", "split.val_size")


def _pads_to_the_limit(value: object, settings: Settings) -> object:
    return value == "max_length"


_OWN = (
    *under("", _RENAMED),
    *under("", _LORA),
    Key("lora_target_modules", "lora.target_modules"),
    Key("lr_scheduler", "lr_scheduler_type"),
    Key("optimizer", "optim", write=optimizer_name),
    Key("pad_to_sequence_len", "padding", write=_pads_to_the_limit),
)
_NAMED_ANEW = {key.setting for key in _OWN}
KEYS = Keys(
    by_setting(
        _OWN,
        [key for key in trainer_keys("") if key.setting not in _NAMED_ANEW],
        deepspeed_keys("deepspeed", follows=True),
    ),
    deepspeed="deepspeed",
    warmup=Warmup("warmup_ratio", "warmup_steps"),
)
