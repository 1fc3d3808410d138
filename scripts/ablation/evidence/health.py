"""Warnings about runs, each with its evidence: what the numbers of a finished run give away.

A run can end with a metric and still have gone wrong: a first loss far above that of guessing,
gradients that are all cut, a setting that does nothing. Each check is a function from a run (or
from all of them) to warnings; its limits stand at the top.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ablation.comparison.findings.finding import INFO, PROBLEM, SEVERITIES, WARNING
from ablation.evidence.provenance import CODE, MATERIAL, differences, origin_of, usual_facts
from ablation.records import load_typed
from ablation.results import run_folder
from ablation.settings.catalogue import SYSTEMS, Settings, acts_on, group_of
from ablation.settings.profile import Profile
from ablation.settings.schedules import warmup_steps
from ablation.study.grid_file import ArmEntry, GridFile
from ablation.study.run_metrics import DIVERGED, RunMetrics, logged_steps, peek_run
from ablation.words.catalogue import LANGUAGES, Messages, load_catalogue

SCHEMA_VERSION = 1
# From here on the first loss is not that of a fresh head, which guesses: ln(labels).
FIRST_LOSS_RATIO, FIRST_LOSS_FAR = 1.5, 5.0
CLIPPED_SHARE = 0.5
CUT_SHARE = 0.9  # of a gradient's length
PLATEAU = 0.95  # of the loss before it, or of that of guessing
RISE = 1.5
WARMUP_FLAT = 0.7  # mean rate over the peak; a straight line has 0.5
FEWEST_WARMUP_STEPS = 10
FEWEST_STEPS = 20
PEAK_BELOW, PEAK_ABOVE = 0.9, 1.01
IDLE_SHARE = 0.02
# Schedules that have rates of their own, whatever `learning_rate` says, or no warmup.
OWN_RATES = ("OneCycle", "LRRangeTest")
WITHOUT_WARMUP = ("constant", *OWN_RATES)
SELECTION = "selection"  # the group of settings that choose among the weights


@dataclass(frozen=True)
class HealthWarning:
    """Something about a run or an arm that a reader of its numbers should know.

    Attributes:
        id: Names its texts: `<id>.title` and `<id>.text` in health.<language>.yaml.
        severity: "problem" (its result does not mean what it seems to), "warning" or "info".
        arm: The arm it is about, the first of those that share the run.
        variant: The variant of its runs.
        seeds: The seeds it was seen with.
        numbers: The evidence, of the seed where it is worst.
        size: How bad it is, to compare seeds by.
    """

    id: str
    severity: str
    arm: str
    variant: str
    seeds: tuple[int, ...]
    numbers: Mapping[str, object]
    size: float = 0.0

    def as_json(self, texts: Mapping[str, Messages]) -> dict[str, object]:
        """It as it is written to health.json, with its texts in all languages."""
        found = asdict(self)
        del found["size"]
        found["seeds"] = list(self.seeds)
        for part in ("title", "text"):
            found[part] = {language: tell(self, t, part) for language, t in texts.items()}
        return found


@dataclass(frozen=True)
class RunRecord:
    """One finished run.

    Attributes:
        arm: The first arm that has its variant.
        variant: Its variant.
        seed: Its seed.
        settings: The arm's settings.
        measured: What it measured.
        loss: Loss of each step.
        rate: Learning rate of each step.
    """

    arm: str
    variant: str
    seed: int
    settings: Settings
    measured: RunMetrics
    loss: np.ndarray
    rate: np.ndarray

    def warn(self, name: str, severity: str, size: float, **numbers: Any) -> HealthWarning:
        """A warning about this run."""
        seeds = (self.seed,)
        return HealthWarning(
            id=name,
            severity=severity,
            arm=self.arm,
            variant=self.variant,
            seeds=seeds,
            numbers=numbers,
            size=size,
        )


def check_health(
    grid: GridFile, runs_folder: str | Path, profile: Profile | None
) -> list[HealthWarning]:
    """Every warning about the finished runs of a grid, the worst first.

    Seeds of one arm with the same warning are one warning, with the numbers of the worst seed.

    Args:
        grid: The contents of grid.json.
        runs_folder: The folder of the runs.
        profile: What is known of the data; None where it is not prepared.
    """
    found: list[HealthWarning] = []
    curves: dict[str, dict[int, str]] = {}
    records: list[RunRecord] = []
    arms = {arm["variant"]: arm for arm in reversed(grid["arms"])}
    for variant, seed in dict.fromkeys((r["variant"], int(r["seed"])) for r in grid["runs"]):
        record = read_run(arms[variant], seed, runs_folder)
        if record is None:
            continue
        records.append(record)
        found += check_run(record, profile)
        if len(record.loss):
            mark = hashlib.sha256(record.loss.tobytes()).hexdigest()
            curves.setdefault(variant, {})[seed] = mark
    found += _other_origins(records)
    found += _same_seeds(arms, curves)
    found += _dead_knobs(arms, curves)
    order = {variant: place for place, variant in enumerate(a["variant"] for a in grid["arms"])}
    return sorted(
        _merged(found), key=lambda w: (SEVERITIES.index(w.severity), w.id, order[w.variant])
    )


def read_run(arm: ArmEntry, seed: int, runs_folder: str | Path) -> RunRecord | None:
    """A finished run, None where there is none."""
    folder = run_folder(runs_folder, arm["variant"], seed)
    measured = peek_run(folder / "metrics.json")
    if measured is None:
        return None
    loss, rate = read_curves(folder)
    return RunRecord(
        arm=arm["arm"],
        variant=arm["variant"],
        seed=seed,
        settings=arm["settings"],
        measured=measured,
        loss=loss,
        rate=rate,
    )


def read_curves(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Loss and learning rate of each logged step of a run; NaN where there is no number."""
    steps = logged_steps(folder)
    loss, rates = ([step.get(name) for step in steps] for name in ("loss", "learning_rate"))
    return np.array(loss, dtype=float), np.array(rates, dtype=float)


