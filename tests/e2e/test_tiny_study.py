"""A small study from two files to the report: DeepSpeed really trains, on two ranks."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import psutil
import pytest
import tiny
from huggingface_hub import ModelCard
from waiting import wait_until

from ablation.data.outcomes import answers, load_outcomes

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]

CURRENT = """\
split: {label_column: account, test_size: 0.2, val_size: 0.1, extract_ratio: 0.5, seed: 1}
train:
  serialization: {text_columns: [text], separator: " ", include_column_names: false}
  tokenization: {max_length: 12, padding: longest}
  lora_defaults: &lora
    r: 4
    lora_alpha: 8
    target_modules: [q_proj, v_proj]
    layers_to_transform: [2, 3]
    modules_to_save: [score]
    bias: lora_only
  model: {torch_dtype: float32, gradient_checkpointing: true}
  training_args:
    num_train_epochs: 2
    per_device_train_batch_size: 4
    gradient_accumulation_steps: 1
    learning_rate: 5.0e-3
    load_best_model_at_end: true
    eval_strategy: epoch
    save_strategy: epoch
    metric_for_best_model: accuracy
  lora: {config: {<<: *lora}}
  deepspeed:
    num_gpus: 4
    config:
      train_micro_batch_size_per_gpu: 4
      gradient_accumulation_steps: 1
      zero_optimization: {stage: 2}
      gradient_clipping: 1.0
"""
BACKUP = """\
lora: {r: 8, lora_alpha: 16, target_modules: [q_proj, v_proj], layers_to_transform: [-2, -1],
       modules_to_save: [score], bias: lora_only}
training: {epochs: 3, warmup_ratio: 0.1}
data: {max_length: 16, padding: max_length, extract_ratio: 1.0}
model: {torch_dtype: float32}
deepspeed:
  train_micro_batch_size_per_gpu: 2
  gradient_accumulation_steps: 2
  gradient_clipping: 1.0
  zero_optimization: {stage: 2}
  optimizer: {type: AdamW, params: {lr: 2e-3, weight_decay: 0.002}}
  scheduler:
    type: WarmupCosineLR
    params: {total_num_steps: auto, warmup_num_steps: auto, warmup_type: linear}
"""
STUDY = """\
title: {en: "Tiny", ko: "작은 연구"}
purpose: {en: "See the whole path.", ko: "전체 경로를 확인한다."}
current: training.yml
backup: deepspeed.yml
seeds: [1, 2]
model:
  path: model
  architecture: {num_hidden_layers: 4, hidden_size: 16}
data: {path: rows.csv}
stages:
  - {name: lora, settings: [lora.r, lora.lora_alpha, learning_rate]}
"""
RUNS = 3 * 2


def snakemake(folder: Path, *arguments: str) -> list[str]:
    """The command that runs the tiny study in `folder` on two ranks."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--cores", "2", *arguments]
    return [*command, "--config", f"studies={folder}", "study=tiny", "devices_per_run=2"]


