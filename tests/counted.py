"""What a program does, counted in calls of functions: the same on every machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_COUNTING = """
import sys
made = 0
def count(frame, event, argument):
    global made
    made += event in ("call", "c_call")
sys.setprofile(count)
try:
    exec(compile({code!r}, "counted", "exec"), {{"__name__": "counted"}})
finally:
    sys.setprofile(None)
    print(f"calls: {{made}}", file=sys.stderr)
"""


def count_calls(code: str, root: Path, folder: Path | None = None) -> tuple[int, str]:
    """How many functions a program calls, imports included, and what it prints."""
    command = [sys.executable, "-c", _COUNTING.format(code=code)]
    environment = {**os.environ, "PYTHONPATH": str(root / "scripts")}
    done = subprocess.run(
        command, cwd=folder or root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stderr.rpartition("calls: ")[2]), done.stdout
