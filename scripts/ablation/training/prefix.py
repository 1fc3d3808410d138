"""States of the frozen layers: computed once, kept ragged on disk, read by every run.

A cache is a folder `<dtype>-<key>`: for each split the numbers of its rows (`<split>.ids.npy`),
where each row's tokens begin (`<split>.offsets.npy`), and for each boundary one flat file of states
(`<split>.<boundary>.bin`), tokens one after another without padding. prefix.json names the caches
and is written last; what it doesn't name is never read.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import load_from_disk
from transformers import AutoConfig, AutoModel

from ablation.facts.quantities import cut_of, engine_dtype
from ablation.files import save_json
from ablation.inputs.data import SPLITS, training_rows, truncate_ids
from ablation.inputs.models import model_folder
from ablation.runs.prefix import (
    GIGABYTE,
    Wanted,
    boundary_of,
    fitting_boundaries,
    state_bytes,
    wanted_caches,
    why_cut,
    why_plain,
)
from ablation.training.request import data_fingerprint, digest, special_tail

RECORD = "prefix.json"
ROPE_TYPES = ("default", "linear", "llama3", "yarn")  # others depend on the text's length
TOKENS_AT_ONCE = 4096
PACKAGES = ("torch", "transformers")
log = logging.getLogger(__name__)


def identity(model: Mapping[str, Any], model_path: str, data: Path, dtype: str) -> str:
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
            "attention": "sdpa",
            "versions": {name: version(name) for name in PACKAGES},
            "device": "cuda" if torch.cuda.is_available() else "cpu",
        }
    )


def why_plain_config(config: Any) -> str | None:
    """Why a model's own config.json rules the cache out; None where it doesn't."""
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "default") not in ROPE_TYPES:
        return f"the positions of rope_type {rope['rope_type']} depend on the text's length"
    if getattr(config, "attention_dropout", 0.0):
        return "the base model has dropout"
    return None


# Writing


def write_caches(
    grid: str | Path, model: str | Path, data: str | Path, output: str | Path, budget_gb: float
) -> dict[str, Any]:
    """Contents of the prefix.json that this writes, with the caches that it names.

    Args:
        grid: grid.json.
        model: model.json of the study's model.
        data: Folder of prepare_data.
        output: Folder of prefix.json; caches that it doesn't name any more are removed.
        budget_gb: Most gigabytes (10^9) that the caches may take; 0 writes none.
    """
    model_json, data, output = Path(model), Path(data), Path(output)
    arms = [arm["settings"] for arm in json.loads(Path(grid).read_text())["arms"]]
    model = json.loads(model_json.read_text())
    path = model_folder(model, model_json)
    record: dict[str, Any] = {"schema_version": 1, "caches": {}, "notes": []}
    config = AutoConfig.from_pretrained(path, revision=model["revision"])
    reason = why_plain_config(config) if budget_gb > 0 else "prefix_cache_gb is 0"
    if reason:
        record["notes"].append(reason)
    wanted = {} if reason else wanted_caches(arms, config.to_dict())
    for dtype, want in wanted.items():
        splits = {name: split_rows(data, name, want) for name in SPLITS}
        tokens = sum(int(lengths.sum()) for _, lengths in splits.values())
        size = tokens * state_bytes(config.hidden_size, dtype)
        boundaries = fitting_boundaries(want.boundaries, size, budget_gb)
        if not boundaries:
            record["notes"].append(
                f"the {dtype} states take {size / GIGABYTE:.3g} GB, more than the"
                f" prefix_cache_gb {budget_gb:g}"
            )
            continue
        budget_gb -= size * len(boundaries) / GIGABYTE
        same = identity(model, path, data, dtype)
        parts = [same, boundaries, want.max_length]
        parts += [digest([ids.tolist() for ids, _ in splits.values()])]
        name = f"{dtype}-{digest(parts)}"
        if not (output / name).exists():
            build_cache(output / name, path, model, data, dtype, boundaries, splits)
        record["caches"][dtype] = {
            "folder": name,
            "identity": same,
            "boundaries": boundaries,
            "max_length": want.max_length,
            "hidden_size": config.hidden_size,
            "tokens": tokens,
            "bytes": size * len(boundaries),
        }
    for note in record["notes"]:
        log.warning("runs compute their frozen layers themselves: %s", note)
    save_json(record, output / RECORD)
    keep = {cache["folder"] for cache in record["caches"].values()}
    for folder in output.iterdir():
        if folder.is_dir() and folder.name not in keep:
            shutil.rmtree(folder)
    return record


def split_rows(data: Path, split: str, want: Wanted) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a split that any arm reads, ascending, and their tokens after the longest cut."""
    table = load_from_disk(str(data / split)).with_format("numpy")
    lengths = np.asarray(table["length"][:]).astype(np.int64)
    ids = np.arange(len(lengths))
    if split == "train":
        labels, rank = np.asarray(table["label"][:]), np.asarray(table["extract_rank"][:])
        chosen = [
            training_rows(rank, labels, s["data.extract_ratio"], s["data.max_classes"])
            for s in want.arms
        ]
        ids = np.unique(np.concatenate(chosen))
    cut = lengths[ids] if want.max_length is None else np.minimum(lengths[ids], want.max_length)
    return ids, cut


