"""A run is the same in every way it can be trained: in every bit, or within a stated bound."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from soak.invariance import PAIRS, Runs, distance

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Runs:
    return Runs(tmp_path_factory.mktemp("ways").resolve())


@pytest.mark.parametrize("pair", PAIRS, ids=[pair.name for pair in PAIRS])
def test_the_way_of_training_changes_nothing(runs, pair):
    assert distance(runs.folder_of(pair.one), runs.folder_of(pair.other)) <= pair.bound
