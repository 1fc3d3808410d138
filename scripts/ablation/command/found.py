"""What lies about for a new study: the model's facts, and the columns of the rows."""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ablation.errors import UserError
from ablation.files import load_json
from ablation.project import SCHEMAS
from ablation.words.catalogue import Messages

DATA_SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
LABELS = (
    *("label", "labels", "class", "category", "target", "topic", "y", "section", "sentiment"),
    *("intent", "tag", "classification", "label_name", "class_name", "label_text", "gold"),
    *("레이블", "라벨", "분류", "범주", "카테고리", "주제", "클래스", "정답"),
)
_LONGEST_ID = 20  # digits
FEWEST_ROWS_A_CLASS = 5  # a column with fewer rows for each of its values is no label by itself
BYTES_PER_TOKEN = 3.5
MOST_CLASSES = 1000  # a column with more values is no label
ENCODINGS = ("utf-8-sig", "cp949")
_FURTHER_FACTS = ("tie_word_embeddings", "attention_bias", "mlp_bias")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a data file holds.

    Attributes:
        columns: Its columns, in order.
        rows: Its number of rows; None where only the data libraries could tell.
        encoding: Of a text file, as study.yaml names it.
        classes: Number of different values of each column with few of them.
        numbered: Columns of whole numbers that are all different, as those of ids.
        sizes: Bytes of the values of columns of text in UTF-8, all rows together.
    """

    columns: tuple[str, ...]
    rows: int | None = None
    encoding: str = "utf-8"
    classes: Mapping[str, int]
    numbered: frozenset[str] = frozenset()
    sizes: Mapping[str, int] = field(default_factory=dict)

    def tokens_per_row(self, columns: Sequence[str]) -> int | None:
        """Tokens of a row's text, about; None where nothing is known of the columns.

        A tokenizer of many languages makes a token of about 4 bytes of English, and of 3 bytes of
        Korean, which are a syllable.
        """
        found = sum(self.sizes.get(name, 0) for name in columns)
        return math.ceil(found / self.rows / BYTES_PER_TOKEN) if self.rows and found else None


# --- The model -----------------------------------------------------------------------------------


def model_facts(path: str | None) -> dict[str, Any]:
    """The facts of a model's config.json that planning needs; none where it is not here.

    Args:
        path: A folder, or a name on the hub: then of a copy that was downloaded before.

    Raises:
        UserError: config.json is broken.
    """
    file = _config_file(path) if path else None
    if file is None:
        return {}
    config = load_json(file)
    if not isinstance(config, dict):
        raise UserError("the file must hold an object", file=file)
    config = config.get("text_config") or config
    if "torch_dtype" in config:
        config.setdefault("dtype", config["torch_dtype"])
    schema = json.loads((SCHEMAS / "study.schema.json").read_text(encoding="utf-8"))
    known = schema["properties"]["model"]["properties"]["architecture"]["properties"]
    names = [*known, *_FURTHER_FACTS, *(key for key in config if "expert" in key)]
    return {
        name: config[name]
        for name in names
        if config.get(name) is not None and not isinstance(config[name], (dict, list))
    }


def _config_file(path: str) -> Path | None:
    local = Path(path).expanduser() / "config.json"
    if local.is_file():
        return local
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    folder = home / "hub" / f"models--{path.replace('/', '--')}" / "snapshots"
    return next(iter(sorted(folder.glob("*/config.json"))), None)


# --- The rows ------------------------------------------------------------------------------------


def data_files(folders: Sequence[Path]) -> list[Path]:
    """Files in the folders that could hold the rows."""
    found = {
        path.resolve(): path
        for folder in folders
        for suffix in (".csv", ".tsv", ".jsonl", ".parquet")
        for path in sorted(folder.glob(f"*{suffix}"))
    }
    return list(found.values())


def read_rows(path: Path, t: Messages) -> Rows:
    """The columns of a data file, and its rows where a look through it tells.

    Raises:
        UserError: it is not there, is empty, or is no such file.
    """
    if not path.exists():
        raise UserError(t("init.no_data_file"), found=str(path), allowed=", ".join(DATA_SUFFIXES))
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    if path.is_dir():
        return Rows(columns=(), classes={})
    if kind == ".parquet":
        return _read_parquet(path, t)
    if kind not in DATA_SUFFIXES:
        raise UserError(
            t("init.other_data_file"), found=path.name, allowed=", ".join(DATA_SUFFIXES)
        )
    for encoding in ENCODINGS:
        try:
            with _open(path, encoding) as stream:
                records = _records(stream, kind)
                return _look(records, "utf-8" if encoding == "utf-8-sig" else encoding)
        except UnicodeDecodeError:
            continue
        except (ValueError, csv.Error, StopIteration) as error:
            raise UserError(t("init.unreadable_data"), file=path, found=str(error)) from error
    raise UserError(t("init.unknown_encoding"), file=path, allowed=", ".join(ENCODINGS))


def _read_parquet(path: Path, t: Messages) -> Rows:
    """The columns and classes of a Parquet file; nothing where its library is not installed."""
    try:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq
    except ImportError:  # only training brings it
        return Rows(columns=(), classes={})
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(t("init.unreadable_data"), file=path, found=str(error)) from error
    plain = [name for name in table.column_names if not pa.types.is_nested(table[name].type)]
    classes = {name: pc.count_distinct(table[name]).as_py() for name in plain}
    texts = [name for name in plain if pa.types.is_string(table[name].type)]
    few = {name: count for name, count in classes.items() if count <= MOST_CLASSES}
    numbered = (n for n in plain if pa.types.is_integer(table[n].type))
    return Rows(
        columns=tuple(table.column_names),
        rows=table.num_rows,
        classes=few,
        numbered=frozenset(name for name in numbered if classes[name] == table.num_rows),
        sizes={name: pc.sum(pc.binary_length(table[name])).as_py() or 0 for name in texts},
    )


def _open(path: Path, encoding: str) -> IO[str]:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding=encoding, newline="")
    return path.open(encoding=encoding, newline="")


def _records(stream: IO[str], kind: str) -> Iterator[Mapping[str, Any]]:
    if kind in (".csv", ".tsv"):
        csv.field_size_limit(sys.maxsize)
        head = stream.readline()
        stream.seek(0)
        marks = "\t" if kind == ".tsv" else max(",;\t|", key=head.count)
        return iter(csv.DictReader(stream, delimiter=marks))
    if kind == ".json" and stream.read(1) == "[":
        stream.seek(0)
        return iter(json.load(stream))
    stream.seek(0)
    return (json.loads(line) for line in stream if line.strip())


def _look(records: Iterator[Mapping[str, Any]], encoding: str) -> Rows:
    columns: dict[str, set[str] | None] = {}
    sizes: Counter[str] = Counter()
    ids: dict[str, int | None] = {}  # the highest number so far; None once it is no ascending one
    count = 0
    for record in records:
        count += 1
        if not isinstance(record, Mapping) or None in record:
            raise ValueError(f"row {count}: {record}")
        for name, value in record.items():
            sizes[name] += len(str(value).encode())
            ids[name] = _next_number(value, ids.get(name, -1))
            seen = columns.setdefault(name, set())
            if seen is not None:
                seen.add(str(value))
                if len(seen) > MOST_CLASSES:
                    columns[name] = None
    if not count:
        raise ValueError("no rows")
    classes = {name: len(seen) for name, seen in columns.items() if seen is not None}
    return Rows(
        columns=tuple(columns),
        rows=count,
        encoding=encoding,
        classes=classes,
        numbered=frozenset(name for name, highest in ids.items() if highest is not None),
        sizes=sizes,
    )


def _next_number(value: object, highest: int | None) -> int | None:
    """The value as a whole number where it is above the highest so far; else None."""
    text = str(value)
    if highest is None or not text.isdecimal() or len(text) > _LONGEST_ID:
        return None
    return int(text) if int(text) > highest else None


def likely_label(rows: Rows, said: str | None) -> str | None:
    """The column to predict: what a configuration says, else one with a name that says it.

    Else the only one whose values come again and again.
    """
    if said in rows.columns:
        return said
    for name in rows.columns:
        if name.strip().lower() in LABELS:
            return name
    most = (rows.rows or 0) // FEWEST_ROWS_A_CLASS
    few = [name for name in rows.columns if 2 <= rows.classes.get(name, 0) <= most]
    return few[0] if len(few) == 1 else None