# --- One run -----------------------------------------------------------------------------------


def check_run(record: RunRecord, profile: Profile | None) -> Iterator[HealthWarning]:
    """The warnings about one run."""
    yield from _first_loss(record)
    yield from _clipping(record)
    yield from _divergence(record)
    yield from _plateau(record, profile)
    yield from _unseen_labels(record, profile)
    yield from _rates(record)


def _first_loss(record: RunRecord) -> Iterator[HealthWarning]:
    training = record.measured.optimisation
    loss, guess = training.initial_loss, training.ln_num_labels
    if loss is None or not guess or loss <= FIRST_LOSS_RATIO * guess:
        return
    ratio = loss / guess
    severity = PROBLEM if ratio > FIRST_LOSS_FAR else WARNING
    labels = round(math.exp(guess))
    yield record.warn(
        "first_loss", severity, ratio, loss=loss, guess=guess, labels=labels, ratio=ratio
    )


def _clipping(record: RunRecord) -> Iterator[HealthWarning]:
    limit = float(record.settings.get("max_grad_norm") or 0)
    training = record.measured.optimisation
    share, median = training.clipped_share, training.grad_norm.median
    if limit <= 0:
        return
    if share is not None and share > CLIPPED_SHARE:
        numbers = {"share": share, "limit": limit, "median": median}
        numbers["q95"] = training.grad_norm.q95
        yield record.warn("steps_clipped", WARNING, share, **numbers)
    if median is not None and median > 0 and 1 - limit / median >= CUT_SHARE:
        cut = 1 - limit / median
        yield record.warn("gradient_cut", WARNING, cut, cut=cut, limit=limit, median=median)


def _divergence(record: RunRecord) -> Iterator[HealthWarning]:
    finite = record.loss[np.isfinite(record.loss)]
    if record.measured.status == DIVERGED:
        steps = float(record.measured.optimisation.steps or len(record.loss))
        first, last = (float(finite[0]), float(finite[-1])) if len(finite) else (None, None)
        yield record.warn("diverged", PROBLEM, -steps, step=steps, first=first, last=last)
    elif len(finite) >= FEWEST_STEPS:
        before, after = _ends(finite)
        if after > RISE * before > 0:
            ratio = after / before
            yield record.warn("loss_rises", WARNING, ratio, before=before, after=after, ratio=ratio)


