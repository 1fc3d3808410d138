"""`ablation explain`: what two configurations do, before any GPU is used."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from ablation.command import revisions
from ablation.command.markdown import render_comment
from ablation.command.studies import find_study
from ablation.command.words import Parser
from ablation.comparison.findings.finding import PROBLEM
from ablation.comparison.findings.texts import load_texts
from ablation.documents.entries import load_entries
from ablation.errors import UserError
from ablation.files import save_json, save_text
from ablation.masking import visible
from ablation.settings.architecture import Facts
from ablation.study.explain import explain_files, explain_study
from ablation.study.explain_text import render
from ablation.study.explanation import Explanation
from ablation.study.load import load_study
from ablation.words.catalogue import Messages

FOUND_A_PROBLEM = 3


def add_arguments(parser: Parser) -> None:
    """The arguments of `ablation explain`."""
    parser.option("what", nargs="+", metavar="FILE")
    parser.option("--git", nargs=2, metavar=("OLD", "NEW"))
    parser.option("--json", action="store_true")
    parser.option("--markdown", action="store_true")
    parser.option("--check", action="store_true")
    parser.option("--output", metavar="FILE")
    parser.option("--all", action="store_true")
    parser.option("--rows", type=parser.counts)
    parser.option("--dialect", type=parser.sides, default={})
    parser.option("--profile", metavar="FILE")
    parser.option("--without-data", action="store_true")
    parser.option("--model-config", metavar="FILE")
    parser.option("--layers", type=parser.count, metavar="N")
    parser.option("--world-size", type=parser.count, metavar="N")


def main(args: argparse.Namespace, t: Messages) -> int:
    """Print or write the explanation; 3 where `--check` is given and there is a problem."""
    if len(args.what) > (1 if args.git else 2):
        allowed = t("explain.one_file" if args.git else "explain.two_files")
        raise UserError(t("explain.too_much"), found=args.what, allowed=allowed)
    said, text = _explain(args, t)
    if args.output:
        save_json(said, args.output) if args.json else save_text(text, args.output)
    elif args.json:
        print(json.dumps(said, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        sys.stdout.write(visible(text))
    problem = any(finding["severity"] == PROBLEM for finding in said["findings"])
    return FOUND_A_PROBLEM if args.check and problem else 0


def _explain(args: argparse.Namespace, t: Messages) -> tuple[Explanation, str]:
    """The explanation as data, and as the text that was asked for."""
    # A folder only where one is needed: a process that is killed leaves its own behind.
    exported = tempfile.TemporaryDirectory(prefix="ablation-") if args.git else nullcontext("")
    with exported as folder:
        names = {"current": "", "backup": ""}
        if args.git:
            files = revisions.export(args.git, args.what[0], Path(folder), t)
            names = {"current": args.git[1], "backup": args.git[0]}
            said = explain_bare(args, files)
        elif len(args.what) == 2:
            said = explain_bare(args, args.what)
        else:
            said = _explain_study(args)
        texts = load_texts(args.lang)
        if args.markdown:
            return said, render_comment(said, names, texts, t)
        return said, render(said, texts, args.all)


def _explain_study(args: argparse.Namespace) -> Explanation:
    study = load_study(find_study(args.what[0]), to_run=False)
    profile = Path(args.profile or f"results/{study.name}/data/profile.json")
    if args.profile and not profile.is_file():
        raise UserError("the profile does not exist", file=profile)
    rows = args.rows[0] if isinstance(args.rows, tuple) else args.rows
    return explain_study(study, None if args.without_data else profile, rows)


def explain_bare(args: argparse.Namespace, files: list[str]) -> Explanation:
    """What two files do: the current one, then the backup."""
    facts: Facts = {}
    if args.model_config:
        found = load_entries(args.model_config).plain()
        facts = found if isinstance(found, dict) else {}
    if args.layers:
        facts = {"num_hidden_layers": args.layers, **facts}
    dialects = args.dialect.get("current"), args.dialect.get("backup")
    return explain_files(files[0], files[1], facts, args.rows, args.world_size, dialects)
