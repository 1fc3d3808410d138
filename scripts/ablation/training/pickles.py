"""Checkpoints of DeepSpeed are pickles: they are read as data, whoever wrote them.

DeepSpeed loads its own with `weights_only=False`, with which a pickle can run any program. It may
only make what DeepSpeed itself writes (`state_dict` of its optimizers, 0.19).
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from pickle import UnpicklingError

import torch
from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address

from ablation.training.marks import checkpoints_in

_WRITTEN = (DynamicLossScaler, LossScaler, ZeroStageEnum, fragment_address)
_NAMES = {f"{one.__module__}.{one.__qualname__}" for one in _WRITTEN}
log = logging.getLogger(__name__)


def read_as_data() -> None:
    """Let every `torch.load` of this process make tensors, plain values and DeepSpeed's classes."""
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    torch.serialization.add_safe_globals(list(_WRITTEN))


def remove_foreign(folder: Path) -> None:
    """Remove the checkpoints that hold more than data, and say so: the run goes on from another."""
    for checkpoint in reversed(checkpoints_in(folder)):
        names = foreign_names(checkpoint)
        if names:
            told = ", ".join(names)
            log.warning("%s is passed over: reading it could run %s", checkpoint.name, told)
            shutil.rmtree(checkpoint)


def foreign_names(checkpoint: Path) -> list[str]:
    """What DeepSpeed's files of a checkpoint name and DeepSpeed does not write, sorted."""
    found: set[str] = set()
    for file in checkpoint.rglob("*.pt"):
        try:
            found.update(torch.serialization.get_unsafe_globals_in_checkpoint(file))
        except (RuntimeError, UnpicklingError, ValueError) as error:
            found.add(f"{file.name} ({error})")  # no archive of torch's: no loader of ours wrote it
    return sorted(found - _NAMES)
