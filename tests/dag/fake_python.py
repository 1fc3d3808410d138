"""Stands in for training in DAG tests: writes what a run leaves behind, with planted effects."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

GRIDS = ("grid", "candidates")
FAILURE = """error: the training job ended without metrics.json; its last lines:
Traceback (most recent call last):
  File "train.py", line 1, in <module>
  RuntimeError: the disk of the run is <full> | `no` room
[2026-01-01] [ERROR] [launch.py:325:sigkill_handler] exits with return code = 1"""


def option(name: str) -> str:
    return sys.argv[sys.argv.index(name) + 1]


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")  # whole or not there, as the real ones
    partial.write_text(json.dumps(content))
    partial.replace(path)


def prepare_model(results: Path) -> None:
    write(results / "model/model.json", {})


def prepare_data(results: Path) -> None:
    for name in ("train", "validation", "test"):
        (results / "data" / name).mkdir(parents=True, exist_ok=True)
    write(results / "data/labels.json", [])
    rows = dict.fromkeys(("read", "without_label", "empty_text", "single_row_classes"), 0)
    profile = {
        "rows": rows | {"train": 8, "validation": 1, "test": 2},
        "tokens": {"mean": 4.0, "median": 4, "p95": 5, "p99": 6, "max": 6, "histogram": {}},
        "num_labels": 2,
        "label_counts": [4, 4],
        "special_tail": [],
    }
    write(results / "data/profile.json", profile)


def cache_prefix(results: Path) -> None:
    write(results / "prefix/prefix.json", {})


def train_run(results: Path) -> None:
    effects = json.loads(os.environ["PLANTED"])
    variant, seed = option("--variant"), option("--seed")
    grids = (json.loads(path.read_text()) for path in results.glob("*.json") if path.stem in GRIDS)
    arm = next(arm for grid in grids for arm in grid["arms"] if arm["variant"] == variant)
    write(results / f"runs/{variant}/seed-{seed}/config.json", {})
    print("training", flush=True)
    seconds = float(os.environ["SECONDS"])
    if seconds > 60:  # a long run saves and stops when it is asked to; that may take long, too
        saved = seconds < 60_000
        signal.signal(signal.SIGURG, lambda number, frame: saved and sys.exit(128 + number))
    time.sleep(seconds)
    if any(fnmatch(f"{arm['arm']}/{seed}", name) for name in json.loads(os.environ["FAILING"])):
        sys.exit(FAILURE)
    noise = random.Random(f"{variant}/{seed}").gauss(0, effects["noise"])
    accuracy = 0.5 + sum(effects.get(name, 0.0) for name in arm["stages"]) + noise
    block = {"epoch": 1.0, "eval_accuracy": accuracy, "eval_loss": 1 - accuracy}
    metrics = {
        "schema_version": 1,
        "status": "completed",
        "environment": {},
        "data": {},
        "quality": {"selected": "final", "final": block, "best": block},
        "optimisation": {},
        "cost": {},
    }
    write(results / f"runs/{variant}/seed-{seed}/metrics.json", metrics)


if __name__ == "__main__":
    rules = (prepare_model, prepare_data, cache_prefix, train_run)
    {rule.__name__: rule for rule in rules}[Path(sys.argv[1]).stem](Path(option("--results")))
