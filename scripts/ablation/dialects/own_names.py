"""Names that people's scripts use in place of those of `TrainingArguments` and `LoraConfig`.

No library reads them: a script hands them on. They are read as what they say where the library's
own name is not there, with a note, and never speak for a dialect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ablation.dialects.blocks import (
    COMPRESSED_OPTIMIZERS,
    LORA_FIELDS,
    OPTIMIZERS,
    OTHER_OPTIMIZERS,
    UNSLOTH,
    read_lora_keys,
    read_optim,
    read_switched,
)
from ablation.dialects.deepspeed import join
from ablation.dialects.reader import Reader, meant
from ablation.dialects.vocabulary import keys_of
from ablation.documents.entries import Entry
from ablation.documents.scalars import is_number
from ablation.settings.catalogue import UNTRAINED, words

NOTE = "a name of the script's own, taken for {setting}"
# Name of a script's own to the setting; the first of those that say the same is read.
OWN_NAMES = {
    "lr": "learning_rate",
    **dict.fromkeys(
        words("epochs num_epochs n_epochs epoch max_epochs train_epochs"), "num_train_epochs"
    ),
    **dict.fromkeys(
        words(
            "per_device_batch_size micro_batch_size train_batch_size batch_size "
            "batch_size_per_device per_device_train_batchsize micro_batch_size_per_gpu "
            "batch_size_per_gpu micro_batch_size_per_device"
        ),
        "per_device_train_batch_size",
    ),
    **dict.fromkeys(
        words(
            "gradient_accumulation grad_accum grad_accumulation grad_accum_steps "
            "grad_accumulation_steps gradient_accumulation_step accumulation_steps "
            "accumulate_grad_batches"
        ),
        "gradient_accumulation_steps",
    ),
    **dict.fromkeys(
        words(
            "grad_clip gradient_clip gradient_clipping gradient_clip_val clip_grad_norm max_norm "
            "grad_clip_norm max_gradient_norm"
        ),
        "max_grad_norm",
    ),
    **dict.fromkeys(
        words("lr_scheduler scheduler lr_schedule scheduler_type lr_scheduler_name schedule"),
        "lr_scheduler_type",
    ),
    **dict.fromkeys(words("optimizer optimizer_name optim_name"), "optim"),
    **dict.fromkeys(
        words("grad_checkpointing gradient_checkpoint use_gradient_checkpointing grad_checkpoint"),
        "gradient_checkpointing",
    ),
    "wd": "weight_decay",
    "random_state": "seed",
    "random_seed": "seed",
    "use_bf16": "bf16",
    "use_fp16": "fp16",
    "is_bf16": "bf16",
    "warmup": "warmup_steps",
    "num_warmup_steps": "warmup_steps",
    "total_steps": "max_steps",
    "max_train_steps": "max_steps",
    "label_smoothing": "label_smoothing_factor",
    **dict.fromkeys(
        words("n_gpu n_gpus ngpus gpus num_devices devices nproc_per_node"), "world_size"
    ),
}
# unsloth's own kind of checkpointing is one, wherever a script says so.
_SWITCH = "gradient_checkpointing"
CHECKPOINTING = {
    name: _SWITCH for name in (_SWITCH, *OWN_NAMES) if OWN_NAMES.get(name, name) == _SWITCH
}
# Names of the model, in a block that is called after it first, and of the longest row.
MODELS = words(
    "model model_name_or_path model_name base_model model_id pretrained_model_name_or_path "
    "pretrained_model base_model_name base_llm"
)
_IN_MODELS = words(
    "model_name_or_path name_or_path pretrained_model_name_or_path name model_name base_model "
    "base_model_name base model_id model_path pretrained_model pretrained_name id path"
)
_LENGTHS = words(
    "max_seq_length max_length max_seq_len max_len cutoff_len sequence_length sequence_len seq_len "
    "seq_length max_sequence_length context_length model_max_length max_source_length "
    "max_input_length"
)
_IN_ARGUMENTS = tuple(name for name in _IN_MODELS if "_" in name)  # a bare `path` is of anything
# Blocks on the model and on rows; first those called just so, then those with an end.
OF_ROWS = words(
    "model data dataset tokenizer tokenization tokenizing tokenize preprocessing preprocess sft "
    "data_processing data_preprocessing dataloader data_collator collator"
)
_ENDS = words("args arguments conf config configs cfg kwargs params parameters settings options")
# What scripts write of an optimizer and a schedule in blocks of their own.
_OF_OPTIMIZERS = {"type": "optim", "name": "optim", "eps": "adam_epsilon"}
_OF_SCHEDULES = dict.fromkeys(("type", "name"), "lr_scheduler_type")
OF_BLOCKS = {
    **dict.fromkeys(("optimizer", "optim"), _OF_OPTIMIZERS),
    **dict.fromkeys(("scheduler", "lr_scheduler", "schedule"), _OF_SCHEDULES),
}
# Switches of LoRA as scripts call them.
SWITCHES = words("use_peft use_lora is_peft lora_enabled enable_lora")
_SCHEDULES = frozenset(
    words(
        "linear cosine cosine_with_restarts polynomial constant constant_with_warmup inverse_sqrt "
        "reduce_lr_on_plateau cosine_with_min_lr warmup_stable_decay"
    )
)
_OPTIMIZERS = {"adamw": "adamw_torch", "adamw_fused": "adamw_torch_fused", "AdamW": "adamw_torch"}
_DEEPSPEEDS = ("train_batch_size", "gradient_clipping")  # at the top level they are DeepSpeed's
_KNOWN_OPTIMIZERS = {*OPTIMIZERS, *_OPTIMIZERS, *COMPRESSED_OPTIMIZERS, *OTHER_OPTIMIZERS}
_LORA_OWN = {
    **dict.fromkeys(words("rank lora_r lora_rank peft_lora_r"), "lora.r"),
    **dict.fromkeys(words("lora_alpha alpha peft_lora_alpha"), "lora.lora_alpha"),
    **dict.fromkeys(words("lora_dropout dropout peft_lora_dropout"), "lora.lora_dropout"),
    **dict.fromkeys(
        words("lora_target_modules targets lora_target modules"),
        "lora.target_modules",
    ),
    "lora_modules_to_save": "lora.modules_to_save",
    "lora_bias": "lora.bias",
}
LORA_NAMES = frozenset((*_LORA_OWN, *(name.removeprefix("lora.") for name in LORA_FIELDS)))
# Names that say LoRA's settings also outside of a block of its own.
_LORA_FLAT = tuple(name for name in _LORA_OWN if name.startswith("lora_")) + words(
    "use_rslora use_dora target_modules"
)


def read_own_names(reader: Reader, block: str, names: Mapping[str, str] = OWN_NAMES) -> None:
    """Read what a block says under names of the script's own, where nothing has said it yet."""
    for name, setting in names.items():
        key = join(block, name)
        entry = reader.root.at(key)
        if not block and name in _DEEPSPEEDS:
            continue
        if entry is None or key in reader.read_keys or setting in reader.settings:
            continue
        if not _may_say(entry, setting):
            continue
        note = NOTE.format(setting=setting)
        reader.own_names.append(key)
        if setting == "optim":
            _read_optimizer(reader, key, entry, note)
        else:
            reader.take(key, setting, read_switched, note)
    _read_precision(reader, block)


