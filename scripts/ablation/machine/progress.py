"""How far every run of a study is, from the files that runs write: nothing is asked of processes.

It holds on a cluster as well, and takes well under a second for a thousand runs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ablation.files import load_record
from ablation.results import Results
from ablation.study.run_metrics import RunMetrics, peek_run

DONE, DIVERGED, FAILED = "done", "diverged", "failed"
RUNNING, STOPPED, WAITING = "running", "stopped", "waiting"
LOCKS = Path(".snakemake") / "locks"  # where Snakemake works
SILENT_SECONDS = 1800.0  # a run that wrote nothing for so long is no longer at work
_TAIL_BYTES = 2**16
STILL_SECONDS = 30.0  # a run that says nothing for so long after an exception has ended
_STEP = re.compile(r"^(\S+ \S+?)[,.]?\d* .*: step (\d+) of (\d+), loss (\S+)$", re.MULTILINE)
# "error: …" of our own programs, "ValueError: …" of a traceback, with a rank before it or not.
_REASON = re.compile(r"^(?:\[rank\d+\]: *)?((?:error|[\w.]*(?:Error|Exception|Interrupt)): *\S.*)")
_STOPPED = "stopped by "
_FRAME = "error: the training job ended without metrics.json"  # what it quotes says more


def step_line(step: int, steps: int, loss: float | None) -> str:
    """What a run says of itself now and then; `read_runs` reads it back from the log."""
    return f"step {step} of {steps}, loss {loss}"


def stop_line(signal: str) -> str:
    """What a run that was told to end says last; `read_runs` reads it back from the log."""
    return f"{_STOPPED}{signal}: the next try goes on from the last checkpoint"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run as its files show it.

    Attributes:
        arms: The arms that it is a run of.
        variant: The folder of its results.
        seed: Its seed.
        state: "done", "diverged", "failed", "running", "stopped" (begun, and nobody is at it) or
            "waiting".
        step: Steps done; None where none was told.
        steps: Steps in all.
        loss: The training loss told last.
        rate: Steps a second, over the last minutes.
        seconds: Of a finished run: what it took. Of a running one: what it will take in all.
        reason: Why it failed.
        log: Its log.
        measured: What a finished run measured.
    """

    arms: tuple[str, ...]
    variant: str
    seed: int
    state: str
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    rate: float | None = None
    seconds: float | None = None
    reason: str | None = None
    log: Path
    measured: RunMetrics | None = None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until its last step; None where its rate is not known."""
        if self.rate and self.step is not None and self.steps is not None:
            return (self.steps - self.step) / self.rate
        return None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a study is.

    Attributes:
        runs: Every run that is planned, and those that results have added.
        at_work: Whether Snakemake holds its lock in this folder.
        seconds_left: Until all runs are done, at the present pace; None where nothing tells.
    """

    runs: tuple[Run, ...]
    at_work: bool
    seconds_left: float | None

    def count(self, *states: str) -> int:
        """How many runs are in one of the states."""
        return sum(run.state in states for run in self.runs)


def read_progress(results: Results, locks: Path = LOCKS, now: float | None = None) -> Progress:
    """How far a study is.

    Args:
        results: The study's results; it must be planned.
        locks: .snakemake/locks of the folder where Snakemake works.
        now: The time, in seconds since the epoch.
    """
    now = time.time() if now is None else now
    at_work = locks.is_dir() and any(locks.iterdir())
    arms = planned_runs(results)
    runs = tuple(
        _read_run(results, variant, seed, names, now if at_work else None)
        for (variant, seed), names in arms.items()
    )
    return Progress(runs=runs, at_work=at_work, seconds_left=_left(runs))


def planned_runs(results: Results) -> dict[tuple[str, int], tuple[str, ...]]:
    """The arms of each run that is planned, or that results have added; seed by seed."""
    found: dict[tuple[str, int], dict[str, None]] = {}
    named: dict[str, dict[str, None]] = {}
    grids = (results.planned_grid, results.decided_grid, results.confirmation_grid)
    for path in (*grids, results.candidates):
        if path.is_file():
            grid = load_record(path)
            for arm in grid["arms"]:
                named.setdefault(arm["variant"], {})[arm["arm"]] = None
            for run in grid["runs"] if path in grids else ():
                key = run["variant"], int(run["seed"])
                found.setdefault(key, {})[run["arm"]] = None
    for folder in results.runs.glob("*/seed-*"):
        key = folder.parent.name, int(folder.name.removeprefix("seed-"))
        if key not in found and key[0] in named:
            found[key] = named[key[0]]
    return {key: tuple(arms) for key, arms in found.items()}


