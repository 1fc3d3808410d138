"""Time and peak memory of analysing 10,000 runs; exits with 1 above 30 s or 1 GB.

    python benchmarks/analyse_many_runs.py

Makes a table of 1,000 arms with 10 seeds (a staged path, a factorial of six factors, and
tuning arms), estimates every effect as the workflow does, and prints one line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from ablation.evidence.estimate import estimate_effects
from ablation.evidence.outcomes import quantities
from ablation.records import to_plain
from ablation.study.grid import Arm, Grid

FACTORS = [f"factor{number}" for number in range(1, 7)]
SEEDS = list(range(1, 11))
ARMS = 1000
METRIC = {"name": "eval_accuracy", "higher_is_better": True, "delta": 0.01}
MOST_SECONDS, MOST_BYTES = 30.0, 1_000_000_000


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


def make_runs(grid: Grid) -> pd.DataFrame:
    """A metrics.csv of the grid: every quantity a normal number."""
    rng = np.random.default_rng(1)
    arms = [(arm.name, arm.variant) for arm in grid.arms for _ in grid.seeds]
    table = pd.DataFrame(arms, columns=["arm", "variant"])
    table["seed"] = grid.seeds * len(grid.arms)
    table["status"] = "completed"
    for quantity in quantities(METRIC).values():
        table[quantity.column] = rng.normal(0.6, 0.02, len(table))
    return table


def main() -> int:
    """Analyse, and print what it took."""
    grid = make_grid()
    runs = make_runs(grid)
    start = time.perf_counter()
    effects = estimate_effects(grid, runs, {"metric": METRIC})
    text = json.dumps(to_plain(effects), allow_nan=False)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {
        "runs": len(runs),
        "contrasts": len(effects.contrasts),
        "seconds": round(seconds, 1),
        "peak_bytes": peak,
        "effects_bytes": len(text),
    }
    print(json.dumps(figures))
    return int(seconds > MOST_SECONDS or peak > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
