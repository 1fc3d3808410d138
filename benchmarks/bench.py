"""What the cached path saves against Trainer + DeepSpeed, measured in turns; see `make bench`.

    python benchmarks/bench.py [--quick] [--only PART ...]

A1 is the opponent with checkpointing off, A2 as the source has it (gradient_checkpointing: true, so
that transformers differentiates the frozen layers too). Steps and evaluations are timed in one
process, A1, A2, cached, A1, ...; whole jobs are timed from their start to their end, in turns too.
A ratio is void unless the equality gate passes. Writes benchmarks/results.json, docs/benchmarks.md
and docs/benchmarks.svg.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]
# Threads that wait by spinning ruin a measurement on a machine that has other work.
THREADS = int(os.environ.get("BENCH_THREADS", len(os.sched_getaffinity(0))))
os.environ |= {"OMP_WAIT_POLICY": "passive"}
# In a workflow no opponent's job comes between two runs.
os.environ |= {"ABLATION_WARM_IDLE_SECONDS": "900"}
os.environ |= {"OMP_NUM_THREADS": str(THREADS), "DS_ACCELERATOR": "cpu", "HF_HUB_OFFLINE": "1"}

import numpy as np

STUDY = ROOT / "config/studies/debian_sections"
LABELS, LAYERS, TRAINED, BATCH = 8, 30, 8, 4
LORA = {
    "r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "target_modules": ["k_proj", "o_proj", "q_proj", "v_proj"],
    "layers_to_transform": list(range(LAYERS - TRAINED, LAYERS)),
    "modules_to_save": ["score"],
}
# Shares of a layer: what checkpointing computes again, and what the last token's layer leaves out.
RECOMPUTED, SPARED = 0.75, 0.944
EVALUATIONS = 9  # the first is dropped
CACHES = 4  # times that a cache is made
PARTS = ("steps", "memory", "equality", "fixed", "jobs")
# Rows of the table, and the parts of the results that they show.
GRIDS = {
    "grid of 12 runs": "grid",
    "grid, one run at a time": "one at a time",
    "grid, both packed": "all packed",
}
# What it must reach against A1 and A2, and what it aims at.
TARGETS = {
    "step": ((2.1, 2.6), (4.5, 6.0)),
    "evaluation": ((3.3, None), None),
    "one run, one epoch, cold cache": ((0.97, None), (2.0, None)),
    "fixed cost of a run": ((5.0, 10.0), None),
    "grid of 12 runs": ((3.0, 3.5), (5.0, 6.0)),
    "memory of the weights": ((3.0, None), None),
}


def texts_of(tokens: int | None, count: int, model: Path) -> list[list[int]]:
    """Token ids of real package summaries, joined to `tokens` tokens each; None leaves them."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    with (STUDY / "packages.csv").open(encoding="utf-8") as file:
        summaries = [row["summary"] for row in csv.DictReader(file)]
    found, text, start = [], [], 0
    while len(found) < count:
        text += tokenizer.encode(summaries[start % len(summaries)] + ". ").ids
        start += 1
        if tokens is None or len(text) >= tokens:
            found.append(text[:tokens])
            text = []
    return found


def write_data(folder: Path, sizes: dict[str, int], tokens: int | None, model: Path) -> Path:
    """A folder as prepare_data writes it."""
    from datasets import Dataset

    texts = iter(texts_of(tokens, sum(sizes.values()), model))
    for split, size in sizes.items():
        rows = [next(texts) for _ in range(size)]
        columns = {
            "input_ids": rows,
            "label": [i % LABELS for i in range(size)],
            "row": list(range(size)),
            "length": np.array([len(row) for row in rows], dtype=np.int32),
        }
        if split == "train":
            columns["extract_rank"] = [(i + 0.5) / size for i in range(size)]
        Dataset.from_dict(columns).save_to_disk(str(folder / split))
    (folder / "labels.json").write_text(json.dumps([str(i) for i in range(LABELS)]))
    (folder / "profile.json").write_text(json.dumps({"special_tail": []}))
    return folder


