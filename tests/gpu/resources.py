"""Memory as predicted and as measured, and what happens when there is too little."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import shapes
from rows import Check
from runs import Context, Run

from ablation.settings.architecture import GPU, estimate_memory, read_architecture

WITHIN = 0.15
Rows = Iterator[tuple[str, str, str, bool, dict[str, Any]]]


def predicted(shape: str, settings: dict[str, Any]) -> dict[str, int]:
    """Bytes of each part of a GPU's memory, as the plan has them."""
    architecture = read_architecture(shapes.architecture(shape))
    assert architecture is not None
    parts = estimate_memory(architecture, settings, shapes.LABELS)
    return {part.name: part.bytes for part in parts if part.place == GPU}


def memory(context: Context) -> Rows:
    """The peak of a run against the plan, for both shapes, with and without checkpointing."""
    for shape in dict.fromkeys((context.small, context.large)):
        for checkpointing in (False, True):
            settings = context.settings(
                shape,
                bf16=True,
                **{"model.dtype": "bfloat16", "gradient_checkpointing": checkpointing},
                max_steps=3,
                padding="max_length",
            )
            name = f"{shape}, checkpointing {'on' if checkpointing else 'off'}"
            run = Run(name=f"memory-{shape}-{int(checkpointing)}", shape=shape, settings=settings)
            run.train(context)
            peak = run.read(context, "metrics.json")["cost"]["peak_memory_bytes"]
            parts = predicted(shape, settings)
            ratio = peak / sum(parts.values())
            seen = f"{peak / 2**30:.2f} GiB of {sum(parts.values()) / 2**30:.2f}: {ratio:.2f}"
            numbers = {"peak": peak, "parts": parts, "ratio": ratio}
            good = not context.cuda or abs(ratio - 1) <= WITHIN
            expected = f"within {WITHIN:.0%} of the plan" if context.cuda else "is told"
            yield name, expected, seen, good, numbers


def out_of_memory(context: Context) -> Rows:
    """Too large a batch: one message with ways out, nothing left behind, the next run works."""
    huge = context.settings(
        context.large,
        bf16=True,
        **{"model.dtype": "bfloat16"},
        max_steps=2,
        per_device_train_batch_size=4096,
        padding="max_length",
        max_length=4096,
    )
    before = _used()
    try:
        Run(name="too-large", shape=context.large, settings=huge).train(context)
        told = "it ran"
    except RuntimeError as error:
        told = str(error)
    lines = [line for line in told.splitlines() if "memory" in line.lower()]
    good = "memory ran out" in told and "Traceback" not in told.split("memory ran out")[-1]
    yield "out of memory", "one message that names ways out", (lines or [told])[-1], good, {}
    left = (_used() - before) / 2**20
    yield "after it", "nothing stays on the GPU", f"{left:.0f} MiB more in use", left < 64, {}
    small = context.settings(context.small, bf16=True, **{"model.dtype": "bfloat16"})
    Run(name="after-too-large", shape=context.small, settings=small).train(context)
    yield "the next run", "works", "completed", True, {}


def _used() -> int:
    fields = ["--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    answer = subprocess.run(["nvidia-smi", *fields], capture_output=True, text=True, check=True)
    return int(answer.stdout.split()[0]) * 2**20


CHECKS = (
    Check(
        topic="resources",
        name="memory",
        expected="the peak is within 15 % of the plan",
        run=memory,
        seconds=120,
    ),
    Check(
        topic="resources",
        name="out of memory",
        expected="one message, nothing left behind, the next run works",
        run=out_of_memory,
        seconds=80,
        cuda=True,
    ),
)
