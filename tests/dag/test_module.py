"""The workflow within another one's Snakefile, as Snakemake's modules have it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from faked import ROOT, FakedStudy

pytestmark = pytest.mark.dag
OUTER = """
module ablation:
    snakefile: "{root}/{snakefile}"
    config: {{"studies": "{folder}", "study": "account_tax", "devices_per_run": 1}}

use rule * from ablation{names}

rule read_it:
    default_target: True
    input: "results/account_tax/resolved/differences.json", {target}
    output: "own.txt"
    shell: "cp {{input[0]}} {{output}}"
"""


def outer(
    faked: FakedStudy,
    snakefile: str,
    names: str,
    target: str,
    *arguments: str,
    failing: str = "",
    before: str = "",
):
    """Run a Snakefile that uses ours, in a folder of its own."""
    options = {"root": ROOT, "snakefile": snakefile, "folder": faked.folder}
    text = OUTER.format(names=names, target=target, **options)
    (faked.folder / "Snakefile").write_text(before + text)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    environment = faked.environment({"noise": 0.01}, [failing])
    return subprocess.run(
        command, cwd=faked.folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("names", ["", " as ablation_*"])
def test_its_rules_can_be_used_from_another_snakefile(faked, names):
    every = '"results/account_tax/report.md"'
    planned = outer(faked, "Snakefile", names, every, "-n")
    assert planned.returncode == 0, planned.stderr
    told = planned.stdout + planned.stderr
    prefix = "ablation_" * bool(names)
    assert told.count(f"rule {prefix}train_run:") == 15 and f"rule {prefix}expand_grid:" in told
    assert told.count("study account_tax: 5 arms x 3 seeds") == 1


def test_they_run_from_there_and_write_what_they_say(faked):
    done = outer(faked, "workflow/Snakefile", "", '"results/account_tax/grid.csv"')
    assert done.returncode == 0, done.stderr
    assert '"lora.r"' in (faked.folder / "own.txt").read_text()
    assert (faked.results / "grid.csv").is_file()


def test_a_failed_run_has_its_partial_report_there_too(faked):
    faked.write(seeds="[1]")
    own = "onerror: shell('touch told.txt')\n"
    target = '"results/account_tax/report.md"'
    failed = outer(
        faked, "Snakefile", " as ablation_*", target, "--keep-going", failing="backup/1", before=own
    )
    assert failed.returncode != 0
    assert "seed 1: failed." in (faked.results / "partial/report.md").read_text(), failed.stderr
    assert (faked.folder / "told.txt").is_file()  # its own handler stays