def _read_run(
    results: Results, variant: str, seed: int, arms: Iterable[str], now: float | None
) -> Run:
    log = results.run_log(variant, seed)
    facts: dict[str, Any] = {"arms": tuple(arms), "variant": variant, "seed": seed, "log": log}
    measured = peek_run(results.run_metrics(variant, seed))
    if measured is not None:
        state = DIVERGED if measured.status == DIVERGED else DONE
        return Run(**facts, state=state, seconds=measured.cost.wall_seconds, measured=measured)
    try:
        changed, text = log.stat().st_mtime, read_tail(log)
    except OSError:
        return Run(**facts, state=WAITING)
    if any(line.startswith(_STOPPED) for line in _after_steps(text).splitlines()):
        return Run(**facts, state=STOPPED, **_steps(text))
    still = now is None or now - changed > STILL_SECONDS
    if _has_ended(text, still):
        reason = (reason_in(text) or "").removeprefix("error: ") or None
        return Run(**facts, state=FAILED, reason=reason, **_steps(text))
    running = now is not None and now - changed < SILENT_SECONDS
    return Run(**facts, state=RUNNING if running else STOPPED, **_steps(text))


def read_tail(path: Path) -> str:
    """The end of a log."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return stream.read().decode("utf-8", errors="replace")


def _steps(log: str) -> dict[str, Any]:
    """What the lines on steps at the end of a log say."""
    told = [
        (datetime.fromisoformat(when).timestamp(), int(step), int(steps), loss)
        for when, step, steps, loss in _STEP.findall(log)
    ]
    if not told:
        return {}
    last = told[-1]
    since = next(one for one in told if one[1] <= last[1] and last[0] - one[0] < 600)
    rate = (last[1] - since[1]) / (last[0] - since[0]) if last[0] > since[0] else None
    seconds = last[2] / rate if rate else None
    loss = None if last[3] == "None" else float(last[3])
    return {"step": last[1], "steps": last[2], "loss": loss, "rate": rate, "seconds": seconds}


def _has_ended(log: str, still: bool) -> bool:
    """Whether a log tells that its run failed: our own message, or an exception as its last word.

    Args:
        log: Its end.
        still: Whether nothing was added to it of late; a run may survive an exception.
    """
    last = _after_steps(log)
    own = any(line.startswith("error: ") for line in last.splitlines())
    return own or (still and reason_in(last) is not None)


def _after_steps(log: str) -> str:
    """What a log says after its last line on a step."""
    return log[max((match.end() for match in _STEP.finditer(log)), default=0) :]


def reason_in(log: str) -> str | None:
    """The last line of a log that tells of an error; None where no line does."""
    reasons = [match[1] for line in log.splitlines() if (match := _REASON.match(line.strip()))]
    return next((reason for reason in reversed(reasons) if not reason.startswith(_FRAME)), None)


def _left(runs: Iterable[Run]) -> float | None:
    """Seconds until all are done, with as many at a time as now.

    A run takes as long as others of its variant did, else as the mean of all.
    """
    taken: dict[str, list[float]] = {}
    for run in runs:
        if run.seconds and run.state in (DONE, RUNNING):
            taken.setdefault(run.variant, []).append(run.seconds)
    if not taken:
        return None
    every = [seconds for found in taken.values() for seconds in found]
    mean = {variant: sum(found) / len(found) for variant, found in taken.items()}
    usual = sum(every) / len(every)
    waiting = [r for r in runs if r.state in (WAITING, STOPPED)]
    running = [r for r in runs if r.state == RUNNING]
    left = sum(mean.get(run.variant, usual) for run in waiting)
    left += sum(run.seconds_left or mean.get(run.variant, usual) / 2 for run in running)
    return left / max(1, len(running))
