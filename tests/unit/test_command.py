"""The command `ablation`: help, mistakes and exit codes, in both languages."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from ablation.command.main import COMMANDS, DONE, MISTAKE, main
from ablation.words.catalogue import LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_subcommand_has_help_with_an_example_and_its_exit_codes(name, language, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--lang", language, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert f"ablation {name} " in text.partition("examples:" if language == "en" else "예:")[2]
    assert ("exit codes:" if language == "en" else "종료 코드:") in text
    if language == "ko":
        assert not re.search(r"usage:|options:|show this", text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_overview_names_every_subcommand(language, capsys):
    for arguments in ([], ["--help"]):
        assert main([f"--lang={language}", *arguments]) == DONE
        text = capsys.readouterr().out
        assert all(re.search(rf"^  {name} ", text, re.MULTILINE) for name in COMMANDS)


def test_an_unknown_subcommand_is_told_with_the_nearest(capsys):
    assert main(["explian"]) == MISTAKE
    assert "ablation explain" in capsys.readouterr().err


def test_a_mistake_on_the_command_line_is_told_in_the_language(capsys):
    for arguments in (["plan", "x", "--lang", "ko", "--rows", "0"], ["--lang=ko", "plan"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == MISTAKE
        error = capsys.readouterr().err
        assert "오류" in error and "error" not in error


def test_a_reader_that_has_enough_ends_the_overview_without_a_word(root):
    """Seen: a traceback of `ablation --help | head -4`."""
    code = "import sys; from ablation.command.main import main; sys.exit(main(['--help']))"
    read, write = os.pipe()
    os.close(read)  # nobody reads
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=root / "scripts", stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert (made.returncode, made.stderr) == (0, b"")
