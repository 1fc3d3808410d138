"""Findings on the rows: how many, which, how long, and which epoch's weights count."""

from __future__ import annotations

from collections.abc import Iterator

from ablation.comparison.findings.finding import (
    BACKUP,
    CURRENT,
    INFO,
    PROBLEM,
    SIDES,
    WARNING,
    Finding,
    Pair,
    pairwise_evidence,
)
from ablation.dialects.reader import DERIVED

MICRO, ACCUMULATION, DEVICES = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "world_size",
)


def amount(pair: Pair) -> Iterator[Finding]:
    """Epochs are passes over the rows that an arm has; with other rows they are other amounts."""
    name = "data.extract_ratio"
    if not pair.differs(name):
        return
    shares, epochs = pair.both(name), pair.both("num_train_epochs")
    evidence = {
        **pairwise_evidence("share", shares),
        **pairwise_evidence("epochs", epochs),
        **pairwise_evidence("rows", pair.amounts("train_rows")),
        **pairwise_evidence("passes", pair.amounts("sample_passes")),
        "rows_factor": pair.factor("train_rows"),
        "epochs_factor": epochs[1] / epochs[0],
        "passes_factor": pair.factor("sample_passes"),
        "stage": (pair.stages or {}).get(name),
    }
    yield pair.find("data_amount", PROBLEM, evidence, [name, "num_train_epochs"])


def passes(pair: Pair) -> Iterator[Finding]:
    """Passes and steps where only the epochs differ."""
    factor = pair.factor("sample_passes")
    if pair.differs("data.extract_ratio") or factor is None or abs(factor - 1) < 0.01:
        return
    evidence = {
        **pairwise_evidence("epochs", pair.both("num_train_epochs")),
        "passes_factor": factor,
        "steps_factor": pair.factor("steps"),
    }
    yield pair.find("sample_passes", INFO, evidence, ["num_train_epochs", "max_steps"])


def batch(pair: Pair) -> Iterator[Finding]:
    """Rows per step: micro-batch x accumulation x devices."""
    names = [MICRO, ACCUMULATION, DEVICES]
    if not pair.differs(*names):
        return
    evidence = {
        **pairwise_evidence("micro", pair.both(MICRO)),
        **pairwise_evidence("accumulation", pair.both(ACCUMULATION)),
        **pairwise_evidence("devices", pair.both(DEVICES)),
        **pairwise_evidence("batch", pair.amounts("effective_batch")),
        "factor": pair.factor("effective_batch"),
    }
    if evidence["factor"] == 1:
        yield pair.find("effective_batch_equal", INFO, evidence, names)
    else:
        yield pair.find("effective_batch_differs", WARNING, evidence, names)


def assumed_devices(pair: Pair) -> Iterator[Finding]:
    """A file that does not say on how many devices it trains."""
    for side in SIDES:
        found = pair.setting(side, DEVICES)
        if found is not None and found.origin == DERIVED and found.line is None:
            yield pair.find("devices_assumed", INFO, {"devices": found.value}, [DEVICES], side)


def class_filter(pair: Pair) -> Iterator[Finding]:
    """A side that keeps only frequent classes has an easier task, and other rows."""
    name = "data.max_classes"
    if not pair.differs(name):
        return
    limits = pair.both(name)
    kept = min(limit for limit in limits if limit is not None)
    there = pair.plan.num_labels if pair.plan.label_counts else None
    cut = None if there is None else max(0, there - kept)
    evidence = {
        **pairwise_evidence("limit", limits),
        "classes": there,
        "cut": cut,
    }
    if cut == 0:
        yield pair.find("class_filter_idle", INFO, evidence, [name])
    else:
        yield pair.find("class_filter", WARNING, evidence, [name])


def split(pair: Pair) -> Iterator[Finding]:
    """Accuracies on other test rows cannot be compared."""
    differing = [d.setting for d in pair.differences() if d.held and _of_rows(d.setting)]
    if differing:
        yield pair.find("split_differs", PROBLEM, {"settings": differing}, differing)
    silent = [d.setting for d in pair.silent() if _of_rows(d.setting)]
    if silent:
        side = BACKUP if pair.setting(BACKUP, silent[0]) is None else CURRENT
        evidence = {
            "settings": silent,
            "side": side,
            "file": pair.sides[side].file,
            "held": pair.stages is not None,
        }
        name = "split_unknown_held" if pair.stages is not None else "split_unknown"
        yield pair.find(name, WARNING, evidence, silent)


