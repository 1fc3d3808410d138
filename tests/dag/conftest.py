"""Fixtures of the tests that start Snakemake."""

from __future__ import annotations

from pathlib import Path

import pytest
from faked import FakedStudy


@pytest.fixture
def faked(tmp_path: Path) -> FakedStudy:
    """A study whose training is faked, nothing run yet."""
    return FakedStudy(tmp_path)
