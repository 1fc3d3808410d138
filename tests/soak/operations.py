"""Every n-th operation of a study fails once; the next call must finish it as if nothing had been.

    python tests/soak/operations.py study                       every operation, every way to fail
    python tests/soak/operations.py study --slice 3/20          a twentieth of them
    python tests/soak/operations.py study --places --together 20    the first one of each place
    python tests/soak/operations.py study --only unlink:3:EIO   this one

An operation is a write, rename, fsync, unlink, open, mkdir on a file of the folder, the opening of
one to read it, or a spawn. It fails with ENOSPC or EIO, its process is killed in it (SIGKILL, half
of it written), or the disk is full from then on. Operations of one kind, by one program, on files
whose names differ in numbers and sums alone are of one place.

With --together, so many fail in one study, each once: those that stop a call are followed by
another call, in which those fail that were not reached, and the last call by one without faults.
Where that does not end as it must, each half of them is tried again, down to single ones.

study: all of `ablation run` and Snakemake; the training is faked, and programs are forked from one
       that has imported them (soak/forked.py)
run:   train_run.py with the warm worker, really training
ranks: the same with two ranks of DeepSpeed's launcher, forked likewise
launched: these without the fork, which takes twenty times as long; for soak/kills.py alone
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from soak.layer import ERRORS, KINDS, Fault, Layer, can_fail
from soak.plugged import SmallStudy, TinyRun, call, content, differences, still_there
from soak.record import code, keep

# What a killed process leaves in its temporary folder: Snakemake's, two small fonts, the file with
# which Python tries that folder, those of a compiler, and of DeepSpeed's trial of it.
OF_THE_KILLED = re.compile(
    r"temporary (snakemake.*|hangul-.*|[a-z0-9_]{8}|cc\w{6}\.(s|o|c|le|res|cdtor\.[co])"
    r"|tmp[a-z0-9_]{8}(/(test\.[co]|a\.out|stderr\.txt))?)"
)
HEADER = ("what", "operation", "places tried", "operations tried", "as if nothing had been")
PARTIAL_IN = 6  # studies, one writes partial reports
# What tells a program: what its command line begins with, or its script.
PROGRAM = re.compile(r"\w+\.py\b|^tee\b|^-c import|-m \S+|^\S*bash -c|^/bin/sh")
# Names that differ from study to study: of temporary files, of Snakemake's records, of runs.
DIFFERENT = (
    (r"/tmp/(snakemake|tmp|[a-z]+-)?[a-z0-9_]{8}(?=/|$)", r"/tmp/\1*"),
    (r"/(tmp/cc|\.tmp)[A-Za-z0-9]{6}", r"/\1*"),  # of compilers, and of safetensors
    (r"(?<=metadata/|complete/).+", "*"),
    (r"(?<=runs/|_run/)[^/]+", "*"),
    (r"\d+", "*"),
)


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

    def __init__(
        self,
        anew: Callable[[], SmallStudy | TinyRun],
        layer: Layer,
        cool: Callable[[], object] = lambda: None,
    ) -> None:
        """Note what a run without faults does and leaves behind.

        Args:
            anew: What makes it, with nothing run.
            layer: The layer of its folder.
            cool: Ends what outlives a run, as the warm worker.
        """
        self.anew, self.layer, self.cool = anew, layer, cool
        record = layer.control.with_name("record")
        record.unlink(missing_ok=True)
        study = anew()
        layer.choose((), record)
        code, told = call(study, layer.environment)
        assert code == 0, told[-3000:]
        self.counts = layer.counts()
        problems = study.left()
        assert not problems, problems
        self.expected = content(study.results)
        # In the order in which they are first reached.
        self.places: dict[Place, None] = {}
        for line in record.read_text(errors="replace").splitlines():
            number, path, program = line.split("\t")
            path = path.replace(str(layer.folder), "")
            self.places.setdefault(place_of(KINDS[int(number)], path, program))

    def outcome(self, fault: Fault) -> Outcome:
        """Let an operation fail, and run the study again."""
        return self.together([fault])[0]

    def together(self, faults: Sequence[Fault]) -> list[Outcome]:
        """Let operations fail, each once, until all were reached or the study has ended.

        Returns:
            What became of each. Where the end is not as it must be, each half of them is tried
            by itself, and the last one told as failed if both are well so.
        """
        study, found = self.anew(), list[Outcome]()
        left, code = list(faults), 1
        while left and code:
            started = time.monotonic()
            code, reached, problems = self.disturb(study, left)
            seconds = time.monotonic() - started
            found += [
                Outcome(fault=fault, what=what, problems=tuple(problems), seconds=seconds)
                for fault, what in reached.items()
            ]
            left = [fault for fault in left if fault not in reached]
            if not reached:
                break
        self.layer.choose()
        killed = any(one.fault.error == "SIGKILL" or "/tmp/" in one.what for one in found)
        wrong = self.finish(study, killed)
        unreached = [Outcome(fault=fault, what="", problems=(), seconds=0) for fault in left]
        if len(found) < 2:
            return [replace(one, problems=(*one.problems, *wrong)) for one in found] + unreached
        if not wrong and not any(one.problems for one in found):
            return found + unreached
        middle = len(found) // 2
        halves = found[:middle], found[middle:]
        again = [o for half in halves for o in self.together([one.fault for one in half])]
        if not any(one.problems for one in again):
            names = ", ".join(str(one.fault) for one in found)
            seen = [problem for one in found for problem in one.problems]
            again[-1] = replace(again[-1], problems=(f"together: {names}", *seen, *wrong))
        return again + unreached

    def disturb(
        self, study: SmallStudy | TinyRun, faults: Sequence[Fault]
    ) -> tuple[int, dict[Fault, str], list[str]]:
        """Call the study with operations that fail.

        Returns:
            The exit code, which failed and where, and what was not as it must be.
        """
        self.layer.choose(faults)
        code, told = call(study, self.layer.environment)
        problems = ["the disturbed call did not end"] if code == 124 else []
        failed = zip(faults, self.layer.failed(), strict=True)
        reached = {fault: what for fault, what in failed if what}
        # What stands in for training tells one, and a kill may be seen by any program.
        ours = all(
            "scripts/" in what and "fake_python" not in what and fault.error != "SIGKILL"
            for fault, what in reached.items()
        )
        if reached and ours and "Traceback" in told:
            problems.append(f"the disturbed call told a traceback: {told[-1500:]}")
        return code, reached, problems + still_there(self.layer.folder)

    def finish(self, study: SmallStudy | TinyRun, killed: bool) -> list[str]:
        """What is wrong once the study is called again.

        Args:
            study: It.
            killed: Whether a process was, or could not remove its own temporary folder: that stays
                then. Snakemake's is empty, that of the figures holds two small fonts.
        """
        code, told = call(study, self.layer.environment)
        problems = [f"the next call ended with {code}: {told[-1500:]}"] if code else []
        return problems + self.amiss(study, killed)

    def amiss(self, study: SmallStudy | TinyRun, killed: bool) -> list[str]:
        """What an ended study has left behind, and where its results differ; see `finish`."""
        left = [one for one in study.left() if not (killed and OF_THE_KILLED.fullmatch(one))]
        return left + differences(content(study.results), self.expected)

    def faults(self) -> list[Fault]:
        """Every operation with every way to fail."""
        return [
            Fault(kind=kind, nth=nth, error=error)
            for kind in KINDS
            for nth in range(1, self.counts[kind] + 1)
            for error in ERRORS
            if can_fail(kind, error)
        ]

    def faults_of_places(self) -> list[Fault]:
        """The first operation of each place with every way to fail, in the order of the study."""
        return [
            place.fault(error)
            for place in self.places
            for error in ERRORS
            if can_fail(place.kind, error)
        ]


@dataclass(frozen=True, kw_only=True)
class Place:
    """What is alike in some operations.

    Attributes:
        kind: One of layer.KINDS.
        path: A shell's pattern of the file's path, without numbers and sums.
        program: What tells the program; see layer.Fault.
    """

    kind: str
    path: str
    program: str

    def fault(self, error: str) -> Fault:
        """The first operation of it, failing so."""
        return Fault(kind=self.kind, nth=1, error=error, place=self.path, program=self.program)


def place_of(kind: str, path: str, program: str) -> Place:
    """The place of an operation on a path below the folder."""
    name = re.sub(r"([\[\]?*\\])", r"\\\1", path)
    for pattern, same in DIFFERENT:
        name = re.sub(pattern, same, name)
    found = PROGRAM.search(program)
    told = found[0] if found else program[:20]
    return Place(kind=kind, path=name, program=f"^{told}" if program.startswith(told) else told)


@contextmanager
def forking(server: Path, kind: str, environment: dict[str, str]) -> Iterator[None]:
    """While it holds, programs are forked from a process that has imported them."""
    server.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, ROOT / "tests/soak/forked.py", server, kind]
    whole = {**os.environ, **environment, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(list(map(str, command)), env=whole)
    try:
        while not server.exists():
            assert process.poll() is None, "the server of programs has ended"
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def faked_study(work: Path) -> Iterator[Plugs]:
    """The smallest study, and the process that its programs are forked from."""
    folder, server = work / "study", work / "forked" / "socket"
    layer, number = Layer(work / "build", folder), count()

    def anew() -> SmallStudy:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return SmallStudy(folder, server, partial=next(number) % PARTIAL_IN == 0)

    try:
        with forking(server, "study", layer.environment):
            yield Plugs(anew, layer)
    finally:
        still_there(work, 0)


@contextmanager
def trained_run(work: Path) -> Iterator[Plugs]:
    """One run that is really trained by a warm worker."""
    folder = work / "run"
    folder.mkdir(parents=True)
    layer = Layer(work / "build", folder)
    try:
        warm = work / "warm"
        yield Plugs(lambda: TinyRun(folder, warm=warm), layer, lambda: still_there(warm, 0))
    finally:
        still_there(work, 0)


@contextmanager
def trained_ranks(work: Path, forked: bool = True) -> Iterator[Plugs]:
    """One run of two ranks, each launched anew.

    Args:
        work: Where to.
        forked: Whether launcher and ranks are forked from a process that has imported them.
    """
    folder, server = work / "run", work / "forked" / "socket"
    folder.mkdir(parents=True)
    layer = Layer(work / "build", folder)
    server_there = forking(server, "ranks", layer.environment) if forked else nullcontext()
    try:
        with server_there:
            yield Plugs(lambda: TinyRun(folder, server=server if forked else None, ranks=2), layer)
    finally:
        still_there(work, 0)


SUBJECTS: dict[str, Callable[[Path], AbstractContextManager[Plugs]]] = {
    "study": faked_study,
    "run": trained_run,
    "ranks": trained_ranks,
    "launched": partial(trained_ranks, forked=False),
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
    """All outcomes since the campaign was begun anew: slices, side by side or not, add up."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.file = ROOT / "results/soak" / f"operations-{subject}.jsonl"
        self.file.parent.mkdir(parents=True, exist_ok=True)

    def add(self, outcome: Outcome) -> None:
        """Note an outcome."""
        told = {"fault": str(outcome.fault), "what": outcome.what, "problems": outcome.problems}
        told |= {"code": code()}
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(told | {"seconds": round(outcome.seconds, 1)}) + "\n")

    def last(self) -> dict[str, dict]:
        """What became of each fault when it was tried last."""
        if not self.file.is_file():
            return {}
        lines = map(json.loads, self.file.read_text(encoding="utf-8").splitlines())
        return {one["fault"]: one for one in lines}

    def codes(self) -> set[str]:
        """The commits of the code that was tried."""
        return {one["code"] for one in self.last().values()}

    def found(self) -> dict[str, bool | None]:
        """Whether what was tried last ended well, by the fault; None if it was not reached."""
        last = self.last().items()
        return {name: not one["problems"] if one["what"] else None for name, one in last}

    def at(self) -> set[str]:
        """The places of the operations that failed, in the ways in which they did."""
        found = set()
        for name, one in self.last().items():
            path, by, program = one["what"].partition(" by ")
            if by:
                place = place_of(name.partition(" ")[0], path, program)
                found.add(str(place.fault(name.rpartition(", ")[2])))
        return found

    def rows(self, operations: Sequence[Fault], places: Sequence[Fault]) -> list[tuple[str, ...]]:
        """The table: how many of the faults of a kind were tried, and what became of them."""
        reached = {name: well for name, well in self.found().items() if well is not None}
        at, rows = self.at() | reached.keys(), []
        for kind, error in dict.fromkeys((fault.kind, fault.error) for fault in operations):
            some, every = (
                {str(one) for one in faults if (one.kind, one.error) == (kind, error)}
                for faults in (places, operations)
            )
            tried = [reached[name] for name in some | every if name in reached]
            counts = [
                f"{len(names & seen)} of {len(names)}"
                for names, seen in ((some, at), (every, reached.keys()))
            ]
            rows.append(
                (self.subject, f"{kind}, {error}", *counts, f"{sum(tried)} of {len(tried)}")
            )
        return rows


