"""Whether a model's files hold every parameter of its architecture, as transformers loads them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.utils import logging

from ablation.errors import UserError, few

MOST_NAMED = 6
_NUMBER = re.compile(r"\.\d+\.")


def check_parameters(folder: Path, allow_remote_code: bool, allow_pickle: bool) -> None:
    """Account for every parameter of the classifier: only its head may be new.

    No value is read: names and shapes decide.

    Raises:
        UserError: The architecture is not known, or a parameter is absent or has another shape.
    """
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=allow_remote_code)
        network, found = AutoModelForSequenceClassification.from_pretrained(
            folder,
            config=config,
            device_map="meta",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            trust_remote_code=allow_remote_code,
            use_safetensors=None if allow_pickle else True,
        )
    except Exception as error:  # transformers raises a dozen kinds for broken files
        raise UserError(
            f"transformers cannot load the model as a classifier: {first_line(error)}",
            file=folder / "config.json",
            allowed="a model that AutoModelForSequenceClassification knows, with its own weights;"
            " code that comes with it runs with `allow_remote_code: true` under model: only",
        ) from error
    _refuse_lost_layers(network, found["unexpected_keys"], folder)
    inner = [name for name in found["missing_keys"] if not is_head(network, name)]
    if inner:
        raise UserError(
            "the model's files lack parameters: they would be drawn at random",
            file=folder,
            found=named(inner),
            allowed="every parameter of the architecture; only the classification head is new",
        )
    shapes = [
        f"{name} is {list(there)}, not {list(here)}"
        for name, there, here in found["mismatched_keys"]
        if not is_head(network, name)
    ]
    if shapes:
        raise UserError(
            "the model's files have parameters of another shape than its config.json",
            file=folder,
            found=named(shapes),
        )


def _refuse_lost_layers(network: Any, unread: Iterable[str], folder: Path) -> None:
    """Refuse files with layers that config.json leaves out: the model would be a part of itself.

    Whatever else no one reads (another head, a part for images) is not of this architecture.
    """
    if getattr(network.config, "num_hidden_layers", 1) < 1:
        raise UserError(
            "config.json of the model has no layers",
            file=folder / "config.json",
            found=f"num_hidden_layers: {network.config.num_hidden_layers}",
            allowed="a number of at least 1",
        )
    places = getattr(network.config, "max_position_embeddings", None)
    if isinstance(places, int) and places < 1:
        raise UserError(
            "config.json of the model has no place for a token",
            file=folder / "config.json",
            found=f"max_position_embeddings: {places}",
            allowed="a number of at least 1",
        )
    own = {_NUMBER.sub(".", name) for name, _ in network.named_parameters()}
    lost = [name for name in unread if _NUMBER.search(name) and _NUMBER.sub(".", name) in own]
    if lost:
        raise UserError(
            "the model's files have layers that its config.json leaves out: they would be dropped",
            file=folder,
            found=named(lost),
            allowed="the number of layers that the weights have, in config.json",
        )


def is_head(network: Any, name: str) -> bool:
    """Whether a parameter lies outside the pretrained part of a classifier."""
    return not name.startswith(f"{network.base_model_prefix}.")


def named(items: Iterable[str]) -> str:
    """The first few of them, and how many there are."""
    return few(sorted(items), MOST_NAMED, "; ")


def first_line(error: BaseException) -> str:
    """The first line of an exception's message that says something, two where one only opens."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return (" ".join(lines[:2]) if lines[0].endswith(":") else lines[0])[:300]
