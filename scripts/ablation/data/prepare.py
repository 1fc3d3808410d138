"""Data of a study as token ids on disk: read, serialize, tokenize, split, rank, and say so.

Two passes, both in batches, so that memory does not grow with the rows except for a few numbers a
row: the first tokenizes every row into one Arrow file, the second deals its rows out to train,
validation and test. profile.json is written last: a folder without it is not complete.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import xxhash
from tokenizers import Tokenizer

from ablation.data import rows as data
from ablation.data.labels import alike, describe_alike, plain_form
from ablation.data.source import DataSpec, Source, class_names, open_source
from ablation.errors import UserError
from ablation.files import load_record, save_json
from ablation.settings.profile import Deal, Profile, RowCounts, save_profile
from ablation.study.study import SEED
from ablation.sums import files_below, sums_of
from ablation.words.catalogue import in_english

logger = logging.getLogger(__name__)

BATCH_ROWS = 2000
FEWEST_TEST_ROWS = 2
LIKE_MISSING = ("na", "n/a", "nan", "null", "none", "nil", "-", "?", "#n/a")
NAMED_CLASSES = 10  # how many class names a note lists
SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("label", pa.int64()),
        ("row", pa.int64()),
        ("length", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Tokens:
    """A tokenizer that does not cut, and the special tokens it appends to a text."""

    tokenizer: Tokenizer
    tail: tuple[int, ...]
    keep: int
    places: int | None = None

    def encode(self, texts: Sequence[str]) -> tuple[list[Sequence[int]], np.ndarray]:
        """Ids of each text, cut to the longest length of any arm, and the whole lengths."""
        encoded = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts)]
        self.check_ids(encoded)
        lengths = np.fromiter(map(len, encoded), dtype=np.int32, count=len(encoded))
        return [data.truncate_ids(ids, self.keep, self.tail) for ids in encoded], lengths

    def notes(self) -> list[str]:
        """A note where the tokenizer knows tokens that the model has no embedding for."""
        size = self.tokenizer.get_vocab_size(with_added_tokens=True)
        highest = max(self.tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        if self.places is None or highest < self.places:
            return []
        return [
            f"The tokenizer has {size} tokens up to number {highest}, and the model embeddings up "
            f"to {self.places - 1}. No row here uses one of those beyond."
        ]

    def check_ids(self, encoded: Sequence[Sequence[int]]) -> None:
        """Raise a `UserError` for a token that the model's embedding has no row for."""
        highest = max((max(ids) for ids in encoded if ids), default=-1)
        if self.places is not None and highest >= self.places:
            raise UserError(
                "the tokenizer gives a token that the model has no embedding for",
                file="tokenizer.json",
                found=f"token {highest}: {self.tokenizer.id_to_token(highest)}",
                allowed=f"0 to {self.places - 1}, as the model's vocab_size says",
            )


@dataclass(frozen=True)
class Rows:
    """What the first pass learnt: an array each over the usable rows, in source order."""

    labels: np.ndarray
    lengths: np.ndarray
    texts: np.ndarray
    names: list[str]
    without_label: int
    empty_text: int


def prepare(spec: DataSpec, model_json: Path, output: Path, max_lengths: Sequence[int]) -> Profile:
    """Profile of the prepared data; writes train/, validation/, test/, labels.json, profile.json.

    Args:
        spec: The data section of the study.
        model_json: model.json of the prepared model; its `tokenizer` folder is used.
        output: Folder to write. What an earlier preparation left there is removed first.
        max_lengths: Maximum lengths, in tokens, of all arms.

    Raises:
        UserError: The data is not there, cannot be read, or cannot be split.
    """
    clear(output)
    tokens = load_tokens(model_json, max(max_lengths))
    work = output / ".work"
    work.mkdir(parents=True)
    try:
        source = open_source(spec, work / "cache")
        rows = tokenize(spec, source, tokens, work / "rows.arrow")
        rows = name_labels(spec, rows)
        split = data.split_rows(rows.labels, spec.test_size, spec.val_size, spec.seed)
        check_split(spec, split, len(rows.names))
        ranks = np.zeros(len(split))
        train = split == data.TRAIN
        ranks[train] = data.extract_ranks(
            rows.labels[train], spec.extract_seed, spec.stratify_extract
        )
        fingerprint = deal_out(work, output, rows.labels, split, ranks)
        labels = output / "labels.json"
        save_json(rows.names, labels)
        tables = [file for name in data.SPLITS for file in files_below(output / name)]
        deal = Deal(
            test_size=spec.test_size,
            val_size=spec.val_size,
            stratify_extract=spec.stratify_extract,
        )
        profile = replace(
            describe(spec, source, tokens, rows, split, max_lengths),
            fingerprint=fingerprint,
            sums=sums_of(output, [labels, *tables]),
            deal=deal if spec.split_per == SEED else None,
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)
    save_profile(profile, output / "profile.json")
    return profile


