"""The files of a pretrained model, found whole and finite before anything rests on them (no torch).

Which parameters the architecture needs is asked of transformers itself, in
`ablation.training.parameters`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from ablation.data.content import recognize
from ablation.errors import UserError, few
from ablation.sums import CHUNK, Stamp, stamps_of

MOST_NAMED = 5  # tensors of a message
INDEX = "model.safetensors.index.json"
WEIGHTS = "model.safetensors"
PICKLE = "pytorch_model*.bin"
# By type in a safetensors header: how a number is viewed, and the bits of its exponent; a number
# whose exponent has all of them is infinite or none.
_EXPONENTS = {
    "F64": (np.uint64, 0x7FF0 << 48),
    "F32": (np.uint32, 0x7F80_0000),
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
    "F8_E5M2": (np.uint8, 0x7C),
    "F8_E4M3": (np.uint8, 0x7F),  # it has no infinity: all ones is the only value that is none
}
_INTEGERS = ("I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64")
ADAPTER = "adapter_config.json"
_SUMMED = ("config.json", "tokenizer.json")


def read_json_file(path: Path) -> dict[str, Any]:
    """A mapping in a JSON file of the model.

    Raises:
        UserError: It is no JSON, or no mapping.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name} of the model cannot be read: {error}", file=path) from error
    if not isinstance(value, dict):
        raise UserError(
            f"{path.name} of the model is no mapping",
            file=path,
            found=value,
            allowed="the file that save_pretrained writes",
        )
    return value


def check_tokenizer(folder: Path) -> None:
    """Raise a `UserError` where tokenizer.json is there and cannot be used."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return  # said where texts are prepared
    try:
        Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain ones
        other = recognize(path)
        raise UserError(
            f"tokenizer.json of the model cannot be used: {other[0] if other else error}",
            file=path,
            write=other[1] if other else None,
            allowed="the tokenizer.json of a fast tokenizer",
        ) from error


def weight_files(folder: Path, allow_pickle: bool) -> list[Path]:
    """The safetensors files with the model's weights; empty where they are a permitted pickle.

    Raises:
        UserError: There are none, one is absent, or they are a pickle that nobody has permitted.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        named = read_json_file(folder / INDEX).get("weight_map")
        files = sorted({str(name) for name in named.values()}) if isinstance(named, dict) else []
        absent = [name for name in files if not (folder / name).is_file()]
        if absent or not files:
            raise UserError(
                f"{INDEX} of the model names files that are not there",
                file=folder / INDEX,
                found=", ".join(absent) or "no weight_map",
                allowed="all the files that it names",
            )
        outside = [name for name in files if Path(name).name != name]
        if outside:
            raise UserError(
                f"{INDEX} of the model names files of another folder",
                file=folder / INDEX,
                found=", ".join(outside),
                allowed="files beside it",
            )
        return [folder / name for name in files]
    pickles = sorted(path.name for path in folder.glob(PICKLE))
    if not pickles:
        raise UserError(
            "the model's folder has no weights",
            file=folder,
            found=", ".join(sorted(path.name for path in folder.iterdir())) or "an empty folder",
            allowed=f"{WEIGHTS}, or {INDEX} and its files; an adapter alone is no model, "
            "merge_and_unload() of peft puts it into its base",
        )
    if not allow_pickle:
        raise UserError(
            "the model's weights are a pickle: reading one can run any program hidden in it, so it"
            " is refused (`allow_pickle: true` under model: takes that risk)",
            file=folder / pickles[0],
            found=", ".join(pickles),
            allowed=f"{WEIGHTS}, as save_pretrained writes it",
        )
    return []


