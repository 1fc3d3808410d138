"""Say what a study will run, cost and be able to find, before anything runs.

python scripts/plan.py account_tax --rows 100000
python scripts/plan.py debian_sections --budget 2 --lang ko
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ablation.cli import run
from ablation.machine.gpus import cpu_cores, devices_in_use, visible_gpus
from ablation.study.forecast import plan_study
from ablation.study.forecast_text import load_texts, render
from ablation.study.grid import expand
from ablation.study.packing import CPU, GPU, Machine
from ablation.study.study import load_study, study_file
from ablation.words.catalogue import LANGUAGES

STUDIES = Path(__file__).resolve().parents[1] / "config" / "studies"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", help="a study: its name, folder or study.yaml")
    parser.add_argument("--json", action="store_true", help="write JSON")
    parser.add_argument("--budget", type=_above_zero, metavar="HOURS", help="hours of one device")
    parser.add_argument("--rows", type=_rows, help="rows of the whole data set, if not prepared")
    parser.add_argument("--sd", type=_above_zero, help="sd of a paired difference over seeds")
    parser.add_argument("--device", choices=(CPU, GPU), help="whose speed to assume")
    parser.add_argument("--devices", type=_rows, help="how many the machine has, if not this one")
    parser.add_argument("--device-gb", type=_above_zero, help="memory of each, if not this one's")
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="the language of the text")
    parser.add_argument("--results", default="results", help="the folder of all results")
    return parser.parse_args()


def _above_zero(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _rows(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def find_machine(args: argparse.Namespace) -> Machine:
    """The machine that the plan is for: this one, where the command line says nothing else."""
    gpus = visible_gpus()
    kind = args.device or (GPU if gpus else CPU)
    here = len(gpus) if kind == GPU else cpu_cores()
    memory = min((gpu.memory for gpu in gpus if gpu.memory), default=None)
    told = int(args.device_gb * 1e9) if args.device_gb else memory
    return Machine(kind, args.devices or max(1, here), told if kind == GPU else None)


def main(args: argparse.Namespace) -> None:
    path = Path(args.study)
    if path.is_dir() and (path / "study.yaml").is_file():
        path = path / "study.yaml"
    study = load_study(path if path.is_file() else study_file(args.study, STUDIES))
    results = Path(args.results) / study.name
    machine = find_machine(args)
    said = plan_study(
        study,
        results,
        device=machine.kind,
        rows=args.rows,
        sd=args.sd,
        budget=args.budget,
        machine=machine,
        begun=devices_in_use(results / "runs", (arm.variant for arm in expand(study).arms)),
    )
    if args.json:
        json.dump(said, sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
        print()
    else:
        sys.stdout.write(render(said, load_texts(args.lang)))


if __name__ == "__main__":
    run(main, parse_args)
