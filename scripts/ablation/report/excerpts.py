"""Lines out of the users' own files: what a side says, and which line to change to what."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablation.settings.catalogue import DEEPSPEED_SCHEDULERS
from ablation.words.catalogue import short_float

GAP = "# ..."
_TRAINER_OPTIM = {"torch": "adamw_torch", "torch_fused": "adamw_torch_fused"}
_MARKS = {"scheduler", "optimizer"}  # keys inside a DeepSpeed block
_KEY_LINE = re.compile(r"^(\s*(?:-\s+)?)([\w.\-\"']+)(\s*:\s*)(&[\w-]+\s+)?(.*)$")


@dataclass(frozen=True)
class Excerpt:
    """Lines of a file with the keys above them for context.

    Attributes:
        text: The lines, with a mark where lines are left out.
        lines: The lines that hold the settings, ranges collapsed: "40-41, 44".
    """

    text: str
    lines: str


@dataclass(frozen=True)
class Edit:
    """One change to the current file.

    Attributes:
        line: The line to change, None for one to add.
        below: For a line to add, the dotted key it belongs below ("" if unknown).
        old: The lines as they are, none for an addition.
        new: The lines as they should be.
    """

    line: int | None
    below: str
    old: tuple[str, ...]
    new: tuple[str, ...]


def indent_of(line: str) -> int:
    """The number of blanks a line starts with."""
    return len(line) - len(line.lstrip(" "))


def is_content(line: str) -> bool:
    """Whether a line holds more than blanks or a comment."""
    stripped = line.strip()
    return bool(stripped) and not stripped.startswith("#")


def block_end(lines: Sequence[str], number: int) -> int:
    """The last line (from 1) of the value that starts in a line: blocks and open brackets."""
    first = lines[number - 1]
    match = _KEY_LINE.match(first)
    value = _without_comment(match[5]) if match else ""
    if match and (not value or value.startswith(("|", ">"))):
        end = number
        for at in range(number + 1, len(lines) + 1):
            line = lines[at - 1]
            if not is_content(line):
                continue
            deeper = indent_of(line) > indent_of(first)
            item = indent_of(line) == indent_of(first) and line.lstrip().startswith("- ")
            if not (deeper or item):
                break
            end = at
        return end
    depth = 0
    for at in range(number, len(lines) + 1):
        text = _without_comment(lines[at - 1])
        depth += sum(text.count(c) for c in "[{") - sum(text.count(c) for c in "]}")
        if depth <= 0:
            return at
    return number


def _without_comment(text: str) -> str:
    return re.sub(r"(^|\s)#.*$", "", text).strip()


def parents_of(lines: Sequence[str], number: int) -> list[int]:
    """The lines (from 1) of the keys that a line is nested in, outermost first."""
    found: list[int] = []
    limit = indent_of(lines[number - 1])
    for at in range(number - 1, 0, -1):
        line = lines[at - 1]
        if is_content(line) and indent_of(line) < limit:
            found.append(at)
            limit = indent_of(line)
    return found[::-1]


def ranges(numbers: Iterable[int]) -> str:
    """Line numbers with neighbours collapsed: 40, 41, 44 is "40-41, 44"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def excerpt(lines: Sequence[str], numbers: Iterable[int]) -> Excerpt | None:
    """The named lines (from 1) with their blocks and the keys above; None without any."""
    wanted: set[int] = set()
    for number in numbers:
        if 1 <= number <= len(lines):
            wanted |= set(range(number, block_end(lines, number) + 1))
    if not wanted:
        return None
    shown = sorted(wanted | {parent for number in wanted for parent in parents_of(lines, number)})
    cut = min(indent_of(lines[number - 1]) for number in shown if is_content(lines[number - 1]))
    text: list[str] = []
    for before, number in zip([None, *shown], shown, strict=False):
        line = lines[number - 1].rstrip()
        skipped = range((before or number - 1) + 1, number)
        inside = before is not None and indent_of(line) > indent_of(lines[before - 1])
        if not inside and any(is_content(lines[at - 1]) for at in skipped):
            text.append(" " * max(0, indent_of(line) - cut) + GAP)
        text.append(line[cut:])
    return Excerpt("\n".join(text), ranges(n for n in wanted if is_content(lines[n - 1])))


def places(provenance: Mapping[str, Any]) -> list[int]:
    """All lines that hold a setting: its own and those that repeat it."""
    found = [provenance.get("line"), *(also["line"] for also in provenance.get("also") or [])]
    return [int(line) for line in found if line is not None]


