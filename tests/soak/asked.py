"""`python WORDS` out of soak/forked.py's process: python -S tests/soak/asked.py SOCKET WORDS."""

import array
import json
import os
import signal
import socket
import sys
from pathlib import Path


def ask(path: str, words: list[str]) -> int:
    """Let the server run a program with our output, and end as it ends."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.connect(path)
    request = json.dumps([words, str(Path.cwd()), dict(os.environ)]).encode()
    files = array.array("i", [0, 1, 2])
    first = len(request).to_bytes(8, "big")
    channel.sendmsg([first], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
    channel.sendall(request)
    pid = int.from_bytes(channel.recv(8), "big")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: os.kill(pid, number))
    code = int.from_bytes(channel.recv(8) or (1).to_bytes(8, "big"), "big", signed=True)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(ask(sys.argv[1], sys.argv[2:]))
