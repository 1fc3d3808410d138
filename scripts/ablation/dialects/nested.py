"""A script of people's own: Trainer's arguments in a block of any name, LoRA and model beside it.

The block that holds the most names of `TrainingArguments` is taken for the arguments; what it does
not write has Trainer's default, which the script may have changed. Names that scripts use in place
of Trainer's (`epochs`, `lr`, `rank`) are read as what they say, each with a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ablation.dialects import deepspeed_native, defaults, kedro
from ablation.dialects.arguments import check_arguments
from ablation.dialects.blocks import (
    OF_WEIGHTS,
    TRAINER_BOOKKEEPING,
    TRAINER_SETTINGS,
    read_absent_lora,
    read_dtype,
    read_engine,
    read_lora_fields,
    read_padding,
    read_peft_type,
    read_quantized,
    read_switch,
    read_trainer,
)
from ablation.dialects.deepspeed import NAMING, configures_deepspeed, join, read_words_of_scripts
from ablation.dialects.keys import (
    Key,
    Keys,
    Warmup,
    by_setting,
    deepspeed_keys,
    lora_keys,
    switch_keys,
    trainer_keys,
)
from ablation.dialects.objective import tell_objective
from ablation.dialects.own_names import (
    CHECKPOINTING,
    LORA_NAMES,
    OF_BLOCKS,
    OF_ROWS,
    OWN_NAMES,
    SWITCHES,
    blocks_called,
    read_own_betas,
    read_own_length,
    read_own_lora,
    read_own_model,
    read_own_names,
)
from ablation.dialects.reader import Reader, switched
from ablation.documents.entries import Entry
from ablation.settings.catalogue import words

NAME = "nested"
DEFAULTS = defaults.WITH_TRAINER

# Names that only Trainer has among the libraries: they tell its arguments from those of others.
_TELLING = frozenset(
    words(
        "per_device_train_batch_size per_device_eval_batch_size num_train_epochs "
        "gradient_accumulation_steps lr_scheduler_type gradient_checkpointing logging_steps "
        "save_total_limit save_strategy eval_strategy evaluation_strategy warmup_ratio optim "
        "report_to per_gpu_train_batch_size adam_beta1 max_grad_norm load_best_model_at_end"
    )
)
_ARGUMENTS = TRAINER_SETTINGS | TRAINER_BOOKKEEPING | {"optim", "warmup_steps", *_TELLING}
# Names of a DeepSpeed configuration, which is no block of Trainer's arguments.
_DEEPSPEEDS = frozenset(words("zero_optimization train_micro_batch_size_per_gpu train_batch_size"))
# Keys of which all are there in files of a dialect that has blocks of its own.
_OTHERS = (kedro.SIGNATURE[:1], deepspeed_native.SIGNATURE)
# Names that say how something is trained; those of watching and saving tell no arguments.
_LEARNED = (TRAINER_SETTINGS | OWN_NAMES.keys() | _TELLING) - {"seed", "random_seed"}
_PARAMETERS = ("params", "parameters", "kwargs")  # of an optimizer or schedule that is named beside
_DEEPEST = 3  # blocks within blocks
# Blocks beside the arguments whose names of Trainer's are read too.
_BESIDE = frozenset(
    words(
        "training train trainer training_args training_arguments train_args trainer_args arguments "
        "args hyperparameters hyperparams hp params optimizer optimization optim scheduler "
        "lr_scheduler schedule evaluation eval validation output outputs checkpoint checkpointing "
        "checkpoints logging save saving precision mixed_precision hardware system memory sft "
        "run reproducibility experiment early_stopping batch command cmd entrypoint argv flags "
        "cli_args extra_args"
    )
)
NO_EFFECT = {
    "says what is logged and watched": words(
        "wandb weights_and_biases mlflow tensorboard monitoring tracking comet trackio swanlab"
    ),
    "only for generating and exporting": words(
        "inference generation serving deployment export gguf"
    ),
}


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings, where it has a block of arguments."""
    main, lora = arguments_of(reader.root), _lora_block(reader.root)
    if main is None and (lora is None or _is_flat(reader.root) or _is_anothers(reader.root)):
        return
    reader.arguments = main
    reader.null_is_absent = True
    main = main or ""
    reader.expand()
    read_trainer(reader, main)
    read_own_names(reader, main)
    for block in _beside(reader.root, main, lora):
        _read_beside(reader, block)
    check_arguments(reader)
    _read_lora(reader, main, lora)
    _read_model(reader, main)
    _read_lengths(reader, main)
    _read_deepspeed(reader, main)
    read_absent_lora(reader)
    if told := tell_objective(reader, tuple(dict.fromkeys((main, "", "model", "task")))):
        reader.derive("training.objective", *told)


