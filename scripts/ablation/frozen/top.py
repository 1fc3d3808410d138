"""The layers above a prefix cache: loaded alone, under their numbers in the whole model.

Every parameter has the name that it has in the whole model, so that initial values, checkpoints and
the saved adapter are those of a run that computes all layers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoConfig
from transformers.modeling_outputs import SequenceClassifierOutputWithPast
from transformers.utils import cached_file

from ablation.errors import RunError
from ablation.frozen.padding_free import is_padding_free, pack


def build_top(
    model_path: str, revision: str | None, dtype: torch.dtype, num_labels: int, boundary: int
) -> tuple[Any, set[str]]:
    """Classifier that begins at layer `boundary`, and the parameters its file doesn't hold.

    It takes the states below that layer as `inputs_embeds`; see `compute_missing` for the others.

    Args:
        model_path: Folder of the model, or its name on the hub.
        revision: Commit of the hub's repository.
        dtype: Type of the weights.
        num_labels: Classes.
        boundary: Frozen layers that the states stand for.

    Raises:
        RunError: The model's files lack a weight: it would be drawn at random.
    """
    config = AutoConfig.from_pretrained(model_path, revision=revision, num_labels=num_labels)
    layers, vocabulary = config.num_hidden_layers, config.vocab_size
    config.num_hidden_layers = layers - boundary
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[boundary:]
    # One embedding stays, for libraries that look for its type.
    config.vocab_size, config.pad_token_id = 1, 0
    state = top_weights(model_path, revision, boundary)
    state["model.embed_tokens.weight"] = torch.zeros(1, config.hidden_size)
    classifier = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
    base, loading = classifier.from_pretrained(
        None, config=config, state_dict=state, dtype=dtype, output_loading_info=True
    )
    missing = set(loading["missing_keys"])
    if lost := [moved(name, boundary) for name in sorted(missing - {"score.weight"})]:
        raise RunError(
            f"the files of {model_path} have no weights of these names: {', '.join(lost)}."
            " Set prefix_cache_gb: 0 in config/config.yaml: then all layers are loaded."
        )
    config = base.config
    config.num_hidden_layers, config.vocab_size = layers, vocabulary
    config._name_or_path = base.name_or_path = model_path
    config.use_cache = False
    numbered = {str(boundary + i): layer for i, layer in enumerate(base.model.layers)}
    base.model.layers._modules = numbered
    base.forward = MethodType(forward_top, base)
    base.last_token_layer = False
    base.frozen_layers = boundary
    return base, missing


def top_weights(model_path: str, revision: str | None, boundary: int) -> dict[str, torch.Tensor]:
    """Weights of the layers from `boundary` on, numbered from 0, with the norm and the head."""
    found = {}
    for file, names in weight_files(model_path, revision).items():
        with safe_open(file, "pt") as weights:
            for name in names if names is not None else weights.keys():
                whole, number = whole_name(name), layer_number(name)
                if is_above_layers(whole):
                    found[whole] = weights.get_tensor(name)
                elif number is not None and number >= boundary:
                    found[moved(whole, -boundary)] = weights.get_tensor(name)
    return found


def moved(name: str, by: int) -> str:
    """Name of a layer's weight under a layer number that is higher by so much."""
    number = layer_number(name)
    return name if number is None else name.replace(f".{number}.", f".{number + by}.", 1)


def whole_name(name: str) -> str:
    """Name in the classifier of a weight; a file that holds the decoder alone has no "model."."""
    return name if name.startswith(("model.", "score.")) else f"model.{name}"


def is_above_layers(name: str) -> bool:
    """Whether a weight belongs to the last norm or the head."""
    return name.startswith(("model.norm.", "score."))


def layer_number(name: str) -> int | None:
    """Number of the layer that a weight belongs to, None for the others."""
    start, name = "model.layers.", whole_name(name)
    return int(name[len(start) :].split(".")[0]) if name.startswith(start) else None


