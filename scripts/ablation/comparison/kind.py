"""The kind of training that a configuration asks for: what is trained, and to what end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from ablation.dialects.reader import Value

_OF_TASK = {
    "SEQ_CLS": "classification",
    "TOKEN_CLS": "token_classification",
    "CAUSAL_LM": "causal",
    "SEQ_2_SEQ_LM": "seq2seq",
    "FEATURE_EXTRACTION": "embeddings",
}
# Settings that only classifiers have.
_OF_CLASSES = ("data.label_column", "data.max_classes", "loss.use_class_weights")
_QUANTIZED = ("load_in_4bit", "load_in_8bit", "quantization_bit", "quantization_config", "qlora")
CLASSIFICATION = "classification"


class Kind(TypedDict):
    """What is trained (`method`: "lora", "full", ...), and to what end; None: nobody tells."""

    method: str
    objective: str | None


def kind_of(settings: Mapping[str, Value]) -> Kind:
    """The kind of training that a configuration asks for."""
    return {"method": _method(settings), "objective": _objective(settings)}


def _said(settings: Mapping[str, Value], name: str) -> object:
    found = settings.get(name)
    return None if found is None or found.unreadable else found.value


def _method(settings: Mapping[str, Value]) -> str:
    method = _said(settings, "training.method")
    if method is None:
        method = "full" if _said(settings, "lora.enable") is False else "lora"
    quantized = any(_quantizes(_said(settings, name)) for name in _QUANTIZED)
    return "qlora" if method == "lora" and quantized else str(method)


def _quantizes(value: object) -> bool:
    """Whether a switch, a number of bits or a block of them quantizes anything."""
    switches = (
        [value[k] for k in value if k.startswith("load_in_")] if isinstance(value, dict) else []
    )
    return any(switches) if switches else bool(value)


def _objective(settings: Mapping[str, Value]) -> str | None:
    objective = _said(settings, "training.objective")
    if objective is not None:
        return str(objective)
    task = _said(settings, "lora.task_type") or _said(settings, "task_type")
    if str(task).upper() in _OF_TASK:
        return _OF_TASK[str(task).upper()]
    return CLASSIFICATION if any(_said(settings, name) for name in _OF_CLASSES) else None
