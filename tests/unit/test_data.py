"""Rows, splits, extracts, text and tokens: what an arm trains on and is measured on."""

from __future__ import annotations

import gzip
import json
import pickle
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from ablation.data import prepare as data_prepare
from ablation.data import rows as data
from ablation.data.prepared import data_fingerprint, deal_of, special_tail
from ablation.data.rows import SPLITS
from ablation.data.source import read_spec
from ablation.errors import UserError
from ablation.settings.profile import RowCounts, load_profile, save_profile
from ablation.settings.quantities import TUNING_SHARE
from ablation.training.rows import load_tables

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "prepare_data.py"

labels_of_rows = st.lists(st.integers(0, 6), min_size=1, max_size=80).map(
    lambda values: np.unique(values, return_inverse=True)[1]
)
ratios = st.floats(0.01, 1.0)


# Rows of an arm ------------------------------------------------------------------------------


@given(labels_of_rows, ratios, ratios, st.booleans(), st.integers(0, 9))
@settings(max_examples=150)
def test_a_smaller_extract_is_a_subset_of_a_larger_one(labels, one, other, stratified, seed):
    rank = data.extract_ranks(labels, seed, stratified)
    small = data.training_rows(rank, labels, min(one, other), None)
    large = data.training_rows(rank, labels, max(one, other), None)
    assert set(small) <= set(large)


@given(labels_of_rows, ratios, st.integers(1, 7), st.integers(1, 7))
@settings(max_examples=100)
def test_fewer_classes_are_a_subset_of_more(labels, ratio, one, other):
    rank = data.extract_ranks(labels, 0, True)
    few = data.training_rows(rank, labels, ratio, min(one, other))
    more = data.training_rows(rank, labels, ratio, max(one, other))
    assert set(few) <= set(more)
    assert set(labels[few]) == {c for c in set(labels) if c < min(one, other)}


@given(labels_of_rows, ratios, st.booleans(), st.integers(0, 9))
@settings(max_examples=100)
def test_every_class_is_in_every_extract(labels, ratio, stratified, seed):
    rank = data.extract_ranks(labels, seed, stratified)
    assert set(labels[data.training_rows(rank, labels, ratio, None)]) == set(labels)
    assert rank.min() >= 0
    assert rank.max() < 1


@given(labels_of_rows, ratios, st.integers(0, 9))
@settings(max_examples=100)
def test_a_stratified_extract_has_its_share_of_each_class_to_within_a_row(labels, ratio, seed):
    taken = labels[data.training_rows(data.extract_ranks(labels, seed, True), labels, ratio, None)]
    for label, n in enumerate(np.bincount(labels)):
        assert abs(np.sum(taken == label) - ratio * n) <= 1
        assert np.sum(taken == label) == data.extract_size(n, ratio)


def test_the_whole_extract_is_all_rows():
    labels = np.array([0, 0, 1, 2, 2, 2])
    rank = data.extract_ranks(labels, 1, True)
    assert data.training_rows(rank, labels, 1.0, None).tolist() == [0, 1, 2, 3, 4, 5]


def test_no_number_of_classes_is_all_classes():
    labels, rank = np.array([0, 1, 2]), np.array([0.5, 0.5, 0.5])
    assert data.training_rows(rank, labels, 1.0, 2).tolist() == [0, 1]
    assert data.training_rows(rank, labels, 1.0, 0).tolist() == [0, 1, 2]


def test_a_plain_extract_has_its_share_of_all_rows():
    labels = np.zeros(1000, dtype=int)
    rank = data.extract_ranks(labels, 1, False)
    assert len(data.training_rows(rank, labels, 0.1, None)) == 100


# The split -----------------------------------------------------------------------------------


@given(labels_of_rows, st.floats(0.05, 0.6), st.floats(0.05, 0.35), st.integers(0, 9))
@settings(max_examples=150)
def test_every_class_keeps_a_training_row(labels, test_size, val_size, seed):
    split = data.split_rows(labels, test_size, val_size, seed)
    assert set(labels[split == data.TRAIN]) == set(labels)
    assert data.rows_of_unseen_labels(labels[split == 0], labels[split != 0]) == 0


