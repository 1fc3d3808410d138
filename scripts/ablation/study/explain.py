"""What two configurations do, said before any GPU is used: differences, quantities, findings.

`explain_study` and `explain_files` return what resolved/findings.json holds; `render` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from ablation.comparison.findings import find_findings
from ablation.comparison.findings.finding import BACKUP, CURRENT, SIDES, Finding, Pair, Place
from ablation.comparison.findings.texts import load_texts, localized
from ablation.comparison.kind import CLASSIFICATION, Kind
from ablation.comparison.resolve import (
    Configuration,
    Difference,
    find_differences,
    resolve_pair,
)
from ablation.comparison.versions import assumed_versions
from ablation.documents.entries import load_entries
from ablation.errors import UserError
from ablation.settings.architecture import Architecture, Facts, missing_facts, read_architecture
from ablation.settings.catalogue import OTHER, words
from ablation.settings.quantities import (
    NOMINAL,
    NOMINAL_ROWS,
    DataFacts,
    Quantities,
    compute,
    rate_curve,
    ratio,
    read_plan,
)
from ablation.settings.schedules import is_known
from ablation.study import arithmetic
from ablation.study.explanation import (
    SCHEMA_VERSION,
    ClaimSaid,
    DataSaid,
    DifferenceSaid,
    Explanation,
    FindingSaid,
    KindSaid,
    ModelSaid,
    PlaceSaid,
    QuantitySaid,
    VersionSaid,
    VersionsSaid,
)
from ablation.study.grid import expand
from ablation.study.study import Study
from ablation.words.catalogue import LANGUAGES, Messages

# Settings that say which rows there are, or how many of them make a sequence.
OF_ROWS = words(
    "dataset datasets dataset_name dataset_config dataset_mixer dataset_mixture dataset_splits "
    "dataset_configs dataset_dir dataset_train_split dataset_streaming streaming max_samples "
    "pretraining_dataset tokenized_path test_datasets split.val_size split.val_rows "
    "split.test_size test_split_size mix_strategy interleave_probs data_files "
    "dataset_exact_deduplication excess_length_strategy min_sample_len dataset_shard_num "
    "dataset_shard_idx"
)
CURVE_POINTS = 60

# What is shown of each quantity: its unit. The order is that of the report.
UNITS = {
    "effective_batch": "number",
    "train_rows": "number",
    "steps_per_epoch": "number",
    "steps": "number",
    "sample_passes": "number",
    "warmup": "number",
    "learning_rate.first": "number",
    "learning_rate.first_above_zero": "number",
    "learning_rate.peak": "number",
    "learning_rate.last": "number",
    "learning_rate.mean": "number",
    "learning_rate.sum": "number",
    "weight_decay.sum": "number",
    "weight_decay.shrinkage": "percent",
    "lora.scale": "number",
    "layers_adapted": "number",
    "layers_backward": "number",
    "lora_parameters": "number",
    "trainable_parameters": "number",
    "tokens_per_row": "number",
    "real_tokens_per_row": "number",
    "tokens_per_step": "number",
    "tokens_per_run": "number",
    "layer_forwards_per_token": "number",
    "flops_per_run": "number",
    "memory.gpu": "memory",
    "memory.weights": "memory",
    "memory.gradients": "memory",
    "memory.optimizer": "memory",
    "memory.buffer": "memory",
    "memory.activations": "memory",
    "memory.host": "memory",
}


def explain_study(
    study: Study, profile: str | Path | None = None, rows: int | None = None
) -> Explanation:
    """What the two configurations of a study do, and which of its claims arithmetic decides.

    Args:
        study: The study.
        profile: data/profile.json, if its data is prepared.
        rows: Rows of the whole data set, for planning; study.yaml's `data.rows` where None.

    Raises:
        UserError: a claim names what does not exist.
    """
    split = study.data_options()["split"]
    stated = study.planned_rows(rows)
    held_out = float(split["val_size"]), float(split["test_size"])
    plan = read_plan(profile, stated, held_out, _class_limits(study.current, study.backup))
    facts = study.options["model"]["architecture"]
    stages = {name: stage.name for stage in study.stages for name in stage.settings}
    remote = bool(study.options["model"].get("allow_remote_code"))
    pair = _pair(study.current, study.backup, facts, (plan, plan), stages, remote)
    said = _explanation(pair, facts, stated, profile)
    said["study"] = study.name
    said["claims"] = _claims(study, plan, pair.architecture)
    return said


def explain_files(
    current: str | Path,
    backup: str | Path,
    facts: Facts,
    rows: int | tuple[int, int] | None = None,
    world_size: int | None = None,
    dialects: tuple[str | None, str | None] = (None, None),
) -> Explanation:
    """What two bare configuration files do.

    Args:
        current: The configuration in use.
        backup: The one to compare it with.
        facts: What is known of the model's config.json; may be empty.
        rows: Rows of the whole data set, for planning; of each side's where they name two.
        world_size: Devices, where no file says how many.
        dialects: The dialect of each, where it is not to be recognized.

    Raises:
        UserError: a file cannot be read.
    """
    sides = resolve_pair(current, backup, facts, dialects, world_size)
    each = rows if isinstance(rows, tuple) else (rows, rows)
    plans = tuple(
        read_plan(None, count, _held_out(side), _class_limits(*sides))
        for side, count in zip(sides, each, strict=True)
    )
    if not isinstance(rows, tuple) and other_data(*sides):
        nothing = replace(plans[0], origin=NOMINAL, pool=NOMINAL_ROWS)
        plans = (nothing, replace(nothing, spread=7.0))
    pair = _pair(*sides, facts, plans, None, None)
    return _explanation(pair, facts, each[0], None)


def _held_out(side: Configuration) -> tuple[float, float]:
    """Shares of rows that a side's validation and test take."""
    said = [side.readable.get(f"split.{name}") for name in ("val_size", "test_size")]
    validation, test = (float(value.value or 0.0) if value else 0.0 for value in said)
    return validation, test


