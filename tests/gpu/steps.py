"""Times training steps of one shape in one process, and prints them as JSON.

    python tests/gpu/steps.py MODEL.JSON SHAPE WAY TOKENS BATCH STEPS

WAY is "plain", "checkpointing", "frozen", "all layers", or "frozen, ragged", whose texts have a
quarter to all of the tokens, padded or "frozen, ragged, padding free".
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import shapes
import tiny
import torch

from ablation.settings.catalogue import KERNELS, PADDING_FREE
from ablation.training.network import build_network


def config_of(model: str, shape: str, way: str) -> dict[str, Any]:
    """What `build_network` reads."""
    layers = shapes.SHAPES[shape]["num_hidden_layers"]
    chosen = list(range(layers)) if way == "all layers" else shapes.trained_layers(shape)
    kernels = [PADDING_FREE] if way.endswith("padding free") else []
    settings = tiny.SETTINGS | {
        KERNELS: kernels,
        "lora.r": 128,
        "lora.lora_alpha": 256,
        "lora.lora_dropout": 0.0,
        "lora.bias": "none",
        "lora.layers_to_transform": chosen,
        "model.dtype": "bfloat16",
        "bf16": True,
    }
    record = json.loads(Path(model).read_text())
    return {
        "settings": settings,
        "seed": 1,
        "model": record,
        "model_path": record["path"],
    }


class Stepper:
    """A network with its optimizer, on the GPU where there is one."""

    def __init__(self, model: str, shape: str, way: str) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.boundary = shapes.trained_layers(shape)[0] if way.startswith("frozen") else 0
        self.ragged = "ragged" in way
        config = config_of(model, shape, way)
        self.network = build_network(config, shapes.LABELS, self.boundary)
        self.network = self.network.to(self.device).train()
        base = self.network.get_base_model()
        self.network.config.pad_token_id = base.config.pad_token_id = 0
        if way == "checkpointing":
            self.network.gradient_checkpointing_enable({"use_reentrant": False})
        self.params = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.params, lr=1e-4, fused=True)

    def batch(self, rows: int, tokens: int, hidden: int) -> dict[str, torch.Tensor]:
        """A batch of ids or of states of the frozen layers."""
        mask = torch.ones(rows, tokens, dtype=torch.long, device=self.device)
        if self.ragged:
            lengths = torch.linspace(tokens / 4, tokens, rows, device=self.device).long()
            mask *= torch.arange(tokens, device=self.device) < lengths[:, None]
        if self.boundary:
            states = torch.randn(rows, tokens, hidden, device=self.device, dtype=torch.bfloat16)
            return {"inputs_embeds": states, "attention_mask": mask}
        ids = torch.randint(3, shapes.VOCABULARY, (rows, tokens), device=self.device)
        return {"input_ids": ids, "attention_mask": mask}

    def step(self, batch: dict[str, torch.Tensor]) -> float:
        """Seconds of one step."""
        self.synchronize()
        begun = time.perf_counter()
        labels = torch.zeros(len(batch["attention_mask"]), dtype=torch.long, device=self.device)
        logits = self.network(**batch).logits.float()
        torch.nn.functional.cross_entropy(logits, labels).backward()
        torch.nn.utils.clip_grad_norm_(self.params, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.synchronize()
        return time.perf_counter() - begun

    def synchronize(self) -> None:
        """Wait for the GPU."""
        if self.device == "cuda":
            torch.cuda.synchronize()


def main(model: str, shape: str, way: str, tokens: int, rows: int, steps: int) -> None:
    """Print the median second of a step, its counted FLOPs and the peak of memory."""
    from torch.utils.flop_counter import FlopCounterMode

    stepper = Stepper(model, shape, way)
    batch = stepper.batch(rows, tokens, shapes.SHAPES[shape]["hidden_size"])
    counter = FlopCounterMode(display=False)
    with counter:
        stepper.step(batch)
    times = sorted(stepper.step(batch) for _ in range(steps))
    cuda = stepper.device == "cuda"
    found = {
        "seconds": times[len(times) // 2],
        "flops": counter.get_total_flops(),
        "tokens": int(batch["attention_mask"].sum()),
        "peak": torch.cuda.max_memory_allocated() if cuda else None,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:7]))
