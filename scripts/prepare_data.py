"""Write a study's data as token ids: train/, validation/, test/, labels.json, profile.json.

    python scripts/prepare_data.py --study config/studies/debian_sections/study.yaml \
        --results results/debian_sections --max-lengths 24 32
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ablation.cli import run, study_parser
from ablation.data.prepare import prepare
from ablation.data.source import read_spec
from ablation.machine.locks import alone
from ablation.results import Results
from ablation.study.load import load_study

logger = logging.getLogger(__name__)


def parse_args() -> argparse.Namespace:
    """Command line of this script."""
    parser = study_parser(__doc__)
    parser.add_argument("--study", type=Path, required=True, help="a study.yaml")
    parser.add_argument(
        "--max-lengths", type=int, nargs="+", required=True, help="max_length of all arms"
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Prepare the data and say how many rows and classes there are."""
    # Read again, not from the resolved study: that would be one input more, and Snakemake would
    # prepare anew what finished runs were trained on, and train them again.
    spec = read_spec(load_study(args.study).data_options())
    results = Results(args.results)
    with alone(results.data):
        profile = prepare(spec, results.model, results.data, args.max_lengths)
    rows = profile.rows
    logger.info(
        "%d classes; %d rows to train, %d to validate, %d to test",
        profile.num_labels,
        rows.train,
        rows.validation,
        rows.test,
    )
    for note in profile.notes:
        logger.warning(note)


if __name__ == "__main__":
    run(main, parse_args)
