"""The Trainer of a run: order of rows, loss, evaluation, and what is recorded on the way."""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils import ModelOutput

from ablation.errors import Interrupted
from ablation.machine.attempts import HISTORY
from ablation.machine.progress import step_line
from ablation.machine.pulse import EVALUATION, FIRST_STEP, SAVE, STEP, Pulse
from ablation.training.interval import Pace
from ablation.training.marks import read_mark, remove_older, write_mark
from ablation.training.network import skip_frozen_layers, trainable_state
from ablation.training.quality import quality_scores
from ablation.training.rows import Collator, EpochSampler, Rows

BEST_WEIGHTS = "best.safetensors"
TELL_SECONDS = 10.0
log = logging.getLogger(__name__)


class WeightedLoss:
    """Cross-entropy of a micro-batch as its share of the whole batch's weighted mean, in nats.

    The weight of the whole batch comes from `RunTrainer`, so that the loss doesn't depend on how
    the batch is cut. Logits are taken in float32.
    """

    def __init__(self, weights: np.ndarray | None, label_smoothing: float) -> None:
        self.weights = None if weights is None else torch.tensor(weights, dtype=torch.float32)
        self.label_smoothing = label_smoothing

    def __call__(
        self,
        outputs: ModelOutput,
        labels: torch.Tensor,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        logits = outputs.logits.float()
        total = F.cross_entropy(
            logits,
            labels,
            weight=None if self.weights is None else self.weights.to(logits.device),
            label_smoothing=self.label_smoothing,
            reduction="sum",
        )
        return total / (
            self.weight_of(labels) if num_items_in_batch is None else num_items_in_batch
        )

    def weight_of(self, labels: torch.Tensor) -> torch.Tensor:
        """Sum of the rows' weights."""
        if self.weights is None:
            return torch.tensor(float(labels.numel()))
        return self.weights.to(labels.device)[labels].sum()


class RunTrainer(Trainer):
    """Trainer with an order of rows that depends on the seed only, and scores of our own."""

    data_collator: Collator

    def __init__(
        self, *, loss: WeightedLoss, train_counts: np.ndarray, pulse: Pulse, **kwargs: Any
    ) -> None:
        super().__init__(compute_loss_func=loss, **kwargs)
        self.loss, self.pulse = loss, pulse
        self.train_counts = train_counts
        self.model_accepts_loss_kwargs = False  # the weight of the batch is for `loss` alone
        # Numbers in the DeepSpeed block win over transformers' own step counts.
        config = self.accelerator.state.deepspeed_plugin.hf_ds_config
        config.fill_match = config.fill_only
        config.mismatches.clear()
        self.remove_callback(PrinterCallback)

    def create_scheduler(
        self, num_training_steps: int, optimizer: Any = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """The schedule; some ask the optimizer for its `defaults`, which ZeRO's wrappers hide."""
        asked = inner = optimizer or self.optimizer
        while not hasattr(inner, "defaults"):
            inner = inner.optimizer
        asked.defaults = inner.defaults
        return super().create_scheduler(num_training_steps, optimizer)

    def _get_train_sampler(self, train_dataset: Rows | None = None) -> EpochSampler:
        args = self.args
        rows = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        lengths = self.train_dataset.full_lengths
        self.sampler = EpochSampler(len(lengths), rows, args.data_seed, lengths)
        return self.sampler

    def _run_epoch(self, *, epoch: int, **kwargs: Any) -> None:
        if self.state.global_step >= self.state.max_steps:
            # Trainer looks at that after a step only: one that resumes here would take another.
            self.control.should_training_stop = True
            return
        self.sampler.set_epoch(epoch)  # accelerate doesn't reach it through each of its wrappers
        super()._run_epoch(epoch=epoch, **kwargs)

    def get_test_dataloader(self, test_dataset: Rows) -> DataLoader[dict[str, torch.Tensor]]:
        """Loader that pads to the longest row whatever training does: scores are the same."""
        training = self.data_collator
        self.data_collator = replace(training, pad_to=None)
        try:
            return super().get_test_dataloader(test_dataset)
        finally:
            self.data_collator = training

    def _get_num_items_in_batch(
        self, batch_samples: list[dict[str, torch.Tensor]], device: torch.device
    ) -> torch.Tensor:
        weight = sum(self.loss.weight_of(batch["labels"]) for batch in batch_samples).to(device)
        if self.args.world_size > 1:
            weight = self.accelerator.gather(weight).sum()
        return weight

    def evaluate(
        self,
        eval_dataset: Rows | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, Any]:
        """Scores of a split's rows, see `quality_scores`; the names begin with "eval" always.

        `logits` keeps what they were computed from, in the order of the rows.
        """
        self.pulse.beat(EVALUATION, self.state.global_step)
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        output = self.predict(rows, ignore_keys)
        logits = np.asarray(output.predictions, dtype=np.float32)
        self.logits = logits
        metrics = quality_scores(logits, np.asarray(output.label_ids), self.train_counts)
        metrics["epoch"] = self.state.epoch
        self.pulse.beat(STEP, self.state.global_step)
        if eval_dataset is None:
            self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_checkpoint(self, model: torch.nn.Module, trial: object) -> None:
        self.pulse.beat(SAVE, self.state.global_step)
        super()._save_checkpoint(model, trial)


class Heart(TrainerCallback):
    """Tells the supervisor that the run gets on; the last of the callbacks."""

    def __init__(self, pulse: Pulse) -> None:
        self.pulse = pulse
        self.stepping = FIRST_STEP

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """What comes until the first step ends may take long."""
        self.pulse.beat(FIRST_STEP, state.global_step)

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A micro-batch is done."""
        self.pulse.beat(self.stepping, state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A step is done."""
        self.stepping = STEP
        self.pulse.beat(STEP, state.global_step)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A batch of an evaluation is done."""
        self.pulse.beat(EVALUATION, state.global_step)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A checkpoint is written."""
        self.pulse.beat(STEP, state.global_step)


class Recorder(TrainerCallback):
    """Writes history.jsonl, keeps the best epoch's weights, and stops a run that diverged."""

    def __init__(self, run_dir: Path, metric: str, higher_is_better: bool) -> None:
        self.history = run_dir / HISTORY
        self.metric, self.sign = metric, 1 if higher_is_better else -1
        self.diverged = False
        self.epochs: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.best_state: dict[str, torch.Tensor] = {}
        self.train_runtime = 0.0
        self.learning_rate = 0.0
        self.step_started = 0.0
        self.last_told = 0.0

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: torch.nn.Module,
        **kwargs: Any,
    ) -> None:
        """Start history, unless the run resumes."""
        if args.activation_checkpointing:
            skip_frozen_layers(model)
        if state.is_world_process_zero and state.global_step == 0:
            self.history.write_text("")

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock of the steps: it counts their rows' loading too."""
        self.step_started = time.perf_counter()

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: torch.optim.Optimizer,
        **kwargs: Any,
    ) -> None:
        """Note the learning rate this step will use; DeepSpeed moves it on before Trainer logs."""
        self.learning_rate = float(optimizer.param_groups[0]["lr"])

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Add the step's time."""
        now = time.perf_counter()
        self.train_runtime += now - self.step_started
        self.step_started = now

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A run that diverged has nothing to measure or to resume from."""
        if self.diverged:
            control.should_evaluate = control.should_save = False

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Don't count a checkpoint within an epoch as training."""
        self.step_started = time.perf_counter()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any],
        **kwargs: Any,
    ) -> None:
        """Write the step's line; a loss or gradient that isn't finite ends the run."""
        if "loss" not in logs:
            return
        line = {
            "step": state.global_step,
            "epoch": state.epoch,
            "loss": finite(logs["loss"]),
            "learning_rate": self.learning_rate,
            "grad_norm": finite(logs.get("grad_norm")),
        }
        if state.is_world_process_zero:
            with self.history.open("a") as file:
                file.write(json.dumps(line) + "\n")
            self.tell(line, state)
        # fp16 skips steps whose gradient overflows and lowers its loss scale: only the loss counts.
        bad_grad = logs.get("grad_norm") is not None and line["grad_norm"] is None
        if line["loss"] is None or (bad_grad and not args.fp16):
            self.diverged = control.should_training_stop = True

    def tell(self, line: dict[str, Any], state: TrainerState) -> None:
        """Say now and then how far the run is."""
        if time.monotonic() - self.last_told > TELL_SECONDS:
            self.last_told = time.monotonic()
            log.info(step_line(line["step"], state.max_steps, line["loss"]))

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any],
        model: torch.nn.Module,
        **kwargs: Any,
    ) -> None:
        """Keep the weights if the epoch is the best so far; the first of equals wins."""
        if state.is_world_process_zero:
            log.info("epoch %g: %s %s", state.epoch, self.metric, metrics[self.metric])
        if not math.isfinite(metrics["eval_loss"]):
            self.diverged = control.should_training_stop = True
            control.should_save = False
            return
        self.epochs.append(metrics)
        if (
            self.best is None
            or self.sign * metrics[self.metric] > self.sign * self.best[self.metric]
        ):
            self.best, self.best_state = metrics, trainable_state(model)


