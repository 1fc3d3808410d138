"""Findings on the files themselves: repeated, refused, unread or unsafe keys."""

from __future__ import annotations

from collections.abc import Iterator

from ablation.comparison.findings.finding import (
    INFO,
    PROBLEM,
    SIDES,
    WARNING,
    Finding,
    Pair,
    Place,
)
from ablation.dialects.reader import EXPLICIT
from ablation.settings.catalogue import UNTRAINED, in_arm


def written_twice(pair: Pair) -> Iterator[Finding]:
    """A value in two places: a change of one of them alone is refused by transformers."""
    for side in SIDES:
        settings = pair.sides[side].settings
        names = [n for n, value in settings.items() if value.also and in_arm(n)]
        if names:
            evidence = {"settings": names}
            yield pair.find("written_twice", INFO, evidence, names, side)


def two_precisions(pair: Pair) -> Iterator[Finding]:
    """bf16 and fp16 together are refused by transformers and by DeepSpeed."""
    for side in SIDES:
        if pair.value(side, "bf16") and pair.value(side, "fp16"):
            yield pair.find("two_precisions", PROBLEM, {}, ["bf16", "fp16"], side)


def best_without_checkpoint(pair: Pair) -> Iterator[Finding]:
    """Trainer refuses to keep the best model when it does not save where it evaluates."""
    for side in SIDES:
        if not pair.value(side, "load_best_model_at_end"):
            continue
        names = ["load_best_model_at_end", "eval_strategy", "save_strategy"]
        evaluated, saved = (pair.value(side, name) for name in names[1:])
        if None in (evaluated, saved) or saved == "best":
            continue
        if evaluated != saved:
            evidence = {"evaluated": evaluated, "saved": saved}
            yield pair.find("best_needs_same_strategy", PROBLEM, evidence, names, side)
            continue
        names = ["load_best_model_at_end", "eval_steps", "save_steps"]
        steps = [pair.value(side, name) for name in names[1:]]
        whole = all(isinstance(step, int) and step > 0 for step in steps)
        if saved == "steps" and whole and steps[1] % steps[0]:
            evidence = {"evaluated": steps[0], "saved": steps[1]}
            yield pair.find("best_needs_multiple", PROBLEM, evidence, names, side)


def no_steps(pair: Pair) -> Iterator[Finding]:
    """`max_steps` makes the number of epochs mean nothing."""
    for side in SIDES:
        steps = pair.value(side, "max_steps")
        if steps is not None and steps > 0:
            names = ["max_steps", "num_train_epochs"]
            evidence = {"steps": steps, "epochs": pair.value(side, "num_train_epochs")}
            yield pair.find("epochs_idle", WARNING, evidence, names, side)


def idle_differences(pair: Pair) -> Iterator[Finding]:
    """Differences that can do nothing, for what other settings are."""
    names = [difference.setting for difference in pair.differences() if difference.no_effect]
    if names:
        yield pair.find("differences_idle", INFO, {"settings": names}, names)


def numbers_as_text(pair: Pair) -> Iterator[Finding]:
    """`1e-5` is text to YAML 1.1, so to PyYAML: a plain reader hands it on as text."""
    for side in SIDES:
        names = [
            name
            for name, value in pair.sides[side].settings.items()
            if value.origin == EXPLICIT and (value.note or "").startswith("YAML 1.1 reads")
        ]
        if names:
            yield pair.find("numbers_as_text", INFO, {"settings": names}, names, side)


def unread_keys(pair: Pair) -> Iterator[Finding]:
    """Keys of the file that nothing reads, so that nobody takes them for part of the comparison."""
    for side in SIDES:
        # What has a note is told as what runs here do instead.
        unknown = [key for key in pair.sides[side].unknown if not key["note"]]
        if unknown:
            places = [Place(side, None, key["file"], key["line"], key["key"]) for key in unknown]
            blocks = sorted({key["key"].split(".")[0] for key in unknown})
            evidence = {"blocks": blocks, "count": len(unknown)}
            yield pair.find("keys_unread", INFO, evidence, [], side, places)


def remote_code(pair: Pair) -> Iterator[Finding]:
    """Code that comes with a model runs with all the rights of the user."""
    name = "model.trust_remote_code"
    sides = [side for side in SIDES if pair.value(side, name)]
    if sides:
        evidence = {"sides": sides}
        places = [place for side in sides for place in pair.places(name, side=side)]
        kind = "remote_code" if pair.allow_remote_code in (None, True) else "remote_code_refused"
        yield pair.find(kind, WARNING, evidence, [name], places=places)


def not_run_here(pair: Pair) -> Iterator[Finding]:
    """Settings that are read and compared, and that no run of this project acts upon."""
    for side in SIDES:
        settings = pair.sides[side].settings
        names = [
            name
            for name, found in settings.items()
            if name in UNTRAINED and found.value not in UNTRAINED[name].harmless
        ]
        if names:
            notes = [f"{name}: {UNTRAINED[name].note}" for name in names]
            evidence = {"settings": names, "notes": notes}
            yield pair.find("not_run_here", WARNING, evidence, names, side)


CHECKS = (
    two_precisions,
    best_without_checkpoint,
    no_steps,
    remote_code,
    written_twice,
    numbers_as_text,
    idle_differences,
    unread_keys,
    not_run_here,
)