def _class_limits(*sides: Configuration) -> list[int]:
    found = (side.settings.get("data.max_classes") for side in sides)
    return [value.value for value in found if value is not None and value.value]


def _values(side: Configuration) -> dict[str, Any]:
    """What a side's quantities are computed with; a few settings that say how it counts beside."""
    values = {name: value.value for name, value in side.readable.items()}
    return {**values, **{f"counting.{name}": value for name, value in side.counting.items()}}


def other_data(current: Configuration, backup: Configuration) -> list[str]:
    """The differences for which the two sides may have other numbers of rows."""
    differing = [difference.setting for difference in find_differences(current, backup)]
    drops = any(
        side.settings[name].value == "drop"
        for side in (current, backup)
        if (name := "excess_length_strategy") in side.settings
    )
    lengths = ["max_length"] if drops and "max_length" in differing else []
    return [*lengths, *(name for name in differing if name in OF_ROWS or _looks_like_data(name))]


def _looks_like_data(name: str) -> bool:
    key = name.removeprefix(OTHER)
    return name.startswith(OTHER) and any(word in key for word in ("data", "split", "file", "row"))


def _pair(
    current: Configuration,
    backup: Configuration,
    facts: Facts,
    plans: tuple[DataFacts, ...],
    stages: Mapping[str, str] | None,
    allow_remote_code: bool | None,
) -> Pair:
    architecture = read_architecture(facts)
    sides = {CURRENT: current, BACKUP: backup}
    quantities = {
        name: compute(_values(side), plan, architecture, side.assumed)
        for (name, side), plan in zip(sides.items(), plans, strict=True)
    }
    plan = plans[0]
    texts = {name: _texts_of(name, side.file) for name, side in sides.items()}
    return Pair(
        sides=sides,
        quantities=quantities,
        plan=plan,
        architecture=architecture,
        stages=stages,
        texts=texts,
        allow_remote_code=allow_remote_code,
        facts=facts,
    )


def _texts_of(side: str, file: str) -> list[tuple[Place, str]]:
    """The text values of a side's file, with their place."""
    leaves = load_entries(file).leaves()
    return [
        (Place(side, None, entry.file, entry.line, key), entry.value)
        for key, entry in leaves
        if isinstance(entry.value, str)
    ]


def _claims(study: Study, plan: DataFacts, architecture: Architecture | None) -> list[ClaimSaid]:
    entries = (study.options.get("claims") or {}).get("statements") or []
    if not any(map(arithmetic.is_arithmetic, entries)):
        return []
    try:
        grid = expand(study)
    except UserError:  # an arm cannot run: the plan says why, and there is nothing to claim of it
        return []
    full = {**_values(study.backup), **_values(study.current)}
    named = {entry.get("arm") for entry in entries} | {CURRENT, BACKUP}
    used = [arm for arm in grid.arms if arm.stage or arm.name in named]
    arms = {a.name: compute({**full, **a.settings}, plan, architecture) for a in used}
    staged = [(arm.stage, arm.name) for arm in grid.arms if arm.stage]
    contrasts, judged = arithmetic.contrasts_of(staged), []
    for place, entry in enumerate(entries):
        try:
            judged += arithmetic.judge_statements([entry], arms, contrasts)
        except UserError as error:
            raise error.at(study.file, study.lines[f"claims.statements.{place}"]) from error
    return judged


# --- As JSON -----------------------------------------------------------------------------------


def _explanation(
    pair: Pair, facts: Facts, rows: int | None, profile: str | Path | None
) -> Explanation:
    texts = {language: load_texts(language) for language in LANGUAGES}
    differences = find_differences(pair.sides[CURRENT], pair.sides[BACKUP])
    return {
        "schema_version": SCHEMA_VERSION,
        "study": None,
        "files": {side: pair.sides[side].file for side in SIDES},
        "dialects": {side: pair.sides[side].dialect for side in SIDES},
        "kinds": {side: _kind(pair, side, texts) for side in SIDES},
        "versions": {side: _versions(pair.sides[side]) for side in SIDES},
        "speaks_for": {side: list(pair.sides[side].speaks_for) for side in SIDES},
        "not_read": _not_read(pair),
        "data": _data(pair.plan, rows, profile),
        "architecture": _architecture(pair.architecture, facts),
        "differences": _as_said(differences, pair.stages or {}),
        "silent": _as_said(pair.silent(), {}),
        "quantities": [_quantity(pair, name, texts) for name in _shown(pair)],
        "memory": {side: [asdict(p) for p in pair.quantities[side].memory] for side in SIDES},
        "curves": {side: _curve(pair.quantities[side]) for side in SIDES},
        "findings": [_finding(finding, texts) for finding in find_findings(pair)],
        "claims": [],
    }


