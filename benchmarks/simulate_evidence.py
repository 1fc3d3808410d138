"""The gates of the statistics: false effects, power, coverage, recommendations, and looks.

    python benchmarks/simulate_evidence.py                 some minutes
    python benchmarks/simulate_evidence.py --studies 1000  a glance

Seeds are fixed. Writes benchmarks/evidence.json; docs/statistics.md shows its figures.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import simulated

from ablation.study.power import LOOKS, SPENDINGS

SEEDS = (3, 4, 5, 8)
ROWS = (450, 2000, 10_000)
ARMS = 5
OTHER_ARMS = {
    f"arm {arm + 1} {t}x": simulated.noisier(arm, times=t)
    for arm, t in ((0, 5), (3, 5), (2, 3), (2, 10))
} | {
    f"arms {', '.join(str(arm + 1) for arm in arms)} 5x": simulated.noisier(*arms)
    for arms in ((0, 2), (1, 3), (3, 4), (0, 2, 4))
}


def false_effects(studies: int) -> dict[str, dict[str, float]]:
    """The share of studies with any false effect at a fixed number of seeds, by noise."""
    return {
        name: {str(n): simulated.false_effects(noise, n, studies) for n in SEEDS}
        for name, noise in simulated.NOISES.items()
    }


def false_beside_effects(studies: int) -> dict[str, dict[str, float]]:
    """The same beside others that are large and real, the worst of what can be real."""
    return {
        name: {str(n): simulated.false_beside_effects(noise, n, studies) for n in SEEDS}
        for name, noise in (simulated.NOISES | OTHER_ARMS).items()
    }


def false_in_families(studies: int) -> dict[str, dict[str, dict[str, float]]]:
    """The same in families of other sizes, and of contrasts of more than two arms."""
    return {
        name: {
            noise: {
                str(n): simulated.false_beside_effects(drawn, n, studies, weights=weights)
                for n in (3, 5, 8)
            }
            for noise, drawn in (
                ("normal", simulated.NOISES["normal"]),
                ("skewed", simulated.NOISES["skewed"]),
                ("one arm 5x", simulated.noisier(0)),
                ("two arms 5x", simulated.noisier(0, weights.shape[1] // 2)),
            )
        }
        for name, weights in simulated.FAMILIES.items()
    }


def false_with_looks(studies: int) -> dict[str, dict[str, float]]:
    """The same with looks, beside others that are large and real."""
    return {
        f"{', '.join(map(str, at))} {spending}": {
            name: simulated.false_with_looks(noise, at, spending, studies)
            for name, noise in (simulated.NOISES | OTHER_ARMS).items()
        }
        for at in ((3, 5, 8), LOOKS)
        for spending in SPENDINGS
    }


def recommendations(studies: int) -> dict[str, dict[str, dict[str, float]]]:
    """What is recommended, where the gain comes from one step or all."""
    return {
        shape: {str(n): simulated.recommendations(steps, n, studies) for n in (3, 4, 5)}
        for shape, steps in simulated.SHAPES.items()
    }


def powers(studies: int) -> dict[str, dict[str, float]]:
    """How often a step of 2 SD is found, moderated and alone, one real step or all of them."""
    return {
        f"{steps} real, {'alone' if alone else 'moderated'}": {
            str(n): simulated.power(2.0, n, studies, alone=alone, steps=steps) for n in (3, 4, 5)
        }
        for steps in ("one", "all")
        for alone in (True, False)
    }


def with_looks(
    noise: str, effect: float, at: tuple[int, ...], spending: str, studies: int, *, today: bool
) -> tuple[float, float, float]:
    """False or true effects found, runs of an arm, and seeds of the study, over many studies.

    `today` is the rule before: each contrast alone, Bonferroni over steps and gap.
    """
    weights = simulated.path_weights(ARMS)[: ARMS if today else None]
    size, sets = len(weights), simulated.path_together(ARMS)
    levels = effect * np.arange(ARMS)
    drawn = simulated.NOISES[noise](np.random.default_rng(5), (studies, at[-1], ARMS)) + levels
    done, seeds = np.zeros((studies, size), bool), np.full((studies, size), at[-1])
    shown = np.zeros((len(sets.equal), studies), bool)
    for number, n in enumerate(at):
        limit = simulated.limits_at(at, number, spending)
        if today:
            now = done | (simulated.weighed(drawn[:, :n], weights, 0).p <= limit(size))
        else:
            shown |= simulated.shown(drawn[:, :n], limit)
            now = done | simulated.effects(shown, sets)
        seeds[now & ~done], done = n, now
    needed = np.stack([seeds[:, weights[:, arm] != 0].max(axis=1) for arm in range(ARMS)], axis=1)
    steps = done[:, : ARMS - 1].mean() if effect else done.any(axis=1).mean()
    return float(steps), float(needed.mean()), float(seeds.max(axis=1).mean())


def looks(studies: int) -> dict[str, dict[str, float]]:
    """False effects with looks, and the runs that they save against the rule before."""
    found: dict[str, dict[str, float]] = {}
    for at in ((3, 5, 8), LOOKS):
        for spending in SPENDINGS:
            row = {
                f"false, {noise}": with_looks(noise, 0.0, at, spending, studies, today=False)[0]
                for noise in simulated.NOISES
            }
            for effect in (2.0, 3.0):
                before = with_looks("normal", effect, at, spending, studies, today=True)
                now = with_looks("normal", effect, at, spending, studies, today=False)
                row |= {
                    f"{effect:g} SD, runs before": before[1],
                    f"{effect:g} SD, runs": now[1],
                    f"{effect:g} SD, saved": 1 - now[1] / before[1],
                    f"{effect:g} SD, power before": before[0],
                    f"{effect:g} SD, power": now[0],
                }
            found[f"{', '.join(map(str, at))} {spending}"] = row
    return found


def coverage(studies: int) -> dict[str, dict[str, dict[str, float]]]:
    """How often 95 % intervals hold the truth on new rows, and on these."""
    return {
        str(rows): {str(n): simulated.row_coverage(n, rows, studies) for n in SEEDS}
        for rows in ROWS
    }


def shared_coverage(studies: int) -> dict[str, dict[str, float]]:
    """The same on new rows in a study of five arms, with the variance that they share."""
    return {
        str(rows): {str(n): simulated.shared_coverage(n, rows, studies) for n in (3, 4, 5)}
        for rows in ROWS
    }


def advice(studies: int) -> dict[str, dict[str, dict[str, float]]]:
    """False effects in any report of who adds the seeds that each report asks for."""
    return {
        noise: {str(n): simulated.following_advice(noise, n, studies) for n in (3, 4, 5)}
        for noise in ("normal", "one arm 5x")
    }


def moderated_coverage(studies: int) -> dict[str, dict[str, float]]:
    """How often an effect's own interval on these rows holds the truth."""
    return {str(n): simulated.moderated_coverage(n, studies) for n in SEEDS}


