"""What somebody else wrote does nothing but be read, and secrets in it are shown nowhere."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import STUDY, TRAINING, build_study
from test_report import analyse, render

from ablation.command.run import DEFAULT_PROFILE, refuse_foreign_profile
from ablation.command.workflow import snakemake_command
from ablation.comparison.resolve import require_runnable, resolve_file
from ablation.comparison.rewrite import Target, rewrite
from ablation.documents.excerpt import excerpt
from ablation.documents.secrets import mask_document
from ablation.errors import UserError
from ablation.machine.launcher import job_environment
from ablation.masking import HIDDEN, hide, is_secret, mask
from ablation.project import PROJECT
from ablation.report.patch import shown_patch
from ablation.study.explain import explain_files
from ablation.study.load import load_study
from ablation.words.catalogue import prose, without_html

MODEL = {"num_hidden_layers": 30, "dtype": "bfloat16"}
TOKEN = "hf_QzXsWeDcVfRtGbNhYjMk"
SECRETS = {
    "hub_token": TOKEN,
    "push_to_hub_token": "plainwordtoken",
    "wandb_key": "0123456789abcdef0123456789abcdef01234567",
    "aws_access_key_id": "AKIAQWERTYUIOPASDFGH",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCY",
    "auth": "alice:wonderland",
    "tracking_uri": "https://alice:wonderland@mlflow.example.com/x",
    "slack_webhook_url": "https://hooks.example.com/services/T0/B0/xyzzyplugh",
    "private_key": "-----BEGIN RSA PRIVATE KEY-----MIIEabc",
}
LEAKS = (
    *(TOKEN, "plainwordtoken", "0123456789abcdef0123", "AKIAQWERTY", "wJalrXUtn"),
    *("wonderland", "xyzzyplugh", "MIIEabc", "comettoken", "s3cr3t", "12345678"),
)
FLAT = (
    "output_dir: out\n"
    "learning_rate: 1.0e-4   # was tried with hub_token: s3cr3t, then hub_token=s3cr3t\n"
    + "".join(f'{key}: "{value}"\n' for key, value in SECRETS.items())
    + "num_train_epochs: 2\n"
    + "db_password: 12345678\n"
    + "lora: {r: 8}\n"
    + "deepspeed:\n  zero_optimization: {stage: 2}\n"
    + "  monitor_config:\n    comet: {enabled: true, api_key: comettoken}\n"
)


def leaks(text: str) -> list[str]:
    return [secret for secret in LEAKS if secret in text]


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    path = tmp_path / "training.yml"
    path.write_text(FLAT)
    return path


# Secrets


@pytest.mark.parametrize("key", [*SECRETS, "a.b.api_key", "auth.user", "wandb.key", "apiKey"])
def test_the_name_of_a_secret_is_known(key):
    assert is_secret(key) or key == "tracking_uri"


@pytest.mark.parametrize(
    "key",
    [
        *("TRANSLATOR_TEXT_KEY", "secret_source_key", "registry_image_token", "azure_content_key"),
        *("search_query_key", "dataset_key", "back_end_token", "secrets.db", "api_keys", "cookies"),
    ],
)
def test_a_word_more_makes_a_secret_of_what_only_sounds_like_one(key):
    assert hide(key, "0123abcd") == HIDDEN


@pytest.mark.parametrize(
    "line",
    [
        *("my_api_key: {}1", "hub_token: hf_{}0123456789", "uri: 'https://al:{}@host/x'"),
        *('args: ["--hub-token", "{}1"]', "tracker: {{password: {}1}}", "note: 'password={}1'"),
    ],
)
def test_files_that_differ_in_a_secret_alone_differ_and_do_not_show_it(tmp_path, line):
    files = [tmp_path / "alpha.yaml", tmp_path / "omega.yaml"]
    for file in files:
        file.write_text(f"output_dir: out\n{line.format(file.stem + 'Xy')}\n")
    said = explain_files(*files, {})
    assert len(said["differences"]) == 1
    assert "Xy" not in json.dumps(said)


@pytest.mark.parametrize(
    "key", ["비밀번호", "db.암호", "session_id", "\uff48\uff46_\uff54\uff4f\uff4b\uff45\uff4e"]
)
def test_the_name_of_a_secret_is_known_in_other_letters(key):
    assert is_secret(key)


def test_the_value_after_the_flag_of_a_secret_is_hidden():
    arguments = ["--hub_token", "hunter2secret", "--lr", "1e-4"]
    assert hide("args", arguments) == ["--hub_token", HIDDEN, "--lr", "1e-4"]
    for line in ('args: ["--hub_token", "hunter2secret"]', "# run --api-key hunter2secret --lr 1"):
        assert "hunter2secret" not in mask(line) and HIDDEN in mask(line)


def test_a_terminal_obeys_nothing_that_a_message_quotes(tmp_path):
    error = UserError("a value", found="a\x1b]0;title\x07\u202eb")
    assert str(error).endswith("a\\u001b]0;title\\u0007\\u202eb")


@pytest.mark.parametrize(
    "key",
    [
        *("eos_token", "pad_token", "special_tokens", "max_tokens", "key_value_separator"),
        *("monkey", "dataset.prompt_key", "response_key", "label_key", "max_token", "think_token"),
        *("train_text_key", "ground_truth_key", "data.reward_fn_key", "image_start_token"),
    ],
)
def test_what_only_sounds_like_one_is_shown(key):
    assert hide(key, "</s>") == "</s>"
    assert mask(f"{key}: </s>") == f"{key}: </s>"


def test_a_switch_with_the_name_of_a_secret_is_shown():
    assert hide("use_auth_token", True) is True
    assert mask("hub_token: null") == "hub_token: null"


def test_no_secret_of_a_configuration_is_in_what_is_resolved(flat):
    found = json.dumps(resolve_file(flat, MODEL).as_json())
    assert leaks(found) == []
    assert found.count(HIDDEN) >= 8


def test_no_secret_is_in_a_message_about_the_line_that_has_it(tmp_path):
    path = tmp_path / "training.yml"
    path.write_text(f"output_dir: out\nhub_token: [{TOKEN}\nx: 1\n")
    with pytest.raises(UserError) as caught:
        resolve_file(path, MODEL)
    assert leaks(str(caught.value)) == []
    assert leaks(str(UserError("x", found={"auth": "alice:wonderland"}))) == []


def test_excerpts_and_masked_documents_have_the_same_lines_without_the_secrets(flat):
    shown = mask_document(FLAT, "training.yml")
    assert leaks(shown) == []
    assert shown.count("\n") == FLAT.count("\n")
    assert mask_document(shown, "training.yml") == shown
    numbers = range(1, FLAT.count("\n") + 1)
    assert leaks(excerpt(FLAT, "training.yml", numbers).text) == []


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("defs:\n  x: &t plainwordtoken\nhub_token: *t\n", "f.yml"),
        ("hub_token: |\n  plainwordtoken\n  plainwordtoken\nx: 1\n", "f.yml"),
        ("auth: {user: alice, pass: [wonderland]}\n", "f.yml"),
        ("steps:\n  - {password: 'won''t s3cr3t, } # no'}\n", "f.yml"),
        ('{"wandb": {"api_key": "plainwordtoken", "x": 1}}', "f.json"),
        ("x: 1  # https://alice:wonderland@host and token: plainwordtoken\n", "f.yml"),
    ],
)
def test_a_secret_is_hidden_however_it_is_written(text, file):
    shown = mask_document(text, file)
    assert leaks(shown) == []
    assert shown.count("\n") == text.count("\n")


def test_a_patch_that_is_shown_has_no_secret_and_still_applies(flat):
    found = rewrite(Target(flat, MODEL, "hf_trainer", 1), {"num_train_epochs": 4.0})
    shown = shown_patch(found)
    assert leaks(shown) == []
    assert "-num_train_epochs: 2\n+num_train_epochs: 4\n" in shown
    assert shown.count("@@ -") == 1 and "private_key" not in shown
    assert leaks(found.after[flat]) == leaks(FLAT)  # the file itself stays the user's own


def test_no_secret_of_the_users_files_is_in_the_report(tmp_path):
    made = build_study(tmp_path)
    folder = made.study.parent
    lines = "".join(f'    {key}: "{value}"\n' for key, value in SECRETS.items())
    text = TRAINING.replace("    learning_rate: 4.0e-4\n", lines + "    learning_rate: 4.0e-4\n")
    (folder / "training.yml").write_text(text)
    analyse(made)
    assert leaks(render(made)) == []


# Text in reports

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<iframe src=//evil.example></iframe>",
    "first\n\n# A heading\n\n- and a list",
    "| a | b |\n| --- | --- |",
    "```\n</code></pre><b>out</b>\n```",
    "`code` {{ 7 * 7 }} {% raw %} ${HOME}",
    "![x](https://evil.example/x.png) [y](javascript:alert(1))",
    "&lt;script&gt; \\<script>",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_prose_is_one_line_that_holds_no_mark(text):
    shown = prose(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)[`<>|{}\[\]]", shown)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_study_is_more_than_text_in_the_report(tmp_path, text):
    study = copy.deepcopy(STUDY)
    study["title"] = study["purpose"] = {"en": text}
    study["stages"][1]["title"] = {"en": text}
    study["claims"]["statements"][1]["text"] = {"en": text}
    made = build_study(tmp_path / "hostile", study=study)
    analyse(made)
    shown = render(made)
    plain = build_study(tmp_path / "plain")
    analyse(plain)
    assert "<script" not in shown and "<img" not in shown and "<iframe" not in shown
    assert "{{" not in shown and "{%" not in shown
    assert "](javascript" not in shown.replace("\\](javascript", "")
    for mark in (r"^#+ ", r"^\|", r"^```", r"^!\["):
        assert len(re.findall(mark, shown, re.M)) == len(re.findall(mark, render(plain), re.M))


def test_html_is_told_as_text_outside_of_code():
    text = "a <b> `<c>`\n```yaml\nx: <d>\n```\n| <e> |"
    assert without_html(text) == "a &lt;b> `<c>`\n```yaml\nx: <d>\n```\n| &lt;e> |"


def test_a_comment_in_an_excerpt_cannot_leave_its_block(tmp_path):
    made = build_study(tmp_path)
    file = made.study.parent / "training.yml"
    file.write_text(TRAINING.replace("# short on purpose", "# ``` <script>alert(1)</script>"))
    analyse(made)
    text = render(made)
    blocks = re.sub(r"^(`{3,})\w*\n.*?^\1$", "", text, flags=re.M | re.S)
    assert "<script" not in blocks


# Paths and tags


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.mkdir [{folder}]", "!mine 1", "!!set {{a}}", "!!binary YQ=="]
)
def test_a_tag_builds_nothing_and_no_run_starts_with_it(tmp_path, tag):
    path, made = tmp_path / "training.yml", tmp_path / "made"
    path.write_text(f"output_dir: o\nrun_name: {tag.format(folder=made)}\n")
    side = resolve_file(path, MODEL)
    assert not made.exists()
    assert type(side.settings["run_name"].value) in (str, list, dict)
    with pytest.raises(UserError, match="would build an object"):
        require_runnable(side)


@pytest.fixture
def hostile(tmp_path, monkeypatch) -> Path:
    """A working folder with modules that stand for others and tell when they are imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    for name in ("json", "snakemake", "torch", "ablation"):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w')")
    return tmp_path / "imported"


