"""A DeepSpeed configuration: of a loop that drives DeepSpeed itself, or embedded in Trainer.

In its own loop DeepSpeed decides all that it is told. Embedded in `TrainingArguments` it and they
must agree, which `ablation.dialects.settle` works out once the whole file has been read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from ablation.dialects.defaults import (
    BLOCK_KEYS,
    DEEPSPEED_BLOCKS,
    DEEPSPEED_CHOICES,
    DEEPSPEED_DEFAULTS,
    DEEPSPEED_KINDS,
    DEEPSPEED_UNSAID,
    REMOVED_DEEPSPEED_KEYS,
    REMOVED_ZERO_KEYS,
    SCHEDULER_DEFAULTS,
    SCHEDULER_PARAMETERS,
)
from ablation.dialects.reader import DERIVED, EXPLICIT, Engine, Reader, Value
from ablation.dialects.vocabulary import fits
from ablation.documents.entries import Entry
from ablation.documents.source import read_text
from ablation.errors import UserError
from ablation.settings.catalogue import SETTINGS, UNTRAINED, Setting, words

LIBRARY = "deepspeed"

_BATCH_NAMES = {
    "train_micro_batch_size_per_gpu": "per_device_train_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "gradient_clipping": "max_grad_norm",
}
# What `ablation.dialects.settle` reads once the arguments are known.
_MATCHED_LATER = (
    *_BATCH_NAMES,
    "scheduler",
    "bf16.enabled",
    "fp16.enabled",
    *(
        f"optimizer.{name}"
        for name in words(
            "type params.lr params.betas params.eps params.weight_decay params.adam_w_mode "
            "params.torch_adam"
        )
    ),
)
# Blocks and switches that are listed as they stand: they watch, save, or place memory.
_KEPT = words(
    "steps_per_print wall_clock_breakdown dump_state memory_breakdown monitor_config tensorboard "
    "csv_monitor wandb comet flops_profiler comms_logger activation_checkpointing "
    "zero_allow_untested_optimizer zero_force_ds_cpu_optimizer aio checkpoint nebula autotuning "
    "disable_allgather hybrid_engine compile tensor_parallel pipeline"
)
_PRECISION = {"bf16": "bf16", "bfloat16": "bf16", "fp16": "fp16"}
_ZERO = "deepspeed.zero_optimization"
_ZERO_BLOCKS = ("offload_optimizer", "offload_param", "zenflow", "leaf_module")
_ZERO_KEYS = frozenset(
    name.removeprefix(f"{_ZERO}.")
    for name in (*DEEPSPEED_DEFAULTS, *DEEPSPEED_UNSAID)
    if name.startswith(_ZERO)
) | {"stage3_gather_fp16_weights_on_model_save", "save_muon_momentum_buffer_in_memory"}
_CPU_OFFLOAD = {
    "cpu_offload": "offload_optimizer.device",
    "cpu_offload_param": "offload_param.device",
    "cpu_offload_params": "offload_param.device",
}
_OWN = frozenset(("zero_optimization", "train_batch_size", *_BATCH_NAMES))
_OWN_BLOCKS = frozenset(("optimizer", "scheduler", "activation_checkpointing", *_PRECISION))
# What accelerate's launcher calls DeepSpeed's settings, and what scripts call them besides.
LAUNCHED = {
    "zero_stage": f"{_ZERO}.stage",
    "offload_optimizer_device": f"{_ZERO}.offload_optimizer.device",
    "offload_param_device": f"{_ZERO}.offload_param.device",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "gradient_clipping": "max_grad_norm",
}
_OF_SCRIPTS = {
    **LAUNCHED,
    "stage": f"{_ZERO}.stage",
    "zero": f"{_ZERO}.stage",
    **{old: f"{_ZERO}.{new}" for old, new in _CPU_OFFLOAD.items()},
    "offload_optimizer": f"{_ZERO}.offload_optimizer.device",
    **dict.fromkeys(words("offload_param offload_params"), f"{_ZERO}.offload_param.device"),
    **{name: name for name in ("bf16", "fp16")},
}
# Keys under which a script names the file that has the configuration.
NAMING = words("config config_file config_path path file json")
# Blocks that may be null.
_NULL = (("aio", None), ("optimizer.params", None))
# Names of ZeRO's keys that may not stand beside those that replace them.
_REPLACED = {
    **{old: new.split(".")[0] for old, new in _CPU_OFFLOAD.items()},
    "stage3_gather_fp16_weights_on_model_save": "stage3_gather_16bit_weights_on_model_save",
    **{
        name.removeprefix("stage3_"): name
        for name in (n.removeprefix(f"{_ZERO}.") for n in DEEPSPEED_UNSAID)
        if name.startswith("stage3_")
    },
}
# What DeepSpeed's `Adam` and `AdamW` are called here, and whether `adam_w_mode` can turn one off.
ADAMS = {"adamw": False, "adam": True}


def embed_deepspeed(reader: Reader, prefix: str) -> None:
    """Read a DeepSpeed configuration that Trainer's arguments name."""
    block = reader.block(prefix)
    if block is None:
        return
    _check_json(reader, prefix, block)
    reader.engine = Engine(prefix, block)
    reader.ignore(*(join(prefix, name) for name in _MATCHED_LATER))
    _read_common(reader, prefix, embedded=True)


