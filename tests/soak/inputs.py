"""Hundreds of broken inputs: each must end in one clear message, in seconds, with nothing written.

    python tests/soak/inputs.py              all of them
    python tests/soak/inputs.py study        one kind: study, configuration, options, model, data,
                                             results (of a run), records (of a study)

They are made from whole ones: every value of study.yaml and of both configurations becomes what it
cannot be, every file is cut and garbled, options are misspelled, files of a model, of data and of
results damaged. "accepted, and told" is a key that stands twice: trainers take the last one, and
the plan says that they do.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import pyarrow as pa
import pyarrow.parquet as pq
import tiny
import yaml
from datasets import Dataset
from synthetic import build_study

from ablation.command.main import MISTAKE
from ablation.command.main import main as ablation
from ablation.data.model import prepare_model
from ablation.data.prepare import prepare as prepare_rows
from ablation.data.source import read_spec
from ablation.errors import UserError
from ablation.evidence.confirmation import Confirmation, load_confirmation, save_confirmation
from ablation.evidence.effects import save_effects
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.health import health_json
from ablation.evidence.metrics import collect, load_table, save_table
from ablation.evidence.reports import Reports, load_reports, report_of, save_reports
from ablation.files import load_json, save_record
from ablation.report.sources import load_sources
from ablation.results import Results
from ablation.study.adaptive import read_looks, read_steps
from ablation.study.grid import load_grid
from ablation.study.resolved import load_resolved
from ablation.study.run_metrics import load_run
from ablation.sums import sealed, sums_of
from ablation.training.parameters import check_parameters
from soak.record import keep

MOST_SECONDS = 10.0
GOOD = ("refused", "accepted, and told")
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
TWICE = "a key twice"
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
        outcome: "refused", "accepted, and told", or what was wrong.
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
    required = load_json(ROOT / "workflow/schemas/study.schema.json")["required"]
    for name in required:
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
    yield TWICE, f"{text}\nseeds: [2]\nseeds: [3]\n"
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


def judge_told(seen: Seen, words: list[str], folder: Path) -> Seen:
    """What is accepted, but must be told."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        ablation(words)
    good = seen.outcome == "accepted" and "stands twice" in told.getvalue()
    return replace(seen, outcome="accepted, and told") if good else seen


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
            seen = judge(kind, f"{file}: {name}", command, folder)
            if kind == "configuration" and name == TWICE:
                seen = judge_told(seen, ["explain", str(study)], folder)
            yield seen
        (study / file).write_text(whole)


def _read_damaged(kind: str, name: str, read: Callable[[], object], named: str) -> Seen:
    """What reading a damaged file comes to: it has to be refused, and the file named."""
    started = time.process_time()
    try:
        read()
        outcome, told = "read as good", ""
    except UserError as error:
        told = str(error)
        outcome = "refused" if named in told else "unclear"
    except Exception as error:
        outcome, told = "traceback", repr(error)
    seconds = time.process_time() - started
    return Seen(kind=kind, name=name, outcome=outcome, told=told, seconds=seconds)


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
            told = f"{file.name}: {name}"
            yield _read_damaged("results", told, lambda: load_run(path), str(path.parent))
        file.write_bytes(whole)


def damaged_records(folder: Path, every: int = 1) -> Iterator[Seen]:
    """Each kind of record that a study's results hold, damaged: none may be read as good."""
    made = build_study(folder)
    results = made.results
    readers = write_records(results)
    for path, read in readers.items():
        read()
        whole = path.read_bytes()
        for name, text in islice(damages(whole, flips=5), 0, None, every):
            path.write_bytes(text)
            told = f"{path.relative_to(results.folder)}: {name}"
            yield _read_damaged("records", told, read, path.name)
        path.write_bytes(whole)


def write_records(results: Results) -> dict[Path, Callable[[], object]]:
    """Write the records of a finished study, and say what reads each of them."""
    study, grid = load_resolved(results), load_grid(results.planned_grid)
    for path in (results.planned_grid, results.profile):
        save_record(load_json(path), path)
    for path in (results.candidates, results.decided_grid, results.confirmation_grid):
        save_record(grid.as_json(), path)
    for path in (results.metrics, results.confirmation_metrics):
        save_table(collect(grid, results.runs), path)
    save_effects(
        estimate_effects(grid, load_table(results.metrics), study.options), results.effects
    )
    save_reports(Reports().adding(report_of(grid, study.options)), results.reports)
    save_record(health_json([]), results.health)
    save_record({"stop": True, "n": 3, "reason": "enough"}, results.look(1))
    save_record({"direction": "forward", "step": 1, "arm": "stage1"}, results.step("forward", 1))
    save_confirmation(Confirmation(status="undecided", reason="open", delta=0.01), results.verdict)
    sources = partial(load_sources, results, "en")
    of_report = {results.planned_grid, results.profile, results.metrics, results.effects}
    own = {
        results.study: partial(load_resolved, results),
        results.candidates: partial(load_grid, results.candidates),
        results.decided_grid: partial(load_grid, results.decided_grid),
        results.confirmation_grid: partial(load_grid, results.confirmation_grid),
        results.confirmation_metrics: partial(load_table, results.confirmation_metrics),
        results.verdict: partial(load_confirmation, results.verdict),
        results.reports: partial(load_reports, results.reports),
        results.look(1): partial(read_looks, results, 1),
        results.step("forward", 1): partial(read_steps, results, "forward", 1),
    }
    return dict.fromkeys(sorted(of_report | {results.health}), sources) | own


