"""One GPU has one holder, whatever CUDA_VISIBLE_DEVICES calls it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rows import Check
from runs import SCRIPTS, Context, Run

from ablation.errors import UserError
from ablation.machine.gpus import visible_gpus

Rows = Iterator[tuple[str, str, str, bool, dict[str, Any]]]
HOLD = """
import sys, time
from ablation.machine.leases import lease
with lease(1) as held:
    print(time.time(), flush=True); time.sleep(2); print(time.time(), flush=True)
"""


def one_holder(context: Context) -> Rows:
    """Two that want the only GPU take turns."""
    environment = {"ABLATION_LEASES": str(context.folder / "leases"), "PYTHONPATH": str(SCRIPTS)}
    environment |= {"CUDA_VISIBLE_DEVICES": "0", "PATH": "/usr/bin:/bin:/usr/local/nvidia/bin"}

    def hold(_: int) -> list[float]:
        done = subprocess.run(
            [sys.executable, "-c", HOLD],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return [float(line) for line in done.stdout.split()]

    begun = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        first, second = sorted(pool.map(hold, range(2)))
    apart = second[0] - first[1]
    seen = f"the second begins {apart:.2f} s after the first ends"
    numbers = {"seconds": time.monotonic() - begun}
    yield "two that want one GPU", "one after the other", seen, apart >= 0, numbers


def names(context: Context) -> Rows:
    """Numbers and UUIDs are understood, and a MIG name is refused with a message or understood."""
    uuid = _uuid()
    for what, name in (("a number", "0"), ("a UUID", uuid), ("the start of a UUID", uuid[:12])):
        found = visible_gpus({"CUDA_VISIBLE_DEVICES": name})
        good = len(found) == 1 and found[0].name == "0"
        yield what, "GPU 0", str([gpu.name for gpu in found]), good, {}
    settings = context.settings(context.small, bf16=True, **{"model.dtype": "bfloat16"})
    Run(
        name="by-uuid",
        shape=context.small,
        settings=settings,
        environment={"CUDA_VISIBLE_DEVICES": uuid},
    ).train(context)
    yield "a run with a UUID", "runs", "completed", True, {}
    try:
        seen = str([gpu.name for gpu in visible_gpus({"CUDA_VISIBLE_DEVICES": "MIG-0123"})])
        good = False
    except UserError as error:
        seen, good = str(error).splitlines()[0], "MIG" in str(error)
    yield "a MIG name", "understood, or refused with a message", seen, good, {}


def _uuid() -> str:
    fields = ["--query-gpu=uuid", "--format=csv,noheader", "--id=0"]
    answer = subprocess.run(["nvidia-smi", *fields], capture_output=True, text=True, check=True)
    return answer.stdout.split()[0]


CHECKS = (
    Check(
        topic="leases",
        name="one holder",
        expected="one GPU has one holder",
        run=one_holder,
        seconds=20,
        cuda=True,
        needs=(),
    ),
    Check(
        topic="leases",
        name="names of GPUs",
        expected="numbers and UUIDs are understood",
        run=names,
        seconds=40,
        cuda=True,
    ),
)
