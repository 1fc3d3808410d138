"""A study whose training is faked, so that Snakemake's part of the work can be seen in seconds."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FAKE = ROOT / "tests/dag/fake_python.py"
SHIM = """#!/bin/sh
case "$1" in
  *prepare_model.py|*prepare_data.py|*cache_prefix.py|*train_run.py) exec {python} -S {fake} "$@" ;;
  *) exec {python} "$@" ;;
esac
"""


class FakedStudy:
    """A copy of the source study with data, whose rules that train write planted effects.

    Attributes:
        folder: The working folder; the study is in account_tax/.
        results: The study's results.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results/account_tax"
        copied = Path(shutil.copytree(ROOT / "config/studies/account_tax", folder / "account_tax"))
        self.file = copied / "study.yaml"
        self.original = re.sub(r"path: null .*", "path: rows.csv", self.file.read_text())
        (copied / "rows.csv").write_text("text,acct_code\na,1\nb,2\n")
        self.shims = folder / "bin"
        self.shims.mkdir()
        (self.shims / "python").write_text(SHIM.format(python=sys.executable, fake=FAKE))
        (self.shims / "python").chmod(0o755)
        self.write()

    def write(self, keys: str = "", seeds: str = "[1, 2, 3]") -> None:
        """Write study.yaml with these keys at its end, where that changes it."""
        text = self.original.replace("seeds: [1, 2, 3]", f"seeds: {seeds}") + keys
        if not self.file.exists() or self.file.read_text() != text:
            self.file.write_text(text)

    def command(self, *arguments: str) -> list[str]:
        """Snakemake's command line for the study, in its folder."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--directory", str(self.folder), "--cores", "2", *arguments]
        return [
            *command,
            "--config",
            f"studies={self.folder}",
            "study=account_tax",
            "devices_per_run=1",
        ]

    def environment(
        self, planted: Mapping[str, float], failing: Sequence[str] = (), seconds: float = 0
    ) -> dict[str, str]:
        """What the faked programs read: planted effects, runs ("arm/seed") that fail, time."""
        paths = f"{self.shims}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {
            **os.environ,
            "PATH": paths,
            "PLANTED": json.dumps(planted),
            "FAILING": json.dumps(list(failing)),
            "SECONDS": str(seconds),
        }

    def call(
        self, planted: Mapping[str, float], *arguments: str, failing: Sequence[str] = ()
    ) -> subprocess.CompletedProcess:
        """Run Snakemake, whatever becomes of it."""
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            env=self.environment(planted, failing),
            check=False,
        )

    def trained(self) -> set[tuple[str, int]]:
        """The variant and the seed of each run that has finished."""
        files = self.results.glob("runs/*/seed-*/metrics.json")
        return {(f.parent.parent.name, int(f.parent.name.removeprefix("seed-"))) for f in files}
