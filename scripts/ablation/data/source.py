"""What study.yaml says about the data, and the rows it names, memory-mapped through `datasets`."""

from __future__ import annotations

import bz2
import csv
import difflib
import gzip
import json
import logging
import lzma
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ablation.data.content import recognize
from ablation.documents.scalars import is_number
from ablation.documents.style import write_text
from ablation.errors import UserError, shorten
from ablation.study.options import DataOptions
from ablation.words.catalogue import in_english

logger = logging.getLogger(__name__)

FORMATS = ("auto", "csv", "json", "parquet", "disk", "hub")
SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
}
COMPRESSED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
PICKLES = {".pkl", ".pickle", ".joblib", ".pt"}
DELIMITERS = (",", "\t", ";", "|")
_OBJECT = 'one object a line: {"text": "…", "label": "…"}'
READABLE = (
    "CSV (.csv, .tsv, .csv.gz), JSON lines (.jsonl, .json), Parquet (.parquet), "
    "or a folder that `datasets` wrote with save_to_disk"
)


@dataclass(frozen=True)
class DataSpec:
    """What the data of a study is, how it becomes text, and how it is split.

    `file` and `lines` (dotted key to line) say where the user wrote it, for messages.
    """

    path: str
    label_column: str
    format: str = "auto"
    name: str | None = None
    split_name: str | None = None
    encoding: str | None = None
    text_columns: tuple[str, ...] = ()
    separator: str = "| "
    key_value_separator: str = ":"
    include_column_names: bool = True
    seed: int = 42
    test_size: float = 0.2
    val_size: float = 0.1
    stratify_extract: bool = True
    extract_seed: int = 42
    max_rows: int | None = None
    merge_labels: bool = False
    split_per: str | None = None
    allow_pickle: bool = False
    file: str | None = None
    lines: Mapping[str, int] = field(default_factory=dict)

    def error(
        self,
        problem: str,
        key: str,
        *,
        found: object = None,
        allowed: str | Iterable[object] | None = None,
        write: str | None = None,
    ) -> UserError:
        """A `UserError` that points at `key` (e.g. "data.path") in study.yaml."""
        return UserError(
            problem,
            file=self.file,
            line=self._line(key),
            found=found,
            allowed=allowed,
            write=write,
        )

    def _line(self, key: str) -> int | None:
        """Line of `key`, or of the nearest block around it that the user wrote."""
        while key not in self.lines and "." in key:
            key = key.rpartition(".")[0]
        return self.lines.get(key)


def read_spec(data: DataOptions) -> DataSpec:
    """`DataSpec` of the `data` section of study.yaml, as `Study.data_options` gives it.

    Raises:
        UserError: A key that is missing or a value that is not possible.
    """
    given = {**data, **data.get("serialization", {}), **data.get("split", {})}
    values: dict[str, Any] = {
        key: value
        for key, value in given.items()
        if value is not None and key in DataSpec.__dataclass_fields__
    }
    values["text_columns"] = tuple(values.get("text_columns", ()))
    spec = DataSpec(**{"path": "", "label_column": "", **values})
    _check_spec(spec)
    return spec


def _check_spec(spec: DataSpec) -> None:
    if not spec.path:
        raise spec.error(
            "data.path is not set: this study does not come with its data",
            "data.path",
            found="null",
            allowed=f"{READABLE}; or a name on the hub, with `format: hub`",
            write="path: path/to/your/rows.csv   # under data:; relative to study.yaml",
        )
    if not spec.label_column:
        raise spec.error(
            "data.label_column is not set",
            "data.label_column",
            found="null",
            allowed="the column that holds the class of each row",
            write="label_column: label",
        )
    if spec.format not in FORMATS:
        raise spec.error(
            "data.format is not known", "data.format", found=spec.format, allowed=FORMATS
        )
    if spec.max_rows is not None and (not is_number(spec.max_rows) or spec.max_rows < 1):
        raise spec.error(
            "data.max_rows is not a number of rows",
            "data.max_rows",
            found=spec.max_rows,
            allowed="a whole number from 1",
        )


