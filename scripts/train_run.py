"""Train one variant with one seed, in one DeepSpeed job.

python scripts/train_run.py --results results/<study> --variant <variant> --seed 1
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ablation.cli import run, study_parser
from ablation.machine.attempts import begin_attempt, end_attempt
from ablation.machine.launcher import launch, leave
from ablation.machine.locks import alone
from ablation.machine.process import LaunchError
from ablation.results import Results
from ablation.training.request import (
    done_meanwhile,
    grid_of,
    keep_done,
    make_request,
    save_request,
)
from ablation.workflow.folders import check_run


def parse_args() -> argparse.Namespace:
    """Command line of the script."""
    parser = study_parser(__doc__)
    parser.add_argument("--variant", required=True, help="name of the variant in the grid")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--warm", type=Path, help="folder of the warm worker; see config.yaml")
    parser.add_argument("--world-size", type=int, default=1, help="GPUs, or CPU ranks without")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the whole job")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Write the request, then train; what the job prints goes to our output."""
    results = Results(args.results)
    output = results.run(args.variant, args.seed)
    check_run(output, results)  # once more: hours may have passed since the call looked
    grid = grid_of(args.variant, results)
    request = make_request(results, grid, args.variant, args.seed, args.world_size)
    with alone(output) as held:
        if done_meanwhile(request, output, held.waited):
            print("another job has trained this run: its result is taken")
            return
        begin_attempt(output)
        save_request(request, output)
        try:
            launch(output, args.world_size, args.threads, args.warm, (held.file,))
        except LaunchError as error:
            leave(error)
        finally:
            end_attempt(output)
        keep_done(output)


if __name__ == "__main__":
    run(main, parse_args)
