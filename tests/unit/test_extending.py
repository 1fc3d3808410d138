"""docs/extending.md, followed word for word in a copy of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STEP = re.compile(
    r"^`(?P<file>[\w./]+)`, (?P<how>new|before|after|instead of)(?: `(?P<anchor>[^\n]+)`)?:\n\n"
    r"```python\n(?P<code>.*?)```\n",
    re.MULTILINE | re.DOTALL,
)


def section(root: Path, title: str) -> str:
    """The text of one of the page's sections."""
    page = (root / "docs/extending.md").read_text(encoding="utf-8")
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.fixture
def copy(root, tmp_path) -> Path:
    """A copy of what a user of the library has."""
    for name in ("scripts", "workflow", "config", "profiles"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "Snakefile", tmp_path)
    return tmp_path


def follow(root: Path, copy: Path, title: str) -> set[str]:
    """Do what a section says; the files that it touches."""
    steps = list(STEP.finditer(section(root, title)))
    assert steps
    for step in steps:
        path, code = copy / step["file"], step["code"]
        if step["how"] == "new":
            assert not path.exists()
            path.write_text(code, encoding="utf-8")
            continue
        text, anchor = path.read_text(encoding="utf-8"), f"\n{step['anchor']}"
        assert text.count(f"{anchor}\n") == 1, (step["file"], anchor)
        place = text.index(f"{anchor}\n") + 1
        end = place + len(anchor)
        start, stop = {"before": (place, place), "after": (end, end)}.get(step["how"], (place, end))
        path.write_text(text[:start] + code + text[stop:], encoding="utf-8")
    return {step["file"] for step in steps}


def run(copy: Path, code: str) -> str:
    """What a program says in the copy."""
    environment = {**os.environ, "PYTHONPATH": str(copy / "scripts"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def touched(root: Path, title: str) -> int:
    """How many files the page's table says that something touches."""
    page = (root / "docs/extending.md").read_text(encoding="utf-8")
    return int(re.search(rf"^\| {title.lower()} \| (\d) \|$", page, re.MULTILINE)[1])


def test_a_finding_is_one_file(root, copy):
    assert len(follow(root, copy, "A finding")) == touched(root, "A finding")
    (copy / "a.yaml").write_text("learning_rate: 1.0e-4\nlora: {r: 8, lora_dropout: 0.1}\n")
    (copy / "b.yaml").write_text("learning_rate: 1.0e-4\nlora: {r: 8, lora_dropout: 0.05}\n")
    program = "from ablation.command.main import main; main(['explain', 'a.yaml', 'b.yaml'{}])"
    assert "dropout differs: 0.1 against 0.05" in run(copy, program.format(""))
    assert "어댑터 드롭아웃이 다르다" in run(copy, program.format(", '--lang', 'ko'"))


def test_a_figure_is_two_files(root, copy):
    assert len(follow(root, copy, "A figure")) == touched(root, "A figure")
    program = """
from matplotlib.figure import Figure
from ablation.report.figures import figures_of
from ablation.report.figures.figure import Drawing, load_figure
import pandas as pd
histories = {"current": {1: pd.DataFrame({"step": [1, 2], "loss": [2.0, 1.5]})}}
load_figure("final_losses").draw(
    figure := Figure(), Drawing(sources=None, histories=histories, rows={})
)
print(figures_of([]), figure.axes[0].lines[0].get_xdata())
"""
    told = run(copy, program)
    assert "'final_losses'" in told and "1.5" in told


def test_a_language_is_two_files(root, copy):
    files = follow(root, copy, "A language") | {"scripts/ablation/words/ja.yaml"}
    assert len(files) == touched(root, "A language")
    words = copy / "scripts/ablation/words"
    text = (words / "en.yaml").read_text(encoding="utf-8")
    heading = 'no_differences: "'
    assert heading in text
    text = text.replace(heading, f"{heading}(ja) ", 1)
    beside = 'beside:\n  design:\n    staged: ["(ja) staged"]\n'
    (words / "ja.yaml").write_text(f"{text}\n{beside}", encoding="utf-8")
    (copy / "a.yaml").write_text("learning_rate: 1.0e-4\nlora: {r: 8}\n")
    program = """
from ablation.command.main import main
from ablation.designs import DESIGNS
from ablation.words.catalogue import texts_beside
from ablation.results import report_name
main(["explain", "a.yaml", "a.yaml", "--lang", "ja"])
print(texts_beside("design", "staged", DESIGNS["staged"].answers, "ja"), report_name("ja"))
"""
    told = run(copy, program)
    assert "(ja) " in told and "('(ja) staged',) report.ja" in told


def test_a_design_is_two_files(root, copy):
    assert len(follow(root, copy, "A design")) == touched(root, "A design")
    study = copy / "config/studies/account_tax/study.yaml"
    text = study.read_text(encoding="utf-8")
    assert "\ndesigns:" not in text
    study.write_text(text + "\ndesigns: [leave_two_out]\n", encoding="utf-8")
    program = """
from ablation.evidence.contrast import contrasts_of
from ablation.study.grid import expand
from ablation.study.load import load_study
grid = expand(load_study("config/studies/account_tax/study.yaml"))
print([c.id for c in contrasts_of(grid) if c.design == "leave_two_out"])
"""
    told = run(copy, program)
    assert told.count("without:") == 3


def test_a_dialect_is_two_files(root, copy):
    assert len(follow(root, copy, "A dialect")) == touched(root, "A dialect")
    fit = "fit: {{rate: {rate}, passes: 3, rows: 4, model: a/b}}\nlora: {{r: 8, lora_alpha: 16}}\n"
    (copy / "a.yaml").write_text(fit.format(rate="1.0e-4"))
    (copy / "b.yaml").write_text(fit.format(rate="2.0e-4"))
    program = "from ablation.command.main import main; main(['explain', 'a.yaml', 'b.yaml'])"
    told = run(copy, program)
    assert "little_trainer" in told and "learning_rate" in told and "Nothing differs" not in told