def environment() -> dict[str, str]:
    """The environment of a user who has activated this Python's one."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run(folder: Path, *arguments: str) -> str:
    """What Snakemake printed; it must have succeeded."""
    done = subprocess.run(
        snakemake(folder, *arguments),
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done.stdout + done.stderr


def processes_of(folder: Path) -> list[psutil.Process]:
    """The processes that work in or on `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            on_it = str(folder) in " ".join(process.cmdline()) or process.cwd() == str(folder)
            if on_it and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def write_study(folder: Path) -> Path:
    """A working folder with the tiny study, nothing run yet."""
    study = folder / "tiny"
    tiny.write_model(study / "model")
    (study / "model/model.json").unlink()
    (study / "training.yml").write_text(CURRENT)
    (study / "deepspeed.yml").write_text(BACKUP)
    (study / "study.yaml").write_text(STUDY)
    random.seed(0)
    with (study / "rows.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "account"])
        for _ in range(240):
            label = random.choices(range(4), weights=[4, 3, 2, 1])[0]
            words = random.choices(
                tiny.WORDS[label * 15 : label * 15 + 15], k=random.randint(3, 15)
            )
            writer.writerow([" ".join(words), f"account {label}"])
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A working folder with the tiny study."""
    return write_study(tmp_path_factory.mktemp("work").resolve())


@pytest.fixture(scope="module")
def results(folder) -> Path:
    """The results of the tiny study after it was killed in the middle and run again."""
    started = subprocess.Popen(
        snakemake(folder),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    runs = folder / "results/tiny/runs"
    wait_until(lambda: any(runs.glob("*/*/checkpoints/checkpoint-*")), 400, "a checkpoint")
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    wait_until(lambda: not processes_of(folder), 10, "the processes of the killed run to end")
    run(folder, "--unlock")
    run(folder)
    return folder / "results/tiny"


def load(path: Path) -> dict:
    return json.loads(path.read_text())


def test_every_run_has_metrics_that_fit_their_schema(results):
    schema = load(ROOT / "workflow/schemas/metrics.schema.json")
    found = sorted(results.glob("runs/*/*/metrics.json"))
    assert len(found) == RUNS
    for path in found:
        metrics = load(path)
        jsonschema.validate(metrics, schema)
        assert metrics["status"] == "completed"
        assert metrics["environment"]["world_size"] == 2


def test_every_run_says_what_it_answered_on_each_test_row(results):
    files = sorted((results / "runs").glob("*/*/metrics.json"))
    found = [load_outcomes(file.parent) for file in files]
    for file, outcomes in zip(files, found, strict=True):
        quality = json.loads(file.read_text())["quality"]
        scores = quality[quality["selected"]]
        right = outcomes["label"] == outcomes["predicted"]
        assert right.mean() == pytest.approx(scores["eval_accuracy"])
        assert outcomes["loss"].mean() == pytest.approx(scores["eval_loss"], rel=1e-5)
        assert (outcomes["row"] == found[0]["row"]).all()
        assert (outcomes["label"] == found[0]["label"]).all()


def test_two_ranks_keep_the_effective_batch_of_four_devices(results):
    for path in results.glob("runs/*/*/metrics.json"):
        used = load(path)["environment"]
        rows = used["per_device_train_batch_size"] * used["gradient_accumulation_steps"] * 2
        assert rows == 16


def test_every_step_is_in_the_history_once_though_the_study_was_killed(results):
    for path in results.glob("runs/*/*/history.jsonl"):
        steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
        assert steps == list(range(1, len(steps) + 1))
        assert len(steps) == load(path.with_name("metrics.json"))["optimisation"]["steps"]


def test_arms_of_a_seed_begin_with_the_same_loss_where_they_see_the_same_rows(results):
    grid = load(results / "grid.json")
    variants = {arm["arm"]: arm["variant"] for arm in grid["arms"]}
    for seed in grid["seeds"]:
        first = [
            json.loads(
                (results / f"runs/{variants[arm]}/seed-{seed}/history.jsonl")
                .read_text()
                .splitlines()[0]
            )["loss"]
            for arm in ("current", "stage1-lora")
        ]
        assert first == pytest.approx([first[0]] * 2, rel=1e-6)


def test_checkpoints_are_gone_and_the_adapter_stays(results):
    for path in results.glob("runs/*/seed-*"):
        assert not (path / "checkpoints").exists()
        assert (path / "adapter/adapter_config.json").exists()


def test_every_adapter_predicts_the_same_on_the_whole_base_model(results):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    from ablation.training.rows import load_tables

    found = sorted(results.glob("runs/*/seed-*"))
    assert len(found) == RUNS
    for path in found:
        config, metrics = load(path / "config.json"), load(path / "metrics.json")
        assert metrics["environment"]["path"] == "cached"  # trained above frozen states
        labels = metrics["data"]["num_labels"]
        model = results.parents[1] / config["model_path"]
        base = AutoModelForSequenceClassification.from_pretrained(model, num_labels=labels)
        network = PeftModel.from_pretrained(base, path / "adapter").eval()
        rows = load_tables(results / "data", config["settings"], labels, config["seed"]).test
        with torch.no_grad():
            ids = [torch.as_tensor(rows[place]["input_ids"])[None] for place in range(len(rows))]
            logits = torch.cat([network(input_ids=row).logits for row in ids]).numpy()
        told, outcomes = answers(logits, rows.labels, rows.numbers), load_outcomes(path)
        assert (told["predicted"] == outcomes["predicted"]).all()
        assert told["loss"] == pytest.approx(outcomes["loss"], rel=1e-4, abs=1e-5)


def test_every_adapter_has_a_card_with_its_scores(results):
    for path in results.glob("runs/*/seed-*"):
        card = ModelCard.load(path / "adapter/README.md")
        quality = load(path / "metrics.json")["quality"]
        scores = {one.metric_name: one.metric_value for one in card.data.eval_results}
        assert (card.data.library_name, card.data.base_model) == ("peft", "model")
        expected = quality[quality["selected"]]["eval_accuracy"]
        assert scores["Accuracy"] == pytest.approx(expected, abs=1e-6)
        assert str(results.parents[1]) not in card.content
        assert "시퀀스 분류용 LoRA 어댑터" in ModelCard.load(path / "adapter/README.ko.md").text


def test_both_reports_are_there_and_their_figures_too(results):
    drawn = {figure.name for figure in results.glob("figures/*.svg")}
    for name, own in (("report.md", False), ("report.ko.md", True)):
        text = (results / name).read_text()
        assert "stage1" in text or "LoRA" in text
        shown = set(re.findall(r"\(figures/(.*?)\)", text))
        assert shown == {file for file in drawn if file.endswith(".ko.svg") == own} != set()


def test_the_snakemake_report_has_each_figure_with_its_caption_in_its_language(folder, results):
    run(folder, "--report", str(folder / "snakemake.html"))
    page = (folder / "snakemake.html").read_text()
    for figure in (results / "figures").glob("*.svg"):
        caption = (results / "figures/captions" / f"{figure.stem}.rst").read_text()
        assert json.dumps(caption.split(". ")[0].strip())[1:-1] in page


def test_the_recommended_configuration_is_there(results):
    assert (results / "recommended/training.yml").exists()


def test_a_finished_study_has_nothing_to_do(folder, results):
    assert "Nothing to be done" in run(folder)


def test_a_text_redraws_the_report_and_trains_nothing(folder, results):
    study = folder / "tiny/study.yaml"
    study.write_text(study.read_text().replace('"Tiny"', '"Very tiny"'))
    planned = run(folder, "-n")
    assert "train_run" not in planned and "render_report" in planned
    run(folder)
    assert "Very tiny" in (results / "report.md").read_text()
