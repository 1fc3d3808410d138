"""`ablation explain` in code review: two revisions of a file, a comment, and an exit code."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from ablation.command.explain import FOUND_A_PROBLEM
from ablation.command.main import MISTAKE, main

OLD = """\
output_dir: out
learning_rate: 2.0e-5
num_train_epochs: 3
max_steps: 100
weight_decay: 0.01
logging_steps: 50
lora_r: 8
"""
NEW = """\
output_dir: out
learning_rate: 0.00002
num_train_epochs: 5
max_steps: 100
weight_decay: 0.1
logging_steps: 10
lora_r: 8
"""


def git(folder: Path, *arguments: str) -> None:
    """Run git, as somebody."""
    names = [f"GIT_{role}_{part}" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")]
    environment = os.environ | dict.fromkeys(names, "a@b.c")
    command = ["git", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository whose `conf/training.yml` has two revisions."""
    file = tmp_path / "conf/training.yml"
    file.parent.mkdir()
    git(tmp_path, "init", "-q", "-b", "main")
    for text in (OLD, NEW):
        file.write_text(text)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", "settings")
    monkeypatch.chdir(tmp_path / "conf")
    return tmp_path


def comment(capsys, *arguments: str) -> str:
    assert main(["explain", *arguments]) == 0
    return capsys.readouterr().out


def test_two_revisions_of_a_file_are_compared_new_against_old(repository, capsys):
    said = json.loads(comment(capsys, "--json", "--git", "HEAD~1", "HEAD", "--", "training.yml"))
    decay = next(d for d in said["differences"] if d["setting"] == "weight_decay")
    assert (decay["current"]["value"], decay["backup"]["value"]) == (0.1, 0.01)


def test_what_is_staged_is_a_revision(repository, capsys):
    Path("training.yml").write_text(NEW.replace("lora_r: 8", "lora_r: 64"))
    git(repository, "add", ".")
    said = json.loads(comment(capsys, "--json", "--git", "HEAD", ":0", "--", "training.yml"))
    assert "lora.r" in {d["setting"] for d in said["differences"]}


def test_a_comment_tells_real_changes_from_those_that_only_look_so(repository, capsys):
    text = comment(capsys, "--markdown", "--git", "HEAD~1", "HEAD", "--", "training.yml")
    real, _, rest = text.partition("**Looks changed, but is not**")
    assert "`weight_decay` | 0.01" in real and "learning_rate" not in real
    assert "- `learning_rate`: `2.0e-5` → `0.00002`: amounts to the same" in rest
    assert "- `num_train_epochs`: `3` → `5`: without effect, other settings decide" in rest
    assert "- `logging_steps`: `50` → `10`: bookkeeping" in rest


def test_files_that_a_configuration_includes_have_their_revisions(repository, capsys):
    Path("ds.json").write_text('{"zero_optimization": {"stage": 1}}')
    Path("training.yml").write_text(NEW + "deepspeed: ds.json\n")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "deepspeed")
    Path("ds.json").write_text('{"zero_optimization": {"stage": 2}}')
    git(repository, "commit", "-q", "-a", "-m", "stage")
    text = comment(capsys, "--markdown", "--git", "HEAD~1", "HEAD", "--", "training.yml")
    assert "zero_optimization.stage` | 1" in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--git", "nowhere", "HEAD", "--", "training.yml"], "git cannot give the revision"),
        (["--git", "HEAD", "HEAD", "--", "other.yml"], "revision HEAD does not have the file"),
        (["--git", "HEAD", "HEAD", "--", "a.yml", "b.yml"], "one file after --git OLD NEW"),
    ],
)
def test_a_mistake_with_revisions_is_a_message(repository, capsys, arguments, told):
    assert main(["explain", *arguments]) == MISTAKE
    assert told in capsys.readouterr().err


def test_check_ends_with_three_where_a_problem_is_found(account_tax, capsys):
    same = [str(account_tax / "training.yml")] * 2
    assert main(["explain", "--check", *same]) == 0
    capsys.readouterr()
    assert main(["explain", "--check", str(account_tax)]) == FOUND_A_PROBLEM
    assert "PROBLEM" in capsys.readouterr().out.upper()
