"""The warm worker as a run sees it: find it or start it, hand over the run, and wait for its end.

A run of one rank on the CPU spends most of its fixed time importing libraries. A server that has
imported them once (`ablation.training.server`) forks a child for each run. One job is still one
run: the child's output is the job's, it dies with the job, and its crash touches no other.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from ablation.machine.process import (
    JOB,
    POLL_SECONDS,
    STARTED,
    SUPERVISOR,
    Process,
    begin_pulse,
    free_port,
    processes_of_session,
    remove_shared_memory,
    workflow_process,
)
from ablation.machine.pulse import MASTER, PULSE
from ablation.machine.supervisor import TAIL_LINES, pass_on
from ablation.machine.watch import Watch, stop_signals

START_SECONDS = 180.0
PART = 1 << 20
FOLDER = ".warm"


class NoWorker(Exception):
    """The run can't be had from a warm worker; nothing of it has happened yet."""


@contextlib.contextmanager
def short_path(folder: Path, name: str) -> Iterator[str]:
    """A path of a socket that is short enough, however deep its folder lies."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def bind(folder: Path, name: str) -> socket.socket:
    """The server's socket, listening."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    remove(folder, name)
    with short_path(folder, name) as path:
        listener.bind(path)
    listener.listen(64)
    return listener


def remove(folder: Path, name: str) -> None:
    """Take the socket away: nobody listens any more."""
    (folder / name).unlink(missing_ok=True)


def connect(folder: Path, name: str) -> socket.socket | None:
    """A connection to the server, None where none listens."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(folder, name) as path:
            channel.connect(path)
    except OSError:
        channel.close()
        return None
    return channel


def worker_name(environment: dict[str, str]) -> str:
    """Name of the socket of a worker with this interpreter, this code and these libraries."""
    files = Path(__file__).parents[1].rglob("*.py")
    stamps = [(path.name, path.stat().st_mtime_ns) for path in sorted(files)]
    chosen = {k: v for k, v in environment.items() if k.startswith(("DS_", "LD_", "PYTHON", "HF_"))}
    text = json.dumps([sys.executable, sys.version, stamps, sorted(chosen.items())])
    return f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.sock"


def find_worker(folder: Path, environment: dict[str, str], log: Path) -> socket.socket:
    """A connection to the worker; the first who asks starts it, the others wait.

    Raises:
        NoWorker: It doesn't come up.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = worker_name(environment)
    channel = connect(folder, name)
    if channel:
        return channel
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        channel = connect(folder, name)
        if channel:
            return channel
        server = start_worker(folder, name, environment, log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and server.poll() is None:
            channel = connect(folder, name)
            if channel:
                return channel
            time.sleep(0.05)
    with contextlib.suppress(OSError):
        server.kill()
    raise NoWorker(f"the warm worker does not start, see {log}")


def start_worker(
    folder: Path, name: str, environment: dict[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """The server in a session of its own, bound to the workflow that we belong to."""
    workflow = workflow_process()
    own = {k: v for k, v in environment.items() if k not in (JOB, SUPERVISOR, STARTED, PULSE)}
    # No thread of a library may exist when the server forks.
    own |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    own["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # pyarrow's allocator
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ablation.training.server",
                str(folder.resolve()),
                name,
                str(workflow or "none"),
            ],
            env=own,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


class Task(TypedDict, total=False):
    """What the worker does: one of the two.

    Attributes:
        run: The folder of a run to train.
        caches: The arguments of `ablation.frozen.cache.write_caches`.
    """

    run: str
    caches: Mapping[str, object]


class Request(TypedDict):
    """A task, and the environment that it is done in."""

    task: Task
    environment: dict[str, str]


def send_request(channel: socket.socket, request: Request, output: int) -> None:
    """Send a request to the server, with a descriptor for what the task prints."""
    text = json.dumps(request).encode() + b"\n"
    sent = socket.send_fds(channel, [text], [output])
    channel.sendall(text[sent:])


def receive_request(channel: socket.socket) -> tuple[Request, int]:
    """Inverse of `send_request`. A large environment comes in parts, the descriptor with the first.

    Raises:
        OSError, ValueError: It isn't whole.
    """
    text, descriptors, _, _ = socket.recv_fds(channel, PART, 1)
    try:
        while not text.endswith(b"\n"):
            part = channel.recv(PART)
            if not part:
                raise ValueError("the request ends too early")
            text += part
        (output,) = descriptors
        return json.loads(text), output
    except (OSError, ValueError):
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def run_warm(task: Task, environment: dict[str, str], folder: Path) -> tuple[int, list[str]]:
    """Exit code of a task and its last lines, once its process is gone.

    SIGINT and SIGTERM, and the end of the workflow that started us, end the task; then we exit
    ourselves, with 128 + the signal. See `run_supervised` for what a run may do before.

    Args:
        task: What to do, as `ablation.training.server.perform` takes it; paths are absolute.
        environment: Of the task's process.
        folder: Folder of the worker's socket, and of the log with its own messages.

    Raises:
        NoWorker: The task hasn't begun.
        HungError: The run doesn't get on.
    """
    marked = environment | {SUPERVISOR: str(Process.current()), STARTED: str(time.time())}
    with stop_signals() as stop:
        channel = find_worker(folder, environment, folder / "worker.log")
        port = free_port()
        pulse = begin_pulse(port)
        marked |= {"MASTER_ADDR": MASTER, "MASTER_PORT": str(port), PULSE: str(pulse or "")}
        reading, writing = os.pipe()
        request: Request = {"task": task, "environment": marked}
        try:
            send_request(channel, request, writing)
        except OSError as error:
            raise NoWorker(f"the warm worker is gone: {error}") from error
        finally:
            os.close(writing)
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        reader = pass_on(os.fdopen(reading, "rb"), tail)
        worker = Worker(channel)
        extensions = environment.get("TORCH_EXTENSIONS_DIR")
        watch = Watch(stop, workflow_process(), pulse, worker.processes, extensions)
        child, code = follow(worker, watch)
        remove_shared_memory(port)
        reader.join(timeout=2 if child else 0)  # what it said last, before what we say
        watch.raise_end()
        if child is None:
            raise NoWorker("the warm worker refused the task")
        return code, list(tail)


@dataclass
class Worker:
    """The connection to the worker, and the run's process once it is known."""

    channel: socket.socket
    child: Process | None = None

    def processes(self) -> list[int]:
        """The run's process, and all that it started."""
        return [] if self.child is None else processes_of_session(self.child.pid)


def follow(worker: Worker, watch: Watch) -> tuple[Process | None, int]:
    """The run's process and its exit code, when it has ended or we have ended it."""
    worker.channel.settimeout(POLL_SECONDS)
    buffer = b""
    while True:
        if watch.must_end():
            worker.channel.close()
            kill_session(worker.child)
            return worker.child, 128
        try:
            received = worker.channel.recv(4096)
        except TimeoutError:
            continue
        except OSError:
            received = b""
        if not received:  # the server is gone, and the run must not outlive our knowledge of it
            kill_session(worker.child)
            return worker.child, -signal.SIGKILL
        *lines, buffer = (buffer + received).split(b"\n")
        for answer in map(json.loads, lines):
            if "pid" in answer:
                worker.child = Process.parse(answer["pid"])
            if "code" in answer:
                return worker.child, answer["code"]


def kill_session(child: Process | None) -> None:
    """Kill a run's process and all that it started, in whatever process groups they are."""
    if child is None:
        return
    for pid in processes_of_session(child.pid):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    if child.alive():  # before it has a session of its own
        with contextlib.suppress(OSError):
            os.kill(child.pid, signal.SIGKILL)
