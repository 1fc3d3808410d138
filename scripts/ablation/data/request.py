"""What a run is asked to do: the contents of its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict

from ablation.data.model import ModelRecord
from ablation.settings.catalogue import Settings


class Request(TypedDict):
    """All that the ranks of a run need; nothing else decides what they do.

    Attributes:
        settings_hash: Of the settings, in short.
        batch: The fields of `ablation.training.intent.Batch`.
        deepspeed: DeepSpeed's configuration.
        model: The contents of model.json.
        model_path: The model's folder, or its name on the hub.
        data: The folder of the prepared rows.
        prefix: The path of prefix.json; None where no states of frozen layers are kept.
        data_fingerprint: Of the prepared rows.
        output: The run's folder.
        code_commit: Of the project; None outside a repository.
        provenance: Sums of what the run is made from; requests of an earlier version have none.
        checkpoint_minutes: Between two checkpoints, where the study states them.
    """

    study: str
    variant: str
    seed: int
    settings_hash: str
    settings: Settings
    batch: Mapping[str, int]
    deepspeed: Mapping[str, object]
    model: ModelRecord
    model_path: str
    data: str
    prefix: str | None
    data_fingerprint: str | None
    output: str
    code_commit: str | None
    provenance: NotRequired[Mapping[str, str | None]]
    checkpoint_minutes: NotRequired[float | None]