@dataclass(frozen=True)
class Source:
    """The rows, memory-mapped, with the label and text columns only.

    `rows` are the positions of the rows in the source, or None where all of them are here;
    `rows_read` is how many the source has; `notes` says what a reader should know.
    """

    dataset: datasets.Dataset
    text_columns: list[str]
    rows_read: int
    rows: np.ndarray | None
    notes: list[str]


def open_source(spec: DataSpec, cache_dir: Path) -> Source:
    """Rows that the study names, memory-mapped from Arrow files in `cache_dir` or the hub's cache.

    Raises:
        UserError: No such file, a format that cannot be read, a pickle, a column that is not
            there or holds neither text nor numbers, no rows.
    """
    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity(logging.CRITICAL)  # it logs what a UserError says better
    notes: list[str] = []
    if spec.format == "hub":
        dataset = _load_hub(spec, notes)
    else:
        path = find_path(spec)
        check_kind(path, spec)
        if path.is_file() and path.stat().st_size == 0:
            raise _no_rows(spec)
        kind = _format_of(path, spec)
        readers = {"csv": _load_csv, "json": _load_json, "parquet": _load_parquet}
        readers |= {"disk": _load_disk, "pickle": _load_pickle}
        dataset = readers[kind](path, spec, cache_dir, notes)
    text_columns = check_columns(spec, dataset.column_names)
    dataset = dataset.select_columns([spec.label_column, *text_columns])
    _check_types(spec, dataset, text_columns)
    rows_read = len(dataset)
    if rows_read == 0:
        raise _no_rows(spec)
    rows = None
    if spec.max_rows is not None and spec.max_rows < rows_read:
        rng = np.random.default_rng([spec.seed, 2])
        rows = np.sort(rng.choice(rows_read, int(spec.max_rows), replace=False))
        dataset = dataset.select(rows)
        notes.append(f"data.max_rows: {len(rows)} of {rows_read} rows, drawn at random, are used.")
    return Source(dataset, text_columns, rows_read, rows, notes)


def find_path(spec: DataSpec) -> Path:
    """Path of the data: relative to study.yaml first, then to the working folder."""
    given = Path(spec.path).expanduser()
    beside = Path(spec.file).parent / given if spec.file else given
    for path in (beside, given):
        if path.exists():
            return path
    folder = beside.parent if beside.parent.is_dir() else given.parent
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    near = difflib.get_close_matches(given.name, names, n=1)
    better = folder / near[0] if near else Path("path/to/your/rows.csv")
    if spec.file and better.is_relative_to(Path(spec.file).parent):
        better = better.relative_to(Path(spec.file).parent)
    raise spec.error(
        "data.path names no file or folder",
        "data.path",
        found=spec.path,
        allowed=f"{READABLE}; or a name on the hub, with `format: hub`",
        write=f"path: {better}   # under data:; relative to study.yaml",
    )


def check_kind(path: Path, spec: DataSpec) -> None:
    """Raise a `UserError` for a pipe, a socket or a device: reading one may never end."""
    if not (path.is_file() or path.is_dir()):
        raise spec.error(
            "data.path is neither a file nor a folder, but a pipe, a socket or a device",
            "data.path",
            found=spec.path,
            allowed=READABLE,
        )