def clear(output: Path) -> None:
    """Remove what an earlier preparation left, the mark of completeness first."""
    (output / "profile.json").unlink(missing_ok=True)
    (output / "labels.json").unlink(missing_ok=True)
    for name in (".work", *data.SPLITS):
        shutil.rmtree(output / name, ignore_errors=True)


def load_tokens(model_json: Path, longest: int) -> Tokens:
    """The tokenizer of the prepared model; `longest` is the most tokens of a text to keep."""
    # Set before the first batch: the tokenizer's threads start then, and nothing forks after.
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    record = load_record(model_json)
    named = Path(record["tokenizer"])
    paths = [folder / "tokenizer.json" for folder in (model_json.parent / named, named)]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise UserError(
            "the model has no tokenizer.json",
            file=model_json.name,
            found=str(named),
            allowed="a folder with the tokenizer.json of a fast tokenizer",
        )
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    probe = tokenizer.encode("a")
    special = probe.special_tokens_mask
    tail = 0
    while tail < len(special) and special[-1 - tail]:
        tail += 1
    rows = record.get("architecture", {}).get("vocab_size")
    return Tokens(tokenizer, tuple(probe.ids[len(special) - tail :]), longest, rows)


def tokenize(spec: DataSpec, source: Source, tokens: Tokens, path: Path) -> Rows:
    """First pass: token ids of every usable row into one Arrow file.

    Rows without a label, and rows whose text is empty or gives no token, are left out and counted.
    Labels are numbered in order of appearance; `name_labels` gives the final ids.
    """
    codes: dict[str, int] = {}
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    without_label = empty_text = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, SCHEMA) as writer:
        for start, labels, texts in _text_batches(spec, source):
            labeled = labels.is_valid().to_numpy(zero_copy_only=False)
            without_label += int(np.count_nonzero(~labeled))
            keep = [i for i in np.flatnonzero(labeled) if texts[i]]
            ids, lengths = tokens.encode([texts[i] for i in keep])
            has_tokens = np.flatnonzero(lengths)
            empty_text += int(np.count_nonzero(labeled)) - len(has_tokens)
            if len(has_tokens) == 0:
                continue
            kept = np.asarray(keep)[has_tokens]
            names = labels.take(pa.array(kept)).to_pylist()
            if spec.merge_labels:
                names = [plain_form(name) for name in names]
            code = np.array([codes.setdefault(name, len(codes)) for name in names])
            rows = start + kept if source.rows is None else source.rows[start + kept]
            batch_ids = _int_lists([ids[i] for i in has_tokens])
            columns = [batch_ids, pa.array(code), pa.array(rows), pa.array(lengths[has_tokens])]
            writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
            hashes = [xxhash.xxh3_64_intdigest(texts[i].encode()) for i in kept]
            parts.append((code, lengths[has_tokens], np.array(hashes, dtype=np.uint64)))
    if not parts:
        raise spec.error(
            "no usable row is left in the data",
            "data.path",
            found=in_english("{n} {n:row|rows}: ", n=len(source.dataset))
            + f"{without_label} without a label, {empty_text} without text",
            allowed="rows with a label and with text in at least one text column",
        )
    labels, lengths, hashed = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Rows(labels, lengths, hashed, list(codes), without_label, empty_text)


def _text_batches(spec: DataSpec, source: Source) -> Iterator[tuple[int, pa.Array, list[str]]]:
    """Position of the first row, labels, and texts of each batch of the source."""
    features = source.dataset.features
    start = 0
    for table in source.dataset.with_format("arrow").iter(BATCH_ROWS):
        _require_whole(spec, table, start)
        label = table[spec.label_column]
        labels = data.label_text(label, class_names(features[spec.label_column]))
        columns = {
            name: data.column_text(table[name], class_names(features[name]))
            for name in source.text_columns
        }
        texts = data.serialize(
            columns,
            separator=spec.separator,
            key_value_separator=spec.key_value_separator,
            include_column_names=spec.include_column_names,
        ).to_pylist()
        if start == 0:
            logger.info("the first text is: %.300s", next(filter(None, texts), ""))
        yield start, labels, texts
        start += len(texts)


