"""Compile DeepSpeed's operators, once for this environment; else the first run does it.

python scripts/compile_operators.py
"""

from __future__ import annotations

import argparse

from ablation.cli import run
from ablation.machine.launcher import make_operators


def parse_args() -> argparse.Namespace:
    """Command line of the script."""
    return argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()


def main(args: argparse.Namespace) -> None:
    """Compile; where that fails say why, and leave it to the first run."""
    failed = make_operators()
    if failed:
        print(f"DeepSpeed's operators are not compiled yet; the first run tries again. {failed}")


if __name__ == "__main__":
    run(main, parse_args)
