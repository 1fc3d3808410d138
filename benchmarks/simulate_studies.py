"""A table of how often the statistics are right, over simulated studies whose truth is known.

    python benchmarks/simulate_studies.py               some minutes
    python benchmarks/simulate_studies.py --studies 200 a glance

Effects are in standard deviations of a paired difference. The test suite has the figures that must
hold; this prints what happens around them, and where assumptions fail.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(ROOT / "tests"))

import simulated
from simulated import Plan

from ablation.evidence import sequential
from ablation.study.power import LOOKS as DEFAULT_LOOKS
from ablation.study.power import SPENDINGS

SEEDS = (3, 5, 8, 12)
LOOKS = ((3, 5, 8), (3, 5, 8, 12), DEFAULT_LOOKS)
Row = tuple[str, str]
Noise = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def _binomial(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Accuracy on 300 test rows, differences in units of their standard deviation."""
    sides = [rng.binomial(300, rate, shape) / 300 for rate in (0.6, 0.6)]
    return (sides[0] - sides[1]) / np.sqrt(2 * 0.6 * 0.4 / 300)


NOISES: dict[str, Noise] = {
    "normal": lambda rng, shape: rng.normal(0, 1, shape),
    "accuracy of 300 rows": _binomial,
    "heavy tails (t, 3 df)": lambda rng, shape: rng.standard_t(3, shape),
    "skewed (exponential)": lambda rng, shape: rng.exponential(1, shape) - 1,
    "one seed in ten diverges": lambda rng, shape: (
        rng.normal(0, 1, shape) - 20 * (rng.random(shape) < 0.1) + 2
    ),
}


def coverage(studies: int) -> Iterator[Row]:
    """How often 95 % intervals cover the mean."""
    for name, noise in NOISES.items():
        found = []
        for n in SEEDS:
            draws = noise(np.random.default_rng(n), (4 * studies, n))
            ends = np.array([simulated.t_interval(row) for row in draws])
            found.append(f"n={n} {np.mean((ends[:, 0] <= 0) & (ends[:, 1] >= 0)):.3f}")
        yield f"95 % interval covers: {name}", "  ".join(found)


def false_effects(studies: int) -> Iterator[Row]:
    """How often any of seven stages that do nothing is called an effect."""
    found = []
    for n in SEEDS:
        every = simulated.simulate(Plan([0.0] * 7, n, studies, seed=n))
        wrong = [any(e.significant for _, e in simulated.weigh(d).values()) for d in every]
        found.append(f"n={n} {np.mean(wrong):.3f}")
    yield "any false effect of 7 + gap: Holm", "  ".join(found)
    for spending in SPENDINGS:
        for looks in LOOKS:
            plan = sequential.LookPlan(looks, spending=spending, families=8)
            wrong = []
            for differences in simulated.simulate(Plan([0.0] * 7, looks[-1], studies, seed=31)):
                found = [sequential.decide(c, plan).status for c in differences.T]
                wrong.append(bool({"superior", "inferior"} & set(found)))
            yield f"any false effect of 7 + gap: {spending} {looks}", f"{np.mean(wrong):.3f}"


def single_cause(studies: int) -> Iterator[Row]:
    """One cause of 3 SD among seven stages, five seeds."""
    every = list(simulated.simulate(Plan([0, 0, 3, 0, 0, 0, 0], 5, studies, seed=2)))
    first = np.mean([np.abs(d[:, :7].mean(axis=0)).argmax() == 2 for d in every])
    yield "one cause of 3 SD, 5 seeds: ranked first", f"{first:.3f}"
    for delta in (0.1, 0.3, 0.6):
        found = [simulated.impacts(d, delta)["stage:3"] for d in every]
        helps = np.mean([impact.direction == "helps" for impact in found])
        high = np.mean([impact.possible == ("HIGH",) for impact in found])
        told = f"helps {helps:.3f}  surely HIGH (above {5 * delta:g} SD) {high:.3f}"
        yield f"one cause of 3 SD, 5 seeds, delta {delta:g} SD", told


def looks(studies: int) -> Iterator[Row]:
    """Seeds added until it is decided, against the most seeds at once."""
    cases = [
        ("all 3 SD", [3.0] * 7, 0.5),
        ("all 5 SD", [5.0] * 7, 0.5),
        ("one 3 SD", [0, 0, 3, 0, 0, 0, 0], 2.0),
        ("one 5 SD", [0, 0, 5, 0, 0, 0, 0], 2.0),
        ("one 5 SD", [0, 0, 5, 0, 0, 0, 0], 1.0),
        ("all 1 SD", [1.0] * 7, 0.5),
    ]
    for at in LOOKS:
        for spending in SPENDINGS:
            for name, effects, delta in cases:
                plan = sequential.LookPlan(at, spending=spending, delta=delta, families=8)
                every = simulated.simulate(Plan(effects, at[-1], studies, seed=3))
                found = [simulated.compare_looks(study, plan) for study in every]
                pairs = [zip(one.statuses, one.fixed, strict=True) for one in found]
                claims = np.mean([a == b for pair in pairs for a, b in pair])
                whole = np.mean([one.statuses == one.fixed for one in found])
                runs = np.mean([one.runs for one in found])
                told = f"claims {claims:.3f}  studies {whole:.3f}  runs {runs:.2f}"
                yield f"looks {at} {spending}, {name}, delta {delta:g}: same verdicts", told


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies a line")
    studies = parser.parse_args().studies
    for part in (coverage, false_effects, single_cause, looks):
        for label, figures in part(studies):
            print(f"{label:<72} {figures}", flush=True)


if __name__ == "__main__":
    main()
