"""Findings on the adapters: their scale, their size, and the layers they sit in."""

from __future__ import annotations

from collections.abc import Iterator

from ablation.comparison.findings.finding import (
    INFO,
    SIDES,
    WARNING,
    Finding,
    Pair,
    pairwise_evidence,
)
from ablation.settings.architecture import adapted_layers, count_trainable

SIZE = ("lora.r", "lora.layers_to_transform", "lora.target_modules", "lora.use_dora", "lora.bias")


def scale(pair: Pair) -> Iterator[Finding]:
    """alpha / r is what counts: when it is equal, a larger alpha is no cause of its own."""
    names = ("lora.r", "lora.lora_alpha", "lora.use_rslora")
    if not pair.differs(*names):
        return
    scales = pair.amounts("lora.scale")
    evidence = {
        **pairwise_evidence("scale", scales),
        **pairwise_evidence("r", pair.both("lora.r")),
        **pairwise_evidence("alpha", pair.both("lora.lora_alpha")),
    }
    if scales[0] == scales[1]:
        yield pair.find("lora_scale_same", WARNING, evidence, names[:2])
    else:
        evidence["factor"] = pair.factor("lora.scale")
        yield pair.find("lora_scale_differs", WARNING, evidence, names[:2])


def parameters(pair: Pair) -> Iterator[Finding]:
    """Trained weights grow by the real factor, not by that of the rank."""
    if pair.architecture is None or not pair.differs(*SIZE):
        return
    counts = [
        count_trainable(pair.architecture, pair.quantities[side].settings, pair.plan.num_labels)
        for side in SIDES
    ]
    ranks = pair.both("lora.r")
    evidence = {
        **pairwise_evidence("lora", tuple(count.lora for count in counts)),
        **pairwise_evidence("layers", pair.amounts("layers_adapted")),
        **pairwise_evidence("r", ranks),
        "rank_factor": ranks[1] / ranks[0],
        "lora_factor": pair.factor("lora_parameters"),
    }
    settings = [name for name in SIZE if pair.differs(name)]
    if pair.plan.num_labels is None:
        yield pair.find("lora_parameters", WARNING, evidence, settings)
        return
    evidence |= {
        **pairwise_evidence("total", tuple(count.total for count in counts)),
        "factor": pair.factor("trainable_parameters"),
        "head": counts[0].saved,
        "labels": pair.plan.num_labels,
    }
    yield pair.find("trainable_parameters", WARNING, evidence, settings)


def layers(pair: Pair) -> Iterator[Finding]:
    """How the two sets of layers lie to each other."""
    name = "lora.layers_to_transform"
    sets = [_layers_of(pair, side) for side in SIDES]
    if not pair.differs(name) or None in sets:
        return
    current, backup = sets
    evidence = {
        **pairwise_evidence("layers", (current, backup)),
        **pairwise_evidence("count", (len(current), len(backup))),
        "only_current": sorted(set(current) - set(backup)),
        "only_backup": sorted(set(backup) - set(current)),
    }
    if set(backup) <= set(current):
        yield pair.find("layers_backup_inside", INFO, evidence, [name])
    elif set(current) <= set(backup):
        yield pair.find("layers_current_inside", INFO, evidence, [name])
    else:
        yield pair.find("layers_apart", INFO, evidence, [name])


def _layers_of(pair: Pair, side: str) -> list[int] | None:
    """The layers with adapters; None where that takes the model's number of layers to know."""
    if pair.architecture is not None:
        return adapted_layers(pair.architecture, pair.quantities[side].settings)
    named = pair.value(side, "lora.layers_to_transform")
    return named if named and min(named) >= 0 else None


def negative_layers(pair: Pair) -> Iterator[Finding]:
    """peft compares indices with layer names: a negative one matches no layer."""
    name = "lora.layers_to_transform"
    for side in SIDES:
        found = pair.setting(side, name)
        if found is None or found.value is None:
            continue
        if (found.note or "").startswith("counted from the end"):
            yield pair.find("negative_layers", WARNING, {"layers": found.value}, [name], side)
        elif min(found.value) < 0:
            yield pair.find("negative_layers_uncounted", WARNING, {}, [name], side)


def idle_bias(pair: Pair) -> Iterator[Finding]:
    """`lora.bias` trains biases that the model may not have."""
    if pair.architecture is None or not pair.architecture.known or pair.architecture.biased:
        return
    sides = [side for side in SIDES if pair.value(side, "lora.bias") != "none"]
    if sides:
        places = [p for side in sides for p in pair.places("lora.bias", side=side)]
        evidence = {"value": pair.value(sides[0], "lora.bias"), "family": pair.architecture.family}
        yield pair.find("bias_idle", INFO, evidence, ["lora.bias"], places=places)


def uncounted(pair: Pair) -> Iterator[Finding]:
    """Modules that are trained and not in the count of weights."""
    if pair.architecture is None:
        return
    for side in SIDES:
        settings = pair.quantities[side].settings
        names = count_trainable(pair.architecture, settings, pair.plan.num_labels).uncounted
        if names:
            evidence = {"modules": list(names)}
            where = ["lora.modules_to_save", "lora.target_modules"]
            yield pair.find("modules_uncounted", INFO, evidence, where, side)


def assumed_family(pair: Pair) -> Iterator[Finding]:
    """Weights are exact for the families whose layers are known."""
    if pair.architecture is not None and not pair.architecture.known:
        yield pair.find("family_assumed", INFO, {"family": pair.architecture.family}, [])


CHECKS = (
    scale,
    parameters,
    layers,
    negative_layers,
    idle_bias,
    uncounted,
    assumed_family,
)
