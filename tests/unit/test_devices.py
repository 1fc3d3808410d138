"""No two runs have the same GPU, and a lease ends with the last process that holds it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablation.machine import launcher as launch
from ablation.machine import leases as devices
from ablation.machine.gpus import Gpu, visible_gpus
from ablation.machine.leases import lease, lease_folder
from ablation.machine.process import LaunchError
from ablation.machine.told import LEASES

SCRIPTS = Path(launch.__file__).parents[2]
HOLDER = """
import sys, time
from ablation.machine.leases import lease
with lease(int(sys.argv[1])) as gpus:
    print(gpus.environment["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.readline()
"""
# A run whose job tells when it is there: until then it may still hold what its supervisor holds.
SUPERVISED = """
import os
from ablation.machine.leases import lease
from ablation.machine.supervisor import run_supervised
with lease(1) as gpus:
    job = ["sh", "-c", "echo started; exec sleep 60"]
    run_supervised(job, dict(os.environ), 29500, gpus.files)
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts a process with a lease of so many of the visible GPUs."""
    started = []

    def run(wanted: int, visible: str, *arguments: str, code: str = HOLDER) -> subprocess.Popen:
        environment = {k: v for k, v in os.environ.items() if k not in devices.ALLOCATIONS}
        environment |= {"PYTHONPATH": str(SCRIPTS), LEASES: str(tmp_path)}
        environment |= {"CUDA_VISIBLE_DEVICES": visible}
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(wanted), *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_runs_at_the_same_time_get_gpus_of_their_own_and_the_next_one_waits(start):
    first, second = start(1, "2,5"), start(1, "2,5")
    taken = {process.stdout.readline().strip() for process in (first, second)}
    assert taken == {"2", "5"}
    third = start(1, "2,5")
    assert "fewer than 1 of 2 GPUs are free" in third.stderr.readline()
    freed = second
    freed.stdin.write("\n")
    freed.stdin.flush()
    freed.wait()
    assert third.stdout.readline().strip() in taken


def test_a_killed_run_frees_its_gpus(start):
    first = start(2, "0,1")
    assert first.stdout.readline().strip() == "0,1"
    second = start(2, "0,1")
    assert "waiting" in second.stderr.readline()
    first.send_signal(signal.SIGKILL)
    assert second.stdout.readline().strip() == "0,1"


def test_a_run_that_needs_all_takes_none_while_one_is_taken(start, tmp_path):
    small = start(1, "1")
    assert small.stdout.readline().strip() == "1"
    large = start(2, "0,1")
    assert "waiting" in large.stderr.readline()
    deadline = time.monotonic() + 60
    while not (free := devices.take([Gpu("0")], 1, tmp_path)):  # it may just be trying
        assert time.monotonic() < deadline
    os.close(free["0"])


def release(process: subprocess.Popen) -> None:
    """Let a holder end, and wait for that."""
    process.stdin.write("\n")
    process.stdin.flush()
    process.wait()


def test_nobody_overtakes_a_run_that_waits_for_one_of_the_same_gpus(start):
    small = start(1, "1")
    assert small.stdout.readline().strip() == "1"
    large = start(2, "0,1")
    assert "waiting" in large.stderr.readline()
    later = start(1, "0")  # it is free, and the large one's turn
    assert "waited for them longer" in later.stderr.readline()
    elsewhere = start(1, "2")
    assert elsewhere.stdout.readline().strip() == "2"
    release(small)
    assert large.stdout.readline().strip() == "0,1"
    assert later.poll() is None
    release(large)
    assert later.stdout.readline().strip() == "0"


def test_runs_are_served_in_the_order_of_coming(start):
    holder = start(1, "0")
    assert holder.stdout.readline().strip() == "0"
    waiting = []
    for _ in range(5):
        waiting.append(start(1, "0"))
        assert "waiting" in waiting[-1].stderr.readline()
    for process in waiting:
        release(holder)
        assert process.stdout.readline().strip() == "0"
        holder = process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_who_is_killed_or_stopped_while_waiting_holds_up_nobody(start, number):
    holder = start(1, "0")
    assert holder.stdout.readline().strip() == "0"
    first = start(1, "0")
    assert "waiting" in first.stderr.readline()
    second = start(1, "0")
    assert "waiting" in second.stderr.readline()
    first.send_signal(number)
    release(holder)
    assert second.stdout.readline().strip() == "0"
    first.send_signal(signal.SIGCONT)
    release(second)
    if number == signal.SIGSTOP:
        assert first.stdout.readline().strip() == "0"


def test_the_guard_keeps_the_gpu_until_the_job_is_gone(start, tmp_path):
    supervisor = start(1, "0", code=SUPERVISED)
    assert supervisor.stdout.readline() == "started\n"
    [guard] = [pid for pid in _holding(tmp_path / "0") if pid != supervisor.pid]
    os.kill(guard, signal.SIGSTOP)
    supervisor.kill()
    supervisor.wait()
    assert devices.take([Gpu("0")], 1, tmp_path) == {}
    os.kill(guard, signal.SIGCONT)
    with lease(1, [Gpu("0")], tmp_path) as gpus:
        assert gpus.names == ("0",)


def _holding(lock: Path) -> list[int]:
    """Processes that have the lock's file open."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if entry.readlink() == lock:
                found.add(int(entry.parts[2]))
        except OSError:
            continue
    return sorted(found)


def test_a_removed_lock_file_lets_nobody_in_twice(tmp_path):
    with lease(1, [Gpu("0")], tmp_path):
        (tmp_path / "0").unlink()
        with lease(1, [Gpu("0")], tmp_path):  # a new file: whoever comes later sees this lease
            assert devices.take([Gpu("0")], 1, tmp_path) == {}


def test_more_gpus_than_there_are_is_said_at_once(tmp_path):
    with (
        pytest.raises(LaunchError, match=r"2 GPUs, and this process may use 1: 3\."),
        lease(2, [Gpu("3")], tmp_path),
    ):
        pass


def test_each_allocation_of_a_cluster_counts_its_gpus_from_zero(tmp_path):
    named = {LEASES: str(tmp_path)}
    assert lease_folder(named) == tmp_path
    assert lease_folder({**named, "SLURM_JOB_ID": "7"}) == tmp_path / "job-7"


SMI = "0, GPU-aa11, 24576, NVIDIA L4\n1, GPU-bb22, 24564, NVIDIA A10\n2, GPU-cc33, [N/A], X\n"


def test_gpus_are_those_of_the_machine_or_those_that_the_environment_names():
    assert [gpu.name for gpu in visible_gpus({}, SMI)] == ["0", "1", "2"]
    assert [gpu.memory for gpu in visible_gpus({}, SMI)] == [24576 * 2**20, 24564 * 2**20, None]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "1"}, SMI) == [
        Gpu("1", 24564 * 2**20, card="NVIDIA A10")
    ]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "GPU-bb"}, SMI) == [
        Gpu("1", 24564 * 2**20, by_bus=True, card="NVIDIA A10")
    ]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "0"}, "") == [Gpu("0")]


def test_numbers_of_the_bus_are_handed_on_with_its_order(tmp_path):
    with lease(1, visible_gpus({"CUDA_VISIBLE_DEVICES": "GPU-bb22"}, SMI), tmp_path) as gpus:
        assert gpus.environment == {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    with lease(1, visible_gpus({"CUDA_VISIBLE_DEVICES": "1"}, SMI), tmp_path) as gpus:
        assert gpus.environment == {"CUDA_VISIBLE_DEVICES": "1"}
