"""Stands in for training in DAG tests: writes what a run leaves behind, with planted effects."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

FAILURE = """Traceback (most recent call last):
  File "train.py", line 1, in <module>
RuntimeError: the disk of the run is <full> | `no` room
[2026-01-01] [ERROR] [launch.py:325:sigkill_handler] exits with return code = 1"""


def option(name: str) -> str:
    return sys.argv[sys.argv.index(name) + 1]


def prepare_model(folder: Path) -> None:
    (folder / "model.json").write_text("{}")


def prepare_data(folder: Path) -> None:
    for name in ("train", "validation", "test"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "labels.json").write_text("[]")
    rows = dict.fromkeys(("read", "without_label", "empty_text", "single_row_classes"), 0)
    profile = {
        "rows": rows | {"train": 8, "validation": 1, "test": 2},
        "tokens": {"mean": 4.0, "median": 4, "p95": 5, "p99": 6, "max": 6, "histogram": {}},
        "num_labels": 2,
        "label_counts": [4, 4],
        "special_tail": [],
    }
    (folder / "profile.json").write_text(json.dumps(profile))


def cache_prefix(folder: Path) -> None:
    (folder / "prefix.json").write_text("{}")


def train_run(folder: Path) -> None:
    effects = json.loads(os.environ["PLANTED"])
    grid = json.loads(Path(option("--grid")).read_text())
    variant, seed = option("--variant"), option("--seed")
    arm = next(arm for arm in grid["arms"] if arm["variant"] == variant)
    print("training", flush=True)
    time.sleep(float(os.environ["SECONDS"]))
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
    (folder / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    output = Path(option("--output"))
    output.mkdir(parents=True, exist_ok=True)
    rules = (prepare_model, prepare_data, cache_prefix, train_run)
    {rule.__name__: rule for rule in rules}[Path(sys.argv[1]).stem](output)