def test_no_module_of_the_working_folder_stands_for_snakemake(hostile):
    command = snakemake_command(Path("mine/study.yaml"), [])
    assert command[2:4] == ["-m", "snakemake"]
    subprocess.run([*command[:2], "-m", "json.tool", "--help"], check=True)
    assert not hostile.exists()


def test_a_profile_of_the_working_folder_is_taken_where_it_is_said_only(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    refuse_foreign_profile(Path(DEFAULT_PROFILE))
    monkeypatch.chdir(tmp_path)
    refuse_foreign_profile(Path(DEFAULT_PROFILE))
    Path(DEFAULT_PROFILE).mkdir(parents=True)
    with pytest.raises(UserError, match="can run any program"):
        refuse_foreign_profile(Path(DEFAULT_PROFILE))


def test_no_module_of_the_working_folder_stands_for_one_of_a_job(hostile):
    environment = job_environment(1, 1, use_gpu=False)
    command = [sys.executable, "-m", "ablation.machine.told"]
    subprocess.run(command, env=environment, check=True)
    assert not hostile.exists()


def test_no_module_of_the_working_folder_stands_for_one_of_the_guard(hostile):
    begin = "from ablation.machine.process import start_guard; start_guard('nobody', 1)"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "scripts")}
    command = [sys.executable, "-P", "-c", begin]
    # Its output is open until the guard, too, has ended.
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    assert not hostile.exists()


