"""Hundreds of broken inputs: each must end in one clear message, in seconds, with nothing written.

    python tests/soak/inputs.py              all of them
    python tests/soak/inputs.py study        one kind: study, configuration, options, results

They are made from whole ones: every value of study.yaml and of both configurations becomes what it
cannot be, every file is cut and garbled, options are misspelled, and files of results damaged.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import yaml
from synthetic import build_study

from ablation.command.main import MISTAKE
from ablation.command.main import main as ablation
from ablation.errors import UserError
from ablation.evidence.metrics import load_run
from ablation.sums import sealed, sums_of
from soak.record import keep

MOST_SECONDS = 10.0
# What no value of a study is: of another kind, out of every range, or no text.
WRONG: tuple[object, ...] = ({"no": {"such": "thing"}}, [[1]], "no such\nvalue", -1e308)
FREE = ("title", "purpose", "model", "stages", "claims")  # free texts, and any number
# What no setting of a configuration can be, by the kind of what stands there.
FOR_NUMBERS: tuple[object, ...] = ("many", {"a": 1}, [1, [2]], "1e")
SETTINGS = (
    "learning_rate",
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "weight_decay",
    "warmup_ratio",
    "r",
    "lora_alpha",
    "lora_dropout",
    "max_length",
)
COMMANDS = (
    ["plan", "--no-such-option", "STUDY"],
    ["plan"],
    ["plan", "no/such/study"],
    ["plan", "STUDY", "more"],
    ["plna", "STUDY"],
    ["run", "STUDY", "--cores"],
    ["run", "no/such/study"],
    ["status", "STUDY"],
    ["report", "STUDY"],
    ["explain", "one.yml"],
    ["explain", "no.yml", "such.yml"],
    ["init"],
    ["init", "no.yml", "such.yml"],
    ["--lang", "xx", "plan", "STUDY"],
)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What an input ended in.

    Attributes:
        kind: What was broken.
        name: How.
        outcome: "refused", "accepted", or what was wrong with the refusal.
        told: What was said.
        seconds: Seconds of a processor that it took.
    """

    kind: str
    name: str
    outcome: str
    told: str
    seconds: float


def broken_study(text: str) -> Iterator[tuple[str, str]]:
    """study.yaml with one thing wrong each."""
    whole = yaml.safe_load(text)
    for path in paths_of(whole):
        for number, wrong in enumerate(WRONG):
            # Any text is a family of models: those that nobody knows are told as such.
            if "model_type" in path and number == 2:
                continue
            if number > 1 and path[0] in FREE and "architecture" not in path:
                continue
            yield f"{'.'.join(map(str, path))} {number}", dumped(put(whole, path, wrong))
    for path in paths_of(whole, inner=True):
        if "architecture" in path:  # a family may have facts of its own
            continue
        yield f"unknown key in {path}", dumped(put(whole, (*path, "no_such_key"), 1))
    for name in whole:
        yield f"no {name}", dumped({key: value for key, value in whole.items() if key != name})
    yield from garbled(text)


def broken_configuration(text: str) -> Iterator[tuple[str, str]]:
    """A configuration with one setting that cannot be."""
    whole = yaml.safe_load(text)
    for path in paths_of(whole):
        # What others take through an anchor acts nowhere by itself, and the copy has no anchors.
        held = len(path) == 1 or any("defaults" in str(k) or "base" in str(k) for k in path)
        if path[-1] in SETTINGS and not held:
            for number, wrong in enumerate(FOR_NUMBERS):
                yield f"{'.'.join(map(str, path))} {number}", dumped(put(whole, path, wrong))
    yield from garbled(text)