def configures_deepspeed(entry: Entry) -> bool:
    """Whether a block is a DeepSpeed configuration, and not a script's own words about one.

    It has a key that means nothing elsewhere, or a block that a script would call otherwise, and
    does not name the file that has the rest, nor has a word that only scripts have.
    """
    block = entry.value
    scripts = _OF_SCRIPTS.keys() - _OWN - _OWN_BLOCKS
    if not isinstance(block, dict) or not scripts.union(NAMING).isdisjoint(block):
        return False
    blocks = {name for name, below in block.items() if isinstance(below.value, dict)}
    return bool(_OWN & block.keys() or _OWN_BLOCKS & blocks)


def read_words_of_scripts(reader: Reader, block: str) -> bool:
    """Read what a script says of DeepSpeed in its launcher's words; whether it says anything."""
    said = False
    for name, setting in _OF_SCRIPTS.items():
        key, read = join(block, name), _READ.get(setting.rsplit(".", 1)[-1])
        entry = reader.root.at(key)
        if entry is None or isinstance(entry.value, dict):
            continue
        if _is_own_word(read(entry.plain()) if read else entry.plain(), SETTINGS[setting]):
            continue
        said = True
        if reader.first(setting) is None:
            reader.own_names.append(key)
            reader.take(key, setting, read)
    return said


def _is_own_word(value: object, setting: Setting) -> bool:
    """Whether a value is a switch or a word of a script's that the setting does not have."""
    try:
        setting.read(value)
    except UserError:
        word = isinstance(value, str) and value != "auto" and value.isidentifier()
        return word or isinstance(value, bool)
    return False


def _stage(value: object) -> object:
    """ZeRO's stage, also as `zero2` or `stage_2`."""
    found = re.fullmatch(r"(?:zero|stage|zero[_-]?stage)[_-]?([0-3])", str(value).lower())
    return int(found[1]) if found else value


def _check_json(reader: Reader, prefix: str, block: Entry) -> None:
    """transformers reads the file with `json`, whatever it is called: no comment, no YAML."""
    if block.file == reader.file:
        return
    try:
        json.loads(read_text(block.file))
    except ValueError as error:
        reader.refuse(prefix, None, "transformers", f"the file is not JSON: {error}")


def read_deepspeed(reader: Reader, prefix: str) -> None:
    """Read a DeepSpeed configuration that decides by itself."""
    block = reader.block(prefix)
    if block is None:
        return
    _read_common(reader, prefix, embedded=False)
    for name in block.value:
        key = join(prefix, name)
        if name in _BATCH_NAMES:
            reader.take(key, _BATCH_NAMES[name])
        elif name == "optimizer":
            _read_optimizer(reader, key)
        elif name == "scheduler":
            _read_scheduler(reader, key)


def join(prefix: str, name: str) -> str:
    """The dotted key of a name below a prefix, which may be empty."""
    return f"{prefix}.{name}" if prefix else name


def _read_common(reader: Reader, prefix: str, embedded: bool) -> None:
    """What means the same wherever the block stands."""
    block = reader.block(prefix)
    _refuse_strange_keys(reader, prefix)
    _refuse_strange_values(reader, prefix)
    for name in block.value if block is not None else ():
        key = join(prefix, name)
        if name in REMOVED_DEEPSPEED_KEYS:
            reader.refuse(key, f"deepspeed.{name}", LIBRARY, REMOVED_DEEPSPEED_KEYS[name])
        if name == "train_batch_size":
            _read_train_batch(reader, key)
        elif name in _PRECISION:
            _read_precision(reader, key, name, embedded)
        elif name == "zero_optimization":
            _read_zero(reader, key)
        elif f"deepspeed.{name}" in UNTRAINED:
            reader.untrained(key, f"deepspeed.{name}")
        elif name == "dataloader_drop_last":
            reader.untrained(key)
        elif name in _KEPT:
            reader.keep(key, f"deepspeed.{name}")


