"""Versions of libraries: what files tell, what specifiers allow, what follows of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import build_study
from test_report import analyse, render

from ablation.comparison.findings.texts import load_texts
from ablation.comparison.releases import allowed
from ablation.comparison.resolve import resolve_file
from ablation.comparison.versions import find_versions
from ablation.files import save_json
from ablation.project import PROJECT
from ablation.study.explain import explain_files, explain_study
from ablation.study.explain_text import render as render_text
from ablation.study.load import load_study

FLAT = """\
learning_rate: 0.0001
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
num_train_epochs: 1
output_dir: out
"""


@pytest.mark.parametrize(
    ("specifier", "before"),
    [
        ("4.44.2", True),
        ("4.46.0", False),
        ("4.45", True),
        ("4.46.0.dev0", None),
        ("4.46.0rc1", None),
        ("4.45.0.post1", True),
        ("~=4.45", None),
        ("~=4.45.1", True),
        (">=4.46,<5", False),
        (">=4.40,<4.46", True),
        (">=4.40,!=4.43.0,<=4.45.2", True),
        (">4.45", None),
        ("<=4.46", None),
        ("^4.44", None),
        ("~4.44", True),
        ("=4.44", True),
        ("4.44.*", True),
        ("4.44.1|4.45.*", True),
        ("4.44.1|4.47.0", None),
        ("*", None),
    ],
)
def test_a_specifier_lies_before_a_change_after_it_or_on_both_sides(specifier, before):
    assert allowed(specifier).within(None, "4.46.0") is before


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("requirements.txt", "transformers==4.44.2", ("4.44.2", 1)),
        ("requirements-gpu.txt", "# transformers==4.1\ntransformers ~= 4.45", ("~= 4.45", 2)),
        ("requirements.txt", "transformers[torch]>=4.46,<5; python_version > '3.9'  # ours",
         (">=4.46,<5", 1)),
        ("requirements.txt", "transformers==4.44.2 \\\n  --hash=sha256:ab", ("4.44.2", 1)),
        ("requirements.txt", "git+https://github.com/huggingface/transformers.git@v4.45.0",
         ("4.45.0", 1)),
        ("requirements.txt", "transformers @ git+https://github.com/huggingface/transformers@abc12",
         ("git abc12", 1)),
        ("requirements.txt", "-e git+https://github.com/huggingface/transformers#egg=transformers",
         ("git HEAD", 1)),
        ("requirements.txt", "https://host/transformers-4.45.2-py3-none-any.whl", ("4.45.2", 1)),
        ("requirements.txt", "transformers", None),
        ("requirements.txt", "transformers-stream-generator==0.0.5", None),
        ("constraints.txt", "transformers<=4.45.2", ("<=4.45.2", 1)),
        ("environment.yml", "dependencies:\n  - conda-forge::transformers=4.44.2=py_0",
         ("4.44.2", 2)),
        ("environment.yaml", "dependencies:\n  - pip:\n    - transformers>=4.40", (">=4.40", 3)),
        ("uv.lock", '[[package]]\nname = "transformers"\nversion = "4.44.2"', ("4.44.2", 3)),
        ("poetry.lock", '[[package]]\nname = "numpy"\nversion = "1.0"\n\n[[package]]\n'
         'name = "transformers"\nversion = "4.44.2"', ("4.44.2", 7)),
        ("Pipfile.lock", '{"default": {\n "transformers": {\n  "version": "==4.44.2"\n }}}',
         ("4.44.2", 3)),
        ("conda-lock.yml", "package:\n- name: transformers\n  version: 4.44.2", ("4.44.2", 3)),
        ("pixi.lock", "- conda: https://host/noarch/transformers-4.44.2-pyhd_0.conda",
         ("4.44.2", 1)),
        ("requirements.lock", "transformers==4.44.2", ("4.44.2", 1)),
        ("pyproject.toml", 'dependencies = ["peft>=0.9", "transformers[torch]~=4.45"]',
         ("~=4.45", 1)),
        ("pyproject.toml", '[tool.poetry.dependencies]\ntransformers = "^4.44"', ("^4.44", 2)),
        ("pyproject.toml", 'transformers = {version = "^4.44", extras = ["torch"]}', ("^4.44", 1)),
        ("pyproject.toml", 'transformers = {git = "https://host/transformers", tag = "v4.45.0"}',
         ("4.45.0", 1)),
        ("README.md", "---\nbase_model: m\n---\n### Framework versions\n\n- Transformers 4.44.2",
         ("4.44.2", 6)),
        ("README.md", "- **Transformers**: 4.44.2", ("4.44.2", 1)),
        ("README.md", "We use transformers 4.44.2 here.", None),
    ],
)  # fmt: skip
def test_a_file_beside_a_configuration_tells_the_version(tmp_path, name, text, told):
    (tmp_path / name).write_text(text + "\n")
    found = find_versions(tmp_path / "training.yml").get("transformers")
    assert (found and (found.number, found.line)) == told
    assert found is None or found.file == str(tmp_path / name)


def test_other_names_of_libraries_and_other_places_are_known(tmp_path):
    (tmp_path / "README.md").write_text("- PEFT 0.11.1\n- Pytorch 2.4.0+cu121\n")
    (tmp_path / "adapter_config.json").write_text('{\n "peft_version": "0.11.0"\n}')
    (tmp_path / "requirements.txt").write_text("-r base.txt\n")
    (tmp_path / "base.txt").write_text("-r requirements.txt\ndeepspeed==0.15.1\n")
    found = find_versions(tmp_path / "training.yml")
    told = {name: version.number for name, version in found.items()}
    assert told == {"peft": "0.11.0", "torch": "2.4.0+cu121", "deepspeed": "0.15.1"}


def test_one_release_counts_before_a_range_and_what_is_told_before_both(tmp_path):
    (tmp_path / "uv.lock").write_text('name = "peft"\nversion = "0.11.0"\n')
    (tmp_path / "requirements.txt").write_text("transformers>=4.40\npeft==0.12.0\n")
    (tmp_path / "environment.yml").write_text("- transformers=4.45.1\n")
    found = find_versions(tmp_path / "a.yml", {"peft": "0.10.0"}, "study.yaml", 3)
    assert {name: (version.number, version.line) for name, version in found.items()} == {
        "peft": ("0.10.0", 3),
        "transformers": ("4.45.1", 1),
    }


def explained(folder: Path, **files: str) -> dict:
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / f"{name}.yml").write_text(FLAT)
    for name, text in files.items():
        (folder / "a" / name.replace("_", ".")).write_text(text)
    return explain_files(folder / "a" / "a.yml", folder / "b" / "b.yml", {})


def test_this_projects_own_lock_is_not_what_a_configuration_beside_it_ran_with():
    assert (PROJECT / "requirements.lock").is_file()
    assert not find_versions(PROJECT / "current.yml")


def of(said: dict, name: str) -> list[dict]:
    return [finding for finding in said["findings"] if finding["id"] == name]


def test_a_range_on_both_sides_of_a_change_depends_and_one_before_it_is_a_finding(tmp_path):
    said = explained(tmp_path, requirements_txt="transformers~=4.45\n")
    (found,) = of(said, "version_depends")
    assert found["evidence"]["changes"] == ["transformers < 4.46.0 (transformers #34191)"]
    assert not of(said, "version_loss_by_micro_batch")
    (tmp_path / "a" / "requirements.txt").write_text("transformers~=4.45.1\n")
    said = explain_files(tmp_path / "a" / "a.yml", tmp_path / "b" / "b.yml", {})
    (found,) = of(said, "version_loss_by_micro_batch")
    assert found["evidence"]["change"] == "transformers #34191"
    assert not of(said, "version_depends")


TRL = (
    "model_name_or_path: m\nmodel_revision: main\ndataset_name: d\nmax_length: 9\nuse_peft: true\n"
)


@pytest.mark.parametrize(
    ("release", "bf16", "checkpointing", "rate"),
    [
        ("0.11.4", False, False, 5e-5),
        ("0.18.2", False, False, 2e-5),
        ("0.19.0", True, False, 2e-5),
        ("0.21.0", True, False, 2e-5),
        ("0.22.0", True, True, 2e-5),
    ],
)  # as the SFTConfig of these releases has them
def test_a_trainers_defaults_are_those_of_its_release(tmp_path, release, bf16, checkpointing, rate):
    (tmp_path / "recipe.yml").write_text(TRL)
    (tmp_path / "requirements.txt").write_text(f"trl=={release}\n")
    settings = resolve_file(tmp_path / "recipe.yml", {}).settings
    names = ("bf16", "gradient_checkpointing", "learning_rate")
    assert tuple(settings[name].value for name in names) == (bf16, checkpointing, rate)


def test_files_that_disagree_are_told_with_both_versions(tmp_path):
    said = explained(
        tmp_path, requirements_txt="transformers==4.44.2\n", README_md="- Transformers 4.45.0\n"
    )
    (found,) = of(said, "versions_disagree")
    assert found["evidence"]["version"] == "4.45.0"
    assert found["evidence"]["others"] == ["4.44.2 (requirements.txt)"]


def test_the_heading_shows_what_is_told_and_what_is_assumed(tmp_path):
    said = explained(tmp_path, requirements_txt="transformers==4.44.2\n")
    assert said["versions"]["current"]["told"][0]["number"] == "4.44.2"
    assert said["versions"]["backup"]["assumed"]["transformers"] == "5.24.0"
    text = " ".join(render_text(said, load_texts("en")).split())
    assert "current ran with transformers 4.44.2 (requirements.txt:1)" in text
    assert "assumed where no file tells: accelerate 1.15.0" in text


def test_the_report_says_what_ran_here_what_the_source_ran_and_what_differs(tmp_path):
    made = build_study(tmp_path)
    analyse(made)
    (made.study.parent / "requirements.txt").write_text("peft==0.11.1\ntransformers>=4.40\n")
    save_json(explain_study(load_study(made.study)), made.results.findings)
    text = render(made)
    assert "Trained here with these versions: deepspeed 0.19.8" in text
    assert "Current: peft `0.11.1`, transformers `>=4.40`; Backup: peft `0.11.1`" in text
    assert "Kind of training on both sides: classification, LoRA." in text
    (line,) = [line for line in text.splitlines() if "Trained here with" in line]
    assert "transformers \\#34191" in line.partition("Known differences")[2]
    assert "여기서 학습한 버전: deepspeed 0.19.8" in render(made, "ko")