def test_a_study_with_a_tag_is_refused(account_tax, edit):
    edit("study.yaml", "seeds:", "x: !mine 1\nseeds:")
    with pytest.raises(UserError, match="would build an object"):
        load_study(account_tax / "study.yaml", to_run=False)


@pytest.mark.parametrize("name", ["../ds.json", "{folder}/ds.json", "link.json"])
def test_a_file_outside_of_the_configurations_folder_is_not_included(tmp_path, name):
    (tmp_path / "ds.json").write_text('{"zero_optimization": {"stage": 3}}')
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "link.json").symlink_to(tmp_path / "ds.json")
    text = f"output_dir: out\nlora: {{r: 8}}\ndeepspeed: {name.format(folder=tmp_path)}\n"
    (folder / "training.yml").write_text(text)
    found = resolve_file(folder / "training.yml", MODEL)
    assert [refusal.kind for refusal in found.refusals] == ["missing_file"]
    assert found.settings["deepspeed.zero_optimization.stage"].value == 0


def test_no_text_of_a_study_is_in_a_shell_line_without_quotes():
    rules = [path.read_text() for path in (PROJECT / "workflow/rules").glob("*.smk")]
    lines = [line for text in rules for line in text.splitlines() if line.strip().startswith('" ')]
    bare = {name for line in lines for name in re.findall(r"\{([a-z_.]+)\}", line)}
    numbers = {"threads", "resources.devices", "params.devices", "params.budget_gb"}
    numbers |= {"params.seconds", "params.max_lengths", "wildcards.seed", "wildcards.look"}
    numbers |= {"wildcards.step"}
    # One of a few words, the name of a folder (`study/names.NAME`), a rank with a sum.
    ours = {"params.language", "wildcards.direction", "wildcards.tracker"}
    ours |= {"wildcards.study", "wildcards.variant"}
    assert "wildcards.study" in bare and bare <= numbers | ours
