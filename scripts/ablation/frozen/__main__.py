"""The process that computes the states of the frozen layers; see `machine.launcher.make_caches`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from ablation.cli import EXIT_LATER, run
from ablation.errors import Interrupted
from ablation.machine.process import begin_as_rank

# Before the slow imports: an orphan must not live on, and what hangs here is to be seen.
begin_as_rank()


def parse_args() -> argparse.Namespace:
    """Command line of the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", type=json.loads, required=True, help="see `write_caches`")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Write the caches."""
    from ablation.frozen.cache import write_caches

    task: dict[str, Any] = args.task
    try:
        write_caches(**task)
    except Interrupted as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(EXIT_LATER)


if __name__ == "__main__":
    run(main, parse_args)