def broken_models(folder: Path) -> Iterator[Seen]:
    """Each file of a model damaged, and each number of its configuration a word or a list."""
    model = folder / "model"
    tiny.write_model(model)
    given = {"path": str(model), "file": "study.yaml", "lines": {"model.path": 9}}

    def prepare() -> None:
        prepare_model(given, folder / "prepared", check_parameters)

    prepare()
    for file in (model / "config.json", model / "tokenizer.json", model / "model.safetensors"):
        whole = file.read_bytes()
        for name, text in lost(whole):
            file.write_bytes(text)
            yield judge_preparing("model", f"{file.name}: {name}", prepare)
        file.write_bytes(whole)
    file = model / "config.json"
    whole = json.loads(file.read_text())
    # Tokens that nobody needs may be any; pretraining_tp is read by nothing any more.
    free = ("token", "pretraining_tp")
    sizes = [k for k, v in whole.items() if type(v) is int and not any(f in k for f in free)]
    for key in sizes:
        for wrong in ("many", [1], -3, 0):
            file.write_text(json.dumps(whole | {key: wrong}))
            yield judge_preparing("model", f"config.json: {key} {wrong!r}", prepare)


def broken_data(folder: Path) -> Iterator[Seen]:
    """Rows in each format, the file damaged."""
    tiny.write_model(folder / "model")
    rows = {"text": [f"w{n} w{n + 1}" for n in range(40)], "label": ["a", "b"] * 20}
    table = pa.table(rows)
    pq.write_table(table, folder / "rows.parquet")
    Dataset(table).save_to_disk(str(folder / "saved"))
    lines = [
        json.dumps(dict(zip(rows, row, strict=True))) for row in zip(*rows.values(), strict=True)
    ]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    (folder / "rows.csv").write_text(
        "text,label\n" + "\n".join(map(",".join, zip(*rows.values(), strict=True)))
    )

    def prepare(path: str) -> None:
        given = {"path": path, "label_column": "label", "lines": {"data.path": 10}}
        spec = read_spec(given | {"file": str(folder / "study.yaml")})
        prepare_rows(spec, folder / "model/model.json", folder / "prepared", [8])

    files = [folder / name for name in ("rows.parquet", "rows.jsonl", "rows.csv")]
    for file in (*files, *sorted((folder / "saved").iterdir())):
        path = "saved" if file.parent.name == "saved" else file.name
        prepare(path)
        whole = file.read_bytes()
        # Of text by lines, what is left is fewer rows.
        found = list(lost(whole))[: 2 if file.suffix == ".csv" else None]
        for name, text in found:
            file.write_bytes(text)
            yield judge_preparing("data", f"{file.name}: {name}", partial(prepare, path))
        file.write_bytes(whole)


def judge_preparing(kind: str, name: str, prepare: Callable[[], None]) -> Seen:
    """What preparing a model or data ends in: a mistake must name a file."""
    started, told = time.process_time(), ""
    try:
        prepare()
        outcome = "accepted"
    except UserError as error:
        told = str(error)
        outcome = "refused" if error.file else "unclear"
    except Exception as error:
        outcome, told = "traceback", repr(error)
    seconds = time.process_time() - started
    outcome = "slow" if seconds > MOST_SECONDS else outcome
    return Seen(kind=kind, name=name, outcome=outcome, told=told, seconds=seconds)


def lost(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Ways in which a disk loses parts of a file."""
    yield "empty", b""
    yield "zeros", bytes(len(whole))
    yield "zeros at its end", whole[: len(whole) // 2].ljust(len(whole), b"\0")
    for share in range(1, 10):
        yield f"cut at {share}/10", whole[: len(whole) * share // 10]


def damages(whole: bytes, flips: int = 15) -> Iterator[tuple[str, bytes]]:
    """Ways in which a disk loses a file's content; in so many, one bit of a number is another."""
    yield "empty", b""
    yield "zeros", bytes(len(whole))
    for share in range(1, 10):
        yield f"cut at {share}/10", whole[: len(whole) * share // 10]
    digits = [place for place, byte in enumerate(whole) if chr(byte).isdigit()]
    for number in range(1, flips + 1):
        share = number / (flips + 1)
        place = digits[int(len(digits) * share)] if digits else int(len(whole) * share)
        flipped = bytearray(whole)
        flipped[place] ^= 1
        yield f"bit of byte {place}", bytes(flipped)


def try_kind(kind: str) -> list[Seen]:
    """Every input of a kind, and what is not as it must be, told."""
    seen = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        for one in OTHERS[kind](folder) if kind in OTHERS else cases(kind, folder):
            seen.append(one)
            if one.outcome not in GOOD:
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
    return int(any(outcome not in GOOD for _, outcome in counts))


OTHERS = {"model": broken_models, "data": broken_data}
OTHERS |= {"results": damaged_results, "records": damaged_records}
KINDS = ("study", "configuration", "options", *OTHERS)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