def weight_files(model_path: str, revision: str | None) -> dict[str, list[str] | None]:
    """Files that hold the weights, with the names in each; None stands for all of one file."""
    found = cached_file(
        model_path,
        "model.safetensors.index.json",
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
    )
    if found is None:
        return {cached_file(model_path, "model.safetensors", revision=revision): None}
    files: dict[str, list[str]] = {}
    for name, file in json.loads(Path(found).read_text())["weight_map"].items():
        if layer_number(name) is not None or is_above_layers(whole_name(name)):
            path = cached_file(model_path, file, revision=revision)
            files.setdefault(path, []).append(name)
    return dict(files)


def whole_size(base: Any) -> int:
    """Parameters of the frozen layers and the embeddings that aren't loaded."""
    config = base.config
    first = next(iter(base.model.layers))
    layer = sum(param.numel() for name, param in first.named_parameters() if not is_adapter(name))
    return base.frozen_layers * layer + (config.vocab_size - 1) * config.hidden_size


def is_adapter(name: str) -> bool:
    """Whether a parameter came with peft."""
    return ".lora_" in name or name.startswith("lora_")


def compute_missing(base: Any, bottom: Any) -> None:
    """Let the layers below, which no run trains, compute the rows that have no states.

    Args:
        base: What `build_top` returns.
        bottom: The layers below its first, on its device, in the type of the states.
    """
    base.__dict__["bottom"] = bottom  # not a child: it has no part in training or saving