def blocks_called(root: Entry, names: Iterable[str]) -> list[str]:
    """The top-level blocks that have one of some names, and then those as `data_args`."""
    called = [*names, *(f"{name}_{end}" for name in names for end in _ENDS)]
    blocks = {name.lower(): name for name, e in root.value.items() if isinstance(e.value, dict)}
    return [blocks[name] for name in called if name in blocks]


def read_own_betas(reader: Reader, block: str) -> None:
    """Read Adam's two numbers where they stand in one list."""
    key = join(block, "betas")
    entry = reader.root.at(key)
    plain = entry.plain() if entry is not None else None
    if entry is None or not isinstance(plain, list) or len(plain) != 2:
        return
    for name, value in zip(("adam_beta1", "adam_beta2"), plain, strict=True):
        if reader.first(name) is None:
            reader.ignore(key)
            reader.add(key, entry, name, value, NOTE.format(setting=name))


def read_own_model(reader: Reader, blocks: Iterable[str]) -> None:
    """Read which model is loaded, of the first key that names it as text."""
    places = [("model", _IN_MODELS), *((block, MODELS) for block in blocks)]
    places += [(block, _IN_ARGUMENTS) for block in blocks_called(reader.root, ("model",))]
    for key in (join(block, name) for block, names in places for name in names):
        entry = reader.root.at(key)
        if entry is not None and isinstance(entry.value, str):
            _take_own(reader, key, "model.name_or_path")
            return


