"""The blocks that dialects share: Trainer arguments, a LoRA block, a DeepSpeed configuration.

What runs here cannot do is never passed over in silence. Where a run without it would still be the
same kind of run (8-bit optimizer states, quantised base weights, NEFTune, packing, ...), the key is
read, compared, and listed among the unknown ones with a note of what runs do instead
(`settings.UNTRAINED`). Where it would be another kind of run (full fine-tuning, Adafactor, a
schedule that does not exist here, preference training), the file is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ablation.dialects.defaults import (
    DEEPSPEED_DEFAULTS,
    DEEPSPEED_UNSAID,
    SCHEDULER_DEFAULTS,
    SCHEDULER_PARAMETERS,
)
from ablation.dialects.reader import DERIVED, EXPLICIT, Reader, Value
from ablation.documents.entries import Entry
from ablation.errors import UserError, shorten
from ablation.settings.catalogue import DEEPSPEED_SCHEDULERS, SETTINGS, UNTRAINED, words

# TrainingArguments fields that say how a run is watched and saved, not what it learns. Those of
# older releases are among them.
TRAINER_BOOKKEEPING = frozenset(
    words("""
    output_dir overwrite_output_dir do_train do_eval do_predict eval_strategy eval_steps eval_delay
    per_device_eval_batch_size eval_accumulation_steps eval_on_start eval_do_concat_batches
    eval_use_gather_object batch_eval_metrics prediction_loss_only include_for_metrics
    include_inputs_for_metrics include_num_input_tokens_seen include_tokens_per_second
    logging_dir logging_strategy logging_steps logging_first_step logging_nan_inf_filter
    log_level log_level_replica log_on_each_node
    save_strategy save_steps save_total_limit save_only_model save_on_each_node save_safetensors
    enable_jit_checkpoint restore_callback_states_from_checkpoint resume_from_checkpoint
    report_to run_name project trackio_space_id trackio_bucket_id trackio_static_space_id
    disable_tqdm push_to_hub push_to_hub_model_id push_to_hub_organization push_to_hub_token
    hub_model_id hub_strategy hub_token hub_private_repo hub_always_push hub_revision
    local_rank ddp_timeout ddp_backend ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph
    ddp_find_unused_parameters skip_memory_metrics use_cpu use_mps_device use_cache
    dataloader_persistent_workers dataloader_prefetch_factor dataloader_in_order
    remove_unused_columns label_names length_column_name debug past_index ray_scope
    """)
)

# Names that older releases used, and what they are called now. `warmup_ratio` and
# `group_by_length` changed their meaning with their name and are read below.
OLD_TRAINER_NAMES = {
    "evaluation_strategy": "eval_strategy",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "no_cuda": "use_cpu",
    "activation_checkpointing": "gradient_checkpointing",
}

OPTIMIZERS = {
    "adamw_torch_fused": ("adamw", "torch_fused"),
    "adamw_torch": ("adamw", "torch"),
    "adamw_hf": ("adamw", "torch"),
    "adamw_apex_fused": ("adamw", "torch_fused"),
    "sgd": ("sgd", "torch"),
}
# AdamW whose state is kept in fewer bits or paged out: its arithmetic is AdamW's.
COMPRESSED_OPTIMIZERS = {
    "adamw_8bit": "8bit (bitsandbytes)",
    "adamw_bnb_8bit": "8bit (bitsandbytes)",
    "adamw_torch_8bit": "8bit (torchao)",
    "adamw_torch_4bit": "4bit (torchao)",
    "paged_adamw_8bit": "8bit, paged (bitsandbytes)",
    "paged_adamw_32bit": "32bit, paged (bitsandbytes)",
    "paged_adamw": "32bit, paged (bitsandbytes)",
    "ao_adamw_8bit": "8bit (torchao)",
    "ao_adamw_4bit": "4bit (torchao)",
    "ao_adamw_fp8": "fp8 (torchao)",
}

# The flat settings that are TrainingArguments fields.
TRAINER_SETTINGS = frozenset(
    name
    for name, setting in SETTINGS.items()
    if "." not in name
    and name
    not in (
        "max_length",
        "truncation",
        "padding",
        "optim",
        "optim_implementation",
        "world_size",
        "warmup_steps",
    )
)

_DTYPES = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "half": "float16",
    "fp32": "float32",
    "float": "float32",
}


def join(prefix: str, name: str) -> str:
    """The dotted key of a name below a prefix, which may be empty."""
    return f"{prefix}.{name}" if prefix else name


def read_trainer(reader: Reader, prefix: str, skip: tuple[str, ...] = ()) -> None:
    """Read a block of `TrainingArguments`, old names included; `skip` is read elsewhere."""
    block = reader.block(prefix)
    if block is None:
        return
    names = [name for name in block.value if name not in skip]
    if "activation_checkpointing" in names and "gradient_checkpointing" in names:
        reader.ignore(join(prefix, "gradient_checkpointing"))  # the new name wins
        names.remove("gradient_checkpointing")
    for name in names:
        key = join(prefix, name)
        current = OLD_TRAINER_NAMES.get(name, name)
        if current == "lr_scheduler_kwargs":
            reader.take(key, current, _scheduler_kwargs)
        elif current in TRAINER_SETTINGS or current in TRAINER_BOOKKEEPING:
            reader.take(key, current)
        elif name == "optim":
            read_optim(reader, key)
        elif name == "group_by_length":
            reader.untrained(key, "train_sampling_strategy", _sampling)
        elif name == "deepspeed":
            reader.include(key)
            read_deepspeed(reader, key)
        elif name == "adafactor" and reader.raw(key):
            raise reader.error(key, "names an optimizer that cannot be run here", OPTIMIZERS)
        elif current in UNTRAINED and "." not in current:
            reader.untrained(key, current)
    if "warmup_steps" not in skip:
        read_warmup(reader, prefix)


def _sampling(value: object) -> object:
    if isinstance(value, bool):
        return "group_by_length" if value else "random"
    return value


def _scheduler_kwargs(value: object) -> object:
    """A mapping, also where it is written as JSON text (as on a command line)."""
    if value is None:
        return {}
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def read_optim(reader: Reader, key: str) -> None:
    """Read a name of `transformers.training_args.OptimizerNames`."""
    entry = reader.root.at(key)
    name = reader.raw(key)
    if name is None and reader.null_is_absent:
        return
    name = name if isinstance(name, str) else None
    compressed = COMPRESSED_OPTIMIZERS.get(name)
    if compressed is not None:
        reader.untrained(key, "optim_state", lambda value: compressed)
    elif name not in OPTIMIZERS:
        raise reader.error(
            key,
            "names an optimizer that cannot be run here",
            [*OPTIMIZERS, *COMPRESSED_OPTIMIZERS],
        )
    algorithm, implementation = OPTIMIZERS.get(name, ("adamw", "torch"))
    reader.add(key, entry, "optim", algorithm)
    reader.add(key, entry, "optim_implementation", implementation)


def read_warmup(reader: Reader, prefix: str) -> None:
    """`warmup_steps` wins over the old `warmup_ratio`, as it did in transformers 4."""
    steps_key, ratio_key = (join(prefix, name) for name in ("warmup_steps", "warmup_ratio"))
    steps = reader.root.at(steps_key)
    if steps is not None and steps.plain() not in (None, 0, "auto"):
        reader.take(steps_key, "warmup_steps")
        reader.ignore(ratio_key)
        return
    reader.ignore(steps_key)
    ratio = reader.root.at(ratio_key)
    if ratio is None or ratio.plain() is None:
        reader.ignore(ratio_key)
        return
    check_ratio(reader, ratio_key)
    reader.take(
        ratio_key,
        "warmup_steps",
        note="a ratio of all steps; transformers 5 calls it warmup_steps below 1",
    )


def check_ratio(reader: Reader, key: str) -> None:
    """Refuse a warmup ratio that would be taken for a number of steps."""
    value = reader.raw(key)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and not 0 <= value < 1:
        raise reader.error(key, "has a value it cannot have", "a ratio from 0 to below 1")


def read_model(reader: Reader, prefix: str = "", name_key: str = "model_name_or_path") -> None:
    """Read which model is loaded, and how: name, dtype, remote code, quantization."""
    reader.take(join(prefix, name_key), "model.name_or_path")
    for key in ("torch_dtype", "dtype"):
        reader.take(join(prefix, key), "model.dtype", read_dtype)
    reader.take(join(prefix, "trust_remote_code"), "model.trust_remote_code")
    for key in ("load_in_4bit", "load_in_8bit", "quantization_config"):
        reader.untrained(join(prefix, key))
    for key in ("attn_implementation", "use_flash_attention_2"):
        reader.untrained(join(prefix, key))


def read_dtype(value: object) -> object:
    """A dtype by its full name: `torch.bfloat16` and `bf16` are `bfloat16`."""
    if not isinstance(value, str):
        return value
    name = value.removeprefix("torch.")
    return _DTYPES.get(name, name)


def read_padding(value: object) -> object:
    """Padding as a tokenizer takes it: `true` is `longest`.

    With `false` and `do_not_pad` the collator pads, to the longest of a batch.
    """
    if value in (True, False, "true", "false", "do_not_pad"):
        return "longest"
    return value


def refuse_full(reader: Reader, key: str, write: str = "true") -> None:
    """Refuse a switch that turns LoRA off.

    Raises:
        UserError: it is off: all weights would be trained, which no run here does.
    """
    if reader.root.at(key) is not None and reader.raw(key) is False:
        raise reader.error(
            key,
            "turns LoRA off: full fine-tuning cannot be run here",
            "true",
            f"{key.rsplit('.', 1)[-1]}: {write}",
        )


_LORA_FIELDS = tuple(name for name in (*SETTINGS, *UNTRAINED) if name.startswith("lora."))
_LORA_IGNORED = words(
    "peft_type auto_mapping peft_version base_model_name_or_path revision inference_mode "
    "megatron_config megatron_core runtime_config qalora_group_size"
)


def read_lora(reader: Reader, prefix: str) -> None:
    """Read a block of `LoraConfig` fields."""
    if reader.block(prefix) is None:
        return
    names = {join(prefix, name.removeprefix("lora.")): name for name in _LORA_FIELDS}
    read_lora_keys(reader, names)
    reader.ignore(*(join(prefix, name) for name in _LORA_IGNORED))


def read_lora_keys(reader: Reader, names: Mapping[str, str]) -> None:
    """Read LoRA settings from keys that are called as `names` says (key to setting)."""
    for key, name in names.items():
        if name in UNTRAINED:
            reader.untrained(key, name)
        elif name == "lora.layers_to_transform":
            reader.take(key, name, _layers)
        elif name == "lora.target_modules":
            if reader.root.at(key) is not None and reader.raw(key) is not None:
                reader.take(key, name, _targets)
            else:
                reader.ignore(key)
        else:
            reader.take(key, name)
    targets = reader.first("lora.target_modules")
    layers = reader.first("lora.layers_to_transform")
    if targets and layers and isinstance(targets.value, str) and layers.value is not None:
        raise reader.error(
            layers.key,
            f"cannot stand beside {targets.key}: {shorten(targets.value)}: peft refuses layers "
            "where the modules are one text",
            "target_modules as a list of names, or no layers",
        )


def _layers(value: object) -> object:
    return None if value == [] else value  # peft takes an empty list for all layers


def _targets(value: object) -> object:
    """Module names; `all-linear` in any case is one word, as in peft."""
    if isinstance(value, str) and value.lower() == "all-linear":
        return "all-linear"
    return value


_DEEPSPEED_NAMES = {
    "train_micro_batch_size_per_gpu": "per_device_train_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "gradient_clipping": "max_grad_norm",
}
# Blocks and switches that are listed as they stand: they watch, save, or place memory.
_DEEPSPEED_KEPT = words(
    "steps_per_print wall_clock_breakdown dump_state memory_breakdown monitor_config tensorboard "
    "csv_monitor wandb comet flops_profiler comms_logger activation_checkpointing "
    "zero_allow_untested_optimizer zero_force_ds_cpu_optimizer aio checkpoint nebula autotuning "
    "disable_allgather hybrid_engine compile tensor_parallel pipeline"
)
_PRECISION = {"bf16": "bf16", "bfloat16": "bf16", "fp16": "fp16"}
_ZERO = "deepspeed.zero_optimization"
_ZERO_BLOCKS = ("offload_optimizer", "offload_param")
_ZERO_KEYS = frozenset(
    name.removeprefix(f"{_ZERO}.")
    for name in (*DEEPSPEED_DEFAULTS, *DEEPSPEED_UNSAID)
    if name.startswith(_ZERO)
) | {"stage3_gather_fp16_weights_on_model_save"}
_CPU_OFFLOAD = {
    "cpu_offload": "offload_optimizer.device",
    "cpu_offload_param": "offload_param.device",
    "cpu_offload_params": "offload_param.device",
}


def read_deepspeed(reader: Reader, prefix: str) -> None:
    """Read a DeepSpeed configuration, wherever it is embedded."""
    block = reader.block(prefix)
    if block is None:
        return
    for name in block.value:
        key = join(prefix, name)
        if name in _DEEPSPEED_NAMES:
            reader.take(key, _DEEPSPEED_NAMES[name])
        elif name == "train_batch_size":
            _read_train_batch(reader, key)
        elif name == "optimizer":
            _read_optimizer(reader, key)
        elif name == "scheduler":
            _read_scheduler(reader, key)
        elif name in _PRECISION:
            _read_precision(reader, key, _PRECISION[name])
        elif name == "zero_optimization":
            _read_zero(reader, key)
        elif f"deepspeed.{name}" in UNTRAINED:
            reader.untrained(key, f"deepspeed.{name}")
        elif name == "dataloader_drop_last":
            reader.untrained(key)
        elif name in _DEEPSPEED_KEPT:
            reader.keep(key, f"deepspeed.{name}")


def _read_train_batch(reader: Reader, key: str) -> None:
    """The global batch, of which `resolve` finds what the other numbers leave open."""
    entry = reader.root.at(key)
    if reader.raw(key) == "auto":
        return
    value = reader.check(key, entry, SETTINGS["per_device_train_batch_size"], entry.plain())
    reader.add(key, entry, "deepspeed.train_batch_size", value)


def _read_precision(reader: Reader, key: str, name: str) -> None:
    block = reader.block(key)
    if block is None:
        return
    reader.take(f"{key}.enabled", name)
    for below, _ in block.leaves():
        if below != "enabled":
            reader.take(f"{key}.{below}", f"deepspeed.{name}.{below}")


def _read_zero(reader: Reader, key: str) -> None:
    """ZeRO's block; the old switches `cpu_offload*` become the devices that they meant."""
    block = reader.block(key)
    if block is None:
        return
    for name in _ZERO_BLOCKS:
        reader.block(f"{key}.{name}")
    for name, leaf in block.leaves():
        below = f"{key}.{name}"
        if name in _ZERO_KEYS:
            reader.take(below, f"{_ZERO}.{name}")
        elif name in _CPU_OFFLOAD:
            note = f"the old name of {_CPU_OFFLOAD[name]}: cpu"
            reader.take(below, f"{_ZERO}.{_CPU_OFFLOAD[name]}", _offload_device, note)
        elif name == "cpu_offload_use_pin_memory":
            reader.take(below, f"{_ZERO}.offload_optimizer.pin_memory")
        elif leaf.value == {} or leaf.value is None:
            reader.ignore(below)


