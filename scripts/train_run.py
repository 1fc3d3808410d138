"""Train one variant with one seed, in one DeepSpeed job.

    python scripts/train_run.py --grid results/demo/grid.json --variant current --seed 1 \\
        --model results/demo/model/model.json --data results/demo/data \\
        --output results/demo/runs/current/seed-1 --world-size 1 --threads 2
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ablation.cli import run
from ablation.machine.launcher import launch
from ablation.machine.process import LaunchError
from ablation.training.request import make_request, save_request


def parse_args() -> argparse.Namespace:
    """Command line of the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", type=Path, required=True, help="grid.json")
    parser.add_argument("--variant", required=True, help="name of the variant in the grid")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--model", type=Path, required=True, help="model.json")
    parser.add_argument("--data", type=Path, required=True, help="folder of prepare_data")
    parser.add_argument("--prefix", type=Path, help="prefix.json; without it all is computed")
    parser.add_argument("--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--warm", type=Path, help="folder of the warm worker; see config.yaml")
    parser.add_argument("--world-size", type=int, default=1, help="GPUs, or CPU ranks without")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the whole job")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Write the request, then train; what the job prints goes to our output."""
    request = make_request(
        json.loads(args.grid.read_text()),
        args.variant,
        args.seed,
        args.model,
        args.data,
        args.output,
        args.world_size,
        args.prefix,
    )
    save_request(request, args.output)
    try:
        launch(args.output, args.world_size, args.threads, args.warm)
    except LaunchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run(main, parse_args)
