"""`ablation init` writes a study that can be planned at once, from what one has at hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ablation.command.main import DONE, MISTAKE, main
from ablation.study.grid import expand
from ablation.study.load import load_study
from ablation.words.catalogue import LANGUAGES

CURRENT = """\
output_dir: out
learning_rate: 5.0e-4
num_train_epochs: 2
per_device_train_batch_size: 8
gradient_accumulation_steps: 2
lr_scheduler_type: linear
weight_decay: 0.0
gradient_checkpointing: true
lora_r: 4
lora_alpha: 8
lora_target_modules: [q_proj, v_proj]
"""
BACKUP = """\
output_dir: out
learning_rate: 1.0e-3
num_train_epochs: 4
per_device_train_batch_size: 16
gradient_accumulation_steps: 1
lr_scheduler_type: cosine
weight_decay: 0.05
gradient_checkpointing: false
lora_r: 16
lora_alpha: 32
lora_target_modules: [q_proj, k_proj, v_proj, o_proj]
"""
MODEL = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "vocab_size": 1000,
    "torch_dtype": "float32",
}
ROWS = 'id,headline,topic\n1,"Bank sinks, stocks follow",money\n2,Late goal wins cup,sport\n'
STUDY = Path("config/studies/news/study.yaml")
ALL = ["--data", "news.csv", "--label", "topic", "--model", "models/tiny"]


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch) -> Path:
    """A folder with two flat files, headlines, and a model's config.json."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "none"))
    Path("current.yml").write_text(CURRENT)
    Path("backup.yml").write_text(BACKUP)
    Path("news.csv").write_text(ROWS)
    Path("models/tiny").mkdir(parents=True)
    Path("models/tiny/config.json").write_text(json.dumps(MODEL))
    return tmp_path


def init(*arguments: str) -> int:
    return main(["init", "current.yml", "backup.yml", *arguments])


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_it_writes_is_planned_at_once(language, capsys):
    assert init(*ALL, "--lang", language) == DONE
    told = capsys.readouterr().out
    assert [f"ablation {step} news" in told for step in ("explain", "plan", "run")] == [True] * 3
    assert main(["plan", "news"]) == DONE
    study = load_study(STUDY)
    assert study.unstaged() == []
    assert study.data_options()["label_column"] == "topic"
    assert study.options["model"]["architecture"]["dtype"] == "float32"


@pytest.mark.parametrize(("rows", "per"), [(9_999, "seed"), (10_000, None)])
def test_few_rows_are_split_anew_by_each_seed(rows, per):
    lines = "".join(f"{n},text {n},c{n % 2}\n" for n in range(rows))
    Path("news.csv").write_text("id,headline,topic\n" + lines)
    assert init(*ALL) == DONE
    assert load_study(STUDY).options["data"].get("split_per") == per


def test_each_stage_has_one_cause_and_systems_stand_apart():
    assert init(*ALL) == DONE
    stages = {stage.name: set(stage.settings) for stage in load_study(STUDY).stages}
    batch = {"per_device_train_batch_size", "gradient_accumulation_steps"}
    assert stages == {
        "lora_rank": {"lora.r", "lora.lora_alpha"},
        "lora_layers": {"lora.target_modules"},
        "learning_rate": {"learning_rate"},
        "scheduler": {"lr_scheduler_type"},
        "epochs": {"num_train_epochs"},
        "weight_decay": {"weight_decay"},
        "systems": {"gradient_checkpointing", *batch},
    }
    assert [arm.stage for arm in expand(load_study(STUDY)).arms if arm.stage] == list(stages)


def test_another_effective_batch_is_a_cause_of_its_own():
    Path("backup.yml").write_text(BACKUP.replace("accumulation_steps: 1", "accumulation_steps: 4"))
    assert init(*ALL) == DONE
    stages = {stage.name: stage.settings for stage in load_study(STUDY).stages}
    assert len(stages["batch"]) == 2


def test_ids_are_no_text_and_a_comma_within_quotes_is_no_column():
    assert init(*ALL) == DONE
    assert load_study(STUDY).data_options()["serialization"]["text_columns"] == ["headline"]
    assert load_study(STUDY).options["data"]["rows"] == 2


def test_without_options_it_takes_what_it_finds_and_says_what_is_missing(capsys):
    assert init("--json") == DONE
    told = json.loads(capsys.readouterr().out)
    assert told["label_column"] == "topic"
    assert told["missing"] == ["--model"]
    assert init("--force") == DONE
    text = capsys.readouterr().out
    assert "found: the rows in news.csv" in text
    assert "missing: the model's config.json" in text
    assert "--model FOLDER --name news --force" in text


