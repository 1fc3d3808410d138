"""Which modules of a classifier LoRA adapts, found as peft finds them (no torch, no model).

The rules are those of `peft.tuners.tuners_utils.check_target_module_exists` and
`peft.utils.other._set_trainable`; the tests compare with peft on models of each known family.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ablation.settings.architecture import (
    ALL_LINEAR,
    ATTENTION,
    HEADS,
    KNOWN_FAMILIES,
    LINEAR,
    Facts,
    is_full,
)
from ablation.settings.catalogue import Settings

EMBEDDING = "embed_tokens"
_LAYER = re.compile(r".*?\.[^.]*\.(\d+)\.")  # peft's: the first numbered part of a path


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """What an arm's LoRA configuration comes to on a model.

    Attributes:
        modules: Paths of the modules that get an adapter.
        unsupported: Paths that its targets name too, and that peft cannot adapt.
        unmatched: Targets that name no module at all; peft leaves them out.
        saved: Last names of the modules that are trained whole, the head among them.
        unsaved: Names in `modules_to_save` that the model has not.
    """

    modules: tuple[str, ...]
    unsupported: tuple[str, ...]
    unmatched: tuple[str, ...]
    saved: tuple[str, ...]
    unsaved: tuple[str, ...]

    @property
    def layers(self) -> list[int]:
        """Numbers of the decoder layers with an adapter, ascending."""
        found = (_LAYER.match(f"{path}.") for path in self.modules)
        return sorted({int(match[1]) for match in found if match})

    @property
    def names(self) -> list[str]:
        """Last names of the adapted modules, each once."""
        return sorted({path.rsplit(".", 1)[-1] for path in self.modules})


def trains_head(settings: Settings) -> bool:
    """Whether peft trains the classification head by itself, as for `task_type: SEQ_CLS`."""
    return settings.get("lora.trains_head") is not False


def module_paths(family: str, layers: int) -> list[str]:
    """Path of every module of a sequence classifier of a known family, parents first."""
    normed = ("self_attn.q_norm", "self_attn.k_norm") if family == "qwen3" else ()
    inner = [f"{'self_attn' if name in ATTENTION else 'mlp'}.{name}" for name in LINEAR]
    parts = ("self_attn", "mlp", *inner, *normed, "mlp.act_fn")
    parts += ("input_layernorm", "post_attention_layernorm")
    each = [f"model.layers.{n}" for n in range(layers)]
    found = ["model", f"model.{EMBEDDING}", "model.layers"]
    found += [path for layer in each for path in (layer, *(f"{layer}.{part}" for part in parts))]
    return [*found, "model.norm", "model.rotary_emb", *HEADS]


def find_adapted(settings: Settings, facts: Facts) -> Adapted | None:
    """What LoRA adapts; None for a full fine-tuning and for a family whose modules are not known.

    Args:
        settings: An arm's settings.
        facts: Facts of the model's config.json.
    """
    family, layers = facts.get("model_type"), facts.get("num_hidden_layers")
    targets = settings.get("lora.target_modules")
    if is_full(settings) or family not in KNOWN_FAMILIES or not layers or not targets:
        return None
    asked = {name: value for name, value in settings.items() if name.startswith("lora.")}
    return _find(family, int(layers), json.dumps(asked, sort_keys=True))


@lru_cache(maxsize=256)
def _find(family: str, layers: int, asked_for: str) -> Adapted:
    """The same of the LoRA settings as JSON: many arms of a grid have the same."""
    settings: Settings = json.loads(asked_for)
    targets = settings["lora.target_modules"]
    paths = module_paths(family, layers)
    asked = list(settings.get("lora.modules_to_save") or ())
    kept = [*asked, *(("classifier", *HEADS) if trains_head(settings) else ())]
    free = [path for path in paths if not any(_is_within(path, name) for name in kept)]
    if isinstance(targets, str) and targets.lower() == ALL_LINEAR:
        # peft's own list of their names: below three layers it would ignore layers_to_transform.
        targets = [*LINEAR, *(() if trains_head(settings) else HEADS)]
    found = [path for path in free if _is_target(path, targets, settings)]
    names = [] if isinstance(targets, str) else targets
    whole = [path for path in paths if any(path.endswith(name) for name in kept)]
    return Adapted(
        modules=tuple(path for path in found if _can_adapt(path)),
        unsupported=tuple(path for path in found if not _can_adapt(path)),
        unmatched=tuple(name for name in names if not any(_ends(path, name) for path in paths)),
        saved=tuple(sorted({path.rsplit(".", 1)[-1] for path in whole})),
        unsaved=tuple(n for n in asked if not any(path.endswith(n) for path in paths)),
    )


def _can_adapt(path: str) -> bool:
    return path.rsplit(".", 1)[-1] in (*LINEAR, EMBEDDING, *HEADS)


def _is_within(path: str, name: str) -> bool:
    """Whether a module belongs to one that is trained whole: peft adapts none of those."""
    return re.match(rf"(^|.*\.){name}($|\..*)", path) is not None


def _ends(path: str, name: str) -> bool:
    return path == name or path.endswith(f".{name}")


def _is_target(path: str, targets: str | Sequence[str], settings: Settings) -> bool:
    if isinstance(targets, str):
        try:
            return re.fullmatch(targets, path) is not None
        except re.error:
            return False
    if path in targets:
        return True
    layers = settings.get("lora.layers_to_transform")
    if not any(path.endswith(f".{name}") for name in targets):
        return False
    if not layers:
        return True
    number = _LAYER.match(path)
    return number is not None and int(number[1]) in layers