def read_own_length(reader: Reader, blocks: Iterable[str]) -> None:
    """Read how long a row may be, of the first key that says it as a number."""
    places = (*blocks, *blocks_called(reader.root, OF_ROWS))
    keys = [join(block, name) for block in places for name in _LENGTHS]
    first = next((key for key in keys if _is_length(reader.root.at(key))), None)
    if first is not None:
        _take_own(reader, first, "max_length")


def _take_own(reader: Reader, key: str, setting: str) -> None:
    """Read a key as a setting, with a note where no script of transformers calls it so."""
    own = key.rsplit(".", 1)[-1] not in keys_of("hf_trainer")
    reader.own_names += [key] if own else []
    reader.take(key, setting, note=NOTE.format(setting=setting) if own else None)


def _is_length(entry: Entry | None) -> bool:
    value = entry.value if entry is not None else None
    return isinstance(value, int) and not isinstance(value, bool)


def _may_say(entry: Entry, setting: str) -> bool:
    """Whether a value is of the kind that the setting has; others are left as unknown keys."""
    plain = entry.plain()
    if setting in ("bf16", "fp16", "gradient_checkpointing"):
        return isinstance(meant(plain), bool) or plain == UNSLOTH
    if setting == "optim":
        return isinstance(plain, str) and plain in _KNOWN_OPTIMIZERS
    if setting == "lr_scheduler_type":
        return isinstance(plain, str) and plain in _SCHEDULES
    if setting == "world_size":
        return isinstance(plain, int) and not isinstance(plain, bool) and plain > 0
    return is_number(plain) and plain >= 0


def _read_optimizer(reader: Reader, key: str, entry: Entry, note: str) -> None:
    if entry.value not in _OPTIMIZERS:
        read_optim(reader, key)
        return
    name = _OPTIMIZERS[str(entry.value)]
    algorithm, implementation = OPTIMIZERS[name]
    reader.ignore(key)
    reader.add(key, entry, "optim", algorithm, note)
    reader.add(key, entry, "optim_implementation", implementation, note)


def _read_precision(reader: Reader, block: str) -> None:
    """`mixed_precision: bf16` as accelerate calls it."""
    key = join(block, "mixed_precision")
    entry = reader.root.at(key)
    value = str(entry.value) if entry is not None else ""
    if value in ("bf16", "fp16") and value not in reader.settings:
        reader.own_names.append(key)
        reader.take(key, value, lambda _: True, NOTE.format(setting=value))


def read_own_lora(reader: Reader, block: str, *, whole: bool) -> None:
    """Read what a block calls LoRA's settings, a `whole` one of its own or other keys among them.

    The library's own name of a setting comes before names of a script's own: a whole block's
    `LoraConfig` fields are read before.
    """
    names = _LORA_OWN if whole else {n: _LORA_OWN.get(n, f"lora.{n}") for n in _LORA_FLAT}
    for name, setting in names.items():
        key = join(block, name)
        entry = reader.root.at(key)
        if entry is None or entry.value is None or setting in reader.settings:
            continue
        if whole and setting == f"lora.{name}":
            continue
        if setting in UNTRAINED:
            reader.untrained(key, setting)
        elif setting == "lora.target_modules":
            read_lora_keys(reader, {key: setting})
        else:
            reader.own_names.append(key)
            reader.take(key, setting, note=NOTE.format(setting=setting))