def test_a_downloaded_model_is_found_by_its_name(desk, monkeypatch, capsys):
    monkeypatch.setenv("HF_HOME", str(desk / "hf"))
    snapshot = desk / "hf/hub/models--org--small/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps(MODEL))
    for file, text in (("current.yml", CURRENT), ("backup.yml", BACKUP)):
        Path(file).write_text(f"{text}model_name_or_path: org/small\n")
    assert init("--data", "news.csv", "--label", "topic") == DONE
    assert "found: the model is org/small" in capsys.readouterr().out
    assert load_study(STUDY).options["model"]["path"] == "org/small"


def test_a_study_that_is_there_is_not_replaced(capsys):
    assert init(*ALL) == DONE
    STUDY.write_text("mine")
    assert init(*ALL) == MISTAKE
    assert "--force" in capsys.readouterr().err
    assert STUDY.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data", "news.csv", "--label", "topics"], "--label topic"),
        (["--data", "none.csv"], "the rows' file does not exist"),
        (["--data", "current.yml"], "no format that can be read"),
        (["--data", "ragged.csv"], "the rows cannot be read"),
        (["--name", "a/b"], "--name news"),
    ],
)
def test_a_mistake_is_a_message_with_what_to_write(arguments, told, capsys):
    Path("ragged.csv").write_text("a,topic\n1,2,3\n")
    assert init(*arguments) == MISTAKE
    assert told in capsys.readouterr().err
    assert not Path("config").exists()


LLAMA_FACTORY = """\
model_name_or_path: models/tiny
stage: sft
finetuning_type: lora
lora_target: all
dataset: mine
cutoff_len: 32
learning_rate: 1.0e-4
"""
AXOLOTL = """\
base_model: models/tiny
adapter: lora
lora_r: 8
lora_alpha: 16
lora_target_linear: true
datasets: [{path: rows, type: alpaca}]
sequence_len: 32
micro_batch_size: 2
num_epochs: 1
val_set_size: 0.0
learning_rate: 0.0001
"""


@pytest.mark.parametrize("text", [LLAMA_FACTORY, AXOLOTL])
def test_trainers_that_hold_nothing_out_are_planned_at_once(text):
    Path("current.yml").write_text(text)
    Path("backup.yml").write_text(text.replace("1.0e-4", "2.0e-4").replace("0.0001", "0.0002"))
    assert init(*ALL) == DONE
    assert load_study(STUDY).data_options()["split"]["val_size"] == 0.1
    assert main(["plan", "news"]) == DONE


def test_a_share_that_a_configuration_writes_and_cannot_be_is_told_with_its_place(capsys):
    Path("current.yml").write_text(AXOLOTL)
    Path("backup.yml").write_text(AXOLOTL.replace("0.0001", "0.0002"))
    assert init(*ALL) == DONE
    text = STUDY.read_text()
    STUDY.write_text("".join(x for x in text.splitlines(True) if not x.startswith("  split:")))
    assert main(["plan", "news"]) == MISTAKE
    assert "current.yml:10: data.split.val_size is not a share" in capsys.readouterr().err


def test_the_cost_rests_on_the_texts_as_they_are_and_says_so_where_nobody_knows_them(capsys):
    row = "a headline of forty letters and no more .,sports\n"
    Path("news.csv").write_text("headline,topic\n" + (row + row.replace("sports", "art")) * 20)
    assert init(*ALL) == DONE
    assert load_study(STUDY).options["data"]["tokens_per_row"] == 12
    capsys.readouterr()
    assert main(["plan", "news"]) == DONE
    known = capsys.readouterr().out
    STUDY.write_text(STUDY.read_text().replace("  tokens_per_row", "  # tokens_per_row"))
    assert main(["plan", "news"]) == DONE
    unknown = capsys.readouterr().out
    assert ("tokens_per_row" in unknown, "tokens_per_row" in known) == (True, False)


def test_rows_in_parquet_tell_their_columns_and_classes():
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    numbers = list(range(40))
    table = {
        "row": numbers,
        "headline": [f"text {n}" for n in numbers],
        "group": [n % 4 for n in numbers],
    }
    pq.write_table(pa.table(table), "news.parquet")
    Path("news.csv").unlink()
    assert init("--model", "models/tiny") == DONE
    data = load_study(STUDY).options["data"]
    assert (data["label_column"], data["rows"]) == ("group", 40)
    assert data["serialization"]["text_columns"] == ["headline"]
    assert data["tokens_per_row"] == 2
    Path("news.parquet").write_bytes(b"PAR1 cut")
    assert init("--model", "models/tiny", "--force") == MISTAKE