@torch.no_grad()
def all_states(
    bottom: Any, states: torch.Tensor | None, input_ids: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """States (row, token, width) of all rows, of those with tokens by the layers below."""
    missing = input_ids[:, 0] >= 0
    ids, mask = input_ids[missing], mask[missing]
    if is_padding_free(bottom):
        packed = pack(mask)
        flat = bottom(input_ids=packed.flat(ids), **packed.arguments()).last_hidden_state
        found = packed.padded(flat)
    else:
        found = bottom(input_ids=ids, attention_mask=mask).last_hidden_state
    if states is None:
        return found
    states[missing] = found.to(states.dtype)
    return states


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Where each text's tokens begin and end, in padded rows or one after another in one row.

    Attributes:
        rows: (text), the row of each text.
        last: (text), the place of its last token in that row.
        first: (text), the place of its first.
    """

    rows: torch.Tensor
    last: torch.Tensor
    first: torch.Tensor

    def of(self, states: torch.Tensor) -> torch.Tensor:
        """States at each text's last token: (text, 1, width), or (1, text, width) of one row."""
        found = states[self.rows, self.last]
        return found.view(states.shape[0], -1, states.shape[-1])

    def seen(self, rows: int, width: int) -> torch.Tensor:
        """(row, 1, text of the row, token), which tokens of its row each text's last one sees.

        Args:
            rows: How many rows there are: asking the device for it would mean to wait for it.
            width: Their tokens.
        """
        place = torch.arange(width, device=self.last.device)
        seen = (place >= self.first[:, None]) & (place <= self.last[:, None])
        return seen.view(rows, 1, -1, width)


def forward_top(
    self: Any,
    inputs_embeds: torch.Tensor | None = None,
    attention_mask: Any = None,
    labels: torch.Tensor | None = None,
    input_ids: torch.Tensor | None = None,
    **kwargs: Any,
) -> SequenceClassifierOutputWithPast:
    """Logits at each row's last token; padding is on the right. The loss is the caller's.

    `input_ids` are there where the batch has rows without states, as `Collator` gives them.
    """
    if input_ids is not None:
        inputs_embeds = all_states(self.bottom, inputs_embeds, input_ids, attention_mask)
    if is_padding_free(self):
        packed = pack(attention_mask)
        inputs_embeds, how = packed.flat(inputs_embeds), packed.arguments()
        ends = Ends(rows=torch.zeros_like(packed.ends), last=packed.ends, first=packed.starts)
    else:
        last, how = attention_mask.sum(1) - 1, {"attention_mask": attention_mask}
        rows = torch.arange(len(last), device=last.device)
        ends = Ends(rows=rows, last=last, first=torch.zeros_like(last))
    if self.last_token_layer:
        self.top_layer.ends = ends
    logits = self.score(self.model(inputs_embeds=inputs_embeds, **how).last_hidden_state)
    logits = logits if self.last_token_layer else ends.of(logits)
    return SequenceClassifierOutputWithPast(logits=logits.flatten(0, 1))


# The last layer, for each row's last token only


def prune_last_layer(base: Any) -> bool:
    """Let the last layer compute queries and its MLP for the last tokens only, where it can.

    Nothing but the last token's state reaches the head, so values are the same up to the order of
    sums. Dropout draws as for all tokens: the random numbers of other layers don't move. Call it
    once the adapter is there.
    """
    layer = list(base.model.layers)[-1]
    # Mistral tells the window of all layers in its configuration alone.
    window = getattr(layer.self_attn.config, "sliding_window", None)
    if getattr(layer.self_attn, "sliding_window", window) is not None:
        return False
    for parent in layer.modules():
        if not hasattr(parent, "lora_dropout"):
            continue
        if any(parent is getattr(layer.self_attn, name) for name in ("k_proj", "v_proj")):
            continue
        for name, module in parent.lora_dropout.items():
            if isinstance(module, torch.nn.Dropout):
                parent.lora_dropout[name] = LastTokenDropout(module.p, layer)
    layer.forward = MethodType(forward_last_tokens, layer)
    base.last_token_layer, base.__dict__["top_layer"] = True, layer
    return True


class LastTokenDropout(torch.nn.Dropout):
    """Dropout of the last tokens, drawn as if for all tokens of the batch."""

    def __init__(self, p: float, layer: Any) -> None:
        super().__init__(p)
        self.__dict__["layer"] = layer  # not a child: it would contain itself

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """States (row, 1, width) with dropout."""
        if not self.training or self.p == 0:
            return states
        ends = self.layer.ends
        shape = (states.shape[0], self.layer.width, states.shape[-1])
        mask = F.dropout(torch.ones(shape, dtype=states.dtype, device=states.device), self.p)
        return states * ends.of(mask)


def forward_last_tokens(
    self: Any,
    hidden_states: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
    **kwargs: Any,
) -> torch.Tensor:
    """A decoder layer's output at each text's last token: see `Ends.of`."""
    ends, self.width = self.ends, hidden_states.shape[1]
    normed = self.input_layernorm(hidden_states)
    mixed = attend_last(self.self_attn, normed, position_embeddings, ends)
    states = ends.of(hidden_states) + mixed
    return states + self.mlp(self.post_attention_layernorm(states))


def attend_last(
    attention: Any,
    normed: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
    ends: Ends,
) -> torch.Tensor:
    """Attention's output for the queries of the last tokens: see `Ends.of`."""
    rotate = sys.modules[type(attention).__module__].apply_rotary_pos_emb

    def heads(states: torch.Tensor, norm: str | None) -> torch.Tensor:
        split = states.view(*states.shape[:2], -1, attention.head_dim)
        if norm and hasattr(attention, norm):
            split = getattr(attention, norm)(split)
        return split.transpose(1, 2)

    query = heads(attention.q_proj(ends.of(normed)), "q_norm")
    key = heads(attention.k_proj(normed), "k_norm")
    value = heads(attention.v_proj(normed), None)
    cos, sin = (part.expand(len(normed), -1, -1) for part in position_embeddings)
    query = rotate(query, query, ends.of(cos), ends.of(sin))[0]
    key = rotate(key, key, cos, sin)[0]
    mixed = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=ends.seen(*normed.shape[:2]),
        scale=attention.scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return attention.o_proj(mixed.transpose(1, 2).flatten(2))


def checkpointing_is_needed(base: Any, tokens: int, element_bytes: int, free: int) -> bool:
    """Whether the activations of a micro-batch would take more than half of the free memory.

    Args:
        base: The model.
        tokens: Tokens of the largest micro-batch.
        element_bytes: Bytes of a number.
        free: Free bytes of the device.
    """
    config: Mapping[str, Any] = base.config.to_dict()
    each = 18 * config["hidden_size"] + 7 * config["intermediate_size"]
    return tokens * each * element_bytes * len(base.model.layers) > free / 2
