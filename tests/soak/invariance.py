"""What must not change a run, and by how much it does: one tiny run in every way it can be trained.

    python tests/soak/invariance.py

Without dropout, whose masks depend on how a batch is cut. In float32 on the CPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import numpy as np
import tiny

from ablation.frozen.which import wanted_values
from ablation.settings.catalogue import KERNELS, PADDING_FREE
from ablation.training.marks import MARK
from soak.layer import Fault, Layer
from soak.record import keep

ALIKE: dict[str, Any] = {"lora.lora_dropout": 0.0}
ARMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulation": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
    "checkpointing": {"gradient_checkpointing": True},
    "padding-free": {KERNELS: [PADDING_FREE]},
    "dropout": {"lora.lora_dropout": 0.05},
}


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to train the run.

    Attributes:
        name: What it is called.
        arm: One of `ARMS`.
        ranks: Processes.
        warm: Whether a warm worker trains it.
        frozen: Whether it reads the states of the frozen layers.
        interrupted: Whether it is killed in its first checkpoint but one, and goes on.
    """

    name: str
    arm: str = "plain"
    ranks: int = 1
    warm: bool = True
    frozen: bool = False
    interrupted: bool = False


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two ways that must give the same.

    Attributes:
        one: The first.
        other: The second.
        bound: Most that a loss or a weight of the adapter may differ by; 0: not in a bit.
    """

    one: Way
    other: Way
    bound: float = 0.0
    name: str = field(default="")


PLAIN = Way(name="plain")
DROPOUT = Way(name="dropout", arm="dropout")
FROZEN = Way(name="frozen states", frozen=True)
PACKED = Way(name="padding-free", arm="padding-free", frozen=True)
SUMS = 5e-6  # the same sums in another order, over a run of AdamW at 5e-3
PAIRS = (
    Pair(
        one=PLAIN,
        other=Way(name="accumulation", arm="accumulation"),
        bound=SUMS,
        name="batches of 8 against 2, accumulated",
    ),
    Pair(
        one=PLAIN,
        other=Way(name="checkpointing", arm="checkpointing"),
        name="without and with gradient checkpointing",
    ),
    Pair(
        one=PLAIN,
        other=FROZEN,
        bound=SUMS,
        name="all layers computed, or frozen states read",
    ),
    Pair(one=FROZEN, other=PACKED, bound=SUMS, name="padded rows against packed texts"),
    Pair(
        one=DROPOUT,
        other=Way(name="cold", arm="dropout", warm=False),
        name="warm worker against a launched process",
    ),
    Pair(
        one=DROPOUT,
        other=Way(name="interrupted", arm="dropout", warm=False, interrupted=True),
        name="whole against killed in a checkpoint and resumed",
    ),
    Pair(
        one=PLAIN,
        other=Way(name="two ranks", ranks=2, warm=False),
        bound=SUMS,
        name="one rank against two",
    ),
)


class Runs:
    """The runs of one folder; each way is trained once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tiny.write_model(folder / "model")
        tiny.write_data(folder / "data")
        arms = {name: ALIKE | changes for name, changes in ARMS.items()}
        tiny.write_grid(folder / "grid.json", arms)
        self.done: dict[str, Path] = {}

    def folder_of(self, way: Way) -> Path:
        """The folder of a run, trained if it was not."""
        if way.name not in self.done:
            self.done[way.name] = self._train(way)
        return self.done[way.name]

    def _train(self, way: Way) -> Path:
        states = self._states() if way.frozen else None
        results = tiny.as_results(
            self.folder / way.name.replace(" ", "-"),
            model=self.folder / "model/model.json",
            grid=self.folder / "grid.json",
            data=self.folder / "data",
            states=states,
        )
        run = results / "runs" / way.arm / "seed-1"
        words = ["--results", results, "--variant", way.arm, "--seed", 1]
        words += ["--world-size", way.ranks]
        words += ["--warm", self.folder / ".warm"] if way.warm else []
        if way.interrupted:
            layer = Layer(self.folder / "build", run / "checkpoints")
            layer.choose([Fault(kind="rename", nth=3, error="SIGKILL")])
            code, told = self._call("train_run.py", words, layer.environment)
            assert code != 0 and layer.failed()[0].split(" by ")[0].endswith(MARK), told
        code, told = self._call("train_run.py", words)
        assert code == 0 and ("resuming from" in told) == way.interrupted, told[-3000:]
        return run

    def _states(self) -> Path:
        path = self.folder / "states/prefix/prefix.json"
        if not path.exists():
            model = self.folder / "model/model.json"
            results = tiny.as_results(
                self.folder / "states", model=model, data=self.folder / "data"
            )
            wanted = wanted_values([tiny.SETTINGS | ALIKE])
            words = ["--wanted", json.dumps(wanted), "--budget-gb", 1, "--results", results]
            words += ["--warm", self.folder / ".warm"]
            code, told = self._call("cache_prefix.py", words)
            assert code == 0, told[-3000:]
        return path

    def _call(
        self, script: str, words: list[object], further: dict[str, str] | None = None
    ) -> tuple[int, str]:
        command = [sys.executable, ROOT / "scripts" / script, *words]
        done = subprocess.run(
            list(map(str, command)),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **(further or {})},
        )
        return done.returncode, done.stdout + done.stderr


def distance(one: Path, other: Path) -> float:
    """The largest difference of a step's loss, a weight of the adapter, or a score."""
    from safetensors.numpy import load_file

    read: list[Callable[[Path], np.ndarray]] = [_losses, _scores]
    found = [float(np.abs(each(one) - each(other)).max()) for each in read]
    weights = [load_file(run / "adapter/adapter_model.safetensors") for run in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    found += [float(np.abs(weights[0][name] - weights[1][name]).max()) for name in weights[0]]
    return max(found)


def _losses(run: Path) -> np.ndarray:
    lines = (run / "history.jsonl").read_text().splitlines()
    return np.array([json.loads(line)["loss"] for line in lines])


def _scores(run: Path) -> np.ndarray:
    final = json.loads((run / "metrics.json").read_text())["quality"]["final"]
    return np.array([final["eval_loss"], final["eval_accuracy"], final["eval_macro_f1"]])


def main() -> int:
    """Train every way, and keep the distances in docs/reliability.md."""
    rows, bad = [], 0
    with tempfile.TemporaryDirectory() as name:
        runs = Runs(Path(name).resolve())
        for pair in PAIRS:
            found = distance(runs.folder_of(pair.one), runs.folder_of(pair.other))
            bad += found > pair.bound
            rows.append((pair.name, f"{pair.bound:g}" if pair.bound else "equal", f"{found:.2g}"))
    keep("invariance", ("the same run", "bound", "largest difference seen"), rows)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
