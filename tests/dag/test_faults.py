"""What a user, a disk or a second Snakemake does wrong: one message, and nothing half written."""

from __future__ import annotations

import subprocess
import time

import pytest
from faked import FakedStudy

pytestmark = pytest.mark.dag
PLANTED = {"noise": 0.003}


def told(result: subprocess.CompletedProcess) -> str:
    """What Snakemake said on ending with an error, without a traceback."""
    text = result.stdout + result.stderr
    assert result.returncode != 0 and "Traceback" not in text, text
    return text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- study\n", "config/config.yaml:1: not a configuration"),
        ("study: [a\n", "config/config.yaml:2: not YAML"),
        ("study: !!python/name:os.system\n", "config/config.yaml:1: a tag"),
    ],
)
def test_a_broken_options_file_is_one_message_with_its_line(faked, text, message):
    (faked.folder / "config").mkdir()
    (faked.folder / "config/config.yaml").write_text(text)
    said = told(faked.call(PLANTED, "-n"))
    assert message in said and "WorkflowError" not in said


def test_an_empty_options_file_leaves_the_defaults(faked):
    (faked.folder / "config").mkdir()
    (faked.folder / "config/config.yaml").write_text("# nothing yet\n")
    planned = faked.call(PLANTED, "-n", "results/account_tax/grid.json")
    assert planned.returncode == 0, planned.stderr


def test_a_link_to_the_users_own_folder_is_refused_and_left_alone(faked):
    own = faked.folder / "own"
    own.mkdir()
    (own / "precious.txt").write_text("mine")
    faked.results.mkdir(parents=True)
    (faked.results / "data").symlink_to(own)
    assert "results/account_tax/data: a link stands" in told(faked.call(PLANTED))
    assert (own / "precious.txt").read_text() == "mine" and not faked.trained()


def test_a_loop_in_the_place_of_results_is_told_in_the_plan(faked):
    (faked.folder / "results").symlink_to("loop")
    (faked.folder / "loop").symlink_to("results")
    assert "error: results: links that lead to each other" in told(faked.call(PLANTED, "-n"))


def test_half_a_profile_of_the_data_is_one_message_with_its_file(faked):
    profile = faked.results / "data/profile.json"
    profile.parent.mkdir(parents=True)
    profile.write_text('{"rows"')
    said = told(faked.call(PLANTED, "-n"))
    assert "error: results/account_tax/data/profile.json:1: the file is not JSON" in said
    assert "UserError" not in said


@pytest.mark.parametrize("options", ["size=64k", "ro"])
def test_a_disk_without_room_starts_nothing(faked, options):
    results = faked.folder / "results"
    results.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(results)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        said = told(faked.call(PLANTED))
        assert "there is no room" in said or "cannot be written: Read-only" in said
        assert not list(results.glob("*/*"))
    finally:
        subprocess.run(["umount", str(results)], check=True)


def test_a_second_snakemake_ends_with_a_message_and_the_first_goes_on(faked: FakedStudy):
    faked.write(seeds="[1]")
    target = "results/account_tax/metrics.csv"
    first = subprocess.Popen(
        faked.command(target),
        env=faked.environment(PLANTED, seconds=2),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    locks = faked.folder / ".snakemake/locks"
    deadline = time.monotonic() + 120
    while not (locks.is_dir() and any(locks.iterdir())):
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.05)
    assert "cannot be locked" in told(faked.call(PLANTED, target))
    said = first.communicate(timeout=300)[1]
    assert first.returncode == 0, said
    assert len(faked.trained()) == 5
