"""Programs out of one process that has imported everything: a fault takes a second, not a minute.

    python tests/soak/forked.py SOCKET             serves until it is killed
    python -S tests/soak/asked.py SOCKET WORDS     like `python WORDS`, from there

Each program is forked before it has done anything, with the caller's folder, environment and
output, so what it does and leaves behind is its own. Only what it would import is there already.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import ctypes
import importlib
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
MODULES = (
    "ablation.command.run",
    "ablation.command.status",
    "ablation.workflow.plan",
    "snakemake.cli",
)


def serve(path: str) -> None:
    """Fork a child for each request."""
    # Modules of programs only: nothing of them has run.
    sys.path[:0] = [str(ROOT / "scripts")]
    for name in (*PROGRAMS, *MODULES):
        importlib.import_module(name)
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
    script = next((Path(word).stem for word in words if word.endswith(".py")), words[1])
    Path("/proc/self/comm").write_text("ablation" if words[0] == "-c" else script)
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


def perform(words: list[str]) -> None:
    """Do what `python` does with these words."""
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
    serve(sys.argv[1])
