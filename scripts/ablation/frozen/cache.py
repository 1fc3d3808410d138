"""States of the frozen layers: computed once, kept ragged on disk, read by every run.

A cache is a folder `<dtype>-<key>`: for each split the numbers of its rows (`<split>.ids.npy`),
where each row's tokens begin (`<split>.offsets.npy`), and for each boundary one flat file of states
(`<split>.<boundary>.bin`), tokens one after another without padding. prefix.json names the caches
and is written last; what it doesn't name is never read.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import json
import logging
import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from datasets import load_from_disk
from transformers import AutoConfig, AutoModel

from ablation.data.model import ModelRecord, model_folder
from ablation.data.prepared import data_fingerprint, deal_of, digest, special_tail
from ablation.data.request import Request
from ablation.data.rows import SPLITS, training_rows, truncate_ids
from ablation.errors import Interrupted, UserError
from ablation.files import load_record, save_json, save_record
from ablation.frozen.padding_free import is_padding_free, pack, use_padding_free
from ablation.frozen.which import (
    GIGABYTE,
    Wanted,
    WantedValues,
    boundary_of,
    fit_budget,
    state_bytes,
    why_cut,
    why_plain,
    why_plain_model,
)
from ablation.machine.pulse import BATCH, SUM, Pulse
from ablation.settings.catalogue import PADDING_FREE
from ablation.settings.quantities import cut_of, engine_dtype, kernels_of
from ablation.sums import changed_files, stamps_of

RECORD = "prefix.json"
PART, PROGRESS = ".part", "progress.json"  # a cache in the making, and how far it is
STAMPS = "stamps.json"  # sum, size and time of each file of a cache
NOTE_SECONDS = 30.0
ROPE_TYPES = ("default", "linear", "llama3", "yarn")  # others depend on the text's length
# By device. On the CPU 4096 take 1.6 times as long a token in short texts: its caches are small.
TOKENS_AT_ONCE = {"cpu": 1024, "cuda": 4096}
PACKAGES = ("torch", "transformers")
log = logging.getLogger(__name__)


def identity(
    model: ModelRecord, model_path: str, data: Path, dtype: str, kernels: Collection[str] = ()
) -> str:
    """Hash of what the states depend on, besides the rows and the boundary.

    A local model counts with the sizes and times of its files, one of the hub with its commit.
    """
    folder = Path(model_path)
    files = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("config.json"))
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    tail = special_tail(data)
    return digest(
        {
            "model": dict(model),
            "files": stats,
            "data": data_fingerprint(data),
            # Only where there is one: caches from before it was kept stay good without.
            **({"special_tail": tail} if tail else {}),
            "dtype": dtype,
            # Caches of an earlier version rounded the positions' frequencies, runs don't.
            **({} if dtype == "float32" else {"buffers": "float32"}),
            "attention": PADDING_FREE if PADDING_FREE in kernels else "sdpa",
            "versions": {name: version(name) for name in PACKAGES},
            "device": "cuda" if torch.cuda.is_available() else "cpu",
        }
    )


def why_plain_config(config: Any) -> str | None:
    """Why a model's own config.json rules the cache out; None where it doesn't."""
    if getattr(config, "quantization_config", None):
        return "its weights are quantized"
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "default") not in ROPE_TYPES:
        return f"the positions of rope_type {rope['rope_type']} depend on the text's length"
    return None


def why_plain_files(path: str, model: ModelRecord) -> str | None:
    """Why a model's files rule the cache out; None where they don't.

    Args:
        path: Its folder, or its name on the hub.
        model: Contents of model.json.
    """
    if model.get("allow_remote_code"):
        return "the model brings code of its own"
    if Path(path).is_dir() and not any(Path(path).glob("*.safetensors")):
        return "its weights are not in safetensors files"
    return None


# Writing


def write_caches(
    wanted: Mapping[str, WantedValues],
    model: str | Path,
    data: str | Path,
    output: str | Path,
    budget_gb: float,
) -> dict[str, object]:
    """Contents of the prefix.json that this writes, with the caches that it names.

    Args:
        wanted: By dtype, what `Wanted` has.
        model: model.json of the study's model.
        data: Folder of prepare_data.
        output: Folder of prefix.json; caches that it doesn't name any more are removed.
        budget_gb: Most gigabytes (10^9) that the caches may take; 0 writes none.
    """
    data, output = Path(data), Path(output)
    facts: ModelRecord = load_record(model)
    path = model_folder(facts, Path(model))
    record: dict[str, Any] = {"schema_version": 1, "caches": {}, "notes": []}
    reason = why_plain_files(path, facts) if budget_gb > 0 else "prefix_cache_gb is 0"
    # Not before: a model with code of its own has a configuration of its own.
    config: Any = None if reason else AutoConfig.from_pretrained(path, revision=facts["revision"])
    reason = reason or why_plain_model(config.to_dict()) or why_plain_config(config)
    if reason:
        record["notes"].append(reason)
    builds: dict[str, Build] = {}
    for dtype, values in ({} if reason else wanted).items():
        want = Wanted(**values)
        same = identity(facts, path, data, dtype, want.kernels)
        found = plan_cache(want, dtype, data, config.hidden_size, budget_gb)
        if isinstance(found, str):
            record["notes"].append(found)
            continue
        build, entry = found
        name = f"{dtype}-{digest([same, *build.parts()])}"
        budget_gb -= entry["bytes"] / GIGABYTE
        builds[name] = build
        record["caches"][dtype] = {"folder": name, "identity": same, **entry}
    for note in record["notes"]:
        log.warning("runs compute their frozen layers themselves: %s", note)
    (output / RECORD).unlink(missing_ok=True)
    remove_others(output, builds)
    for name, build in builds.items():
        make_cache(output / name, path, facts, data, build)
    save_record(record, output / RECORD)
    return record


@dataclass(frozen=True, kw_only=True)
class Build:
    """What a cache is made of: its boundaries, and row numbers and lengths of each split."""

    dtype: str
    boundaries: list[int]
    max_length: int | None
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]]
    kernels: Collection[str] = ()

    def parts(self) -> list[Any]:
        """What its folder's name depends on, besides the model and the data."""
        rows = digest([ids.tolist() for ids, _ in self.splits.values()])
        return [self.boundaries, self.max_length, rows]


