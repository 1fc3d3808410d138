"""The blocks that dialects share: Trainer arguments and a LoRA block.

What runs here cannot do is never passed over in silence: the key is read, compared, and listed
among the unknown ones with a note of what runs do instead (`settings.UNTRAINED`), or the plan
refuses the arm (`designs.feasibility`). What transformers or peft themselves refuse is noted as a
refusal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ablation.dialects.arguments import TRANSFORMERS
from ablation.dialects.deepspeed import embed_deepspeed, join
from ablation.dialects.reader import DERIVED, Reader, Value, meant, switched
from ablation.dialects.vocabulary import keys_of
from ablation.documents.entries import Entry
from ablation.documents.scalars import is_number
from ablation.errors import shorten
from ablation.settings.catalogue import SETTINGS, UNTRAINED, words

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
    jit_mode_eval use_ipex fp16_opt_level half_precision_backend fp16_backend tpu_num_cores
    tpu_metrics_debug fsdp_min_num_params tp_size fsdp_transformer_layer_cls_to_wrap mp_parameters
    use_legacy_prediction_loop torchdynamo dispatch_batches split_batches xpu_backend sharded_ddp
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
    **{name: (name, "torch") for name in ("adafactor", "adagrad", "rmsprop")},
}
# The other names of `transformers.training_args.OptimizerNames`: optimizers by these names.
OTHER_OPTIMIZERS = words(
    "adamw_torch_xla adamw_torch_npu_fused adamw_anyprecision ademamix ademamix_8bit lion_8bit "
    "lion_32bit paged_ademamix_32bit paged_ademamix_8bit paged_lion_32bit paged_lion_8bit "
    "rmsprop_bnb rmsprop_bnb_8bit rmsprop_bnb_32bit galore_adamw galore_adamw_8bit "
    "galore_adafactor galore_adamw_layerwise galore_adamw_8bit_layerwise "
    "galore_adafactor_layerwise lomo adalomo grokadamw schedule_free_radam schedule_free_adamw "
    "schedule_free_sgd apollo_adamw apollo_adamw_layerwise stable_adamw"
)
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

UNSLOTH = "unsloth"
_DTYPES = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "half": "float16",
    "fp32": "float32",
    "float": "float32",
}


def read_trainer(reader: Reader, prefix: str, skip: tuple[str, ...] = ()) -> None:
    """Read a block of `TrainingArguments`, old names included; `skip` is read elsewhere."""
    block = reader.block(prefix)
    if block is None:
        return
    if not {"beta", "loss_type"} & set(block.value):  # then it is none of a preference's loss
        skip = (*skip, "label_smoothing")
    names = [name for name in block.value if name not in skip]
    if "activation_checkpointing" in names and "gradient_checkpointing" in names:
        reader.ignore(join(prefix, "gradient_checkpointing"))  # the new name wins
        names.remove("gradient_checkpointing")
    for name in names:
        key = join(prefix, name)
        current = OLD_TRAINER_NAMES.get(name, name)
        if current != name and block.value[name].value is None:
            reader.ignore(key)
            continue
        if current == "lr_scheduler_kwargs":
            reader.take(key, current, _scheduler_kwargs)
        elif current in TRAINER_SETTINGS and reader.raw(key) == "auto":
            _leave_open(reader, key, current)
        elif current in TRAINER_SETTINGS and SETTINGS[current].kind == "bool":
            reader.take(key, current, None if SETTINGS[current].optional else read_switched)
        elif current in TRAINER_SETTINGS or current in TRAINER_BOOKKEEPING:
            reader.take(key, current)
        elif name == "optim":
            read_optim(reader, key)
        elif name == "group_by_length":
            reader.untrained(key, "train_sampling_strategy", _sampling)
        elif name == "deepspeed":
            read_engine(reader, key)
        elif name == "adafactor" and reader.raw(key) is True:
            reader.take(key, "optim", lambda value: "adafactor")
            reader.take(key, "optim_implementation", lambda value: "torch")
        elif current in UNTRAINED and "." not in current and _may_be_a_block(block, name):
            reader.untrained(key, current)
    if "warmup_steps" not in skip:
        read_warmup(reader, prefix)
    asked, evaluated = reader.first("do_eval"), reader.first("eval_strategy")
    if asked and evaluated and asked.value is False and evaluated.value not in ("no", False, None):
        note = "eval_strategy turns evaluation on"
        reader.settings["do_eval"] = [replace(asked, value=True, origin=DERIVED, note=note)]


def read_switched(value: object) -> object:
    """A switch as Trainer asks for it, that it is set; unsloth's checkpointing has a name."""
    if value == UNSLOTH:
        return True
    return False if value is None else value