def test_korean_headers_are_a_label_a_number_and_a_text(capsys):
    Path("news.csv").write_text(
        "번호,제목,분류\n1,주가 급락,경제\n2,결승골,스포츠\n", encoding="utf-8"
    )
    assert init("--model", "models/tiny") == DONE
    data = load_study(STUDY).options["data"]
    assert (data["label_column"], data["serialization"]["text_columns"]) == ("분류", ["제목"])
    assert "found: the column to predict is 분류" in capsys.readouterr().out


def test_what_lies_elsewhere_is_named_by_its_whole_path(desk, monkeypatch):
    work = desk / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    arguments = ["../current.yml", "../backup.yml", "--data", "../news.csv", "--label", "topic"]
    assert main(["init", *arguments, "--model", "../models/tiny"]) == DONE
    study = load_study(STUDY)
    assert study.options["current"] == str(desk / "current.yml")
    assert study.model_options()["path"] == str(desk / "models/tiny")
    assert main(["plan", "news"]) == DONE


def test_a_file_of_the_same_name_further_up_is_not_taken_for_the_one_that_was_named(
    desk, monkeypatch
):
    work = desk / "a/b/c"  # config/studies/news lies as deep
    shutil.copytree(desk / "models", work / "models")
    for name in ("current.yml", "backup.yml", "news.csv"):
        shutil.copy(desk / name, work / name)
    monkeypatch.chdir(work)
    assert init(*ALL) == DONE
    assert load_study(STUDY).options["data"]["path"] == "../../../news.csv"


def test_two_files_that_do_the_same_make_no_study(capsys):
    Path("backup.yml").write_text(CURRENT)
    assert init(*ALL) == MISTAKE
    assert "nothing to find out" in capsys.readouterr().err


def test_differences_that_train_nothing_are_named(capsys):
    Path("current.yml").write_text(f"{CURRENT}lr: 1\nlogging_steps: 5\n")
    Path("backup.yml").write_text(f"{CURRENT}lr: 2\nlogging_steps: 9\n")
    assert init(*ALL) == MISTAKE
    told = capsys.readouterr().err
    assert "found:   logging_steps, lr" in told and "ablation explain current.yml" in told


def test_what_is_missing_is_asked_for_with_all_that_was_said(capsys):
    arguments = ["--dialect", "current=hf_trainer,backup=hf_trainer"]
    assert init("--data", "news.csv", "--label", "topic", *arguments) == DONE
    again = capsys.readouterr().out.splitlines()[-1].split()
    assert again[:2] == ["ablation", "init"]
    there = [word.replace("FOLDER", "models/tiny") for word in again[1:]]
    assert main(there) == DONE
    assert main(["plan", "news"]) == DONE


def test_rows_from_korean_windows_and_json_lines_are_read():
    Path("news.csv").write_bytes("제목,topic\n주가 급락,경제\n".encode("cp949"))
    assert init(*ALL) == DONE
    data = load_study(STUDY).options["data"]
    assert (data["encoding"], data["serialization"]["text_columns"]) == ("cp949", ["제목"])
    Path("news.jsonl").write_text('{"headline": "Goal", "topic": "sport"}\n' * 3)
    Path("news.csv").unlink()
    assert init("--label", "topic", "--model", "models/tiny", "--force") == DONE
    assert load_study(STUDY).options["data"]["rows"] == 3


def test_a_dialect_that_has_to_be_named_is_named_in_the_study(capsys):
    assert init(*ALL, "--dialect", "current=hf_trainer") == DONE
    assert load_study(STUDY).options["dialects"] == {"current": "hf_trainer"}
    with pytest.raises(SystemExit):
        init(*ALL, "--dialect", "hf_trainer")
    assert "current=" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", "null"])
def test_a_broken_config_of_the_model_is_a_message(text, capsys):
    Path("models/tiny/config.json").write_text(text)
    assert init(*ALL) == MISTAKE
    assert "models/tiny/config.json" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_a_message(capsys):
    Path("config").write_text("a file where a folder would be")
    assert init(*ALL, "--lang", "ko") == MISTAKE
    assert "아무것도 쓰지 않았다" in capsys.readouterr().err
