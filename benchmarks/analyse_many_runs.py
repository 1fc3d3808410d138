"""Time and peak memory of analyzing 10,000 runs with 10,000 test rows each.

    python benchmarks/analyse_many_runs.py                      2.4 GB in a temporary folder
    python benchmarks/analyse_many_runs.py --metric eval_loss   a number for each row

Writes the outcomes and metrics.csv of 1,000 arms with 10 seeds (a staged path, a factorial of six
factors, and tuning arms). Then does what `scripts/estimate_effects.py` does, from reading the files
to writing effects.json, and prints one line of JSON. Exits with 1 above two minutes or 2 GB.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from ablation.data.outcomes import OUTCOMES, SCHEMA
from ablation.evidence.by_row import load_by_row
from ablation.evidence.effects import save_effects
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.metrics import load_table, save_table
from ablation.evidence.outcomes import quantities
from ablation.results import Results
from ablation.study.grid import Arm, Grid

FACTORS = [f"factor{number}" for number in range(1, 7)]
SEEDS = list(range(1, 11))
ARMS = 1000
ROWS, CLASSES = 10_000, 11
METRICS = {
    "eval_accuracy": {"name": "eval_accuracy", "higher_is_better": True, "delta": 0.01},
    "eval_loss": {"name": "eval_loss", "higher_is_better": False, "delta": 0.01},
}
MOST_SECONDS, MOST_BYTES = 120.0, 2_000_000_000


def make_grid(arms: int = ARMS) -> Grid:
    """The arms of a path, all cells of the factors, and tuning arms up to so many."""
    both = ("staged", "factorial")
    found = [_arm("current", "endpoint", (), both)]
    for number, name in enumerate(FACTORS[:-1], start=1):
        on = tuple(FACTORS[:number])
        found.append(_arm(f"stage{number}-{name}", "stage", on, both, name))
    found.append(_arm("backup", "endpoint", tuple(FACTORS), both))
    taken = {frozenset(arm.stages) for arm in found}
    for size in range(1, len(FACTORS)):
        for on in combinations(FACTORS, size):
            if frozenset(on) not in taken:
                found.append(_arm(f"cell-{'+'.join(on)}", "cell", on, ("factorial",)))
    tuning = [_arm(f"grid-{i}", "grid", (), ("grid",)) for i in range(arms - len(found))]
    designs = [
        {"design": "staged", "factors": FACTORS},
        {"design": "factorial", "factors": FACTORS},
        {"design": "grid", "base": "current", "arms": [arm.name for arm in tuning]},
    ]
    return Grid("many", found + tuning, SEEDS, designs)


def _arm(
    name: str, kind: str, on: tuple[str, ...], designs: tuple[str, ...], stage: str | None = None
) -> Arm:
    settings = {"lora.r": 8, "learning_rate": 1e-3, "num_train_epochs": 2, "name": name}
    settings |= {factor: int(factor in on) for factor in FACTORS}
    return Arm(name, stage, on, settings, kind, designs, on)


def write_runs(grid: Grid, results: Results, rows: int) -> None:
    """The outcomes of every run, and metrics.csv: other quantities are normal numbers."""
    rng = np.random.default_rng(1)
    found = np.zeros(rows, dtype=SCHEMA)
    found["row"], found["label"] = np.arange(rows), rng.integers(0, CLASSES, rows)
    easy, table = rng.random(rows, dtype=np.float32), []
    for arm in grid.arms:
        for seed in grid.seeds:
            right = easy + 0.5 * rng.random(rows, dtype=np.float32) > 0.6
            found["predicted"] = np.where(right, found["label"], (found["label"] + 1) % CLASSES)
            found["loss"] = rng.standard_exponential(rows, dtype=np.float32)
            folder = results.run(arm.variant, seed)
            folder.mkdir(parents=True)
            np.save(folder / OUTCOMES, found)
            row = {"arm": arm.name, "variant": arm.variant, "seed": seed, "status": "completed"}
            for metric in METRICS.values():
                for quantity in quantities(metric).values():
                    row[quantity.column] = rng.normal(0.6, 0.02)
            row["quality.selected.eval_accuracy"] = float(right.mean())
            row["quality.selected.eval_loss"] = float(found["loss"].mean())
            table.append(row)
    results.metrics.parent.mkdir(parents=True, exist_ok=True)
    save_table(pd.DataFrame(table), results.metrics)


def parse_args() -> argparse.Namespace:
    """What to analyze."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metric", choices=METRICS, default="eval_accuracy")
    parser.add_argument("--arms", type=int, default=ARMS, help="with 10 seeds each")
    parser.add_argument("--rows", type=int, default=ROWS)
    return parser.parse_args()


def main() -> int:
    """Write, analyze, and print what that took."""
    args = parse_args()
    grid = make_grid(args.arms)
    with tempfile.TemporaryDirectory() as folder:
        results = Results(Path(folder) / "many")
        writer = multiprocessing.Process(target=write_runs, args=(grid, results, args.rows))
        writer.start()  # apart: its memory is none of the analysis
        writer.join()
        start, busy = time.perf_counter(), time.process_time()
        by_row = load_by_row(grid, results.runs, args.metric)
        read = time.perf_counter() - start
        runs = load_table(results.metrics)
        effects = estimate_effects(grid, runs, {"metric": METRICS[args.metric]}, by_row)
        save_effects(effects, results.effects)
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        size = results.effects.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {
        "runs": len(runs),
        "rows": args.rows,
        "contrasts": len(effects.contrasts),
        "scope": effects.scope.rows,
        "seconds": round(seconds, 1),
        "seconds_reading": round(read, 1),
        "cpu_seconds": round(busy, 1),
        "peak_bytes": peak,
        "effects_bytes": size,
    }
    print(json.dumps(figures))
    return int(seconds > MOST_SECONDS or peak > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
