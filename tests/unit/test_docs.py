"""What the pages say holds: links lead somewhere, commands parse, tables are current."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from document_keys import tables

from ablation.command.main import COMMANDS
from ablation.command.words import Parser, load_words
from ablation.study.keys import put_table

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    ROOT / "config/README.md",
    ROOT / "results/README.md",
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    heads = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_command_that_a_page_shows_can_be_given(page):
    for _, block in FENCE.findall(page.read_text()):
        for line in block.splitlines():
            words = shlex.split(line, comments=True) if line.startswith("ablation ") else []
            if words and words[1] in COMMANDS:
                parser = Parser(load_words("en"), words[1])
                importlib.import_module(f"ablation.command.{words[1]}").add_arguments(parser)
                parser.parse(words[2:])


def test_the_tables_of_keys_are_those_of_the_schemas(root):
    text = (root / "config/README.md").read_text()
    for name, table in tables().items():
        assert put_table(text, name, table) == text, "python scripts/document_keys.py"


def test_the_readme_is_short(root):
    assert len((root / "README.md").read_text().splitlines()) < 120


# --- Snippets that people copy -------------------------------------------------------------------


def snippet(number: int) -> dict:
    """A YAML block of the page on code review."""
    text = (ROOT / "docs/code-review.md").read_text()
    return yaml.safe_load([block for kind, block in FENCE.findall(text) if kind == "yaml"][number])


@pytest.fixture
def repository(tmp_path) -> tuple[Path, dict[str, str]]:
    """A repository with a base branch and a change of training.yml, and programs on the PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    call = "import sys; from ablation.command.main import main; sys.exit(main())"
    shims = {
        "ablation": f'PYTHONPATH={ROOT}/scripts exec {sys.executable} -c "{call}" "$@"',
        "gh": 'echo "$@" > ../told; cat "$5" >> ../told',
        "pip": "true",
    }
    for name, text in shims.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    names = [f"GIT_{role}_{part}" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")]
    path = f"{programs}:{os.environ['PATH']}"
    environment = os.environ | dict.fromkeys(names, "a@b.c") | {"PATH": path}
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "training.yml").write_text("learning_rate: 1.0e-4\nlora_r: 8\noutput_dir: out\n")
    steps = "git init -q -b main && git add . && git commit -q -m a && git branch base && "
    steps += "git update-ref refs/remotes/origin/base base"
    subprocess.run(["bash", "-ec", steps], cwd=folder, env=environment, check=True)
    (folder / "training.yml").write_text("learning_rate: 2.0e-4\nlora_r: 8\noutput_dir: out\n")
    return folder, environment


def bash(command: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_action_comments_on_a_pull_request(repository, tmp_path):
    folder, environment = repository
    bash("git commit -q -a -m b", folder, environment)
    steps = snippet(0)["jobs"]["explain"]["steps"]
    environment |= {"GITHUB_BASE_REF": "base", "PR": "7"}
    for command in [step["run"] for step in steps if "run" in step]:
        done = bash(command, folder, environment)
        assert done.returncode == 0, done.stderr
    told = (tmp_path / "told").read_text()
    assert told.startswith("pr comment 7 --body-file comment.md\n")
    assert "| `learning_rate` | 1e-4" in told


def test_the_hook_tells_what_is_staged(repository):
    folder, environment = repository
    (hook,) = snippet(1)["repos"][0]["hooks"]
    assert re.search(hook["files"], "training.yml")
    bash("git add training.yml", folder, environment)
    done = bash(f"{hook['entry']} training.yml", folder, environment)
    assert done.returncode == 0, done.stderr
    assert "learning_rate" in done.stdout


def test_the_readme_quotes_a_reports_answer_and_no_picture_that_it_lacks(root):
    from document_demo import excerpt

    told = excerpt((root / "tests/golden/default/report.md").read_text(encoding="utf-8"))
    assert told[0].startswith("**Date**") and told[-1].startswith("- **How sure that is:**")
    assert not [line for line in told if "](" in line]
