"""What a supervisor watches while a job runs: whether it gets on, and whether it shall end.

A job hangs when none of its ranks gets on: each waits for the others, so that one rank which is
stopped, or waits for what never comes, stops all of them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.machine.locks import remove_stale_locks
from ablation.machine.process import (
    POLL_SECONDS,
    LaunchError,
    Process,
    children_of_all,
    descendants,
    state_of,
)
from ablation.machine.progress import stop_line
from ablation.machine.pulse import (
    STACKS,
    START,
    STEP,
    Beat,
    limit_of,
    read_beats,
    stop_file,
)
from ablation.machine.told import PATIENCE, patience

# What a job may still take to save a checkpoint, in seconds. Clusters kill half a minute after
# SIGTERM; others are asked for ahead of a time limit, see profiles/slurm. Who has pressed Ctrl-C
# may do it again.
GRACE: dict[int, float] = {
    signal.SIGTERM: 25.0,
    signal.SIGINT: 110.0,
    signal.SIGUSR1: 110.0,
    signal.SIGURG: 110.0,
}
SAME_SECONDS = 1.0  # within which the same signal is one
AGAIN = signal.SIGURG  # nobody is ended by it who does not know it
CLEAN_SECONDS = 5.0  # between looks for compile locks
BEGIN_SECONDS = 10.0  # for a process on a busy machine to begin to write its stacks
ALONE_SECONDS = 5.0  # for who has nothing left to wait for to end
STACKS_SECONDS = 1.5  # for it to write them


class HungError(LaunchError):
    """No rank of the job got on: it was ended. The next try goes on from its checkpoint."""


class Stop(threading.Event):
    """Set when the job shall end.

    Attributes:
        asked: The signals that have asked for it.
        at_once: Whether it may not save first: Ctrl-C came when it was asked already.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.at_once = False
        self._last = 0.0

    @property
    def number(self) -> int:
        """The signal that asked for it last; 0 before."""
        return self.asked[-1] if self.asked else 0

    def by(self, number: int) -> None:
        """Ask for the end on behalf of a signal; `AGAIN` says nothing new.

        Nor does the same signal within a second: who ends a group of processes may send it twice.
        """
        soon = time.monotonic() - self._last < SAME_SECONDS
        if self.asked and (number == AGAIN or (number == self.number and soon)):
            return
        self.at_once = self.at_once or (number == signal.SIGINT and self.is_set())
        self.asked.append(number)
        self._last = time.monotonic()
        self.set()

    def pause(self) -> None:
        """Wait until it is time to look again: at once where the end is asked for just now."""
        if self.is_set():
            time.sleep(POLL_SECONDS)
        else:
            self.wait(POLL_SECONDS)


@contextlib.contextmanager
def stop_signals(numbers: Iterable[int] = GRACE) -> Iterator[Stop]:
    """What signals set while the context lasts: those that give a run time to save, or others."""
    stop = Stop()

    def note(number: int, frame: object) -> None:
        stop.by(number)

    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ask_all_to_save() -> None:
    """Let each run that this process has started save and stop, from now on.

    Ctrl-C in a terminal reaches runs by itself, a signal to this process alone does not. Which it
    was cannot be seen, and a second SIGINT would end a run that saves: they are asked by another.
    """

    def ask() -> None:
        asked: set[int] = set()
        while True:
            for pid in set(descendants(os.getpid())) - asked:
                if catches(pid, AGAIN):
                    asked.add(pid)
                    with contextlib.suppress(OSError):
                        os.kill(pid, AGAIN)
            time.sleep(POLL_SECONDS)

    threading.Thread(target=ask, daemon=True, name="ask-to-save").start()


def end_all_at_once() -> None:
    """End all that this process has started, from now on; runs that save are not waited for.

    A run is ended by its supervisor, anything else by SIGTERM where it waits for no other. A
    Snakemake whose jobs are a cluster's cancels them at SIGINT only.
    """

    def end() -> None:
        deadline = time.monotonic() + ALONE_SECONDS
        while True:
            last = signal.SIGTERM if time.monotonic() < deadline else signal.SIGINT
            for pid in last_in_line(os.getpid(), children_of_all()):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGINT if catches(pid, AGAIN) else last)
            time.sleep(POLL_SECONDS)

    threading.Thread(target=end, daemon=True, name="end-at-once").start()


def last_in_line(pid: int, children: Mapping[int, Sequence[int]]) -> list[int]:
    """Those of a process's descendants that wait for no other, and supervisors of runs."""
    found: list[int] = []
    for child in children.get(pid, ()):
        below = [] if catches(child, AGAIN) else last_in_line(child, children)
        found += below or [child]
    return found


@dataclass(kw_only=True)
class Silence:
    """Seconds since a rank's last beat, of those during which the supervisor looked on."""

    number: int
    seconds: float = 0.0