def plan_cache(
    want: Wanted, dtype: str, data: Path, hidden_size: int, budget_gb: float
) -> tuple[Build, dict[str, Any]] | str:
    """What of a wanted cache the disk budget has room for, with its entry in prefix.json.

    A text where there is room for nothing.
    """
    splits = {name: split_rows(data, name, want) for name in SPLITS}
    tokens = sum(int(lengths.sum()) for _, lengths in splits.values())
    size = tokens * state_bytes(hidden_size, dtype)
    boundaries, share = fit_budget(want.boundaries, size, budget_gb)
    if share < 1:
        splits = first_rows(splits, train_ranks(data), int(share * tokens))
    kept = sum(int(lengths.sum()) for _, lengths in splits.values())
    if not kept:
        return (
            f"the {dtype} states take {size / GIGABYTE:.3g} GB, and the prefix_cache_gb"
            f" {budget_gb:.3g} has no room for any text"
        )
    if kept < tokens:
        log.info("%s: the cache holds %d of %d tokens", dtype, kept, tokens)
    build = Build(
        dtype=dtype,
        boundaries=boundaries,
        max_length=want.max_length,
        splits=splits,
        kernels=want.kernels,
    )
    size = size * kept // tokens * len(boundaries)
    entry = {"boundaries": boundaries, "max_length": want.max_length}
    return build, entry | {"hidden_size": hidden_size, "tokens": kept, "bytes": size}


def make_cache(folder: Path, path: str, model: ModelRecord, data: Path, build: Build) -> None:
    """Make a cache that is not there, or that is damaged.

    Raises:
        UserError: The disk has no room for it.
    """
    if folder.exists() and damage_of(folder):
        log.warning("the cache %s is damaged: it is made again", folder.name)
        shutil.rmtree(folder)
    if folder.exists():
        return
    try:
        build_cache(folder, path, model, data, build)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise no_room(folder.parent, "the disk is full") from error


def remove_others(output: Path, names: Collection[str]) -> None:
    """Remove caches that nothing names any more, before others take their disk."""
    for folder in output.iterdir() if output.is_dir() else ():
        if folder.is_dir() and folder.name.removesuffix(PART) not in names:
            shutil.rmtree(folder)


def split_rows(data: Path, split: str, want: Wanted) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a split that any arm reads, ascending, and their tokens after the longest cut."""
    table = load_from_disk(str(data / split)).with_format("numpy")
    lengths = np.asarray(table["length"][:]).astype(np.int64)
    ids = np.arange(len(lengths))
    if split == "train" and deal_of(data) is None:  # seeds that deal anew read other rows
        labels, rank = np.asarray(table["label"][:]), np.asarray(table["extract_rank"][:])
        chosen = [training_rows(rank, labels, *extract) for extract in want.extracts]
        ids = np.unique(np.concatenate(chosen))
    cut = lengths[ids] if want.max_length is None else np.minimum(lengths[ids], want.max_length)
    return ids, cut


def train_ranks(data: Path) -> np.ndarray:
    """Each training row's place among those that a smaller extract keeps, from 0 to 1."""
    table = load_from_disk(str(data / "train")).with_format("numpy")
    return np.asarray(table["extract_rank"][:])


