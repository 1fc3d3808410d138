"""Snakemake as the command calls it: its arguments, its environment, its lock."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ablation.command.studies import OWN
from ablation.errors import UserError
from ablation.machine.gpus import snakemakes_at_work
from ablation.machine.progress import LOCKS
from ablation.project import SNAKEFILE, STUDIES
from ablation.words.catalogue import ASKED, Messages


def snakemake_command(study: Path, options: Sequence[str]) -> list[str]:
    """The command line that runs a study's workflow in this folder.

    Args:
        study: study.yaml.
        options: Further options of Snakemake.
    """
    folder = study.absolute().parent.parent
    config = [f"study={study.absolute().parent.name}"]
    # The workflow's own default is not said: a study of another path is trained again.
    if folder != STUDIES.absolute() or OWN.absolute() != STUDIES.absolute():
        config.append(f"studies={os.path.relpath(folder)}")
    # -P: no module of this folder, which may be somebody else's, stands for a library.
    command = [sys.executable, "-P", "-m", "snakemake", "--snakefile", os.path.relpath(SNAKEFILE)]
    return [*command, *options, "--config", *config]


def environment(language: str) -> dict[str, str]:
    """The environment of the workflow: rules call `python`, which must be this one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, ASKED: language}


def unlock_stale(command: Sequence[str], t: Messages) -> None:
    """Remove the lock that a killed Snakemake left behind.

    Raises:
        UserError: Snakemake is at work in this folder.
    """
    if not any(LOCKS.glob("*")):
        return
    if pids := snakemakes_at_work(Path.cwd()):
        found = t("run.process", pids=", ".join(map(str, pids)))
        raise UserError(t("run.at_work"), found=found, allowed=t("run.at_work_allowed"))
    unlock = [*command, "--unlock"]
    subprocess.run(unlock, env=environment(t.language), capture_output=True, check=False)