class Watch:
    """Looks at a job now and then, and decides whether it is to be ended."""

    def __init__(
        self,
        stop: Stop,
        workflow: Process | None,
        pulse: Path | None,
        processes: Callable[[], Iterable[int]],
        extensions: str | None = None,
    ) -> None:
        """Begin to watch.

        Args:
            stop: Set when the job shall end.
            workflow: The snakemake that the job works for; None where there is none.
            pulse: Where its ranks say how they get on; None where they don't.
            processes: The job's processes.
            extensions: Where its ranks compile operators.
        """
        self.stop, self.workflow, self.pulse, self.processes = stop, workflow, pulse, processes
        self.silence: dict[int, Silence] = {}
        self.looked = time.monotonic()
        self.deadline: float | None = None
        self.hung: str | None = None
        self.extensions, self.cleaned = extensions, self.looked

    def must_end(self) -> bool:
        """Whether the job is to be killed now."""
        if self.workflow is not None and not self.workflow.alive():
            print("snakemake is gone: the job stops", file=sys.stderr, flush=True)
            self.stop.by(signal.SIGKILL)
        if self.stop.is_set():
            return not self.may_save()
        if self.pulse is None:
            return False
        beats = read_beats(self.pulse)
        if beats is None:
            return False
        self.free_compilers(beats)
        if self.none_gets_on(beats):
            self.hung = tell_hung(beats)  # before what is stopped is let go on
            dump_stacks(self.processes(), beats)
        return self.hung is not None

    def raise_end(self) -> None:
        """Leave as the job was told to; nothing where it came to its own end.

        Raises:
            HungError: It did not get on.
        """
        if self.stop.is_set():
            print(stop_line(signal.Signals(self.stop.number).name), file=sys.stderr, flush=True)
            sys.exit(128 + self.stop.number)
        if self.hung:
            raise HungError(self.hung)

    def free_compilers(self, beats: dict[int, Beat]) -> None:
        """Remove what a killed process of any job left while this one waits to compile."""
        starting = any(beat.doing == START for beat in beats.values())
        if self.extensions and starting and time.monotonic() - self.cleaned > CLEAN_SECONDS:
            self.cleaned = time.monotonic()
            remove_stale_locks(Path(self.extensions))

    def may_save(self) -> bool:
        """Whether a job that shall end still has time to save; it is asked to."""
        grace = GRACE.get(self.stop.number)
        if self.pulse is None or grace is None or self.stop.at_once:
            return False
        if self.deadline is None:
            beats = read_beats(self.pulse) or {}
            if all(beat.doing == START for beat in beats.values()):
                return False  # there is nothing to save yet
            try:
                stop_file(self.pulse).touch()
            except OSError:  # no room in memory: the ranks cannot be asked
                return False
            self.deadline = time.monotonic() + grace
            name = signal.Signals(self.stop.number).name
            text = f"{name}: the run saves a checkpoint and stops"
            if self.stop.number == signal.SIGINT:
                text += "; SIGINT again ends it at once"
            print(text, file=sys.stderr, flush=True)
        return time.monotonic() < self.deadline

    def none_gets_on(self, beats: dict[int, Beat]) -> bool:
        """Whether each rank has been at the same thing for longer than it may.

        Only time is counted during which we looked on: a machine that sleeps, or a scheduler that
        halts a job with its supervisor, takes none of it.
        """
        now = time.monotonic()
        passed, self.looked = min(now - self.looked, 5 * POLL_SECONDS), now
        # A job of which no rank has said a word is like one rank at its start.
        seen = {rank: (beat.number, beat.limit) for rank, beat in beats.items()}
        seen = seen or {-1: (0, limit_of(None))}
        for rank, (number, _) in seen.items():
            silence = self.silence.get(rank)
            if silence is None or silence.number != number:
                self.silence[rank] = Silence(number=number)
            else:
                silence.seconds += passed
        left = {r for r in seen if r not in beats or state_of(beats[r].pid) not in "ZX"}
        return bool(left) and all(self.silence[r].seconds > seen[r][1] for r in left)


def dump_stacks(pids: Iterable[int], beats: dict[int, Beat]) -> None:
    """Let a job's processes write the stacks of all their threads to its output.

    Those that were stopped by a signal come last, for they have to be let go on.
    """
    ranks = {beat.pid: f"rank {rank}, " for rank, beat in beats.items()}
    catching = [pid for pid in pids if catches(pid, STACKS)]
    for pid in sorted(catching, key=lambda pid: (state_of(pid) == "T", pid not in ranks, pid)):
        whose = f"{ranks.get(pid, '')}process {pid}, {STATES.get(state_of(pid), 'at work')}"
        print(f"stacks of {whose}:", file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            os.kill(pid, STACKS)
            os.kill(pid, signal.SIGCONT)
        deadline = time.monotonic() + BEGIN_SECONDS
        while _has(pid, STACKS, "ShdPnd", "SigPnd") and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(STACKS_SECONDS)


STATES = {"T": "stopped by a signal", "D": "waiting for a device or a disk", "S": "waiting"}


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    return _has(pid, number, "SigCgt")


def _has(pid: int, number: int, *masks: str) -> bool:
    """Whether a signal is in one of the masks of /proc/<pid>/status; not where there is none."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    told = (line.partition(":") for line in lines)
    return any(int(mask, 16) >> (number - 1) & 1 for name, _, mask in told if name in masks)


def tell_hung(beats: dict[int, Beat]) -> str:
    """Which rank was at what, and why that counts as hung."""
    told = "no rank has said a word"
    if beats:
        told = ", ".join(_describe(rank, beat) for rank, beat in sorted(beats.items()))
    first = next(iter(beats.values()), None)
    limit = first.limit if first else limit_of(None)
    known = "it was the first time"
    if first and first.slowest is not None:
        known = f"so far it took {first.slowest:.3g} s at most"
    return (
        f"the run hung and was ended: {told}. Nothing changed for {limit:.0f} s ({known}). What "
        "its threads were at is above. The next try goes on from the last checkpoint. If it is "
        f"slow and does not hang, set {PATIENCE}={patience() / 30:.3g}."
    )


def _describe(rank: int, beat: Beat) -> str:
    doing = f"{STEP} {beat.step + 1}" if beat.doing == STEP else beat.doing
    state = STATES.get(state_of(beat.pid), "")
    return f"rank {rank} at {doing}" + (f" ({state})" if state_of(beat.pid) in "TD" else "")
