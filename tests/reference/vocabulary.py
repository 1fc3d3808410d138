"""Writes scripts/ablation/dialects/vocabulary.json: every key of each trainer, with its default.

tests/reference/trainers.sh FOLDER makes the environment; then run this file with its Python.

The classes that the trainers parse a configuration into are read: nothing is copied by hand, so a
new release of a trainer is one run of this file.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib.metadata
import json
from pathlib import Path
from typing import Any

KEPT = Path(__file__).resolve().parents[2] / "scripts/ablation/dialects/vocabulary.json"


def plain(value: Any) -> Any:
    """A default as JSON has it; None for what only Python can say."""
    if isinstance(value, enum.Enum):
        return value.value
    try:
        json.dumps(value)
    except TypeError:
        return None
    return value


def fields(*classes: type) -> dict[str, Any]:
    """Field to default of dataclasses; a later class wins."""
    found = {}
    for cls in classes:
        for field in dataclasses.fields(cls):
            default = field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            if field.init:
                found[field.name] = None if default is dataclasses.MISSING else plain(default)
    return found


def kinds(schema: dict[str, Any], named: dict[str, Any]) -> set[str]:
    """The kinds of value that a JSON schema lets through; `=a` is the word a, `~a` a pattern."""
    if "$ref" in schema:
        return kinds(named[schema["$ref"].rsplit("/", 1)[-1]], named)
    if "anyOf" in schema:
        return {kind for one in schema["anyOf"] for kind in kinds(one, named)}
    if "enum" in schema or "const" in schema:
        return {f"={value}" for value in schema.get("enum", [schema.get("const")])}
    return {f"~{schema['pattern']}" if "pattern" in schema else schema.get("type", "any")}


def axolotl_kinds() -> dict[str, str]:
    """The kinds of value of each key of axolotl's schema, where it says which."""
    from axolotl.utils.schemas.config import AxolotlInputConfig
    from pydantic import PydanticInvalidForJsonSchema, TypeAdapter
    from pydantic_core import PydanticSerializationError

    found = {}
    for name, field in AxolotlInputConfig.model_fields.items():
        try:
            schema = TypeAdapter(field.annotation).json_schema()
        except (PydanticInvalidForJsonSchema, PydanticSerializationError):
            continue
        allowed = kinds(schema, schema.get("$defs", {}))
        names = [name, *(a for a in (field.alias, field.validation_alias) if isinstance(a, str))]
        if "any" not in allowed:
            found |= dict.fromkeys(names, " ".join(sorted(allowed)))
    return found


def axolotl() -> dict[str, Any]:
    from axolotl.utils.schemas.config import AxolotlInputConfig
    from pydantic_core import PydanticUndefined

    found = {}
    for name, field in AxolotlInputConfig.model_fields.items():
        known = field.default_factory is None and field.default is not PydanticUndefined
        names = [name, *(a for a in (field.alias, field.validation_alias) if isinstance(a, str))]
        found |= dict.fromkeys(names, plain(field.default) if known else None)
    return found


def llama_factory() -> dict[str, Any]:
    from llamafactory import hparams

    names = ("Generating", "Model", "Data", "Training", "Finetuning")
    return fields(*(getattr(hparams, f"{name}Arguments") for name in names))


def trl() -> dict[str, Any]:
    import trl
    from trl.scripts.grpo import GRPOScriptArguments

    names = "RLOOConfig KTOConfig RewardConfig GRPOConfig DPOConfig SFTConfig ModelConfig"
    made = fields(*(getattr(trl, name) for name in [*names.split(), "ScriptArguments"]))
    return {**fields(trl.DatasetMixtureConfig, GRPOScriptArguments), **made}


def hf_trainer() -> dict[str, Any]:
    from transformers import TrainingArguments

    return fields(TrainingArguments)


def main() -> None:
    libraries = {
        "axolotl": "axolotl",
        "llama_factory": "llamafactory",
        "trl": "trl",
        "hf_trainer": "transformers",
    }
    kept = {
        dialect: {
            "library": library,
            "version": importlib.metadata.version(library),
            "keys": dict(sorted(globals()[dialect]().items())),
        }
        for dialect, library in libraries.items()
    }
    kept["axolotl"]["kinds"] = dict(sorted(axolotl_kinds().items()))
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