def test_the_split_has_the_sizes_asked_for_in_each_class():
    labels = np.repeat([0, 1, 2], [500, 300, 200])
    split = data.split_rows(labels, 0.2, 0.1, 42)
    for label, n in enumerate([500, 300, 200]):
        counts = np.bincount(split[labels == label])
        assert counts.tolist() == [0.7 * n, 0.1 * n, 0.2 * n]


def test_the_split_total_is_right_though_most_classes_are_small():
    labels = np.repeat(np.arange(200), 3)
    split = data.split_rows(labels, 0.2, 0.1, 42)
    assert np.bincount(split).tolist() == [420, 60, 120]


def test_the_split_depends_on_the_seed_alone():
    labels = np.random.default_rng(0).integers(0, 9, 400)
    first, again, other = (data.split_rows(labels, 0.2, 0.1, seed) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_the_extraction_seed_does_not_move_the_split(tmp_path, model):
    write_csv(tmp_path / "rows.csv", sample_rows())
    one = prepare(tmp_path, model, split={"extract_seed": 1})
    two = prepare(tmp_path, model, split={"extract_seed": 2})
    for name in ("validation", "test"):
        assert load(one, name)["row"] == load(two, name)["row"]
    assert load(one, "train")["extract_rank"] != load(two, "train")["extract_rank"]


def test_an_evaluated_label_without_training_rows_is_counted():
    assert data.rows_of_unseen_labels(np.array([0, 1]), np.array([0, 2, 2, 1, 3])) == 3


def test_labels_go_by_frequency_then_by_name():
    assert data.order_labels(["b", "a", "c"], np.array([2, 2, 5])).tolist() == [2, 1, 0]


def test_rows_with_one_text_and_two_labels_are_counted():
    texts = np.array([7, 7, 8, 8, 9], dtype=np.uint64)
    assert data.conflicting_rows(texts, np.array([0, 1, 2, 2, 0])) == 2


# Text ----------------------------------------------------------------------------------------


def serialize(columns, **options):
    options = {
        "separator": "| ",
        "key_value_separator": ":",
        "include_column_names": True,
    } | options
    columns = {name: data.column_text(pa.array(values)) for name, values in columns.items()}
    return data.serialize(columns, **options).to_pylist()


def test_a_row_is_its_named_values_in_column_order_without_the_empty_ones():
    columns = {"적요": ["식대", None, "  ", None], "금액": [1200, 5, None, None]}
    assert serialize(columns) == ["적요:식대| 금액:1200", "금액:5", "", ""]


def test_a_row_may_be_its_values_alone():
    columns = {"a": ["x", ""], "b": ["y", "z"]}
    assert serialize(columns, include_column_names=False, separator=" ") == ["x y", "z"]


def test_numbers_are_written_as_python_writes_them():
    values = pa.array([1.0, 0.00001, float("nan"), None])
    assert data.column_text(values).to_pylist() == ["1.0", "1e-05", None, None]
    assert data.column_text(pa.array([True, False])).to_pylist() == ["True", "False"]


def test_a_class_label_is_its_name_and_a_negative_one_is_none():
    assert data.label_text(pa.array([1, -1, 0, None]), ["a", "b"]).to_pylist() == [
        "b",
        None,
        "a",
        None,
    ]


def test_integer_labels_that_became_floats_get_their_integer_back():
    assert data.label_text(pa.array([101.0, None, 7.5])).to_pylist() == ["101", None, "7.5"]


def test_a_cut_text_keeps_the_special_tokens_at_its_end():
    assert data.truncate_ids([1, 2, 3, 9], 3, [9]) == [1, 2, 9]
    assert data.truncate_ids([1, 2, 9], 3, [9]) == [1, 2, 9]
    assert data.truncate_ids([1, 2, 3], 2) == [1, 2]


def test_the_truncated_share_is_of_texts_longer_than_the_limit():
    assert data.truncated_share(np.array([1, 2, 3, 4]), 3) == 0.25


def test_the_histogram_counts_every_text():
    histogram = data.token_lengths(np.array([1, 1, 5, 100])).histogram
    assert sum(histogram.counts) == 4
    assert len(histogram.edges) == len(histogram.counts) + 1


# The whole preparation -----------------------------------------------------------------------


@pytest.fixture
def model(tmp_path):
    """model.json of a tokenizer with a token a letter that ends each text with <end>."""
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz:| 0123456789적요식대금액"))
    vocabulary = {token: i for i, token in enumerate(["<unk>", "<end>", *letters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <end>", special_tokens=[("<end>", 1)]
    )
    tokenizer.enable_truncation(4)
    folder = tmp_path / "model"
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "model.json").write_text(json.dumps({"tokenizer": str(folder)}))
    return folder / "model.json"


def sample_rows(classes: int = 3, rows: int = 20) -> list[dict]:
    """Rows of equal classes c0, c1, …, each with a text of its own."""
    return [
        {"text": f"row {i} of {c}", "label": f"c{c}"} for i in range(rows) for c in range(classes)
    ]


def write_csv(path: Path, rows: list[dict], encoding: str = "utf-8", delimiter: str = ",") -> None:
    lines = [rows[0].keys(), *(row.values() for row in rows)]
    text = "\n".join(delimiter.join(str(v) for v in line) for line in lines) + "\n"
    path.write_bytes(text.encode(encoding))


def spec_of(tmp_path: Path, **keys):
    lines = {"data": 9, "data.path": 10, "data.label_column": 11}
    study = {"path": str(tmp_path / "rows.csv"), "label_column": "label", "lines": lines}
    return read_spec(study | {"file": str(tmp_path / "study.yaml")} | keys)


def prepare(tmp_path: Path, model: Path, output: str | None = None, **keys) -> Path:
    folder = tmp_path / (output or f"data{len(list(tmp_path.glob('data*')))}")
    data_prepare.prepare(spec_of(tmp_path, **keys), model, folder, [8, 12])
    return folder


def load(folder: Path, name: str) -> dict:
    return datasets.load_from_disk(str(folder / name)).to_dict()


def profile_of(folder: Path) -> dict:
    return json.loads((folder / "profile.json").read_text(encoding="utf-8"))


def all_rows(folder: Path) -> dict[int, tuple]:
    parts = [load(folder, name) for name in ("train", "validation", "test")]
    names = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    return {
        row: (names[label], ids)
        for part in parts
        for row, label, ids in zip(part["row"], part["label"], part["input_ids"], strict=True)
    }


def test_prepared_rows_have_the_columns_training_reads(tmp_path, model):
    write_csv(tmp_path / "rows.csv", sample_rows())
    folder = prepare(tmp_path, model)
    schema = datasets.load_from_disk(str(folder / "train")).data.schema
    kinds = {name: str(kind) for name, kind in zip(schema.names, schema.types, strict=True)}
    assert kinds == {
        "input_ids": "list<item: int32>",
        "label": "int64",
        "row": "int64",
        "length": "int32",
        "extract_rank": "double",
    }
    assert "extract_rank" not in load(folder, "test")
    rows = profile_of(folder)["rows"]
    assert (rows["train"], rows["validation"], rows["test"]) == (42, 6, 12)


def test_a_text_is_kept_to_the_longest_max_length_and_its_whole_length_is_known(tmp_path, model):
    write_csv(tmp_path / "rows.csv", sample_rows())
    folder = prepare(tmp_path, model)
    train = load(folder, "train")
    whole = [len("text:row 1 of 1<") + (row // 3 > 9) for row in train["row"]]
    assert train["length"] == whole
    assert {len(ids) for ids in train["input_ids"]} == {12}
    assert {ids[-1] for ids in train["input_ids"]} == {1}
    profile = profile_of(folder)
    assert profile["special_tail"] == [1]
    assert profile["truncated_share"] == {"8": 1.0, "12": 1.0}
    assert profile["tokens"]["max"] == 17


def test_each_seed_may_deal_the_rows_out_anew_and_nothing_else_changes(tmp_path, model):
    write_csv(tmp_path / "rows.csv", sample_rows())
    study, seeds = prepare(tmp_path, model), prepare(tmp_path, model, split_per="seed")
    assert all_rows(study) == all_rows(seeds)
    assert deal_of(study) is None
    deal = deal_of(seeds)
    assert (deal.test_size, deal.val_size, deal.stratify_extract) == (0.2, 0.1, True)
    assert data_fingerprint(study) != data_fingerprint(seeds)
    settings = {"data.extract_ratio": 0.5, "data.max_classes": None, "truncation": False}
    dealt = [load_tables(seeds, settings, 3, seed) for seed in (1, 2, 2)]
    rows = [{name: set(getattr(t, name).numbers) for name in SPLITS} for t in dealt]
    assert rows[1] == rows[2] and rows[0]["test"] != rows[1]["test"]
    whole = load_tables(seeds, settings | {"data.extract_ratio": 1.0}, 3, 1)
    numbers = [n for name in SPLITS for n in getattr(whole, name).numbers]
    assert sorted(numbers) == sorted(all_rows(seeds))
    assert rows[0]["train"] < set(whole.train.numbers) and len(rows[0]["train"]) == 21
    assert [len(rows[0][name]) for name in SPLITS[1:]] == [6, 12]
    assert np.bincount(dealt[0].test.labels).tolist() == [4, 4, 4]
    names = json.loads((seeds / "labels.json").read_text())
    for part in (whole.train, whole.test):
        told = {n: names[label] for n, label in zip(part.numbers, part.labels, strict=True)}
        assert all(all_rows(seeds)[n][0] == name for n, name in told.items())


@pytest.mark.parametrize("split_per", [None, "seed"])
def test_rows_set_aside_to_choose_a_rate_are_validation_rows_that_nothing_else_uses(
    tmp_path, model, split_per
):
    write_csv(tmp_path / "rows.csv", sample_rows())
    folder = prepare(tmp_path, model, split={"val_size": 0.3}, split_per=split_per)
    settings = {"data.extract_ratio": 1.0, "data.max_classes": None, "truncation": False}
    plain = load_tables(folder, settings, 3, 1)
    tuned = load_tables(folder, settings | {TUNING_SHARE: 0.5}, 3, 1)
    assert plain.tuning is None and len(plain.parts) == 3
    aside, rest = (set(rows.numbers) for rows in (tuned.tuning, tuned.validation))
    assert len(aside) == len(rest) == 9 and not aside & rest
    assert aside | rest == set(plain.validation.numbers)
    for name in ("train", "test"):
        there, here = getattr(plain, name), getattr(tuned, name)
        assert there.numbers.tolist() == here.numbers.tolist()


def test_korean_names_and_values_survive_in_each_encoding(tmp_path, model):
    rows = [{"적요": "식대", "금액": i, "계정": f"계{i % 2}"} for i in range(30)]
    found = []
    for encoding in ("utf-8", "utf-8-sig", "cp949", "utf-16"):
        write_csv(tmp_path / "rows.csv", rows, encoding)
        keys = {} if encoding.startswith("utf-8") else {"encoding": encoding}
        found.append(all_rows(prepare(tmp_path, model, label_column="계정", **keys)))
    assert {name for name, _ in found[0].values()} == {"계0", "계1"}
    assert found[1:] == found[:1] * 3


def test_the_same_rows_are_the_same_data_in_every_format(tmp_path, model):
    rows = [r | {"number": i} for i, r in enumerate(sample_rows())]
    table = pa.Table.from_pylist(rows)
    write_csv(tmp_path / "rows.csv", rows)
    write_csv(tmp_path / "rows.tsv", rows, delimiter="\t")
    write_csv(tmp_path / "semicolon.csv", rows, delimiter=";")
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress((tmp_path / "rows.csv").read_bytes()))
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    pq.write_table(table, tmp_path / "rows.parquet")
    labeled = datasets.Dataset(table).class_encode_column("label")
    labeled.save_to_disk(str(tmp_path / "saved"))
    labeled.to_parquet(str(tmp_path / "classes.parquet"))
    names = ["rows.csv", "rows.tsv", "semicolon.csv", "rows.csv.gz", "rows.jsonl", "rows.json"]
    names += ["rows.parquet", "saved", "classes.parquet"]
    found = {n: all_rows(prepare(tmp_path, model, path=str(tmp_path / n))) for n in names}
    for name in names:
        assert found[name] == found["rows.csv"], name


def test_a_saved_folder_with_splits_is_joined_or_one_split_is_taken(tmp_path, model):
    table = datasets.Dataset(pa.Table.from_pylist(sample_rows()))
    parts = datasets.DatasetDict(train=table, valid=table.select(range(30)))
    parts.save_to_disk(str(tmp_path / "saved"))
    joined = profile_of(prepare(tmp_path, model, path=str(tmp_path / "saved")))
    one = profile_of(prepare(tmp_path, model, path=str(tmp_path / "saved"), split_name="valid"))
    assert (joined["rows"]["read"], one["rows"]["read"]) == (90, 30)
    assert "train, valid" in joined["notes"][0]


def test_codes_in_a_csv_keep_their_zeros_and_na_is_a_name(tmp_path, model):
    rows = [{"text": f"t{i}", "label": ["0101", "101", "NA"][i % 3]} for i in range(30)]
    write_csv(tmp_path / "rows.csv", rows)
    folder = prepare(tmp_path, model)
    assert json.loads((folder / "labels.json").read_text()) == ["0101", "101", "NA"]


def test_an_index_column_without_a_name_is_left_out(tmp_path, model):
    rows = [{"": i} | row for i, row in enumerate(sample_rows())]
    write_csv(tmp_path / "rows.csv", rows)
    profile = profile_of(prepare(tmp_path, model))
    assert profile["text_columns"] == ["text"]
    assert profile["notes"][0] == "1 column without a name was left out."


def test_odd_rows_are_handled_counted_and_said(tmp_path, model):
    rows = sample_rows()
    rows += [{"text": "no label", "label": ""}] * 2 + [{"text": "", "label": "c0"}] * 3
    rows += [{"text": "alone", "label": "single"}]
    rows += [{"text": "twin", "label": "c1"}] * 30 + [{"text": "twin", "label": "c2"}]
    write_csv(tmp_path / "rows.csv", rows)
    folder = prepare(tmp_path, model)
    profile = profile_of(folder)
    counts = profile["rows"]
    assert (counts["read"], counts["without_label"], counts["empty_text"]) == (97, 2, 3)
    assert counts["train"] + counts["validation"] + counts["test"] == 92
    assert counts["single_row_classes"] == counts["classes_without_test_rows"] == 1
    assert counts["test_texts_in_train"] > 0
    assert counts["conflicting_labels"] == 31
    assert counts["test_rows_of_unseen_labels"] == 0
    notes = "\n".join(profile["notes"])
    for said in ("2 rows have no label", "3 rows have no text", "memory", "another"):
        assert said in notes
    assert "1 class has one row, which is in training; it cannot be evaluated: single." in notes
    names = json.loads((folder / "labels.json").read_text())
    assert names == ["c1", "c2", "c0", "single"]
    assert names.index("single") in load(folder, "train")["label"]


def test_rows_keep_their_position_in_the_source_when_rows_are_drawn(tmp_path, model):
    rows = sample_rows()
    write_csv(tmp_path / "rows.csv", rows)
    folder = prepare(tmp_path, model, max_rows=30)
    kept = all_rows(folder)
    assert len(kept) == 30
    assert all(rows[row]["label"] == label for row, (label, _) in kept.items())
    assert profile_of(folder)["rows"]["not_drawn"] == 30


def test_preparing_twice_gives_the_same_files(tmp_path, model):
    write_csv(tmp_path / "rows.csv", sample_rows())
    one, two = prepare(tmp_path, model), prepare(tmp_path, model)
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(two) for path in two.rglob("*") if path.is_file())
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes(), file


def test_other_rows_have_another_fingerprint(tmp_path, model):
    write_csv(tmp_path / "rows.csv", sample_rows())
    one, two = prepare(tmp_path, model), prepare(tmp_path, model, split={"extract_seed": 7})
    assert profile_of(one)["fingerprint"] != profile_of(two)["fingerprint"]


@pytest.mark.parametrize("per", [None, "seed"])
def test_a_profile_that_is_read_and_written_again_is_the_same_file(tmp_path, model, per):
    write_csv(tmp_path / "rows.csv", sample_rows())
    written = prepare(tmp_path, model, split_per=per) / "profile.json"
    save_profile(load_profile(written), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == written.read_bytes()


def test_a_profile_of_an_earlier_version_is_read_and_one_of_another_kind_is_named(tmp_path):
    path = tmp_path / "profile.json"
    path.write_text('{"rows": {"read": 9, "train": 7}, "label_counts": [4, 3], "since_removed": 1}')
    assert load_profile(path).rows == RowCounts(read=9, train=7)
    with pytest.raises(UserError, match="of an earlier version"):
        special_tail(tmp_path)
    path.write_text('{"rows": {"train": "7"}}')
    with pytest.raises(UserError, match=r"profile\.json: \.rows\.train is of another kind"):
        load_profile(path)


def test_the_profile_holds_no_path_of_the_machine(tmp_path, model):
    write_csv(tmp_path / "rows.csv", sample_rows())
    folder = prepare(tmp_path, model)
    for path in folder.rglob("*.json"):
        assert str(tmp_path) not in path.read_text(encoding="utf-8"), path.name


def test_a_broken_preparation_leaves_nothing_that_looks_complete(tmp_path, model, monkeypatch):
    write_csv(tmp_path / "rows.csv", sample_rows())
    folder = prepare(tmp_path, model)
    monkeypatch.setattr(data_prepare, "describe", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prepare(tmp_path, model, output=folder.name)
    assert not (folder / "profile.json").exists()
    assert not (folder / ".work").exists()


# Errors --------------------------------------------------------------------------------------


def message(tmp_path, model, **keys) -> str:
    with pytest.raises(UserError) as caught:
        prepare(tmp_path, model, **keys)
    return str(caught.value)


def test_data_that_is_not_set_names_the_key_and_its_line(tmp_path, model):
    text = message(tmp_path, model, path=None)
    assert "study.yaml:10: data.path is not set" in text
    assert "path: " in text.splitlines()[-1]


def test_a_missing_file_suggests_the_one_that_is_there(tmp_path, model):
    write_csv(tmp_path / "rows.csv", sample_rows())
    for path in ("row.csv", str(tmp_path / "row.csv")):
        text = message(tmp_path, model, path=path)
        assert "study.yaml:10: data.path names no file" in text
        assert "path: rows.csv" in text


def test_a_relative_path_is_relative_to_the_study(tmp_path, model):
    write_csv(tmp_path / "rows.csv", sample_rows())
    assert profile_of(prepare(tmp_path, model, path="rows.csv"))["rows"]["read"] == 60


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_label_column_that_is_not_there_suggests_the_nearest(tmp_path, model, suffix):
    path = tmp_path / f"rows.{suffix}"
    if suffix == "csv":
        write_csv(path, sample_rows())
    elif suffix == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in sample_rows()))
    else:
        pq.write_table(pa.Table.from_pylist(sample_rows()), path)
    text = message(tmp_path, model, path=str(path), label_column="Labels")
    assert "study.yaml:11: data.label_column is not a column" in text
    assert "allowed: text, label" in text
    assert "write:   label_column: label" in text


def test_a_suggested_name_that_yaml_would_read_as_a_truth_value_is_quoted(tmp_path, model):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"text": "a", "No": "b"}) for _ in range(9)))
    text = message(tmp_path, model, path=str(path), label_column="no")
    assert 'write:   label_column: "No"' in text


