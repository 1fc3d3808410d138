"""Compute the states of the layers that no arm trains, once for all runs; write prefix.json.

    python scripts/cache_prefix.py \\
        --wanted '{"float32": {"boundaries": [26], "max_length": 32, "extracts": [[0.1, null]]}}' \\
        --results results/demo --budget-gb 20 --threads 2
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from ablation.cli import run
from ablation.machine.launcher import has_gpu, job_environment
from ablation.machine.leases import Lease, lease
from ablation.machine.warm import NoWorker, run_warm
from ablation.results import Results


def parse_args() -> argparse.Namespace:
    """Command line of the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wanted", type=json.loads, required=True, help="by dtype; see Wanted")
    parser.add_argument("--results", required=True, type=Path, help="results/<study>")
    parser.add_argument("--budget-gb", type=float, default=20.0, help="most disk; 0 writes none")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--warm", type=Path, help="folder of the warm worker; see config.yaml")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Write the caches of the grid, in the warm worker where there may be one."""
    results = Results(args.results)
    paths = {"model": results.model, "data": results.data, "output": results.frozen.parent}
    task: dict[str, Any] = {name: str(path.resolve()) for name, path in paths.items()}
    task |= {"wanted": args.wanted, "budget_gb": args.budget_gb}
    use_gpu = has_gpu()
    environment = job_environment(args.threads, 1, use_gpu)
    if args.warm is not None and not use_gpu:
        try:
            sys.exit(run_warm({"caches": task}, environment, args.warm)[0])
        except NoWorker as reason:
            print(f"computing here: {reason}", file=sys.stderr)
    with lease(1) if use_gpu else contextlib.nullcontext(Lease()) as gpus:
        os.environ.update(environment | gpus.environment)  # read when torch is imported
        from ablation.frozen.cache import write_caches

        write_caches(**task)


if __name__ == "__main__":
    run(main, parse_args)
