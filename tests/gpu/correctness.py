"""Whether runs on this machine do what was planned, and the fast paths what the plain one does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from rows import Check
from runs import Context, Run, train_all

from ablation.settings.catalogue import KERNELS, PADDING_FREE

# Bounds of losses and of the adapter between two orders of the same sums. fp32: TF32 is off;
# bf16 keeps 8 bits of a number, and a step of AdamW can be one learning rate either way.
BOUNDS = {"float32": (1e-4, 1e-4), "bfloat16": (3e-2, 1e-3)}
# TF32 rounds products to 10 bits: off for what must be equal in fp32.
FP32 = {"NVIDIA_TF32_OVERRIDE": "0"}
Rows = Iterator[tuple[str, str, str, bool, dict[str, Any]]]


def _dtype(name: str) -> dict[str, Any]:
    return {"model.dtype": name, "bf16": name == "bfloat16"}


def _distance(context: Context, one: Run, other: Run) -> dict[str, Any]:
    from safetensors.torch import load_file  # numpy has no bfloat16

    adapters = [
        load_file(run.output(context) / "adapter/adapter_model.safetensors") for run in (one, other)
    ]
    scores = [run.read(context, "metrics.json")["quality"]["final"] for run in (one, other)]
    losses = np.subtract(one.losses(context), other.losses(context))
    return {
        "losses": float(np.abs(losses).max()),
        "adapter": max(
            float((adapters[0][key].float() - adapters[1][key].float()).abs().max())
            for key in adapters[0]
        ),
        "accuracy": [score["eval_accuracy"] for score in scores],
        "eval_loss": [score["eval_loss"] for score in scores],
    }


def _row(name: str, found: dict[str, Any], dtype: str) -> tuple[str, str, str, bool, dict]:
    losses, adapter = BOUNDS[dtype]
    expected = f"losses within {losses:g}, adapter within {adapter:g}, same accuracy ({dtype})"
    first, second = found["accuracy"]
    # Rows of random words lie close to each other: in bf16 one of 32 may fall the other way.
    same = abs(first - second) <= (0 if dtype == "float32" else 1 / 32)
    seen = f"{found['losses']:.2g}, {found['adapter']:.2g}, {first:.3f} and {second:.3f}"
    good = found["losses"] <= losses and found["adapter"] <= adapter and same
    return name, expected, seen, good, found


def same_training(context: Context) -> Rows:
    """Plain against frozen states, and checkpointing with and without its hook."""
    runs = {}
    for dtype in ("float32", "bfloat16"):
        settings = context.settings(context.small, **_dtype(dtype))
        checkpointing = {**settings, "gradient_checkpointing": True}
        own = FP32 if dtype == "float32" else None
        for name, chosen, frozen in (
            ("plain", settings, False),
            ("frozen", settings, True),
            ("checkpointing", checkpointing, False),
            ("frozen-checkpointing", checkpointing, True),
            ("padding-free", {**settings, KERNELS: [PADDING_FREE]}, True),
        ):
            runs[name, dtype] = Run(
                name=f"{name}-{dtype}",
                shape=context.small,
                settings=chosen,
                frozen=frozen,
                environment=own,
            )
    failed = train_all(context, list(runs.values()))
    for dtype in ("float32", "bfloat16"):
        for name in ("frozen", "checkpointing", "frozen-checkpointing", "padding-free"):
            what = f"plain against {name}"
            bad = [
                failed[runs[n, dtype].name] for n in ("plain", name) if failed[runs[n, dtype].name]
            ]
            if bad:
                yield what, "both run", str(bad[0])[-300:], False, {}
                continue
            found = _distance(context, runs["plain", dtype], runs[name, dtype])
            yield _row(what, found, dtype)
    path = runs["frozen", "float32"].read(context, "metrics.json")["environment"]
    told = f"path {path['path']}, last token's layer {path['last_token_layer']}"
    good = path["path"] == "cached" and path["last_token_layer"]
    yield "the frozen run reads states, and prunes the last layer", "both", told, good, path


def resume(context: Context) -> Rows:
    """A run that is killed goes on from its checkpoint, to the same history."""
    settings = context.settings(
        context.small, max_steps=-1, num_train_epochs=2.0, per_device_train_batch_size=16
    )
    whole = Run(name="whole", shape=context.small, settings=settings).train(context)
    killed = Run(name="killed", shape=context.small, settings=settings)
    killed.kill_after_checkpoint(context, patience=120)
    killed.train(context)
    log = (context.folder / "logs/killed.log").read_text()
    went_on = "resuming from" in log
    gap = float(np.abs(np.subtract(whole.losses(context), killed.losses(context))).max())
    seen = f"went on from a checkpoint: {went_on}; losses within {gap:.2g}"
    bound = 1e-4 if context.cuda else 0.0
    expected = f"goes on from a checkpoint; losses within {bound:g}"
    yield "killed with SIGKILL", expected, seen, went_on and gap <= bound, {"losses": gap}


def planned_is_effective(context: Context) -> Rows:
    """Runs whose settings are read back from the built objects; a mismatch fails the run."""
    zero = "deepspeed.zero_optimization"
    cosine = {
        "lr_scheduler_type": "WarmupCosineLR",
        "lr_scheduler_kwargs": {"cos_min_ratio": 0.025, "warmup_type": "linear"},
    }
    asked: dict[str, dict[str, Any]] = {
        "bf16, ZeRO 0, fused AdamW, Trainer's linear": {**_dtype("bfloat16"), f"{zero}.stage": 0},
        "bf16, ZeRO 1, Trainer's cosine": {
            **_dtype("bfloat16"),
            f"{zero}.stage": 1,
            "lr_scheduler_type": "cosine",
        },
        "bf16, ZeRO 2, DeepSpeed's AdamW and WarmupCosineLR": {
            **_dtype("bfloat16"),
            **cosine,
            "optim_implementation": "deepspeed",
        },
        "bf16, ZeRO 3": {**_dtype("bfloat16"), f"{zero}.stage": 3},
        "bf16, ZeRO 2, optimizer on the CPU": {
            **_dtype("bfloat16"),
            f"{zero}.offload_optimizer.device": "cpu",
            "optim_implementation": "deepspeed",
        },
        "bf16, ZeRO 3, optimizer on the CPU": {
            **_dtype("bfloat16"),
            f"{zero}.stage": 3,
            f"{zero}.offload_optimizer.device": "cpu",
            "optim_implementation": "deepspeed",
        },
        "fp32, ZeRO 2": {},
    }
    if context.cuda:
        asked["fp16, ZeRO 2"] = {"fp16": True, "model.dtype": "float16"}
    runs = [
        Run(
            name=f"effective-{number}",
            shape=context.small,
            settings=context.settings(context.small, **changes),
        )
        for number, changes in enumerate(asked.values())
    ]
    failed = train_all(context, runs)
    for what, run in zip(asked, runs, strict=True):
        error = failed[run.name]
        seen = error[-300:] if error else run.read(context, "metrics.json")["status"]
        yield what, "runs, and does what was planned", seen, error is None, {}
    if not context.cuda:
        yield "fp16, ZeRO 2", "runs on a GPU", "needs CUDA", True, {"left_out": True}


CHECKS = (
    Check(
        topic="correctness",
        name="the same training",
        expected="frozen states and checkpointing train as the plain path",
        run=same_training,
        seconds=150,
    ),
    Check(
        topic="correctness",
        name="planned is effective",
        expected="each run does what was planned",
        run=planned_is_effective,
        seconds=120,
    ),
    Check(
        topic="correctness",
        name="resume",
        expected="a killed run goes on to the same history",
        run=resume,
        seconds=70,
    ),
)
