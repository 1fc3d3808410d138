"""What a GPU does with this product, in one table: `make gpu-check`.

    python tests/gpu/check.py [--dry] [--minutes 8] [--output results/gpu-check]

No network, no weights from elsewhere: models of random weights in the shapes of Qwen3-0.6B and
Qwen3-4B. Writes check.json and check.md. A row that fails stops none of the rest, and when the time
is over, what was left out is named. `--dry` takes tiny shapes, and works without a GPU.
Exit code: 0 if every row is as expected or was left out, 1 otherwise.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / name) for name in ("scripts", "tests")]

import correctness
import leases
import resources
import speed
from rows import FAILED, LEFT_OUT, MISSED, OK, Row, Runner, save
from runs import SHORT, Context

from ablation.machine.gpus import visible_gpus
from ablation.machine.launcher import extensions_folder
from ablation.machine.locks import remove_stale_locks

# The oldest version of each package that does what runs ask of it.
NEEDED = {
    "torch": (2, 8),
    "transformers": (5, 0),
    "peft": (0, 17),
    "deepspeed": (0, 17),
    "accelerate": (1, 10),
    "datasets": (3, 0),
    "safetensors": (0, 4),
    "tokenizers": (0, 20),
}
# The most telling first: the time may not do for all.
ORDER = (
    leases.CHECKS[0],
    correctness.CHECKS[0],
    speed.CHECKS[0],
    correctness.CHECKS[1],
    resources.CHECKS[0],
    correctness.CHECKS[2],
    resources.CHECKS[1],
    speed.CHECKS[1],
    leases.CHECKS[1],
)


def packages() -> tuple[list[Row], dict[str, str]]:
    """A row for each package, and why the ones that cannot be used cannot."""
    rows, missing = [], {}
    for name, least in NEEDED.items():
        oldest = ".".join(map(str, least))
        try:
            found = version(name)
            parts = tuple(int(part) for part in found.split("+")[0].split(".")[:2])
            good = parts >= least
            if not good:
                missing[name] = f"{name} {found} is older than {oldest}"
        except PackageNotFoundError:
            found, good = "not installed", False
            missing[name] = f"{name} is not installed"
        state = OK if good else MISSED
        expected = f"at least {oldest}"
        rows.append(Row(topic="packages", name=name, expected=expected, seen=found, state=state))
    return rows, missing


def gpu_name() -> str:
    """The GPU's name; the processor's without one."""
    import subprocess

    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader", "--id=0"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return platform.processor() or platform.machine()


def parse_args() -> argparse.Namespace:
    """Command line of the program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dry", action="store_true", help="tiny shapes; works without a GPU")
    parser.add_argument("--minutes", type=float, help="the time it has: 8, and 60 if dry")
    parser.add_argument("--output", type=Path, default=Path("results/gpu-check"))
    return parser.parse_args()


def main(args: argparse.Namespace) -> int:
    """Run the checks and write what was seen."""
    gpus = visible_gpus()
    if not gpus and not args.dry:
        sys.exit("error: no GPU is visible here\n  write:   make gpu-check DRY=1")
    minutes = args.minutes or (60.0 if args.dry else 8.0)
    begun = time.monotonic()
    os.environ["TORCH_EXTENSIONS_DIR"] = str(extensions_folder())  # for the rows without launcher
    remove_stale_locks(extensions_folder())
    rows, missing = packages()
    args.output.mkdir(parents=True, exist_ok=True)
    small, large = ("tiny", "tiny") if args.dry else (SHORT, "qwen3-4b")
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        context = Context(
            folder=Path(folder),
            cuda=bool(gpus) and not args.dry,
            small=small,
            large=large,
            tokens=32 if args.dry else 256,
            gpu=gpu_name(),
            memory=gpus[0].memory if gpus else None,
        )
        runner = Runner(context, begun + 60 * minutes, context.cuda, missing, rows)
        facts = {
            "device": context.gpu,
            "dry run": "yes: tiny shapes, nothing here tells of a GPU" if args.dry else "no",
            "minutes": minutes,
            "python": platform.python_version(),
            **{row.name: row.seen for row in rows},
        }
        for check in ORDER:
            runner.run(check)
            save(runner.rows, facts, args.output)  # whatever happens next, this much is told
    print(f"{args.output / 'check.md'}: {time.monotonic() - begun:.0f} s")
    return int(any(row.state in (FAILED, MISSED) for row in runner.rows))


__all__ = ["LEFT_OUT", "main", "packages"]

if __name__ == "__main__":
    sys.exit(main(parse_args()))