def ladders(studies: int) -> dict[str, dict[str, Any]]:
    """What sizes of the training data tell of all rows, by how effects go on."""
    sizes = [*simulated.SIZES, simulated.ALL_ROWS]
    return {
        name: {"truth": {str(rows): truth(math.log10(rows)) for rows in sizes}}
        | simulated.ladder(name, studies)
        for name, truth in simulated.TRUTHS.items()
    }


def tuned(studies: int) -> dict[str, dict[str, float]]:
    """A step of 1 SD, plain and between tuned sides, by how far one side's rate is off."""
    return {
        f"{off:g}": simulated.tuned_sides(off, 4, studies)
        for off in (-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2)
    }


# Each part, and how many times the studies that are asked for it takes.
PARTS = {
    "false_effects": (false_effects, 5.0),
    "false_effects_beside_large_ones": (false_beside_effects, 25.0),
    "false_effects_in_families": (false_in_families, 0.5),
    "false_effects_with_looks": (false_with_looks, 5.0),
    "power_at_2_sd": (powers, 5.0),
    "recommendations": (recommendations, 5.0),
    "following_advice": (advice, 2.0),
    "moderated_coverage": (moderated_coverage, 5.0),
    "looks": (looks, 1.0),
    "coverage_of_rows": (coverage, 1.0),
    "shared_coverage_of_rows": (shared_coverage, 0.0875),
    "sizes": (ladders, 0.125),
    "tuned_sides": (tuned, 1.0),
}


def main() -> None:
    """Simulate, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=8000)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "evidence.json")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    figures = json.loads(args.output.read_text()) if args.output.exists() else {}
    kept = figures.get("studies", {})
    for name in args.only:
        part, times = PARTS[name]
        studies = int(times * args.studies)
        figures[name] = part(studies)
        figures["studies"] = kept = {**kept, name: studies}
        print(name, json.dumps(figures[name], indent=1), flush=True)
        args.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
