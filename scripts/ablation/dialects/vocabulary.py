"""Every key that a trainer knows, with its default: kept by tests/reference/vocabulary.py."""

from __future__ import annotations

import difflib
import functools
import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablation.settings.catalogue import SETTINGS, words

_LONGEST = 80  # characters of a key that could be meant for another one
_DUMPED = 70  # arguments; people write a dozen or three by hand
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_KEPT = Path(__file__).with_name("vocabulary.json")
# Words of keys that say how something is trained, beside those of the settings' own names.
_TRAINING = frozenset(
    words(
        "lr rate epoch epochs step steps rank alpha dropout batch length len warmup decay optim "
        "optimizer scheduler precision bf16 fp16 fp8 dtype lora qlora target targets accumulation "
        "accum clip clipping grad norm beta beta1 beta2 eps epsilon loss quant quantization bit "
        "4bit 8bit packing pack layers freeze frozen weight weights seed smoothing neftune noise "
        "train training dataset data split samples rows tokens size temperature adapter peft "
        "cutoff max min ratio init reset resume momentum lambda gamma schedule"
    )
)
# Words of settings that stand in names of folders, logs and devices as well.
_NOT_TRAINING = frozenset(
    words("model name or path device key value include column names text use")
)
_OWN_WORDS = (
    frozenset(word for name in SETTINGS for word in re.split(r"[._]", name.lower())) - _NOT_TRAINING
)
# What the example scripts of transformers read beside TrainingArguments, and its older names.
_SCRIPTS = words(
    "model_name_or_path config_name tokenizer_name cache_dir token use_auth_token "
    "use_fast_tokenizer "
    "torch_dtype trust_remote_code low_cpu_mem_usage task_name dataset_config_name train_file "
    "validation_file test_file max_seq_length max_length block_size max_train_samples "
    "max_eval_samples max_predict_samples preprocessing_num_workers overwrite_cache "
    "pad_to_max_length validation_split_percentage text_column label_column text_column_name "
    "label_column_name max_source_length max_target_length source_prefix num_labels world_size "
    "num_gpus warmup_ratio evaluation_strategy per_gpu_train_batch_size per_gpu_eval_batch_size "
    "no_cuda group_by_length overwrite_output_dir logging_dir save_safetensors fp16_opt_level "
    "fp16_backend num_processes"
)
_WATCHES = frozenset(
    words(
        "log logs logging logger wandb mlflow report dir folder output hub push save saves saving "
        "checkpoint checkpoints eval evals plot run project entity tag tags note notes description "
        "author url host port num_proc workers cache debug verbose name names"
    )
)


@dataclass(frozen=True)
class Own:
    """A trainer's own value of a key.

    Attributes:
        value: The value.
        library: The trainer with its version.
    """

    value: Any
    library: str


@dataclass(frozen=True, kw_only=True)
class _Kept:
    library: str
    version: str
    keys: Mapping[str, object]
    kinds: Mapping[str, str] = field(default_factory=dict)


@functools.cache
def _load() -> Mapping[str, _Kept]:
    kept = json.loads(_KEPT.read_text(encoding="utf-8"))
    return {dialect: _Kept(**found) for dialect, found in kept.items()}


@functools.cache
def keys_of(dialect: str) -> Set[str]:
    """The top-level keys that the dialect's trainer knows; none where no such list is kept."""
    known = _keys(dialect).keys()
    return known | set(_SCRIPTS) if dialect == "hf_trainer" else known


def _keys(dialect: str) -> Mapping[str, object]:
    kept = _load().get(dialect)
    return kept.keys if kept else {}


@functools.cache
def plain_keys_of(dialect: str) -> Collection[str]:
    """The top-level keys whose own value is a switch, a number or a word, and never a block."""
    known = _keys(dialect)
    return {key for key, value in known.items() if isinstance(value, (bool, int, float, str))}


def is_dump(keys: Collection[str]) -> bool:
    """Whether a file is what `TrainingArguments.to_json_string` writes: nearly every argument.

    It has the arguments of the release that wrote it, and was read by none.
    """
    return sum(key in keys_of("hf_trainer") for key in keys) >= _DUMPED


def library_of(dialect: str) -> str:
    """The dialect's trainer with the version whose keys are kept."""
    kept = _load().get(dialect)
    return f"{kept.library} {kept.version}" if kept else dialect


def default_of(dialect: str, key: str) -> Own | None:
    """The trainer's own value of a key that a file does not write; None where it is not known."""
    known = _keys(dialect)
    return Own(known[key], library_of(dialect)) if key in known else None


_SWITCHES = frozenset(words("0 1 off on f false n no t true y yes"))
_KINDS: dict[str, Callable[[object], bool]] = {
    "boolean": lambda value: str(value).lower() in _SWITCHES,
    "integer": lambda value: _number(value) % 1 == 0 and "e" not in str(value).lower(),
    "null": lambda value: value is None,
    "number": lambda value: not math.isnan(_number(value)),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "switch": lambda value: isinstance(value, int),
}


def _number(value: object) -> float:
    """A number, also as text; not a number where it is none."""
    try:
        return float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        return math.nan


def allowed(dialect: str, key: str, value: object) -> list[str]:
    """What the trainer's schema lets stand at a key, where a value is none of it; else nothing.

    A number as text is a number and `yes` a switch, as pydantic takes them.
    """
    kept = _load().get(dialect)
    kinds = kept.kinds.get(key, "").split() if kept else []
    if not kinds or any(fits(kind, value) for kind in kinds):
        return []
    return [kind.lstrip("=~") for kind in kinds]


def fits(kind: str, value: object) -> bool:
    """Whether a value is of a kind: a type, `=` and a word, or `~` and a pattern."""
    if kind.startswith("~"):
        return isinstance(value, str) and re.search(kind[1:], value) is not None
    return _KINDS[kind](value) if kind in _KINDS else kind == f"={value}"


def spell(name: str) -> str:
    """A key in small letters with underscores: `learningRate`, `learning-rate`, `LEARNING_RATE`."""
    return _HUMP.sub("_", name).replace("-", "_").replace(" ", "_").lower()


def trains(key: str) -> bool:
    """Whether the words of a key are those of training rather than of watching it."""
    parts = set(spell(key.rsplit(".", 1)[-1]).split("_"))
    return bool(parts & (_TRAINING | _OWN_WORDS)) and not parts & _WATCHES


def nearest(key: str, dialect: str) -> str | None:
    """The trainer's key that is most like another one."""
    if len(key) > _LONGEST:
        return None
    known = list(keys_of(dialect))
    name = spell(key.rsplit(".", 1)[-1])
    if name in known:
        return name
    parts = set(name.split("_"))
    shared = [k for k in known if parts <= set(k.split("_")) or set(k.split("_")) <= parts]
    close = difflib.get_close_matches(name, shared, n=1, cutoff=0.5)
    close = close or difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return close[0] if close else None