def first_rows(
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]], ranks: np.ndarray, tokens: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Those rows of each split that a cache of `tokens` tokens holds: the most read come first.

    Each epoch of each run reads the validation rows; training rows are read by the more arms the
    lower their rank; test rows are read at the end only.

    Args:
        splits: Row numbers (ascending) and lengths in tokens of each split.
        ranks: `extract_rank` of each row of the training split.
        tokens: Most tokens of all rows together.
    """
    found = {}
    for split in ("validation", "train", "test"):
        ids, lengths = splits[split]
        order = np.argsort(ranks[ids], kind="stable") if split == "train" else np.arange(len(ids))
        count = int(np.searchsorted(np.cumsum(lengths[order]), tokens, side="right"))
        chosen = np.sort(order[:count])
        found[split] = ids[chosen], lengths[chosen]
        tokens -= int(lengths[chosen].sum())
    return found


def build_cache(
    folder: Path,
    model_path: str,
    model: ModelRecord,
    data: Path,
    build: Build,
) -> None:
    """Compute the states of all rows and write them; the folder appears when it is whole.

    An interrupted one goes on: rows are done in the order of their lengths, and how many of them
    is noted when their states are on the disk.

    Raises:
        Interrupted: It was asked to leave.
    """
    pulse = Pulse()
    dtype, boundaries, splits = build.dtype, build.boundaries, build.splits
    part = folder.with_name(folder.name + PART)
    part.mkdir(parents=True, exist_ok=True)
    noted = part / PROGRESS
    done: dict[str, int] = json.loads(noted.read_text()) if noted.exists() else {}
    if done:
        log.info("going on with an interrupted cache: %s", done)
    network = load_bottom(model_path, model, dtype, max(boundaries), build.kernels)
    each = state_bytes(network.config.hidden_size, dtype)
    tokens = sum(int(lengths.sum()) for _, lengths in splits.values())
    _check_room(part, tokens * each * len(boundaries))
    tail = special_tail(data)
    for split, (ids, lengths) in splits.items():
        np.save(part / f"{split}.ids.npy", ids)
        np.save(part / f"{split}.offsets.npy", np.concatenate([[0], np.cumsum(lengths)]))
        size = max(1, int(lengths.sum())) * each
        table = load_from_disk(str(data / split)).with_format("numpy", columns=["input_ids"])
        with contextlib.ExitStack() as stack:
            files = {
                boundary: stack.enter_context(open_sized(part / f"{split}.{boundary}.bin", size))
                for boundary in boundaries
            }
            rows = CutRows(table=table.select(ids), lengths=lengths, tail=tail)
            for count in write_states(network, rows, files, done.get(split, 0), pulse):
                done[split] = count
                save_json(done, noted)
                if pulse.asked_to_stop():
                    raise Interrupted(f"the next try goes on from row {count} of {split}")
        log.info("%s: %d rows, %d tokens", split, len(ids), lengths.sum())
    noted.unlink(missing_ok=True)
    save_json(stamps_of(part, part.glob("*.*"), lambda: pulse.beat(SUM)), part / STAMPS)
    part.rename(folder)


def _check_room(part: Path, size: int) -> None:
    taken = sum(512 * path.stat().st_blocks for path in part.glob("*.bin"))
    if (needed := size - taken) > shutil.disk_usage(part).free:
        raise no_room(part.parent, f"{needed / GIGABYTE:.3g} GB more are needed")


def damage_of(folder: Path) -> list[str]:
    """The files of a cache that are no longer what was written; earlier versions tell of none.

    Raises:
        OSError, ValueError: The stamps cannot be read.
    """
    path = folder / STAMPS
    return changed_files(folder, json.loads(path.read_text())) if path.exists() else []


@dataclass(frozen=True, kw_only=True)
class CutRows:
    """The rows of a split, with where they are cut.

    Attributes:
        table: The rows, with `input_ids`.
        lengths: Tokens of each row after its cut, which is where the next row's begin.
        tail: Ids that a cut keeps at the end.
    """

    table: Any
    lengths: np.ndarray
    tail: tuple[int, ...]

    def ids(self, row: int) -> Sequence[int]:
        """A row's ids after its cut."""
        return truncate_ids(self.table[row]["input_ids"], int(self.lengths[row]), self.tail)


