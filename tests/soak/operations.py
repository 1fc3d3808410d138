"""Every n-th operation of a study fails once; the next call must finish it as if nothing had been.

    python tests/soak/operations.py                       every operation, every way to fail
    python tests/soak/operations.py --slice 3/20          a twentieth of them
    python tests/soak/operations.py --places              one operation of each place
    python tests/soak/operations.py --only unlink:3:EIO   this one

An operation is a write, rename, fsync, unlink, open, mkdir on a file of the study's folder, or a
spawn. It fails with ENOSPC or EIO, its process is killed in it (SIGKILL, half of it written),
or the disk is full from then on. All of it goes through `ablation run` and Snakemake; the training
is faked, and the programs are forked from one that has imported them (soak/forked.py).
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from soak.layer import ERRORS, KINDS, Fault, Layer, can_fail
from soak.plugged import SmallStudy, content, differences, left_over, still_there

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
    """The smallest study, again and again in the same place."""

    def __init__(self, work: Path, server: Path, layer: Layer) -> None:
        self.folder, self.server, self.layer = work / "study", server, layer
        self.places: dict[tuple[str, str], int] = {}
        self.counts: dict[str, int] = {}
        self.expected: dict[str, str] = {}

    def anew(self) -> SmallStudy:
        """The study with nothing run."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        return SmallStudy(self.folder, self.server)

    def undisturbed(self) -> None:
        """Note what a run without faults does and leaves behind."""
        record = self.folder.parent / "record"
        record.unlink(missing_ok=True)
        study = self.anew()
        self.layer.choose(None, record)
        code, told = study.run(self.layer.environment)
        assert code == 0, told[-3000:]
        self.counts = self.layer.counts()
        problems = [*still_there(self.folder), *left_over(self.folder)]
        assert not problems, problems
        self.expected = content(study.results)
        seen = dict.fromkeys(KINDS, 0)
        for line in record.read_text(errors="replace").splitlines():
            number, path, program = line.split("\t")
            kind = KINDS[int(number)]
            seen[kind] += 1
            self.places.setdefault((kind, place_of(path, program, self.folder)), seen[kind])

    def outcome(self, fault: Fault) -> Outcome:
        """Let an operation fail, and run the study again."""
        started, study = time.monotonic(), self.anew()
        self.layer.choose(fault)
        code, told = study.run(self.layer.environment)
        problems = ["the disturbed call did not end"] if code == 124 else []
        what = self.layer.what() if self.layer.fired() else ""
        self.layer.choose(None)
        problems += still_there(self.folder)
        code, told = study.run(self.layer.environment)
        if code != 0:
            problems.append(f"the next call ended with {code}: {told[-1500:]}")
        problems += [*still_there(self.folder), *left_over(self.folder)]
        problems += differences(content(study.results), self.expected)
        seconds = time.monotonic() - started
        return Outcome(fault=fault, what=what, problems=tuple(problems), seconds=seconds)

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
    script = re.search(r"\w+\.py|snakemake|\btee\b|\bbash\b", program)
    return f"{name} by {script[0] if script else program[:20]}"


@contextmanager
def plugs() -> Iterator[Plugs]:
    """The study, its layer, and the process that programs are forked from."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name).resolve()
        layer, server = Layer(work / "build", work / "study"), work / "server.sock"
        layer.choose(None)
        environment = {**os.environ, **layer.environment, "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, ROOT / "tests/soak/forked.py", "serve", server]
        process = subprocess.Popen(list(map(str, command)), env=environment)
        try:
            while not server.exists():
                assert process.poll() is None, "the server of programs has ended"
                time.sleep(0.05)
            found = Plugs(work, server, layer)
            found.undisturbed()
            yield found
        finally:
            process.kill()
            process.wait()


def sliced(found: Sequence[Fault], part: str) -> list[Fault]:
    """Every so-many-th of them: "3/20" is the third of twenty slices."""
    number, of = map(int, part.split("/"))
    return list(found)[number - 1 :: of]


def parse_fault(text: str) -> Fault:
    """Inverse of "kind:nth:error"."""
    kind, nth, error = text.split(":")
    return Fault(kind=kind, nth=int(nth), error=error)


def main() -> int:
    """Try what the command line says, and keep it in docs/reliability.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slice", default="1/1", help="3/20: the third of twenty")
    parser.add_argument("--places", action="store_true", help="one operation of each place")
    parser.add_argument("--only", nargs="*", type=parse_fault, help="kind:nth:error")
    args = parser.parse_args()
    failed = 0
    with plugs() as study:
        print(f"operations: {study.counts}", flush=True)
        wanted = study.faults_of_places() if args.places else study.faults()
        for fault in args.only or sliced(wanted, args.slice):
            found = study.outcome(fault)
            failed += bool(found.problems)
            mark = "FAILED" if found.problems else "well  "
            print(f"{mark} {fault} ({found.seconds:.0f} s): {found.what}", flush=True)
            for problem in found.problems:
                print(f"    {problem}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
