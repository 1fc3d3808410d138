"""The project's own files agree with each other."""

from __future__ import annotations

import re
import subprocess
import sys

import yaml

BY_HAND = ("plan", "render_partial", "document_keys", "document_demo")  # run by no rule


def test_environment_and_lock_have_the_same_pins(root):
    locked = {
        line.strip().lower()
        for line in (root / "requirements.lock").read_text().splitlines()
        if "==" in line
    }
    environment = yaml.safe_load((root / "environment.yml").read_text())
    pip = next(item for item in environment["dependencies"] if isinstance(item, dict))["pip"]
    assert {pin.lower() for pin in pip} <= locked


def test_the_container_is_made_of_what_is_there(root):
    text = (root / "Containerfile").read_text()
    image = re.search(r"^FROM docker.io/library/python:(3\.\d+)-slim$", text, re.M)[1]
    environment = yaml.safe_load((root / "environment.yml").read_text())
    assert f"python={image}" in environment["dependencies"]
    ignored = (root / ".dockerignore").read_text().split()
    copied = [source for source in re.findall(r"^COPY (\S+) \.$", text, re.M) if source != "."]
    assert copied == ["requirements.lock"] and all((root / source).is_file() for source in copied)
    needed = ["scripts", "workflow", "config", "pyproject.toml", "hatch_build.py", "README.md"]
    assert not {*ignored} & {*needed, ".git"}  # git tells the commit of the code
    command = re.search(r'^ENTRYPOINT \["(\w+)"\]$', text, re.M)[1]
    assert f'{command} = "ablation.command.main:main"' in (root / "pyproject.toml").read_text()
    setup = re.search(r"pip install --quiet (--no-deps .*)$", (root / "Makefile").read_text(), re.M)
    assert f"RUN pip install --no-cache-dir {setup[1]}" in text  # as `make setup` does


def test_every_script_explains_itself_and_shares_its_rules_name(root):
    rules = "".join(path.read_text() for path in (root / "workflow/rules").glob("*.smk"))
    for script in (root / "scripts").glob("*.py"):
        assert '"""' in script.read_text()[:10], script
        if script.stem not in (
            "plan",
            "render_partial",
            "compile_operators",
            "document_keys",
            "document_demo",
        ):  # run by no rule
            assert re.search(rf"^(rule|checkpoint) {script.stem}:$", rules, re.MULTILINE), script


def test_python_files_are_clean(root):
    for arguments in (["check"], ["format", "--check"]):
        result = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "."],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_the_library_has_the_types_that_it_says(root):
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_snakemake_files_are_formatted(root):
    files = ["Snakefile", "workflow/Snakefile", *map(str, (root / "workflow/rules").glob("*.smk"))]
    result = subprocess.run(
        [sys.executable, "-m", "snakefmt", "--check", *files],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
