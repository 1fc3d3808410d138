"""Compute the states of the layers that no arm trains, once for all runs; write prefix.json.

    python scripts/cache_prefix.py \\
        --wanted '{"float32": {"boundaries": [26], "max_length": 32, "extracts": [[0.1, null]]}}' \\
        --results results/demo --budget-gb 20 --threads 2
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ablation.cli import run, study_parser
from ablation.machine.launcher import leave, make_caches
from ablation.machine.locks import alone
from ablation.machine.process import LaunchError
from ablation.results import Results


def parse_args() -> argparse.Namespace:
    """Command line of the script."""
    parser = study_parser(__doc__)
    parser.add_argument("--wanted", type=json.loads, required=True, help="by dtype; see Wanted")
    parser.add_argument("--budget-gb", type=float, default=20.0, help="most disk; 0 writes none")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--warm", type=Path, help="folder of the warm worker; see config.yaml")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Write the caches of the grid, in a process that is watched: it may hang, or be killed."""
    results = Results(args.results)
    paths = {"model": results.model, "data": results.data, "output": results.frozen.parent}
    task: dict[str, Any] = {name: str(path.resolve()) for name, path in paths.items()}
    task |= {"wanted": args.wanted, "budget_gb": args.budget_gb}
    with alone(results.frozen.parent) as held:
        try:
            make_caches(task, args.threads, args.warm, (held.file,))
        except LaunchError as error:
            leave(error)


if __name__ == "__main__":
    run(main, parse_args)