def read_engine(reader: Reader, key: str) -> None:
    """Read a DeepSpeed configuration, or the file of one that is named; Trainer asks whether it is
    set, so false and what is empty are none."""
    entry = reader.root.at(key)
    if entry is not None and entry.value in (False, "", {}):
        reader.ignore(key)
        return
    reader.include(key)
    embed_deepspeed(reader, key)


def _leave_open(reader: Reader, key: str, setting: str) -> None:
    """`auto`, which DeepSpeed's block alone may say: a script has to put something in its place."""
    reader.untold(setting, "auto: the script decides, and Trainer knows no such value", key)
    if reader.arguments is None and SETTINGS[setting].kind in ("float", "int"):
        reason = "auto is no number: only a DeepSpeed configuration beside the arguments has it"
        reader.refuse(key, setting, TRANSFORMERS, reason)


def _may_be_a_block(block: Entry, name: str) -> bool:
    """Whether a mapping is one of Trainer's own: others may hold a whole configuration."""
    return not isinstance(block.value[name].value, dict) or name in keys_of("hf_trainer")


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
    plain = reader.raw(key)
    if plain is None and reader.null_is_absent:
        return
    entry, name = reader.root.known(key), str(plain)
    compressed = COMPRESSED_OPTIMIZERS.get(name)
    if compressed is not None:
        reader.untrained(key, "optim_state", lambda value: compressed)
    elif name not in OPTIMIZERS and name not in OTHER_OPTIMIZERS:
        known = [*OPTIMIZERS, *COMPRESSED_OPTIMIZERS, *OTHER_OPTIMIZERS]
        reader.refuse(key, "optim", TRANSFORMERS, f"{name} is not a valid OptimizerNames", known)
    other = ("adamw" if compressed is not None else name, "torch")
    algorithm, implementation = OPTIMIZERS.get(name, other)
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
    if steps is not None and steps.plain() is None and not reader.null_is_absent:
        reason = "'<' not supported between instances of 'NoneType' and 'int'"
        reader.refuse(steps_key, "warmup_steps", TRANSFORMERS, reason, "a number, or no such key")
    reader.ignore(steps_key)
    ratio = reader.root.at(ratio_key)
    if ratio is None or ratio.plain() is None:
        reader.ignore(ratio_key)
        if steps is not None and steps.plain() == "auto":
            _leave_open(reader, steps_key, "warmup_steps")
        return
    check_ratio(reader, ratio_key)
    reader.take(
        ratio_key,
        "warmup_steps",
        note="a ratio of all steps; transformers 5 calls it warmup_steps below 1",
    )


def check_ratio(reader: Reader, key: str) -> None:
    """Note a warmup ratio that transformers refuses."""
    value = reader.raw(key)
    if is_number(value) and not 0 <= value <= 1:
        reason = "warmup_ratio must lie in range [0,1]"
        reader.refuse(key, "warmup_steps", TRANSFORMERS, reason, "a ratio from 0 to below 1")


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


_QUANTIZED = words(
    "load_in_4bit load_in_8bit bnb_4bit_quant_type bnb_4bit_quant_storage bnb_4bit_compute_dtype "
    "bnb_4bit_use_double_quant"
)
# What scripts call these in a block of their own.
_OWN_QUANTIZED = {
    **dict.fromkeys(words("quant_storage storage_dtype"), "bnb_4bit_quant_storage"),
    **dict.fromkeys(words("compute_dtype bnb_compute_dtype"), "bnb_4bit_compute_dtype"),
    **dict.fromkeys(
        words("double_quant use_double_quant double_quantization nested_quant use_nested_quant"),
        "bnb_4bit_use_double_quant",
    ),
}
_BITS = words(
    "bits bit num_bits nbits quantization_bits quantization_bit quant_type base_quantization type"
)


