"""The command `ablation`: help, mistakes and exit codes, in both languages."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys

import pytest

from ablation.command import run
from ablation.command.main import COMMANDS, DONE, MISTAKE, main
from ablation.command.words import Parser, load_words
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


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_of_a_help_can_be_given(name):
    t = load_words("en")
    for line in t(f"{name}.examples").splitlines():
        parser = Parser(t, name)
        importlib.import_module(f"ablation.command.{name}").add_arguments(parser)
        parser.parse(shlex.split(line)[2:])


@pytest.mark.parametrize("own", [["news"], ["-n", "news"], ["news", "-n"], ["-n"]])
def test_options_of_snakemake_stand_behind_two_dashes_wherever_our_own_stand(own):
    parser = Parser(load_words("en"), "run")
    run.add_arguments(parser)
    args = parser.parse([*own, "--", "--rerun-incomplete", "--config", "a=1"])
    assert args.snakemake == ["--rerun-incomplete", "--config", "a=1"]
    assert args.study == ("news" if "news" in own else None)


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


FILES = [f"config/studies/debian_sections/{name}.yml" for name in ("training", "deepspeed")]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (["--help"], DONE),
        (["plan", "--help"], DONE),
        (["explain", *FILES, "--json"], DONE),
        (["explain", *FILES, "--check"], 3),
    ],
)
@pytest.mark.parametrize("place", ["a pipe that nobody reads", "a full disk"])
def test_a_reader_that_has_enough_is_told_nothing_and_a_full_disk_is(root, line, code, place):
    """Seen: a traceback and exit code 120 of `ablation plan --help | true`."""
    program = f"import sys; from ablation.command.main import main; sys.exit(main({line!r}))"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    if place == "a full disk":
        write = os.open("/dev/full", os.O_WRONLY)
    else:
        read, write = os.pipe()
        os.close(read)
    made = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        stdout=write,
        stderr=subprocess.PIPE,
        env={**buffered, "PYTHONPATH": "scripts"},
    )
    os.close(write)
    if place == "a full disk":
        assert made.returncode == MISTAKE
        assert made.stderr.decode() == "error: No space left on device: nothing was written\n"
    else:
        assert (made.returncode, made.stderr) == (code, b"")