class Checkpoints(TrainerCallback):
    """Checkpoints that can be trusted: marked when whole, with one before it to fall back on."""

    def __init__(
        self, folder: Path, recorder: Recorder, pulse: Pulse, pace: Pace, seconds_before: float
    ) -> None:
        self.folder, self.recorder, self.pulse, self.pace = folder, recorder, pulse, pace
        self.save_seconds: float | None = None
        self.started = time.monotonic() - seconds_before
        self.last_save = time.monotonic()

    @property
    def wall_seconds(self) -> float:
        """Seconds of the run so far, with those of interrupted attempts up to their checkpoint."""
        return time.monotonic() - self.started

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Save within long epochs too, when rank 0's clock says so or the run is to leave.

        Not after an epoch's last step: a run that resumes there would never evaluate the epoch.
        """
        if state.epoch % 1 == 0 or state.global_step >= state.max_steps:
            return
        due = time.monotonic() - self.last_save > self.pace.interval(self.save_seconds)
        if as_rank_0_says(due or self.pulse.asked_to_stop(), args):
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Add our own state and the mark, then remove those before the last one.

        Raises:
            Interrupted: The run is to leave.
        """
        if args.world_size > 1:
            torch.distributed.barrier()
        if state.is_world_process_zero:
            self.complete(state)
        self.last_save = time.monotonic()
        self.save_seconds = self.last_save - self.pulse.began
        # Rank 0 says so when the checkpoint is whole; the others must not leave before.
        if as_rank_0_says(self.pulse.asked_to_stop(), args):
            raise Interrupted(f"the run leaves: it goes on from step {state.global_step}")

    def complete(self, state: TrainerState) -> None:
        """Add our own state and the mark to a checkpoint, and remove older ones."""
        here = self.folder / f"checkpoint-{state.global_step}"
        if self.recorder.best_state:
            save_file(self.recorder.best_state, here / BEST_WEIGHTS)
        shutil.copyfile(self.recorder.history, here / HISTORY)
        record = {
            "epochs": self.recorder.epochs,
            "best": self.recorder.best,
            "train_runtime": self.recorder.train_runtime,
            "wall_seconds": self.wall_seconds,
        }
        write_mark(here, record)
        remove_older(self.folder)


def as_rank_0_says(answer: bool, args: TrainingArguments) -> bool:
    """What rank 0 answers, on all ranks."""
    if args.world_size == 1:
        return answer
    told = torch.tensor(int(answer), device=args.device)
    torch.distributed.broadcast(told, 0)
    return bool(told.item())


def restore(recorder: Recorder, checkpoint: Path) -> float:
    """Seconds already spent; the recorder continues where the checkpoint was written."""
    record = read_mark(checkpoint)
    recorder.epochs, recorder.best = record["epochs"], record["best"]
    recorder.train_runtime = record["train_runtime"]
    if (checkpoint / BEST_WEIGHTS).exists():
        recorder.best_state = load_file(checkpoint / BEST_WEIGHTS)
    return record["wall_seconds"]


def finite(value: float | None) -> float | None:
    """The number, or None where it is missing, infinite or not a number."""
    return value if value is not None and math.isfinite(value) else None
