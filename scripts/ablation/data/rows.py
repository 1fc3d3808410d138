"""Which rows an arm trains on and is measured on, and how a row becomes text: pure functions.

All arms are measured on the same rows: test and validation rows are split off before any
extraction. The rows of a smaller extract are among the rows of a larger one: every training row
has one `extract_rank`, and an arm with `data.extract_ratio` q takes the rows with rank below q.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ablation.settings.profile import Deal, Histogram, TokenLengths

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLITS = ("train", "validation", "test")
HISTOGRAM_BINS = 30
# One seed may serve both the split and the extraction; these keep their random streams apart.
_SPLIT_STREAM, _EXTRACT_STREAM, _ASIDE_STREAM = 0, 1, 2


def set_aside(numbers: np.ndarray, share: float) -> np.ndarray:
    """Which of some rows are set aside: a share of them, at least one and not all.

    Drawn by the rows' numbers, so that they are the same for all arms of a seed.

    Args:
        numbers: Number of each row in the source's data.
        share: In (0, 1).
    """
    drawn = np.random.default_rng([len(numbers), _ASIDE_STREAM]).permutation(len(numbers))
    count = min(max(1, round(len(numbers) * share)), len(numbers) - 1)
    found = np.zeros(len(numbers), dtype=bool)
    found[np.argsort(numbers, kind="stable")[drawn[:count]]] = True
    return found


def order_labels(names: Sequence[str], counts: np.ndarray) -> np.ndarray:
    """Positions of the labels, the most frequent first; labels with equal counts go by name."""
    return np.array(
        sorted(range(len(names)), key=lambda i: (-int(counts[i]), names[i])), dtype=np.int64
    )


def split_rows(labels: np.ndarray, test_size: float, val_size: float, seed: int) -> np.ndarray:
    """Split of each row (0 train, 1 validation, 2 test), stratified by label.

    Deterministic for the same labels in the same order and the same seed. A class always keeps a
    row for training, so a class with one row is in training only and every label that is
    evaluated can be learnt.

    Args:
        labels: Class of each row, integers from 0.
        test_size: Share of all rows for the test, in (0, 1).
        val_size: Share of all rows (not of what the test leaves) for validation, in [0, 1).
        seed: Seed of the split.
    """
    rng = np.random.default_rng([seed, _SPLIT_STREAM])
    order, place, counts = _shuffle_within_classes(labels, rng)
    test = _allocate(counts, test_size, np.maximum(counts - 1, 0), rng)
    validation = _allocate(counts, val_size, np.maximum(counts - 1 - test, 0), rng)
    classes = labels[order]
    split = np.full(len(labels), TRAIN, dtype=np.int8)
    split[order[place < test[classes] + validation[classes]]] = VALIDATION
    split[order[place < test[classes]]] = TEST
    return split


def deal_again(
    labels: np.ndarray, deal: Deal, seed: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The split that a seed draws: positions of each part's rows, and the training rows' ranks.

    Test, validation and extract all come from the seed, so the interval over seeds covers them.

    Args:
        labels: Class of each row, rows in source order.
        deal: How rows are dealt out.
        seed: The run's.
    """
    split = split_rows(labels, deal.test_size, deal.val_size, seed)
    parts = {name: np.flatnonzero(split == index) for index, name in enumerate(SPLITS)}
    return parts, extract_ranks(labels[parts["train"]], seed, deal.stratify_extract)


def extract_ranks(labels: np.ndarray, seed: int, stratified: bool) -> np.ndarray:
    """Rank in [0, 1) of each training row: the extract of ratio q is the rows with rank < q.

    Stratified: the j-th of the n rows of a class, in seeded order and from 0, has rank
    (j + 0.5) / n, so that a q-extract holds q * n of them to the nearest row; but the first has
    rank 0, so that every extract has each class at least once. `extract_size` counts them.
    Not stratified: positions in one seeded permutation of all rows, divided by their number.
    """
    rng = np.random.default_rng([seed, _EXTRACT_STREAM])
    ranks = np.empty(len(labels), dtype=np.float64)
    if stratified:
        order, place, counts = _shuffle_within_classes(labels, rng)
        ranks[order] = np.where(place == 0, 0.0, (place + 0.5) / counts[labels[order]])
    else:
        ranks[rng.permutation(len(labels))] = np.arange(len(labels)) / max(len(labels), 1)
    return ranks