def yaml_value(value: object) -> str:
    """A value as YAML 1.1 and 1.2 both read it: 1.0e-5 is a number in either, 1e-5 is not."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        text = short_float(value)
        if "e" in text:
            mantissa, exponent = text.split("e")
            mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
            return f"{mantissa}e{int(exponent):+d}"
        return text
    if isinstance(value, list):
        return "[" + ", ".join(yaml_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {yaml_value(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def change_line(line: str, value: object) -> str:
    """The line with its value replaced, key, anchor and comment kept."""
    match = _KEY_LINE.match(line.rstrip())
    if match is None:
        return line
    indent, key, colon, anchor, rest = match.groups()
    comment = re.search(r"\s+#.*$", rest)
    text = f"{indent}{key}{colon.rstrip(' ')} {anchor or ''}{yaml_value(value)}"
    return text + (comment[0] if comment else "")


def edits_for(
    settings: Sequence[str],
    current: Mapping[str, Mapping[str, Any]],
    backup: Mapping[str, Mapping[str, Any]],
    lines: Sequence[str],
) -> list[Edit]:
    """The changes to the current file that give these settings the backup's values."""
    found: list[Edit] = []
    for name in settings:
        here, value = current.get(name, {}), backup.get(name, {}).get("value")
        at = [n for n in places(here) if 1 <= n <= len(lines)]
        if _in_deepspeed(name, backup) and not _MARKS & set(str(here.get("key")).split(".")):
            found += _deepspeed_block(name, current, backup)
        elif at:
            for number in at:
                old = tuple(lines[number - 1 : block_end(lines, number)])
                found.append(Edit(number, "", old, _changed(old[0], name, value, backup)))
        elif value is not None:
            found.append(_addition(name, value, current))
    return sorted(found, key=lambda edit: (edit.line is None, edit.line or 0))


def _in_deepspeed(name: str, backup: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the backup's value can only be said in a DeepSpeed block."""
    if name == "optim_implementation":
        return backup[name].get("value") == "deepspeed"
    scheduler = backup.get("lr_scheduler_type", {}).get("value")
    return name in ("lr_scheduler_type", "lr_scheduler_kwargs") and (
        scheduler in DEEPSPEED_SCHEDULERS
    )


def _scheduler_params(backup: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The parameters of a DeepSpeed scheduler; counts of steps that are not given are "auto"."""
    kind = str(backup["lr_scheduler_type"]["value"])
    counts = {"warmup_num_steps": "auto"} if kind.startswith("Warmup") else {}
    if kind in ("WarmupCosineLR", "WarmupDecayLR"):
        counts["total_num_steps"] = "auto"
    return {**counts, **(backup.get("lr_scheduler_kwargs", {}).get("value") or {})}


def _deepspeed_block(
    name: str,
    current: Mapping[str, Mapping[str, Any]],
    backup: Mapping[str, Mapping[str, Any]],
) -> list[Edit]:
    """A scheduler or optimizer block to add; the scheduler's type brings its parameters."""
    if name == "lr_scheduler_kwargs":
        return []
    if name == "lr_scheduler_type":
        key, kind, params = "scheduler", backup[name]["value"], _scheduler_params(backup)
    else:
        key, kind = "optimizer", "AdamW"
        params = dict.fromkeys(("lr", "betas", "eps", "weight_decay"), "auto")
    lines = [f"{key}:", f"  type: {yaml_value(kind)}", *_block("  params:", params)]
    return [Edit(None, _prefix(current, ".zero_optimization"), (), tuple(lines))]


def _block(head: str, values: Mapping[str, Any]) -> list[str]:
    inner = " " * (indent_of(head) + 2)
    return [head, *(f"{inner}{key}: {yaml_value(value)}" for key, value in values.items())]


def _changed(
    line: str, name: str, value: object, backup: Mapping[str, Mapping[str, Any]]
) -> tuple[str, ...]:
    """The changed lines; a ratio of warmup that becomes a number of steps changes its key too."""
    if name == "lr_scheduler_kwargs" and _in_deepspeed(name, backup):
        return tuple(_block(line.rstrip(), _scheduler_params(backup)))
    if name == "optim_implementation":
        value = _TRAINER_OPTIM.get(str(value), "AdamW")
    if name == "warmup_steps" and "warmup_ratio" in line and float(str(value)) >= 1:
        line = line.replace("warmup_ratio", "warmup_steps")
    return (change_line(line, value),)


def _addition(name: str, value: object, current: Mapping[str, Mapping[str, Any]]) -> Edit:
    """A line to add for a setting that the current file does not write."""
    if name == "optim_implementation":
        name, value = "optim", _TRAINER_OPTIM.get(str(value), value)
    line = f"{name.rsplit('.', 1)[-1]}: {yaml_value(value)}"
    return Edit(None, _home(name, current), (), (line,))


def _prefix(current: Mapping[str, Mapping[str, Any]], mark: str) -> str:
    """The dotted key of the block that holds a key with this mark."""
    keys = (entry.get("key") for entry in current.values() if entry.get("origin") == "explicit")
    return next((key.split(mark)[0] for key in keys if key and mark in key), "")


def _home(name: str, current: Mapping[str, Mapping[str, Any]]) -> str:
    """The block of the current file where a setting of this kind belongs."""
    if name.startswith("deepspeed."):
        inner = name.removeprefix("deepspeed.").rsplit(".", 1)
        base = _prefix(current, ".zero_optimization")
        return ".".join(part for part in (base, inner[0] if len(inner) > 1 else "") if part)
    sibling = {"lora.": "lora.r", "data.": "data.extract_ratio", "loss.": "loss.use_class_weights"}
    near = next((s for start, s in sibling.items() if name.startswith(start)), "learning_rate")
    entry = current.get(near, {})
    if entry.get("origin") != "explicit" or not entry.get("key"):
        return ""
    return str(entry["key"]).rpartition(".")[0]
