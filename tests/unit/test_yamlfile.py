"""Values of a YAML file are what people mean, and know the line on which they are defined."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation.documents.entries import Entry, load_entries
from ablation.documents.tree import parse, plain
from ablation.errors import UserError

MERGED = """\
base: &base
  stage: 2
  offload:
    device: none
preset: &preset
  stage: 3
  warmup: 10
one:
  <<: *base
  stage: 1
list:
  <<: [*base, *preset]
twice:
  <<: *base
  <<: *preset
"""


@pytest.fixture
def load(tmp_path: Path):
    def write(text: str, name: str = "file.yml") -> Entry:
        path = tmp_path / name
        path.write_text(text)
        return load_entries(path)

    return write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("5e8", 5e8),
        ("2.0e-5", 2e-5),
        ("1E5", 1e5),
        ("-3", -3),
        (".5", 0.5),
        ("5.", 5.0),
        ("1_000", 1000),
        ("true", True),
        ("off", False),
        ("null", None),
        ("~", None),
        ("", None),
        ('"1e-5"', "1e-5"),
        ("1e-5x", "1e-5x"),
        ("2025-10-10", "2025-10-10"),
        ("=", "="),
        ("[1e-5, a]", [1e-5, "a"]),
    ],
)
def test_a_scalar_is_what_its_writer_means(load, text, value):
    plain = load(f"key: {text}\n").at("key").plain()
    assert plain == value
    assert type(plain) is type(value)


def test_a_number_that_yaml_1_1_reads_as_text_is_marked(load):
    root = load("a: 1e-5\nb: 1.0e-5\n")
    assert root.at("a").read_as_number
    assert not root.at("b").read_as_number


def test_a_key_that_reads_as_a_boolean_or_a_number_stays_a_name(load):
    assert list(load("on: 1\n5: 2\nno: 3\n").value) == ["on", "5", "no"]


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("one.stage", 1, 10),
        ("one.offload.device", "none", 4),
        ("list.stage", 2, 2),
        ("list.warmup", 10, 7),
        ("twice.stage", 3, 6),
        ("twice.offload.device", "none", 4),
    ],
)
def test_a_merged_value_has_the_line_of_the_anchors_definition(load, key, value, line):
    entry = load(MERGED).at(key)
    assert (entry.plain(), entry.line) == (value, line)


def test_an_alias_has_the_line_of_the_anchors_definition(load):
    entry = load("rate: &lr 1e-5\nuse: *lr\n").at("use")
    assert (entry.plain(), entry.line, entry.key_line) == (1e-5, 1, 2)


def test_the_first_of_a_list_wins_and_the_last_of_several_merge_keys(load):
    root = load(MERGED)
    assert root.at("list").plain() == {"stage": 2, "warmup": 10, "offload": {"device": "none"}}
    assert root.at("twice").plain() == {"stage": 3, "warmup": 10, "offload": {"device": "none"}}


def test_json_may_be_indented_with_tabs(load):
    root = load('{\n\t"lr": 1e-5,\n\t"betas": [0.9,\t0.999]\n}\n', "ds.json")
    assert root.plain() == {"lr": 1e-5, "betas": [0.9, 0.999]}
    assert root.at("betas").line == 3


def test_every_leaf_is_listed_with_its_dotted_key(load):
    root = load("a:\n  b: 1\n  c: {}\n  d: [1, 2]\n'': 3\n")
    assert [key for key, _ in root.leaves()] == ["a.b", "a.c", "a.d", ""]


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    path = tmp_path / "bom.yml"
    path.write_bytes("\ufeffkey: 1\n".encode())
    assert load_entries(path).plain() == {"key": 1}


def test_of_a_key_that_stands_twice_the_last_counts_and_both_lines_are_known(load):
    root = load("a: 1\nb: 2\na: 3\n")
    assert root.at("a").plain() == 3
    (twice,) = root.repeated
    assert (twice.key, twice.first, twice.last, twice.differs) == ("a", 1, 3, True)


def test_an_anchor_that_stands_twice_names_both_lines(load):
    with pytest.raises(UserError, match="'&x' stands twice, first in line 1") as error:
        load("a: &x 1\nb: &x 2\n")
    assert error.value.line == 2


REPEATED = "a: &a {b: 1e-5, c: [on, '2']}\nd: *a\ne: {<<: *a, b: ~, b: 2}\n"


@pytest.mark.parametrize("text", [MERGED, REPEATED])
def test_what_is_read_and_what_is_edited_are_the_same_values(load, text):
    assert plain(parse(text, "file.yml")) == load(text).plain()


def test_configurations_have_one_parser(root: Path):
    """Texts, schemas and what the project writes itself are no configurations."""
    library = root / "scripts/ablation"
    for room in ("settings", "dialects", "comparison", "report"):
        assert not [p for p in library.glob(f"{room}/**/*.py") if "yaml.safe_load" in p.read_text()]