def build_cache(
    folder: Path,
    model_path: str,
    model: Mapping[str, Any],
    data: Path,
    dtype: str,
    boundaries: list[int],
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> None:
    """Compute the states of all rows and write them; the folder appears when it is whole."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    network = load_bottom(model_path, model, dtype, max(boundaries))
    tail = special_tail(data)
    for split, (ids, lengths) in splits.items():
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        np.save(part / f"{split}.ids.npy", ids)
        np.save(part / f"{split}.offsets.npy", offsets)
        table = load_from_disk(str(data / split)).with_format("numpy", columns=["input_ids"])
        files = {
            boundary: create_states(
                part / f"{split}.{boundary}.bin",
                int(offsets[-1]),
                network.config.hidden_size,
                dtype,
            )
            for boundary in boundaries
        }
        for batch in even_batches(lengths):
            rows = [
                truncate_ids(table[int(ids[i])]["input_ids"], int(lengths[i]), tail) for i in batch
            ]
            for boundary, states in hidden_states(network, rows, boundaries).items():
                for i, state in zip(batch, states, strict=True):
                    files[boundary][offsets[i] : offsets[i + 1]] = as_stored(state[: lengths[i]])
        for states in files.values():
            states.flush()
        log.info("%s: %d rows, %d tokens", split, len(ids), offsets[-1])
    part.rename(folder)


def load_bottom(model_path: str, model: Mapping[str, Any], dtype: str, layers: int) -> Any:
    """The decoder's first layers, in the dtype that the engine of a run gives them."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = AutoModel.from_pretrained(
        model_path, revision=model["revision"], dtype=getattr(torch, dtype)
    )
    network.layers = network.layers[:layers]
    network.norm = torch.nn.Identity()
    network.config.use_cache = False
    # As DeepSpeed casts a model, with its buffers.
    return network.to(device, getattr(torch, dtype)).eval()


def even_batches(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Row numbers in batches of similar length, so that hardly any padding is computed."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, TOKENS_AT_ONCE // max(1, int(lengths[order[start]])))
        batch = order[start : start + count]
        yield batch
        start += len(batch)


@torch.no_grad()
def hidden_states(
    network: Any, rows: list[np.ndarray], boundaries: list[int]
) -> dict[int, torch.Tensor]:
    """States (row, token, width) below each boundary; tokens beyond a row's own are rubbish."""
    width = max(len(row) for row in rows)
    input_ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros_like(input_ids)
    for index, row in enumerate(rows):
        input_ids[index, : len(row)] = torch.as_tensor(row, dtype=torch.long)
        mask[index, : len(row)] = 1
    found: dict[int, torch.Tensor] = {}
    hooks = [
        network.layers[boundary - 1].register_forward_hook(
            lambda module, inputs, output, boundary=boundary: found.update({boundary: output})
        )
        for boundary in boundaries
    ]
    network(input_ids.to(network.device), attention_mask=mask.to(network.device))
    for hook in hooks:
        hook.remove()
    return found


def create_states(path: Path, tokens: int, hidden_size: int, dtype: str) -> np.ndarray:
    """A new file of states, mapped into memory for writing; one spare token if there is none."""
    return np.memmap(path, stored_type(dtype), "w+", shape=(max(1, tokens), hidden_size))


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

    def __getitem__(self, row: int) -> torch.Tensor:
        """States (token, width) of a row of the prepared split; a copy."""
        at = int(np.searchsorted(self.ids, row))
        values = torch.from_numpy(np.array(self.values[self.offsets[at] : self.offsets[at + 1]]))
        return values.view(self.dtype) if self.dtype == torch.bfloat16 else values

    def has(self, rows: np.ndarray) -> bool:
        """Whether all these rows are there."""
        return bool(np.isin(rows, self.ids).all())


@dataclass
class Prefix:
    """An open cache: how many layers it stands for, and the states of each split."""

    boundary: int
    max_length: int | None
    splits: dict[str, States]


def open_prefix(config: Mapping[str, Any]) -> Prefix | str:
    """The cache that a run reads, or why it computes its frozen layers itself.

    Args:
        config: Contents of config.json; `prefix` is the path of prefix.json or None.
    """
    settings, model, data = config["settings"], config["model"], Path(config["data"])
    if not config.get("prefix"):
        return "no cache was made"
    if model.get("allow_remote_code"):
        return "the model brings code of its own"
    if reason := why_plain(settings, model["architecture"]):
        return reason
    file = Path(config["prefix"])
    if not file.is_file():
        return f"there is no {file}"
    record = json.loads(file.read_text())
    dtype = engine_dtype(settings)
    cache = record["caches"].get(dtype)
    if cache is None:
        return "; ".join(record["notes"]) or f"no cache was made for {dtype}"
    same = identity(model, config["model_path"], data, dtype)
    if cache["identity"] != same:
        return "the cache was made for another model, other data or other library versions"
    fitting = [b for b in cache["boundaries"] if b <= boundary_of(settings)]
    if not fitting:
        return f"the cache stands for {cache['boundaries']} layers, more than are frozen here"
    if reason := why_cut(cut_of(settings), cache["max_length"], special_tail(data)):
        return reason
    folder = file.parent / cache["folder"]
    splits = {
        split: open_states(folder, split, fitting[-1], dtype, cache["hidden_size"])
        for split in SPLITS
    }
    return Prefix(fitting[-1], cache["max_length"], splits)


def open_states(folder: Path, split: str, boundary: int, dtype: str, hidden_size: int) -> States:
    """States of a split, mapped into memory."""
    path = folder / f"{split}.{boundary}.bin"
    values = np.memmap(path, stored_type(dtype), "r").reshape(-1, hidden_size)
    ids, offsets = (np.load(folder / f"{split}.{name}.npy") for name in ("ids", "offsets"))
    return States(ids, offsets, values, getattr(torch, dtype))
