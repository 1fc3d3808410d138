"""No process of a job outlives its supervisor, whatever is killed."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from pathlib import Path

import pytest
from waiting import wait_until

from ablation.machine import launcher as launch
from ablation.machine import locks, warm
from ablation.machine import process as processes

SCRIPTS = Path(launch.__file__).parents[2]
pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")

# A launcher that starts a rank that starts a helper in a session of its own; all of them are deaf.
LAUNCHER = """
    import os, signal, subprocess, sys, time
    depth, PORT = map(int, sys.argv[1:])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if depth:
        command = [sys.executable, __file__, str(depth - 1), str(PORT)]
        subprocess.Popen(command, start_new_session=True)
    else:
        for rank in range(2):  # as DeepSpeed's shm.cpp does
            path = f"/dev/shm/deepspeed_allreduce_buffer_{os.getuid()}_127.0.0.1_{PORT}_{rank}"
            open(path, "xb").close()
        print("everybody is up", flush=True)
    time.sleep(120)
"""
SUPERVISOR = """
    import sys
    from ablation.machine.supervisor import run_supervised
    import os
    command = [sys.executable, sys.argv[1], "2", sys.argv[2]]
    print(run_supervised(command, dict(os.environ), int(sys.argv[2])), flush=True)
"""
SNAKEMAKE = """
    import subprocess, sys
    subprocess.run(["bash", "-c", f"{sys.executable} {' '.join(sys.argv[1:])}; true"])
"""


@pytest.fixture
def scripts(tmp_path: Path) -> dict[str, str]:
    """Paths of the three programs."""
    programs = {"launcher": LAUNCHER, "supervisor": SUPERVISOR, "snakemake": SNAKEMAKE}
    for name, text in programs.items():
        (tmp_path / name).write_text(textwrap.dedent(text))
    return {name: str(tmp_path / name) for name in programs}


@pytest.fixture
def port():
    """A job's port; what the test leaves in memory under it is removed."""
    number = processes.free_port()
    yield str(number)
    processes.remove_shared_memory(number)


@pytest.fixture
def neighbor(port):
    """Shared memory of another job, whose port begins with the same digits."""
    path = Path(f"/dev/shm/deepspeed_allreduce_buffer_{os.getuid()}_127.0.0.1_{port}0_0")
    path.touch()
    yield path
    path.unlink()


def shared(port: str) -> list[Path]:
    """What a job has left in memory."""
    return list(Path("/dev/shm").glob(f"deepspeed_allreduce_buffer_*_{port}_*"))


