"""A finished study without training: files of the true formats, with effects planted in them."""

from __future__ import annotations

import json
import math
import os
import shutil
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ablation.designs.greedy_path import GREEDY_PATH
from ablation.evidence.confirmation import Confirmation
from ablation.evidence.decisions import choose_step
from ablation.evidence.fresh import estimate_confirmation
from ablation.evidence.metrics import collect, save_table
from ablation.results import Results
from ablation.settings.quantities import POOL_ROWS
from ablation.settings.schedules import learning_rates, steps_per_epoch, total_steps
from ablation.study.adaptive import (
    candidates,
    confirmation_grid,
    decided_grid,
    step_arms,
    steps_of_path,
)
from ablation.study.grid import Grid, expand
from ablation.study.load import load_study
from ablation.study.resolved import save_resolved
from ablation.training.summary import noise_around_trend, roughness_around_trend

MEASURED = 1_760_000_000  # 2025-10-09 08:53:20 UTC

TRAINING = """\
split:
  extract_ratio: 0.5
train:
  tokenization:
    model_name: "tiny"
    max_length: 24
    truncation: true
    padding: "longest"
  # LoRA, reused below through the anchor
  lora_defaults: &lora_cfg
    task_type: "SEQ_CLS"
    r: 8
    lora_alpha: 16
    lora_dropout: 0.05
    target_modules: ["q_proj", "v_proj"]
    layers_to_transform: [26, 27, 28, 29]
    modules_to_save: ["score"]
    bias: "lora_only"
  training_args:
    num_train_epochs: 2        # short on purpose
    per_device_train_batch_size: 16
    gradient_accumulation_steps: 1
    learning_rate: 4.0e-4
    weight_decay: 0.01
    warmup_ratio: 0.1
    load_best_model_at_end: true
    eval_strategy: epoch
    save_strategy: epoch
    metric_for_best_model: "accuracy"
  lora:
    config:
      <<: *lora_cfg
  deepspeed:
    num_gpus: 4
    config:
      train_micro_batch_size_per_gpu: 16
      gradient_accumulation_steps: 1
      zero_optimization:
        stage: 2
        offload_optimizer:
          device: "none"
      gradient_clipping: 1.0
"""

DEEPSPEED = """\
lora_defaults: &lora_cfg
  task_type: "SEQ_CLS"
  r: 16
  lora_alpha: 32
  lora_dropout: 0.05
  target_modules: ["q_proj","v_proj"]
  layers_to_transform: [-3, -2, -1]
  modules_to_save: ["score"]
  bias: "lora_only"

learning_rate: &lr 2e-4

ds_base: &ds_base
  train_micro_batch_size_per_gpu: 8
  gradient_accumulation_steps: 2
  zero_optimization:
    stage: 2
    offload_optimizer:
      device: "cpu"
  optimizer:
    type: "AdamW"
    params:
      lr: *lr
      weight_decay: 0.002
  gradient_clipping: 1.0

sched: &sched
  scheduler:
    type: "WarmupCosineLR"
    params:
      total_num_steps: "auto"
      warmup_num_steps: "auto"
      warmup_min_ratio: 0.1
      cos_min_ratio: 0.025
      warmup_type: "linear"

model:
  name: "tiny"
training:
  epochs: 6
  warmup_ratio: 0.1
data:
  max_length: 32
  padding: "max_length"
  truncation: true
  extract_ratio: 1.0
lora: *lora_cfg
deepspeed:
  <<: *ds_base
  <<: *sched
"""

