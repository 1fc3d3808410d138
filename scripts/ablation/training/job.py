"""One run on one rank, from config.json to metrics.json."""

from __future__ import annotations

import json
import logging
import os
import platform
import resource
import shutil
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from transformers import (
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import logging as hf_logging

from ablation.data.outcomes import OUTCOMES, answers, save_outcomes
from ablation.data.request import Request
from ablation.files import save_text
from ablation.frozen.cache import Prefix, load_bottom, open_prefix
from ablation.frozen.top import (
    checkpointing_is_needed,
    compute_missing,
    prune_last_layer,
    whole_size,
)
from ablation.machine.attempts import HISTORY, all_attempts, read_attempts
from ablation.machine.pulse import END, Pulse
from ablation.project import SCHEMAS
from ablation.settings.architecture import is_full
from ablation.settings.catalogue import Settings
from ablation.settings.quantities import engine_dtype, kernels_of
from ablation.study.run_metrics import read_metrics
from ablation.sums import files_below, sealed, sums_of
from ablation.training import intent as plan
from ablation.training.card import card_name, model_card
from ablation.training.effective import compare, planned_effective, read_effective
from ablation.training.interval import Pace, seconds_between_failures
from ablation.training.marks import pass_over
from ablation.training.network import (
    base_of,
    build_network,
    load_trainable_state,
    trainable_state,
    whole_parameters,
)
from ablation.training.pickles import read_as_data, why_foreign
from ablation.training.request import PACKAGES
from ablation.training.rows import Collator, Rows, Tables, load_tables
from ablation.training.summary import load_history, summarize_history
from ablation.training.trainer import (
    Checkpoints,
    Heart,
    Recorder,
    RunTrainer,
    WeightedLoss,
    restore,
)
from ablation.words.catalogue import LANGUAGES

log = logging.getLogger(__name__)
LAST_TOKEN_FROM = 16  # mean tokens of a training text: a step is 1.2x as fast at 22, above 3 layers


class EffectiveCheck(TrainerCallback):
    """Writes effective.json when the engine stands, and stops a run that isn't its arm."""

    def __init__(self, config: Request, batch: plan.Batch) -> None:
        self.config, self.batch = config, batch
        self.trainer: RunTrainer | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Read, write and compare before the first step."""
        settings, model = self.config["settings"], self.config["model"]["architecture"]
        trainer = self.trainer
        assert trainer is not None, "it is there before it trains"
        found = read_effective(trainer, settings, trainer.train_dataset.max_length)
        planned = planned_effective(settings, self.batch, self.config["seed"], model)
        base = base_of(trainer.model)
        if args.activation_checkpointing and hasattr(base, "frozen_layers"):
            self.skip_checkpointing(base, trainer.train_dataset, settings)
        if args.use_cpu:
            del planned["dataloader_pin_memory"]  # without a GPU transformers pins nothing
        if state.is_world_process_zero:
            write_json(Path(self.config["output"]) / "effective.json", found)
        compare(found, planned)

    def skip_checkpointing(self, base: Any, rows: Rows, settings: Settings) -> None:
        """Keep the few layers' activations where they fit: the values are the same, but faster."""
        width = max(pad_to(settings) or 0, int(rows.lengths.max()))
        param = next(base.parameters())
        free = torch.cuda.mem_get_info()[0] if param.is_cuda else psutil.virtual_memory().available
        tokens = self.batch.micro * width
        if not checkpointing_is_needed(base, tokens, param.element_size(), free):
            base.activation_checkpointing_disable()
            log.info("the layers above the cache fit into memory without gradient checkpointing")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a run has to do.

    Attributes:
        config: The contents of config.json.
        batch: How its effective batch is cut.
        tables: Its rows.
        num_labels: Classes.
    """

    config: Request
    batch: plan.Batch
    tables: Tables
    num_labels: int

    @property
    def settings(self) -> Settings:
        """The arm's settings."""
        return self.config["settings"]

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.config["seed"]

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.config["output"])


@dataclass(frozen=True, kw_only=True)
class Training:
    """The Trainer of a run with what records it and keeps its checkpoints."""

    trainer: RunTrainer
    recorder: Recorder
    keeper: Checkpoints