def extract_size(class_rows: int, extract_ratio: float) -> int:
    """Rows that a stratified extract takes of a class with `class_rows` training rows."""
    in_extract = (np.arange(class_rows) + 0.5) / max(class_rows, 1) < extract_ratio
    return max(min(class_rows, 1), int(np.count_nonzero(in_extract)))


def training_rows(
    rank: np.ndarray,
    labels: np.ndarray,
    extract_ratio: float,
    max_classes: int | None,
    pool_rows: int | None = None,
) -> np.ndarray:
    """Positions, ascending, of the training rows of an arm.

    The rows with rank below `extract_ratio`, times the share of the rows that is drawn from; for a
    class without such a row, its row of lowest rank (so that each class is there at least once); of
    these the classes with id below `max_classes`, which are the most frequent ones (None or 0: all
    classes). Nested: a smaller ratio, fewer rows to draw from, or fewer classes give a subset.

    Args:
        rank: `extract_rank` of the training rows.
        labels: `label` of the training rows.
        extract_ratio: Share of the training rows to take; 1 or more takes all.
        max_classes: Number of classes to keep, the most frequent first.
        pool_rows: Rows that the extract is drawn from, those of the lowest ranks; None: all.
    """
    rank, labels = np.asarray(rank), np.asarray(labels)
    if pool_rows is not None:
        extract_ratio *= min(1.0, pool_rows / max(1, len(rank)))
    taken = rank < extract_ratio if extract_ratio < 1 else np.ones(len(rank), dtype=bool)
    by_class_then_rank = np.lexsort((rank, labels))
    _, first = np.unique(labels[by_class_then_rank], return_index=True)
    taken[by_class_then_rank[first]] = True
    if max_classes:
        taken &= labels < max_classes
    return np.flatnonzero(taken)


def rows_of_unseen_labels(train_labels: np.ndarray, evaluation_labels: np.ndarray) -> int:
    """Number of evaluation rows whose label has no training row: no model can get them right."""
    return int(np.count_nonzero(~np.isin(evaluation_labels, np.unique(train_labels))))


def truncate_ids(ids: Sequence[int], max_length: int, tail: Sequence[int] = ()) -> Sequence[int]:
    """Token ids cut on the right to `max_length`, as the tokenizer itself would cut them.

    Args:
        ids: Ids of a whole text, special tokens included, or of one that was already cut so.
        max_length: Most tokens to keep.
        tail: Special tokens that the tokenizer appends to a text (`special_tail` of
            profile.json; none for most decoders): they stay at the end of a text that is cut.
    """
    if len(ids) <= max_length:
        return ids
    if not tail or max_length <= len(tail):
        return ids[:max_length]
    return [*ids[: max_length - len(tail)], *tail]


def column_text(column: pa.Array | pa.ChunkedArray, names: Sequence[str] | None = None) -> pa.Array:
    """Text of each value, null where there is no value or only white space.

    Numbers are as Python writes them (1.0, 1e-05), not a number is null.

    Args:
        column: Values of one column.
        names: Names of the classes, if the values are class ids; negative ids are null.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if names is not None:
        known = pc.and_(pc.greater_equal(column, 0), pc.less(column, len(names)))
        index = pc.if_else(known, column, pa.scalar(None, kind))
        text = pa.array(names, pa.string()).take(index)
    elif pa.types.is_integer(kind) or _is_string(kind) or pa.types.is_null(kind):
        text = column.cast(pa.string())
    else:
        values = column.to_pylist()
        text = pa.array([None if v is None or v != v else str(v) for v in values], pa.string())
    blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(text)), 0)
    return pc.if_else(blank, pa.scalar(None, pa.string()), text)


def label_text(column: pa.Array | pa.ChunkedArray, names: Sequence[str] | None = None) -> pa.Array:
    """Name of each row's label, null where there is none; 101.0 is the label 101.

    Integers that were stored as floats because some rows have no label get their integer back.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if names is None and pa.types.is_floating(column.type):
        values = column.to_pylist()
        return pa.array(
            [
                None if v is None or v != v else str(int(v)) if v.is_integer() else str(v)
                for v in values
            ],
            pa.string(),
        )
    return column_text(column, names)