STUDY: dict[str, Any] = {
    "title": {
        "en": "Training parameters compared: account classification",
        "ko": "학습 파라미터 비교: 계정 분류",
    },
    "purpose": {
        "en": "Find out why the backup configuration does better than the current one.",
        "ko": "백업 설정이 현재 설정보다 성능이 좋은 이유를 찾는다.",
    },
    "current": "training.yml",
    "backup": "deepspeed.yml",
    "seeds": [1, 2, 3],
    "metric": {"name": "eval_accuracy", "higher_is_better": True, "delta": 0.01},
    "model": {
        "path": "tiny",
        "architecture": {"num_hidden_layers": 30, "hidden_size": 576, "dtype": "bfloat16"},
    },
    "data": {"path": "rows.csv"},
    "stages": [
        {
            "name": "lora_lr",
            "title": {"en": "LoRA rank/alpha and learning rate", "ko": "LoRA r/alpha와 학습률"},
            "settings": ["lora.r", "lora.lora_alpha", "learning_rate"],
        },
        {
            "name": "epochs",
            "title": {"en": "More epochs", "ko": "에포크 수 증가"},
            "settings": ["num_train_epochs"],
        },
        {
            "name": "regularisation",
            "title": {
                "en": "Weight decay, max length and scheduler",
                "ko": "가중치 감쇠, 최대 길이, 스케줄러",
            },
            "settings": ["weight_decay", "max_length", "lr_scheduler_type"],
        },
    ],
    "claims": {
        "impact": [
            {"setting": "lora.r", "impact": "HIGH"},
            {"setting": "learning_rate", "impact": "HIGH"},
            {"setting": "num_train_epochs", "impact": "HIGH"},
            {"setting": "weight_decay", "impact": "MEDIUM"},
            {"setting": "max_length", "impact": "LOW"},
        ],
        "statements": [
            {
                "id": "stability",
                "text": {"en": "Convergence is steadier", "ko": "수렴이 더 안정적이다"},
                "quantity": "loss_roughness",
                "contrast": "all_stages",
                "unit": "relative_reduction",
                "low": 0.5,
                "high": 0.7,
            },
            {
                "id": "accuracy",
                "text": {"en": "Final accuracy rises", "ko": "최종 정확도가 오른다"},
                "quantity": "eval_accuracy",
                "contrast": "all_stages",
                "unit": "absolute",
                "low": 0.05,
                "high": 0.15,
            },
            {
                "id": "time",
                "text": {"en": "Training takes longer", "ko": "학습 시간이 늘어난다"},
                "quantity": "train_runtime",
                "contrast": "all_stages",
                "unit": "factor",
                "low": 2.5,
                "high": 3.5,
                "beyond": "refuted",
            },
        ],
    },
}

Effect = float | Callable[[int], float]
EFFECTS = {"lora_lr": -0.08, "epochs": 0.19, "regularisation": 0.004, "remainder": 0.05}


@dataclass(frozen=True)
class Synthetic:
    """Where the files of a synthetic study lie."""

    folder: Path
    study: Path
    resolved: Path
    grid: Path
    runs: Path
    profile: Path

    @property
    def results(self) -> Results:
        """All files of its results."""
        return Results(self.folder)


def build_study(
    root: Path,
    *,
    seeds: Collection[int] = (1, 2, 3),
    effects: Mapping[str, Effect] = EFFECTS,
    noise: float = 0.006,
    missing: Collection[tuple[str, int]] = (),
    diverged: Collection[tuple[str, int]] = (),
    study: Mapping[str, Any] = STUDY,
    configurations: Path | None = None,
) -> Synthetic:
    """A study whose arms differ by `effects` in accuracy.

    Effects are by stage, "remainder" or factor; "a×b" is what a and b add when both are on. One
    that is a function is of the rows that an arm draws from.
    `missing` and `diverged` are pairs of arm and seed. A greedy path is walked as the workflow
    walks it, and `grid` is the one that it comes to.
    """
    folder = root / "config" / "studies" / "synthetic"
    folder.mkdir(parents=True)
    if configurations is None:
        (folder / "training.yml").write_text(TRAINING, encoding="utf-8")
        (folder / "deepspeed.yml").write_text(DEEPSPEED, encoding="utf-8")
    else:
        for name in ("training.yml", "deepspeed.yml"):
            shutil.copy(configurations / name, folder / name)
    options = {**study, "seeds": sorted(seeds)}
    text = yaml.safe_dump(options, allow_unicode=True, sort_keys=False)
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    read = load_study(folder / "study.yaml")
    results = Results(root / "results" / "synthetic")
    made = Synthetic(
        results.folder,
        read.file,
        results.study.parent,
        results.grid(read.adaptive),
        results.runs,
        results.profile,
    )
    save_resolved(read, results)
    grid = expand(read).as_json()
    _write(results.planned_grid, grid)
    _write(made.grid, grid)
    _write(made.profile, _profile())
    write_runs(made, grid, effects, noise, set(missing), set(diverged))
    if any(design["design"] == GREEDY_PATH for design in grid["designs"]):
        _walk(made, effects, noise)
    return made