def _as_said(found: Sequence[Difference], stages: Mapping[str, str]) -> list[DifferenceSaid]:
    return [cast(DifferenceSaid, one.as_json(stages.get(one.setting))) for one in found]


def _kind(pair: Pair, side: str, texts: Mapping[str, Messages]) -> KindSaid:
    """The kind of training, and its name in each language; what a study runs is classification."""
    kind = pair.sides[side].kind
    if kind["objective"] is None and pair.stages is not None:
        kind["objective"] = CLASSIFICATION
    return {**kind, "text": {language: _kind_text(kind, t) for language, t in texts.items()}}


def _kind_text(kind: Kind, texts: Messages) -> str:
    keys = (("explain.objective", kind["objective"]), ("explain.method", kind["method"]))
    names = [texts(f"{k}.{n}") if texts.has(f"{k}.{n}") else n for k, n in keys if n]
    return ", ".join(names)


def _versions(side: Configuration) -> VersionsSaid:
    """The releases that the side ran with as far as files tell, and those taken for the rest."""
    told = [cast(VersionSaid, asdict(version)) for version in side.versions.values()]
    return {"told": told, "assumed": assumed_versions(side.versions, side.dialect)}


def _not_read(pair: Pair) -> list[str]:
    """Why it cannot be said that nothing differs, where no difference is known."""
    refusals = [r for side in SIDES for r in pair.sides[side].refusals]
    reasons = [r.reason for r in refusals if r.kind != "encoding"]
    return [*dict.fromkeys(reasons), *(d.setting for d in pair.silent())]


def _data(plan: DataFacts, rows: int | None, profile: str | Path | None) -> DataSaid:
    return {
        "origin": plan.origin,
        "profile": str(profile) if plan.origin == "profile" else None,
        "rows": rows if plan.origin == "stated" else None,
        "pool": plan.pool if plan.counted else None,
        "num_labels": plan.num_labels,
        "num_labels_from": plan.labels_from,
        "longest": plan.longest,
    }


def _architecture(architecture: Architecture | None, facts: Facts) -> ModelSaid:
    if architecture is None:
        missing = missing_facts(facts)
        return {"missing": missing, "layers": facts.get("num_hidden_layers")}
    return {
        "missing": [],
        "family": architecture.family,
        "counted_exactly": architecture.known,
        "layers": architecture.layers,
        "hidden": architecture.hidden,
        "parameters": architecture.base_parameters,
        "parameters_per_layer": architecture.layer_parameters,
        "recomputed_share": architecture.recomputed_share,
    }


def _shown(pair: Pair) -> list[str]:
    return [name for name in UNITS if all(name in pair.quantities[s].values for s in SIDES)]


def _quantity(pair: Pair, name: str, texts: Mapping[str, Messages]) -> QuantitySaid:
    low, high = ratio(pair.quantities[CURRENT], pair.quantities[BACKUP], name)
    return {
        "name": name,
        "unit": UNITS[name],
        "label": {language: text(f"quantity.{name}.label") for language, text in texts.items()},
        "formula": {language: text(f"quantity.{name}.formula") for language, text in texts.items()},
        "current": pair.quantities[CURRENT].values[name],
        "backup": pair.quantities[BACKUP].values[name],
        "at_most": [side for side in SIDES if name in pair.quantities[side].at_most],
        "ratio_low": low,
        "ratio_high": high,
    }


def _curve(quantities: Quantities) -> dict[str, list[float]]:
    """The learning rate at evenly spaced shares of the run, as on the largest plan tried.

    Nothing where the schedule is none that is known ahead of training.
    """
    if not is_known(quantities.settings):
        return {"share": [], "rate": []}
    rates, _ = rate_curve(quantities.settings, int(quantities.planned[-1]["steps"] or 1))
    at = np.unique(np.linspace(0, len(rates) - 1, CURVE_POINTS).round().astype(int))
    span = max(1, len(rates) - 1)
    return {"share": (at / span).tolist(), "rate": rates[at].tolist()}


def _finding(finding: Finding, texts: Mapping[str, Messages]) -> FindingSaid:
    return {
        "id": finding.id,
        "severity": finding.severity,
        "evidence": finding.evidence,
        "settings": list(finding.settings),
        "places": [cast(PlaceSaid, asdict(place)) for place in finding.places],
        "title": localized(finding, texts, "title"),
        "text": localized(finding, texts, "text"),
    }
