"""Fetch and check the pretrained model of a study; write model.json.

    python scripts/prepare_model.py --study config/studies/debian_sections/study.yaml \\
        --results results/debian_sections
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ablation.cli import run, study_parser
from ablation.data.model import prepare_model
from ablation.machine.locks import alone
from ablation.results import Results
from ablation.study.load import load_study
from ablation.training.parameters import check_parameters


def parse_args() -> argparse.Namespace:
    """Command line of the script."""
    parser = study_parser(__doc__)
    parser.add_argument("--study", type=Path, required=True, help="a study.yaml")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Prepare the model that the study names."""
    folder = Results(args.results).model.parent
    with alone(folder):
        prepare_model(load_study(args.study).model_options(), folder, check_parameters)


if __name__ == "__main__":
    run(main, parse_args)