def _require_whole(spec: DataSpec, table: pa.Table, start: int) -> None:
    """Refuse rows whose bytes are no text: they are mapped from a file that nobody has read yet."""
    try:
        table.validate(full=True)
    except pa.ArrowException as error:
        raise spec.error(
            "the data is damaged",
            "data.path",
            found=f"in rows {start + 1} to {start + len(table)}: {error}",
            allowed="a whole copy of it",
        ) from error


def _int_lists(lists: Sequence[Sequence[int]]) -> pa.Array:
    offsets = np.zeros(len(lists) + 1, dtype=np.int32)
    np.cumsum([len(ids) for ids in lists], out=offsets[1:])
    values = np.fromiter(chain.from_iterable(lists), dtype=np.int32, count=int(offsets[-1]))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def name_labels(spec: DataSpec, rows: Rows) -> Rows:
    """The same rows with labels numbered by descending frequency, then by name."""
    if len(rows.names) < 2:
        raise spec.error(
            "the data has one class only: there is nothing to classify",
            "data.label_column",
            found=f"{spec.label_column}: {rows.names[0]} in all {len(rows.labels)} usable rows",
            allowed="a column with at least two different values",
        )
    order = data.order_labels(rows.names, np.bincount(rows.labels))
    new_id = np.empty(len(order), dtype=np.int64)
    new_id[order] = np.arange(len(order))
    return Rows(
        labels=new_id[rows.labels],
        lengths=rows.lengths,
        texts=rows.texts,
        names=[rows.names[i] for i in order],
        without_label=rows.without_label,
        empty_text=rows.empty_text,
    )


def check_split(spec: DataSpec, split: np.ndarray, classes: int) -> None:
    """Raise a `UserError` if a split got no row, or the test a single one."""
    counts = np.bincount(split, minlength=len(data.SPLITS))
    for index, key in ((data.TEST, "test_size"), (data.VALIDATION, "val_size")):
        least = FEWEST_TEST_ROWS if index == data.TEST else 1
        if counts[index] < least:
            share = getattr(spec, key)
            left = f"{counts[index]} row is" if counts[index] else "no row is"
            raise spec.error(
                f"{left} left for {data.SPLITS[index]}: too few rows in classes with more "
                "than one row",
                f"data.split.{key}",
                found=f"{len(split)} usable rows in {classes} classes, {key} {share}",
                allowed=f"at least {-(-least // share):.0f} rows in classes with more than one "
                f"row, or a larger {key}",
            )


def deal_out(
    work: Path, output: Path, labels: np.ndarray, split: np.ndarray, ranks: np.ndarray
) -> str:
    """Hash of the prepared rows, written to train/, validation/ and test/ of `output`."""
    schemas = [SCHEMA.append(pa.field("extract_rank", pa.float64())), SCHEMA, SCHEMA]
    paths = [work / f"{name}.arrow" for name in data.SPLITS]
    sinks = [pa.OSFile(str(path), "wb") for path in paths]
    writers = [pa.ipc.new_stream(sink, s) for sink, s in zip(sinks, schemas, strict=True)]
    hashes = [xxhash.xxh3_64() for _ in data.SPLITS]
    start = 0
    with pa.OSFile(str(work / "rows.arrow"), "rb") as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            part = slice(start, start + len(batch))
            start = part.stop
            batch = batch.set_column(1, SCHEMA.field("label"), pa.array(labels[part]))
            for index, writer in enumerate(writers):
                mask = split[part] == index
                rows = batch.filter(pa.array(mask))
                if index == data.TRAIN:
                    rank = pa.array(ranks[part][mask])
                    rows = rows.append_column(schemas[index].field("extract_rank"), rank)
                writer.write_batch(rows)
                _add_content(hashes[index], rows)
    for closing in (*writers, *sinks):
        closing.close()
    for name, path, content in zip(data.SPLITS, paths, hashes, strict=True):
        # By content: the fingerprint that `datasets` would make up changes with the file's time.
        table = datasets.table.MemoryMappedTable.from_file(str(path))
        datasets.Dataset(table, fingerprint=content.hexdigest()).save_to_disk(str(output / name))
        path.unlink()
    return xxhash.xxh3_64_hexdigest("".join(h.hexdigest() for h in hashes).encode())


def _add_content(content: xxhash.xxh3_64, rows: pa.RecordBatch) -> None:
    for column in rows.columns:
        values = column.flatten() if pa.types.is_list(column.type) else column
        content.update(np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).data)


