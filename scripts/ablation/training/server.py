"""The warm worker: imports the libraries once, then forks a child for each run of one rank.

It has one thread and has computed nothing, so that a fork is safe; it checks that before each fork
and refuses otherwise. A child sets up its own process group as DeepSpeed's launcher would. It dies
with its supervisor, with its connection and with the server's knowledge: see
`ablation.machine.warm`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ablation.cli import EXIT_LATER, run
from ablation.errors import Interrupted, RunError
from ablation.machine.process import Process, begin_as_rank, remove_shared_memory
from ablation.machine.told import idle_seconds
from ablation.machine.warm import Request, Task, bind, kill_session, receive_request, remove

PRELOADED = (
    "torch",
    "torch.utils.cpp_extension",
    "deepspeed",
    "deepspeed.module_inject.auto_ep_layer",
    "deepspeed.runtime.engine",
    "deepspeed.runtime.zero.muon.muon_optimizer",
    "deepspeed.runtime.zero.muon.original_muon",  # it compiles, which imports a compiler
    "deepspeed.runtime.zero.stage_1_and_2",
    "transformers.integrations.deepspeed",
    "transformers.trainer",
    "peft",
    "peft.utils.transformers_weight_conversion",
    "datasets",
    "jsonschema",
    "ablation.training.job",
)


def preload() -> None:
    """Import what a run needs, and stay with one thread."""
    import torch

    torch.set_num_threads(1)
    for name in PRELOADED:
        importlib.import_module(name)
    import deepspeed

    deepspeed.ops.__compatible_ops__  # noqa: B018  it runs a compiler once, and is kept
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING  # noqa: F401
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    from ablation.frozen.which import FAMILIES

    get_checkpoint_conversion_mapping("llama")  # it is built once and kept
    for family in FAMILIES:
        importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    gc.collect()
    gc.freeze()  # a child's collections shall not copy the pages of all modules


def threads_here() -> int:
    """Threads of this process."""
    return len(list(Path("/proc/self/task").iterdir()))


@dataclass(frozen=True)
class Child:
    """A run's process, and its MASTER_PORT."""

    process: Process
    port: int

    def remove(self) -> None:
        """Kill all that is left of the run, and remove what it shared."""
        kill_session(self.process)
        remove_shared_memory(self.port)


def serve(folder: Path, name: str, workflow: Process | None) -> None:
    """Fork a child for each request, until the workflow ends or nobody asks any more.

    Args:
        folder: Folder of the socket.
        name: Name of the socket.
        workflow: The snakemake that the server works for, None where there is none.
    """
    preload()
    listener = bind(folder, name)
    children: dict[socket.socket, Child] = {}
    idle_since, most = time.monotonic(), idle_seconds()
    try:
        while workflow is None or workflow.alive():
            ready, _, _ = select.select([listener, *children], [], [], 0.05 if children else 0.3)
            for channel in ready:
                if channel is listener:
                    accept(listener, children)
                else:  # the client is gone, whatever it says
                    children[channel].remove()
            reap(children)
            if children:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > most:
                return
    finally:
        remove(folder, name)
        for child in children.values():
            child.remove()


def accept(listener: socket.socket, children: dict[socket.socket, Child]) -> None:
    """Fork the child of one request; its output goes to the descriptor that came with it."""
    channel, _ = listener.accept()
    channel.settimeout(5)
    try:
        request, output = receive_request(channel)
    except (OSError, ValueError):
        channel.close()
        return
    if threads_here() != 1:
        print("refused: libraries have started threads", file=sys.stderr, flush=True)
        os.close(output)
        channel.sendall(b'{"refused": "threads"}\n')
        channel.close()
        return
    pid = os.fork()
    if pid == 0:
        listener.close()
        for other in [channel, *children]:
            other.close()
        become_rank(request, output)
    os.close(output)
    child = Child(Process.of(pid), int(request["environment"]["MASTER_PORT"]))
    children[channel] = child
    with contextlib.suppress(OSError):
        channel.sendall(json.dumps({"pid": str(child.process)}).encode() + b"\n")


def reap(children: dict[socket.socket, Child]) -> None:
    """Tell the clients of children that ended how they ended."""
    for channel, child in list(children.items()):
        done, status = os.waitpid(child.process.pid, os.WNOHANG)
        if done == 0:
            continue
        child.remove()  # its own children: workers of loaders
        code = os.waitstatus_to_exitcode(status)
        with contextlib.suppress(OSError):
            channel.sendall(json.dumps({"code": code}).encode() + b"\n")
        channel.close()
        del children[channel]


def become_rank(request: Request, output: int) -> None:
    """Do the request's task as the only rank of a job, then leave; never returns."""
    code = 1
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        environment = request["environment"]
        os.environ.clear()
        os.environ.update(environment)
        os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", LOCAL_SIZE="1")
        os.environ["CROSS_RANK"], os.environ["CROSS_SIZE"] = "0", "1"
        begin_as_rank()
        threads = int(environment["OMP_NUM_THREADS"])
        run(lambda task: perform(task, threads), lambda: request["task"])
        code = 0
    except SystemExit as leaving:  # a user's mistake, and told
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
    except Interrupted as error:
        print(error, file=sys.stderr)
        code = EXIT_LATER
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def perform(task: Task, threads: int) -> None:
    """Do a task with as many threads as a rank of its own would have.

    Args:
        task: A run to train, or caches to write.
        threads: CPU threads.
    """
    import random

    import torch

    from ablation.frozen.cache import write_caches
    from ablation.training.job import run_job

    random.seed()
    torch.set_num_threads(threads)
    if "run" in task:
        run_job(Path(task["run"]))
    else:
        write_caches(**cast(dict[str, Any], task["caches"]))


def main() -> None:
    """Serve at the socket that the command line names."""
    folder, name, workflow = sys.argv[1:4]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(Path(folder), name, Process.parse(workflow) if workflow != "none" else None)


if __name__ == "__main__":
    main()