def _offload_device(value: object) -> object:
    return {True: "cpu", False: "none"}.get(value, value) if isinstance(value, bool) else value


def _read_optimizer(reader: Reader, key: str) -> None:
    if reader.block(key) is None or reader.root.at(f"{key}.type") is None:
        return
    entry = reader.root.at(f"{key}.type")
    name = reader.raw(f"{key}.type")
    reader.block(f"{key}.params")
    adam_w = reader.raw(f"{key}.params.adam_w_mode")
    known = {
        "adamw": "adamw",
        "adam": "adam" if adam_w is False else "adamw",
        "fusedadam": "adam" if adam_w is False else "adamw",
    }
    algorithm = known.get(str(name).lower())
    if algorithm is None:
        raise reader.error(
            f"{key}.type", "names an optimizer that cannot be run here", "AdamW | Adam"
        )
    note = None
    if str(name).lower() == "adam" and algorithm == "adamw":
        note = "DeepSpeed's Adam has adam_w_mode on by default: it is AdamW"
    reader.add(f"{key}.type", entry, "optim", algorithm, note, wins=True)
    torch = reader.raw(f"{key}.params.torch_adam") is True
    implementation = "torch" if torch else "deepspeed"
    reader.add(f"{key}.type", entry, "optim_implementation", implementation, wins=True)
    reader.take(f"{key}.params.lr", "learning_rate")
    reader.take(f"{key}.params.eps", "adam_epsilon")
    reader.take(f"{key}.params.weight_decay", "weight_decay")
    _read_betas(reader, f"{key}.params.betas")


