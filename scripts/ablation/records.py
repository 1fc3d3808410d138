"""Frozen dataclasses as JSON: one way out, one way in, and the JSON Schema that both keep to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from ablation.errors import UserError
from ablation.files import load_record
from ablation.sums import SEAL

Schema = dict[str, Any]  # a JSON Schema

_ANYTHING = (object, Any, dict, list, Mapping, Sequence)  # whatever JSON holds
SEAL_TOLD = "XXH3 (hex) of this record without the seal: it tells damage."
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


def to_plain(value: object) -> Any:
    """A record as what `json` writes: dataclasses as objects, tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def leaves(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """The values of nested mappings under dotted names."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def from_plain(kind: Any, value: Any, where: str = "", *, known_only: bool = False) -> Any:
    """A value of this type out of what `json` read.

    Args:
        kind: A dataclass; a `TypedDict`, which stays as it was read; or a type that their fields
            may have: plain values, `X | None`, `tuple[X, ...]`, `list[X]`, `dict[K, X]`, `Literal`,
            `Path`, or `object` for whatever JSON holds.
        value: What was read.
        where: Its place in the file, for the error.
        known_only: Pass over keys that the type has not got, as a file of another version may.

    Raises:
        UserError: the value is not of this type.
    """
    origin, arguments, some = _parts(kind)
    if type(value) is some or (value is None and NoneType in arguments):  # nearly all are
        return value
    read = partial(from_plain, known_only=known_only)
    if origin in (Union, UnionType):
        for other in (a for a in arguments if a not in (NoneType, some)):
            with suppress(UserError):
                return read(other, value, where)
        return read(some, value, where)
    if is_dataclass(kind) or is_typeddict(kind):
        return _record(kind, value, where, known_only)
    if origin is NotRequired:
        return read(arguments[0], value, where)
    if origin is tuple and isinstance(value, list):
        each = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(each) == len(value):
            pairs = enumerate(zip(each, value, strict=True))
            return tuple(read(k, v, f"{where}[{i}]") for i, (k, v) in pairs)
    if origin in (list, Sequence) and isinstance(value, list):
        return [read(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value)]
    if origin in (dict, Mapping) and isinstance(value, dict):
        key, inner = arguments
        named = key if isinstance(key, type) else str  # a `Literal` of names
        with suppress(ValueError):  # a number that is none
            names = {name: named(name) for name in value}
            return {names[n]: read(inner, item, f"{where}.{n}") for n, item in value.items()}
    if kind is Path and isinstance(value, str):
        return Path(value)
    if origin is Literal and value in arguments:
        return value
    if kind in _ANYTHING or (kind in _PLAIN and _is_plain(kind, value)):
        return float(value) if kind is float else value
    raise UserError(f"{where or 'the file'} is of another kind", found=value, allowed=str(kind))


@lru_cache(maxsize=1024)
def _parts(kind: Any) -> tuple[Any, tuple[Any, ...], Any]:
    """The origin of a type, its arguments, and what it is where it is not None."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return origin, arguments, [a for a in arguments if a is not NoneType][-1]
    return origin, arguments, kind


def _is_plain(kind: type, value: object) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def load_typed(kind: Any, path: str | Path, *, known_only: bool = False) -> Any:
    """A record of the results as its type; `known_only` as in `from_plain`.

    Raises:
        UserError: the file cannot be read, is no longer what was written, or is of another kind.
    """
    record = load_record(path)
    try:
        return from_plain(kind, record, known_only=known_only)
    except UserError as error:
        raise error.at(path, None) from None


def _record(kind: Any, value: Any, where: str, known_only: bool) -> Any:
    if not isinstance(value, dict):
        raise UserError(f"{where or 'the file'} must hold an object", found=type(value).__name__)
    hints = _hints(kind)
    unknown = set() if known_only or is_typeddict(kind) else set(value) - set(hints)
    wrong = unknown | (set(_needed(kind)) - set(value))
    if wrong:
        raise UserError(
            f"{where or 'the file'} is of another version", found=sorted(value), allowed=list(hints)
        )
    read = partial(from_plain, known_only=known_only)
    found = {
        name: read(hints[name], item, f"{where}.{name}")
        for name, item in value.items()
        if name in hints
    }
    return value if is_typeddict(kind) else kind(**found)


@lru_cache(maxsize=256)
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    names = hints if is_typeddict(kind) else [field.name for field in fields(kind)]
    return {name: hints[name] for name in names}


@lru_cache(maxsize=256)
def _needed(kind: Any) -> list[str]:
    if is_typeddict(kind):
        return [name for name, hint in _hints(kind).items() if get_origin(hint) is not NotRequired]
    return [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]


def schema_of(kind: Any, title: str) -> Schema:
    """The JSON Schema (2020-12) of a record's file; each dataclass stands once, under `$defs`."""
    found: Schema = {}
    root = _schema(kind, found)
    found[kind.__name__]["properties"][SEAL] = {"type": "string", "description": SEAL_TOLD}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return {**head, **root, "$defs": dict(sorted(found.items()))}


def _schema(kind: Any, found: Schema) -> Schema:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        inner = _schema(next(a for a in arguments if a is not NoneType), found)
        if "type" in inner and isinstance(inner["type"], str):
            return {**inner, "type": [inner["type"], "null"]}
        return {"anyOf": [inner, {"type": "null"}]}
    if isinstance(kind, type) and is_dataclass(kind):
        if kind.__name__ not in found:
            found[kind.__name__] = {}
            found[kind.__name__] = _object(kind, found)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    if origin is tuple and arguments[-1] is not Ellipsis:
        return {"type": "array", "prefixItems": [_schema(inner, found) for inner in arguments]}
    if origin in (tuple, list, Sequence):
        return {"type": "array", "items": _schema(arguments[0], found)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], found)}
    if is_typeddict(kind):  # its own schema is that of another file
        return {"type": "object", "additionalProperties": {}}
    if kind is Path:
        return {"type": "string"}
    return {"type": _PLAIN[kind]} if kind in _PLAIN else {}


def _object(kind: Any, found: Schema) -> Schema:
    hints = _hints(kind)
    return {
        "description": (kind.__doc__ or "").strip().split("\n")[0],
        "type": "object",
        "additionalProperties": False,
        "required": _needed(kind),
        "properties": {name: _schema(hint, found) for name, hint in hints.items()},
    }
