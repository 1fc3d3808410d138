"""One rank of a training job; DeepSpeed's launcher starts it, see `ablation.machine.launcher`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ablation.cli import EXIT_LATER, run
from ablation.errors import Interrupted, RunError
from ablation.machine.process import begin_as_rank

# Before the slow imports: an orphan must not live on, and what hangs here is to be seen.
begin_as_rank()


def parse_args() -> argparse.Namespace:
    """Command line of a rank."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder with config.json")
    parser.add_argument("--local_rank", type=int, default=0, help="given by the launcher")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Run the job, then leave the process group."""
    import torch

    from ablation.training.job import run_job

    try:
        run_job(args.run)
    except RunError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    except Interrupted as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(EXIT_LATER)

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    run(main, parse_args)
    sys.stdout.flush()
    os._exit(0)  # threads of libraries would hold the rank back