def _walk(made: Synthetic, effects: Mapping[str, Effect], noise: float) -> None:
    study = load_study(made.study)
    among = candidates(study)
    write_runs(made, among.as_json(), effects, noise)
    decisions: list[dict[str, Any]] = []
    for direction in study.designs[GREEDY_PATH]["directions"]:
        path: list[dict[str, Any]] = []
        for step in range(1, steps_of_path(study) + 1):
            base, found = step_arms(study, among, direction, path)
            here = Grid(study.name, [base, *found.values()], study.first_seeds())
            runs = collect(here, made.runs)
            metric = study.options["metric"]
            path.append(choose_step(base, found, runs, metric, direction, step))
        decisions += path
    grid, facts = decided_grid(study, decisions)
    _write(made.grid, {**grid.as_json(), **facts})


def confirm(
    made: Synthetic,
    decision: Mapping[str, Any],
    effects: Mapping[str, Effect],
    noise: float = 0.006,
) -> Confirmation:
    """The verdict of fresh seeds, on runs that are made here as those of the study were."""
    study = load_study(made.study)
    grid = confirmation_grid(study, candidates(study), decision)
    write_runs(made, grid.as_json(), effects, noise)
    runs = collect(grid, made.runs)
    save_table(runs, made.results.confirmation_metrics)
    return estimate_confirmation(grid, runs, study.options["metric"])


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def _profile() -> dict[str, Any]:
    counts = [300, 200, 150, 100, 80, 60, 40, 30, 20, 12, 5, 3]
    return {
        "rows": {
            "read": 1440,
            "without_label": 12,
            "empty_text": 3,
            "single_row_classes": 2,
            "train": sum(counts),
            "validation": 142,
            "test": 283,
        },
        "num_labels": len(counts),
        "label_counts": counts,
        "tokens": {"mean": 17.3, "median": 16, "p95": 29, "p99": 38, "max": 61, "histogram": {}},
        "truncated_share": {"24": 0.118, "32": 0.031},
        "notes": ["12 rows without a label were left out"],
    }


def write_runs(
    made: Synthetic,
    grid: Mapping[str, Any],
    effects: Mapping[str, Effect],
    noise: float = 0.006,
    missing: Collection[tuple[str, int]] = (),
    diverged: Collection[tuple[str, int]] = (),
) -> None:
    """The runs of a grid, each at the level of its arm."""
    levels = {}
    for arm in grid["arms"]:
        on = set(arm["stages"])
        rows = arm["settings"].get(POOL_ROWS)
        told = {name: v(rows) if callable(v) else v for name, v in effects.items()}
        level = 0.55 + sum(v for name, v in told.items() if set(name.split("×")) <= on)
        levels.setdefault(arm["variant"], level)
    for run in grid["runs"]:
        key = run["arm"], run["seed"]
        if key in missing:
            continue
        arm = next(a for a in grid["arms"] if a["arm"] == run["arm"])
        rng = np.random.default_rng([zlib.crc32(run["variant"].encode()), run["seed"]])
        shared = np.random.default_rng(run["seed"]).normal(0, 0.02)
        accuracy = levels[run["variant"]] + shared + rng.normal(0, noise)
        folder = made.runs / run["variant"] / f"seed-{run['seed']}"
        _write_run(folder, grid["study"], arm, run, accuracy, rng, key in diverged)


