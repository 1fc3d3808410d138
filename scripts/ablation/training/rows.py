"""Rows of the prepared data as a run uses them: chosen, cut to length, padded, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets, load_from_disk
from torch.utils.data import Sampler

from ablation.data.prepared import deal_of, special_tail
from ablation.data.rows import SPLITS, deal_again, set_aside, training_rows, truncate_ids
from ablation.frozen.cache import JoinedStates, Prefix, States
from ablation.settings.catalogue import Settings
from ablation.settings.quantities import TUNING_SHARE, cut_of, extract_of
from ablation.training.intent import epoch_order


class Rows(torch.utils.data.Dataset):
    """Tokenized rows, cut on the right to `max_length` (None keeps them whole) before the `tail`.

    With `states`, a row gives the states of its frozen layers in place of its tokens, where they
    are kept.
    """

    def __init__(
        self,
        table: Dataset,
        ids: np.ndarray,
        max_length: int | None,
        tail: Sequence[int] = (),
    ) -> None:
        self.table = table.with_format("numpy", columns=["input_ids", "label"])
        self.ids = ids
        self.max_length = max_length
        self.states: States | JoinedStates | None = None
        self.tail = tail
        lengths = np.asarray(table.with_format("numpy")["length"][:])[ids]
        self.full_lengths = lengths.astype(np.int64)
        self.labels = np.asarray(table.with_format("numpy")["label"][:])[ids]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if self.states is not None:
            states = self.states[int(self.ids[index])]
            if states is not None:
                return {"states": states[: self.max_length], "label": int(self.labels[index])}
        row = self.table[int(self.ids[index])]
        ids = row["input_ids"]
        if self.max_length is not None:
            ids = truncate_ids(ids, self.max_length, self.tail)
        return {"input_ids": ids, "label": int(row["label"])}

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row after the cut."""
        if self.max_length is None:
            return self.full_lengths
        return np.minimum(self.full_lengths, self.max_length)

    @property
    def numbers(self) -> np.ndarray:
        """The number of each row in the source's data."""
        return np.asarray(self.table.with_format("numpy", columns=["row"])["row"][:])[self.ids]

    def last_tokens(self) -> set[int]:
        """Token ids that rows end with, after the cut."""
        found: set[int] = set()
        wanted, start = np.sort(self.ids), 0
        for chunk in self.table.data.column("input_ids").chunks:
            ends = np.searchsorted(wanted, [start, start + len(chunk)])
            rows = wanted[slice(*ends)] - start
            begins = chunk.offsets.to_numpy()
            lengths = np.diff(begins)[rows]
            cut = lengths if self.max_length is None else np.minimum(lengths, self.max_length)
            tokens = chunk.values.to_numpy()[begins[rows] + cut - 1]
            if self.tail and self.max_length is not None and self.max_length > len(self.tail):
                tokens = np.where(lengths > cut, self.tail[-1], tokens)
            found.update(np.unique(tokens).tolist())
            start += len(chunk)
        return found


@dataclass
class Tables:
    """The three splits of one arm.

    Attributes:
        tuning: Validation rows that only a learning rate is chosen on; none in most arms.
        train_counts: The rows of each class in the whole training split.
        starts: Where the prepared splits begin in the one table that a seed dealt out anew; None
            where the splits are the prepared ones.
    """

    train: Rows
    validation: Rows
    test: Rows
    train_counts: np.ndarray
    starts: tuple[int, ...] | None = None
    tuning: Rows | None = None

    @property
    def parts(self) -> list[Rows]:
        """All of them."""
        parts = (self.train, self.validation, self.test, self.tuning)
        return [rows for rows in parts if rows is not None]

    def read_states(self, prefix: Prefix) -> Tables:
        """These tables, whose rows give the states of a cache from now on."""
        joined = None
        if self.starts is not None:
            joined = JoinedStates([prefix.splits[name] for name in SPLITS], self.starts)
        for split, states in prefix.splits.items():
            getattr(self, split).states = states if joined is None else joined
        if self.tuning is not None:
            self.tuning.states = self.validation.states
        return self

    def cached_share(self) -> float:
        """Share of the rows whose states the cache has."""
        parts = self.parts
        cached = sum(rows.states.count(rows.ids) for rows in parts if rows.states is not None)
        return cached / sum(map(len, parts))


