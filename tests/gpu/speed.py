"""Tokens a second, shares of the card's peak, and what a run costs before its first step."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from rows import Check
from runs import ROOT, Context, Run

from ablation.study.cards import peak_of

RAGGED, PADDING_FREE = "frozen, ragged", "frozen, ragged, padding free"
WAYS = ("plain", "checkpointing", "frozen", "all layers", RAGGED, PADDING_FREE)
Rows = Iterator[tuple[str, str, str, bool, dict[str, Any]]]


def steps(context: Context) -> Rows:
    """Steps of the large shape: plain, with checkpointing, above frozen states, LoRA everywhere."""
    model = context.model(context.large, "bfloat16")
    rows, count = (8, 5) if context.cuda else (2, 3)
    found: dict[str, dict[str, Any]] = {}
    peak = peak_of(context.gpu)
    for way in WAYS:
        out = context.folder / "logs" / f"steps-{way.replace(' ', '-')}.log"
        program = [sys.executable, str(ROOT / "tests/gpu/steps.py"), str(model), context.large]
        context.call([*program, way, str(context.tokens), str(rows), str(count)], out)
        found[way] = json.loads(out.read_text().splitlines()[-1])
        seconds, tokens = found[way]["seconds"], found[way]["tokens"]
        share = found[way]["flops"] / seconds / peak if peak else None
        found[way] |= {"tokens_per_second": tokens / seconds, "share_of_peak": share}
        seen = f"{tokens / seconds:,.0f} tokens/s"
        seen += f", {share:.0%} of the card's peak" if share else ""
        must = 0.35 if way == "plain" and peak else None
        expected = f"at least {must:.0%} of the peak" if must else "is told"
        good = must is None or (share or 0) >= must
        yield f"a step, {way}", expected, seen, good, found[way]
    for way, must in (("plain", 2.5), ("checkpointing", 5.5)):
        ratio = found[way]["seconds"] / found["frozen"]["seconds"]
        expected = f"at least {must}×" if context.cuda else "is told"
        good = ratio >= must or not context.cuda
        yield f"frozen states against {way}", expected, f"{ratio:.2f}×", good, {"ratio": ratio}
    ratio = found[RAGGED]["seconds"] / found[PADDING_FREE]["seconds"]
    expected = "more than 1×: else the kernel goes" if context.cuda else "is told"
    good = ratio > 1 or not context.cuda
    yield "texts without padding against padded", expected, f"{ratio:.2f}×", good, {"ratio": ratio}


def fixed_cost(context: Context) -> Rows:
    """A run of one step: what it takes from launch to first step, and the loader's share."""
    settings = context.settings(
        context.small, bf16=True, **{"model.dtype": "bfloat16"}, max_steps=2
    )
    begun = time.monotonic()
    run = Run(name="fixed", shape=context.small, settings=settings).train(context)
    wall = time.monotonic() - begun
    cost = run.read(context, "metrics.json")["cost"]
    rest = wall - cost["train_runtime"]
    seen = f"{wall:.1f} s for a run of 2 steps, {rest:.1f} s of them beside training"
    yield "fixed cost of a run", "is told", seen, True, {"wall": wall, **cost}


CHECKS = (
    Check(
        topic="speed",
        name="steps",
        expected="2.5× the plain step, 5.5× with checkpointing, 35 % of the peak",
        run=steps,
        seconds=110,
    ),
    Check(
        topic="speed",
        name="fixed cost",
        expected="is told",
        run=fixed_cost,
        seconds=40,
    ),
)
