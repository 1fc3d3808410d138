"""How a study's runs share the devices of one machine: one run over several, or one on each.

The effective batch of each arm stays: fewer devices accumulate more gradients. All runs of a study
get the same number of devices, so that pairs stay pairs (dropout differs between numbers).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from ablation.settings.architecture import GPU as ON_GPU
from ablation.settings.architecture import Architecture, estimate_memory
from ablation.settings.catalogue import Settings

CPU, GPU = "cpu", "gpu"
# Assumed: what is left of the speed of each device when several share a run. Gradients of adapters
# are small, but in each step all wait for the device with the longest texts.
EFFICIENCY = 0.9
# The rest of a device's memory is for what the estimate leaves out: CUDA's own, slack, workspaces.
USABLE = 0.9
MOST_LABELS = 1000  # where the classes are not counted yet
# Why a number of devices was chosen.
SHORTEST, BEGUN, PROCESS = "shortest", "begun", "one_process"
NOT_KNOWN, TOO_LARGE = "memory_not_known", "too_large"


@dataclass(frozen=True)
class Machine:
    """What runs share.

    Attributes:
        kind: "gpu" or "cpu".
        devices: GPUs; without any, how many processes of a run's threads the cores have room for.
        memory: Bytes of the smallest GPU; None where it is not known, and on the CPU.
        card: Name of the GPUs; None where it is not known or they differ, and on the CPU.
    """

    kind: str
    devices: int
    memory: int | None = None
    card: str | None = None


@dataclass(frozen=True)
class Way:
    """One way to share the devices.

    Attributes:
        devices: Of each run.
        at_once: How many runs go at a time.
        length: The makespan: from the first run's start to the last one's end, in the unit of the
            costs. Lower is better.
        memory: Bytes that the largest run needs on each device; None where it is not known.
        fits: Whether that is within `USABLE` of the device; None where it is not known.
    """

    devices: int
    at_once: int
    length: float
    memory: int | None
    fits: bool | None


@dataclass(frozen=True, kw_only=True)
class Packing:
    """The ways to share a machine's devices, and the one that is taken.

    Attributes:
        kind: "cpu" or "gpu".
        devices: How many the machine has.
        memory: Bytes of each; None where it is not known.
        efficiency: Assumed: what is left of each device's speed when several share a run.
        ways: All of them.
        chosen: Devices of each run.
        reason: Why: `packing.because.<reason>` of the plan's texts.
        hours: What a run of `current` takes on one device; None where it is not known.
    """

    kind: str
    devices: int
    memory: int | None
    efficiency: float
    ways: Sequence[Way]
    chosen: int
    reason: str
    hours: float | None = None


def makespan(costs: Sequence[float], devices: int, at_once: int) -> float:
    """How long runs take together, each started in turn as soon as there is room.

    Args:
        costs: What each run takes on one device, in the order in which they start.
        devices: Devices of each run; several are as fast as `EFFICIENCY` says.
        at_once: Runs at a time.
    """
    speed = devices * (EFFICIENCY if devices > 1 else 1.0)
    ends = [0.0] * at_once
    for cost in costs:
        heapq.heapreplace(ends, ends[0] + cost / speed)
    return max(ends)


def device_memory(
    architecture: Architecture | None,
    arms: Sequence[Settings],
    devices: int,
    num_labels: int | None,
) -> int | None:
    """Bytes on each device of the arm that needs most; None where the model's facts lack.

    It counts all layers: a run that reads frozen layers' states from disk needs less.
    """
    if architecture is None or architecture.base_parameters is None:
        return None
    most = 0
    for settings in arms:
        micro = min(int(settings["per_device_train_batch_size"]), rows_of(settings) // devices)
        cut = {**settings, "world_size": devices, "per_device_train_batch_size": micro}
        parts = estimate_memory(architecture, cut, num_labels or MOST_LABELS)
        most = max(most, sum(part.bytes for part in parts if part.place == ON_GPU))
    return most


def rows_of(settings: Settings) -> int:
    """Rows of an arm's effective batch."""
    names = ("per_device_train_batch_size", "gradient_accumulation_steps", "world_size")
    micro, accumulation, world = (int(settings[name]) for name in names)
    return micro * accumulation * world


def find_ways(
    costs: Sequence[float],
    arms: Sequence[Settings],
    machine: Machine,
    architecture: Architecture | None,
    num_labels: int | None,
) -> list[Way]:
    """The numbers of devices that keep every arm's effective batch, fewest first.

    Up to the source's number. On a CPU, one process and as many as the machine has room for.

    Args:
        costs: What each run takes on one device.
        arms: The settings of each arm.
        machine: What they share.
        architecture: The model; None where its facts are not known.
        num_labels: Classes; None where they are not counted.
    """
    batches = {rows_of(settings) for settings in arms}
    most = machine.devices
    if machine.kind == GPU:
        most = min(most, max(int(settings["world_size"]) for settings in arms))
    possible = [n for n in range(1, most + 1) if all(rows % n == 0 for rows in batches)]
    if machine.kind == CPU:
        possible = sorted({possible[0], possible[-1]})
    found = []
    for devices in possible:
        need = None
        if machine.kind == GPU:
            need = device_memory(architecture, arms, devices, num_labels)
        fits = None if not need or not machine.memory else need <= USABLE * machine.memory
        at_once = machine.devices // devices
        found.append(Way(devices, at_once, makespan(costs, devices, at_once), need, fits))
    return found


def choose_way(ways: Sequence[Way], machine: Machine, begun: int | None) -> tuple[Way, str]:
    """The way that `devices_per_run: auto` takes, and why.

    What has begun goes on as it is; else the shortest of those that fit in a device's memory.
    Where none is known to fit it is the most devices, as the source has it.

    Args:
        ways: What `find_ways` found.
        machine: What the runs share.
        begun: Devices of runs that are there already.
    """
    for way in ways:
        if way.devices == begun:
            return way, BEGUN
    if machine.kind == CPU:
        return ways[0], PROCESS
    fitting = [way for way in ways if way.fits]
    if fitting:
        return min(fitting, key=lambda way: (way.length, way.devices)), SHORTEST
    return ways[-1], TOO_LARGE if ways[-1].fits is False else NOT_KNOWN
