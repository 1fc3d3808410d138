"""The wheel: what it installs alone, what `[train]` brings, what travels inside it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import distribution, requires
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from packaging.requirements import Requirement

DEVELOPMENT = re.compile(
    r"(pytest|pytest-xdist|hypothesis|axe-core-python|ruff|snakefmt|hatchling|mypy|types-.*|.*-stubs"
    r"|snakemake-executor-.*)=="
)


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command's end and its output."""
    words = list(map(str, command))
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built without an index."""
    root = Path(__file__).resolve().parents[2]
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=root)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(folder.glob("*.whl"))


def needed(names: set[str]) -> set[str]:
    """The distributions that these need, with what those need, without extras."""
    found: set[str] = set()
    todo = set(names)
    while todo:
        name = todo.pop()
        found.add(name)
        for text in requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo |= {requirement.name} - found
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The programs of an empty environment with the wheel and what it needs without extras.

    The dependencies are linked from the environment of the tests, so that no index is asked.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    packages = next((folder / "lib").glob("python*/site-packages"))
    options = ["--no-deps", "--no-index", "--quiet", "--no-compile", wheel]
    done = run(sys.executable, "-m", "pip", "--python", folder, "install", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    own = Requirement("staged-ablation").name
    metadata = (next(packages.glob("staged_ablation-*.dist-info")) / "METADATA").read_text()
    stated = re.findall(r"^Requires-Dist: (.+)$", metadata, re.MULTILINE)
    direct = {r.name for r in map(Requirement, stated) if r.marker is None}
    for name in needed(direct) - {own}:
        files = distribution(name).files or ()
        for top in {file.parts[0] for file in files if file.parts[0] != ".."}:
            target = Path(str(distribution(name).locate_file(top)))
            if not (packages / top).exists():
                (packages / top).symlink_to(target)
    return folder / "bin"


def test_the_wheel_alone_explains_without_torch_or_snakemake(installed, account_tax):
    for heavy in ("torch", "snakemake", "pandas", "scipy"):
        assert run(installed / "python", "-c", f"import {heavy}", cwd=account_tax).returncode
    files = ("training.yml", "deepspeed.yml")
    found = run(installed / "ablation", "explain", *files, "--layers", 36, cwd=account_tax)
    assert found.returncode == 0, found.stderr
    assert "learning_rate" in found.stdout
    study = run(installed / "ablation", "explain", ".", "--lang", "ko", cwd=account_tax)
    assert study.returncode == 0, study.stderr
    assert "학습률" in study.stdout
    begun = run(installed / "ablation", "init", *files, cwd=account_tax)
    assert begun.returncode == 0, begun.stderr


def test_what_needs_more_names_the_command_that_brings_it(installed, account_tax):
    asked = run(installed / "ablation", "plan", ".", cwd=account_tax)
    assert asked.returncode == 2
    assert 'pip install "staged-ablation[train]"' in asked.stderr


def test_the_wheel_carries_the_workflow_and_its_texts(wheel, root):
    names = set(ZipFile(wheel).namelist())
    carried = ["Snakefile", "workflow/schemas/study.schema.json", "scripts/train_run.py"]
    carried += ["config/studies/debian_sections/packages.csv", "profiles/default/config.yaml"]
    assert {f"ablation/_project/{name}" for name in carried} <= names
    own = {
        p.relative_to(root / "scripts").as_posix() for p in (root / "scripts/ablation").rglob("*.*")
    }
    assert {name for name in own if "__pycache__" not in name} <= names
    assert not [name for name in names if "__pycache__" in name or "/results/" in name]


def test_train_brings_what_environment_yml_has_but_the_tools_of_development(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((root / "environment.yml").read_text())
    pins = next(item for item in environment["dependencies"] if isinstance(item, dict))["pip"]
    rest = {pin for pin in pins if not DEVELOPMENT.match(pin)}
    assert set(project["optional-dependencies"]["train"]) == rest


def test_what_is_pinned_is_within_what_the_wheel_asks_for(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"]:
        requirement = Requirement(text)
        assert distribution(requirement.name).version in requirement.specifier
