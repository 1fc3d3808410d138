"""Runs of the check, started as the workflow starts them: by `scripts/train_run.py`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapes
import tiny

from ablation.frozen.which import wanted_values

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
SHORT = "qwen3-0.6b"
AT_ONCE = 3  # runs side by side on one GPU, each with leases of its own


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the checks share.

    Attributes:
        folder: Where everything is written.
        cuda: Whether there is a GPU.
        small, large: Shapes of the models.
        tokens: Length of the longest texts.
        gpu: What nvidia-smi calls the GPU; its memory in bytes.
    """

    folder: Path
    cuda: bool
    small: str
    large: str
    tokens: int
    gpu: str
    memory: int | None

    def settings(self, shape: str, **changes: Any) -> dict[str, Any]:
        """Settings of a run of this shape; `max_steps` of them make it short."""
        return {
            **tiny.SETTINGS,
            "world_size": 1,
            "lora.r": 16,
            "lora.lora_alpha": 32,
            "lora.lora_dropout": 0.0,
            "lora.bias": "none",
            "lora.layers_to_transform": shapes.trained_layers(shape),
            "data.extract_ratio": 1.0,
            "learning_rate": 1e-4,
            "max_length": self.tokens,
            "max_steps": 4,
            "per_device_train_batch_size": 4,
            "model.dtype": "float32",
            **changes,
        }

    def model(self, shape: str, dtype: str) -> Path:
        """model.json of a shape, written once."""
        folder = self.folder / "models" / f"{shape}-{dtype}"
        if not (folder / "model.json").exists():
            program = [sys.executable, str(ROOT / "tests/gpu/shapes.py")]
            self.call([*program, str(folder), shape, dtype], folder.parent / f"{folder.name}.log")
        return folder / "model.json"

    def data(self, rows: int = 64) -> Path:
        """Prepared rows, written once."""
        folder = self.folder / f"data-{rows}"
        if not folder.exists():
            shapes.write_data(folder, rows, self.tokens)
        return folder

    def call(
        self, command: list[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Run a command; RuntimeError with the end of its output where it fails."""
        log.parent.mkdir(parents=True, exist_ok=True)
        own = {**os.environ, "PYTHONPATH": f"{SCRIPTS}:{ROOT / 'tests'}", **(environment or {})}
        own.setdefault("ABLATION_LEASES", str(log.parent / f".leases-{log.stem}"))
        with log.open("w") as file:
            done = subprocess.run(command, stdout=file, stderr=file, env=own, check=False)
        if done.returncode:
            raise RuntimeError(log.read_text(errors="replace")[-1200:])


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that the check asks for.

    Attributes:
        name: Its arm, and its folder.
        shape: Its model's shape.
        settings: Its settings.
        frozen: Whether it reads states of frozen layers from disk.
        environment: Variables of its process.
    """

    name: str
    shape: str
    settings: Mapping[str, Any]
    frozen: bool = False
    environment: Mapping[str, str] | None = None

    def output(self, context: Context) -> Path:
        """The run's folder."""
        return self._results(context) / "runs" / self.name / "seed-1"

    def _results(self, context: Context) -> Path:
        return context.folder / "results" / self.name

    def command(self, context: Context) -> list[str]:
        """The command that starts it; what it needs is written first."""
        folder = context.folder / "grids" / self.name
        folder.mkdir(parents=True, exist_ok=True)
        grid = tiny.write_grid(folder / "grid.json", {self.name: dict(self.settings)})
        model = context.model(self.shape, self.settings["model.dtype"])
        states = make_states(context, self, model) if self.frozen else None
        results = tiny.as_results(
            self._results(context), grid=grid, model=model, data=context.data(), states=states
        )
        command = [sys.executable, str(SCRIPTS / "train_run.py"), "--results", str(results)]
        return [*command, "--variant", self.name, "--seed", "1"]

    def train(self, context: Context) -> Run:
        """Train it; RuntimeError with the end of its log where it fails."""
        log = context.folder / "logs" / f"{self.name}.log"
        context.call(self.command(context), log, self.environment)
        return self

    def kill_after_checkpoint(self, context: Context, patience: float) -> None:
        """Start it, and kill all its processes when its first checkpoint is whole."""
        command = self.command(context)
        own = {**os.environ, "PYTHONPATH": f"{SCRIPTS}:{ROOT / 'tests'}"}
        log = context.folder / "logs" / f"{self.name}-1.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                command, env=own, start_new_session=True, stdout=file, stderr=file
            )
        limit = time.monotonic() + patience
        pattern = "checkpoints/checkpoint-*/complete.json"
        while not list(self.output(context).glob(pattern)):
            if process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError("it ended, or took too long, before a checkpoint was whole")
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def read(self, context: Context, name: str) -> Any:
        """A JSON file of its folder."""
        return json.loads((self.output(context) / name).read_text())

    def history(self, context: Context) -> list[dict[str, Any]]:
        """Its steps."""
        lines = (self.output(context) / "history.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def losses(self, context: Context) -> list[float]:
        """The loss of each step."""
        return [step["loss"] for step in self.history(context)]


def make_states(context: Context, run: Run, model: Path) -> Path:
    """The states of the frozen layers of a run, by the workflow's program; prefix.json of them."""
    folder = context.folder / "states" / f"{run.shape}-{run.settings['model.dtype']}"
    states = folder / "prefix/prefix.json"
    if not states.exists():
        wanted = json.dumps(wanted_values([run.settings]))
        command = [sys.executable, str(SCRIPTS / "cache_prefix.py"), "--wanted", wanted]
        results = tiny.as_results(folder, model=model, data=context.data())
        command += ["--results", str(results)]
        context.call(command, context.folder / "logs" / f"states-{folder.name}.log")
    return states


def train_all(context: Context, runs: list[Run]) -> dict[str, str | None]:
    """Train several side by side: the error of each by name, None where it ran."""
    for run in runs:  # what they share is written once, before
        run.command(context)

    def one(run: Run) -> str | None:
        try:
            run.train(context)
        except RuntimeError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(AT_ONCE if context.cuda else 2) as pool:
        return dict(zip([run.name for run in runs], pool.map(one, runs), strict=True))