def try_all(study: Plugs, faults: Sequence[Fault], number: int) -> Iterator[Outcome]:
    """What becomes of faults, so many in one study, as far from each other as can be.

    Those that are not reached are tried once more, with nothing there of earlier runs, as long as
    that reaches one of them; the others come out with an empty `what`.
    """
    rows = -(-len(faults) // number)
    for start in range(rows):
        found = study.together(faults[start::rows])
        yield from (one for one in found if one.what)
        unreached = [one for one in found if not one.what]
        while unreached:
            study.cool()
            found = study.together([one.fault for one in unreached])
            reached = [one for one in found if one.what]
            yield from reached or found
            unreached = [one for one in found if not one.what] if reached else []


def main() -> int:
    """Try what the command line says, and keep it in docs/reliability.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subject", choices=[name for name in SUBJECTS if name != "launched"])
    parser.add_argument("--slice", default="1/1", help="3/20: the third of twenty")
    parser.add_argument("--places", action="store_true", help="the first operation of each place")
    parser.add_argument("--together", type=int, default=1, metavar="N", help="faults of one study")
    parser.add_argument("--new", action="store_true", help="not what has ended well")
    parser.add_argument("--only", nargs="*", type=parse_fault, help="kind:nth:error")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # tidy up
    kept, failed = Kept(args.subject), 0
    with (
        tempfile.TemporaryDirectory() as name,
        SUBJECTS[args.subject](Path(name).resolve()) as study,
    ):
        operations, places = study.faults(), study.faults_of_places()
        wanted = args.only or (places if args.places else operations)
        before = kept.found() if args.new else {}
        wanted = [fault for fault in wanted if not before.get(str(fault))]
        print(f"operations: {study.counts}; faults: {len(wanted)}", flush=True)
        try:
            for found in try_all(study, sliced(wanted, args.slice), args.together):
                kept.add(found)
                failed += bool(found.problems)
                show(found)
        finally:  # also where it is stopped
            rows = kept.rows(operations, places)
            keep(f"operations {args.subject}", HEADER, rows, [*kept.codes()])
    return int(failed > 0)


def show(found: Outcome) -> None:
    """Say what became of a fault."""
    mark = "FAILED" if found.problems else "well" if found.what else "not reached"
    print(f"{mark} {found.fault} ({found.seconds:.0f} s): {found.what[:160]}", flush=True)
    for problem in found.problems:
        print(f"    {problem}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