@pytest.fixture
def tag():
    """A mark in the environment of all that a test starts; what is left is killed."""
    value = uuid.uuid4().hex
    yield value
    for pid in tagged(value):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def tagged(tag: str, name: str = "") -> list[int]:
    """Processes that were started with a tag, of one program or of all."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            marked = f"TEST_TAG={tag}".encode() in (entry / "environ").read_bytes()
            command = processes.command_line(int(entry.name))
            if marked and (not name or any(Path(word).name == name for word in command[:2])):
                found.append(int(entry.name))
    return found


def start(command: list[str], tag: str) -> subprocess.Popen:
    """The command, once the whole job is up."""
    environment = dict(os.environ, TEST_TAG=tag, PYTHONPATH=str(SCRIPTS))
    process = subprocess.Popen(
        [sys.executable, *command], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "everybody is up\n"
    assert len(tagged(tag, "launcher")) == 3
    assert len(shared(command[-1])) == 2
    return process


def wait_until_gone(tag: str, port: str) -> None:
    """Wait until no tagged process and no shared memory is left."""
    begin = time.monotonic()
    while tagged(tag) or shared(port):
        assert time.monotonic() - begin < 60, "something of the job lives on"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_job_ends_with_its_supervisor(scripts, tag, port, neighbor, number):
    process = start([scripts["supervisor"], scripts["launcher"], port], tag)
    process.send_signal(number)
    code = process.wait()
    wait_until_gone(tag, port)
    assert neighbor.exists()
    assert code == (-number if number == signal.SIGKILL else 128 + number)


@pytest.mark.parametrize("depth", ["2", "1"])
def test_the_job_ends_with_any_of_its_launchers(scripts, tag, port, depth):
    process = start([scripts["supervisor"], scripts["launcher"], port], tag)
    [victim] = [pid for pid in tagged(tag, "launcher") if processes.command_line(pid)[2] == depth]
    os.kill(victim, signal.SIGKILL)
    assert process.stdout.readline() == "(-9, ['everybody is up'])\n"
    wait_until_gone(tag, port)


def test_the_job_ends_when_snakemake_is_killed_and_its_shell_lives_on(scripts, tag, port):
    process = start([scripts["snakemake"], scripts["supervisor"], scripts["launcher"], port], tag)
    process.kill()
    process.wait()
    wait_until_gone(tag, port)


def test_an_orphaned_rank_ends_itself(tag, port):
    supervisor = subprocess.Popen(["sleep", "60"])
    code = "from ablation.machine.process import *; watch_supervisor(); print('up', flush=True)"
    environment = dict(os.environ, TEST_TAG=tag, PYTHONPATH=str(SCRIPTS))
    environment["MASTER_PORT"] = port
    left = Path(f"/dev/shm/deepspeed_allreduce_buffer_{os.getuid()}_127.0.0.1_{port}_0")
    left.touch()
    environment[processes.SUPERVISOR] = str(processes.Process.of(supervisor.pid))
    rank = subprocess.Popen(
        [sys.executable, "-c", f"{code}; time.sleep(60)"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert rank.stdout.readline() == "up\n"
    supervisor.kill()  # a zombie until it is waited for: that counts as gone
    assert rank.wait(timeout=2) == 1
    supervisor.wait()
    assert not left.exists()


def test_a_process_is_not_taken_for_a_later_one_with_its_number():
    here = processes.Process.current()
    assert processes.Process.parse(str(here)) == here
    assert here.alive()
    assert not processes.Process(here.pid, "1").alive()


def test_a_shell_that_mentions_snakemake_is_not_snakemake():
    assert processes.runs_snakemake(["python", "/env/bin/snakemake", "--cores", "1"])
    assert processes.runs_snakemake(["python3.12", "-m", "snakemake", "--snakefile", "Snakefile"])
    assert not processes.runs_snakemake(["bash", "-c", "cd /home/snakemake; python train_run.py"])
    assert not processes.runs_snakemake(["python", "/home/snakemake/scripts/train_run.py"])


def test_visible_devices_are_named_to_the_launcher():
    command = launch.launcher_command(Path("run"), 2, 29500, ("2", "3"))
    assert command[command.index("--include") + 1] == "localhost:2,3"
    assert "--num_gpus" not in command
    assert "--num_gpus" in launch.launcher_command(Path("run"), 2, 29500)


def test_threads_are_shared_among_ranks():
    environment = launch.job_environment(threads=8, ranks=2, use_gpu=False)
    assert environment["OMP_NUM_THREADS"] == "4"
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert environment["PATH"].startswith(str(Path(sys.executable).parent))
    assert environment["DS_ACCELERATOR"] == "cpu"
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == str(SCRIPTS)


def test_a_failure_shows_the_last_lines_and_a_hint_for_memory():
    message = launch.failure_message(["torch.OutOfMemoryError: CUDA out of memory."])
    assert "CUDA out of memory" in message
    assert "per_device_train_batch_size" in message
    assert "memory ran out" not in launch.failure_message(["KeyError: 'x'"])


def test_a_launcher_that_is_ended_after_its_ranks_is_not_told_as_a_lack_of_memory(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    monkeypatch.setattr(launch, "run_supervised", lambda *_: (-signal.SIGKILL, ["KeyError: 'x'"]))
    with pytest.raises(processes.LaunchError, match="KeyError") as told:
        launch.launch(tmp_path, 2, 2)
    assert "memory ran out" not in str(told.value)


def test_a_run_that_was_killed_when_it_was_done_keeps_no_checkpoints(tmp_path, monkeypatch):
    def killed(*_: object) -> tuple[int, list[str]]:
        (tmp_path / "checkpoints/checkpoint-4").mkdir(parents=True)
        (tmp_path / "metrics.json").write_text("{}")
        return 143, ["terminated"]

    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    monkeypatch.setattr(launch, "run_supervised", killed)
    launch.launch(tmp_path, 2, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


# Trains, so to speak: what it writes while it holds the run's lock.
TRAINS = """
import sys, time
from pathlib import Path
from ablation.machine.locks import alone
run = Path(sys.argv[1])
with alone(run) as held, (run / "told").open("a") as told:
    print("begun", held.waited, file=told, flush=True)
    while not (run / "end").exists():
        time.sleep(0.05)
    print("ended", file=told, flush=True)