def _refuse_strange_keys(reader: Reader, prefix: str) -> None:
    """DeepSpeed stops at a key that a checked block does not have."""
    for name, known in BLOCK_KEYS.items():
        key = join(prefix, name)
        block = reader.root.at(key)
        if block is None or not isinstance(block.value, dict):
            continue
        for strange in [below for below in block.value if below not in known]:
            reason = f"{name}.{strange}: Extra inputs are not permitted"
            reader.refuse(f"{key}.{strange}", f"deepspeed.{name}.{strange}", LIBRARY, reason)


def _refuse_strange_values(reader: Reader, prefix: str) -> None:
    """DeepSpeed stops where a block is none, and at a word that it does not know."""
    for name in DEEPSPEED_BLOCKS:
        entry = reader.root.at(join(prefix, name))
        if entry is None or isinstance(entry.value, dict) or (name, entry.value) in _NULL:
            continue
        reason = f"{name} must be a block: a mapping of keys to values"
        reader.refuse(join(prefix, name), f"deepspeed.{name}", LIBRARY, reason)
    half = reader.root.at(join(prefix, "fp16"))
    if half is not None and half.value is None:
        reason = "fp16 must be a block: a mapping of keys to values"
        reader.refuse(join(prefix, "fp16"), "fp16", LIBRARY, reason)
    for kind, names in DEEPSPEED_KINDS.items():
        for name in names:
            entry = reader.root.at(join(prefix, name))
            if entry is not None and not fits(kind, entry.plain()):
                reason = f"{name}: Input should be a valid {kind}"
                reader.refuse(join(prefix, name), f"deepspeed.{name}", LIBRARY, reason)
    for name, allowed in DEEPSPEED_CHOICES.items():
        entry = reader.root.at(join(prefix, name))
        if entry is None or entry.value == "auto" or (entry.value is None and "." not in name):
            continue
        if str(entry.value).lower() not in map(str.lower, allowed):
            reason = f"{name} is none of DeepSpeed's"
            reader.refuse(join(prefix, name), f"deepspeed.{name}", LIBRARY, reason, allowed)


def _read_train_batch(reader: Reader, key: str) -> None:
    """The global batch, of which `derive` finds what the other numbers leave open."""
    if reader.raw(key) not in ("auto", None):
        entry = reader.root.known(key)
        value = reader.check(key, entry, SETTINGS["per_device_train_batch_size"], entry.plain())
        reader.add(key, entry, "deepspeed.train_batch_size", value)


def _read_precision(reader: Reader, key: str, name: str, embedded: bool) -> None:
    block = reader.block(key)
    if block is None:
        return
    if not embedded:
        reader.take(f"{key}.enabled", _PRECISION[name])
    elif name == "bfloat16":
        reader.ignore(f"{key}.enabled")  # accelerate adds a `bf16` block, which DeepSpeed prefers
    for below, _ in block.leaves():
        if below != "enabled":
            reader.take(f"{key}.{below}", f"deepspeed.{_PRECISION[name]}.{below}")


def _read_zero(reader: Reader, key: str) -> None:
    """ZeRO's block; the old switches `cpu_offload*` become the devices that they meant."""
    block = reader.block(key)
    if block is None:
        return
    for name in _ZERO_BLOCKS:
        reader.block(f"{key}.{name}")
    for old, new in _REPLACED.items():
        if old in block.value and new in block.value:
            reason = f"Cannot provide deprecated parameter '{old}' and replacing parameter together"
            reader.refuse(f"{key}.{old}", f"{_ZERO}.{new}", LIBRARY, reason)
            reader.ignore(f"{key}.{old}")
            del block.value[old]
    for name, leaf in block.leaves():
        _read_zero_key(reader, f"{key}.{name}", name, leaf.value in ({}, None))


def _read_zero_key(reader: Reader, key: str, name: str, empty: bool) -> None:
    if name in REMOVED_ZERO_KEYS:
        reader.refuse(key, f"{_ZERO}.{name}", LIBRARY, REMOVED_ZERO_KEYS[name])
    elif name in _ZERO_KEYS:
        reader.take(key, f"{_ZERO}.{name}")
    elif f"stage3_{name}" in _ZERO_KEYS:
        reader.take(key, f"{_ZERO}.stage3_{name}")
    elif name in _CPU_OFFLOAD:
        note = f"the old name of {_CPU_OFFLOAD[name]}: cpu"
        reader.take(key, f"{_ZERO}.{_CPU_OFFLOAD[name]}", _offload_device, note)
    elif name == "cpu_offload_use_pin_memory":
        reader.take(key, f"{_ZERO}.offload_optimizer.pin_memory")
    elif name.split(".")[0] in _ZERO_BLOCKS and empty:
        reader.ignore(key)


