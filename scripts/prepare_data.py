"""Write a study's data as token ids: train/, validation/, test/, labels.json, profile.json.

    python scripts/prepare_data.py --study config/studies/debian_sections/study.yaml \
        --model results/debian_sections/model/model.json --max-lengths 24 32 --output /tmp/data
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ablation.cli import run
from ablation.data.prepare import prepare
from ablation.data.source import read_spec
from ablation.study.study import load_study

logger = logging.getLogger(__name__)


def parse_args() -> argparse.Namespace:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, required=True, help="a study.yaml")
    parser.add_argument("--model", type=Path, required=True, help="model.json of the model")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--max-lengths", type=int, nargs="+", required=True, help="max_length of all arms"
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Prepare the data and say how many rows and classes there are."""
    spec = read_spec(load_study(args.study).data_options())
    profile = prepare(spec, args.model, args.output, args.max_lengths)
    rows = profile["rows"]
    logger.info(
        "%d classes; %d rows to train, %d to validate, %d to test",
        profile["num_labels"],
        rows["train"],
        rows["validation"],
        rows["test"],
    )
    for note in profile["notes"]:
        logger.info(note)


if __name__ == "__main__":
    run(main, parse_args)
