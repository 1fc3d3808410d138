"""What Ctrl-C and `kill` do to a workflow that runs."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any

from ablation.machine.watch import ask_all_to_save
from ablation.words.catalogue import Messages, load_catalogue


def tell_of_interrupts(language: str) -> None:
    """At the first SIGINT let runs save, and say how they are ended at once; then be interrupted.

    Whoever has a handler of its own keeps it.
    """
    text = Messages(language, load_catalogue("command", language))("run.saving")

    def tell(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print(text, file=sys.stderr, flush=True)
        ask_all_to_save()
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, tell)


def stop_at_any_moment(scheduler: Any) -> None:
    """Let SIGTERM stop Snakemake also while it notes a job's end.

    Its handler waits for a lock, which the code that the signal interrupts may hold: for ever. In
    a thread of its own it waits until that code has gone on.

    Args:
        scheduler: Snakemake's class JobScheduler.
    """
    stop = scheduler.exit_gracefully
    scheduler.exit_gracefully = lambda self, *_: threading.Thread(target=stop, args=(self,)).start()
