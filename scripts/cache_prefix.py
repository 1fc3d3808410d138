"""Compute the states of the layers that no arm trains, once for all runs; write prefix.json.

    python scripts/cache_prefix.py --grid results/demo/grid.json \\
        --model results/demo/model/model.json --data results/demo/data \\
        --output results/demo/prefix --budget-gb 20 --threads 2
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from pathlib import Path

from ablation.cli import run
from ablation.runs.devices import Lease, lease
from ablation.runs.launch import has_gpu


def parse_args() -> argparse.Namespace:
    """Command line of the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", type=Path, required=True, help="grid.json")
    parser.add_argument("--model", type=Path, required=True, help="model.json")
    parser.add_argument("--data", type=Path, required=True, help="folder of prepare_data")
    parser.add_argument("--output", type=Path, required=True, help="folder of prefix.json")
    parser.add_argument("--budget-gb", type=float, default=20.0, help="most disk; 0 writes none")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Write the caches of the grid."""
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # read when torch is imported
    os.environ["HF_HUB_OFFLINE"] = "1"
    with lease(1) if has_gpu() else contextlib.nullcontext(Lease()) as gpus:
        os.environ.update(gpus.environment)
        from ablation.training.prefix import write_caches

        grid = json.loads(args.grid.read_text())
        write_caches(grid, args.model, args.data, args.output, args.budget_gb)


if __name__ == "__main__":
    run(main, parse_args)
