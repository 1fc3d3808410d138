"""Broken or hostile data: one message or a count, and never a wait without end."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers

from ablation.data import prepare as data_prepare
from ablation.data.labels import alike, plain_form
from ablation.data.prepared import require_whole
from ablation.data.source import read_spec
from ablation.errors import UserError
from ablation.files import save_json
from ablation.study.load import load_study

ROWS = "text,label\n" + "".join(f"some words {n},{'ab'[n % 2]}\n" for n in range(20))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """model.json with a tokenizer of words, whose embedding has three rows."""
    vocabulary = {"?": 0, "some": 1, "words": 2}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    record = {"tokenizer": ".", "architecture": {"vocab_size": 3}}
    save_json(record, tmp_path / "model.json")
    return tmp_path / "model.json"


def prepare(model: Path, path: str | Path, **keys) -> dict:
    study = {"path": str(path), "label_column": "label", "lines": {"data.path": 10}}
    spec = read_spec(study | {"file": str(model.parent / "study.yaml")} | keys)
    return data_prepare.prepare(spec, model, model.parent / "data", [8])


def written(model: Path, content: str | bytes, name: str = "rows.csv") -> Path:
    path = model.parent / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_pipe_is_refused_and_not_waited_for(model):
    os.mkfifo(model.parent / "rows.csv")
    with pytest.raises(UserError, match=r"study\.yaml:10: data\.path is neither a file"):
        prepare(model, "rows.csv")


def test_a_device_is_refused(model):
    with pytest.raises(UserError, match="a pipe, a socket or a device"):
        prepare(model, "/dev/zero", format="csv")


def test_nul_bytes_are_told_with_their_line(model):
    path = written(model, ROWS + "cut\0 off,a\n")
    with pytest.raises(UserError, match=r"NUL bytes(.|\n)*rows\.csv, line 22"):
        prepare(model, path)


def test_rows_with_a_cell_too_few_are_counted_and_told(model):
    profile = prepare(model, written(model, ROWS + "alone\nsome words,a\nalone too\n"))
    assert profile.rows.without_label == 2
    told = "2 rows have fewer cells than there are columns, first in line 22"
    assert told in "".join(profile.notes)


def test_a_nested_column_is_refused_with_the_columns_that_serve(model):
    table = pa.table({"text": ["a", "b"], "parts": [{"x": 1}, {"x": 2}], "label": ["a", "b"]})
    pq.write_table(table, model.parent / "rows.parquet")
    with pytest.raises(UserError, match="column 'parts' cannot be text"):
        prepare(model, "rows.parquet")


def test_a_table_without_rows_is_told(model):
    table = pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())})
    pq.write_table(table, model.parent / "rows.parquet")
    with pytest.raises(UserError, match=r"study\.yaml:10: the data has no rows"):
        prepare(model, "rows.parquet")


def test_a_token_that_the_embedding_has_not_is_told(model):
    save_json({"tokenizer": ".", "architecture": {"vocab_size": 2}}, model)
    with pytest.raises(UserError, match=r"no embedding for(.|\n)*token 2: words"):
        prepare(model, written(model, ROWS))


def test_tokens_beyond_the_embedding_that_no_row_uses_are_told(model):
    tokenizer = Tokenizer.from_file(str(model.parent / "tokenizer.json"))
    tokenizer.add_special_tokens(["<more>"])
    tokenizer.save(str(model.parent / "tokenizer.json"))
    notes = prepare(model, written(model, ROWS)).notes
    assert "4 tokens up to number 3, and the model embeddings up to 2" in "".join(notes)


LINES = "".join(
    json.dumps({"text": f"some words {n}", "label": "ab"[n % 2]}) + "\n" for n in range(20)
)


def test_saved_rows_whose_end_was_never_written_are_damaged(model):
    table = pa.table({"text": [f"words {n}" for n in range(40)], "label": ["a", "b"] * 20})
    Dataset(table).save_to_disk(str(model.parent / "saved"))
    (file,) = (model.parent / "saved").glob("*.arrow")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))
    with pytest.raises(UserError, match=r"the data is damaged(.|\n)*in rows 1 to 40"):
        prepare(model, "saved")


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n"
OTHERWISE = {
    "a workbook named CSV": ("rows.csv", b"PK\x03\x04" + b"0" * 99, "an Excel workbook"),
    "a workbook": ("rows.xlsx", b"PK\x03\x04" + b"0" * 99, r"read_excel\(OLD\)"),
    "Parquet named CSV": ("rows.csv", b"PAR1" + b"0" * 99, "it is a Parquet file"),
    "a pointer": ("rows.csv", POINTER, "pointer of Git LFS"),
    "a pointer named Parquet": ("rows.parquet", POINTER, "git lfs pull"),
    "a web page": ("rows.csv", "<!DOCTYPE html>\n<html>\n", "a web page"),
    "a database": ("rows.db", b"SQLite format 3\0", "an SQLite database"),
    "lines in CP949": (
        "rows.jsonl",
        '{"text": "\ub274\uc2a4", "label": "a"}\n'.encode("cp949"),
        "encoding: cp949",
    ),
    "a table in one object": (
        "rows.json",
        '{"text": ["a", "b"], "label": ["x", "y"]}',
        "cells are text or numbers",
    ),
    "a bad line among others": (
        "rows.jsonl",
        LINES + '{"text": "cut, "lab\n' + LINES,
        r"line 21 of rows\.jsonl is no JSON(.|\n)*found:   \{\"text\": \"cut",
    ),
    "a comma after each line": (
        "rows.jsonl",
        LINES.replace("}\n", "},\n"),
        "line 1 of rows.jsonl is no JSON: Extra data",
    ),
    "a key twice": (
        "rows.jsonl",
        LINES + '{"text": "a", "text": "b", "label": "a"}\n',
        "line 21 of rows.jsonl is an object that has the key 'text' twice",
    ),
    "a list among objects": (
        "rows.jsonl",
        LINES + "[1, 2]\n",
        "line 21 of rows.jsonl is no object",
    ),
    "half a character": (
        "rows.jsonl",
        LINES + '{"text": "\\ud800", "label": "a"}\n',
        "line 21 of rows.jsonl is no text",
    ),
    "one class": ("rows.csv", ROWS.replace(",b", ",a"), "one class only"),
    "no labels": ("rows.csv", ROWS.replace(",b", ",").replace(",a", ","), "20 without a label"),
    "a label each": (
        "rows.csv",
        "text,label\n" + "".join(f"words {n},{n}\n" for n in range(20)),
        "20 usable rows in 20 classes",
    ),
    "one test row": ("rows.csv", "".join(ROWS.splitlines(keepends=True)[:7]), "1 row is left"),
    "a header with blanks": (
        "rows.csv",
        ROWS.replace("text,label", "text, label"),
        'write:   label_column: " label"',
    ),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_are_no_usable_rows_is_one_message(model, name):
    file, content, part = OTHERWISE[name]
    with pytest.raises(UserError, match=part):
        prepare(model, written(model, content, file))


READABLE = {
    "a mark of the byte order": "\ufeff" + ROWS,
    "semicolons": ROWS.replace(",", ";"),
    "line breaks in quotes": "text,label\n"
    + "".join(f'"some\nwords {n}",{"ab"[n % 2]}\n' for n in range(20)),
    "a text beyond 128 KiB": ROWS + '"' + "some words " * 20_000 + '",a\n',
}


@pytest.mark.parametrize("name", READABLE)
def test_rows_are_read_however_they_are_written(model, name):
    profile = prepare(model, written(model, READABLE[name]))
    assert (profile.num_labels, profile.notes) == (2, ())
    assert profile.rows.read in (20, 21)


def test_what_makes_scores_worth_less_is_told(model):
    rows = "".join(f"some words {n},{('NA', 'b')[n % 2]}\n" for n in range(18))
    notes = "".join(prepare(model, written(model, "text,label\n" + rows * 2)).notes)
    assert "have a text that is also in training" in notes
    assert "1 class has the name of a missing value: 'NA'" in notes


ALIKE = {
    "blanks": ("a b", " a  b"),
    "a blank that does not break": ("a b", "a\u00a0b"),
    "Unicode form": ("caf\u00e9", "cafe\u0301"),
    "width": ("ABC", "\uff21\uff22\uff23"),
    "invisible": ("ab", "a\u200bb"),
    "a whole number": ("1", "1.0"),
}


@pytest.mark.parametrize("name", ALIKE)
def test_labels_that_look_alike_are_told_and_merged_where_asked(model, name):
    one, other = ALIKE[name]
    rows = "".join(f'some words {n},"{(one, other, "z")[n % 3]}"\n' for n in range(30))
    path = written(model, "text,label\n" + rows)
    told = prepare(model, path)
    assert told.num_labels == 3
    assert "`merge_labels: true`" in "".join(told.notes)
    merged = prepare(model, path, merge_labels=True)
    assert merged.num_labels == 2
    assert "merge_labels" not in "".join(merged.notes)


def test_labels_that_differ_are_left_alone():
    assert alike(["1", "1.5", "10", "a", "A", "b"]) == []
    assert plain_form("1.50") == "1.50"


# What the study says of its files ------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("  path: null", "  path: ../../secret.csv", "write:   allow_outside: true"),
        ("  path: null", "  path: a/../../secret.csv", r"leads out of the study's folder"),
        ("  path: null", '  path: "rows-{study}.csv"', "has braces"),
        ("seeds: [1, 2, 3]", f"seeds: {list(range(2000))}", "seeds"),
        ("  - name: epochs", '  - name: "epochs\\n"', "name"),
    ],
)
def test_a_study_that_names_what_it_must_not_is_one_message(account_tax, edit, old, new, part):
    edit("study.yaml", old, new)
    with pytest.raises(UserError, match=part) as caught:
        load_study(account_tax / "study.yaml")
    assert str(account_tax / "study.yaml") in str(caught.value)


def test_a_hub_name_that_is_a_folder_is_told(account_tax, edit):
    edit("study.yaml", "  path: null", "  path: /etc/rows")
    edit("study.yaml", "  format: auto", "  format: hub")
    with pytest.raises(UserError, match="format: hub wants a name"):
        load_study(account_tax / "study.yaml")


@pytest.mark.parametrize(
    ("file", "old", "new", "write"),
    [
        ("study.yaml", "current: training.yml", "current: ../training.yml", "allow_outside: true"),
        ("study.yaml", "backup: deepspeed.yml", "backup: linked.yml", "allow_outside: true"),
        (
            "study.yaml",
            'path: "Qwen/Qwen3-4B"',
            "path: ../../models/tiny",
            r"allow_outside: true   # under model:",
        ),
        (
            "study.yaml",
            "  path: null",
            "  path: linked.csv",
            r"allow_outside: true   # under data:",
        ),
    ],
)
def test_what_climbs_or_links_out_of_the_study_must_say_so(
    account_tax, edit, tmp_path, file, old, new, write
):
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    for name, link in (("deepspeed.yml", "linked.yml"), ("rows.csv", "linked.csv")):
        text = (account_tax / name).read_text() if name.endswith("yml") else ROWS
        (outside / name).write_text(text)
        (account_tax / link).symlink_to(outside / name)
    edit(file, old, new)
    with pytest.raises(UserError, match=write) as caught:
        load_study(account_tax / "study.yaml")
    assert "leads out of the study's folder" in str(caught.value)
    block = write.partition("under ")[2]
    said = f"{block}\n  allow_outside: true" if block else "allow_outside: true\ncurrent:"
    edit(file, block or "current:", said)
    if "../training.yml" not in new:
        load_study(account_tax / "study.yaml")


def test_a_path_that_says_where_it_leads_is_followed(account_tax, edit, tmp_path, monkeypatch):
    outside = tmp_path / "home"
    outside.mkdir()
    (account_tax / "training.yml").rename(outside / "training.yml")
    (account_tax / "deepspeed.yml").rename(outside / "deepspeed.yml")
    (outside / "model").mkdir()
    monkeypatch.setenv("HOME", str(outside))
    edit("study.yaml", "current: training.yml", f"current: {outside / 'training.yml'}")
    edit("study.yaml", "backup: deepspeed.yml", "backup: ~/deepspeed.yml")
    edit("study.yaml", 'path: "Qwen/Qwen3-4B"', "path: ~/model")
    study = load_study(account_tax / "study.yaml")
    assert study.backup.file == str(outside / "deepspeed.yml")
    assert study.model_options()["path"] == str(outside / "model")


def test_a_path_below_the_working_folder_leads_nowhere_else(account_tax, edit, monkeypatch):
    (account_tax / "training.yml").rename(account_tax.parent / "training.yml")
    edit("study.yaml", "current: training.yml", "current: ../training.yml")
    monkeypatch.chdir(account_tax.parent)
    load_study(account_tax / "study.yaml")
    monkeypatch.setenv("HOME", str(account_tax.parent))
    with pytest.raises(UserError, match="leads out of the study's folder"):
        load_study(account_tax / "study.yaml")


def test_data_outside_is_read_where_the_study_says_so(account_tax, edit):
    edit("study.yaml", "  path: null", "  path: ../rows.csv\n  allow_outside: true")
    load_study(account_tax / "study.yaml")


@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_prepared_data_that_is_damaged_is_told(model, damage):
    prepare(model, written(model, ROWS))
    folder = model.parent / "data"
    require_whole(folder)
    table = next((folder / "train").glob("*.arrow"))
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(content[:100] if damage == "cut" else content)
    if damage == "remove":
        table.unlink()
    with pytest.raises(UserError, match=rf"is damaged(.|\n)*{table.name}"):
        require_whole(folder)
