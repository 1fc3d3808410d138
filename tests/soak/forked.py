"""Programs out of one process that has imported everything: a fault takes a second, not a minute.

    python tests/soak/forked.py SOCKET study       serves until it is killed
    python -S tests/soak/asked.py SOCKET WORDS     like `python WORDS`, from there

Each program is forked before it has done anything, with the caller's folder, environment and
output, so what it does and leaves behind is its own. Only what it would import is there already.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = (
    "check_health",
    "collect_metrics",
    "draw_figures",
    "estimate_effects",
    "expand_grid",
    "explain",
    "render_page",
    "render_partial",
    "render_report",
    "resolve_study",
    "write_patch",
)
# What these import, and what they import only when they are called.
MODULES = (
    "ablation.command.explain",
    "ablation.command.run",
    "ablation.command.status",
    "ablation.trackers",
    "ablation.workflow.interrupt",
    "ablation.workflow.plan",
    "fontTools.ttLib.tables.otTables",
    "pyarrow.pandas_compat",
    "snakemake.assets",
    "snakemake.benchmark",
    "snakemake.cli",
    "snakemake.profiles",
    "snakemake.report.html_reporter",
    "snakemake.storage",
    "smart_open",
    "yte",
)
LAUNCHER = ("train_run", "deepspeed.launcher.launch", "deepspeed.launcher.runner")
NAMES = {**dict.fromkeys(LAUNCHER[1:], "launcher"), "ablation.training": "rank"}


def prepare_study() -> None:
    """Import what the programs of a study need."""
    for name in (*PROGRAMS, *MODULES):
        importlib.import_module(name)
    from matplotlib.figure import Figure

    figure = Figure()  # reads fonts, and the grammar of formulas
    figure.add_subplot().set_title("$x$")
    figure.savefig(io.BytesIO(), format="svg")


def prepare_ranks() -> None:
    """Import what a run and its ranks need, as the warm worker does."""
    from ablation.training.server import preload

    for name in LAUNCHER:
        importlib.import_module(name)
    preload()


PREPARED = {"study": prepare_study, "ranks": prepare_ranks}


def serve(path: str, kind: str) -> None:
    """Fork a child for each request.

    Args:
        path: The socket to listen at.
        kind: What is asked for, one of `PREPARED`.
    """
    # Modules of programs only: nothing of them has run.
    sys.path[:0] = [str(ROOT / "scripts")]
    PREPARED[kind]()
    gc.collect()
    gc.freeze()
    layer = ctypes.CDLL(None)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(64)
    children: dict[int, socket.socket] = {}
    while True:
        ready = select.select([listener, *children.values()], [], [], 0.005 if children else None)[
            0
        ]
        if listener in ready:
            channel = listener.accept()[0]
            layer.layer_pause(1)
            pid = os.fork()
            layer.layer_pause(0)
            if pid == 0:
                listener.close()
                become(channel, layer.layer_name)
            children[pid] = channel
        for pid, channel in list(children.items()):
            if channel in ready and is_closed(channel):  # who asked was killed: it is this process
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            reap(pid, channel, children)


def is_closed(channel: socket.socket) -> bool:
    """Whether nobody is at the other end; what is there to read is left for the child."""
    try:
        return not channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def reap(pid: int, channel: socket.socket, children: dict[int, socket.socket]) -> None:
    """Tell how a program ended, where it has."""
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        code = os.waitstatus_to_exitcode(status)
        with contextlib.suppress(OSError):
            channel.sendall(code.to_bytes(8, "big", signed=True))
        channel.close()
        del children[pid]


def become(channel: socket.socket, tell: Callable[[bytes], object]) -> None:
    """Be the program that is asked for; never returns.

    Args:
        channel: Where it is asked for.
        tell: What takes its name.
    """
    first, ancillary, _, _ = channel.recvmsg(8, socket.CMSG_SPACE(12))
    files = array.array("i", ancillary[0][2])
    wanted, text = int.from_bytes(first, "big"), b""
    while len(text) < wanted:
        text += channel.recv(wanted - len(text))
    words, folder, environment = json.loads(text)
    tell(" ".join(words).encode())
    Path("/proc/self/comm").write_text(short_name(words))
    channel.sendall(os.getpid().to_bytes(8, "big"))
    channel.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    code = 1
    try:
        perform(words)
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()  # of what it has imported: temporary folders
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            code = code or 120
        os._exit(code)


def short_name(words: list[str]) -> str:
    """What tells a program in a list of processes, as soak/kills.py calls it."""
    if words[0] == "-c":
        return "ablation"
    if "-m" in words:
        module = words[words.index("-m") + 1]
        return NAMES.get(module, module)
    return next(Path(word).stem for word in words if word.endswith(".py"))


def perform(words: list[str]) -> None:
    """Do what `python` does with these words."""
    sys.executable = os.environ.get("FORKED_PYTHON", sys.executable)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    kind = words.pop(0)
    if kind in ("-u", "-P"):
        kind = words.pop(0)
    sys.argv = words if kind in ("-c", "-m") else [kind, *words]
    if kind == "-m":
        sys.path.insert(0, "")
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.path.insert(0, "")
        program, sys.argv[0] = words[0], "-c"
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    serve(*sys.argv[1:])
