"""Mistakes in config/config.yaml and on the command line: one message, with the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation.errors import UserError
from ablation.workflow.options import check_config, has_options


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


@pytest.mark.parametrize("text", [None, "", "\n\n", "# study: x\n"])
def test_a_file_that_says_nothing_leaves_the_defaults(file, text):
    if text is not None:
        file.write_text(text)
    assert not has_options(file)
    config: dict = {}
    check_config(config, file)
    assert config["study"] and config["devices_per_run"] == "auto"


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("study: [a\n", 2, "YAML"),
        ("- study\n", 1, "configuration"),
        ("three\n", 1, "configuration"),
        ("study: !!python/object:os.system x\n", 1, "tag"),
        ("a: 1\nstudy: &x {y: *x}\n", 2, "alias"),
    ],
)
def test_a_file_that_is_no_mapping_is_told_with_its_line(file, text, line, told):
    file.write_text(text)
    with pytest.raises(UserError, match=told) as error:
        has_options(file)
    assert error.value.file == str(file) and error.value.line == line


def test_links_in_a_loop_and_a_folder_are_told(file):
    file.mkdir()
    with pytest.raises(UserError, match="not a file"):
        has_options(file)
    file.rmdir()
    file.symlink_to(file)
    with pytest.raises(UserError) as error:
        has_options(file)
    assert error.value.file == str(file)


def test_a_wrong_value_of_the_file_has_its_line_and_one_of_the_command_line_has_not(file):
    file.write_text("study: account_tax\nprefix_cache_gb: lots\n")
    with pytest.raises(UserError, match="'prefix_cache_gb' has a value") as error:
        check_config({"study": "account_tax", "prefix_cache_gb": "lots"}, file)
    assert (error.value.file, error.value.line) == (str(file), 2)
    assert str(error.value.write).startswith("prefix_cache_gb: ")
    with pytest.raises(UserError, match="--config: 'studies' has a value") as error:
        check_config({"study": "account_tax", "studies": 3}, file)
    assert error.value.line is None and error.value.found == 3


def test_an_unknown_key_is_told_with_the_nearest(file):
    file.write_text("study: account_tax\ndevices_per_runs: 2\n")
    with pytest.raises(UserError, match="unknown key 'devices_per_runs'") as error:
        check_config({"study": "account_tax", "devices_per_runs": 2}, file)
    assert error.value.line == 2 and error.value.write == "devices_per_run: …"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("prefix_cache_gb", float("nan")),
        ("prefix_cache_gb", float("inf")),
        ("prefix_cache_gb", -1),
        ("threads_per_device", 1e30),
        ("threads_per_device", 0),
        ("devices_per_run", 10**9),
        ("devices_per_run", ""),
    ],
)
def test_a_number_that_no_machine_has_is_refused(key, value, file):
    with pytest.raises(UserError, match=f"'{key}' has a value it cannot have"):
        check_config({"study": "account_tax", key: value}, file)
