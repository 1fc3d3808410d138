"""Fetch and check the pretrained model of a study; write model.json.

    python scripts/prepare_model.py --study config/studies/debian_sections/study.yaml \\
        --output results/debian_sections/model
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ablation.cli import run
from ablation.inputs.models import prepare_model
from ablation.planning.study import load_study


def parse_args() -> argparse.Namespace:
    """Command line of the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--study", type=Path, help="a study.yaml")
    source.add_argument("--study-model", type=json.loads, help="its model section alone, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="folder of model.json")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Prepare the model that the study names."""
    options = load_study(args.study).model_options() if args.study else args.study_model
    prepare_model(options, args.output)


if __name__ == "__main__":
    run(main, parse_args)
