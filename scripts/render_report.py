"""Render the report in one language from finished measurements; trains and imports nothing heavy.

    python scripts/render_report.py --resolved results/<study>/resolved \
        --grid results/<study>/grid.json --metrics results/<study>/metrics.csv \
        --effects results/<study>/effects.json --study config/studies/<study>/study.yaml \
        --profile results/<study>/data/profile.json --figures results/<study>/figures \
        --language en --output results/<study>/report.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ablation.cli import run
from ablation.files import save_text
from ablation.report.report import render_report
from ablation.report.sources import load_sources
from ablation.results import Results, remove_partial
from ablation.words.catalogue import LANGUAGES


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolved", required=True, help="folder of current.json, backup.json")
    parser.add_argument("--grid", required=True, help="grid.json")
    parser.add_argument("--metrics", required=True, help="metrics.csv")
    parser.add_argument("--effects", required=True, help="effects.json")
    parser.add_argument("--study", required=True, help="study.yaml")
    parser.add_argument("--profile", help="data/profile.json")
    parser.add_argument("--health", help="health.json")
    parser.add_argument("--confirmation", help="confirmation/verdict.json, where there is one")
    parser.add_argument("--figures", required=True, help="folder of the figures")
    parser.add_argument("--language", required=True, choices=LANGUAGES)
    parser.add_argument("--output", required=True, help="Markdown file to write")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Render and write."""
    sources = load_sources(
        args.resolved,
        args.grid,
        args.metrics,
        args.effects,
        args.study,
        args.profile,
        args.health,
        args.language,
        args.confirmation,
    )
    text = render_report(sources, args.figures, args.output)
    save_text(text, args.output)
    remove_partial(Results(Path(args.output).parent))


if __name__ == "__main__":
    run(main, parse_args)
