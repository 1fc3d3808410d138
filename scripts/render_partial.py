"""Render the report of the runs that are there, after others have failed: results/<study>/partial/.

python scripts/render_partial.py --results results/<study>
"""

from __future__ import annotations

import argparse
import sys

from ablation.cli import run, study_parser
from ablation.report.incomplete import render_partial
from ablation.results import Results


def main(args: argparse.Namespace) -> None:
    if written := render_partial(Results(args.results), args.devices or None):
        print(f"rendered what there is: {', '.join(map(str, written))}", file=sys.stderr)


if __name__ == "__main__":
    run(main, study_parser(__doc__, devices=True).parse_args)
