"""Arms come from stages, names from content, and equal arms are one run."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ablation.comparison.resolve import resolve_file
from ablation.errors import UserError
from ablation.files import save_json
from ablation.report.patch import recommended_rewrite
from ablation.study.forecast_text import load_texts
from ablation.study.grid import Arm, Grid, expand, load_grid, save_grid_csv
from ablation.study.load import load_study
from ablation.study.outline import outline


def grid_of(folder) -> Grid:
    return expand(load_study(folder / "study.yaml"))


def test_stages_are_cumulative_between_the_endpoints(account_tax):
    arms = grid_of(account_tax).arms
    assert [arm.name for arm in arms] == [
        "current",
        "stage1-lora_learning_rate",
        "stage2-epochs",
        "stage3-decay_length_scheduler",
        "backup",
    ]
    sizes = [len(arm.changed) for arm in arms]
    assert sizes == sorted(sizes) and sizes[0] == 0
    assert arms[2].settings["lora.r"] == 256 and arms[2].settings["num_train_epochs"] == 10.0
    assert arms[2].settings["weight_decay"] == 0.01


def test_the_optional_stage_runs_only_when_it_is_asked_for(account_tax, edit):
    edit("study.yaml", "include_optional: false", "include_optional: true")
    assert "stage4-optimizer_offload" in [arm.name for arm in grid_of(account_tax).arms]


def test_the_remainder_is_what_no_stage_names(account_tax):
    study = load_study(account_tax / "study.yaml")
    last, backup = expand(study).arms[-2:]
    assert set(study.unstaged()) == {
        name for name in backup.settings if backup.settings[name] != last.settings[name]
    }
    assert "data.extract_ratio" in study.unstaged()


def test_inserting_a_stage_keeps_the_names_of_other_runs(account_tax, edit):
    before = {arm.variant for arm in grid_of(account_tax).arms}
    edit(
        "study.yaml",
        "  - name: epochs\n",
        "  - name: more_data\n    settings: [data.extract_ratio]\n  - name: epochs\n",
    )
    after = {arm.name: arm.variant for arm in grid_of(account_tax).arms}
    assert {after["current"], after["stage1-lora_learning_rate"], after["backup"]} <= before


def test_renaming_a_stage_renames_no_run(account_tax, edit):
    before = [arm.variant for arm in grid_of(account_tax).arms]
    edit("study.yaml", "name: epochs", "name: longer")
    assert [arm.variant for arm in grid_of(account_tax).arms] == before


def test_a_comment_in_a_configuration_renames_no_run(account_tax, edit):
    before = [arm.variant for arm in grid_of(account_tax).arms]
    edit("training.yml", "num_train_epochs: 3", "num_train_epochs: 3.0   # three")
    assert [arm.variant for arm in grid_of(account_tax).arms] == before


def test_a_changed_value_renames_only_the_arms_that_have_it(account_tax, edit):
    before = {arm.name: arm.variant for arm in grid_of(account_tax).arms}
    edit("training.yml", "num_train_epochs: 3", "num_train_epochs: 4")
    after = {arm.name: arm.variant for arm in grid_of(account_tax).arms}
    renamed = {name for name in before if before[name] != after[name]}
    assert renamed == {"current", "stage1-lora_learning_rate"}


def test_equal_arms_are_one_run():
    arm = Arm("a", None, (), {"lora.r": 8, "learning_rate": 1e-4, "num_train_epochs": 1.0})
    twin = Arm("b", None, (), dict(reversed(arm.settings.items())))
    assert [(r.variant, r.seed) for r in Grid("s", [arm, twin], [1, 2]).runs()] == [
        (arm.variant, 1),
        (arm.variant, 2),
    ]


def test_a_variant_can_be_a_folder_name(account_tax):
    for arm in grid_of(account_tax).arms:
        assert set(arm.variant) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")


def test_a_grid_survives_its_file(account_tax, tmp_path):
    grid = grid_of(account_tax)
    save_json(grid.as_json(), tmp_path / "grid.json")
    assert load_grid(tmp_path / "grid.json") == grid


def test_an_unknown_variant_is_named(account_tax):
    with pytest.raises(UserError, match="no arm of the grid"):
        grid_of(account_tax).arm_of("r1-lr1-ep1-00000000")


def test_the_table_has_a_row_for_each_arm(account_tax, tmp_path):
    grid = grid_of(account_tax)
    save_grid_csv(grid, tmp_path / "grid.csv")
    rows = (tmp_path / "grid.csv").read_text().splitlines()
    assert len(rows) == 1 + len(grid.arms)


def test_the_plan_says_what_no_stage_explains_and_what_is_held(account_tax):
    study = load_study(account_tax / "study.yaml")
    plan = outline(study, expand(study), 1, False, load_texts("en"))
    assert "the remainder" in plan
    assert "data.extract_ratio 0.1 -> 1" in plan
    assert "held equal in all arms: data.label_column" in plan
    assert "the source trains on 4 devices" in plan
    assert "deepspeed.yml:91: nothing reads 6 keys of 'sched_onecycle'" in plan


def test_the_plan_says_in_which_file_a_key_is_not_read_and_why(account_tax):
    (account_tax / "ds.json").write_text('{\n"zero_optimization": {"stage": 2, "odd": 1}}')
    text = "output_dir: out\nodd: 1\nload_in_4bit: true\nlora_r: 8\ndeepspeed: ds.json\n"
    (account_tax / "hf.yml").write_text(text)
    study = load_study(account_tax / "study.yaml")
    side = resolve_file(account_tax / "hf.yml", study.options["model"]["architecture"])
    plan = outline(replace(study, current=side), expand(study), 1, False, load_texts("en"))
    assert "hf.yml:2: nothing reads 'odd'" in plan
    assert "ds.json:2: nothing reads 'deepspeed.zero_optimization.odd'" in plan
    assert "hf.yml:3: 'load_in_4bit': not run here: the base weights" in plan


def test_the_plan_says_which_differences_no_arm_can_try(account_tax):
    file = account_tax / "training.yml"
    file.write_text(file.read_text() + "surely_unknown: 7\n")
    study = load_study(account_tax / "study.yaml")
    grid = expand(study)
    assert "other.surely_unknown" not in grid.arms[0].settings
    plan = outline(study, grid, 1, False, load_texts("en"))
    assert "so that no arm can try it: surely_unknown" in plan


def test_a_difference_without_effect_is_in_no_arm(root):
    study = load_study(root / "config/studies/debian_sections/study.yaml")
    idle = "deepspeed.zero_optimization.offload_param.pin_memory"
    assert [d.setting for d in study.differences if d.no_effect] == [idle]
    grid = expand(study)
    assert {arm.settings[idle] for arm in grid.arms} == {study.current.settings[idle].value}
    backup = next(arm for arm in grid.arms if arm.name == "backup")
    last = [arm for arm in grid.arms if arm.kind == "stage"][-1]
    remainder = {n for n, value in backup.settings.items() if value != last.settings[n]}
    assert remainder == set(study.unstaged())


def test_settings_are_plain_json(account_tax):
    for arm in grid_of(account_tax).arms:
        assert json.loads(json.dumps(arm.settings, allow_nan=False)) == arm.settings


def test_the_plan_says_where_a_side_names_another_model_than_the_study(account_tax, edit):
    def plan() -> str:
        study = load_study(account_tax / "study.yaml")
        return outline(study, expand(study), 1, True, load_texts("en"))

    edit("study.yaml", '"Qwen/Qwen3-4B"', '"/models/qwen3-4b"')
    assert "all arms train" not in plan()
    edit("deepspeed.yml", '"Qwen/Qwen3-4B"', '"Qwen/Qwen3-8B"')
    assert "deepspeed.yml:112: model 'Qwen/Qwen3-8B': all arms train study.yaml's, " in plan()
    assert plan().count("all arms train study.yaml's") == 1


def test_kernels_are_the_same_in_all_arms_and_rename_runs_only_where_they_are_asked_for(
    account_tax, edit
):
    before = grid_of(account_tax).arms
    assert all("kernels" not in arm.settings for arm in before)
    edit("study.yaml", "seeds:", "kernels: [padding_free]\nseeds:")
    after = grid_of(account_tax).arms
    assert all(arm.settings["kernels"] == ["padding_free"] for arm in after)
    assert [arm.changed for arm in after] == [arm.changed for arm in before]
    assert not {arm.variant for arm in after} & {arm.variant for arm in before}


def test_kernels_are_refused_for_a_model_that_they_are_not_made_for(account_tax, edit):
    edit("study.yaml", "seeds:", "kernels: [padding_free]\nseeds:")
    edit("study.yaml", "model_type: qwen3", "model_type: bert")
    with pytest.raises(UserError, match="is made for models of llama, mistral, qwen2, qwen3"):
        grid_of(account_tax)


def test_a_grid_that_was_changed_is_told_with_its_place(account_tax, tmp_path):
    content = grid_of(account_tax).as_json()
    del content["arms"][1]["settings"]
    save_json(content, tmp_path / "grid.json")
    with pytest.raises(UserError, match=r"arms\.1: 'settings' is a required property") as caught:
        load_grid(tmp_path / "grid.json")
    assert caught.value.file == str(tmp_path / "grid.json")


@pytest.mark.parametrize("study", ["default", "every_design", "confirmed"])
def test_every_kind_of_grid_keeps_to_its_schema(root, study):
    assert load_grid(root / "tests/golden" / study / "grid.json").runs()


def test_kernels_stand_in_no_recommended_file(account_tax, edit):
    plain = recommended_rewrite(load_study(account_tax / "study.yaml"), "backup")
    edit("study.yaml", "seeds:", "kernels: [padding_free]\nseeds:")
    assert recommended_rewrite(load_study(account_tax / "study.yaml"), "backup") == plain