def arguments_of(root: Entry) -> str | None:
    """The block of Trainer's arguments; None where none is one, or they stand at the top level."""
    if _is_anothers(root):
        return None
    best, most = None, 0
    has_lora = _lora_block(root) is not None
    for path, block in _blocks(root):
        names = set(block)
        called = path.rsplit(".", 1)[-1].lower()
        count = len(names & _ARGUMENTS) + len(names & OWN_NAMES.keys())
        if names & _DEEPSPEEDS or _is_deepspeeds(path) or called in _PARAMETERS:
            continue
        learned = names & _LEARNED
        enough = learned and (len(learned) >= 2 or called in _BESIDE or has_lora)
        if enough and count > most:
            best, most = path, count
    return None if _is_flat(root, most) else best


def _is_flat(root: Entry, most: int = 1) -> bool:
    """Whether the top level has at least so many of Trainer's names itself."""
    return len(set(root.value) & _LEARNED - OWN_NAMES.keys()) >= most


def _is_anothers(root: Entry) -> bool:
    """Whether a file is one of a dialect that has blocks of its own."""
    return any(all(root.at(key) is not None for key in keys) for keys in _OTHERS)


def is_of_scripts(name: str, entry: Entry) -> bool:
    """Whether a value is a block that only a script reads, whichever trainer has its name.

    It says how something is trained, or has a block below that does, or what a script calls
    DeepSpeed's settings.
    """
    if not isinstance(entry.value, dict):
        return False
    if name == "deepspeed" and not configures_deepspeed(entry):
        return True
    blocks = [entry.value, *(block for _, block in _blocks(entry))]
    return any(len(set(block) & _LEARNED) >= 2 for block in blocks)


def _blocks(
    root: Entry, prefix: str = "", depth: int = 1
) -> Iterator[tuple[str, Mapping[str, Entry]]]:
    """The mappings of a file with their dotted keys, the outer ones first."""
    for key, entry in root.value.items():
        if not isinstance(entry.value, dict) or "." in key:
            continue
        path = join(prefix, key)
        yield path, entry.value
        if depth < _DEEPEST:
            yield from _blocks(entry, path, depth + 1)


def _lora_block(root: Entry) -> str | None:
    """The block of LoRA's own keys: one called after it first."""
    found = []
    for path, block in _blocks(root):
        names = set(block) & LORA_NAMES
        called = any(
            word in path.rsplit(".", 1)[-1].lower() for word in ("lora", "peft", "adapter")
        )
        telling = names & {"r", "rank", "lora_r", "lora_rank", "lora_alpha", "target_modules"}
        if (called and (names or "peft_type" in block)) or (telling and len(names) >= 2):
            found.append((not called, path))
    return min(found, key=lambda one: one[0])[1] if found else None


def _is_deepspeeds(path: str) -> bool:
    """Whether a block is DeepSpeed's, or in one of its: those keys have names of their own."""
    return any(part.startswith("deepspeed") for part in path.split("."))


def _beside(root: Entry, main: str, lora: str | None) -> Iterator[str]:
    """Blocks besides the arguments that hold some of them, and none that they hold too."""
    at_main = root.at(main)
    taken = set(at_main.value) if at_main is not None else set()
    yield ""
    for path, block in _blocks(root):
        if path in (main, lora) or _is_deepspeeds(path):
            continue
        below = path.startswith(f"{main}.")
        called = path.rsplit(".", 1)[-1].lower()
        if (called in _BESIDE or below) and not set(block) & taken & TRAINER_SETTINGS:
            yield path


def _read_beside(reader: Reader, block: str) -> None:
    """What a block says that no earlier one has said."""
    entry = reader.root if not block else reader.root.at(block)
    assert entry is not None
    said = tuple(name for name in (*entry.value, "warmup_steps") if name in reader.settings)
    read_trainer(reader, block, skip=(*said, *(_NOT_AT_THE_TOP if not block else ())))
    read_own_names(reader, block)
    read_own_names(reader, block, OF_BLOCKS.get(block.rsplit(".", 1)[-1].lower(), {}))
    read_own_betas(reader, block)


