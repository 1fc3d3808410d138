"""What tests need that begin a process, and wait for what it does."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float = 60, what: str = "it") -> None:
    """Return when the condition holds; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)


def hear_ctrl_c() -> None:
    """For `preexec_fn`: what a shell starts in the background is deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
