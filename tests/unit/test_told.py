"""What the environment tells the machine room is checked before anything is run."""

from __future__ import annotations

import pytest

from ablation.errors import UserError
from ablation.machine.told import check_environment, idle_seconds, patience

NAMES = ("ABLATION_PATIENCE_MINUTES", "ABLATION_WARM_IDLE_SECONDS")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["five", "-1", "0", "nan", "inf", "1e30", "5 minutes", "٣x"])
def test_what_is_no_number_of_minutes_is_refused_with_the_line_to_write(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=name) as error:
        check_environment()
    assert error.value.found == value and error.value.write.startswith(f"export {name}=")


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_value_is_none(name, monkeypatch):
    monkeypatch.setenv(name, " ")
    check_environment()
    assert (patience(), idle_seconds()) == (300, 120)


def test_a_folder_of_leases_that_is_a_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATION_LEASES", str(tmp_path / "new"))
    check_environment()
    (tmp_path / "new").touch()
    with pytest.raises(UserError, match="ABLATION_LEASES"):
        check_environment()