def _write_run(
    folder: Path,
    study: str,
    arm: Mapping[str, Any],
    run: Mapping[str, Any],
    accuracy: float,
    rng: np.random.Generator,
    has_diverged: bool,
) -> None:
    settings = arm["settings"]
    rows = max(1, round(1000 * settings["data.extract_ratio"]))
    steps = total_steps(settings, rows)
    stop = max(2, steps // 3) if has_diverged else steps
    falling = 0.5 + 2.0 * np.exp(-np.arange(steps) / (0.3 * steps))
    loss = falling * np.exp(rng.normal(0, 0.05 * settings["learning_rate"] / 2e-4, steps))
    norms = np.exp(rng.normal(math.log(4.0), 0.7, steps)) * falling / 2
    rates = learning_rates(settings, steps)
    per_epoch = steps_per_epoch(settings, rows)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps(
            {
                "step": step + 1,
                "epoch": (step + 1) / per_epoch,
                "loss": float(loss[step]),
                "learning_rate": float(rates[step]),
                "grad_norm": float(norms[step]),
            }
        )
        for step in range(stop)
    ]
    (folder / "history.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    block = _quality(accuracy, float(settings["num_train_epochs"]))
    best = _quality(accuracy + 0.004, float(settings["num_train_epochs"]))
    selected = "best" if settings["load_best_model_at_end"] else "final"
    metrics = {
        "schema_version": 1,
        "study": study,
        "variant": run["variant"],
        "seed": run["seed"],
        "settings_hash": f"{zlib.crc32(json.dumps(settings).encode()):08x}",
        "status": "diverged" if has_diverged else "completed",
        "environment": {
            "versions": {"torch": "2.13.0", "transformers": "5.24.0", "deepspeed": "0.19.8"},
            "device": "cpu",
            "device_name": "a processor",
            "world_size": 2,
            "gradient_accumulation_steps": settings["gradient_accumulation_steps"] * 2,
            "per_device_train_batch_size": settings["per_device_train_batch_size"],
            "code_commit": "0123456",
            "path": "cached",
            "path_reason": None,
        },
        "data": {
            "train_rows": rows,
            "validation_rows": 142,
            "test_rows": 283,
            "num_labels": 12,
            "train_labels": 12,
            "truncated_share": 0.118 if settings["max_length"] == 24 else 0.031,
            "mean_tokens": 17.3,
            "real_token_share": 0.8,
        },
        "quality": {
            "selected": selected,
            "final": None if has_diverged else block,
            "best": None if has_diverged else best,
            "epochs": [block],
        },
        "optimisation": {
            "initial_loss": float(loss[0]),
            "ln_num_labels": math.log(12),
            "final_loss": None if has_diverged else float(loss[-1]),
            "grad_norm": {
                name: float(np.quantile(norms[:stop], q))
                for name, q in (
                    ("min", 0),
                    ("q25", 0.25),
                    ("median", 0.5),
                    ("q75", 0.75),
                    ("q95", 0.95),
                    ("max", 1),
                )
            },
            "clipped_share": float((norms[:stop] > settings["max_grad_norm"]).mean()),
            "learning_rate": {
                "first": float(rates[0]),
                "peak": float(rates.max()),
                "last": float(rates[-1]),
                "sum": float(rates.sum()),
            },
            "steps": stop,
            "loss_roughness": roughness_around_trend(loss),
            "loss_noise": noise_around_trend(loss),
        },
        "cost": {
            "train_runtime": float(stop * 0.8 * rng.uniform(0.95, 1.05)),
            "wall_seconds": float(stop * 0.9),
            "train_samples_per_second": 80.0,
            "train_tokens_per_second": 1400.0,
            "peak_memory_bytes": int(1.2e9 * rng.uniform(0.99, 1.01)),
            "trainable_parameters": 40000 * settings["lora.r"],
            "total_parameters": 135_000_000,
        },
    }
    _write(folder / "metrics.json", metrics)
    os.utime(folder / "metrics.json", (MEASURED, MEASURED))


def _quality(accuracy: float, epoch: float) -> dict[str, float]:
    return {
        "epoch": epoch,
        "eval_loss": 2.4 - 2 * accuracy,
        "eval_accuracy": accuracy,
        "eval_macro_f1": accuracy * 0.7,
        "eval_weighted_f1": accuracy * 0.95,
        "eval_f1_frequent": accuracy,
        "eval_f1_middle": accuracy * 0.7,
        "eval_f1_rare": accuracy * 0.4,
    }
