"""Every n-th operation of a study fails once; the next call must finish it as if nothing had been.

    python tests/soak/operations.py study                       every operation, every way to fail
    python tests/soak/operations.py study --slice 3/20          a twentieth of them
    python tests/soak/operations.py study --places              one operation of each place
    python tests/soak/operations.py study --only unlink:3:EIO   this one

An operation is a write, rename, fsync, unlink, open, mkdir on a file of the folder, or a spawn. It
fails with ENOSPC or EIO, its process is killed in it (SIGKILL, half of it written), or the disk is
full from then on.

study: all of `ablation run` and Snakemake; the training is faked, and programs are forked from one
       that has imported them (soak/forked.py)
run:   train_run.py with the warm worker, really training
ranks: the same with two ranks of DeepSpeed's launcher
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from ablation.files import load_json, save_json
from soak.layer import ERRORS, KINDS, Fault, Layer, can_fail
from soak.plugged import SmallStudy, TinyRun, call, content, differences, still_there
from soak.record import keep

OF_THE_KILLED = ("temporary snakemake", "temporary hangul-")
FAILING = tuple(kind for kind in KINDS if kind != "read")  # and of reads, EIO alone


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a study in which an operation failed.

    Attributes:
        fault: The operation.
        what: Its path and program; empty where it was never reached.
        problems: What was not as it must be.
        seconds: How long both calls took.
    """

    fault: Fault
    what: str
    problems: tuple[str, ...]
    seconds: float


class Plugs:
    """Something small that is run again and again in the same place."""

    def __init__(self, anew: Callable[[], SmallStudy | TinyRun], layer: Layer) -> None:
        """Note what a run without faults does and leaves behind.

        Args:
            anew: What makes it, with nothing run.
            layer: The layer of its folder.
        """
        self.anew, self.layer = anew, layer
        record = layer.control.with_name("record")
        record.unlink(missing_ok=True)
        study = anew()
        layer.choose(None, record)
        started = time.monotonic()
        code, told = call(study, layer.environment)
        self.seconds = time.monotonic() - started
        assert code == 0, told[-3000:]
        self.counts = layer.counts()
        problems = study.left()
        assert not problems, problems
        self.expected = content(study.results)
        self.places: dict[tuple[str, str], int] = {}
        seen = dict.fromkeys(KINDS, 0)
        for line in record.read_text(errors="replace").splitlines():
            number, path, program = line.split("\t")
            kind = KINDS[int(number)]
            seen[kind] += 1
            self.places.setdefault((kind, place_of(path, program, layer.folder)), seen[kind])

    def outcome(self, fault: Fault) -> Outcome:
        """Let an operation fail, and run the study again."""
        started, study = time.monotonic(), self.anew()
        self.layer.choose(fault)
        code, told = call(study, self.layer.environment)
        problems = ["the disturbed call did not end"] if code == 124 else []
        what = self.layer.what() if self.layer.fired() else ""
        ours = "scripts/" in what and "fake_python" not in what
        if ours and fault.error != "SIGKILL" and "Traceback" in told:
            problems.append(f"the disturbed call told a traceback: {told[-1500:]}")
        problems += still_there(self.layer.folder)
        self.layer.choose(None)
        problems += self.finish(study, killed=fault.error == "SIGKILL" or "/tmp/" in what)
        seconds = time.monotonic() - started
        return Outcome(fault=fault, what=what, problems=tuple(problems), seconds=seconds)

    def finish(self, study: SmallStudy | TinyRun, killed: bool) -> list[str]:
        """What is wrong once the study is called again.

        Args:
            study: It.
            killed: Whether a process was, or could not remove its own temporary folder: that stays
                then. Snakemake's is empty, that of the figures holds two small fonts.
        """
        code, told = call(study, self.layer.environment)
        problems = [f"the next call ended with {code}: {told[-1500:]}"] if code else []
        left = study.left()
        problems += [one for one in left if not (killed and one.startswith(OF_THE_KILLED))]
        return problems + differences(content(study.results), self.expected)

    def faults(self) -> list[Fault]:
        """Every operation with every way to fail."""
        return [
            Fault(kind=kind, nth=nth, error=error)
            for kind in FAILING
            for nth in range(1, self.counts[kind] + 1)
            for error in ERRORS
            if can_fail(kind, error)
        ]

    def faults_of_places(self) -> list[Fault]:
        """One operation of each place, with every way to fail."""
        first = {(kind, nth) for (kind, _), nth in self.places.items()}
        return [fault for fault in self.faults() if (fault.kind, fault.nth) in first]