def run_job(run_dir: Path) -> None:
    """Train, evaluate and record the run that `run_dir`/config.json describes."""
    config = json.loads((run_dir / "config.json").read_text())
    quiet_libraries()
    labels = json.loads((Path(config["data"]) / "labels.json").read_text())
    batch = plan.Batch(**config["batch"])
    set_seed(config["seed"])
    arguments = make_arguments(config, batch, run_dir / "checkpoints")
    tables = load_tables(Path(config["data"]), config["settings"], len(labels), config["seed"])
    job = Job(config=config, batch=batch, tables=tables, num_labels=len(labels))
    with whole_parameters(arguments):
        network, path = make_network(job)
    pad_id = 0 if path["path"] == "cached" else set_padding(network, tables)
    training = make_training(job, arguments, network, pad_id)
    set_seed(job.seed)  # building may draw differently in each arm; dropout begins alike
    training.trainer.train(resume_from_checkpoint=resume(job, training))
    finish(job, training, path)


def make_network(job: Job) -> tuple[Any, dict[str, Any]]:
    """The network of the run, and how its frozen layers are computed, for metrics.json."""
    prefix, reason = choose_path(job.config)
    if prefix is None:
        network = build_network(job.config, job.num_labels)
        path = {"path": "plain", "path_reason": reason, "cached_share": 0.0}
        return network, {**path, "last_token_layer": False}
    job.tables.read_states(prefix)
    network = build_network(job.config, job.num_labels, prefix.boundary)
    share = job.tables.cached_share()
    if share < 1:
        log.info("the cache has %.1f %% of the rows, the others are computed", 100 * share)
        bottom = load_frozen(job.config, prefix.boundary)
        compute_missing(network.get_base_model(), bottom)
    path = {"path": "cached", "path_reason": reason, "cached_share": share}
    return network, {**path, "last_token_layer": prune(network, job.tables)}


def choose_path(config: Request) -> tuple[Prefix | None, str | None]:
    """The cache of the frozen layers, or None and the reason why all layers are computed."""
    prefix = open_prefix(config)
    if isinstance(prefix, Prefix):
        log.info("the states of the first %d layers come from the cache", prefix.boundary)
        return prefix, None
    log.info("all layers are computed: %s", prefix)
    return None, prefix


def load_frozen(config: Request, layers: int) -> Any:
    """The first layers, as those that made the cache."""
    dtype = engine_dtype(config["settings"])
    kernels = kernels_of(config["settings"])
    return load_bottom(config["model_path"], config["model"], dtype, layers, kernels)


def prune(network: Any, tables: Tables) -> bool:
    """Whether the last layer computes the last tokens only: where texts are long enough."""
    if tables.train.lengths.mean() < LAST_TOKEN_FROM:
        return False
    return prune_last_layer(network.get_base_model())


def quiet_libraries() -> None:
    """Rank 0 tells what happens; libraries and other ranks speak up for warnings only."""
    logging.getLogger().setLevel(logging.WARNING)
    if os.environ.get("RANK", "0") == "0":
        logging.getLogger("ablation").setLevel(logging.INFO)
    logging.getLogger("accelerate").setLevel(logging.ERROR)  # Trainer accumulates, it doesn't
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()


def make_arguments(config: Request, batch: plan.Batch, checkpoints: Path) -> TrainingArguments:
    """TrainingArguments of the run; they also start the process group."""
    arguments = plan.training_arguments(config["settings"], batch, config["seed"], str(checkpoints))
    return TrainingArguments(
        **arguments, deepspeed=config["deepspeed"], use_cpu=not torch.cuda.is_available()
    )


def set_padding(network: Any, tables: Tables) -> int:
    """The padding token, set where the classification head looks for it."""
    model_config = network.config.get_text_config()
    ends = model_config.eos_token_id
    candidates = [model_config.pad_token_id, *(ends if isinstance(ends, list) else [ends])]
    last = set[int]().union(*(rows.last_tokens() for rows in tables.parts))
    pad_id = plan.choose_pad_id(candidates, last, model_config.vocab_size)
    network.config.pad_token_id = model_config.pad_token_id = pad_id
    return pad_id


def make_training(job: Job, arguments: TrainingArguments, network: Any, pad_id: int) -> Training:
    """The Trainer of the run with what records it."""
    settings, tables = job.settings, job.tables
    weights = None
    if settings["loss.use_class_weights"]:
        weights = plan.class_weights(tables.train.labels, job.num_labels, settings)
    recorder = Recorder(job.folder, *plan.selection_metric(settings))
    pulse = Pulse()
    keeper = Checkpoints(
        job.folder / "checkpoints", recorder, pulse, pace_of(job), seconds_since_start()
    )
    check = EffectiveCheck(job.config, job.batch)
    trainer = RunTrainer(
        loss=WeightedLoss(weights, settings["label_smoothing_factor"]),
        train_counts=tables.train_counts,
        pulse=pulse,
        model=network,
        args=arguments,
        train_dataset=tables.train,
        eval_dataset=tables.validation,
        data_collator=Collator(pad_id, pad_to(settings)),
        callbacks=[check, recorder, keeper, Heart(pulse)],
    )
    check.trainer = trainer
    return Training(trainer=trainer, recorder=recorder, keeper=keeper)