def _format_of(path: Path, spec: DataSpec) -> str:
    """Format to read `path` with: as the study says, else by its name."""
    if path.is_dir():
        if (path / "state.json").exists() or (path / "dataset_dict.json").exists():
            return "disk"
        raise spec.error(
            "data.path is a folder that `datasets` did not write with save_to_disk",
            "data.path",
            found=spec.path,
            allowed=READABLE,
        )
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if not PICKLES.isdisjoint(suffixes) or _starts_like_a_pickle(path):
        if spec.allow_pickle:
            return "pickle"
        raise spec.error(
            "data.path is a pickle: reading one can run any program hidden in it, so it is refused"
            " (`allow_pickle: true` under data: takes that risk)",
            "data.path",
            found=spec.path,
            allowed=READABLE,
            write=f"path: {Path(spec.path).with_name(path.name.split('.')[0] + '.parquet')}"
            "   # from: pandas.read_pickle(OLD).to_parquet(NEW)",
        )
    _check_content(path, spec)
    if spec.format != "auto":
        return spec.format
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in SUFFIXES:
        raise spec.error(
            "the format of the data is not clear from its name",
            "data.path",
            found=path.name,
            allowed=READABLE,
            write="format: csv   # under data:; or json, parquet",
        )
    return SUFFIXES[suffixes[-1]]


def _check_content(path: Path, spec: DataSpec) -> None:
    """Raise a `UserError` for a file that is something else than its name says."""
    found, suffix = recognize(path), path.suffix.lower()
    fits = {"a Parquet file": ".parquet", "compressed with gzip": ".gz"}
    if found is None or fits.get(found[0]) == suffix or spec.format == "parquet":
        return
    kind, way = found
    raise spec.error(
        f"{path.name} cannot be read as rows: it is {kind}",
        "data.path",
        found=spec.path,
        allowed=READABLE,
        write=f"path: {_renamed(spec, path, way)}" if way and "OLD" in way else way,
    )


def _renamed(spec: DataSpec, path: Path, way: str) -> str:
    suffix = ".parquet" if "parquet" in way else ".csv"
    new = Path(spec.path).with_name(path.name.split(".")[0] + suffix)
    return f"{new}   # from: {way}"


def _starts_like_a_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(2)
    return len(head) == 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def check_columns(spec: DataSpec, columns: Sequence[str]) -> list[str]:
    """Text columns of the data: those that the study names, else all but the label.

    Raises:
        UserError: The label column or a text column is not there, or the label is among the text.
    """
    near = _nearest(spec.label_column, columns)
    if spec.label_column not in columns:
        raise spec.error(
            "data.label_column is not a column of the data",
            "data.label_column",
            found=spec.label_column,
            allowed=columns,
            write=f"label_column: {write_text(near, '')}" if near else None,
        )
    key = "data.serialization.text_columns"
    rest = [name for name in columns if name != spec.label_column]
    for name in spec.text_columns:
        if name == spec.label_column:
            raise spec.error(
                f"{key} holds the label column: the model would read the answer",
                key,
                found=name,
                allowed=rest,
            )
        if name not in columns:
            raise spec.error(
                f"{key} names a column that the data does not have",
                key,
                found=name,
                allowed=rest,
                write=f"- {close}" if (close := _nearest(name, rest)) else None,
            )
    if not rest:
        raise spec.error(
            "the data has no column besides the label",
            "data.label_column",
            found=list(columns),
            allowed="at least one column of text or numbers",
        )
    return list(spec.text_columns) or rest


def _nearest(name: str, columns: Sequence[str]) -> str | None:
    """Column whose name is nearest to `name`, case and outer spaces ignored first, if any is."""
    for column in columns:
        if column.strip().casefold() == name.strip().casefold():
            return column
    return next(iter(difflib.get_close_matches(name, columns, n=1, cutoff=0.4)), None)


def class_names(feature: object) -> list[str] | None:
    """Names of the classes of a `ClassLabel` column, None for any other column."""
    return list(feature.names) if isinstance(feature, datasets.ClassLabel) else None


