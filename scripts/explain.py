"""Say what two configurations do before any GPU is used: differences, findings, quantities.

python scripts/explain.py account_tax
python scripts/explain.py current.yml backup.yml --model-config config.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from ablation.cli import run
from ablation.comparison.findings.texts import load_texts
from ablation.documents.entries import load_entries
from ablation.errors import UserError
from ablation.files import save_json, save_text
from ablation.study.explain import explain_files, explain_study
from ablation.study.explain_text import render
from ablation.study.study import load_study, study_file
from ablation.words.catalogue import LANGUAGES

STUDIES = Path(os.path.relpath(Path(__file__).resolve().parents[1] / "config" / "studies"))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "what",
        nargs="+",
        metavar="STUDY | CURRENT BACKUP",
        help="a study (its name, folder or study.yaml), or two configuration files",
    )
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="the language of the text")
    parser.add_argument("--json", action="store_true", help="write JSON, in both languages")
    parser.add_argument("--output", help="the file to write; stdout without it")
    parser.add_argument("--all", action="store_true", help="list bookkeeping, too")
    parser.add_argument("--rows", type=_positive, help="rows of the whole data set, for planning")
    parser.add_argument(
        "--profile", help="profile.json of the prepared data; that of the study's results, if any"
    )
    parser.add_argument("--without-data", action="store_true", help="leave prepared data aside")
    parser.add_argument("--model-config", help="two files: the model's config.json")
    parser.add_argument("--layers", type=_positive, help="two files: the model's number of layers")
    parser.add_argument("--world-size", type=_positive, help="two files: devices, if none says so")
    return parser.parse_args()


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def main(args: argparse.Namespace) -> None:
    if len(args.what) > 2:
        raise UserError("too much to explain", found=args.what, allowed="a study, or two files")
    said = _explain_files(args) if len(args.what) == 2 else _explain_study(args)
    if not args.json:
        text = render(said, load_texts(args.lang), args.all)
        save_text(text, args.output) if args.output else sys.stdout.write(text)
    elif args.output:
        save_json(said, args.output)
    else:
        json.dump(said, sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
        print()


def _explain_study(args: argparse.Namespace) -> dict:
    study = load_study(find_study(args.what[0]))
    profile = Path(args.profile or f"results/{study.name}/data/profile.json")
    if args.profile and not profile.is_file():
        raise UserError("the profile does not exist", file=profile)
    return explain_study(study, None if args.without_data else profile, args.rows)


def find_study(name: str) -> Path:
    """The study.yaml that a name, a folder or a path stands for."""
    path = Path(name)
    if path.is_dir() and (path / "study.yaml").is_file():
        return path / "study.yaml"
    return path if path.is_file() else study_file(name, STUDIES)


def _explain_files(args: argparse.Namespace) -> dict:
    facts = load_entries(args.model_config).plain() if args.model_config else {}
    if args.layers:
        facts.setdefault("num_hidden_layers", args.layers)
    return explain_files(*args.what, facts, args.rows, args.world_size)


if __name__ == "__main__":
    run(main, parse_args)