@dataclass(frozen=True, kw_only=True)
class _Tensor:
    """A tensor of a safetensors file: its type, its shape, and its bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def is_matrix(self) -> bool:
        return len(self.shape) > 1


def _read_tensors(path: Path) -> dict[str, _Tensor]:
    """What a safetensors file says of its tensors, by name.

    Raises:
        UserError: The file is cut, or no such file.
    """
    try:
        with safe_open(path, "numpy"):  # it checks sizes, types and offsets
            pass
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
    except (SafetensorError, OSError, ValueError, struct.error) as error:
        other = recognize(path)
        raise UserError(
            f"{path.name} of the model is {other[0] if other else f'broken: {error}'}",
            file=path,
            write=other[1] if other else None,
            found=f"{path.stat().st_size} bytes",
            allowed="the whole file: compare its size and its checksum with the source's",
        ) from error
    header.pop("__metadata__", None)
    found = {}
    for name, told in header.items():
        begin, end = (8 + length + offset for offset in told["data_offsets"])
        shape = tuple(told["shape"])
        found[name] = _Tensor(dtype=told["dtype"], shape=shape, begin=begin, end=end)
    return found


def _check_finite(path: Path, tensors: Mapping[str, _Tensor]) -> None:
    """Raise a `UserError` that names the tensors with values that are infinite or no numbers."""
    wrong = [name for name, tensor in tensors.items() if not _is_finite(path, tensor)]
    if wrong:
        raise UserError(
            "the model has weights that are infinite or not a number",
            file=path,
            found=few(wrong, MOST_NAMED),
            allowed="finite values",
        )


def _check_end(path: Path, tensors: Mapping[str, _Tensor]) -> None:
    """Raise a `UserError` where a file ends in matrices of zeros: its end was never written.

    A download that broke off, or a disk that lost power, leaves the whole length and no content.
    """
    zero = []
    for name in sorted(tensors, key=lambda n: (tensors[n].begin, tensors[n].end), reverse=True):
        if not _is_zero(path, tensors[name]):
            break
        zero.append(name)
    matrices = [name for name in zero if tensors[name].is_matrix]
    if matrices:
        raise UserError(
            "the model's weights are zero from some place to the end of the file",
            file=path,
            found=few(matrices, MOST_NAMED),
            allowed="the whole file: compare its checksum with the source's",
        )


def _is_zero(path: Path, tensor: _Tensor) -> bool:
    return not any(np.frombuffer(part, np.uint8).any() for part in _parts(path, tensor))


def _check_floating(path: Path, tensors: Mapping[str, _Tensor]) -> None:
    """Raise a `UserError` where weights are whole numbers: those of a quantized model."""
    wrong = [
        name
        for name, tensor in tensors.items()
        if tensor.dtype in _INTEGERS and tensor.is_matrix and name.endswith("weight")
    ]
    if wrong:
        raise UserError(
            "the model's weights are whole numbers, as those of a quantized model: they cannot be "
            "trained on",
            file=path,
            found=few(wrong, MOST_NAMED),
            allowed="weights in float32, bfloat16 or float16",
        )


def _check_once(path: Path, tensors: Iterable[str], places: dict[str, str]) -> None:
    """Raise a `UserError` where a tensor lies in two files: which one is loaded is not sure."""
    twice = [name for name in tensors if name in places]
    if twice:
        raise UserError(
            f"the model has tensors in two of its files: {path.name} and {places[twice[0]]}",
            file=path,
            found=few(twice, MOST_NAMED),
            allowed="each tensor once",
        )
    places.update(dict.fromkeys(tensors, path.name))


def _check_configured(folder: Path) -> None:
    """Raise a `UserError` for a quantized model: its weights cannot be trained on here."""
    quantized = read_json_file(folder / "config.json").get("quantization_config")
    if isinstance(quantized, dict):
        raise UserError(
            "the model is quantized: runs here train on weights as they are",
            file=folder / "config.json",
            found=f"quantization_config: {quantized.get('quant_method', 'of no name')}",
            allowed="the same model in float32, bfloat16 or float16",
        )


def check_no_adapter(folder: Path) -> None:
    """Raise a `UserError` for an adapter beside the weights: transformers would load it unasked."""
    if (folder / ADAPTER).is_file() and (folder / "config.json").is_file():
        raise UserError(
            "the model's folder holds an adapter beside the weights, which would be loaded on top",
            file=folder / ADAPTER,
            found=ADAPTER,
            allowed="the base model alone; or one that merge_and_unload() of peft has merged",
        )


def _is_finite(path: Path, tensor: _Tensor) -> bool:
    if tensor.dtype not in _EXPONENTS:
        return True
    kind, exponent = _EXPONENTS[tensor.dtype]
    parts = (np.frombuffer(part, dtype=kind) for part in _parts(path, tensor))
    return not any(((bits & kind(exponent)) == kind(exponent)).any() for bits in parts)


def _parts(path: Path, tensor: _Tensor) -> Iterator[bytes]:
    """The bytes of a tensor, so many at a time."""
    with path.open("rb") as file:
        file.seek(tensor.begin)
        for start in range(tensor.begin, tensor.end, CHUNK):
            yield file.read(min(CHUNK, tensor.end - start))


def check_files(folder: Path, allow_pickle: bool = False) -> dict[str, Stamp]:
    """Sums of the model's files, once they are found whole and finite.

    Raises:
        UserError: The first thing that is wrong with them.
    """
    check_tokenizer(folder)
    weights = weight_files(folder, allow_pickle)
    check_no_adapter(folder)
    _check_configured(folder)
    places: dict[str, str] = {}
    for path in weights:
        tensors = _read_tensors(path)
        _check_once(path, tensors, places)
        _check_finite(path, tensors)
        _check_floating(path, tensors)
        _check_end(path, tensors)
    named = [folder / name for name in _SUMMED if (folder / name).is_file()]
    return stamps_of(folder, [*named, *weights])
