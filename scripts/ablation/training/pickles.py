"""Checkpoints of DeepSpeed are pickles: they are read as data, whoever wrote them.

DeepSpeed loads its own with `weights_only=False`, with which a pickle can run any program. It may
only make what DeepSpeed itself writes (`state_dict` of its optimizers, 0.19).
"""

from __future__ import annotations

import os
from pathlib import Path
from pickle import UnpicklingError

import torch
from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address

_WRITTEN = (DynamicLossScaler, LossScaler, ZeroStageEnum, fragment_address)
_NAMES = {f"{one.__module__}.{one.__qualname__}" for one in _WRITTEN}


def read_as_data() -> None:
    """Let every `torch.load` of this process make tensors, plain values and DeepSpeed's classes."""
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    torch.serialization.add_safe_globals(list(_WRITTEN))


def why_foreign(checkpoint: Path) -> str | None:
    """What DeepSpeed's files of a checkpoint name that DeepSpeed does not write; None: nothing."""
    found: set[str] = set()
    for file in checkpoint.rglob("*.pt"):
        try:
            found.update(torch.serialization.get_unsafe_globals_in_checkpoint(file))
        except (RuntimeError, UnpicklingError, ValueError) as error:
            found.add(f"{file.name} ({error})")  # no archive of torch's: no loader of ours wrote it
    names = sorted(found - _NAMES)
    return f"reading it could run {', '.join(names)}" if names else None