"""


def train(run: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", TRAINS, run]
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("killed", [False, True])
def test_no_two_jobs_train_a_run_at_once(tmp_path, killed):
    run, told = tmp_path / "run", tmp_path / "run/told"
    first = train(run)
    wait_until(lambda: told.is_file() and "begun" in told.read_text())
    second = train(run)
    assert second.stderr.readline() == f"waiting: another job writes {run}\n"
    if killed:
        first.kill()
        first.wait()
    (run / "end").touch()
    assert (first.wait(20) == 0) != killed and second.wait(20) == 0
    ended = [] if killed else ["ended"]
    assert told.read_text().splitlines() == ["begun False", *ended, "begun True", "ended"]


def test_the_lock_of_a_run_is_not_taken_through_a_link(tmp_path):
    (tmp_path / "kept").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / locks.NAME).symlink_to(tmp_path / "kept")
    with pytest.raises(OSError), locks.alone(tmp_path / "run"):
        pass


def test_where_a_file_system_has_no_locks_a_run_begins(tmp_path, monkeypatch):
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("fcntl.flock", none)
    with locks.alone(tmp_path) as held:
        assert not held.waited


def test_a_folder_that_is_removed_takes_its_lock_with_it(tmp_path):
    with locks.alone(tmp_path / "run") as first:
        (tmp_path / "run" / locks.NAME).unlink()
        with locks.alone(tmp_path / "run") as second:
            assert not second.waited
        assert not os.path.samestat(os.fstat(first.file), (tmp_path / "run/.lock").stat())


def test_what_inherits_the_lock_of_a_run_holds_it(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.05)
    with locks.alone(tmp_path) as held:
        code = "input()"
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, pass_fds=[held.file]
        )
    threading.Timer(0.5, child.communicate, [b"\n"]).start()
    with locks.alone(tmp_path) as held:
        assert held.waited


def test_a_compile_lock_that_nobody_holds_is_removed(tmp_path):
    for operator in ("held", "stale"):
        (tmp_path / operator).mkdir()
    with (tmp_path / "held" / "lock").open("w"):
        (tmp_path / "stale" / "lock").touch()
        locks.remove_stale_locks(tmp_path)
        assert (tmp_path / "held" / "lock").exists()
    assert not (tmp_path / "stale" / "lock").exists()
    locks.remove_stale_locks(tmp_path / "absent")


def test_environments_do_not_share_compiled_operators(monkeypatch):
    monkeypatch.delenv("TORCH_EXTENSIONS_DIR", raising=False)
    here = launch.extensions_folder()
    monkeypatch.setattr(sys, "prefix", "/another/environment")
    assert launch.extensions_folder() != here


@pytest.mark.parametrize("size", [10, 500_000])
def test_a_request_with_a_large_environment_arrives_whole(size):
    client, server = socket.socketpair()
    reading, writing = os.pipe()
    request = {"task": {"run": "here"}, "environment": {"LONG": "x" * size}}
    sender = threading.Thread(target=warm.send_request, args=(client, request, writing))
    sender.start()
    received, output = warm.receive_request(server)
    sender.join()
    assert received == request
    os.write(output, b"printed")
    assert os.read(reading, 100) == b"printed"
    for descriptor in (reading, writing, output):
        os.close(descriptor)


def test_a_request_that_breaks_off_leaves_no_descriptor_open():
    client, server = socket.socketpair()
    reading, writing = os.pipe()
    socket.send_fds(client, [b'{"task"'], [writing])
    client.close()
    with pytest.raises(ValueError, match="too early"):
        warm.receive_request(server)
    os.close(writing)
    assert os.read(reading, 1) == b""  # nobody else has the other end
    os.close(reading)
    server.close()


def test_operators_that_cannot_be_compiled_are_told_in_a_line_and_left_to_the_first_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.setenv("CXX", "/bin/false")
    told = launch.make_operators()
    assert told is not None and "/bin/false" in told and "\n" not in told


def test_operators_are_found_by_runs_where_they_were_compiled() -> None:
    assert launch.make_operators() is None  # the environment's own, kept from run to run
    found = {path.parent.name for path in launch.extensions_folder().glob("*/*.so")}
    assert {"cpu_adam", "deepspeed_shm_comm"} <= found