def test_a_text_column_that_is_not_there_is_named(tmp_path, model):
    write_csv(tmp_path / "rows.csv", sample_rows())
    text = message(tmp_path, model, serialization={"text_columns": ["txt"]})
    assert "text_columns names a column that the data does not have" in text
    assert "- text" in text


def test_the_label_may_not_be_among_the_text(tmp_path, model):
    write_csv(tmp_path / "rows.csv", sample_rows())
    text = message(tmp_path, model, serialization={"text_columns": ["text", "label"]})
    assert "would read the answer" in text


@pytest.mark.parametrize("name", ["rows.pkl", "rows.pkl.gz", "rows.csv"])
def test_a_pickle_is_refused_whatever_its_name(tmp_path, model, name):
    (tmp_path / name).write_bytes(pickle.dumps(sample_rows()))
    text = message(tmp_path, model, path=str(tmp_path / name))
    assert "is a pickle" in text
    assert "rows.parquet" in text
    assert "to_parquet" in text


def test_a_pickle_is_read_where_the_study_permits_it(tmp_path, model):
    import pandas as pd

    pd.DataFrame(sample_rows()).to_pickle(tmp_path / "rows.pkl")
    folder = prepare(tmp_path, model, path=str(tmp_path / "rows.pkl"), allow_pickle=True)
    assert profile_of(folder)["rows"]["read"] == 60


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "jsonl"])
def test_a_cp949_file_gets_the_line_to_write(tmp_path, model, suffix):
    rows = [{"적요": f"식대 한국어 {i}", "label": f"가{i % 2}"} for i in range(40)]
    if suffix == "jsonl":
        content = "\n".join(json.dumps(r, ensure_ascii=False) for r in rows).encode("cp949")
    else:
        write_csv(tmp_path / "plain", rows, "cp949")
        content = (tmp_path / "plain").read_bytes()
    path = tmp_path / f"rows.{suffix}"
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    text = message(tmp_path, model, path=str(path))
    assert "is not written in UTF-8" in text
    assert "encoding: cp949" in text
    assert profile_of(prepare(tmp_path, model, path=str(path), encoding="cp949"))["num_labels"] == 2


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.parquet", b"not parquet", "could not be read"),
        ("rows.jsonl", b'{"text": "a", \n nonsense', "line 1 of rows.jsonl is no JSON"),
        ("rows.csv", b"", "no rows"),
        ("rows.jsonl", b"", "no rows"),
        ("rows.csv", b"text,label\n", "no rows"),
        ("rows.csv", b"text,label\na,b,c\nd,e,f\n", "3 cells under 2 column names"),
        ("rows.csv", b"text,label\na,b\nd,e,f\n", "fields in line 3, saw 3"),
        ("rows.csv", b"text,text,label\na,b,c\n", "two columns of one name"),
        ("rows.csv", b"label\na\nb\n", "no column besides the label"),
        ("rows.csv", b"text,label\na,\n,b\n", "no usable row"),
        ("rows.csv", b"text,label\na,x\nb,x\n", "one class only"),
        ("rows.csv", b"text,label\na,x\nb,y\n", "no row is left for test"),
        ("rows.xlsx", b"PK", "format of the data is not clear"),
    ],
)
def test_data_that_cannot_be_used_says_why(tmp_path, model, name, content, said):
    (tmp_path / name).write_bytes(content)
    text = message(tmp_path, model, path=str(tmp_path / name))
    assert said in text
    assert "study.yaml:" in text


def test_a_column_of_lists_cannot_be_text(tmp_path, model):
    rows = [row | {"tags": ["a"]} for row in sample_rows()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    text = message(tmp_path, model, path=str(tmp_path / "rows.parquet"))
    assert "column 'tags' cannot be text" in text


def test_the_script_prints_a_message_and_never_imports_torch(tmp_path, model, account_tax, edit):
    write_csv(account_tax / "rows.csv", sample_rows())
    edit("study.yaml", "path: null", "label_column: lable\n  path: rows.csv")
    command = [sys.executable, str(SCRIPT), "--study", str(account_tax / "study.yaml")]
    results = tiny.as_results(tmp_path / "out", model=model)
    command += ["--results", str(results), "--max-lengths", "8"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "label_column: label" in done.stderr
    assert "Traceback" not in done.stderr
    edit("study.yaml", "lable", "label")
    code = (
        "import sys, runpy; sys.argv = sys.argv[1:]; sys.path.insert(0, sys.argv[0] + '/..')\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    code = code.replace("sys.argv[0] + '/..'", repr(str(SCRIPT.parent)))
    done = subprocess.run(
        [sys.executable, "-c", code, *command[1:]], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (results / "data/profile.json").exists()