def _read_betas(reader: Reader, key: str) -> None:
    betas = reader.root.at(key)
    plain = reader.raw(key)
    if plain in (None, "auto"):
        return
    if not isinstance(plain, list) or len(plain) != 2:
        raise reader.error(key, "is not a pair", "two numbers, as in [0.9, 0.999]")
    reader.add(key, betas, "adam_beta1", plain[0])
    reader.add(key, betas, "adam_beta2", plain[1])


def _read_scheduler(reader: Reader, key: str) -> None:
    """Scheduler type and its own parameters; `auto` ones are filled as transformers fills them."""
    if reader.block(key) is None or reader.root.at(f"{key}.type") is None:
        return
    kind = reader.raw(f"{key}.type")
    if kind not in DEEPSPEED_SCHEDULERS:
        raise reader.error(f"{key}.type", "is no scheduler of DeepSpeed", DEEPSPEED_SCHEDULERS)
    reader.take(f"{key}.type", "lr_scheduler_type", wins=True)
    kwargs = dict(SCHEDULER_DEFAULTS[kind])
    params = reader.block(f"{key}.params")
    if params is not None:
        for name, value in params.value.items():
            plain = _scheduler_parameter(reader, kind, f"{key}.params.{name}", value)
            if plain not in ("auto", None):
                kwargs[name] = plain
    place = params or reader.root.at(f"{key}.type")
    reader.settings.setdefault("lr_scheduler_kwargs", []).append(
        Value(
            dict(sorted(kwargs.items())),
            EXPLICIT if params is not None else DERIVED,
            place.file,
            place.line,
            f"{key}.params",
            wins=True,
        )
    )


def _scheduler_parameter(reader: Reader, kind: str, key: str, entry: Entry) -> object:
    """A parameter's value, found to be one that the scheduler takes."""
    name = key.rsplit(".", 1)[-1]
    if name not in SCHEDULER_PARAMETERS[kind]:
        raise UserError(
            f"'{key}' is no parameter of {kind}",
            file=entry.file,
            line=entry.key_line,
            found=name,
            allowed=SCHEDULER_PARAMETERS[kind],
        )
    value = reader.raw(key)
    if value in ("auto", None):
        return value
    if name == "warmup_type":
        if value not in ("log", "linear"):
            raise reader.error(key, "has a value it cannot have", "log | linear")
        return value
    if name in ("cycle_momentum", "lr_range_test_staircase"):
        if not isinstance(value, bool):
            raise reader.error(key, "has a value it cannot have", "true | false")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise reader.error(key, "has a value it cannot have", "a number or auto")
    if name.endswith(("_num_steps", "_step_size")):
        least = 0 if name == "decay_step_size" else 1
        if value != int(value) or value < least:
            raise reader.error(
                key, "has a value it cannot have", f"a whole number of at least {least}, or auto"
            )
        return int(value)
    return value