def place_of(path: str, program: str, folder: Path) -> str:
    """What is alike in operations of one place: names of runs, seeds and the like are left out."""
    name = re.sub(r"[A-Za-z0-9+/=_-]{40,}|\d+", "#", path.replace(str(folder), ""))
    script = re.search(r"(\w+)\.py|-m snakemake|\btee\b|\bbash\b|\bablation\b", program)
    return f"{name} by {script[0] if script else program[:20]}"


@contextmanager
def faked_study(work: Path) -> Iterator[Plugs]:
    """The smallest study, and the process that its programs are forked from."""
    folder, server = work / "study", work / "server.sock"
    layer = Layer(work / "build", folder)
    layer.choose(None)
    environment = {**os.environ, **layer.environment, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, ROOT / "tests/soak/forked.py", server]
    process = subprocess.Popen(list(map(str, command)), env=environment)

    def anew() -> SmallStudy:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return SmallStudy(folder, server)

    try:
        while not server.exists():
            assert process.poll() is None, "the server of programs has ended"
            time.sleep(0.05)
        yield Plugs(anew, layer)
    finally:
        process.kill()
        process.wait()


@contextmanager
def trained_run(work: Path, ranks: int = 1) -> Iterator[Plugs]:
    """One run that is really trained: by a warm worker, or by ranks that are launched anew."""
    folder, warm = work / "run", work / "warm" if ranks == 1 else None
    folder.mkdir(parents=True)
    layer = Layer(work / "build", folder)
    try:
        yield Plugs(lambda: TinyRun(folder, warm, ranks), layer)
    finally:
        still_there(work, 0)


SUBJECTS: dict[str, Callable[[Path], AbstractContextManager[Plugs]]] = {
    "study": faked_study,
    "run": trained_run,
    "ranks": partial(trained_run, ranks=2),
}


def sliced(found: Sequence[Fault], part: str) -> list[Fault]:
    """Every so-many-th of them: "3/20" is the third of twenty slices."""
    number, of = map(int, part.split("/"))
    return list(found)[number - 1 :: of]


def parse_fault(text: str) -> Fault:
    """Inverse of "kind:nth:error"."""
    kind, nth, error = text.split(":")
    return Fault(kind=kind, nth=int(nth), error=error)


class Kept:
    """All outcomes since the campaign was begun anew: slices add to each other."""

    def __init__(self, subject: str) -> None:
        self.file = ROOT / "results/soak" / f"operations-{subject}.json"
        self.found = load_json(self.file) if self.file.is_file() else {}

    def add(self, outcome: Outcome) -> None:
        """Note an outcome."""
        told = {"what": outcome.what, "problems": outcome.problems, "seconds": outcome.seconds}
        self.found[str(outcome.fault)] = told
        save_json(self.found, self.file)

    def rows(self, subject: str, total: Counter[tuple[str, str]]) -> list[tuple[str, ...]]:
        """The table: how many of the faults of a kind were tried, and what became of them."""
        rows = []
        for kind in KINDS:
            for error in ERRORS:
                names = [f"{kind} {n}, {error}" for n in range(1, total[kind, error] + 1)]
                tried = [self.found[name] for name in names if name in self.found]
                if tried:
                    well = sum(not one["problems"] for one in tried)
                    count = f"{len(tried)} of {len(names)}"
                    rows.append((subject, f"{kind}, {error}", count, str(well)))
        return rows


def main() -> int:
    """Try what the command line says, and keep it in docs/reliability.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("--slice", default="1/1", help="3/20: the third of twenty")
    parser.add_argument("--places", action="store_true", help="one operation of each place")
    parser.add_argument("--only", nargs="*", type=parse_fault, help="kind:nth:error")
    args = parser.parse_args()
    kept, failed = Kept(args.subject), 0
    with (
        tempfile.TemporaryDirectory() as name,
        SUBJECTS[args.subject](Path(name).resolve()) as study,
    ):
        total = Counter((fault.kind, fault.error) for fault in study.faults())
        wanted = study.faults_of_places() if args.places else study.faults()
        print(f"operations: {study.counts}; faults: {len(wanted)}", flush=True)
        for fault in args.only or sliced(wanted, args.slice):
            found = study.outcome(fault)
            kept.add(found)
            failed += bool(found.problems)
            mark = "FAILED" if found.problems else "well  "
            print(f"{mark} {fault} ({found.seconds:.0f} s): {found.what[:160]}", flush=True)
            for problem in found.problems:
                print(f"    {problem}", flush=True)
    header = ("what", "operation", "tried", "finished as if nothing had been")
    keep(f"operations {args.subject}", header, kept.rows(args.subject, total))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
