"""Operations of the smallest study that fail: the next call finishes it, as if nothing had been.

All of them are tried by tests/soak/operations.py; these are some of each kind.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from soak.layer import Fault
from soak.operations import Plugs, faked_study

pytestmark = pytest.mark.dag


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Iterator[Plugs]:
    with faked_study(tmp_path_factory.mktemp("plugged").resolve()) as found:
        yield found


@pytest.mark.parametrize(
    ("kind", "place", "error"),
    [
        ("write", "resolved/.study.json.partial", "full"),
        ("write", ".snakemake.log", "SIGKILL"),
        ("rename", "/effects.json", "SIGKILL"),
        ("spawn", "/bin/python", "EIO"),
    ],
)
def test_the_next_call_finishes_what_a_failed_operation_left(study, kind, place, error):
    found = study.outcome(fault_at(study, kind, place, error))
    assert found.what and found.problems == ()


def test_one_study_survives_operations_that_fail_one_after_another(study):
    wanted = [
        ("write", "/snakemake.log", "ENOSPC"),
        ("rename", "/grid.json", "EIO"),
        ("mkdir", "/figures", "full"),
    ]
    found = study.together([fault_at(study, *one) for one in wanted])
    assert all(one.what and one.problems == () for one in found)


def fault_at(study: Plugs, kind: str, place: str, error: str) -> Fault:
    faults = study.faults_of_places()
    return next(f for f in faults if (f.kind, f.error) == (kind, error) and place in f.place)
