"""Launching one DeepSpeed job: its command, its environment, and what its failure means."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from ablation.cli import EXIT_LATER, EXIT_USER_ERROR
from ablation.machine.leases import Lease, lease
from ablation.machine.locks import remove_stale_locks
from ablation.machine.process import LaunchError, free_port
from ablation.machine.pulse import MASTER
from ablation.machine.supervisor import run_supervised
from ablation.machine.told import check_environment
from ablation.machine.warm import NoWorker, Task, run_warm
from ablation.machine.watch import HungError

Env = dict[str, str]
OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemoryError|can't allocate memory|Cannot allocate memory|"
    r"bad_alloc|oom-kill|MemoryError|return code = -9|died with <Signals.SIGKILL",
    re.IGNORECASE,
)
PORT_TAKEN = re.compile(r"EADDRINUSE|address already in use", re.IGNORECASE)


def launcher_command(
    run_dir: Path, world_size: int, port: int, devices: Sequence[str] = ()
) -> list[str]:
    """Command line of DeepSpeed's launcher for one job on this machine.

    Args:
        run_dir: The run's folder, with config.json.
        world_size: Ranks.
        port: MASTER_PORT.
        devices: The GPUs, one by one: beside --num_gpus the launcher takes the machine's first.
    """
    if devices:
        where = ["--include", f"localhost:{','.join(devices)}"]
    else:
        where = ["--num_gpus", str(world_size)]
    return [
        sys.executable,
        "-m",
        "deepspeed.launcher.runner",
        "--hostfile",
        os.devnull,
        *where,
        "--master_addr",
        MASTER,
        "--master_port",
        str(port),
        "--log_level",
        "error",
        "--module",
        "ablation.training",
        "--run",
        str(run_dir),
    ]


def job_environment(threads: int, ranks: int, use_gpu: bool) -> dict[str, str]:
    """Environment of a job: threads shared among the ranks, and the CPU where there is no GPU."""
    environment = dict(os.environ)
    scripts = str(Path(__file__).parents[2])
    paths = [scripts, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    # -m looks for modules in the working folder first, which may be somebody else's.
    environment["PYTHONSAFEPATH"] = "1"
    # The environment's own ninja, activated or not: another version compiles everything again.
    programs = [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    environment["PATH"] = os.pathsep.join(programs)
    environment["OMP_NUM_THREADS"] = str(max(1, threads // ranks))
    environment["TORCH_EXTENSIONS_DIR"] = str(extensions_folder())
    # Threads that spin at barriers slow each other down to a quarter where processes share cores.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment["HF_HUB_OFFLINE"] = "1"  # prepare_model has fetched what there is to fetch
    environment["PYTHONWARNINGS"] = "ignore::FutureWarning"  # of libraries, about each other
    if not use_gpu:
        environment["DS_ACCELERATOR"] = "cpu"
        environment.pop("CUDA_VISIBLE_DEVICES", None)
    return environment


def extensions_folder() -> Path:
    """Where DeepSpeed keeps the operators that it compiles on first use.

    Each environment and machine has its own: they would compile each other's again and again, and
    code made for one processor may not run on another.
    """
    named = os.environ.get("TORCH_EXTENSIONS_DIR")
    if named:
        return Path(named)
    key = hashlib.sha256(f"{sys.prefix}:{socket.gethostname()}".encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "staged-ablation" / "torch_extensions" / key


def has_gpu() -> bool:
    """Whether this machine shows a GPU, without importing torch."""
    if os.environ.get("DS_ACCELERATOR") == "cpu" or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return False
    devices = Path("/dev")
    numbered = any(path.name[6:].isdigit() for path in devices.glob("nvidia[0-9]*"))
    return numbered or (devices / "dxg").exists() or (devices / "kfd").exists()


def launch(
    run_dir: Path,
    world_size: int,
    threads: int,
    warm: Path | None = None,
    locks: Sequence[int] = (),
) -> None:
    """Run the job that `run_dir`/config.json describes, to its end.

    Args:
        run_dir: The run's folder.
        world_size: Ranks: GPUs, or processes on the CPU where there is no GPU.
        threads: CPU threads of the whole job.
        warm: Folder of the warm worker, which takes jobs of one rank on the CPU; None launches
            each job anew.
        locks: Descriptors that the guard of a launched job holds until nothing of it is left.

    Raises:
        LaunchError: The job left no metrics.json.
    """
    task: Task = {"run": str(run_dir.resolve())}
    try:
        anew = partial(launch_anew, run_dir, world_size, locks)
        code, tail = warm_or_anew(task, world_size, threads, warm, anew)
        if not (run_dir / "metrics.json").exists():
            fail(failure_message(tail, code), code)
    except (LaunchError, SystemExit):
        # It comes last: what it was told meanwhile, the run is done.
        if not (run_dir / "metrics.json").exists():
            raise
    # Not by the run itself: whoever is killed after metrics.json would leave them for good.
    shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)


Ended = tuple[int, list[str]]  # exit code of a job, and its last lines


def warm_or_anew(
    task: Task, ranks: int, threads: int, warm: Path | None, anew: Callable[[Env, Lease], Ended]
) -> Ended:
    """How a task has ended: in the warm worker, which has one rank and no GPU, else launched."""
    use_gpu = has_gpu()
    check_environment()
    environment = job_environment(threads, ranks, use_gpu)
    remove_stale_locks(Path(environment["TORCH_EXTENSIONS_DIR"]))
    if warm and ranks == 1 and not use_gpu:
        try:
            return run_warm(task, environment, warm)
        except NoWorker as reason:
            print(f"beginning anew: {reason}", file=sys.stderr, flush=True)
    with lease(ranks) if use_gpu else contextlib.nullcontext(Lease()) as gpus:
        return anew(environment | dict(gpus.environment), gpus)


def launch_anew(
    run_dir: Path, world_size: int, locks: Sequence[int], environment: Env, gpus: Lease
) -> Ended:
    """How a run has ended that DeepSpeed's launcher has started; twice more where its port was."""
    for _ in range(3):
        port = free_port()
        command = launcher_command(run_dir, world_size, port, gpus.names)
        code, tail = run_supervised(command, environment, port, (*gpus.files, *locks))
        done = (run_dir / "metrics.json").exists() or code == EXIT_USER_ERROR
        if done or not any(PORT_TAKEN.search(line) for line in tail):
            break
    # A launcher that outlives its ranks is killed here: that says nothing of memory.
    return (1 if code == -signal.SIGKILL else code), tail


