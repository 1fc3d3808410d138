"""What the analysis writes of three studies, byte for byte as it stands in the folders here.

A change that is meant: `pytest tests/golden --rewrite-golden`, then read `git diff tests/golden`.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from golden.studies import DEFAULT, REPORTS, STUDIES, outputs
from hunks import apply_hunks
from synthetic import TRAINING

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", STUDIES)
def test_the_analysis_of_a_study_is_as_it_was(name, tmp_path, request):
    found, folder = outputs(name, tmp_path), HERE / name
    if request.config.getoption("rewrite_golden"):
        shutil.rmtree(folder, ignore_errors=True)
        for file, text in found.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, encoding="utf-8")
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert files == set(found)
    changed = [file for file in found if (folder / file).read_text("utf-8") != found[file]]
    assert changed == [], "pytest tests/golden --rewrite-golden, and read the difference"


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("name", STUDIES)
def test_the_reports_hunks_applied_are_the_recommended_file(name, report):
    current = (DEFAULT / "training.yml").read_text() if name == "default" else TRAINING
    text = (HERE / name / report).read_text(encoding="utf-8")
    diff = re.search(r"^```diff\n(--- a/training.yml\n.*?)^```$", text, re.M | re.S)[1]
    recommended = (HERE / name / "recommended" / "training.yml").read_text(encoding="utf-8")
    assert apply_hunks(current, diff) == recommended != current
    assert diff in (HERE / name / "recommended" / "training.patch").read_text(encoding="utf-8")