def describe(
    spec: DataSpec,
    source: Source,
    tokens: Tokens,
    rows: Rows,
    split: np.ndarray,
    max_lengths: Sequence[int],
) -> Profile:
    """What the rows are, but for what identifies their files."""
    counts = count_rows(source, rows, split)
    by_class = [
        tuple(np.bincount(rows.labels[split == index], minlength=len(rows.names)).tolist())
        for index in range(len(data.SPLITS))
    ]
    return Profile(
        rows=counts,
        num_labels=len(rows.names),
        label_counts=by_class[data.TRAIN],
        validation_label_counts=by_class[data.VALIDATION],
        test_label_counts=by_class[data.TEST],
        label_column=spec.label_column,
        text_columns=tuple(source.text_columns),
        tokens=data.token_lengths(rows.lengths),
        truncated_share={
            length: data.truncated_share(rows.lengths, length)
            for length in sorted(set(max_lengths))
        },
        longest_max_length=tokens.keep,
        special_tail=tokens.tail,
        notes=(
            *source.notes,
            *notes(counts, rows),
            *label_notes(rows.names),
            *tokens.notes(),
        ),
    )


def label_notes(names: Sequence[str]) -> list[str]:
    """A note where labels look alike."""
    groups = alike(names)
    missing = [name for name in names if name.strip().casefold() in LIKE_MISSING]
    said = [describe_alike(groups)] if groups else []
    if missing:
        listed = ", ".join(map(repr, missing[:NAMED_CLASSES]))
        note = "{n} {n:class has|classes have} the name of a missing value: {listed}."
        said.append(in_english(note, n=len(missing), listed=listed))
    return said


def count_rows(source: Source, rows: Rows, split: np.ndarray) -> RowCounts:
    """Rows read, left out and kept, and what is odd about those kept."""
    per_class = np.bincount(rows.labels)
    parts = {name: split == index for index, name in enumerate(data.SPLITS)}
    train_texts = rows.texts[parts["train"]]
    in_test = np.bincount(rows.labels[parts["test"]], minlength=len(per_class))
    return RowCounts(
        read=source.rows_read,
        not_drawn=source.rows_read - len(source.dataset),
        without_label=rows.without_label,
        empty_text=rows.empty_text,
        train=int(parts["train"].sum()),
        validation=int(parts["validation"].sum()),
        test=int(parts["test"].sum()),
        single_row_classes=int(np.count_nonzero(per_class == 1)),
        classes_without_test_rows=int(np.count_nonzero(in_test == 0)),
        test_texts_in_train=int(np.isin(rows.texts[parts["test"]], train_texts).sum()),
        validation_texts_in_train=int(np.isin(rows.texts[parts["validation"]], train_texts).sum()),
        labels_alike=len(alike(rows.names)),
        conflicting_labels=data.conflicting_rows(rows.texts, rows.labels),
        test_rows_of_unseen_labels=data.rows_of_unseen_labels(
            rows.labels[parts["train"]], rows.labels[parts["test"]]
        ),
    )


def notes(counts: RowCounts, rows: Rows) -> list[str]:
    """One sentence for each thing about the rows that a reader of the report should know."""
    single = [rows.names[i] for i in np.flatnonzero(np.bincount(rows.labels) == 1)]
    more = ", …" if len(single) > NAMED_CLASSES else ""
    named = ", ".join(single[:NAMED_CLASSES]) + more
    numbers = asdict(counts)
    return [
        in_english(text, n=numbers[key], named=named, **numbers)
        for key, text in _NOTES.items()
        if numbers[key]
    ]


_NOTES = {
    "without_label": "{n} {n:row has no label and was|rows have no label and were} left out.",
    "empty_text": "{n} {n:row has no text and was|rows have no text and were} left out of all "
    "arms.",
    "single_row_classes": "{n} {n:class has|classes have} one row, which is in training; "
    "{n:it|they} cannot be evaluated: {named}.",
    "test_rows_of_unseen_labels": "{n} test {n:row has|rows have} a class without a training row: "
    "no arm can get {n:it|them} right.",
    "classes_without_test_rows": "{n} {n:class has|classes have} no test row; the test says "
    "nothing about {n:it|them}.",
    "test_texts_in_train": "{n} of {test} test {test:row|rows} {n:has|have} a text that is also in "
    "training: the score there may be memory.",
    "validation_texts_in_train": "{n} of {validation} validation {validation:row|rows} "
    "{n:has|have} a text that is also in training: the score there may be memory.",
    "conflicting_labels": "{n} {n:row has|rows have} a text that also stands under another label: "
    "no model can get all of them right.",
}
