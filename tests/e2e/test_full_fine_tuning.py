"""Full fine-tuning: the head and all layers learn, nothing is read from frozen states."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import tiny
from safetensors.torch import load_file

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
FULL = {"lora.enable": False} | {n: None for n in tiny.SETTINGS if n.startswith("lora.")}
ARMS = {
    "lora": {},
    "full": FULL,
    "full-bf16": {**FULL, "bf16": True, "model.dtype": "bfloat16"},
    "full-zero3": {
        **FULL,
        "deepspeed.zero_optimization.stage": 3,
        "gradient_checkpointing": True,
    },
    "full-offload": {**FULL, "deepspeed.zero_optimization.offload_optimizer.device": "cpu"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A finished run of each arm."""
    folder = tmp_path_factory.mktemp("study")
    tiny.write_model(folder / "model")
    tiny.write_data(folder / "data")
    tiny.write_grid(folder / "grid.json", ARMS)
    for arm in ARMS:
        command = [sys.executable, ROOT / "scripts/train_run.py", "--results", folder]
        command += ["--variant", arm, "--seed", "1", "--warm", folder / ".warm"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def run_of(runs: Path, arm: str) -> Path:
    return runs / "runs" / arm / "seed-1"


def metrics(runs: Path, arm: str) -> dict:
    return json.loads((run_of(runs, arm) / "metrics.json").read_text())


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm != "lora"])
def test_all_weights_are_trained_and_none_comes_from_a_cache(runs, arm):
    cost = metrics(runs, arm)["cost"]
    decoder = sum(t.numel() for n, t in weights(runs).items() if not n.startswith("lm_head"))
    assert cost["trainable_parameters"] == cost["total_parameters"] == decoder + 4 * 16
    assert metrics(runs, arm)["environment"]["path"] == "plain"
    effective = json.loads((run_of(runs, arm) / "effective.json").read_text())
    assert effective["lora.enable"] is False and effective["frozen"] == []
    assert not (run_of(runs, arm) / "adapter").exists()


def weights(runs: Path) -> dict[str, torch.Tensor]:
    return load_file(runs / "model/model.safetensors")


def test_a_full_run_learns_and_begins_with_the_head_of_the_lora_run(runs):
    history = {
        arm: [json.loads(x) for x in (run_of(runs, arm) / "history.jsonl").read_text().splitlines()]
        for arm in ("lora", "full", "full-zero3")
    }
    first = history["full"][0]["loss"]
    assert first == pytest.approx(history["lora"][0]["loss"], rel=1e-6)
    assert history["full"][-1]["loss"] < first
    for one, other in zip(history["full"], history["full-zero3"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