def fail(message: str, code: int) -> NoReturn:
    """End with a job that has ended without its result: as it did where its user is mistaken."""
    if code == EXIT_USER_ERROR:
        sys.exit(EXIT_USER_ERROR)
    raise LaunchError(message)


def make_caches(
    task: Mapping[str, object], threads: int, warm: Path | None = None, locks: Sequence[int] = ()
) -> None:
    """Compute the states of the frozen layers, to the end.

    Args:
        task: The arguments of `ablation.frozen.cache.write_caches`; paths are absolute.
        threads: CPU threads.
        warm: Folder of the warm worker, which does it where there is no GPU.
        locks: See `launch`.

    Raises:
        LaunchError: It ended without them; the next try goes on from what is there.
    """

    def anew(environment: Env, gpus: Lease) -> Ended:
        command = [sys.executable, "-m", "ablation.frozen", "--task", json.dumps(task)]
        held = (*gpus.files, *locks)
        return run_supervised(command, environment, free_port(), held, launches=False)

    code, tail = warm_or_anew({"caches": task}, 1, threads, warm, anew)
    if code:
        left = "the states of the frozen layers are not whole"
        fail(failure_message(tail, code, left, LESS_FOR_CACHES), code)


def make_operators() -> str | None:
    """Compile DeepSpeed's operators where runs look for them; the last line of what failed."""
    environment = job_environment(os.cpu_count() or 1, 1, has_gpu())
    remove_stale_locks(Path(environment["TORCH_EXTENSIONS_DIR"]))
    command = [sys.executable, "-m", "ablation.training.operators"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return (done.stderr.strip().splitlines() or ["no reason told"])[-1] if done.returncode else None


def leave(error: LaunchError) -> NoReturn:
    """Say what has become of a job, and exit: so that it is tried again where it only hung."""
    print(f"error: {error}", file=sys.stderr)
    sys.exit(EXIT_LATER if isinstance(error, HungError) else 1)


LESS_FOR_RUNS = (
    "Lower per_device_train_batch_size (and raise gradient_accumulation_steps by the same factor: "
    "the effective batch stays), set gradient_checkpointing: true, or offload the optimizer."
)
LESS_FOR_CACHES = (
    "Leave it more, or set prefix_cache_gb: 0 in config/config.yaml: each run then computes all "
    "its layers itself, with the same result. The next try goes on from what is there."
)


def failure_message(
    tail: list[str],
    code: int = 1,
    ended: str = "the training job ended without metrics.json",
    less: str = LESS_FOR_RUNS,
) -> str:
    """What went wrong, with the last lines of the job and a hint where memory ran out.

    Args:
        tail: The job's last lines.
        code: Its exit code; the kernel kills with SIGKILL where memory runs out.
        ended: What has become of it.
        less: How it takes less memory.
    """
    message = "\n".join([f"{ended}; its last lines:", *(f"  {line}" for line in tail)])
    if code == -signal.SIGKILL or any(OUT_OF_MEMORY.search(line) for line in tail):
        message += f"\nIt looks as if memory ran out. {less}"
    return message