def _of_rows(name: str) -> bool:
    return name.startswith(("split.", "serialization.", "data."))


def model(pair: Pair) -> Iterator[Finding]:
    """Two models: nothing else that differs can be told apart from that."""
    name = "model.name_or_path"
    values = pair.both(name)
    if None not in values and values[0] != values[1]:
        yield pair.find("model_differs", PROBLEM, pairwise_evidence("model", values), [name])


def selection(pair: Pair) -> Iterator[Finding]:
    """Choosing the best checkpoint on one side alone is a head start for it."""
    name = "load_best_model_at_end"
    if not pair.differs(name):
        return
    side = CURRENT if pair.value(CURRENT, name) else BACKUP
    other = BACKUP if side == CURRENT else CURRENT
    evidence = {
        "side": side,
        "other": other,
        "file": pair.sides[side].file,
        "metric": pair.value(side, "metric_for_best_model") or "loss",
    }
    names = [name, "metric_for_best_model", "greater_is_better"]
    yield pair.find("selection_on_one_side", WARNING, evidence, names)


def max_length(pair: Pair) -> Iterator[Finding]:
    """A longer limit changes only the texts that reach the shorter one."""
    name = "max_length"
    if not pair.differs(name):
        return
    limits = pair.both(name)
    evidence = {
        **pairwise_evidence("limit", limits),
        "factor": limits[1] / limits[0],
        "shorter": min(limits),
        "longest": pair.plan.longest,
    }
    truncated = {length: (pair.plan.truncated or {}).get(length) for length in limits}
    if None in truncated.values() or pair.plan.longest is None:
        yield pair.find("max_length_unknown", INFO, evidence, [name])
        return
    evidence |= {
        **pairwise_evidence("truncated", (truncated[limits[0]], truncated[limits[1]])),
        "tokens_factor": pair.factor("real_tokens_per_row"),
    }
    if pair.plan.longest <= min(limits):
        yield pair.find("max_length_idle", WARNING, evidence, [name])
    else:
        yield pair.find("max_length_truncates", INFO, evidence, [name])


def padding(pair: Pair) -> Iterator[Finding]:
    """Padding every row to the limit computes tokens that no text has."""
    for side in SIDES:
        if pair.value(side, "padding") != "max_length" or not pair.differs("padding"):
            continue
        limit = pair.value(side, "max_length")
        evidence = {"limit": limit, "longest": pair.plan.longest}
        real = pair.quantities[side].get("real_tokens_per_row")
        if real is None:
            yield pair.find("padding_to_limit", INFO, evidence, ["padding", "max_length"], side)
            continue
        evidence |= {"real": real, "real_share": real / limit, "wasted": 1 - real / limit}
        yield pair.find("padding_wasted", WARNING, evidence, ["padding", "max_length"], side)


def unchanged_by_stages(pair: Pair) -> Iterator[Finding]:
    """Differences that reach training and that no stage takes over: the remainder."""
    if pair.stages is None:
        return
    names = [d.setting for d in pair.differences() if d.trained and d.setting not in pair.stages]
    if names:
        evidence = {"settings": names, "count": len(names)}
        yield pair.find("differences_in_no_stage", WARNING, evidence, names)


def pickles(pair: Pair) -> Iterator[Finding]:
    """Data in a pickle: reading it can run any code."""
    for side in SIDES:
        for place, text in pair.texts.get(side, ()):
            if text.lower().endswith((".pkl", ".pickle")):
                evidence = {"path": text, "key": place.key}
                yield pair.find("pickle_as_data", WARNING, evidence, [], side, [place])


CHECKS = (
    amount,
    passes,
    batch,
    assumed_devices,
    class_filter,
    split,
    model,
    selection,
    max_length,
    padding,
    unchanged_by_stages,
    pickles,
)
