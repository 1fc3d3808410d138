"""The keys of study.yaml as a table for people, out of the schema that checks them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ablation.records import Schema
from ablation.words.catalogue import cell

START, END = "<!-- keys: {name} -->", "<!-- end of keys -->"
_CLOSED = ("model.architecture",)  # its keys are those of config.json
_KINDS = {"object": "block", "array": "list", "integer": "whole number", "boolean": "true, false"}
_NOTHING: tuple[Any, ...] = (None, {}, [])


def key_table(schema: Schema) -> str:
    """A Markdown table of every key of a schema: key, values, default, meaning."""
    lines = ["| key | values | default | meaning |", "| --- | --- | --- | --- |"]
    for key, node in _keys(schema):
        default = "" if node.get("default") in _NOTHING else f"`{json.dumps(node['default'])}`"
        meaning = cell(node.get("description", ""))
        lines.append(f"| `{key}` | {cell(_values(node))} | {default} | {meaning} |")
    return "\n".join(lines)


def put_table(text: str, name: str, table: str) -> str:
    """The text with the table between the marks of this name.

    Raises:
        ValueError: the marks are not there.
    """
    start = START.format(name=name)
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise ValueError(f"no marks {start} … {END}")
    return f"{before}{start}\n{table}\n{END}{after}"


def _keys(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, child in node.get("properties", {}).items():
        key = f"{prefix}{name}"
        yield key, child
        if key not in _CLOSED:
            yield from _keys(child, f"{key}.")
            items = child.get("items")
            yield from _keys(items if isinstance(items, dict) else {}, f"{key}[].")


def _values(node: Mapping[str, Any]) -> str:
    """What may stand there, in a word or the words themselves."""
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if node.get("$ref", "").endswith("/text"):
        return "text: `en`, `ko`"
    if "anyOf" in node:
        return " or ".join(_values(option) for option in node["anyOf"])
    kinds = node.get("type", "object")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    words = {
        "object": "block",
        "array": "list",
        "integer": "whole number",
        "boolean": "true, false",
    }
    return " or ".join(words.get(kind, kind) for kind in kinds)
