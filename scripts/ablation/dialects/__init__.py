"""The dialects a configuration may be written in, and how one is recognised.

A dialect is a module with `NAME`, `SIGNATURE` (keys of which each one gives it away), `DEFAULTS`
(what an absent key means there, by the library that decides), `read`, and `KEYS`: the way back into
a user's file, made of the tables that `read` goes through. The flat Trainer arguments come last:
the other dialects contain them.
"""

from __future__ import annotations

from types import ModuleType

from ablation.dialects import (
    axolotl,
    deepspeed_json,
    deepspeed_native,
    hf_trainer,
    kedro,
    llama_factory,
    trl,
)
from ablation.documents.entries import Entry
from ablation.errors import UserError

DIALECTS: dict[str, ModuleType] = {
    module.NAME: module
    for module in (
        kedro,
        deepspeed_native,
        llama_factory,
        axolotl,
        trl,
        deepspeed_json,
        hf_trainer,
    )
}


def recognise(root: Entry, file: str) -> ModuleType:
    """The dialect whose keys the file has.

    Raises:
        UserError: no dialect's keys are there, or those of several.
    """
    fitting = {
        name: keys
        for name, module in DIALECTS.items()
        if (keys := [key for key in module.SIGNATURE if root.at(key) is not None])
    }
    if len(fitting) > 1:
        fitting.pop(hf_trainer.NAME, None)
    if len(fitting) == 1:
        return DIALECTS[next(iter(fitting))]
    if fitting:
        raise UserError(
            "several dialects have the keys of this configuration",
            file=file,
            line=min(root.at(keys[0]).key_line for keys in fitting.values()),
            found="; ".join(f"{keys[0]} of {name}" for name, keys in fitting.items()),
            allowed=f"one dialect: name it in study.yaml ({', '.join(fitting)})",
            write=f"dialects: {{current: {next(iter(fitting))}}}",
        )
    keys = ", ".join(list(root.value)[:8]) or "none"
    raise UserError(
        "no dialect recognises this configuration",
        file=file,
        line=1,
        found=f"top-level keys {keys}",
        allowed=[f"{m.NAME} (has {' or '.join(m.SIGNATURE[:3])})" for m in DIALECTS.values()],
    )
