"""What is resolved of arguments and a DeepSpeed file is what the engine that was built trains."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ablation.comparison.resolve import Configuration, resolve_file
from ablation.settings.schedules import learning_rates

HERE = Path(__file__).parent
MODEL = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 16}
KEPT = json.loads((HERE / "engine.json").read_text())
# What only this machine's kernels refuse: the file is sound where there is a GPU.
OF_THE_CPU = "This op had not been implemented on CPU backend."
CLASSES = {
    "AdamW": ("adamw", ("torch", "torch_fused")),
    "FusedAdam": ("adamw", ("deepspeed",)),
    "DeepSpeedCPUAdam": ("adamw", ("deepspeed",)),
    "SGD": ("sgd", ("torch",)),
}


def resolved(folder: Path, pair: dict[str, Any]) -> Configuration:
    (folder / "ds.json").write_text(json.dumps(pair["deepspeed"]))
    file = folder / "args.yaml"
    written = {"output_dir": "o", "world_size": 1, **pair["arguments"], "deepspeed": "ds.json"}
    file.write_text(yaml.safe_dump(written))
    return resolve_file(file, MODEL)


@pytest.mark.parametrize("pair", KEPT, ids=[pair["name"] for pair in KEPT])
def test_what_the_engine_did_is_what_is_resolved(tmp_path, pair):
    side, said = resolved(tmp_path, pair), pair["said"]
    if said.get("reason") == OF_THE_CPU:
        return
    assert bool(side.refusals) == ("refused" in said), said.get("reason") or side.refusals
    if "refused" in said:
        return
    values = {name: value.value for name, value in side.settings.items()}
    optim, implementations = CLASSES[said["optimizer"]]
    assert values["max_grad_norm"] == said["clip"]
    assert values["optim"] == (optim if said["adam_w"] else "adam")
    assert values["optim_implementation"] in implementations
    assert values["weight_decay"] == said["decay"]
    assert (values["bf16"], values["deepspeed.zero_optimization.stage"]) == (
        said["bf16"],
        said["stage"],
    )
    if "betas" in said["group"]:
        betas = [values["adam_beta1"], values["adam_beta2"]]
        assert [*betas, values["adam_epsilon"]] == [*said["group"]["betas"], said["group"]["eps"]]
    rates = learning_rates(values, values["max_steps"])
    assert list(rates) == pytest.approx(said["rates"], rel=1e-9)


@pytest.mark.e2e
def test_the_engine_still_does_what_was_kept(tmp_path):
    wanted = ("gas absent, arg 4", "optimizer no params", "offload stage2 hf opt", "overlap auto")
    pairs = [pair for pair in KEPT if pair["name"] in wanted]
    file = tmp_path / "pairs.json"
    file.write_text(json.dumps(pairs))
    command = [sys.executable, str(HERE / "engine.py"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    for kept, now in zip(pairs, found, strict=True):
        if "reason" in kept["said"]:
            assert now["said"]["reason"].startswith(kept["said"]["reason"])
        else:
            assert now["said"] == kept["said"]
