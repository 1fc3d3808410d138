"""Remove the lock that a killed Snakemake left behind, unless one is at work in this folder.

python scripts/unlock_stale.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from ablation.cli import run
from ablation.errors import UserError
from ablation.machine.gpus import snakemakes_at_work


def parse_args() -> argparse.Namespace:
    return argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()


def main(args: argparse.Namespace) -> None:
    if not any(Path(".snakemake/locks").glob("*")):
        return
    if pids := snakemakes_at_work(Path.cwd()):
        raise UserError(
            "Snakemake is already at work in this folder",
            found=f"process {', '.join(map(str, pids))}",
            allowed="one at a time; wait for it, or stop it with Ctrl-C",
        )
    subprocess.run([sys.executable, "-m", "snakemake", "--unlock"], capture_output=True, check=True)


if __name__ == "__main__":
    run(main, parse_args)