def pace_of(job: Job) -> Pace:
    """How often the run saves: as the study states it, or by what its attempts have told."""
    minutes = job.config.get("checkpoint_minutes")
    if minutes is not None:
        return Pace(minutes=minutes)
    past = all_attempts(job.folder.resolve().parents[1])
    return Pace(between_failures=seconds_between_failures(past.seconds, past.failed))


def pad_to(settings: Settings) -> int | None:
    """Least width that the arm pads each row to, None for the longest of a batch."""
    return settings["max_length"] if settings["padding"] == "max_length" else None


def seconds_since_start() -> float:
    """Seconds since the launcher began, as the supervisor noted it."""
    return time.time() - float(os.environ.get("ABLATION_STARTED", time.time()))


def resume(job: Job, training: Training) -> str | None:
    """Checkpoint to go on from, with the recorder set to it; None begins anew."""
    first = int(os.environ.get("RANK", "0")) == 0
    read_as_data()
    with training.trainer.args.main_process_first(local=False):
        pass_over(job.folder / "checkpoints", why_foreign)
    checkpoint = get_last_checkpoint(str(job.folder / "checkpoints"))
    if checkpoint is None:
        return None
    training.keeper.started -= restore(training.recorder, Path(checkpoint))
    if first:
        log.info("resuming from %s", checkpoint)
        shutil.copyfile(Path(checkpoint) / HISTORY, job.folder / HISTORY)
    return checkpoint


def finish(job: Job, training: Training, path: dict[str, Any]) -> None:
    """Evaluate on the test rows, save the adapter and outcomes.npy, then write metrics.json."""
    trainer, recorder = training.trainer, training.recorder
    selected = "best" if job.settings["load_best_model_at_end"] else "final"
    quality: dict[str, Any] = {"selected": selected, "final": None, "best": None}
    quality["epochs"] = recorder.epochs
    outcomes = None
    if not recorder.diverged:
        scores, outcomes = test_scores(trainer, recorder, job.tables, selected)
        quality |= scores
        if job.tables.tuning is not None:  # with the selected weights, which are in place
            quality["tuning"] = trainer.evaluate(job.tables.tuning)
    trainer.pulse.beat(END, trainer.state.global_step)
    memory, state = peak_memory_bytes(trainer), trainable_state(trainer.model)
    if not trainer.is_world_process_zero():
        return
    if not is_full(job.settings):  # whole models would fill the disk
        trainer.model.save_pretrained(
            job.folder / "adapter", state_dict=state, save_embedding_layers=False
        )
    if outcomes is not None:
        save_outcomes(outcomes, job.folder)
    metrics = make_metrics(job, training, path, quality, memory)
    if not is_full(job.settings):
        run = read_metrics(metrics)
        for language in LANGUAGES:
            card = job.folder / "adapter" / card_name(language)
            card.write_text(model_card(job.config, run, language), encoding="utf-8")
    metrics = sealed(metrics | {"sums": sums_of(job.folder, result_files(job.folder))})
    validate_metrics(metrics)
    write_json(job.folder / "metrics.json", metrics)
    log.info("%s: %s", metrics["status"], job.folder / "metrics.json")


def make_metrics(
    job: Job, training: Training, path: dict[str, Any], quality: dict[str, Any], memory: int
) -> dict[str, Any]:
    """Contents of metrics.json, but for its seal and the sums of the files beside it."""
    history = load_history(job.folder / HISTORY)
    limit = job.settings["max_grad_norm"]
    return {
        "schema_version": 1,
        **{name: job.config[name] for name in ("study", "variant", "seed", "settings_hash")},
        "status": "diverged" if training.recorder.diverged else "completed",
        "environment": environment(job, training.trainer) | path,
        "data": data_block(job),
        "quality": quality,
        "optimisation": summarize_history(history, limit, job.num_labels),
        "cost": cost_block(job, training, memory, len(history)),
    }