def held_out(train: int) -> dict[str, int]:
    """Rows for validation and test, 10 and 20 % of all as the source has it, in whole batches."""
    return {
        name: BATCH * max(1, round(share * train / BATCH))
        for name, share in (("validation", 1 / 7), ("test", 2 / 7))
    }


def settings_of(**changes: Any) -> dict[str, Any]:
    """Settings of an arm of the benchmark."""
    import tiny

    lora = {f"lora.{name}": value for name, value in LORA.items()}
    common = {
        "per_device_train_batch_size": BATCH,
        "per_device_eval_batch_size": BATCH,
        "world_size": 1,
        "learning_rate": 1e-3,
        "max_length": 512,
        "data.extract_ratio": 1.0,
        "lora.bias": "none",
    }
    return tiny.SETTINGS | lora | common | changes


def interval(values: list[float]) -> dict[str, float]:
    """Median of the values, with a bootstrap 95 % interval."""
    draws = np.random.default_rng(0).choice(values, (2000, len(values)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    return {"median": float(np.median(values)), "low": float(low), "high": float(high)}


# Steps and evaluations, in one process


class Contender:
    """A network with its optimizer, timed step by step on given batches."""

    def __init__(self, name: str, config: dict, boundary: int, checkpointing: bool) -> None:
        import torch

        from ablation.training.network import build_network

        self.name = name
        self.network = build_network(config, LABELS, boundary).train()
        self.network.config.pad_token_id = 0
        self.network.get_base_model().config.pad_token_id = 0
        if checkpointing:
            self.network.gradient_checkpointing_enable({"use_reentrant": False})
        self.params = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.params, lr=1e-3, fused=True)
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self.cpu: list[float] = []
        self.loading = 0.0

    def step(self, rows: list[int], table: Any, collator: Any, seed: int) -> None:
        """One step, its loading included."""
        import torch

        torch.manual_seed(seed)
        begun, cpu = time.perf_counter(), time.process_time()
        batch = collator([table[i] for i in rows])
        loaded = time.perf_counter()
        labels = batch.pop("labels")
        loss = torch.nn.functional.cross_entropy(self.network(**batch).logits.float(), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.params, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.seconds.append(time.perf_counter() - begun)
        self.cpu.append(time.process_time() - cpu)
        self.loading += loaded - begun
        self.losses.append(loss.item())

    def evaluate(self, table: Any, collator: Any) -> tuple[float, Any]:
        """Seconds and logits of all rows of a table."""
        import torch

        self.network.eval()
        begun, cpu = time.perf_counter(), time.process_time()
        with torch.no_grad():
            logits = []
            for start in range(0, len(table), BATCH):
                rows = range(start, min(len(table), start + BATCH))
                batch = collator([table[i] for i in rows])
                batch.pop("labels")
                logits.append(self.network(**batch).logits)
        self.evaluation_cpu = time.process_time() - cpu
        seconds = time.perf_counter() - begun
        self.network.train()
        return seconds, torch.cat(logits)


def caching_seconds(settings: dict[str, Any], model: Path, data: Path, folder: Path) -> float:
    """Seconds that making a cache takes, from its first batch to its last."""
    from ablation.frozen.cache import load_bottom, write_caches
    from ablation.frozen.which import wanted_values

    begun = time.perf_counter()
    write_caches(wanted_values([settings]), model / "model.json", data, folder, 10)
    written = time.perf_counter()
    load_bottom(str(model), {"revision": None}, "float32", LAYERS - TRAINED)
    return (written - begun) - (time.perf_counter() - written)


def measure_steps(folder: Path, model: Path, tokens: int, steps: int) -> dict[str, Any]:
    """Ratios of steps and evaluations at one length, and the equality gate."""
    import tiny
    import torch

    from ablation.frozen.cache import Prefix, open_prefix
    from ablation.frozen.top import prune_last_layer
    from ablation.training.request import make_request
    from ablation.training.rows import Collator, load_tables

    torch.set_num_threads(THREADS)
    sizes = {"train": BATCH * steps, **held_out(BATCH * steps)}
    data = write_data(folder / "data", sizes, tokens, model)
    settings = settings_of()
    grid = tiny.write_grid(folder / "grid.json", {"current": settings})
    building = [caching_seconds(settings, model, data, folder / "prefix")]
    config = make_request(
        json.loads(grid.read_text()),
        "current",
        1,
        model / "model.json",
        data,
        folder / "run",
        1,
        folder / "prefix/prefix.json",
    )
    prefix = open_prefix(config)
    assert isinstance(prefix, Prefix), prefix
    plain = load_tables(data, settings, LABELS, 1)
    cached = load_tables(data, settings, LABELS, 1).read_states(prefix)
    collator = Collator(0, None)
    a1 = Contender("A1", config, 0, False)
    a2 = Contender("A2", config, 0, True)
    full = Contender("cached", config, prefix.boundary, False)
    last = Contender("cached, last token", config, prefix.boundary, False)
    prune_last_layer(last.network.get_base_model())
    order = np.arange(BATCH * steps).reshape(steps, BATCH)
    everyone = ((a1, plain), (full, cached), (a2, plain), (last, cached))
    for seed, rows in enumerate(order):
        if seed and seed % max(1, steps // CACHES) == 0:  # the machine's speed drifts
            building.append(caching_seconds(settings, model, data, folder / f"again/{seed}"))
        for who, tables in everyone:
            who.step(rows.tolist(), tables.train, collator, seed)
    evaluations: dict[str, list[float]] = {}
    logits = {}
    for _ in range(EVALUATIONS):
        for who, tables in ((a1, plain), (full, cached), (last, cached)):
            seconds, logits[who.name] = who.evaluate(tables.train, collator)
            evaluations.setdefault(who.name, []).append(seconds)
    evaluations = {name: times[1:] for name, times in evaluations.items()}
    gate = equality(a1, full, last, logits)
    best = min((full, last), key=lambda who: np.median(who.seconds[1:]))

    def ratios(who: Contender, other: Contender) -> dict[str, float]:
        return interval([a / b for a, b in zip(other.seconds[1:], who.seconds[1:], strict=True)])

    eval_rows = len(plain.test) + len(plain.validation)
    eval_a1 = np.median(evaluations["A1"]) / len(plain.train) * eval_rows
    eval_cached = np.median(evaluations[best.name]) / len(plain.train) * eval_rows

    def cold(other: Contender) -> dict[str, float]:
        rest = sum(best.seconds) + eval_cached
        return interval([(sum(other.seconds) + eval_a1) / (made + rest) for made in building])

    found = {
        "tokens": tokens,
        "gate": gate,
        "seconds": {who.name: float(np.median(who.seconds[1:])) for who, _ in everyone},
        "cached": {"A1": ratios(full, a1), "A2": ratios(full, a2)},
        "cached, last token": {"A1": ratios(last, a1), "A2": ratios(last, a2)},
        "best": best.name,
        "evaluation": interval(
            [a / b for a, b in zip(evaluations["A1"], evaluations[best.name], strict=True)]
        ),
        "cold": {"A1": cold(a1), "A2": cold(a2), "building_seconds": building},
        "cpu_time": {
            "cached": cpu_ratios(full, a1, a2),
            "cached, last token": cpu_ratios(last, a1, a2),
        },
        "loader_share": best.loading / sum(best.seconds),
        "disk_bytes_per_token": json.loads((folder / "prefix/prefix.json").read_text())["caches"][
            "float32"
        ]["bytes"]
        / (tokens * sum(sizes.values())),
    }
    found["profile"] = {  # at the end: it takes a step more
        who.name: profile_step(who, order[-1].tolist(), tables.train, collator)
        for who, tables in ((a1, plain), (last, cached))
    }
    return found


def profile_step(who: Contender, rows: list[int], table: Any, collator: Any) -> dict[str, float]:
    """CPU seconds of one more step: matrix products, draws of dropout, attention, and all."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as found:
        who.step(rows, table, collator, 0)
    seconds = {event.key: event.self_cpu_time_total / 1e6 for event in found.key_averages()}
    kinds = {"products": "aten::mm", "dropout": "aten::bernoulli_", "attention": "aten::_scaled"}
    return {
        kind: sum(value for key, value in seconds.items() if key.startswith(start))
        for kind, start in kinds.items()
    } | {"all": sum(seconds.values())}


def cpu_ratios(who: Contender, a1: Contender, a2: Contender) -> dict[str, Any]:
    """Ratios of the CPU time of steps and of an evaluation, which other work disturbs less."""

    def ratio(other: Contender) -> dict[str, float]:
        return interval([a / b for a, b in zip(other.cpu[1:], who.cpu[1:], strict=True)])

    return {
        "A1": ratio(a1),
        "A2": ratio(a2),
        "evaluation": a1.evaluation_cpu / who.evaluation_cpu,
    }


def equality(a1: Contender, full: Contender, last: Contender, logits: dict) -> dict[str, Any]:
    """Whether all contenders trained the same; a failure ends the benchmark."""
    from ablation.training.network import trainable_state

    def distance(one: Contender, other: Contender) -> dict[str, float]:
        left, right = trainable_state(one.network), trainable_state(other.network)
        return {
            "losses": float(np.abs(np.subtract(one.losses, other.losses)).max()),
            "adapter": max(float((left[n] - right[n]).abs().max()) for n in left),
            "logits": float((logits[one.name] - logits[other.name]).abs().max()),
            "same_predictions": bool(
                (logits[one.name].argmax(1) == logits[other.name].argmax(1)).all()
            ),
        }

    found = {who.name: distance(a1, who) for who in (full, last)}
    print("gate:", json.dumps(found), flush=True)
    for name, gate in found.items():
        if gate["losses"] > 1e-5 or not gate["same_predictions"]:
            sys.exit(f"the equality gate fails for {name}: {gate}")
    return found


# Whole jobs


def measure_equality(folder: Path, model: Path, steps: int) -> dict[str, Any]:
    """What differs between a launched run of all layers and a cached one in the warm worker.

    Both take `steps` steps on texts of their natural lengths; a failure ends the benchmark.
    """
    import tiny
    import torch
    from safetensors.torch import load_file

    sizes = {"train": BATCH * steps, "validation": 5 * BATCH, "test": 10 * BATCH}
    data = write_data(folder / "data", sizes, None, model)
    settings = settings_of(num_train_epochs=1.0, learning_rate=2e-4)
    tiny.write_grid(folder / "grid.json", {"one": settings})
    make_cache(folder, data, model)
    runs = {name: folder / f"{name}/runs/one/seed-1" for name in ("plain", "cached")}
    cached_seconds(folder / "cached", folder, model, "one", 1)
    inputs = {"grid": folder / "grid.json", "model": model / "model.json", "data": data}
    command = [sys.executable, str(ROOT / "scripts/train_run.py"), "--variant", "one"]
    command += ["--results", tiny.as_results(folder / "plain", **inputs)]
    command += ["--seed", 1, "--threads", THREADS]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    losses, adapters, scores = {}, {}, {}
    for name, run in runs.items():
        lines = (run / "history.jsonl").read_text().splitlines()
        losses[name] = [json.loads(line)["loss"] for line in lines]
        adapters[name] = load_file(run / "adapter/adapter_model.safetensors")
        metrics = json.loads((run / "metrics.json").read_text())
        assert metrics["environment"]["path"] == name, metrics["environment"]
        scores[name] = metrics["quality"]["final"]
    found = {
        "steps": len(losses["plain"]),
        "losses": float(np.abs(np.subtract(*losses.values())).max()),
        "adapter": max(
            float((adapters["plain"][key] - adapters["cached"][key]).abs().max())
            for key in adapters["plain"]
        ),
        "same_bits": all(map(torch.equal, *(list(a.values()) for a in adapters.values()))),
        "accuracy": [score["eval_accuracy"] for score in scores.values()],
        "eval_loss": [score["eval_loss"] for score in scores.values()],
    }
    print("gate of whole runs:", json.dumps(found), flush=True)
    if found["losses"] > 1e-5 or found["adapter"] > 1e-5 or len(set(found["accuracy"])) > 1:
        sys.exit(f"the equality gate fails for whole runs: {found}")
    return found


def opponent_seconds(
    folder: Path, job: dict[str, Any], checkpointing: bool, threads: int = THREADS
) -> dict[str, float]:
    """Wall time of an opponent's job, and of its steps."""
    from ablation.machine.launcher import job_environment
    from ablation.machine.process import free_port, remove_shared_memory

    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(job))
    port = free_port()
    command = [sys.executable, "-m", "deepspeed.launcher.runner", "--hostfile", os.devnull]
    command += ["--num_gpus", "1", "--master_port", str(port)]
    command += [str(ROOT / "benchmarks/opponent.py"), "--run", str(folder)]
    command += ["--gradient-checkpointing"] * checkpointing
    begun = time.perf_counter()
    with (folder / "log").open("w") as log:
        subprocess.run(
            command, check=True, stdout=log, stderr=log, env=job_environment(threads, 1, False)
        )
    wall = time.perf_counter() - begun
    remove_shared_memory(port)
    return {"wall": wall, "steps": sum(json.loads((folder / "times.json").read_text())["steps"])}


def cached_seconds(
    folder: Path, base: Path, model: Path, arm: str, seed: int, threads: int = THREADS
) -> dict[str, float]:
    """Wall time of one of our runs, and of its steps; `folder` takes the place of its results."""
    import tiny

    inputs = {"grid": base / "grid.json", "model": model / "model.json", "data": base / "data"}
    results = tiny.as_results(folder, states=base / "prefix/prefix.json", **inputs)
    command = [sys.executable, str(ROOT / "scripts/train_run.py"), "--variant", arm]
    command += ["--results", results, "--seed", seed]
    command += ["--warm", base / ".warm", "--threads", threads]
    begun = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    wall = time.perf_counter() - begun
    run = folder / f"runs/{arm}/seed-{seed}"
    cost = json.loads((run / "metrics.json").read_text())["cost"]
    return {"wall": wall, "steps": cost["train_runtime"]}


def make_cache(folder: Path, data: Path, model: Path) -> None:
    """The cache of `folder`'s grid, by the workflow's script; it starts the worker."""
    import tiny

    from ablation.frozen.which import wanted_values

    arms = json.loads((folder / "grid.json").read_text())["arms"]
    wanted = json.dumps(wanted_values(arm["settings"] for arm in arms))
    command = [sys.executable, str(ROOT / "scripts/cache_prefix.py"), "--threads", THREADS]
    results = tiny.as_results(folder, model=model / "model.json", data=data)
    command += ["--wanted", wanted, "--results", results, "--warm", folder / ".warm"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


def seconds_of_each(jobs: list[Callable[[int], Any]]) -> float:
    """Wall time of jobs, of one of them: as many at a time as there are cores, a thread each.

    So the workflow runs them on a machine without a GPU.
    """
    begun = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(job, 1) for job in jobs]:
            done.result()
    return (time.perf_counter() - begun) / len(jobs)


def measure_jobs(folder: Path, model: Path, quick: bool) -> dict[str, Any]:
    """The whole grid of 4 arms, 3 seeds and 3 epochs, one run at a time and packed."""
    import tiny

    sizes = {"train": 5 * BATCH, **held_out(5 * BATCH)}  # A2 trains 40 to 55 s
    data = write_data(folder / "data", sizes, 128, model)
    arms = {
        f"lr{n}": settings_of(learning_rate=n * 1e-3, num_train_epochs=3.0) for n in (1, 2, 3, 4)
    }
    tiny.write_grid(folder / "grid.json", arms)
    common = {"data": str(data), "model": str(model), "num_labels": LABELS, "lora": LORA}
    job = common | {"batch": BATCH, "epochs": 3}
    begun = time.perf_counter()
    make_cache(folder, data, model)
    building = time.perf_counter() - begun
    seeds = (1,) if quick else (1, 2, 3)
    alone: dict[str, list[dict[str, float]]] = {"A1": [], "A2": [], "cached": []}
    packed: dict[str, list[float]] = {"A1": [], "A2": [], "cached": []}
    for seed in seeds:
        out = folder / f"seed-{seed}"
        each = [
            partial(cached_seconds, out / f"packed/{arm}", folder, model, arm, seed) for arm in arms
        ]
        packed["cached"].append(seconds_of_each(each))
        alone["cached"].append(cached_seconds(out / "alone", folder, model, "lr1", seed))
        for who, checkpointing in (("A1", False), ("A2", True)):
            alone[who].append(opponent_seconds(out / who, job, checkpointing))
            each = [
                partial(opponent_seconds, out / f"{who}-{n}", job, checkpointing)
                for n in range(THREADS)
            ]
            packed[who].append(seconds_of_each(each))
        print(seed, {k: v[-1] for k, v in alone.items()}, flush=True)
        print(seed, "packed", {k: v[-1] for k, v in packed.items()}, flush=True)
    runs = 12
    walls = {who: [t["wall"] for t in times] for who, times in alone.items()}

    def grid(theirs: dict[str, list[float]], ours: dict[str, list[float]]) -> dict[str, Any]:
        mine = [building / runs + wall for wall in ours["cached"]]  # against the same minutes
        return {
            who: interval([a / b for a, b in zip(theirs[who], mine, strict=True)])
            for who in ("A1", "A2")
        } | {"seconds": float(runs * np.mean(mine))}

    return {
        "grid": grid(walls, packed),
        "one at a time": grid(walls, walls),
        "all packed": grid(packed, packed),
        "step_within_jobs": {
            who: interval(
                [a["steps"] / b["steps"] for a, b in zip(alone[who], alone["cached"], strict=True)]
            )
            for who in ("A1", "A2")
        },
        "building_seconds": building,
        "seeds": len(seeds),
        "at_once": THREADS,
        "alone": alone,
        "packed": packed,
        "beyond_steps": {
            who: interval([t["wall"] - t["steps"] for t in alone[who]]) for who in ("cached", "A1")
        },
    }


def measure_fixed(folder: Path, model: Path, repeats: int) -> dict[str, Any]:
    """Fixed cost: jobs of one short step, wall time less the step, in turns."""
    import tiny

    data = write_data(folder / "data", {"train": 4, "validation": 4, "test": 4}, 8, model)
    settings = settings_of(num_train_epochs=1.0)
    tiny.write_grid(folder / "grid.json", {"one": settings})
    make_cache(folder, data, model)
    job = {"data": str(data), "model": str(model), "num_labels": LABELS, "lora": LORA}
    job |= {"batch": 4, "epochs": 1}
    pairs = []
    for turn in range(repeats + 1):
        ours = cached_seconds(folder / f"runs/{turn}", folder, model, "one", 1)
        theirs = opponent_seconds(folder / f"A1-{turn}", job, False)
        pairs.append((theirs["wall"] - theirs["steps"], ours["wall"] - ours["steps"]))
    kept = pairs[1:]  # the first starts the worker and compiles
    return {
        "ratio": interval([a / b for a, b in kept]),
        "A1_seconds": interval([a for a, _ in kept]),
        "cached_seconds": interval([b for _, b in kept]),
        "first_seconds": {"A1": pairs[0][0], "cached": pairs[0][1]},
    }


def measure_memory(model: Path) -> dict[str, float]:
    """Resident bytes that loading the weights adds, plain and cached."""
    code = (
        "import sys,gc;sys.path[:0]=sys.argv[3:5]\n"
        "import bench,psutil,torch\n"
        "from ablation.training.network import build_network\n"
        "from pathlib import Path\n"
        "boundary=int(sys.argv[1]);model=sys.argv[2]\n"
        "config={'model':{'revision':None},'model_path':model,'settings':bench.settings_of(),'seed':1}\n"
        "from ablation.frozen.top import build_top\n"
        "me=psutil.Process();before=me.memory_info().rss\n"
        "net=build_network(config,8,boundary)\n"
        "[p.sum().item() for p in net.parameters()];gc.collect()\n"
        "print(sum(p.numel()*4 for p in net.parameters()),me.memory_info().rss-before)\n"
    )
    found = {}
    for name, boundary in (("plain", 0), ("cached", LAYERS - TRAINED)):
        result = subprocess.run(
            [
                sys.executable,
                "-c",
                code,
                str(boundary),
                str(model),
                str(ROOT / "benchmarks"),
                str(ROOT / "scripts"),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        weights, rss = result.stdout.split()[-2:]
        found[name], found[f"{name}_rss"] = float(weights), float(rss)
    return found | {
        "ratio": found["plain"] / found["cached"],
        "rss_ratio": found["plain_rss"] / found["cached_rss"],
    }


# What comes out


def rows_of(results: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """(what, ratio against A1, ratio against A2): numbers or intervals, None if not measured."""
    long, jobs = results["steps"]["128"], results["jobs"]
    best = long["best"]
    return [
        ("step", long[best]["A1"], long[best]["A2"]),
        ("evaluation", long["evaluation"], None),
        ("one run, one epoch, cold cache", long["cold"]["A1"], long["cold"]["A2"]),
        ("fixed cost of a run", results["fixed"]["ratio"], None),
        *((name, jobs[key]["A1"], jobs[key]["A2"]) for name, key in GRIDS.items()),
        ("memory of the weights", results["memory"]["ratio"], None),
    ]


def told(value: Any) -> str:
    """A ratio as text."""
    if value is None:
        return "–"
    if isinstance(value, dict):
        return f"{value['median']:.2f}× ({value['low']:.2f}–{value['high']:.2f})"
    return f"{value:.2f}×"


def aim(target: tuple | None) -> str:
    """What must be reached, and what is aimed at."""
    if target is None:
        return "–"
    return f"≥ {target[0]:g}×" + (f", target {target[1]:g}×" if target[1] else "")


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = ["| what | A1 | must | A2 | must |", "| --- | --- | --- | --- | --- |"]
    for what, one, two in rows_of(results):
        must = TARGETS.get(what, (None, None))
        lines.append(f"| {what} | {told(one)} | {aim(must[0])} | {told(two)} | {aim(must[1])} |")
    share = results["steps"]["128"]["loader_share"]
    lines.append(f"| loader, share of a step | {100 * share:.2f} % | ≤ 5 % | – | – |")
    return "\n".join(lines)


def page(results: dict[str, Any]) -> str:
    """docs/benchmarks.md."""
    gate = results["steps"]["128"]["gate"]
    short, long = results["steps"]["24"], results["steps"]["128"]
    gates = "\n".join(
        f"- {name}: losses within {g['losses']:.2g}, adapter within {g['adapter']:.2g}, logits"
        f" within {g['logits']:.2g}, same predictions"
        for name, g in gate.items()
    )
    seconds = "\n".join(
        f"| {name} | {short['seconds'][name]:.3f} | {long['seconds'][name]:.3f} |"
        for name in long["seconds"]
    )
    jobs, fixed = results["jobs"], results["fixed"]
    return f"""# Benchmarks

Written by `make bench`{" in its quick mode: too few repetitions to quote" * results["quick"]}.
SmolLM2-135M, LoRA on the last {TRAINED} of {LAYERS} layers, fp32, batches of {BATCH} real
texts of 128 tokens, on {results["machine"]}. A1 is Trainer with
DeepSpeed ZeRO-2 and checkpointing off; A2 is the same with `gradient_checkpointing: true`. Medians
of ratios, with bootstrap 95 % intervals; load average {results["load"]}.

{table(results)}

![Speed-ups against A1 and A2](benchmarks.svg)

The same training, measured on this machine against A1 with the same batches and seeds:

{gates}
- whole runs of {results["equality"]["steps"]} steps on texts of their natural lengths, launched
  with all layers against cached in the warm worker: losses within
  {results["equality"]["losses"]:.2g}, adapter within {results["equality"]["adapter"]:.2g}, same
  accuracy

Seconds of a step:

| | 24 tokens | 128 tokens |
| --- | --- | --- |
{seconds}

What limits a step

- In floating-point operations, {limits()}.
- A profile of one step, in CPU seconds: {profile_text(long["profile"])}. The adapters' small
  matrix products and dropout are the same on both paths, so the ratio stays below that of the
  frozen layers.

Notes

- Steps and evaluations alternate in one process. Jobs alternate too: for each of the
  {jobs["seeds"]} seeds our four runs, and one job of each kind of the opponent's, which stands for
  its four. All evaluate and save after each of the 3 epochs, and test the best weights. The grid
  includes starting the worker and making the cache ({jobs["building_seconds"]:.1f} s).
- Cold cache: an epoch of steps, one evaluation of the validation and test rows, and for the cached
  path the making of the cache, which is done {CACHES} times among the steps.
- The grid's runs go {jobs["at_once"]} at a time with one thread each, as the workflow packs them by
  default; the opponent's go one after another with {jobs["at_once"]} threads, as a loop over
  `deepspeed` runs them. The two rows below tell what remains where both go one at a time, and where
  the opponent is packed the same way.
- Fixed cost: jobs of one short step, less the step: {fixed["A1_seconds"]["median"]:.2f} s launched,
  {fixed["cached_seconds"]["median"]:.2f} s in the warm worker.
- The weights' resident memory shrinks {results["memory"]["rss_ratio"]:.2f}×, their own bytes
  {results["memory"]["ratio"]:.2f}×.
- The cache takes {long["disk_bytes_per_token"]:.0f} bytes for each token.
- On the disk of the machine the cache was in memory; a cold disk adds its reading time.
"""


def limits() -> str:
    """Ratios of operations, of layers that a token passes forward or backward once."""
    plain, cached = LAYERS + TRAINED, 2 * TRAINED
    hooked, pruned = (2 + RECOMPUTED) * LAYERS, cached - 2 * SPARED
    return (
        f"a cached step is {plain / cached:.2f} times cheaper than A1's and {hooked / cached:.2f}"
        f" times than A2's; with the last token's layer {plain / pruned:.2f} and"
        f" {hooked / pruned:.2f} times"
    )


def profile_text(profile: dict[str, dict[str, float]]) -> str:
    """Where the time of a step goes."""
    return "; ".join(
        f"{name} {found['all']:.2f}, of which products {found['products']:.2f}, dropout's draws"
        f" {found['dropout']:.2f}, attention {found['attention']:.2f}"
        for name, found in profile.items()
    )


def draw(results: dict[str, Any], path: Path) -> None:
    """A bar for each ratio."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    rows = rows_of(results)
    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    for shift, column, name in ((-0.2, 1, "A1: checkpointing off"), (0.2, 2, "A2: as the source")):
        points = [(i, row[column]) for i, row in enumerate(rows) if row[column] is not None]
        ranges = [
            v if isinstance(v, dict) else dict.fromkeys(("median", "low", "high"), v)
            for _, v in points
        ]
        values = [v["median"] for v in ranges]
        ends = [[v["median"] - v["low"] for v in ranges], [v["high"] - v["median"] for v in ranges]]
        axes.barh([i + shift for i, _ in points], values, 0.38, xerr=ends, capsize=2, label=name)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("times faster, or smaller")
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure, print the table, write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few repetitions: no figures to quote")
    parser.add_argument("--model", type=Path, default=ROOT / "results/debian_sections/model")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, help="keep what else results.json has"
    )
    parser.add_argument("--scratch", type=Path, help="folder for data and runs")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=args.scratch))
    model, quick, file = args.model.resolve(), args.quick, ROOT / "benchmarks/results.json"
    measure = {
        "steps": lambda at: {
            str(tokens): measure_steps(at / str(tokens), model, tokens, 4 if quick else 16)
            for tokens in (24, 128)
        },
        "memory": lambda at: measure_memory(model),
        "equality": lambda at: measure_equality(at, model, 10 if quick else 50),
        "fixed": lambda at: measure_fixed(at, model, 1 if quick else 3),
        "jobs": lambda at: measure_jobs(at, model, quick),
    }
    results = {} if set(args.only) == set(PARTS) else json.loads(file.read_text())
    results |= {"machine": f"{platform.machine()}, {THREADS} threads", "quick": quick}
    try:
        for part in args.only:
            results[part] = measure[part](folder / part)
            print(part, json.dumps(results[part], indent=1), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    results["load"] = f"{os.getloadavg()[2]:.2f}"
    print(table(results))
    file.write_text(json.dumps(results, indent=1) + "\n")
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs/benchmarks.md").write_text(page(results))
    draw(results, ROOT / "docs/benchmarks.svg")


if __name__ == "__main__":
    main()
