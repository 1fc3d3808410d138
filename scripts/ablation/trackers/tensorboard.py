"""TensorBoard: event files in a folder an arm, with one below it a seed."""

from __future__ import annotations

import shutil
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.text.metadata import PLUGIN_NAME
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto

from ablation.trackers.tracked import TrackedRun, TrackedStudy

READABLE = (".md", ".json", ".patch")


def send(study: TrackedStudy) -> str:
    """Write the event files of a study anew.

    Returns:
        Their folder, for `tensorboard --logdir`.
    """
    folder = study.folder / "tensorboard"
    shutil.rmtree(folder, ignore_errors=True)
    for run in study.runs:
        _write_run(run, folder / run.arm / f"seed-{run.seed}")
    _write_files(study, folder / "study")
    return str(folder)


def _write_run(run: TrackedRun, folder: Path) -> None:
    writer = EventFileWriter(str(folder))
    settings = hparams_pb(dict(run.settings), trial_id=run.arm, start_time_secs=run.ended)
    writer.add_event(Event(wall_time=run.ended, summary=settings))
    for name, points in run.series.items():
        for step, value in points:
            _write_value(writer, Summary.Value(tag=name, simple_value=value), run.ended, step)
    for name, value in run.scores.items():
        _write_value(writer, Summary.Value(tag=name, simple_value=value), run.ended)
    writer.close()


def _write_files(study: TrackedStudy, folder: Path) -> None:
    """Reports, effects and patch as texts: event files hold no others."""
    writer = EventFileWriter(str(folder))
    moment = max((run.ended for run in study.runs), default=0.0)
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME))
    for file in study.files:
        if file.suffix in READABLE:
            text = make_tensor_proto([file.read_text(encoding="utf-8")])
            value = Summary.Value(tag=file.name, metadata=metadata, tensor=text)
            _write_value(writer, value, moment)
    writer.close()


def _write_value(
    writer: EventFileWriter, value: Summary.Value, moment: float, step: int = 0
) -> None:
    writer.add_event(Event(wall_time=moment, step=step, summary=Summary(value=[value])))
