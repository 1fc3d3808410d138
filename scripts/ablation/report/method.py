"""The report's closing parts: how it was measured, and where the files are."""

from __future__ import annotations

import os
from dataclasses import asdict

import pandas as pd

from ablation.comparison.findings.finding import SIDES
from ablation.designs.contrast import A_A
from ablation.evidence.inference import ALPHA
from ablation.evidence.reports import share_of
from ablation.report.advice import delta_text
from ablation.report.sources import Sources
from ablation.report.versions import kind_lines, values_of, version_lines
from ablation.settings.schedules import effective_batch
from ablation.words.catalogue import Messages, cell, code

LEVELS = ("high", "medium", "low")
LEAST_LOST = 1.0  # seconds; two clocks that are read one after the other differ by less
# Counts of the data's profile that say what a score is worth.
TOLD_OF_ROWS = (
    "without_label",
    "empty_text",
    "single_row_classes",
    "classes_without_test_rows",
    "test_rows_of_unseen_labels",
    "test_texts_in_train",
    "conflicting_labels",
    "labels_alike",
)


def method_lines(sources: Sources) -> list[str]:
    """Model, data, seeds, devices, versions, and the rules behind the words."""
    t, effects = sources.messages, sources.effects
    multiples = effects.metric.impact_multiples
    levels = {level: delta_text(sources, multiples[level]) for level in LEVELS}
    lines = [
        *kind_lines(sources),
        *_model_lines(sources),
        *_data_lines(sources),
        t("method.seeds", seeds=t.listing([str(seed) for seed in effects.seeds])),
        _order_line(sources),
        *_further_seeds(sources),
        *_world_lines(sources),
        *_path_lines(sources),
        t("method.selected", metric=t(f"metric.{sources.metric}")),
        t("method.interval"),
        *_family_lines(sources),
        t("method.impact", delta=delta_text(sources), **levels),
        t(f"method.equivalence.{_kind(sources)}", delta=delta_text(sources)),
        t("method.share"),
        t(
            "method.seeds_to_decide",
            next=f"{100 * ALPHA * share_of(effects.family.report + 1):.3g}%",
        ),
        t("method.claims"),
    ]
    if effects.sequential:
        lines.append(t("method.claims_looks"))
    if effects.diverged:
        lines.append(t("method.diverged"))
    if effects.family.n == 2:
        lines.append(t("method.two_seeds"))
    return [*lines, *_environment_lines(sources)]


def _kind(sources: Sources) -> str:
    return "looks" if sources.effects.sequential else "fixed"


def _family_lines(sources: Sources) -> list[str]:
    """What decides, corrected over how many contrasts, and what the sign-flip test can reach."""
    t, family = sources.messages, sources.effects.family
    if not family.size:
        return []
    size, alpha = family.size, f"{100 * family.alpha:.3g}%"
    confidence = t.percent(family.simultaneous_confidence, 2)
    method = f"method.family.{family.method}"
    lines = [t(method, size=size, alpha=alpha, confidence=confidence), t("method.unplanned")]
    if family.n:
        reaches = family.sign_flip_floor <= family.alpha / size
        key = "method.floor.can" if reaches else "method.floor.cannot"
        numbers = {"n": family.n, "seeds": family.seeds_for_floor}
        floor = t.number(family.sign_flip_floor, 3)
        lines.append(t(key, floor=floor, size=size, alpha=f"{family.alpha:g}", **numbers))
    return lines


def _model_lines(sources: Sources) -> list[str]:
    t, model = sources.messages, sources.study.options["model"]
    package, revision = model.get("package"), model.get("revision")
    if package:
        file = str(package["file"]).rsplit("/", 1)[-1]
        return [t("method.package", file=file, requirement=package["requirement"])]
    name = model.get("path") or t("none")
    return [t("method.model", model=code(str(name)) + (f" @ {code(revision)}" if revision else ""))]


def _data_lines(sources: Sources) -> list[str]:
    t, profile = sources.messages, sources.profile
    if profile is None:
        return [t("method.no_data")]
    counts = {name: f"{count:,}" for name, count in asdict(profile.rows).items() if count}
    splits = {name: counts.get(name, "0") for name in ("read", "train", "validation", "test")}
    lines = [t("method.data", labels=profile.num_labels, **splits)]
    return lines + [t(f"method.{key}", n=counts[key]) for key in TOLD_OF_ROWS if key in counts]


def _world_lines(sources: Sources) -> list[str]:
    """How the effective batch was kept where the devices are not the source's."""
    t, runs, lines = sources.messages, sources.runs, []
    columns = [
        f"environment.{key}"
        for key in ("world_size", "per_device_train_batch_size", "gradient_accumulation_steps")
    ]
    if not set(columns) <= set(runs):
        return []
    for side in SIDES:
        own = runs[runs["arm"] == side].dropna(subset=columns)
        if own.empty:
            continue
        world, micro, accumulation = (int(own.iloc[0][column]) for column in columns)
        planned = int(sources.settings(side)["world_size"])
        if world != planned:
            lines.append(
                t(
                    "method.world",
                    side=t(f"side.{side}"),
                    planned=planned,
                    world=world,
                    micro=micro,
                    accumulation=accumulation,
                    batch=world * micro * accumulation,
                )
            )
    return lines


