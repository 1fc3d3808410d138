"""Fixtures that many tests share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# The suite tries the same examples each time, so that it is red for what a change did and for
# nothing else; `--hypothesis-profile=search` tries others, as `make search` does.
settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
settings.register_profile("search", derandomize=False, database=None, deadline=None)
settings.load_profile("fixed")

ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that writes the golden files anew."""
    parser.addoption("--rewrite-golden", action="store_true", help="write tests/golden anew")


@pytest.fixture
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture
def account_tax(tmp_path: Path) -> Path:
    """A copy of the source study's folder, to be changed at will; its rows are not counted."""
    copy = Path(shutil.copytree(ROOT / "config/studies/account_tax", tmp_path / "account_tax"))
    lines = (copy / "study.yaml").read_text().splitlines(keepends=True)
    (copy / "study.yaml").write_text("".join(x for x in lines if not x.startswith("  rows:")))
    return copy


@pytest.fixture
def edit(account_tax: Path) -> Callable[[str, str, str], None]:
    """A function that replaces text in a file of the copied study; the text must be there."""

    def replace(file: str, old: str, new: str) -> None:
        path = account_tax / file
        text = path.read_text()
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new, 1))

    return replace
