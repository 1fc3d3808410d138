"""The figures of docs/statistics.md, from benchmarks/evidence.json (`simulate_evidence.py`).

python benchmarks/draw_evidence.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("svg")
from matplotlib import pyplot
from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
Draw = Callable[[Axes], None]
BLUE, ORANGE, GRAY = "#1f5fa8", "#c8641b", "#6b7280"


def draw_coverage(axes: Axes, by_rows: dict[str, Any]) -> None:
    """How often both intervals hold for new rows, by the number of seeds."""
    for rows, style in (("450", "-"), ("10000", "--")):
        seeds = [int(n) for n in by_rows[rows]]
        for key, color, name in (
            ("floored", BLUE, "seeds and rows"),
            ("seeds_only", ORANGE, "seeds alone"),
        ):
            values = [one[key] for one in by_rows[rows].values()]
            label = f"{name}, {int(rows):,} rows"
            axes.plot(seeds, values, style, color=color, marker="o", markersize=4, label=label)
    axes.axhline(0.95, color=GRAY, linewidth=0.8)
    axes.set(xlabel="Seeds", xticks=[3, 4, 5, 8], ylim=(0.78, 1.0))
    axes.set_title("95% intervals that hold for new rows", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="lower left")


def draw_power(axes: Axes, powers: dict[str, Any]) -> None:
    """How often a step of 2 SD is found, with the common variance and without."""
    for key, color, style, name in (
        ("all real, moderated", BLUE, "--", "shared variance, all steps real"),
        ("one real, moderated", BLUE, "-", "shared variance, one step real"),
        ("all real, alone", ORANGE, "--", "each alone, all steps real"),
        ("one real, alone", ORANGE, "-", "each alone, one step real"),
    ):
        seeds = [int(n) for n in powers[key]]
        values = list(powers[key].values())
        axes.plot(seeds, values, style, color=color, marker="o", markersize=4, label=name)
    axes.set(xlabel="Seeds", xticks=[3, 4, 5], ylim=(0.0, 1.0))
    axes.set_title("Studies in which a step of 2 SD is found", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def draw_sizes(axes: Axes, found: dict[str, Any]) -> None:
    """Effects by rows, and what smaller sizes tell of all rows, on average."""
    for place, (name, color) in enumerate(
        (
            ("grows as the logarithm", BLUE),
            ("levels off at 10,000", ORANGE),
            ("fades as a power", GRAY),
        )
    ):
        one = found[name]
        rows = [int(size) for size in one["truth"]]
        effects = [100 * value for value in one["truth"].values()]
        axes.plot(rows[:-1], effects[:-1], color=color, marker="o", markersize=4)
        axes.plot(rows[-2:], effects[-2:], ":", color=color)
        told, ends = 100 * one["estimate"], (100 * one["low"], 100 * one["high"])
        beside = rows[-1] * 1.25**place  # so that intervals do not hide each other
        axes.vlines(beside, *ends, color=color)
        label = f"{name}: held in {one['held']:.0%}"
        axes.plot(beside, told, "s", color=color, markersize=5, label=label)
    axes.axhline(0, color=GRAY, linewidth=0.8)
    axes.set(xscale="log", xlabel="Training rows", ylabel="Effect (points)", ylim=(-3.5, 11))
    axes.set_title("Trained on up to 10,000 rows, told for 60,000", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def draw_tuned(axes: Axes, found: dict[str, dict[str, float]]) -> None:
    """A step of 1 SD whose one side has a rate that is off, plain and between tuned sides."""
    off = [2 ** float(one) for one in found]
    tuned = np.array([one["tuned"] for one in found.values()])
    sd = np.array([one["sd"] for one in found.values()])
    axes.plot(off, [one["plain"] for one in found.values()], color=ORANGE, label="plain step")
    axes.plot(off, tuned, color=BLUE, label="between tuned sides")
    axes.fill_between(off, tuned - sd, tuned + sd, color=BLUE, alpha=0.15, linewidth=0)
    axes.axhline(1, color=GRAY, linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set(xlabel="One side's learning rate, times its best", ylabel="Step measured (SD)")
    axes.set(xticks=[0.25, 0.5, 1, 2, 4], xticklabels=["1/4", "1/2", "1", "2", "4"], ylim=(-4, 2))
    axes.set_title("A step of 1 SD where one side is not tuned", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="lower center")


def save(name: str, left: Draw, right: Draw) -> None:
    """Two drawings side by side, in docs/."""
    pyplot.rcParams["svg.hashsalt"] = name
    figure, both = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axes, draw in zip(both, (left, right), strict=True):
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(DOCS / f"{name}.svg", metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    """Draw docs/statistics.svg and docs/statistics-designs.svg."""
    found = json.loads((ROOT / "benchmarks" / "evidence.json").read_text())
    coverage, powers = found["coverage_of_rows"], found["power_at_2_sd"]
    save("statistics", partial(draw_coverage, by_rows=coverage), partial(draw_power, powers=powers))
    sizes, tuned = found["sizes"], found["tuned_sides"]
    save("statistics-designs", partial(draw_sizes, found=sizes), partial(draw_tuned, found=tuned))


if __name__ == "__main__":
    main()