def write_states(
    network: Any, rows: CutRows, files: Mapping[int, BinaryIO], start: int, pulse: Pulse
) -> Iterator[int]:
    """Write the states of a split; now and then yields how many rows are safe on the disk.

    Args:
        network: The frozen layers.
        rows: Its rows.
        files: By boundary, where the states go.
        start: How many of the shortest rows are there already.
        pulse: What says that it gets on.
    """
    lengths = rows.lengths
    offsets, last = np.cumsum(lengths) - lengths, time.monotonic()
    for batch in even_batches(lengths, TOKENS_AT_ONCE[network.device.type], start):
        pulse.beat(BATCH, start)
        ids = [rows.ids(int(i)) for i in batch]
        for boundary, states in hidden_states(network, ids, list(files)).items():
            for i, state in zip(batch, states, strict=True):
                files[boundary].seek(int(offsets[i]) * state[0].nbytes)
                files[boundary].write(as_stored(state[: lengths[i]]).data)
        start += len(batch)
        due = start == len(lengths) or time.monotonic() - last > NOTE_SECONDS
        if due or pulse.asked_to_stop():
            for file in files.values():
                file.flush()
                os.fsync(file.fileno())
            last = time.monotonic()
            yield start


def open_sized(path: Path, size: int) -> BinaryIO:
    """A file of so many bytes for writing anywhere in it; what it holds stays.

    It isn't mapped: where the disk is full, writing to a map kills the process without a word.
    """
    path.touch()
    file = path.open("r+b")
    file.truncate(size)
    return file


def no_room(folder: Path, found: str) -> UserError:
    """What to say where the disk is full."""
    free = shutil.disk_usage(folder).free / GIGABYTE
    return UserError(
        f"there is no room for the states of the frozen layers in {folder}",
        file="config/config.yaml",
        found=f"{found}, {free:.3g} GB are free",
        allowed="more free disk, or a smaller prefix_cache_gb: runs then compute what is left",
        write=f"prefix_cache_gb: {int(free / 2)}",
    )


def load_bottom(
    model_path: str,
    model: ModelRecord,
    dtype: str,
    layers: int,
    kernels: Collection[str] = (),
) -> Any:
    """The decoder's first layers, in the dtype that the engine of a run gives them."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = AutoModel.from_pretrained(
        model_path, revision=model["revision"], dtype=getattr(torch, dtype)
    )
    network.layers = network.layers[:layers]
    network.norm = torch.nn.Identity()
    network.config.use_cache = False
    if PADDING_FREE in kernels:
        use_padding_free(network)
    return network.to(device).eval()  # DeepSpeed too leaves buffers (rotary frequencies) in float32


def even_batches(lengths: np.ndarray, tokens: int, start: int = 0) -> Iterator[np.ndarray]:
    """Row numbers in batches of similar length, so that hardly any padding is computed.

    Args:
        lengths: Tokens of each row.
        tokens: Tokens of a batch, about.
        start: How many of the shortest rows to leave out.
    """
    order = np.argsort(lengths, kind="stable")
    while start < len(order):
        count = max(1, tokens // max(1, int(lengths[order[start]])))
        batch = order[start : start + count]
        yield batch
        start += len(batch)


@torch.no_grad()
def hidden_states(
    network: Any, rows: list[np.ndarray], boundaries: list[int]
) -> dict[int, Sequence[torch.Tensor]]:
    """States (token, width) of each row below each boundary; tokens beyond its own are rubbish."""
    width = max(len(row) for row in rows)
    input_ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros_like(input_ids)
    for index, row in enumerate(rows):
        input_ids[index, : len(row)] = torch.as_tensor(row, dtype=torch.long)
        mask[index, : len(row)] = 1
    packed = pack(mask.to(network.device)) if is_padding_free(network) else None
    found: dict[int, torch.Tensor] = {}
    hooks = [
        network.layers[boundary - 1].register_forward_hook(
            lambda module, inputs, output, boundary=boundary: found.update({boundary: output})
        )
        for boundary in boundaries
    ]
    input_ids = input_ids.to(network.device)
    if packed is None:
        network(input_ids, attention_mask=mask.to(network.device))
    else:
        network(packed.flat(input_ids), **packed.arguments())
    for hook in hooks:
        hook.remove()
    if packed is None:
        return found
    sizes = [len(row) for row in rows]
    return {boundary: states[0].split(sizes) for boundary, states in found.items()}


def stored_type(dtype: str) -> type:
    """NumPy type of the file: NumPy has no bfloat16, so its bits are kept as integers."""
    return {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}[dtype]


def as_stored(states: torch.Tensor) -> np.ndarray:
    """States as the file's type."""
    states = states.detach().cpu().contiguous()
    return (states.view(torch.uint16) if states.dtype == torch.bfloat16 else states).numpy()


