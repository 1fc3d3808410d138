"""Write effects.json: contrasts over paired seeds, impact levels, and verdicts on the claims.

python scripts/estimate_effects.py --results results/<study>
"""

from __future__ import annotations

import argparse

from ablation.cli import run, study_parser
from ablation.data.counts import all_training_rows
from ablation.evidence.by_row import load_by_row
from ablation.evidence.effects import save_effects
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.metrics import load_table
from ablation.evidence.reports import load_reports, report_of, save_reports
from ablation.results import Results
from ablation.study.grid import load_grid
from ablation.study.resolved import load_resolved


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    study = load_resolved(results)
    grid = load_grid(results.grid(study.adaptive))
    by_row = load_by_row(grid, results.runs, study.options["metric"]["name"])
    table, rows = load_table(results.metrics), all_training_rows(results.profile)
    reports = load_reports(results.reports)
    effects = estimate_effects(grid, table, study.options, by_row, rows, reports)
    save_effects(effects, results.effects)
    save_reports(reports.adding(report_of(grid, study.options)), results.reports)


if __name__ == "__main__":
    run(main, study_parser(__doc__).parse_args)