def _check_types(spec: DataSpec, dataset: datasets.Dataset, text_columns: list[str]) -> None:
    schema = dataset.features.arrow_schema
    plain = [
        name
        for name in schema.names
        if _is_plain(schema.field(name).type)
        and not isinstance(dataset.features[name], datasets.Json)
    ]
    text = [name for name in plain if name != spec.label_column]
    for name in [spec.label_column, *text_columns]:
        if name in plain:
            continue
        is_label = name == spec.label_column
        raise spec.error(
            f"column {name!r} cannot be {'a label' if is_label else 'text'}: "
            "it holds neither text nor numbers, or a mixture of them",
            "data.label_column" if is_label else "data.serialization.text_columns",
            found=f"{name}: {schema.field(name).type}",
            allowed=(plain if is_label else text) or "a table whose cells are text or numbers",
            write=f"text_columns: [{', '.join(text)}]" if text and not is_label else None,
        )


def _is_plain(kind: pa.DataType) -> bool:
    return not (
        pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    )


# One reader a format -------------------------------------------------------------------------


def _load_csv(path: Path, spec: DataSpec, cache_dir: Path, notes: list[str]) -> datasets.Dataset:
    """Rows of a CSV file, each cell as its own text: 0101 stays 0101, NA stays NA."""
    encoding = "utf-8-sig" if _is_utf8(spec) else str(spec.encoding)
    delimiter, header = _read_header(path, spec, encoding)
    named = [name for name in header if name.strip()]
    check_columns(spec, named)
    if len(named) < len(header):
        note = "{n} {n:column|columns} without a name {n:was|were} left out."
        notes.append(in_english(note, n=len(header) - len(named)))
    notes += _check_cells(path, spec, encoding, delimiter, len(header))
    # All columns are read, not the needed ones only: with `usecols` pandas would silently drop the
    # surplus cell of a row with an unquoted delimiter instead of refusing the row.
    names = [name or f"Unnamed: {index}" for index, name in enumerate(header)]
    rows = _load(
        "csv",
        path,
        spec,
        cache_dir,
        sep=delimiter,
        encoding=encoding,
        features=datasets.Features({name: datasets.Value("string") for name in names}),
        na_filter=False,
    )
    return rows.select_columns(named)


def _check_cells(
    path: Path, spec: DataSpec, encoding: str, delimiter: str, columns: int
) -> list[str]:
    """A note on rows with too few cells, which are read as if the last ones were empty.

    Raises:
        UserError: There are NUL bytes: the file is damaged, or in another encoding.
    """
    short, first = 0, 0
    csv.field_size_limit(sys.maxsize)  # a text may be longer than 128 KiB
    try:
        with _open_text(path, encoding) as file:
            lines = csv.reader(_without_nul(file, path, spec), delimiter=delimiter)
            for row in lines:
                if row and len(row) < columns:
                    short, first = short + 1, first or lines.line_num
    except UnicodeError as error:
        raise _encoding_error(path, spec, error) from error
    except (OSError, EOFError, csv.Error) as error:
        raise _unreadable(path, spec, str(error)) from error
    if not short:
        return []
    note = (
        "{n} {n:row has|rows have} fewer cells than there are columns, first in line {first}: "
        "those that are missing are read as empty."
    )
    return [in_english(note, n=short, first=first)]


def _without_nul(lines: Iterable[str], path: Path, spec: DataSpec) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise spec.error(
                "the data holds NUL bytes: it is damaged, or in another encoding",
                "data.path",
                found=f"{path.name}, line {number}",
                allowed="a text file in the encoding that data.encoding says",
            )
        yield line


def _is_utf8(spec: DataSpec) -> bool:
    return spec.encoding is None or spec.encoding.lower().replace("_", "-") in ("utf-8", "utf8")