# Reading


@dataclass
class States:
    """States of one split at one boundary, by row number."""

    ids: np.ndarray
    offsets: np.ndarray
    values: np.ndarray
    dtype: torch.dtype

    def __getitem__(self, row: int) -> torch.Tensor | None:
        """States (token, width) of a row of the prepared split, a copy; None if it isn't here."""
        at = int(np.searchsorted(self.ids, row))
        if at == len(self.ids) or self.ids[at] != row:
            return None
        values = torch.from_numpy(np.array(self.values[self.offsets[at] : self.offsets[at + 1]]))
        return values.view(self.dtype) if self.dtype == torch.bfloat16 else values

    def count(self, rows: np.ndarray) -> int:
        """How many of these rows are here."""
        return int(np.isin(rows, self.ids).sum())


@dataclass
class JoinedStates:
    """The states of the prepared splits, for rows that a seed dealt out anew.

    Attributes:
        splits: The states of each split.
        starts: The number of each split's first row in the table of all rows.
    """

    splits: Sequence[States]
    starts: Sequence[int]

    def __getitem__(self, row: int) -> torch.Tensor | None:
        """As `States`, of a row of the table of all rows."""
        at = bisect.bisect_right(self.starts, row) - 1
        return self.splits[at][row - self.starts[at]]

    def count(self, rows: np.ndarray) -> int:
        """How many of these rows are here."""
        pairs = zip(self.splits, self.starts, strict=True)
        return sum(states.count(rows - start) for states, start in pairs)


@dataclass
class Prefix:
    """An open cache: how many layers it stands for, and the states of each split."""

    boundary: int
    max_length: int | None
    splits: dict[str, States]


def open_prefix(config: Request) -> Prefix | str:
    """The cache that a run reads, or why it computes its frozen layers itself.

    Args:
        config: Contents of config.json; `prefix` is the path of prefix.json or None.
    """
    settings, model, data = config["settings"], config["model"], Path(config["data"])
    prefix = config.get("prefix")
    if not prefix:
        return "no cache was made"
    reason = why_plain_files(config["model_path"], model)
    if reason := reason or why_plain(settings, model["architecture"]):
        return reason
    file = Path(prefix)
    if not file.is_file():
        return f"there is no {file}"
    record = load_record(file)
    dtype = engine_dtype(settings)
    cache = record["caches"].get(dtype)
    if cache is None:
        return "; ".join(record["notes"]) or f"no cache was made for {dtype}"
    same = identity(model, config["model_path"], data, dtype, kernels_of(settings))
    if cache["identity"] != same:
        return (
            "the cache was made for another model, other data or other library versions;"
            f" remove {file} to have it made again"
        )
    fitting = [b for b in cache["boundaries"] if b <= boundary_of(settings)]
    if not fitting:
        return f"the cache stands for {cache['boundaries']} layers, more than are frozen here"
    if reason := why_cut(cut_of(settings), cache["max_length"], special_tail(data)):
        return reason
    folder = file.parent / cache["folder"]
    try:
        if wrong := damage_of(folder):
            raise ValueError(f"damaged: {', '.join(wrong)}")
        splits = {
            split: open_states(folder, split, fitting[-1], dtype, cache["hidden_size"])
            for split in SPLITS
        }
    except (OSError, ValueError, EOFError) as error:
        return f"the cache is not whole any more ({error}); remove {file} to have it made again"
    return Prefix(fitting[-1], cache["max_length"], splits)


def open_states(folder: Path, split: str, boundary: int, dtype: str, hidden_size: int) -> States:
    """States of a split, mapped into memory.

    Raises:
        OSError, ValueError, EOFError: A file is not there or too short.
    """
    path = folder / f"{split}.{boundary}.bin"
    ids, offsets = (np.load(folder / f"{split}.{name}.npy") for name in ("ids", "offsets"))
    shape = max(1, int(offsets[-1])), hidden_size
    values = np.memmap(path, stored_type(dtype), "r", shape=shape)
    return States(ids, offsets, values, getattr(torch, dtype))
