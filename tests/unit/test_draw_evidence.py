"""The figures of docs/statistics.md are drawn from the simulated figures that are kept."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[2]


def test_the_figures_of_the_statistics_are_drawn_from_what_was_simulated(monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, path, **_: drawn.setdefault(Path(path).name, figure)
    )
    runpy.run_path(str(ROOT / "benchmarks" / "draw_evidence.py"), run_name="__main__")
    text = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    assert sorted(drawn) == ["statistics-designs.svg", "statistics.svg"]
    for name, figure in drawn.items():
        assert (ROOT / "docs" / name).is_file() and f"({name})" in text
        assert all(axes.lines and axes.get_title() for axes in figure.axes)


@pytest.mark.parametrize("part", ["coverage_of_rows", "power_at_2_sd", "sizes", "tuned_sides"])
def test_every_part_says_how_many_studies_it_took(part):
    found = json.loads((ROOT / "benchmarks" / "evidence.json").read_text(encoding="utf-8"))
    assert found["studies"][part] > 0
    assert set(found["studies"]) == set(found) - {"studies"}
