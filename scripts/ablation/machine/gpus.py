"""What the machine offers a run, found without importing torch."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from ablation.errors import UserError

AUTO = "auto"
SOURCE = "source"


@dataclass(frozen=True)
class Gpu:
    """A GPU that this process may use.

    Attributes:
        name: Its name in CUDA_VISIBLE_DEVICES.
        memory: Bytes; None where it is not known.
        by_bus: Whether the name is its number in the order of the PCI bus, as nvidia-smi counts.
        card: What the card is called; None where it is not known.
    """

    name: str
    memory: int | None = None
    by_bus: bool = False
    card: str | None = None


def visible_gpus(
    environment: Mapping[str, str] = os.environ, listing: str | None = None
) -> list[Gpu]:
    """The NVIDIA GPUs that this process may use; none where CUDA_VISIBLE_DEVICES hides them.

    Args:
        environment: CUDA_VISIBLE_DEVICES is read from it.
        listing: What `nvidia-smi` said (see `ask_nvidia_smi`); it is asked where this is None.
    """
    named = environment.get("CUDA_VISIBLE_DEVICES")
    wanted = None if named is None else list(_valid(named))
    if wanted == []:
        return []
    text = ask_nvidia_smi() if listing is None else listing
    rows = [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]
    installed = {row[0]: row for row in rows if len(row) == 4 and row[0].isdigit()}
    if wanted is None:
        return [
            Gpu(number, _bytes(row[2]), by_bus=True, card=row[3])
            for number, row in installed.items()
        ]
    found = []
    for name in wanted:
        # DeepSpeed's launcher takes numbers only, so a UUID (or the start of one) becomes one.
        number = next((n for n, row in installed.items() if row[1].startswith(name)), None)
        row = installed.get(number or name)
        memory, card = (_bytes(row[2]), row[3]) if row else (None, None)
        found.append(Gpu(number or name, memory, by_bus=number is not None, card=card))
    if len({gpu.by_bus for gpu in found}) > 1:
        raise UserError(
            "CUDA_VISIBLE_DEVICES mixes numbers and UUIDs",
            found=named,
            allowed="numbers only, or UUIDs only",
        )
    return found


def ask_nvidia_smi() -> str:
    """A line "number, UUID, memory in MiB, name" for each NVIDIA GPU; empty without any."""
    fields = "--query-gpu=index,uuid,memory.total,name"
    try:
        answer = subprocess.run(
            ["nvidia-smi", fields, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout


def smallest_memory(gpus: Sequence[Gpu]) -> int | None:
    """Bytes of the smallest GPU; None where none is known."""
    return min((gpu.memory for gpu in gpus if gpu.memory), default=None)


def same_card(gpus: Sequence[Gpu]) -> str | None:
    """What all GPUs are called; None where they differ or it is not known."""
    names = {gpu.card for gpu in gpus}
    return names.pop() if len(names) == 1 else None


def cpu_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _valid(named: str) -> Iterator[str]:
    """The devices of CUDA_VISIBLE_DEVICES; CUDA stops at the first that is none."""
    for device in named.split(","):
        if device.strip() in ("", "-1"):
            return
        yield device.strip()


def _bytes(mebibytes: str) -> int | None:
    return int(mebibytes) * 2**20 if mebibytes.isdigit() else None


def told_devices(option: object) -> int | None:
    """The number of devices that config.yaml's `devices_per_run` names; None where it is a word.

    Raises:
        UserError: it is neither a number nor a word that it can be.
    """
    if isinstance(option, int) and not isinstance(option, bool) and option > 0:
        return option
    if isinstance(option, str) and option.isdigit() and int(option) > 0:
        return int(option)
    if option in (AUTO, SOURCE):
        return None
    raise UserError(
        "devices_per_run cannot be so",
        file="config/config.yaml",
        found=str(option),
        allowed="auto | source | a whole number of at least 1",
        write="devices_per_run: auto",
    )


def refuse_too_many(told: int | None, gpus: Sequence[Gpu]) -> None:
    """Refuse more devices for a run than this machine has.

    Raises:
        UserError: `devices_per_run` names more than the GPUs that this process may use.
    """
    if told and gpus and told > len(gpus):
        raise UserError(
            "a run is to have more GPUs than this process may use",
            file="config/config.yaml",
            found=f"devices_per_run: {told}",
            allowed=f"1 to {len(gpus)}, or auto",
            write=f"devices_per_run: {len(gpus)}",
        )


def devices_in_use(runs: Path, variants: Iterable[str]) -> int | None:
    """Devices that the first run found of these variants was cut for; None where none has begun.

    A run's config.json is written when it begins, so a run to be resumed counts as well.
    """
    for variant in variants:
        for path in sorted((runs / variant).glob("seed-*/config.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                return int(json.loads(path.read_text(encoding="utf-8"))["batch"]["world_size"])
    return None


def snakemakes_at_work(folder: Path) -> list[int]:
    """Process ids of the Snakemakes whose working folder is `folder`, but for those of one job."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            named = any(Path(word).name == "snakemake" for word in command[:3])
            whole = named and "--mode" not in command  # of a job, which may outlive its Snakemake
            if whole and Path(process.cwd()) == folder and process.pid not in _own_line():
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def _own_line() -> set[int]:
    me = psutil.Process()
    return {me.pid, *(parent.pid for parent in me.parents())}
