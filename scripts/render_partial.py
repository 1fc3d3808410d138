"""Render the report of the runs that are there, after others have failed: results/<study>/partial/.

python scripts/render_partial.py --results results/<study>
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ablation.cli import run
from ablation.report.incomplete import render_partial
from ablation.results import Results


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", required=True, type=Path, help="results/<study>")
    parser.add_argument("--devices", type=int, help="devices that each run is told to use; 0: any")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    if written := render_partial(Results(args.results), args.devices or None):
        print(f"rendered what there is: {', '.join(map(str, written))}", file=sys.stderr)


if __name__ == "__main__":
    run(main, parse_args)
