"""CPU time of Snakemake's plan for studies of about 10, 1,000 and 3,000 runs.

    python benchmarks/plan_many_runs.py [--finished] [--repeat 3]

Prints one row for each study: the CPU time of `snakemake -n`, and that over an empty Snakefile.
`seeds` has five arms and many seeds, `arms` many arms (a `grid` design) and few seeds. --finished
adds the plan of a finished study ("Nothing to be done"); its results are empty files.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "config/studies/debian_sections"
PROFILE = '{"rows": {"train": 8, "validation": 1, "test": 2}, "tokens": {"mean": 4}}'
SIZES = (10, 1000, 3000)
SEEDS, ARMS = "seeds", "arms"
STAGED_ARMS = 5
MOST_ARMS = 1000  # a grid may have no more


def make_study(folder: Path, kind: str, runs: int) -> str:
    """A copy of the default study with about so many runs; its name."""
    name = f"{kind}{runs}"
    shutil.copytree(SOURCE, folder / name)
    file = folder / name / "study.yaml"
    text = file.read_text()
    count = runs // STAGED_ARMS if kind == SEEDS else -(-runs // MOST_ARMS)
    seeds = range(1, 1 + count)
    text = re.sub(r"^seeds: .*$", f"seeds: {list(seeds)}", text, flags=re.MULTILINE)
    values = runs // count - STAGED_ARMS
    if kind == ARMS and values > 0:
        rates = [round(1e-5 + 1e-8 * number, 10) for number in range(values)]
        text += f"\ndesigns:\n  - grid: {{base: backup, values: {{learning_rate: {rates}}}}}\n"
    file.write_text(text)
    return name


def snakemake(folder: Path, *arguments: str) -> tuple[float, str]:
    """CPU seconds (user and system) of a Snakemake call in a folder, and what it printed."""
    command = [sys.executable, "-m", "snakemake", "--directory", str(folder), *arguments]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode:
        sys.exit(result.stdout + result.stderr)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, result.stdout + result.stderr


def plan(folder: Path, study: str, *arguments: str) -> tuple[float, str]:
    """The same with the project's Snakefile and a study of the folder."""
    told = ["--config", f"studies={folder}", f"study={study}", "devices_per_run=1"]
    return snakemake(folder, "--snakefile", str(ROOT / "Snakefile"), *arguments, *told)


def finish(folder: Path, study: str) -> None:
    """Make every output of a study, all of the same age: nothing is older than its input."""
    _, summary = plan(folder, study, "--summary")
    now = time.time()
    for line in summary.splitlines():
        path = folder / line.split("\t")[0]
        if not line.startswith("results/"):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.write_text(PROFILE if path.name == "profile.json" else "{}")
        else:
            path.mkdir(exist_ok=True)
            (path / ".snakemake_timestamp").touch()
            os.utime(path / ".snakemake_timestamp", (now, now))
        os.utime(path, (now, now))


def median_seconds(repeat: int, call) -> float:
    """The median CPU time of so many calls."""
    return sorted(call()[0] for _ in range(repeat))[repeat // 2]


def main(finished: bool, repeat: int) -> None:
    """Measure and print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Snakefile").write_text("rule all:\n    output: 'x'\n    shell: 'touch x'\n")
        empty = ["--snakefile", str(folder / "Snakefile"), "-n", "--quiet", "all"]
        start = median_seconds(repeat, lambda: snakemake(folder, *empty))
        print(f"an empty Snakefile: {start:.2f} s of CPU time\n")
        columns = ["study", "runs", "plan", "beyond start", "ms a run", "nothing to do"]
        print("".join(f"{column:>15}" for column in columns))
        for kind in (SEEDS, ARMS):
            for runs in SIZES:
                study = make_study(folder, kind, runs)
                call = (folder, study, "-n", "--quiet", "all")
                seconds = median_seconds(repeat, lambda call=call: plan(*call))
                row = [kind, str(runs), f"{seconds:.2f} s", f"{seconds - start:.2f} s"]
                row.append(f"{1000 * (seconds - start) / runs:.2f}")
                if finished:
                    finish(folder, study)
                    again = median_seconds(repeat, lambda call=call: plan(*call))
                    row.append(f"{again:.2f} s")
                print("".join(f"{cell:>15}" for cell in row), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finished", action="store_true", help="measure finished studies, too")
    parser.add_argument("--repeat", type=int, default=3, help="calls of which the median counts")
    args = parser.parse_args()
    main(args.finished, args.repeat)
