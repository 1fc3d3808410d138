"""Tell an experiment tracker of a finished study; one that hangs or fails is said, and no error.

python scripts/track_study.py --results results/<study> --tracker mlflow --seconds 300
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from ablation.cli import run, study_parser
from ablation.files import save_json
from ablation.results import Results
from ablation.trackers import TRACKERS
from ablation.trackers.send import send_here, send_within
from ablation.words.catalogue import LANGUAGES, Messages, asked_language, load_catalogue


def parse_args() -> argparse.Namespace:
    parser = study_parser(__doc__)
    parser.add_argument("--tracker", required=True, choices=TRACKERS)
    parser.add_argument("--seconds", type=float, default=300, help="most time that it may take")
    parser.add_argument("--lang", choices=LANGUAGES, default=asked_language())
    parser.add_argument("--here", action="store_true", help="in this process, without a limit")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    if args.here:
        print(send_here(args.tracker, results))
        return
    command = [sys.executable, __file__, "--results", str(args.results), "--here"]
    outcome = send_within(args.tracker, [*command, "--tracker", args.tracker], args.seconds)
    texts = Messages(args.lang, load_catalogue("trackers", args.lang))
    print(texts(outcome.status, **asdict(outcome)), file=sys.stderr)
    save_json(asdict(outcome), results.tracked / f"{args.tracker}.json")


if __name__ == "__main__":
    run(main, parse_args)
