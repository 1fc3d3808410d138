"""Weights & Biases: a project a study, a group an arm, a run a seed. WANDB_MODE=offline works."""

from __future__ import annotations

from collections import defaultdict

import wandb

from ablation.trackers.tracked import TrackedRun, TrackedStudy

# What a study is, and nothing of the machine, the folder or the repository that it lies in.
QUIET = wandb.Settings(
    console="off", disable_git=True, save_code=False, x_disable_stats=True, x_disable_meta=True
)


def send(study: TrackedStudy) -> str:
    """Tell Weights & Biases of a study; a run that it knows is written over, not beside.

    Returns:
        The project's name.
    """
    study.folder.mkdir(parents=True, exist_ok=True)
    for run in study.runs:
        _send_run(study, run)
    _send_files(study)
    return study.name


def _send_run(study: TrackedStudy, run: TrackedRun) -> None:
    made = wandb.init(
        project=study.name,
        group=run.arm,
        name=run.name,
        id=run.id,
        resume="allow",
        dir=str(study.folder),
        job_type="run",
        settings=QUIET,
        config={"seed": run.seed, "variant": run.variant, "settings": dict(run.settings)},
    )
    steps: dict[int, dict[str, float]] = defaultdict(dict)
    for name, points in run.series.items():
        for step, value in points:
            steps[step][name] = value
    for step, values in sorted(steps.items()):
        made.log(values, step=step)
    made.summary.update({**run.scores, "status": run.status, "arms": list(run.arms)})
    made.finish()


def _send_files(study: TrackedStudy) -> None:
    made = wandb.init(
        project=study.name,
        name=study.title,
        id=f"{study.name}-study",
        resume="allow",
        dir=str(study.folder),
        job_type="study",
        settings=QUIET,
    )
    files = wandb.Artifact(f"{study.name}-report", type="report")
    for file in study.files:
        files.add_file(str(file), name=file.name)
    made.log_artifact(files)
    made.finish()
