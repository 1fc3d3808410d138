"""Keys in another spelling, and command lines kept in a file: told as the keys they stand for.

A script of people's own may take `learningRate`, `learning-rate` or `["--learning_rate", "1e-4"]`;
trainers with keys of their own do not, see `ablation.dialects.Recognized.strangers`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ablation.dialects import deepspeed_native, kedro, nested, vocabulary
from ablation.dialects.deepspeed import join
from ablation.dialects.own_names import LORA_NAMES, OWN_NAMES, SWITCHES
from ablation.documents.entries import Entry, read_flags
from ablation.settings.catalogue import words

_BLOCKS = words("lora_config peft_config training_args training_arguments deepspeed_config")


@dataclass(frozen=True)
class Spelled:
    """A file with its keys as libraries spell them.

    Attributes:
        root: The file.
        written: New dotted key to the one that the file has.
    """

    root: Entry
    written: Mapping[str, str]


@functools.cache
def _known() -> frozenset[str]:
    """Names that a key may be meant for."""
    paths = {
        key.key
        for m in (kedro, deepspeed_native, nested)
        for ks in m.KEYS.settings.values()
        for key in ks
    }
    parts = {part for path in paths for part in path.split(".") if part}
    others = (LORA_NAMES, OWN_NAMES, SWITCHES, _BLOCKS, vocabulary.keys_of("hf_trainer"))
    return frozenset((*parts, *(name for names in others for name in names)))


def respell(root: Entry) -> Spelled:
    """A file whose keys are spelled as the names they are meant for, where there are such names."""
    written: dict[str, str] = {}
    return Spelled(_respelled(_with_flags(root), "", "", written), written)


def _respelled(entry: Entry, prefix: str, old: str, written: dict[str, str]) -> Entry:
    if not isinstance(entry.value, dict):
        return entry
    found: dict[str, Entry] = {}
    for key, below in entry.value.items():
        name = vocabulary.spell(key)
        if name == key or name not in _known() or key in _known() or name in entry.value:
            name = key
        name = key if name in found else name
        new, before = join(prefix, name), join(old, key)
        if new != before:
            written[new] = before
        found[name] = _respelled(below, new, before, written)
    return replace(entry, value=found)


def _with_flags(entry: Entry) -> Entry:
    """A file in which lists of command-line arguments are the mappings that they stand for."""
    if isinstance(entry.value, list) and (flags := read_flags(entry.value)):
        return replace(entry, value=flags)
    if not isinstance(entry.value, dict):
        return entry
    return replace(entry, value={key: _with_flags(below) for key, below in entry.value.items()})
