"""Results that cannot be written are told before anything is, with nothing half written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ablation.cli import EXIT_USER_ERROR, run
from ablation.errors import UserError
from ablation.files import save_text
from ablation.results import Results
from ablation.workflow.folders import check_places, check_run, check_space


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results/study")


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a small file system with these options."""
    made: list[Path] = []

    def small(options: str) -> Path:
        folder = tmp_path / f"small{len(made)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        made.append(folder)
        return folder

    yield small
    for folder in made:
        subprocess.run(["umount", str(folder)], check=True)


def test_no_results_and_whole_ones_are_fine(results, tmp_path):
    check_places(results)
    check_space(results)
    (results.folder / "runs").mkdir()
    check_places(results)
    assert list(results.folder.iterdir()) == [results.runs]  # the probe is gone


def test_all_results_may_be_kept_elsewhere(results, tmp_path):
    (tmp_path / "disk").mkdir()
    results.folder.parent.symlink_to(tmp_path / "disk")
    check_places(results)
    check_space(results)
    assert (tmp_path / "disk/study").is_dir()


@pytest.mark.parametrize("name", ["", "study", "study/runs", "study/data", "study/logs"])
def test_a_file_in_the_place_of_a_folder_is_told(results, name):
    path = results.folder.parent / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    with pytest.raises(UserError, match="a file stands where a folder") as error:
        check_places(results)
    assert error.value.file == str(path) and path.read_text() == "mine"


@pytest.mark.parametrize("name", ["", "study", "study/runs", "study/data"])
def test_links_in_a_loop_are_told(results, name):
    path = results.folder.parent / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path.with_name("other"))
    path.with_name("other").symlink_to(path)
    with pytest.raises(UserError, match="link") as error:
        check_places(results)
    assert error.value.file == str(path)


def test_a_link_that_leads_nowhere_is_told(results, tmp_path):
    results.folder.parent.symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match="leads nowhere"):
        check_places(results)


@pytest.mark.parametrize("name", ["data", "prefix", "runs", "model", "data/train"])
def test_a_link_to_a_folder_of_the_users_is_refused(results, tmp_path, name):
    own = tmp_path / "own"
    own.mkdir()
    (own / "precious.txt").write_text("mine")
    link = results.folder / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(own)
    with pytest.raises(UserError, match="a link stands where") as error:
        check_places(results)
    assert str(own) in str(error.value) and (own / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["logs/snakemake.log", "runs/arm/seed-1/history.jsonl", "report.md", "tracked/deep"]
)
def test_a_link_to_a_file_of_the_users_is_refused_and_one_within_is_not(results, tmp_path, name):
    users = tmp_path / "precious"
    users.write_text("mine")
    link = results.folder / name
    link.parent.mkdir(parents=True, exist_ok=True)
    (link.parent / "latest").symlink_to(results.folder / "grid.json")
    check_places(results)
    link.symlink_to(users)
    with pytest.raises(UserError, match="leads out of them") as told:
        check_places(results)
    assert str(told.value.file) == str(link) and users.read_text() == "mine"


@pytest.mark.parametrize("name", ["runs/arm", "runs/arm/seed-1", "runs/arm/seed-1/checkpoints"])
def test_a_link_that_was_made_since_the_call_began_is_refused_by_its_run(results, tmp_path, name):
    link = results.folder / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path)
    with pytest.raises(UserError, match="a link") as told:
        check_run(results.folder / "runs/arm/seed-1", results)
    assert str(told.value.file) == str(link)


@pytest.mark.parametrize(
    "options", ["size=64k", "size=400k", "size=1200k", "size=64m,nr_inodes=20"]
)
def test_a_small_disk_is_told_before_anything_is_written(results, mount, options):
    results.folder.parent.symlink_to(mount(options))
    with pytest.raises(UserError, match="no room for the results") as error:
        check_space(results)
    assert "free" in str(error.value.found)
    assert [path.name for path in results.folder.parent.iterdir()] in ([], ["study"])


def test_a_disk_that_is_read_only_is_told(results, mount):
    results.folder.parent.symlink_to(mount("ro,size=64m"))
    with pytest.raises(UserError, match="cannot be written: Read-only file system"):
        check_space(results)


def test_a_text_that_does_not_fit_leaves_what_was_there(mount):
    folder = mount("size=16k")
    save_text("old", folder / "report.md")
    with pytest.raises(OSError) as error:
        save_text("x" * 10**6, folder / "report.md")
    assert error.value.errno == errno.ENOSPC and error.value.filename.endswith("report.md")
    assert [path.name for path in folder.iterdir()] == ["report.md"]
    assert (folder / "report.md").read_text() == "old"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOTDIR])
def test_a_program_tells_of_a_full_disk_in_one_line(capsys, number):
    def fail(asked: None) -> None:
        raise OSError(number, os.strerror(number), "results/study/effects.json")

    with pytest.raises(SystemExit) as end:
        run(fail, lambda: None)
    assert end.value.code == EXIT_USER_ERROR
    told = capsys.readouterr().err.strip()
    assert told.startswith(f"error: results/study/effects.json: {os.strerror(number)}")
    assert "\n" not in told


def test_a_mistake_of_ours_is_not_hidden():
    def fail(asked: None) -> None:
        raise FileNotFoundError(errno.ENOENT, "no such file", "x")

    with pytest.raises(FileNotFoundError):
        run(fail, lambda: None)


def test_a_program_on_a_full_disk_says_so_without_a_traceback(root, mount):
    folder = mount("size=64k")
    study = root / "config/studies/account_tax/study.yaml"
    script = root / "scripts/resolve_study.py"
    command = [sys.executable, script, "--study", study, "--results", folder / "study"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_USER_ERROR
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
