"""Sixteen jobs at once, of four Snakemakes, share four pretend GPUs: 500 jobs, one holder a GPU.

    python tests/soak/leases.py            500 jobs
    python tests/soak/leases.py 40         so many

Each Snakemake starts four jobs at a time, a tenth of which want two GPUs. A job notes when it began
to wait, when it had its place in the queue, when it had its GPUs, and when it gave them back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from soak.record import keep

SNAKEMAKES, AT_ONCE, GPUS = 4, 4, "0,1,2,3"
HOLD_SECONDS = 0.5
NOTICED = 0.1  # seconds; between two processes on a busy machine less says nothing
FAIR = 3.0  # no wait is longer than so many times that of a fair share
SNAKEFILE = """\
rule all:
    input: expand("done/{job}", job=range(config["jobs"]))
rule hold:
    output: "done/{job}"
    shell: "{config[python]} {config[program]} hold {wildcards.job} > {output}"
"""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A lease as it was.

    Attributes:
        names: The GPUs.
        asked: When it was asked for, in seconds.
        placed: When others could see its place in the queue.
        begun: When it was there.
        ended: When it was given back.
    """

    names: tuple[str, ...]
    asked: float
    placed: float
    begun: float
    ended: float

    @property
    def wait(self) -> float:
        """Seconds that it was waited for."""
        return self.begun - self.asked


def hold(job: int) -> None:
    """Be one job: what it saw goes to standard output."""
    from ablation.machine import leases, turns

    turn, seen = turns.turn, {}

    @contextmanager
    def noted(folder: Path, names: Collection[str]) -> Iterator[Path]:
        with turn(folder, names) as mine:
            seen["placed"] = time.monotonic()
            yield mine

    turns.turn = noted
    seen["asked"] = time.monotonic()
    with leases.lease(2 if job % 10 == 9 else 1) as gpus:
        seen["begun"] = time.monotonic()
        time.sleep(HOLD_SECONDS)
        seen["ended"] = time.monotonic()
    print(json.dumps({"names": gpus.names, **seen}))


def run(folder: Path, jobs: int) -> list[Held]:
    """The leases of so many jobs."""
    environment = {k: v for k, v in os.environ.items() if k != "SLURM_JOB_ID"}
    environment |= {"ABLATION_LEASES": str(folder / "leases"), "CUDA_VISIBLE_DEVICES": GPUS}
    environment |= {"PYTHONPATH": str(ROOT / "scripts")}
    started = []
    for number in range(SNAKEMAKES):
        work = folder / str(number)
        work.mkdir()
        (work / "Snakefile").write_text(SNAKEFILE)
        config = {"jobs": jobs // SNAKEMAKES, "python": sys.executable, "program": __file__}
        command = [sys.executable, "-m", "snakemake", "--cores", str(AT_ONCE), "--quiet", "all"]
        command += ["--config", *(f"{name}={value}" for name, value in config.items())]
        with (work / "log").open("w") as log:
            started.append(
                subprocess.Popen(command, cwd=work, env=environment, stdout=log, stderr=log)
            )
    for number, process in enumerate(started):
        assert process.wait() == 0, (folder / str(number) / "log").read_text()[-3000:]
    texts = (path.read_text() for path in folder.glob("*/done/*"))
    found = [json.loads(text) for text in texts]
    return [Held(**one | {"names": tuple(one["names"])}) for one in found]


def shared(leases: list[Held]) -> int:
    """How often a GPU had two holders."""
    times = defaultdict(list)
    for one in leases:
        for name in one.names:
            times[name].append((one.begun, one.ended))
    found = 0
    for spans in times.values():
        spans.sort()
        found += sum(later[0] < former[1] for former, later in pairwise(spans))
    return found


def fair_wait(one: Held, leases: list[Held]) -> float:
    """Seconds that a wait takes where all who came before are served first, on all GPUs.

    The work of those who held or waited when it came, shared among the GPUs, and its own.
    """
    before = [other for other in leases if other.asked <= one.asked < other.ended]
    work = sum(len(other.names) * (other.ended - other.begun) for other in before)
    return work / len(GPUS.split(","))


def overtaken(leases: list[Held]) -> tuple[int, int]:
    """Leases that somebody who came later had before them.

    Returns:
        How many had asked earlier, and how many of these also had their place in the queue before
        the other one looked.
    """
    asked = placed = 0
    for one in leases:
        later = [o for o in leases if one.asked < o.asked and o.begun + NOTICED < one.begun]
        asked += bool(later)
        placed += any(one.placed < other.asked for other in later)
    return asked, placed


def main() -> int:
    """Run, and keep what was seen in docs/reliability.md."""
    if sys.argv[1:2] == ["hold"]:
        hold(int(sys.argv[2]))
        return 0
    jobs = int(sys.argv[1]) if sys.argv[1:] else 500
    with tempfile.TemporaryDirectory() as name:
        leases = run(Path(name), jobs)
    twice = shared(leases)
    waits = [(one.wait, fair_wait(one, leases)) for one in leases]
    worst = max(wait / max(fair, HOLD_SECONDS) for wait, fair in waits)
    longest = max(wait for wait, _ in waits)
    asked, placed = overtaken(leases)
    rows = [
        ("jobs, of which each had its GPUs", f"{jobs}, {len(leases)}"),
        ("a GPU with two holders", str(twice)),
        (f"served over {NOTICED} s after one that asked later", str(asked)),
        ("of these: had a place in the queue before the other asked", str(placed)),
        ("longest wait", f"{longest:.1f} s"),
        ("longest wait over its fair share", f"{worst:.2f}"),
    ]
    keep("leases", ("16 at once, 4 Snakemakes, 4 pretend GPUs", "seen"), rows)
    return int(twice or placed or len(leases) != jobs or worst > FAIR)


if __name__ == "__main__":
    sys.exit(main())
