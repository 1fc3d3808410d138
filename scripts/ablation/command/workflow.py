"""Snakemake as the command calls it: its arguments, its environment, its lock."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ablation.command.studies import OWN
from ablation.errors import UserError
from ablation.machine.gpus import snakemakes_at_work
from ablation.machine.locks import locked, open_lock
from ablation.machine.progress import LOCKS
from ablation.project import SNAKEFILE, STUDIES
from ablation.words.catalogue import ASKED, Messages
from ablation.workflow.folders import check_folder


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


@contextmanager
def only_call(t: Messages) -> Iterator[int]:
    """While it lasts, no other call works in this folder, on any machine that sees it.

    Yields:
        The descriptor of the lock: what inherits it holds it as well, also when we are gone.

    Raises:
        UserError: Another call holds it, or it cannot be where Snakemake works.
    """
    check_folder(LOCKS.parent)
    LOCKS.parent.mkdir(exist_ok=True)
    lock = open_lock(LOCKS.with_name("ablation.lock"))
    try:
        if not locked(lock):
            refuse_at_work(t)  # a Snakemake of this machine, whose call is gone
            found = os.read(lock, 1000).decode(errors="replace")
            raise UserError(t("run.at_work"), found=found, allowed=t("run.at_work_allowed"))
        with suppress(OSError):  # it only tells the next one
            os.ftruncate(lock, 0)
            told = t("run.process_of", pids=os.getpid(), machine=socket.gethostname())
            os.write(lock, told.encode())
        yield lock
    finally:
        os.close(lock)


def refuse_at_work(t: Messages) -> None:
    """Refuse to work beside a Snakemake of this machine.

    Raises:
        UserError: There is one in this folder.
    """
    if pids := snakemakes_at_work(Path.cwd()):
        found = t("run.process", pids=", ".join(map(str, pids)))
        raise UserError(t("run.at_work"), found=found, allowed=t("run.at_work_allowed"))


def unlock_stale(command: Sequence[str], t: Messages) -> None:
    """Remove the lock that a killed Snakemake left behind.

    Raises:
        UserError: Snakemake is at work in this folder.
    """
    if not any(LOCKS.glob("*")):
        return
    refuse_at_work(t)
    unlock = [*command, "--unlock"]
    subprocess.run(unlock, env=environment(t.language), capture_output=True, check=False)
