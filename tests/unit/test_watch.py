"""Slow is not hung: what a run may last comes from what it has lasted so far."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ablation.machine import process as processes
from ablation.machine import pulse as pulses
from ablation.machine import watch as watches
from ablation.machine.locks import remove_stale_locks
from ablation.machine.pulse import (
    END,
    EVALUATION,
    FIRST_STEP,
    MASTER,
    SAVE,
    STEP,
    Pulse,
    read_beats,
)
from ablation.machine.told import PATIENCE
from ablation.machine.watch import Stop, Watch

FLOOR = 10.0
SCRIPTS = Path(watches.__file__).parents[2]
pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def monotonic_ns(self) -> int:
        return int(self.now * 1e9)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(pulses, "time", found)
    monkeypatch.setattr(watches, "time", found)
    monkeypatch.setenv(PATIENCE, str(FLOOR / 60))
    monkeypatch.setattr(pulses, "FIRST_SECONDS", 120.0)
    return found


@pytest.fixture
def path(tmp_path, monkeypatch) -> Path:
    """Where the ranks of a job say how they get on."""
    monkeypatch.setenv(pulses.PULSE, str(tmp_path / "pulse"))
    return tmp_path / "pulse"


def rank(number: int, monkeypatch) -> Pulse:
    monkeypatch.setenv("RANK", str(number))
    return Pulse()


def watch_of(path: Path | None) -> Watch:
    return Watch(Stop(), None, path, list)


def passes(watch: Watch, clock: Clock, seconds: float) -> bool:
    """Whether the job counts as hung when so much time has passed, looked at now and then."""
    for _ in range(int(seconds)):
        clock.now += 1
        if watch.none_gets_on(read_beats(watch.pulse)):
            return True
    return False


def test_an_evaluation_of_twenty_times_a_step_is_not_hung_and_one_that_never_ends_is(
    path, clock, monkeypatch
):
    heart = rank(0, monkeypatch)
    watch = watch_of(path)
    heart.beat(FIRST_STEP)
    for _ in range(5):
        clock.now += 2
        heart.beat(STEP)
    heart.beat(EVALUATION)
    assert not passes(watch, clock, 20 * 2)  # the first one: nobody knows what it takes
    heart.beat(STEP)
    heart.beat(EVALUATION)
    assert not passes(watch, clock, 10 * 20 * 2)  # as long as ten of the first
    assert passes(watch, clock, 11 * 20 * 2)


def test_a_step_is_hung_after_twenty_of_the_slowest_or_some_minutes(path, clock, monkeypatch):
    heart = rank(0, monkeypatch)
    watch = watch_of(path)
    heart.beat(FIRST_STEP)
    clock.now += 100  # it compiles: no measure of a step
    heart.beat(STEP)
    clock.now += 1
    heart.beat(STEP)
    assert not passes(watch, clock, 20)
    assert passes(watch, clock, 3)


def test_a_rank_that_waits_for_one_that_saves_is_not_hung(path, clock, monkeypatch):
    first, second = rank(0, monkeypatch), rank(1, monkeypatch)
    watch = watch_of(path)
    for heart in (first, second):
        heart.beat(STEP)
        clock.now += 1
        heart.beat(STEP)
    first.beat(SAVE)
    assert not passes(watch, clock, 2 * FLOOR)


def test_a_rank_that_is_done_keeps_no_hung_one_alive(path, clock, monkeypatch):
    first, second = rank(0, monkeypatch), rank(1, monkeypatch)
    first.beat(END)
    second.beat(END)
    file = Path(f"{path}_1")
    ended = subprocess.Popen(["true"])
    ended.wait()
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pid": ended.pid}))
    assert passes(watch_of(path), clock, pulses.FIRST_SECONDS + 2)


def test_a_job_without_a_word_is_hung_after_the_time_of_a_first_step(path, clock):
    watch = watch_of(path)
    assert not passes(watch, clock, pulses.FIRST_SECONDS - 2)
    assert passes(watch, clock, 4)
    assert "no rank has said a word" in watches.tell_hung({})


def test_a_job_that_has_no_room_to_say_how_it_gets_on_is_not_watched(path, clock, monkeypatch):
    rank(0, monkeypatch).beat(STEP)
    Path(f"{path}_0").write_bytes(b"")
    watch = watch_of(path)
    clock.now += 10 * pulses.FIRST_SECONDS
    assert not watch.must_end()
    monkeypatch.setattr(pulses, "SHARED_MEMORY", path.parent / "absent")
    assert pulses.new_pulse(1, "1:1") is None


def test_what_a_job_left_in_memory_is_removed_once_nobody_supervises_it(tmp_path, monkeypatch):
    monkeypatch.setattr(pulses, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(processes, "SHARED_MEMORY", tmp_path)
    ended = subprocess.Popen(["true"])
    gone = str(processes.Process(ended.pid, "1"))
    ended.wait()
    here = str(processes.Process.current())
    for port, supervisors in {1: [gone], 2: [here], 3: [gone, here]}.items():
        for supervisor in supervisors:
            assert pulses.new_pulse(port, supervisor)
        (tmp_path / f"deepspeed_allreduce_buffer_{os.getuid()}_{MASTER}_{port}_0").touch()
    (tmp_path / f"ablation_pulse_{os.getuid()}_{MASTER}_4_a_room").write_bytes(bytes(8))
    processes.sweep_shared_memory()
    assert {path.name.split("_")[5] for path in tmp_path.glob("deepspeed*")} == {"2", "3"}
    assert {path.name.split("_")[4] for path in tmp_path.glob("*_room")} == {"2", "3", "4"}


def test_a_machine_that_sleeps_makes_no_run_hang(path, clock, monkeypatch):
    heart = rank(0, monkeypatch)
    watch = watch_of(path)
    heart.beat(STEP)
    passes(watch, clock, 1)
    clock.now += 100_000
    assert not watch.none_gets_on(read_beats(path))


def test_a_rank_without_a_supervisor_tells_nobody(monkeypatch):
    monkeypatch.delenv(pulses.PULSE, raising=False)
    heart = Pulse()
    heart.beat(STEP)
    assert heart.descriptor is None and not heart.asked_to_stop()


def test_stacks_are_asked_of_those_only_who_answer(path, capfd):
    code = "from ablation.machine.pulse import *; show_stacks_on_demand(); print(1, flush=True); "
    code += "time.sleep(60)"
    environment = dict(os.environ, PYTHONPATH=str(SCRIPTS))
    answers = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    )
    deaf = subprocess.Popen(["sleep", "60"])
    try:
        assert answers.stdout.readline() == "1\n"
        answers.send_signal(signal.SIGSTOP)
        while watches.state_of(answers.pid) != "T":
            time.sleep(0.01)
        watches.dump_stacks([deaf.pid, answers.pid], {})
        told = capfd.readouterr().err
        assert f"process {answers.pid}, stopped by a signal" in told
        assert '"<string>", line 1 in <module>' in told
        assert deaf.poll() is None and str(deaf.pid) not in told
    finally:
        for process in (answers, deaf):
            process.kill()
            process.wait()


def test_a_job_that_has_not_begun_to_train_is_not_asked_to_save(path, monkeypatch):
    watch = watch_of(path)
    watch.stop.by(signal.SIGTERM)
    assert watch.must_end() and not pulses.stop_file(path).exists()
    rank(0, monkeypatch).beat(STEP)
    assert not watch.must_end() and pulses.stop_file(path).exists()
    assert Pulse().asked_to_stop()
    watch.stop.by(signal.SIGINT)
    assert watch.must_end()


def test_a_job_may_save_after_one_interrupt_and_not_after_two(path, monkeypatch, clock):
    watch = watch_of(path)
    rank(0, monkeypatch).beat(STEP)
    watch.stop.by(signal.SIGINT)
    assert not watch.must_end() and pulses.stop_file(path).exists()
    clock.now += 2
    watch.stop.by(signal.SIGINT)
    assert watch.must_end()


def test_a_signal_that_comes_twice_within_a_second_is_one_and_a_key_held_down_is_several(clock):
    stop = Stop()
    for _ in range(3):
        stop.by(signal.SIGINT)
        clock.now += 0.3
    assert stop.asked == [signal.SIGINT] and not stop.at_once
    stop.by(signal.SIGTERM)
    assert stop.asked == [signal.SIGINT, signal.SIGTERM]
    for _ in range(8):
        stop.by(signal.SIGINT)
        clock.now += 0.3
    assert stop.asked.count(signal.SIGINT) > 2 and stop.at_once


def test_a_run_that_is_asked_again_by_its_workflow_still_saves_as_after_ctrl_c(path, monkeypatch):
    watch = watch_of(path)
    rank(0, monkeypatch).beat(STEP)
    watch.stop.by(signal.SIGINT)
    watch.stop.by(watches.AGAIN)
    assert not watch.must_end() and watch.stop.number == signal.SIGINT


def test_what_another_user_puts_beside_a_pulse_stops_no_run_and_tells_nothing(path, monkeypatch):
    rank(0, monkeypatch).beat(STEP)
    pulses.stop_file(path).touch()
    assert Pulse().asked_to_stop() and set(read_beats(path)) == {0}
    stranger = os.getuid() + 1  # they are of another than us
    monkeypatch.setattr(os, "getuid", lambda: stranger)
    assert not Pulse().asked_to_stop() and read_beats(path) == {}


def test_a_compile_lock_whose_holder_dies_while_others_wait_is_removed(tmp_path, monkeypatch):
    held = tmp_path / "operator" / "lock"
    held.parent.mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", f"f = open({str(held)!r}, 'w'); print(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    holder.stdout.readline()
    monkeypatch.setattr(watches, "CLEAN_SECONDS", 0.0)
    watch = watch_of(tmp_path / "pulse")
    watch.extensions = str(tmp_path)
    starting = {0: SimpleNamespace(doing=pulses.START)}
    watch.free_compilers(starting)
    assert held.exists()
    holder.kill()
    holder.wait()
    watch.free_compilers({0: SimpleNamespace(doing=STEP)})
    assert held.exists()  # nobody waits
    watch.free_compilers(starting)
    assert not held.exists()
    remove_stale_locks(tmp_path)
