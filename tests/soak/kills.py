"""Processes of a study are killed or stopped at random moments; the next call must finish it.

    python tests/soak/kills.py 1000                so many that hit something, of all kinds
    python tests/soak/kills.py 20 --seed 7         others; what is tried adds up
    python tests/soak/kills.py 20 --in-a-row 5     four studies, each disturbed five times

Something small is begun (the faked study under Snakemake, one run that is trained with the warm
worker, one with two ranks), something happens to it at a random moment, and it is called again: a
signal to one of its processes, a second call beside it, a jump of the clock by a day. What is
stopped is never continued: after a while its call is killed, as a user would. After so many calls
in a row to which something happened, one to which nothing does must end as if nothing had been;
one that ended well in spite of it must have done so by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from ablation.machine.process import read_stat
from soak.operations import SUBJECTS, Plugs
from soak.plugged import (
    SmallStudy,
    TinyRun,
    begin_second,
    command_of,
    end,
    processes_in,
    still_there,
)
from soak.record import code, keep

SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGSEGV", "SIGSTOP")
SECOND, CLOCK = "a second call", "the clock jumps"
NOBODY = "nobody"
DAY = 86400
PATIENCE_SECONDS = 3.0  # with a call of which a process is stopped
# What a process is, by its command line; the first that fits.
PROCESSES = {
    "guard": "import guard",
    "worker": "ablation.training.server",
    "rank": "-m ablation.training|--module ablation.training --run|-u -m ablation",
    "launcher": "deepspeed.launcher",
    "train_run": "train_run.py",
    "snakemake": "-m snakemake",
    "ablation": "ablation.command",
    "program": r"scripts/\w+\.py",
    "shell": "bash|/bin/sh|tee",
}


@dataclass(frozen=True, kw_only=True)
class Kill:
    """What happened to a study, and what became of it.

    Attributes:
        subject: What was run.
        event: A signal, a second call, or the clock.
        victim: The kind of process that had the signal.
        problems: What was not as it must be.
        code: The commit of the code that was tried.
    """

    subject: str
    event: str
    victim: str
    problems: tuple[str, ...]
    code: str = field(default_factory=code)


def kind_of(pid: int) -> str:
    """What a process is."""
    words = command_of(pid)
    if "soak/asked.py" in words:  # it only stands for the next one
        return NOBODY
    if "soak/forked.py" in words:  # itself, or the program that it has become
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            if name.startswith("python"):
                return NOBODY
            return name if name in PROCESSES else "program"
    found = next((kind for kind, pattern in PROCESSES.items() if re.search(pattern, words)), NOBODY)
    if found == "worker" and command_of((read_stat(pid) or ("", 0, ""))[1]) == words:
        return "rank"  # which it has forked
    return found


def choose_victim(study: Plugs, chance: random.Random) -> tuple[int, str] | None:
    """One of the processes that are there, each kind as likely as another."""
    kinds: dict[str, list[int]] = {}
    for pid in processes_in(study.layer.folder.parent):
        kinds.setdefault(kind_of(pid), []).append(pid)
    kinds.pop(NOBODY, None)
    if not kinds:
        return None
    kind = chance.choice(sorted(kinds))
    return chance.choice(sorted(kinds[kind])), kind


def disturb_in_a_row(name: str, study: Plugs, chance: random.Random, length: int) -> list[Kill]:
    """Begin and let something happen, so many times, and run once more where it has not ended.

    What is wrong in the end is told of each: nobody knows which it was.
    """
    subject, happened, problems, code = study.anew(), [], list[str](), 1
    while code and len(happened) < length:
        code, event, victim, wrong = disturb(subject, study, chance)
        happened.append((event, victim))
        problems += wrong
    study.layer.jump(0)
    killed = any(event != CLOCK for event, _ in happened)
    alone = code == 0 and happened[-1][0] != SECOND  # two at once undo each other's work
    problems += (study.amiss if alone else study.finish)(subject, killed)
    return [
        Kill(subject=name, event=event, victim=victim, problems=tuple(problems))
        for event, victim in happened
    ]


def disturb(
    subject: SmallStudy | TinyRun, study: Plugs, chance: random.Random
) -> tuple[int, str, str, list[str]]:
    """Begin, and let something happen after so many operations on files as chance says.

    Returns:
        The exit code, what happened, the kind of process that it happened to, and what was wrong.
    """
    event, victim, problems = chance.choice([*SIGNALS, SECOND, CLOCK]), "", list[str]()
    found: tuple[int, str] | None = None
    study.layer.choose()
    process = subject.start(study.layer.environment)
    moment = chance.uniform(0, sum(study.counts.values()))
    while sum(study.layer.counts().values()) < moment and process.poll() is None:
        time.sleep(0.005)
    if event == CLOCK:
        study.layer.jump(chance.choice([-DAY, DAY]))
    elif event == SECOND:
        end(begin_second(subject, study.layer.environment))
    elif found := choose_victim(study, chance):
        victim = found[1]
        with contextlib.suppress(OSError):
            os.kill(found[0], getattr(signal, event))
    else:
        victim = NOBODY  # it had ended, or not begun
    code = end(process, PATIENCE_SECONDS) if event == "SIGSTOP" else end(process)
    if event == "SIGSTOP" and found:  # what is stopped can do nothing about itself
        with contextlib.suppress(OSError):
            os.kill(found[0], signal.SIGKILL)
    if code == 124 and event != "SIGSTOP":
        problems.append("the disturbed call did not end")
    return code, event, victim, problems + still_there(study.layer.folder)


class Kept:
    """All that happened since the campaign was begun anew: calls, side by side or not, add up."""

    def __init__(self) -> None:
        self.file = ROOT / "results/soak/kills.jsonl"
        self.file.parent.mkdir(parents=True, exist_ok=True)

    def add(self, kill: Kill) -> None:
        """Note what happened."""
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(kill)) + "\n")

    def found(self) -> list[Kill]:
        """All of them."""
        lines = self.file.read_text(encoding="utf-8").splitlines() if self.file.is_file() else []
        return [Kill(**json.loads(line)) for line in lines]


def rows_of(kills: list[Kill]) -> list[tuple[str, ...]]:
    """The table: by what was run and what happened."""
    tried = Counter((one.subject, one.event) for one in kills)
    well = Counter((one.subject, one.event) for one in kills if not one.problems)
    victims: dict[tuple[str, str], set[str]] = {}
    for one in kills:
        victims.setdefault((one.subject, one.event), set()).add(one.victim)
    return [
        (*key, ", ".join(sorted(victims[key] - {""})) or "-", str(count), str(well[key]))
        for key, count in sorted(tried.items())
    ]


def main() -> int:
    """Kill, and keep what was seen in docs/reliability.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--in-a-row", type=int, default=1, metavar="N")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # tidy up
    kept = Kept()
    try:
        failed = kill(args, kept)
    finally:  # also where it is stopped
        happened = [one for one in kept.found() if one.victim != NOBODY]
        header = ("what", "what happened", "to", "tried", "finished as if nothing had been")
        keep("kills", header, rows_of(happened), [*{one.code for one in happened}])
    return int(failed > 0)


def kill(args: argparse.Namespace, kept: Kept) -> int:
    """Do what the command line says; the number of things that were not as they must be."""
    chance, failed = random.Random(args.seed), 0
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        work = Path(folder).resolve()
        studies = {n: stack.enter_context(SUBJECTS[n](work / n)) for n in args.subjects}
        left = args.count
        while left > 0:
            name = chance.choice(args.subjects)
            found = disturb_in_a_row(name, studies[name], chance, args.in_a_row)
            left -= sum(one.victim != NOBODY for one in found)
            for one in found:
                kept.add(one)
                mark = "FAILED" if one.problems else "well  "
                print(f"{mark} {one.subject}: {one.event} {one.victim}", flush=True)
            for problem in found[0].problems:
                failed += 1
                print(f"    {problem}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
