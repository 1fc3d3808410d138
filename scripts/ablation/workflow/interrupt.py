"""What Ctrl-C does to a workflow that runs, told when it is pressed."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from ablation.words.catalogue import Messages, load_catalogue


def tell_of_interrupts(language: str) -> None:
    """Say at the first SIGINT that runs save, and how they are ended at once; then be interrupted.

    Whoever has a handler of its own keeps it.
    """
    text = Messages(language, load_catalogue("command", language))("run.saving")

    def tell(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print(text, file=sys.stderr, flush=True)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, tell)