def _offload_device(value: object) -> object:
    return {True: "cpu", False: "none"}.get(value, value) if isinstance(value, bool) else value


_READ: Mapping[str, Callable[[object], object]] = {"device": _offload_device, "stage": _stage}


def algorithm_of(name: object, adam_w_mode: object) -> str:
    """The algorithm that a DeepSpeed optimizer's `type` names: `adamw`, `adam`, `sgd`, ..."""
    lower = str(name).lower()
    if lower in ADAMS:
        return "adam" if ADAMS[lower] and adam_w_mode is False else "adamw"
    return lower


def refuse_strange_parameters(reader: Reader, key: str, kind: str) -> None:
    """DeepSpeed hands the scheduler's class its whole block."""
    known = SCHEDULER_PARAMETERS.get(kind)
    if known is None:
        reason = f"DeepSpeed does not recognize LR scheduler {kind}"
        kinds = list(SCHEDULER_PARAMETERS)
        reader.refuse(f"{key}.type", "lr_scheduler_type", LIBRARY, reason, kinds)
        return
    params = reader.root.at(f"{key}.params")
    for name in params.value if params is not None and isinstance(params.value, dict) else ():
        if name not in known:
            reason = f"{kind}.__init__() got an unexpected keyword argument '{name}'"
            reader.refuse(f"{key}.params.{name}", "lr_scheduler_kwargs", LIBRARY, reason, known)


def _read_optimizer(reader: Reader, key: str) -> None:
    entry = reader.root.at(f"{key}.type")
    if reader.block(key) is None or entry is None:
        return
    name = reader.raw(f"{key}.type")
    reader.block(f"{key}.params")
    algorithm = algorithm_of(name, reader.raw(f"{key}.params.adam_w_mode"))
    note = None
    if str(name).lower() == "adam" and algorithm == "adamw":
        note = "DeepSpeed's Adam has adam_w_mode on by default: it is AdamW"
    reader.add(f"{key}.type", entry, "optim", algorithm, note)
    torch = reader.raw(f"{key}.params.torch_adam") is True or algorithm not in OWN_OPTIMIZERS
    reader.add(f"{key}.type", entry, "optim_implementation", "torch" if torch else LIBRARY)
    reader.take(f"{key}.params.lr", "learning_rate")
    reader.take(f"{key}.params.eps", "adam_epsilon")
    reader.take(f"{key}.params.weight_decay", "weight_decay")
    _read_betas(reader, f"{key}.params.betas")


# Those that DeepSpeed implements; of all others it takes torch.optim's.
OWN_OPTIMIZERS = ("adam", "adamw", "lamb", "lion", "muon")


def _read_betas(reader: Reader, key: str) -> None:
    plain = reader.raw(key)
    if plain in (None, "auto"):
        return
    if not isinstance(plain, list) or len(plain) != 2:
        reader.refuse(key, "adam_beta1", LIBRARY, "betas are a pair of numbers: [0.9, 0.999]")
        return
    betas = reader.root.known(key)
    reader.add(key, betas, "adam_beta1", plain[0])
    reader.add(key, betas, "adam_beta2", plain[1])


def _read_scheduler(reader: Reader, key: str) -> None:
    """Scheduler type and its own parameters; `auto` ones are left to who drives DeepSpeed."""
    entry = reader.root.at(f"{key}.type")
    if reader.block(key) is None or entry is None:
        return
    kind = reader.raw(f"{key}.type")
    reader.take(f"{key}.type", "lr_scheduler_type")
    refuse_strange_parameters(reader, key, str(kind))
    params = reader.block(f"{key}.params")
    written = {} if params is None else {n: reader.raw(f"{key}.params.{n}") for n in params.value}
    kwargs = {**SCHEDULER_DEFAULTS.get(str(kind), {}), **written}
    kept = {name: value for name, value in kwargs.items() if value not in ("auto", None)}
    for name in [n for n, v in kept.items() if isinstance(v, str) and n != "warmup_type"]:
        reason = f"{name} must be a number"
        reader.refuse(f"{key}.params.{name}", "lr_scheduler_kwargs", LIBRARY, reason)
    place = params or entry
    origin = EXPLICIT if params is not None else DERIVED
    value = Value(dict(sorted(kept.items())), origin, place.file, place.line, f"{key}.params")
    reader.settings.setdefault("lr_scheduler_kwargs", []).append(value)
