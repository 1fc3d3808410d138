"""The supervisor of a launched job: passes its output on, and leaves nothing of it at the end."""

from __future__ import annotations

import secrets
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

from ablation.machine.process import (
    JOB,
    STARTED,
    SUPERVISOR,
    Process,
    begin_pulse,
    child_states,
    job_processes,
    kill_job,
    remove_shared_memory,
    start_guard,
    workflow_process,
)
from ablation.machine.pulse import PULSE
from ablation.machine.watch import Watch, stop_signals

TAIL_LINES = 20


@dataclass
class Job:
    """A running job: its launcher, its mark, and the last lines that it printed."""

    launcher: subprocess.Popen[bytes]
    mark: str
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    launches: bool = True  # whether the command only starts those who work
    started: bool = False  # whether the launcher has had a child

    def running(self) -> bool:
        """Whether the launcher runs and isn't merely shutting down, which takes it seconds."""
        if self.launcher.poll() is not None:
            return False
        if not self.launches:
            return True
        states = child_states(self.launcher.pid)
        self.started = self.started or bool(states)
        return not self.started or any(state not in "ZX" for state in states)


def run_supervised(
    command: list[str],
    environment: dict[str, str],
    port: int,
    locks: Sequence[int] = (),
    launches: bool = True,
) -> tuple[int, list[str]]:
    """Exit code of a command and its last lines, once nothing of it is left.

    Its output is passed on to ours as it comes. SIGINT and SIGTERM, and the end of the workflow
    that started us, end the job; then we exit ourselves, with 128 + the signal. After a signal a
    job that is at work may save first what it has; after a second SIGINT it may not.

    Args:
        command: What starts the job.
        environment: Its environment.
        port: The job's MASTER_PORT, which its shared memory is named after.
        locks: Descriptors of a lease: the guard keeps it until the job is gone.
        launches: Whether the command starts the job's processes and has nothing else to do.

    Raises:
        HungError: No rank got on.
    """
    mark, pulse = secrets.token_hex(16), begin_pulse(port)
    marked = environment | {
        JOB: mark,
        SUPERVISOR: str(Process.current()),
        STARTED: str(time.time()),
        PULSE: str(pulse or ""),
    }
    with stop_signals() as stop:
        extensions = environment.get("TORCH_EXTENSIONS_DIR")
        watch = Watch(stop, workflow_process(), pulse, lambda: job_processes(mark), extensions)
        guard = start_guard(mark, port, locks)
        try:
            job = start_job(command, marked, mark, launches)
            reader = pass_on(job.launcher.stdout, job.tail)
            while job.running() and not watch.must_end():
                stop.pause()
        finally:
            kill_job(mark)
            remove_shared_memory(port)
            guard.kill()
            guard.wait()
        job.launcher.wait()
        reader.join(timeout=2)
        watch.raise_end()
        return job.launcher.returncode, list(job.tail)


def start_job(command: list[str], environment: dict[str, str], mark: str, launches: bool) -> Job:
    """The command in a session of its own, so that Ctrl-C reaches the supervisor alone."""
    launcher = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    return Job(launcher, mark, launches=launches)


def pass_on(output: IO[bytes] | None, tail: deque[str]) -> threading.Thread:
    """The thread that copies a job's output to ours as it comes, and keeps its end."""

    def copy() -> None:
        for raw in output or ():
            line = raw.decode(errors="replace").rstrip("\n")
            tail.append(line)
            print(line, flush=True)

    reader = threading.Thread(target=copy, daemon=True)
    reader.start()
    return reader
