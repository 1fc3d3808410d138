"""CPU time of Snakemake's plan for studies of about 10, 1,000 and 3,000 runs.

    python benchmarks/plan_many_runs.py [--finished] [--repeat 3]

Prints one row for each study: the CPU time of `snakemake -n`, that of an empty Snakefile in turn
with it, and the difference: goal 2 s for 1,000 runs, growing linearly. The library is compiled by a
call before, whatever PYTHONDONTWRITEBYTECODE says: a user's second call finds it so.
`seeds` has five arms and many seeds, `arms` many arms (a `grid` design) and few seeds. --finished
adds the plan of a finished study ("Nothing to be done"); its results are empty files.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "config/studies/debian_sections"
PROFILE = (
    '{"rows": {"train": 8, "validation": 1, "test": 2}, "special_tail": [], "tokens": {"mean": 4,'
    ' "median": 4, "p95": 4, "p99": 4, "max": 4, "histogram": {}}}'
)
SIZES = (10, 1000, 3000)
SEEDS, ARMS = "seeds", "arms"
STAGED_ARMS = 5
MOST_ARMS = 1000  # a grid may have no more


def make_study(folder: Path, kind: str, runs: int) -> str:
    """A copy of the default study with about so many runs; its name."""
    name = f"{kind}{runs}"
    shutil.copytree(SOURCE, folder / name)
    file = folder / name / "study.yaml"
    study = yaml.safe_load(file.read_text())
    count = runs // STAGED_ARMS if kind == SEEDS else -(-runs // MOST_ARMS)
    # The source's own stages with a remainder, and nothing beside: the arms are counted here.
    study |= {"seeds": list(range(1, 1 + count)), "stages": study["stages"][:3]}
    del study["confirm"], study["designs"]
    values = runs // count - STAGED_ARMS
    if kind == ARMS and values > 0:
        rates = [round(1e-5 + 1e-8 * number, 10) for number in range(values)]
        study["designs"] = [{"grid": {"base": "backup", "values": {"learning_rate": rates}}}]
    file.write_text(yaml.safe_dump(study, allow_unicode=True, sort_keys=False))
    return name


def snakemake(folder: Path, *arguments: str) -> tuple[float, str]:
    """CPU seconds (user and system) of a Snakemake call in a folder, and what it printed."""
    command = [sys.executable, "-m", "snakemake", "--directory", str(folder), *arguments]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
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
    _, said = plan(folder, study, "-n")
    if "Nothing to be done" not in said:
        sys.exit(f"{study} is not finished: {said}")


def main(finished: bool, repeat: int) -> None:
    """Measure and print the table; each call has one of an empty Snakefile beside it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Snakefile").write_text("rule all:\n    output: 'x'\n    shell: 'touch x'\n")
        empty = (folder, "--snakefile", str(folder / "Snakefile"), "-n", "--quiet", "all")
        plan(folder, make_study(folder, "first", 10), "-n")  # compiles
        columns = ["study", "runs", "plan", "start", "beyond", "x start", "ms a run"]
        print("".join(f"{column:>10}" for column in [*columns, "finished"]))
        for kind in (SEEDS, ARMS):
            for runs in SIZES:
                study = make_study(folder, kind, runs)
                call = (folder, study, "-n", "--quiet", "all")
                pairs = [(plan(*call)[0], snakemake(*empty)[0]) for _ in range(repeat)]
                whole, start = (statistics.median(times) for times in zip(*pairs, strict=True))
                row = [kind, str(runs), f"{whole:.2f} s", f"{start:.2f} s"]
                row += [f"{whole - start:.2f} s", f"{whole / start:.1f}"]
                row.append(f"{1000 * (whole - start) / runs:.2f}")
                if finished:
                    finish(folder, study)
                    again = statistics.median(plan(*call)[0] for _ in range(repeat))
                    row.append(f"{again:.2f} s")
                print("".join(f"{cell:>10}" for cell in row), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finished", action="store_true", help="measure finished studies, too")
    parser.add_argument("--repeat", type=int, default=3, help="calls of which the median counts")
    args = parser.parse_args()
    main(args.finished, args.repeat)
