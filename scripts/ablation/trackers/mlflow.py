"""MLflow: an experiment a study, a parent run an arm, a nested run a seed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from ablation.trackers.tracked import TrackedRun, TrackedStudy

DATABASE, FOLDER = "mlflow.db", "mlruns"
MARK = "staged_ablation"  # the tag by which what is there already is found again
PARENT = "mlflow.parentRunId"
# What one call of the store takes.
METRICS, PARAMETERS = 1000, 100
LONGEST = 500  # of a parameter's text, in any version's store


def store() -> str:
    """Where MLflow keeps its runs: as the environment says, else its database.

    A folder `mlruns` of earlier versions is taken where there is no database.
    """
    told = os.environ.get("MLFLOW_TRACKING_URI")
    if told:
        return told
    if Path(FOLDER).is_dir() and not Path(DATABASE).is_file():
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        return Path(FOLDER).resolve().as_uri()
    return f"sqlite:///{Path(DATABASE).resolve()}"


def send(study: TrackedStudy) -> str:
    """Tell MLflow of a study; runs that it knows stay as they are.

    Returns:
        Where they are.
    """
    uri = store()
    client = MlflowClient(tracking_uri=uri)
    known = client.get_experiment_by_name(study.name)
    experiment = known.experiment_id if known else client.create_experiment(study.name)
    arms = {arm: _marked(client, experiment, f"arm:{arm}", arm) for arm in _arms(study)}
    for run in study.runs:
        mark = f"run:{run.id}"
        if not _find(client, experiment, mark):
            _send_run(client, experiment, run, arms[run.arm])
    whole = _marked(client, experiment, "study", study.title)
    for file in study.files:
        client.log_artifact(whole, str(file))
    return uri


def _arms(study: TrackedStudy) -> list[str]:
    return list(dict.fromkeys(run.arm for run in study.runs))


def _find(client: MlflowClient, experiment: str, mark: str) -> str | None:
    """The run with a mark, None where there is none."""
    found = client.search_runs([experiment], f"tags.{MARK} = '{mark}'", max_results=1)
    return found[0].info.run_id if found else None


def _marked(client: MlflowClient, experiment: str, mark: str, name: str) -> str:
    """The finished run with a mark, made where there is none."""
    found = _find(client, experiment, mark)
    if found:
        return found
    made = client.create_run(experiment, tags={MARK: mark}, run_name=name).info.run_id
    client.set_terminated(made)
    return str(made)


def _send_run(client: MlflowClient, experiment: str, run: TrackedRun, parent: str) -> None:
    """Tell of one run; it gets its mark last, so that one that was cut off is told again."""
    made = client.create_run(experiment, tags={PARENT: parent}, run_name=run.name).info.run_id
    tags = {"arm": run.arm, "arms": ", ".join(run.arms), "seed": str(run.seed)}
    tags |= {"variant": run.variant, "status": run.status}
    parameters = [Param(name, text[:LONGEST]) for name, text in run.settings.items()]
    for part in batches(parameters, PARAMETERS):
        client.log_batch(made, params=part)
    for part in batches(_metrics(run), METRICS):
        client.log_batch(made, metrics=part)
    client.log_batch(made, tags=[RunTag(key, value) for key, value in tags.items()])
    client.set_tag(made, MARK, f"run:{run.id}")
    client.set_terminated(made, end_time=int(run.ended * 1000))


def _metrics(run: TrackedRun) -> Iterator[Metric]:
    moment = int(run.ended * 1000)
    for name, points in run.series.items():
        yield from (Metric(name, value, moment, step) for step, value in points)
    last = max((points[-1][0] for points in run.series.values()), default=0)
    yield from (Metric(name, value, moment, last) for name, value in run.scores.items())


def batches(items: Iterable[Any], size: int) -> Iterator[Sequence[Any]]:
    """The items, so many at a time."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
