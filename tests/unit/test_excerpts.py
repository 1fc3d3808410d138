from __future__ import annotations

from ablation.documents.excerpt import Excerpt, excerpt, ranges

TEXT = """\
train:
  # comment
  lora: &cfg
    r: 8
    dropout: 0.1

    modules:
      - q
      - v
    layers: [1,
             2]
  args:
    rate: 4.0e-4   # careful
    epochs: 2
"""


def cut(text: str, numbers: list[int], file: str = "f.yml") -> Excerpt | None:
    return excerpt(text, file, numbers)


def test_an_excerpt_shows_the_lines_with_the_keys_above():
    found = cut(TEXT, [4, 13])
    assert found is not None
    assert found.lines == "4, 13"
    assert found.text == (
        "train:\n  lora: &cfg\n    r: 8\n  # ...\n  args:\n    rate: 4.0e-4   # careful"
    )


def test_an_excerpt_takes_the_whole_block_or_bracket():
    assert cut(TEXT, [7]).lines == "7-9"
    assert cut(TEXT, [10]).lines == "10-11"


def test_an_excerpt_of_one_depth_loses_its_common_indent():
    assert cut("  a: 1\n  b: 2", [1, 2]).text == "a: 1\nb: 2"


def test_no_line_is_no_excerpt():
    assert cut(TEXT, []) is None
    assert cut(TEXT, [99]) is None


def test_ranges_collapse_neighbors():
    assert ranges([44, 40, 41, 41]) == "40-41, 44"


def test_json_is_cut_by_its_keys_and_not_by_its_indentation():
    text = '{"train": {\n"lora": {"r": 8,\n"dropout": 0.1},\n"epochs": [1,\n2]}}'
    found = cut(text, [3, 4], "f.json")
    assert (found.lines, found.text) == ("3-5", text[: text.index("}}")] + "}}")


def test_a_line_that_several_settings_share_is_shown_once():
    assert cut("a: {b: 1, c: 2}\nd: 3\n", [1, 1]).text == "a: {b: 1, c: 2}"
