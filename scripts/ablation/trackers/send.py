"""Telling a tracker within a time limit: it runs in a process of its own, which can be ended."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ablation.results import Results
from ablation.trackers.tracked import read_tracked

TOLD, TIMED_OUT, FAILED, NOT_INSTALLED = "told", "timed_out", "failed", "not_installed"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What has come of telling a tracker.

    Attributes:
        tracker: Its name.
        status: "told", "timed_out", "failed" or "not_installed".
        detail: Where the runs are, or the last line of what went wrong.
        seconds: The time limit.
    """

    tracker: str
    status: str
    detail: str
    seconds: float


def send_here(tracker: str, results: Results) -> str:
    """Tell a tracker in this process; where the runs are."""
    module = importlib.import_module(f"ablation.trackers.{tracker}")
    return str(module.send(read_tracked(results)))


def send_within(tracker: str, command: Sequence[str], seconds: float) -> Outcome:
    """Run a command that tells a tracker, and end it with all that it started when time is up.

    Args:
        tracker: Its name.
        command: The command; the last line of its output is where the runs are.
        seconds: The time limit.
    """
    if importlib.util.find_spec(tracker) is None:
        return Outcome(tracker=tracker, status=NOT_INSTALLED, detail="", seconds=seconds)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = child.communicate(timeout=seconds)
        status, detail = (TOLD if child.returncode == 0 else FAILED), last_line(output)
    except subprocess.TimeoutExpired:
        status, detail = TIMED_OUT, ""
    finally:
        end(child)
    return Outcome(tracker=tracker, status=status, detail=detail, seconds=seconds)


def end(child: subprocess.Popen[str]) -> None:
    """End a process and what it started: uploads go on in processes of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdout:
        child.stdout.close()


def last_line(text: str) -> str:
    """The last line that says something."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")
