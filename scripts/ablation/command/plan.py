"""`ablation plan`: what a study will run, cost and be able to find, before anything runs."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from ablation.command.studies import find_study
from ablation.command.words import Parser
from ablation.machine.gpus import (
    cpu_cores,
    devices_in_use,
    same_card,
    smallest_memory,
    visible_gpus,
)
from ablation.study.budget import plan_budget
from ablation.study.cards import PEAKS
from ablation.study.forecast import plan_study
from ablation.study.forecast_text import load_texts, render
from ablation.study.grid import expand, refuse_without_gpu
from ablation.study.ladder import plan_further
from ablation.study.load import load_study
from ablation.study.packing import CPU, GPU, Machine
from ablation.words.catalogue import Messages


def add_arguments(parser: Parser) -> None:
    """The arguments of `ablation plan`."""
    parser.option("study")
    parser.option("--json", action="store_true")
    parser.option("--budget", type=parser.time, metavar="TIME")
    parser.option("--rows", type=parser.count)
    parser.option("--sd", type=parser.amount)
    parser.option("--device", choices=(CPU, GPU))
    parser.option("--devices", type=parser.count)
    parser.option("--device-gb", type=parser.amount)
    parser.option("--card", choices=tuple(PEAKS), metavar="CARD")
    parser.option("--results", default="results")


def main(args: argparse.Namespace, t: Messages) -> int:
    """Print the plan."""
    study = load_study(find_study(args.study))
    results = Path(args.results) / study.name
    machine, grid = find_machine(args), expand(study)
    if machine.kind == CPU:
        refuse_without_gpu(study, grid)
    said = plan_study(
        study,
        results,
        device=machine.kind,
        rows=args.rows,
        sd=args.sd,
        machine=machine,
        begun=devices_in_use(results / "runs", (arm.variant for arm in grid.arms)),
    )
    ladder, retune = plan_further(study, results, machine, args.rows)
    said = replace(said, ladder=ladder, retune=retune)
    if args.budget is not None:
        bought = plan_budget(study, str(results), args.budget, machine, rows=args.rows, sd=args.sd)
        said = replace(said, budget=bought)
    if args.json:
        print(json.dumps(said.as_json(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        sys.stdout.write(render(said, load_texts(t.language)))
    return 0


def find_machine(args: argparse.Namespace) -> Machine:
    """The machine that the plan is for: this one, where the command line says nothing else."""
    gpus = visible_gpus()
    kind = args.device or (GPU if gpus else CPU)
    here = len(gpus) if kind == GPU else cpu_cores()
    count = args.devices or max(1, here)
    if kind != GPU:
        return Machine(kind, count)
    told = int(args.device_gb * 1e9) if args.device_gb else smallest_memory(gpus)
    return Machine(kind, count, told, args.card or same_card(gpus))
