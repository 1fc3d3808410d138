"""What the machine offers a run, found without importing torch."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

from ablation.errors import UserError

AUTO = "auto"
SOURCE = "source"


def visible_gpus(environment: Mapping[str, str] = os.environ) -> int:
    """How many NVIDIA GPUs this process may use, 0 where there is none."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return len([device for device in named.split(",") if device.strip() not in ("", "-1")])
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


def devices_of_run(option: object, settings: Mapping[str, object], gpus: int) -> int:
    """How many devices one run of an arm trains on: GPUs, or processes on a machine without.

    Args:
        option: config.yaml's `devices_per_run`: "auto" (the source's number, limited to this
            machine's GPUs, one process without any), "source" (the source's number), or a number.
        settings: The arm's settings.
        gpus: GPUs of this machine.

    Raises:
        UserError: the option is none of these.
    """
    source = int(settings["world_size"])
    if option == SOURCE:
        return source
    if isinstance(option, int) and not isinstance(option, bool) and option > 0:
        return option
    if isinstance(option, str) and option.isdigit() and int(option) > 0:
        return int(option)
    if option != AUTO:
        raise UserError(
            "devices_per_run cannot be so",
            file="config/config.yaml",
            found=str(option),
            allowed="auto | source | a whole number of at least 1",
            write="devices_per_run: auto",
        )
    batch = (
        int(settings["per_device_train_batch_size"])
        * int(settings["gradient_accumulation_steps"])
        * source
    )
    fitting = [n for n in range(1, min(source, gpus) + 1) if batch % n == 0]
    return fitting[-1] if fitting else 1


def snakemakes_at_work(folder: Path) -> list[int]:
    """Process ids of the Snakemakes whose working folder is `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()[:3]
            named = any(Path(word).name == "snakemake" for word in command)
            if named and Path(process.cwd()) == folder and process.pid not in _own_line():
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def _own_line() -> set[int]:
    me = psutil.Process()
    return {me.pid, *(parent.pid for parent in me.parents())}