def _order_line(sources: Sources) -> str:
    """Which arms of the path see the same rows in the same order.

    Those with equal data and effective batch, as a batch holds rows of similar length.
    """
    t = sources.messages
    groups: dict[str, list[str]] = {}
    for arm in sources.arms:
        settings = sources.settings(arm)
        data = [(n, v) for n, v in sorted(settings.items()) if n.startswith("data.")]
        groups.setdefault(repr((data, effective_batch(settings))), []).append(arm)
    if len(groups) == 1:
        return t("method.order.shared")
    told = "; ".join(sources.arms_text(arms) for arms in groups.values())
    return t("method.order.apart", groups=told)


def _further_seeds(sources: Sources) -> list[str]:
    """The seeds of the A/A control and of the confirmation, where the study has them."""
    t, runs = sources.messages, sources.every_run
    own = {"a_a": runs[runs["arm"] == A_A], "fresh": runs[runs["confirms"]]}
    lines = []
    for key, found in own.items():
        seeds = t.listing([str(seed) for seed in sorted(found["seed"].unique())])
        lines += [t(f"method.{key}_seeds", seeds=seeds, n=len(found))] * bool(len(found))
    return lines


def _path_lines(sources: Sources) -> list[str]:
    """Which runs read the cached states of the frozen layers, which did not, and why."""
    t, runs = sources.messages, sources.every_run
    column, reason = "environment.path", "environment.path_reason"
    lines = []
    if column in runs:
        own = runs.dropna(subset=[column])
        plain = own[own[column] == "plain"]
        counts = {"n": len(own) - len(plain), "total": len(own)}
        if counts["n"]:
            lines.append(t("method.path.cached", **counts))
            lines += _partly_cached(t, own[own[column] == "cached"])
        why = plain[reason] if reason in plain else plain[column].map(lambda _: None)
        for text, group in plain.groupby(why.fillna(""), sort=False):
            arms = t.listing([*dict.fromkeys(group["title"])])
            said = {"n": len(group), "total": len(own), "arms": arms}
            lines.append(t("method.path.plain", reason=code(text) if text else t("none"), **said))
    share = runs.get("data.real_token_share")
    if share is not None and share.notna().any():
        lines.append(t("method.real_tokens", share=_percent_range(t, share)))
    return lines


def _partly_cached(t: Messages, runs: pd.DataFrame) -> list[str]:
    """What the cache holds of the rows of runs that read it, where that isn't all."""
    share = runs.get("environment.cached_share")
    if share is None or not (share < 1).any():
        return []
    return [t("method.path.partly", share=_percent_range(t, share))]


def _percent_range(t: Messages, shares: pd.Series) -> str:
    """Shares in percent, from the lowest to the highest."""
    low, high = (t.percent(float(end), 0) for end in (shares.min(), shares.max()))
    return low if low == high else t("range.between", low=low, high=high)


def _environment_lines(sources: Sources) -> list[str]:
    t, runs, lines = sources.messages, sources.every_run, []
    devices = values_of(runs, "environment.device_name") or values_of(runs, "environment.device")
    if values_of(runs, "environment.device") == ["cpu"]:
        devices = [t("method.cpu", name=name) for name in devices]
    if devices:
        lines.append(t("method.device", device=t.listing(devices)))
    lines += version_lines(sources)
    commits = values_of(runs, "environment.code_commit")
    if commits:
        lines.append(t("method.commit", commit=t.listing([code(c[:12]) for c in commits])))
    return [*lines, *useful_lines(sources)]


def useful_lines(sources: Sources) -> list[str]:
    """What share of the devices' time went into steps that count; nothing where it is not known.

    A run that was interrupted has lost what it did after its last checkpoint.
    """
    names = ["cost.train_runtime", "cost.wall_seconds", "cost.spent_seconds"]
    devices, runs = "environment.world_size", sources.every_run
    if not {*names, devices} <= set(runs):
        return []
    told = runs[[*names, devices]].dropna()
    times = told[names].mul(told[devices], axis=0)
    trained, lived, spent = (times[name] for name in names)
    if not spent.sum() > 0:
        return []
    t, lost = sources.messages, spent - lived
    return [
        t(
            "method.useful",
            n=len(told),
            time=t.seconds(spent.sum()),
            share=t.percent(trained.sum() / spent.sum(), 0),
            lost=t.percent(lost[lost >= LEAST_LOST].sum() / spent.sum(), 0),
        )
    ]


def location_rows(sources: Sources) -> list[dict[str, str]]:
    """Where the files are: the users' as they are named, the results from the report's folder."""
    t = sources.messages
    rows = [(t(f"side.{side}"), one.file) for side, one in sources.study.sides.items()]
    rows.append((t("location.study"), os.path.normpath(sources.study.file)))
    fresh = ["fresh"] if sources.fresh is not None else []
    for key in ("metrics", *fresh, "effects", "runs", "figures"):
        rows.append((t(f"location.{key}"), t(f"location.{key}_path")))
    return [{"what": what, "where": cell(code(where))} for what, where in rows]