def read_quantized(reader: Reader, blocks: Iterable[str]) -> None:
    """Read how the base weights are quantized, of the first block that says it."""
    for block in blocks:
        called = block.rsplit(".", 1)[-1]
        if called in OF_WEIGHTS and (_is_off(reader, block) or _is_of_bits(reader, block)):
            continue
        for name in _QUANTIZED:
            if reader.first(name) is None:
                reader.untrained(join(block, name), name, _DTYPE_OF.get(name))
        if called in OF_WEIGHTS:
            _read_own_quantized(reader, block)


def _is_off(reader: Reader, block: str) -> bool:
    """Whether a block switches itself off; then nothing in it does anything."""
    off = any(switched(reader.root.at(key)) is False for key in _switches(block))
    if off:
        leaves = reader.root.known(block).leaves()
        reader.idle({"quantization is switched off": [join(block, key) for key, _ in leaves]})
    return off


def _switches(block: str) -> list[str]:
    return [join(block, name) for name in ("enabled", "enable")]


def _is_of_bits(reader: Reader, key: str) -> bool:
    """Whether a key says a number of bits (`quantization: 4bit`, `bits: 4`): then it is read."""
    entry = reader.root.at(key)
    said = str(entry.value).lower() if entry else ""
    bits = re.fullmatch(r"(?:int)?([48])(?:\.0|[-_]?bit)?|(?:nf|fp)(4)", said)
    if bits is None or key in reader.read_keys:
        return False
    switch = f"load_in_{bits[1] or bits[2]}bit"
    switched = [reader.first(name) for name in ("load_in_4bit", "load_in_8bit")]
    if switched == [None, None]:
        reader.untrained(key, switch, lambda value: True)
    elif bits[1] and not reader.says(switch, True):
        return False
    reader.ignore(key)
    if bits[2] and reader.first("bnb_4bit_quant_type") is None:
        reader.untrained(key, "bnb_4bit_quant_type", lambda value: said)
    return True


def _read_own_quantized(reader: Reader, block: str) -> None:
    """Read a script's own words of such a block; QLoRA's base has 4 bits."""
    for name, setting in _OWN_QUANTIZED.items():
        if reader.first(setting) is None:
            reader.untrained(join(block, name), setting, _DTYPE_OF.get(setting))
    told = [name for name in _BITS if _is_of_bits(reader, join(block, name))]
    for key in _switches(block):
        if switched(reader.root.at(key)) is not True:
            continue
        if told or reader.first("load_in_4bit") or reader.first("load_in_8bit"):
            reader.ignore(key)
        elif block.endswith("qlora"):
            reader.untrained(key, "load_in_4bit", lambda value: True)


def read_dtype(value: object) -> object:
    """A dtype by its full name: `torch.bfloat16` and `bf16` are `bfloat16`."""
    if not isinstance(value, str):
        return value
    name = value.removeprefix("torch.")
    return _DTYPES.get(name, name)


_DTYPE_OF = dict.fromkeys(words("bnb_4bit_compute_dtype bnb_4bit_quant_storage"), read_dtype)


def read_padding(value: object) -> object:
    """Padding as a tokenizer takes it: `true` is `longest`.

    With `false` and `do_not_pad` the collator pads, to the longest of a batch.
    """
    if value in (True, False, "true", "false", "do_not_pad"):
        return "longest"
    return value


def read_switch(reader: Reader, key: str) -> None:
    """Read a switch of LoRA: where it is off all weights are trained."""
    entry = reader.root.at(key)
    on = switched(entry)
    if entry is None or on is None:
        return  # a block: its keys are read one by one
    reader.ignore(key)
    if not on:
        reader.add(key, entry, "lora.enable", False)
    else:
        reader.switched_on = reader.switched_on or key


def read_absent_lora(reader: Reader) -> None:
    """Full fine-tuning where no key of LoRA is there: Trainer adds no adapter by itself."""
    if any(name.startswith("lora.") for name in reader.settings):
        return
    if key := reader.switched_on:
        reader.add(key, reader.root.known(key), "lora.enable", True)
    else:
        note = "the file has no LoRA key: Trainer adds no adapter"
        reader.derive("lora.enable", False, "", note)