_NOT_AT_THE_TOP = words("model train deepspeed quantization")


def _read_lora(reader: Reader, main: str, lora: str | None) -> None:
    for block in dict.fromkeys((*([lora] if lora else []), main, "", "model", "peft", "lora")):
        for name in (*SWITCHES, *(("enable", "enabled") if block in (lora, "lora") else ())):
            read_switch(reader, join(block, name))
    if reader.says("lora.enable", False):
        below = reader.root.at(lora) if lora else None
        off = [join(lora or "", key) for key, _ in below.leaves()] if below else []
        reader.idle({"the adapter is switched off": off})
        return
    if lora is not None and not read_peft_type(reader, lora):
        return
    if lora is not None:
        read_lora_fields(reader, lora)
        reader.ignore(join(lora, "inference_mode"))
    for block in dict.fromkeys((*([lora] if lora is not None else []), main, "", "model")):
        read_own_lora(reader, block, whole=block == lora)
        read_own_names(reader, block, CHECKPOINTING)


def _read_model(reader: Reader, main: str) -> None:
    read_own_model(reader, ("", main))
    for block in ("model", main, ""):
        for name in ("torch_dtype", "dtype"):
            if reader.first("model.dtype") is None and reader.raw(join(block, name)) is not None:
                reader.take(join(block, name), "model.dtype", read_dtype)
        if reader.first("model.trust_remote_code") is None:
            reader.take(join(block, "trust_remote_code"), "model.trust_remote_code")
        if reader.first("attn_implementation") is None:
            reader.untrained(join(block, "attn_implementation"))
        reader.untrained(join(block, "use_flash_attention_2"))
    within = [join("model", name) for name in OF_WEIGHTS]
    read_quantized(reader, ("model", *OF_WEIGHTS, *within, main, ""))


def _read_lengths(reader: Reader, main: str) -> None:
    parts = main.split(".")
    read_own_length(reader, (*(".".join(parts[:n]) for n in range(len(parts), 0, -1)), ""))
    for block in (main, "", *blocks_called(reader.root, OF_ROWS)):
        if reader.first("padding") is None:
            entry = reader.root.at(join(block, "padding"))
            if entry is not None and not isinstance(entry.value, dict):
                reader.take(join(block, "padding"), "padding", read_padding)


def _read_deepspeed(reader: Reader, main: str) -> None:
    """A DeepSpeed configuration, or its path, beside the arguments."""
    if reader.engine is not None or reader.root.at(join(main, "deepspeed")) is not None:
        return
    if any(switched(reader.root.at(key)) is False for key in _SWITCHES):
        block = [f"deepspeed.{key}" for key, _ in reader.root.known("deepspeed").leaves()]
        reader.idle({"DeepSpeed is switched off": block})
        return
    for key in ("deepspeed", "deepspeed_config", *(f"deepspeed.{name}" for name in NAMING)):
        entry = reader.root.at(key)
        if entry is None:
            continue
        if entry.value is False or isinstance(entry.value, str) or configures_deepspeed(entry):
            read_engine(reader, key)
            reader.ignore(*_SWITCHES)
            break
    for words_of in ("deepspeed", "deepspeed_config") if reader.engine is None else ():
        if read_words_of_scripts(reader, words_of):
            reader.ignore(*_SWITCHES)


_SWITCHES = tuple(f"deepspeed.{name}" for name in ("enabled", "enable", "use", "use_deepspeed"))
_ADAPTER = ("lora", "peft", "lora_config")
KEYS = Keys(
    by_setting(
        *(trainer_keys(block) for block in ("training", "training_args", "train", "trainer")),
        *(lora_keys(block) for block in _ADAPTER),
        switch_keys(_ADAPTER, SWITCHES),
        deepspeed_keys("deepspeed", follows=True),
        [Key("data.max_length", "max_length"), Key("model.torch_dtype", "model.dtype")],
    ),
    deepspeed="deepspeed",
    warmup=Warmup("training.warmup_ratio", "training.warmup_steps"),
    adapter=_ADAPTER,
)