def _ends(loss: np.ndarray) -> tuple[float, float]:
    """The median loss of the first and of the last tenth of the steps."""
    size = max(1, len(loss) // 10)
    return float(np.median(loss[:size])), float(np.median(loss[-size:]))


def _plateau(record: RunRecord, profile: Profile | None) -> Iterator[HealthWarning]:
    finite = record.loss[np.isfinite(record.loss)]
    if len(finite) < FEWEST_STEPS or record.measured.status == DIVERGED:
        return
    before, after = _ends(finite)
    guess = guessing_loss(record.settings, profile)
    if guess is None:
        guess = record.measured.optimisation.ln_num_labels
    if guess and after >= PLATEAU * guess:
        yield record.warn(
            "no_better_than_guessing", PROBLEM, after / guess, loss=after, guess=guess
        )
    elif PLATEAU * before <= after <= RISE * before:
        numbers = {"before": before, "after": after, "steps": len(finite)}
        yield record.warn("loss_flat", WARNING, after / before, **numbers)


def guessing_loss(settings: Settings, profile: Profile | None) -> float | None:
    """The loss in nats of who knows only how frequent the labels are; None without a profile.

    With class weights frequencies are levelled out, so that it is the logarithm of the number.
    """
    if profile is None or not profile.label_counts:
        return None
    kept = profile.label_counts[: settings.get("data.max_classes") or None]
    counts = np.array([count for count in kept if count > 0], dtype=float)
    if settings.get("loss.use_class_weights"):
        return math.log(len(counts))
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _unseen_labels(record: RunRecord, profile: Profile | None) -> Iterator[HealthWarning]:
    if profile is None or not profile.test_label_counts:
        return
    tested, trained = profile.test_label_counts, profile.label_counts
    limit = record.settings.get("data.max_classes") or len(trained)
    unseen = [
        count
        for label, count in enumerate(tested)
        if count and (label >= limit or label >= len(trained) or not trained[label])
    ]
    if unseen:
        share = sum(unseen) / sum(tested)
        numbers = {"labels": len(unseen), "rows": sum(unseen), "share": share, "best": 1 - share}
        yield record.warn("unseen_labels", WARNING, share, **numbers)


def _rates(record: RunRecord) -> Iterator[HealthWarning]:
    """What the learning rate really was, above all while it should have been rising."""
    rates, kind = record.rate[np.isfinite(record.rate)], record.settings["lr_scheduler_type"]
    if not len(rates) or not float(rates.max()) > 0:
        return
    peak, asked = float(rates.max()), float(record.settings["learning_rate"])
    if kind not in OWN_RATES and record.measured.status != DIVERGED:
        ratio = peak / asked
        if ratio < PEAK_BELOW:
            yield record.warn(
                "peak_not_reached", WARNING, -ratio, peak=peak, asked=asked, ratio=ratio
            )
        if ratio > PEAK_ABOVE:
            yield record.warn("peak_exceeded", WARNING, ratio, peak=peak, asked=asked, ratio=ratio)
    idle = int((rates == 0).sum())
    if idle > max(1, IDLE_SHARE * len(rates)):
        numbers = {"steps": idle, "of": len(rates)}
        yield record.warn("idle_steps", INFO, idle / len(rates), **numbers)
    steps = _warmup(record.settings, len(rates))
    if kind not in WITHOUT_WARMUP and FEWEST_WARMUP_STEPS <= steps <= len(rates):
        mean = float(rates[:steps].mean()) / peak
        if mean > WARMUP_FLAT:
            first, second = (float(rates[step]) / peak for step in (0, min(1, len(rates) - 1)))
            yield record.warn(
                "warmup_flat", WARNING, mean, steps=steps, mean=mean, first=first, second=second
            )


def _warmup(settings: Settings, total: int) -> int:
    own = (settings.get("lr_scheduler_kwargs") or {}).get("warmup_num_steps")
    return int(own) if own is not None else warmup_steps(settings, total)


# --- Runs against each other -------------------------------------------------------------------


def _other_origins(records: Sequence[RunRecord]) -> Iterator[HealthWarning]:
    """Runs that were made with other things than most."""
    origins = [origin_of(r.variant, r.seed, r.settings, r.measured.environment) for r in records]
    usual = usual_facts(origins)
    for record, origin in zip(records, origins, strict=True):
        for one in differences(origin, usual):
            numbers = {"other": one.name, "found": one.found, "usual": one.usual}
            if one.behavior:
                numbers["change"] = one.behavior.change
                yield record.warn("other_behavior", PROBLEM, 0.0, **numbers)
            elif one.name in MATERIAL:
                yield record.warn("other_material", PROBLEM, 0.0, **numbers)
            else:
                severity = INFO if one.name in CODE else WARNING
                yield record.warn("other_origin", severity, 0.0, **numbers)


def _same_seeds(
    arms: Mapping[str, ArmEntry], curves: Mapping[str, Mapping[int, str]]
) -> Iterator[HealthWarning]:
    """Seeds of one arm that did the same thing: the seed does not reach the training."""
    for variant, marks in curves.items():
        groups: dict[str, list[int]] = {}
        for seed, mark in marks.items():
            groups.setdefault(mark, []).append(seed)
        for seeds in groups.values():
            if len(seeds) > 1:
                name, numbers = arms[variant]["arm"], {"count": len(seeds)}
                yield HealthWarning("same_seeds", PROBLEM, name, variant, tuple(seeds), numbers)


def _dead_knobs(
    arms: Mapping[str, ArmEntry], curves: Mapping[str, Mapping[int, str]]
) -> Iterator[HealthWarning]:
    """Arms that did the same thing as an earlier one, step by step, on every seed they share."""
    first: dict[tuple[int, str], str] = {}
    for variant, marks in curves.items():
        twins = {first.setdefault((seed, mark), variant) for seed, mark in marks.items()}
        for twin in sorted(twins - {variant}):
            shared = sorted(set(marks) & set(curves[twin]))
            if any(marks[seed] != curves[twin][seed] for seed in shared):
                continue
            here, there = (arms[name]["settings"] for name in (variant, twin))
            changed = [n for n in here if here[n] != there.get(n)]
            in_loss = [name for name in changed if group_of(name) != SELECTION]
            learning = [name for name in in_loss if acts_on(name) != SYSTEMS]
            if not learning and in_loss != changed:
                continue  # they choose among the weights, as they should
            severity = WARNING if learning else INFO
            numbers = {"other": arms[twin]["arm"], "settings": learning or changed}
            name = "dead_knobs" if learning else "systems_only"
            arm = arms[variant]["arm"]
            yield HealthWarning(name, severity, arm, variant, tuple(shared), numbers)


def _merged(found: Sequence[HealthWarning]) -> list[HealthWarning]:
    """One warning for each arm and kind: all its seeds, the worst one's numbers."""
    merged: dict[tuple[str, str, str], HealthWarning] = {}
    for warning in found:
        key = (warning.id, warning.variant, str(warning.numbers.get("other")))
        before = merged.get(key)
        if before is None:
            merged[key] = warning
            continue
        worst = max(before, warning, key=lambda w: (-SEVERITIES.index(w.severity), w.size))
        seeds = tuple(sorted({*before.seeds, *warning.seeds}))
        merged[key] = replace(worst, seeds=seeds)
    return list(merged.values())


# --- In words ----------------------------------------------------------------------------------


def load_texts(language: str) -> Messages:
    """The texts of warnings in a language."""
    return Messages(language, load_catalogue("health", language))


def tell(warning: HealthWarning, texts: Messages, part: str = "text") -> str:
    """The `title` or `text` of a warning, with its numbers."""
    return texts(f"{warning.id}.{part}", **warning.numbers)


def health_line(warning: HealthWarning, texts: Messages) -> str:
    """A warning on one line, for a terminal."""
    severity = texts(f"severity.{warning.severity}")
    seeds = ", ".join(map(str, warning.seeds))
    where = texts("where", arm=warning.arm, seeds=seeds)
    return f"{severity}: {where}: {tell(warning, texts)}"


def health_rows(warnings: Sequence[HealthWarning], language: str) -> list[dict[str, str]]:
    """Rows for a table of the report: severity, arm, seeds, title and text."""
    texts = load_texts(language)
    return [
        {
            "id": warning.id,
            "severity": texts(f"severity.{warning.severity}"),
            "arm": warning.arm,
            "seeds": ", ".join(map(str, warning.seeds)),
            "title": tell(warning, texts, "title"),
            "text": tell(warning, texts),
        }
        for warning in warnings
    ]


def health_json(warnings: Sequence[HealthWarning]) -> dict[str, object]:
    """The warnings as they are written to health.json."""
    texts = {language: load_texts(language) for language in LANGUAGES}
    found = [warning.as_json(texts) for warning in warnings]
    return {"schema_version": SCHEMA_VERSION, "warnings": found}


@dataclass(frozen=True, kw_only=True)
class HealthFile:
    """The contents of health.json."""

    schema_version: int
    warnings: tuple[HealthWarning, ...]


def load_health(path: Path) -> tuple[HealthWarning, ...]:
    """The warnings of a health.json.

    Raises:
        UserError: the file cannot be read, or is no longer what was written.
    """
    found: HealthFile = load_typed(HealthFile, path, known_only=True)
    return found.warnings