@dataclass(frozen=True, kw_only=True)
class Dealt:
    """The rows of a run before its arm chooses among them.

    Attributes:
        tables: The table that each split's rows are in.
        places: Their numbers in it.
        ranks: `extract_rank` of each training row.
        starts: As in `Tables`.
    """

    tables: dict[str, Dataset]
    places: dict[str, np.ndarray]
    ranks: np.ndarray
    starts: tuple[int, ...] | None = None

    def column(self, split: str, name: str) -> np.ndarray:
        """A column of a split's rows."""
        whole = np.asarray(self.tables[split].with_format("numpy", columns=[name])[name][:])
        return whole[self.places[split]]


def deal_rows(data: Path, seed: int) -> Dealt:
    """The rows of each split: as they were prepared, or as the seed deals them out."""
    tables = {name: load_from_disk(str(data / name)) for name in SPLITS}
    deal = deal_of(data)
    if deal is None:
        places = {name: np.arange(len(table)) for name, table in tables.items()}
        ranks = tables["train"].with_format("numpy", columns=["extract_rank"])["extract_rank"][:]
        return Dealt(tables=tables, places=places, ranks=np.asarray(ranks))
    parts = [table.select_columns(tables["test"].column_names) for table in tables.values()]
    starts = np.cumsum([0, *map(len, parts)])[:-1]
    whole = concatenate_datasets(parts)
    columns = whole.with_format("numpy", columns=["row", "label"])
    order = np.argsort(np.asarray(columns["row"][:]))
    places, ranks = deal_again(np.asarray(columns["label"][:])[order], deal, seed)
    return Dealt(
        tables=dict.fromkeys(SPLITS, whole),
        places={name: order[rows] for name, rows in places.items()},
        ranks=ranks,
        starts=tuple(starts.tolist()),
    )


def load_tables(data: Path, settings: Settings, num_labels: int, seed: int) -> Tables:
    """The rows of an arm: its training rows, and all rows of the other splits, longest last.

    Evaluation rows are ordered by length, which leaves little padding and changes no score.
    """
    cut, tail = cut_of(settings), special_tail(data)
    dealt = deal_rows(data, seed)
    labels = dealt.column("train", "label")
    chosen = training_rows(dealt.ranks, labels, *extract_of(settings))
    places = {"train": dealt.places["train"][chosen]}
    for name in ("validation", "test"):
        order = np.argsort(dealt.column(name, "length"), kind="stable")
        places[name] = dealt.places[name][order]
    rows = {name: Rows(dealt.tables[name], own, cut, tail) for name, own in places.items()}
    aside = settings.get(TUNING_SHARE)
    if aside:
        table, own = dealt.tables["validation"], places["validation"]
        chosen = set_aside(rows["validation"].numbers, aside)
        rows["validation"] = Rows(table, own[~chosen], cut, tail)
        rows["tuning"] = Rows(table, own[chosen], cut, tail)
    counts = np.bincount(labels, minlength=num_labels)
    return Tables(**rows, train_counts=counts, starts=dealt.starts)


@dataclass
class Collator:
    """Pads rows on the right to the longest of the batch, and to `pad_to` tokens at least."""

    pad_id: int
    pad_to: int | None

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch; a row whose frozen layers come from a cache has states in place of tokens.

        Where there are both, `input_ids` of the rows with states are -1. States are padded with 0.
        """
        values = [row["states"] if "states" in row else row["input_ids"] for row in rows]
        width = max(self.pad_to or 0, *map(len, values))
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for index, value in enumerate(values):
            mask[index, : len(value)] = 1
        batch = {"attention_mask": mask, "labels": torch.tensor([row["label"] for row in rows])}
        cached = [index for index, row in enumerate(rows) if "states" in row]
        if cached:
            states = values[cached[0]]
            inputs = states.new_zeros((len(rows), width, states.shape[-1]))
            for index in cached:
                inputs[index, : len(values[index])] = values[index]
            batch["inputs_embeds"] = inputs
        if len(cached) < len(rows):
            input_ids = torch.full((len(rows), width), self.pad_id, dtype=torch.long)
            for index, value in enumerate(values):
                if "states" in rows[index]:
                    input_ids[index] = -1
                else:
                    input_ids[index, : len(value)] = torch.as_tensor(value, dtype=torch.long)
            batch["input_ids"] = input_ids
        return batch


class EpochSampler(Sampler[int]):
    """The order of each epoch, from `epoch_order`: Trainer says which epoch it is."""

    def __init__(
        self, rows: int, batch_rows: int, seed: int, lengths: np.ndarray | None = None
    ) -> None:
        self.rows, self.batch_rows, self.seed = rows, batch_rows, seed
        self.lengths = lengths
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of this epoch, from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.rows // self.batch_rows) * self.batch_rows

    def __iter__(self) -> Iterator[int]:
        order = epoch_order(self.rows, self.batch_rows, self.seed, self.epoch, self.lengths)
        return iter(order.tolist())