def result_files(run_dir: Path) -> list[Path]:
    """The files beside metrics.json that hold results."""
    found = [path for path in (run_dir / HISTORY, run_dir / OUTCOMES) if path.is_file()]
    return found + files_below(run_dir / "adapter")


def test_scores(
    trainer: RunTrainer, recorder: Recorder, tables: Tables, selected: str
) -> tuple[dict[str, Any], np.ndarray]:
    """Test scores with the final and with the best epoch's weights; the selected ones stay.

    And what the selected weights answered on each test row.
    """
    final_state = trainable_state(trainer.model)
    final = trainer.evaluate(tables.test)
    logits, kept = trainer.logits, recorder.best
    assert kept is not None, "a run that did not diverge has a best epoch"
    if kept["epoch"] == final["epoch"]:
        return {"final": final, "best": final}, answered(logits, tables)
    load_trainable_state(trainer.model, recorder.best_state)
    best = trainer.evaluate(tables.test) | {"epoch": kept["epoch"]}
    if selected == "final":
        load_trainable_state(trainer.model, final_state)
    else:
        logits = trainer.logits
    return {"final": final, "best": best}, answered(logits, tables)


def answered(logits: np.ndarray, tables: Tables) -> np.ndarray:
    """The outcomes of the test rows."""
    return answers(logits, tables.test.labels, tables.test.numbers)


def environment(job: Job, trainer: RunTrainer) -> dict[str, Any]:
    """Where the run ran."""
    batch = job.batch
    device = trainer.args.device.type
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor()
    return {
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "device": device,
        "device_name": name or platform.machine(),
        "world_size": batch.world_size,
        "gradient_accumulation_steps": batch.accumulation,
        "per_device_train_batch_size": batch.micro,
        "code_commit": job.config["code_commit"],
        **job.config.get("provenance", {}),
    }


def data_block(job: Job) -> dict[str, Any]:
    """What the run learned from: rows, labels, tokens of the training rows."""
    tables, batch = job.tables, job.batch
    train, pad = tables.train, pad_to(job.settings)
    order = plan.epoch_order(len(train), batch.rows, job.seed, 0, train.full_lengths)
    return {
        "train_rows": len(train),
        "validation_rows": len(tables.validation),
        "test_rows": len(tables.test),
        "num_labels": job.num_labels,
        "train_labels": len(np.unique(train.labels)),
        "truncated_share": float((train.lengths < train.full_lengths).mean()),
        "mean_tokens": float(train.lengths.mean()),
        "real_token_share": plan.real_token_share(train.lengths, order, batch, pad),
    }


def cost_block(job: Job, training: Training, memory: int, steps: int) -> dict[str, Any]:
    """What the run cost; a resumed run counts its interrupted attempts up to the checkpoint."""
    trainer, tables = training.trainer, job.tables
    seconds = training.recorder.train_runtime
    samples = steps * job.batch.rows
    params = list(trainer.model.parameters())
    return {
        "train_runtime": seconds,
        "wall_seconds": training.keeper.wall_seconds,
        "spent_seconds": read_attempts(job.folder).seconds + seconds_since_start(),
        "train_samples_per_second": samples / seconds,
        "train_tokens_per_second": samples * float(tables.train.lengths.mean()) / seconds,
        "peak_memory_bytes": memory,
        "trainable_parameters": sum(size_of(p) for p in params if p.requires_grad),
        "total_parameters": sum(size_of(p) for p in params) + unloaded(trainer.model),
    }


def size_of(param: torch.nn.Parameter) -> int:
    """Numbers in a parameter, also where ZeRO-3 keeps only a part of it here."""
    return getattr(param, "ds_numel", param.numel())


def unloaded(network: Any) -> int:
    """Parameters that a cache stands for."""
    base = base_of(network)
    return whole_size(base) if hasattr(base, "frozen_layers") else 0


def peak_memory_bytes(trainer: RunTrainer) -> int:
    """Most memory that any rank has used: of its GPU, or resident on the CPU."""
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    peaks = torch.tensor([peak], device=trainer.args.device)
    return int(trainer.accelerator.gather(peaks).max())


def validate_metrics(metrics: dict[str, Any]) -> None:
    """Check metrics.json against its schema; a mismatch is a bug of ours."""
    import jsonschema

    schema = SCHEMAS / "metrics.schema.json"
    jsonschema.validate(metrics, json.loads(schema.read_text()))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file so that it is there whole or not at all."""
    save_text(json.dumps(value, indent=2, allow_nan=False, default=str), path)
