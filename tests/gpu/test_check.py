"""The GPU check itself: the whole of it on a GPU, and its program without one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ablation.machine.gpus import visible_gpus

PROGRAM = Path(__file__).with_name("check.py")


def check(folder: Path, *options: str) -> dict[str, dict[str, str]]:
    """The rows of a check by name."""
    command = [sys.executable, str(PROGRAM), "--output", str(folder), *options]
    subprocess.run(command, check=False, timeout=1500)
    rows = json.loads((folder / "check.json").read_text())["rows"]
    return {row["name"]: row for row in rows}


@pytest.mark.gpu
@pytest.mark.skipif(not visible_gpus(), reason="no GPU is visible on this machine")
def test_every_row_of_the_check_is_as_expected(tmp_path):
    rows = check(tmp_path)
    assert {n: r["seen"] for n, r in rows.items() if r["state"] in ("failed", "not met")} == {}


@pytest.mark.e2e
def test_without_a_gpu_a_short_time_leaves_out_by_name_what_it_does_not_do(tmp_path):
    rows = check(tmp_path, "--dry", "--minutes", "0.01")
    assert {row["state"] for row in rows.values() if row["topic"] != "packages"} == {"left out"}
    assert rows["one holder"]["seen"] == "needs CUDA"
    assert "may take" in rows["the same training"]["seen"]
    table = (tmp_path / "check.md").read_text()
    assert all(f"| {name} |" in table for name in rows)
    assert "dry run: yes" in table