def _read_header(path: Path, spec: DataSpec, encoding: str) -> tuple[str, list[str]]:
    """Delimiter and column names of a CSV file.

    The delimiter is the one that makes the label column a column; tab for .tsv, else the comma.
    """
    try:
        with _open_text(path, encoding) as file:
            lines = list(islice((line for line in file if line.strip()), 20))
    except UnicodeError as error:
        raise _encoding_error(path, spec, error) from error
    except OSError as error:
        raise _unreadable(path, spec, str(error)) from error
    if len(lines) < 2:
        raise _no_rows(spec)
    likely = "\t" if ".tsv" in [s.lower() for s in path.suffixes] else ","
    ways = [likely, *(d for d in DELIMITERS if d != likely)]
    tables = {d: list(csv.reader(lines, delimiter=d)) for d in ways}
    delimiter = next((d for d in ways if spec.label_column in tables[d][0]), likely)
    header, rows = tables[delimiter][0], tables[delimiter][1:]
    twice = sorted({name for name in header if name.strip() and header.count(name) > 1})
    if twice:
        raise spec.error(
            "the data has two columns of one name", "data.path", found=twice, allowed="one each"
        )
    if rows and len(rows[0]) > len(header):
        raise spec.error(
            f"the first row of the data has {len(rows[0])} cells under {len(header)} column names",
            "data.path",
            found=delimiter.join(rows[0]),
            allowed="a header line that names each column",
        )
    return delimiter, header


def _open_text(path: Path, encoding: str) -> TextIO:
    opener: Any = COMPRESSED.get(path.suffix.lower(), open)
    return opener(path, "rt", encoding=encoding, newline="")


def _load_json(path: Path, spec: DataSpec, cache_dir: Path, _: list[str]) -> datasets.Dataset:
    encoding = "utf-8" if _is_utf8(spec) else str(spec.encoding)
    try:
        with _open_text(path, encoding) as file:
            for _line in file:
                pass
    except UnicodeError as error:
        raise _encoding_error(path, spec, error) from error
    except (OSError, EOFError) as error:
        raise _unreadable(path, spec, str(error)) from error
    try:
        return _load("json", path, spec, cache_dir, encoding=encoding)
    except UserError as error:
        raise _bad_line(path, spec, encoding) or error from error


def _bad_line(path: Path, spec: DataSpec, encoding: str) -> UserError | None:
    """The complaint about the first line that is no JSON object; None for an array or one object.

    The builder says only what is wrong with the file taken as one document.
    """
    with _open_text(path, encoding) as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and (line.lstrip().startswith("[") or line.strip() in ("", "{")):
                return None
            reason = _not_an_object(line) if line.strip() else None
            if reason:
                wrong = f"line {number} of {path.name} is {reason}"
                return spec.error(wrong, "data.path", found=shorten(line.strip()), allowed=_OBJECT)
    return None


def _not_an_object(line: str) -> str | None:
    """What a line is that should be a JSON object; None where it is one."""
    try:
        value = json.loads(line, object_pairs_hook=_once)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "no text: it has half a character"
    except KeyError as error:
        return f"an object that has the key {error} twice"
    except RecursionError:
        return "nested too deeply"
    except ValueError as error:
        return f"no JSON: {error}"
    return None if isinstance(value, dict) else "no object"


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise KeyError(key)
        found[key] = value
    return found


def _load_parquet(
    path: Path, spec: DataSpec, cache_dir: Path, notes: list[str]
) -> datasets.Dataset:
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, spec, str(error)) from error
    if not pq.read_metadata(path).num_rows:
        raise _no_rows(spec)
    needed = {spec.label_column, *check_columns(spec, names)}
    columns = [name for name in names if name in needed]
    return _load("parquet", path, spec, cache_dir, columns=columns)


def _load_disk(path: Path, spec: DataSpec, cache_dir: Path, notes: list[str]) -> datasets.Dataset:
    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:
        raise _unreadable(path, spec, _reason(error)) from error
    return _one_dataset(loaded, spec, notes)


def _load_hub(spec: DataSpec, notes: list[str]) -> datasets.Dataset:
    try:
        loaded = datasets.load_dataset(spec.path, spec.name, split=spec.split_name)
    except Exception as error:
        raise spec.error(
            "the data could not be loaded from the hub",
            "data.path",
            found=" ".join(f"{type(error).__name__}: {error}".split()),
            allowed="the name of a data set that this machine can reach, as in owner/name",
        ) from error
    return _one_dataset(loaded, spec, notes)


