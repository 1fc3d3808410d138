from __future__ import annotations

import pytest
import yaml

from ablation.report.excerpts import change_line, edits_for, excerpt, ranges, yaml_value

LINES = """\
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
""".splitlines()


def test_an_excerpt_shows_the_lines_with_the_keys_above():
    found = excerpt(LINES, [4, 13])
    assert found is not None
    assert found.lines == "4, 13"
    assert found.text == (
        "train:\n  lora: &cfg\n    r: 8\n  # ...\n  args:\n    rate: 4.0e-4   # careful"
    )


def test_an_excerpt_takes_the_whole_block_or_bracket():
    assert excerpt(LINES, [7]).lines == "7-9"
    assert excerpt(LINES, [10]).lines == "10-11"


def test_an_excerpt_of_one_depth_loses_its_common_indent():
    assert excerpt(["  a: 1", "  b: 2"], [1, 2]).text == "a: 1\nb: 2"


def test_no_line_is_no_excerpt():
    assert excerpt(LINES, []) is None
    assert excerpt(LINES, [99]) is None


def test_ranges_collapse_neighbours():
    assert ranges([44, 40, 41, 41]) == "40-41, 44"


@pytest.mark.parametrize(
    "value",
    [1e-5, 2.5e-7, 0.01, 3.0, 256, True, None, "none", [28, 29], {"a": 0.1}, ["q", "v"], 5e8],
)
def test_a_written_value_is_read_back_as_itself_by_yaml_1_1(value):
    back = yaml.safe_load(f"k: {yaml_value(value)}")["k"]
    assert back == value
    if isinstance(value, float) and not value.is_integer():
        assert isinstance(back, float)


def test_a_changed_line_keeps_key_anchor_and_comment():
    assert change_line("    rate: &lr 4.0e-4   # careful", 2e-4) == (
        "    rate: &lr 2.0e-4   # careful"
    )
    assert change_line("  device: 'none'", "cpu") == '  device: "cpu"'


def entry(value, line=None, key=None, also=()):
    origin = "explicit" if line else "default"
    return {"value": value, "line": line, "key": key, "origin": origin, "also": list(also)}


def test_a_setting_that_is_written_twice_is_changed_twice():
    current = {"epochs": entry(2, 14, "train.args.epochs", [{"key": "x", "line": 4}])}
    edits = edits_for(["epochs"], current, {"epochs": entry(6)}, LINES)
    assert [(edit.line, edit.new) for edit in edits] == [
        (4, ("    r: 6",)),
        (14, ("    epochs: 6",)),
    ]


def test_a_block_is_replaced_as_a_whole():
    current = {"m": entry(["q", "v"], 7, "train.lora.modules")}
    edits = edits_for(["m"], current, {"m": entry(["k"])}, LINES)
    assert edits[0].old == ("    modules:", "      - q", "      - v")
    assert edits[0].new == ('    modules: ["k"]',)


def test_a_setting_that_is_not_written_is_added_beside_its_kin():
    current = {"lora.r": entry(8, 4, "train.lora.r"), "lora.use_dora": entry(False)}
    edits = edits_for(["lora.use_dora"], current, {"lora.use_dora": entry(True)}, LINES)
    assert (edits[0].below, edits[0].new) == ("train.lora", ("use_dora: true",))


def test_a_deepspeed_scheduler_goes_into_the_deepspeed_block():
    key = "train.deepspeed.config.zero_optimization.stage"
    current = {
        "deepspeed.zero_optimization.stage": entry(2, 1, key),
        "lr_scheduler_type": entry("linear", 13, "train.args.lr_scheduler_type"),
        "lr_scheduler_kwargs": entry({}),
    }
    backup = {
        "lr_scheduler_type": entry("WarmupCosineLR"),
        "lr_scheduler_kwargs": entry({"cos_min_ratio": 0.025}),
    }
    edits = edits_for(["lr_scheduler_type", "lr_scheduler_kwargs"], current, backup, LINES)
    assert len(edits) == 1 and edits[0].below == "train.deepspeed.config"
    block = yaml.safe_load("\n".join(edits[0].new))["scheduler"]
    assert block["type"] == "WarmupCosineLR"
    assert block["params"] == {
        "warmup_num_steps": "auto",
        "total_num_steps": "auto",
        "cos_min_ratio": 0.025,
    }


def test_a_warmup_ratio_that_becomes_steps_changes_its_key():
    lines = ["warmup_ratio: 0.1"]
    current = {"warmup_steps": entry(0.1, 1, "warmup_ratio")}
    edits = edits_for(["warmup_steps"], current, {"warmup_steps": entry(100.0)}, lines)
    assert edits[0].new == ("warmup_steps: 100",)
