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
    nth = next(n for (one, where), n in study.places.items() if one == kind and place in where)
    found = study.outcome(Fault(kind=kind, nth=nth, error=error))
    assert found.what and found.problems == ()