# What scripts call their block on the quantization of the base weights.
OF_WEIGHTS = words("quantization quantization_config bnb bnb_config bitsandbytes qlora quant")
# What a classifier's head is called, by family.
HEADS = frozenset(words("score classifier classification_head"))
# The other names of `peft.PeftType`.
OTHER_METHODS = words(
    "prompt_tuning multitask_prompt_tuning p_tuning prefix_tuning adalora adamss boft "
    "adaption_prompt ia3 beft lily loha lokr oft poly ln_tuning vera frod pvera fourierft glora "
    "xlora hra vblora unilora cpt miss randlora road trainable_tokens hira shira c3a waveft osf "
    "delora gralora cartridge tinylora psoft peanut shadow supertuning deft"
)
LORA_FIELDS = tuple(name for name in (*SETTINGS, *UNTRAINED) if name.startswith("lora."))
_LORA_IGNORED = words(
    "auto_mapping peft_version base_model_name_or_path revision inference_mode "
    "megatron_config megatron_core runtime_config qalora_group_size"
)


def read_lora(reader: Reader, prefix: str) -> None:
    """Read a block of `LoraConfig` fields, or an adapter's configuration that a path names."""
    block = reader.root.at(prefix)
    if block is not None and isinstance(meant(block.value), bool):
        reader.ignore(prefix)  # a switch: see `read_switch`
        return
    reader.include(prefix)
    if reader.block(prefix) is None:
        return
    read_adapter(reader, prefix)


def read_adapter(reader: Reader, prefix: str) -> None:
    """Read the `LoraConfig` fields of a block; "" is the whole file."""
    if not read_peft_type(reader, prefix):
        return
    read_lora_fields(reader, prefix)
    reader.ignore(*(join(prefix, name) for name in _LORA_IGNORED))
    _read_head(reader, prefix)


def read_peft_type(reader: Reader, prefix: str) -> bool:
    """Read which of peft's methods a block is for; whether it is LoRA, which is peft's usual one.

    What another method's block says has no setting: its keys are rows of their own.
    """
    key = join(prefix, "peft_type")
    entry = reader.root.at(key)
    name = "lora" if entry is None else str(entry.value or "lora").rsplit(".", 1)[-1].lower()
    if entry is None or name not in (*OTHER_METHODS, "no_peft", "none"):
        if name == "lora":
            reader.ignore(key)
        return True
    if name in OTHER_METHODS:
        reader.untrained(key, "training.method", lambda value: name)
    else:
        reader.ignore(key)
    reader.add(key, entry, "lora.enable", False, "another method than LoRA")
    return False


def read_lora_fields(reader: Reader, prefix: str) -> None:
    """Read the `LoraConfig` fields of a block, and nothing that goes with them."""
    names = {join(prefix, name.removeprefix("lora.")): name for name in LORA_FIELDS}
    read_lora_keys(reader, names)


def _read_head(reader: Reader, prefix: str) -> None:
    """peft adds a classifier's head to what is trained for a classifier's task type alone."""
    block = reader.block(prefix)
    key = join(prefix, "task_type")
    saved = reader.first("lora.modules_to_save")
    if block is None or not block.value or reader.raw(key) is not None:
        return
    if (
        saved is not None
        and isinstance(saved.value, list)
        and HEADS.intersection(name for name in saved.value if isinstance(name, str))
    ):
        return
    note = "LoraConfig without task_type: peft leaves a classifier's head frozen at random"
    place = reader.root.at(prefix) or reader.root
    value = Value(False, DERIVED, place.file, place.line, prefix or "task_type", note)
    reader.settings.setdefault("lora.trains_head", []).append(value)


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
    if targets is None or layers is None or layers.key not in names:
        return
    if isinstance(targets.value, str) and layers.value is not None:
        reason = (
            f"{shorten(targets.value)} is a text, beside {layers.key}: `layers_to_transform` "
            "cannot be used when `target_modules` is a str."
        )
        write = "target_modules as a list of names, or no layers"
        reader.refuse(str(layers.key), "lora.layers_to_transform", "peft", reason, write)


def _layers(value: object) -> object:
    return None if value == [] else value  # peft takes an empty list for all layers


def _targets(value: object) -> object:
    """Module names; `all-linear` in any case is one word, as in peft."""
    if isinstance(value, str) and value.lower() == "all-linear":
        return "all-linear"
    return value
