"""A small study whose operations fail: what is tried, and what must be there after it."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import tiny
from faked import FakedStudy

from ablation.machine.process import read_stat, unkept_jobs
from ablation.training.request import KEPT

PLANTED = {"noise": 0.003, "rate": 0.2}
CURRENT = "learning_rate: 1.0e-5\nnum_train_epochs: 3\nlora: {r: 8, lora_alpha: 16}\n"
BACKUP = CURRENT.replace("1.0e-5", "5.0e-5")
STUDY = """\
title: {en: "Small"}
purpose: {en: "As few operations as can be."}
current: training.yml
backup: deepspeed.yml
world_size: 1
seeds: [1]
model:
  path: "Qwen/Qwen3-4B"
  architecture: {model_type: qwen3, num_hidden_layers: 36, hidden_size: 2560}
data: {path: rows.csv}
stages:
  - {name: rate, settings: [learning_rate]}
"""
COMMAND = "import sys; sys.executable = sys.argv.pop(1); from ablation.command.main import main"
STANDS_FOR_PARTIAL = """\
*render_partial.py) folder=results/account_tax/partial
    mkdir -p "$folder" && : > "$folder/report.md" ;;
"""
LEFT_SECONDS = 120.0  # until what was started is gone: a Snakemake whose caller died ends its work
# When attempts at a run began and ended; the sum of a table with times; Snakemake's mark of a
# folder's time, an empty file: where it could not be made, the time is that of the folder.
TIMED = ("attempts.json", ".metrics.csv.sum", ".snakemake_timestamp")
CALL_SECONDS = 300.0  # of a call that hangs; one of these studies takes some 20


class SmallStudy(FakedStudy):
    """Two arms, one seed, one difference."""

    def __init__(self, folder: Path, server: Path | None = None, partial: bool = True) -> None:
        """Write it.

        Args:
            folder: Where to; it must be empty.
            server: The socket of soak/forked.py, for programs that shall start at once.
            partial: Whether a call that fails writes its partial report; else an empty file
                stands for it, which saves most of what such a call takes.
        """
        super().__init__(folder)
        self.at = folder
        python = self.shims / "python"
        self.python = str(python if server else sys.executable)
        if server:
            last = f"*) exec {sys.executable}"
            forked = f"{last} -S -E {ROOT / 'tests/soak/asked.py'} {server}"
            forked = forked if partial else f"{STANDS_FOR_PARTIAL}  {forked}"
            python.write_text(python.read_text().replace(last, forked))
        (self.file.parent / "training.yml").write_text(CURRENT)
        (self.file.parent / "deepspeed.yml").write_text(BACKUP)
        self.original = STUDY
        self.write()
        (folder / "tmp").mkdir()

    def ablation(self, cores: int = 2) -> list[str]:
        """`ablation run`, whose Snakemake calls the faked programs."""
        code = f"{COMMAND}; sys.exit(main(sys.argv[1:]))"
        python = str(self.shims / "python")
        return [python, "-c", code, python, "run", "account_tax", "--cores", str(cores)]

    def left(self) -> list[str]:
        """What is there that an ended study must not leave."""
        return [*still_there(self.folder), *left_over(self.folder)]

    def start(self, further: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """`ablation run`, begun."""
        environment = self.environment(PLANTED) | {"PYTHONPATH": str(ROOT / "scripts")}
        environment |= {"TMPDIR": str(self.folder / "tmp"), "FORKED_PYTHON": self.python}
        return begin(self.ablation(), environment | (further or {}), self.at)


class TinyRun:
    """One run that is really trained: a model of a few thousand weights, two epochs, one rank.

    Its worker outlives it: it keeps what it has imported, in a folder beside.
    """

    def __init__(
        self,
        folder: Path,
        warm: Path | None = None,
        server: Path | None = None,
        ranks: int = 1,
    ) -> None:
        """Write it.

        Args:
            folder: Where to; made once, its results are removed.
            warm: The folder of the warm worker; None launches each rank anew.
            server: The socket of soak/forked.py, for a launcher and ranks that start at once.
            ranks: Processes of the run.
        """
        self.folder, self.warm, self.server, self.ranks = folder, warm, server, ranks
        self.python = str(forked_python(server) if server else sys.executable)
        self.at = folder.parent
        self.results = folder / "results"
        shutil.rmtree(self.results, ignore_errors=True)
        shutil.rmtree(folder / "tmp", ignore_errors=True)  # what another has left was told then
        (folder / "tmp").mkdir()
        if not (folder / "grid.json").exists():
            tiny.write_model(folder / "model")
            tiny.write_data(folder / "data", rows=64)
            tiny.write_grid(folder / "grid.json", {"current": {}})
        named = {"grid": folder / "grid.json", "data": folder / "data"}
        tiny.as_results(self.results, model=folder / "model/model.json", **named)

    def start(self, further: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """train_run.py, begun."""
        command = [self.python, ROOT / "scripts/train_run.py", "--results", self.results]
        command += ["--variant", "current", "--seed", "1", "--world-size", self.ranks]
        command += ["--warm", self.warm] if self.warm else []
        environment = {**os.environ, "TMPDIR": str(self.folder / "tmp"), **(further or {})}
        environment["FORKED_PYTHON"] = self.python
        # Not from the folder: the worker would be taken for a part of it.
        return begin([str(word) for word in command], environment, self.at)

    def left(self) -> list[str]:
        """What is there that an ended run must not leave."""
        run = self.results / "runs/current/seed-1"
        found = [*still_there(self.folder), *left_over(self.folder)]
        found += [f"{path.name} is there" for path in run.glob("checkpoint*")]
        parent = self.warm or self.server
        if parent:
            deadline = time.monotonic() + LEFT_SECONDS
            while (forked := _forked(parent)) and time.monotonic() < deadline:
                time.sleep(0.1)
            found += [f"process {pid} of the worker" for pid in forked]
        deadline = time.monotonic() + LEFT_SECONDS
        while (ports := unkept_jobs()) and time.monotonic() < deadline:
            time.sleep(0.1)
        found += [f"shared memory of the job at port {port}" for port in ports]
        return found


def forked_python(server: Path) -> Path:
    """A `python` that lets the server of soak/forked.py run programs; short ones run themselves."""
    path = server.with_name("python")
    ask = ROOT / "tests/soak/asked.py"
    if not path.exists():
        path.write_text(
            f'#!/bin/sh\ncase "$1" in\n  -S|-c) exec {sys.executable} "$@" ;;\n'
            f'  *) exec {sys.executable} -S -E {ask} {server} "$@" ;;\nesac\n'
        )
        path.chmod(0o755)
    return path


def _forked(parent: Path) -> list[int]:
    """The runs of a worker: processes with its command line whose parent has it, too."""
    pids = processes_in(parent)
    parents = {pid: (read_stat(pid) or ("", 0, ""))[1] for pid in pids}
    return [pid for pid, parent in parents.items() if parent in pids]


def begin(command: list[str], environment: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """A command in a session of its own; what it prints goes into a file beside the folder."""
    with _log(folder).open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _log(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.log"


def call(study: SmallStudy | TinyRun, further: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and output of a call that is waited for; 124 where it did not end."""
    process = study.start(further)
    return end(process), _log(study.at).read_text(errors="replace")


