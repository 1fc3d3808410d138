"""A damaged checkpoint is told and passed over, and the result is as without damage."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import tiny

from ablation.training.marks import MARK, checkpoints_in, read_mark, why_damaged, write_mark
from ablation.training.request import IDENTITY

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    tiny.write_model(folder / "model")
    tiny.write_data(folder / "data", rows=64)
    tiny.write_grid(folder / "grid.json", {"current": {"num_train_epochs": 4.0}})
    return folder


def run_of(study: Path, name: str) -> Path:
    """The folder of a run in results of its own."""
    return study / name / "runs" / "current" / "seed-1"


def command(study: Path, name: str) -> list[str]:
    model, data = study / "model/model.json", study / "data"
    results = tiny.as_results(study / name, grid=study / "grid.json", model=model, data=data)
    found = [sys.executable, ROOT / "scripts/train_run.py", "--results", results]
    found += ["--variant", "current", "--seed", "1", "--warm", study / ".warm"]
    return list(map(str, found))


def result_of(run: Path) -> dict:
    """What must not differ: scores and history."""
    quality = json.loads((run / "metrics.json").read_text())["quality"]
    return {"quality": quality, "history": (run / "history.jsonl").read_text()}


@pytest.fixture(scope="module")
def undisturbed(study) -> dict:
    subprocess.run(command(study, "whole"), check=True, capture_output=True)
    return result_of(run_of(study, "whole"))


@pytest.fixture(scope="module")
def interrupted(study, undisturbed) -> Path:
    """A run that was killed with two whole checkpoints."""
    run = run_of(study, "interrupted")
    process = subprocess.Popen(
        command(study, "interrupted"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while len([c for c in checkpoints_in(run / "checkpoints") if (c / MARK).exists()]) < 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.001)
    with contextlib.suppress(OSError):
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(1)  # its worker ends it
    assert not (run / "metrics.json").exists()
    return run


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {"cut": cut, "zero": zero, "remove": Path.unlink, "flip": flip}


def newest(run: Path) -> Path:
    return checkpoints_in(run / "checkpoints")[-1]


def test_every_damage_to_every_file_of_a_checkpoint_is_noticed(interrupted, tmp_path):
    whole = newest(interrupted)
    assert why_damaged(whole) is None
    files = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file()]
    assert len(files) > 5
    for place, file in enumerate(sorted(files)):
        for name, damage in DAMAGES.items():
            if (whole / file).stat().st_size == 0 and name != "remove":
                continue
            copy = Path(shutil.copytree(whole, tmp_path / f"{place}-{name}"))
            damage(copy / file)
            assert why_damaged(copy) is not None, (file, name)


def resumed(study: Path, interrupted: Path, name: str, damage) -> tuple[dict, str]:
    """Result and log of the interrupted run after damage to a copy of it."""
    run = Path(shutil.copytree(interrupted, run_of(study, name)))
    damage(run / "checkpoints")
    done = subprocess.run(command(study, name), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return result_of(run), done.stdout + done.stderr


def damaged_weights(folder: Path) -> None:
    flip(next(path for path in checkpoints_in(folder)[-1].rglob("*.safetensors")))


def damaged_optimizer(folder: Path) -> None:
    flip(next(path for path in checkpoints_in(folder)[-1].rglob("*optim_states.pt")))


def all_damaged(folder: Path) -> None:
    for checkpoint in checkpoints_in(folder):
        flip(checkpoint / MARK)


class Program:
    """What runs a program where it is read as a pickle."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch '{self.file}'",)


def hostile_optimizer(folder: Path) -> None:
    """The newest checkpoint as somebody else may write it, sums and all."""
    checkpoint = checkpoints_in(folder)[-1]
    states = next(checkpoint.rglob("*optim_states.pt"))
    torch.save({"optimizer_state_dict": Program(folder.parents[3] / "hostile")}, states)
    write_mark(checkpoint, {k: v for k, v in read_mark(checkpoint).items() if k != "files"})


CASES = {
    "hostile": (hostile_optimizer, "is passed over: reading it could run posix.system"),
    "untouched": (lambda folder: None, "resuming from"),
    "weights": (damaged_weights, "is passed over: damaged since it was written"),
    "optimizer": (damaged_optimizer, "is passed over: damaged since it was written"),
    "all": (all_damaged, "is passed over"),
    "identity": (lambda folder: zero(folder / IDENTITY), "the run begins anew"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_checkpoint_is_told_and_the_result_is_as_without(
    study, undisturbed, interrupted, name
):
    damage, told = CASES[name]
    result, log = resumed(study, interrupted, f"damaged-{name}", damage)
    assert told in log
    if name in ("hostile", "weights", "optimizer"):
        assert "resuming from" in log  # the one before it
    assert result == undisturbed
    assert not list(study.rglob("hostile"))