def serialize(
    columns: Mapping[str, pa.Array],
    *,
    separator: str,
    key_value_separator: str,
    include_column_names: bool,
) -> pa.Array:
    """Text of each row: its values in the order of the columns, joined; "" if it has none.

    Args:
        columns: Text of each column's values, as `column_text` gives it; null values are left out.
        separator: Between two columns, e.g. "| ".
        key_value_separator: Between a column's name and its value, e.g. ":".
        include_column_names: Whether "name:value" is written, or the value alone.
    """
    parts = []
    for name, values in columns.items():
        if include_column_names:
            values = pc.binary_join_element_wise(f"{name}{key_value_separator}", values, "")
        parts.append(values)
    # With "skip", Arrow drops a row in which all parts are null, so "" goes first and its separator
    # comes off again.
    joined = pc.binary_join_element_wise("", *parts, separator, null_handling="skip")
    return pc.utf8_slice_codeunits(joined, start=len(separator))


def token_lengths(lengths: np.ndarray) -> TokenLengths:
    """Mean, median, 95th and 99th percentile, maximum, and histogram of texts' token counts."""
    top = int(lengths.max())
    width = max(1, -(-(top + 1) // HISTOGRAM_BINS))
    edges = np.arange(0, top + width + 1, width)
    counts, _ = np.histogram(lengths, bins=edges)
    return TokenLengths(
        mean=float(lengths.mean()),
        median=float(np.median(lengths)),
        p95=float(np.percentile(lengths, 95)),
        p99=float(np.percentile(lengths, 99)),
        max=top,
        histogram=Histogram(edges=tuple(edges.tolist()), counts=tuple(counts.tolist())),
    )


def truncated_share(lengths: np.ndarray, max_length: int) -> float:
    """Share in [0, 1] of texts with more than `max_length` tokens."""
    return float(np.mean(lengths > max_length)) if len(lengths) else 0.0


def conflicting_rows(texts: np.ndarray, labels: np.ndarray) -> int:
    """Number of rows whose text also stands in the data under another label.

    Args:
        texts: A hash of each row's text.
        labels: Class of each row.
    """
    _, text_id = np.unique(texts, return_inverse=True)
    pairs = np.unique(np.stack([text_id, labels]), axis=1)
    labels_of_text = np.bincount(pairs[0])
    return int(np.count_nonzero(labels_of_text[text_id] > 1))


def _is_string(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _shuffle_within_classes(
    labels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row positions class by class in random order; the place of each in its class; class sizes."""
    shuffled = rng.permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    place = np.arange(len(labels)) - starts[labels[order]]
    return order, place, counts


def _allocate(
    counts: np.ndarray, share: float, most: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Rows to take from each class: `share` of it, rounded by largest remainder, at most `most`.

    Classes with one row count neither for the total nor for its parts. Equal remainders are
    ordered at random, so that no class is favored for its frequency.
    """
    wanted = np.where(counts > 1, counts * share, 0.0)
    total = min(round(float(wanted.sum())), int(most.sum()))
    taken = np.minimum(np.floor(wanted + 1e-9).astype(np.int64), most)
    tie = rng.random(len(counts))
    while (left := total - int(taken.sum())) > 0:
        order = np.lexsort((tie, taken - wanted))
        taken[order[taken[order] < most[order]][:left]] += 1
    return taken