def end(process: subprocess.Popen[bytes], seconds: float = CALL_SECONDS) -> int:
    """Exit code of a process; 124 where it does not end in so many seconds, and is killed."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return 124


def begin_second(study: SmallStudy | TinyRun, further: dict[str, str]) -> subprocess.Popen[bytes]:
    """The same call once more beside the first, whose output stays."""
    log = _log(study.at)
    first = log.rename(log.with_suffix(".first"))
    try:
        return study.start(further)
    finally:
        log.rename(log.with_suffix(".second"))
        first.rename(log)


def command_of(pid: int) -> str:
    """The command line of a process; empty where it is gone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return words.replace(b"\0", b" ").decode(errors="replace")


def processes_in(folder: Path) -> list[int]:
    """The processes that work in a folder, or were started for it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            if words and (os.fsencode(folder) in words or (entry / "cwd").readlink() == folder):
                found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]


def still_there(folder: Path, seconds: float = LEFT_SECONDS) -> list[str]:
    """What runs in a folder after so many seconds; it is killed then."""
    deadline = time.monotonic() + seconds
    while (pids := processes_in(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    told = []
    for pid in pids:
        told.append(f"process {command_of(pid)[:200]}")
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return told


def left_over(folder: Path) -> list[str]:
    """Locks, sockets and temporary files below a folder where a study has ended."""
    kept = folder / "tmp"
    whole = (path for path in kept.rglob("*") if not path.is_dir() or not any(path.iterdir()))
    found = [f"temporary {path.relative_to(kept)}" for path in whole]
    for name in ("locks", "incomplete"):
        found += [f".snakemake/{name}/{path.name}" for path in _files(folder / ".snakemake" / name)]
    for path in (folder / "results").rglob("*"):
        if stat.S_ISSOCK(path.lstat().st_mode) or path.name.endswith((".part", ".partial", ".tmp")):
            found.append(str(path.relative_to(folder)))
    return found


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def content(results: Path) -> dict[str, str]:
    """A sum of every file of the results, but for what tells times, by its path."""
    found = {}
    for path in sorted(_files(results)):
        place = path.relative_to(results)
        if place.parts[0] not in ("logs", "benchmarks", ".warm") and place.name not in TIMED:
            text = _timeless(path)
            found[place.as_posix()] = hashlib.sha256(text).hexdigest()
    return found


def _timeless(path: Path) -> bytes:
    text = path.read_bytes()
    with contextlib.suppress(ValueError):
        if path.name in ("metrics.json", KEPT):
            return json.dumps(without_times(json.loads(text)), sort_keys=True).encode()
        if path.name == "metrics.csv":
            rows = csv.DictReader(io.StringIO(text.decode()))
            timed = ("measured_at", "cost.")
            kept = [{k: v for k, v in row.items() if not k.startswith(timed)} for row in rows]
            return json.dumps(kept).encode()
    return text


def without_times(metrics: dict) -> dict:
    """What a run measured, but for how long it took and what it needed."""
    left = {k: v for k, v in metrics.items() if k not in ("cost", "seal")}
    for block in (left.get("quality") or {}).values():
        if isinstance(block, dict):
            block.pop("eval_runtime", None)
    return left


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """How the files of two results differ."""
    absent = [f"absent: {name}" for name in expected if name not in found]
    more = [f"not of an undisturbed run: {name}" for name in found if name not in expected]
    other = [f"differs: {n}" for n, s in expected.items() if n in found and found[n] != s]
    return absent + more + other
