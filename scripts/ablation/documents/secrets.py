"""A configuration as it may be shown."""

from __future__ import annotations

from collections.abc import Iterator

from ablation.documents.odd import BOM
from ablation.documents.tree import Node, parse
from ablation.masking import HIDDEN, is_secret, mask


def mask_document(text: str, file: str) -> str:
    """A text without the secrets in it, line by line the same otherwise.

    A value is hidden where it is written, also where an alias brings it under a secret's name.

    Args:
        text: YAML or JSON.
        file: Its name.

    Raises:
        UserError: the text is no configuration.
    """
    body = text.removeprefix(BOM)
    for start, end in sorted(set(_secrets(parse(body, file), False, set())), reverse=True):
        quote = body[start] if body[start] in "\"'" else ""
        lines = body[start:end].split("\n")
        hidden = "\n".join(f"{quote}{HIDDEN}{quote}" if line.strip() else line for line in lines)
        body = body[:start] + hidden + body[end:]
    mark = text[: len(text) - len(text.removeprefix(BOM))]
    return mark + "\n".join(mask(line) for line in body.split("\n"))


def _secrets(node: Node, below: bool, seen: set[tuple[int, bool]]) -> Iterator[tuple[int, int]]:
    """Where the scalars under a secret's name are written; switches and nothing are no secrets."""
    if (id(node), below) in seen:
        return
    seen.add((id(node), below))
    if below and node.kind == "scalar" and not isinstance(node.value, bool | None):
        yield node.start, node.end
    for use in node.children:
        named = use.key is not None and is_secret(use.key.text)
        yield from _secrets(use.node, below or named, seen)