def _load_pickle(path: Path, spec: DataSpec, cache_dir: Path, notes: list[str]) -> datasets.Dataset:
    """Rows of a pickled pandas table, in memory; the study has said `allow_pickle: true`."""
    import pandas as pd

    try:
        table = pd.read_pickle(path)
    except Exception as error:
        raise _unreadable(path, spec, _reason(error)) from error
    if not isinstance(table, pd.DataFrame):
        raise _unreadable(path, spec, f"holds a {type(table).__name__}, not a pandas table")
    notes.append("The data was a pickle, which data.allow_pickle permits; it was read into memory.")
    return datasets.Dataset.from_pandas(table, preserve_index=False)


def _one_dataset(
    loaded: datasets.Dataset | datasets.DatasetDict, spec: DataSpec, notes: list[str]
) -> datasets.Dataset:
    """The split that the study names, else all splits one after the other."""
    if isinstance(loaded, datasets.Dataset):
        return loaded
    if spec.split_name is not None:
        if spec.split_name not in loaded:
            raise spec.error(
                "data.split_name is not a split of the data",
                "data.split_name",
                found=spec.split_name,
                allowed=list(loaded),
            )
        return loaded[spec.split_name]
    if len(loaded) > 1:
        notes.append(f"All splits of the source were joined and split anew: {', '.join(loaded)}.")
    try:
        return datasets.concatenate_datasets(list(loaded.values()))
    except (ValueError, pa.ArrowException) as error:
        raise spec.error(
            "the splits of the data have different columns",
            "data.path",
            found=_reason(error),
            allowed=list(loaded),
            write=f"split_name: {next(iter(loaded))}   # under data:",
        ) from error


def _load(
    builder: str, path: Path, spec: DataSpec, cache_dir: Path, **options: object
) -> datasets.Dataset:
    """Rows of a file through a builder of `datasets`, as Arrow files in `cache_dir`."""
    try:
        return datasets.load_dataset(
            builder, data_files=str(path), split="train", cache_dir=str(cache_dir), **options
        )
    except Exception as error:
        chain = _chain(error)
        if any(isinstance(e, UnicodeError) or "UTF8" in str(e) for e in chain):
            raise _encoding_error(path, spec, chain[-1]) from error
        raise _unreadable(path, spec, _reason(error)) from error


def _chain(error: BaseException) -> list[BaseException]:
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    return chain


def _reason(error: BaseException) -> str:
    """What went wrong at the bottom, in one line."""
    logger.debug("reading the data failed", exc_info=error)
    root = _chain(error)[-1]
    return " ".join(f"{type(root).__name__}: {root}".split())


def _no_rows(spec: DataSpec) -> UserError:
    return spec.error("the data has no rows", "data.path", found=spec.path)


def _unreadable(path: Path, spec: DataSpec, reason: str) -> UserError:
    return spec.error(
        f"{path.name} could not be read" + ("" if spec.format == "auto" else f" as {spec.format}"),
        "data.path",
        found=reason,
        allowed=READABLE,
    )


def _encoding_error(path: Path, spec: DataSpec, error: BaseException) -> UserError:
    guess = _guess_encoding(path)
    return spec.error(
        f"{path.name} is not written in {spec.encoding or 'UTF-8'}",
        "data.encoding",
        found=" ".join(str(error).split()),
        allowed="the encoding of the file, such as utf-8, cp949 (Korean Windows), utf-16",
        write=f"encoding: {guess}   # under data:" if guess else None,
    )


def _guess_encoding(path: Path) -> str | None:
    """First encoding that reads the start of the file, None for no text; only a suggestion."""
    opener: Any = COMPRESSED.get(path.suffix.lower(), open)
    with opener(path, "rb") as file:
        head = file.read(1 << 20)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if b"\0" in head:
        return None
    head = head[: head.rfind(b"\n") + 1] or head
    for encoding in ("utf-8", "cp949", "shift_jis"):
        try:
            head.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"
