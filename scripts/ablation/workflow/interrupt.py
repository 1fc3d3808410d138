"""What Ctrl-C, or `kill -INT`, does to a workflow that runs, told when it comes."""

from __future__ import annotations

import signal
import sys
from types import FrameType

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