def garbled(text: str) -> Iterator[tuple[str, str]]:
    """A text of YAML that is none any more."""
    lines = text.splitlines()
    for number in range(1, len(lines), max(1, len(lines) // 10)):
        yield (
            f"open bracket in line {number}",
            "\n".join([*lines[:number], "a: [1,", *lines[number:]]),
        )
    yield "a tag", f"a: !!python/object/apply:os.system [ls]\n{text}"
    yield "nothing", ""
    yield "a list", "- 1\n- 2\n"
    yield "a number", "17\n"
    yield "tabs", text.replace("  ", "\t")
    yield "a key twice", f"{text}\nseeds: [2]\nseeds: [3]\n"
    yield "bytes", "\x00\x01\x02"
    yield "deep", "a: " + "[" * 5000 + "]" * 5000


def paths_of(
    value: Any, inner: bool = False, path: tuple[Any, ...] = ()
) -> Iterator[tuple[Any, ...]]:
    """Where each value stands, or each mapping where `inner`."""
    if isinstance(value, dict):
        if inner:
            yield path
        for key, item in value.items():
            yield from paths_of(item, inner, (*path, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, item in enumerate(value):
            yield from paths_of(item, inner, (*path, number))
    elif not inner:
        yield path


def put(whole: Any, path: tuple[Any, ...], value: object) -> Any:
    """A copy with another value in one place."""
    copy = json.loads(json.dumps(whole))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


def dumped(value: Any) -> str:
    """As YAML."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def call(words: list[str], folder: Path) -> tuple[int, str]:
    """Exit code of `ablation`, and what it said on standard error; 1 for an exception."""
    told = io.StringIO()
    before = Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
            return ablation(words), told.getvalue()
    except SystemExit as leaving:
        return int(leaving.code or 0), told.getvalue()
    except Exception as error:
        return 1, f"Traceback: {type(error).__name__}: {error}"
    finally:
        os.chdir(before)


def judge(kind: str, name: str, words: list[str], folder: Path) -> Seen:
    """What a call ends in."""
    started = time.process_time()
    code, told = call(words, folder)
    seconds = time.process_time() - started
    outcome = "refused" if code == MISTAKE else "accepted" if code == 0 else "no clean exit"
    if "Traceback" in told:
        outcome = "traceback"
    elif code == MISTAKE and not told.startswith(("error: ", "usage")):
        outcome = "unclear"
    elif (folder / "results").exists():
        outcome = "wrote results"
    elif seconds > MOST_SECONDS:
        outcome = "slow"
    return Seen(kind=kind, name=name, outcome=outcome, told=told, seconds=seconds)


def cases(kind: str, folder: Path, every: int = 1) -> Iterator[Seen]:
    """Every input of a kind, or each so-many-th one, tried."""
    study = Path(shutil.copytree(ROOT / "config/studies/account_tax", folder / "account_tax"))
    command = ["plan", str(study)]
    if kind == "options":
        for words in COMMANDS:
            given = [str(study) if word == "STUDY" else word for word in words]
            yield judge(kind, " ".join(words), given, folder)
        return
    files = ["study.yaml"] if kind == "study" else ["training.yml", "deepspeed.yml"]
    break_it = broken_study if kind == "study" else broken_configuration
    for file in files:
        whole = (study / file).read_text()
        for name, text in islice(break_it(whole), 0, None, every):
            (study / file).write_text(text)
            yield judge(kind, f"{file}: {name}", command, folder)
        (study / file).write_text(whole)


def damaged_results(folder: Path) -> Iterator[Seen]:
    """Files of a finished run, damaged: none may be read as good."""
    made = build_study(folder)
    path = sorted(made.runs.rglob("metrics.json"))[0]
    beside = [file for file in path.parent.iterdir() if file.is_file() and file != path]
    record = json.loads(path.read_text())
    path.write_text(json.dumps(sealed(record | {"sums": sums_of(path.parent, beside)}), indent=2))
    load_run(path)
    for file in (path, *beside):
        whole = file.read_bytes()
        for name, text in damages(whole):
            file.write_bytes(text)
            started = time.process_time()
            try:
                load_run(path)
                outcome, told = "read as good", ""
            except UserError as error:
                told = str(error)
                outcome = "refused" if str(path.parent) in told else "unclear"
            except Exception as error:
                outcome, told = "traceback", repr(error)
            seconds = time.process_time() - started
            name = f"{file.name}: {name}"
            yield Seen(kind="results", name=name, outcome=outcome, told=told, seconds=seconds)
        file.write_bytes(whole)


def damages(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Ways in which a disk loses a file's content."""
    yield "empty", b""
    yield "zeros", bytes(len(whole))
    for share in range(1, 10):
        yield f"cut at {share}/10", whole[: len(whole) * share // 10]
    digits = [place for place, byte in enumerate(whole) if chr(byte).isdigit()]
    for number in range(1, 16):
        place = digits[len(digits) * number // 16] if digits else len(whole) * number // 16
        flipped = bytearray(whole)
        flipped[place] ^= 1
        yield f"bit of byte {place}", bytes(flipped)


def try_kind(kind: str) -> list[Seen]:
    """Every input of a kind, and what is not as it must be, told."""
    seen = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        for one in damaged_results(folder) if kind == "results" else cases(kind, folder):
            seen.append(one)
            if one.outcome != "refused":
                told = one.told.strip()[:300]
                print(f"{one.outcome}: {one.name} ({one.seconds:.1f} s) {told}", flush=True)
    return seen


def main(wanted: list[str]) -> int:
    """Try what is asked for, and keep it in docs/reliability.md."""
    seen = [one for kind in wanted or KINDS for one in try_kind(kind)]
    counts = Counter((one.kind, one.outcome) for one in seen)
    slowest = {one.kind: max(s.seconds for s in seen if s.kind == one.kind) for one in seen}
    rows = [(*key, str(count), f"{slowest[key[0]]:.1f} s") for key, count in sorted(counts.items())]
    keep("inputs", ("broken", "outcome", "inputs", "slowest of the kind"), rows)
    return int(any(outcome != "refused" for _, outcome in counts))


KINDS = ("study", "configuration", "options", "results")

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
