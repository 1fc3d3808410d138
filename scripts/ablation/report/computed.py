"""What the report says without a measurement: quantities, findings, claims by arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

from ablation.comparison.findings.finding import SIDES, Side
from ablation.report.sources import Sources
from ablation.study.explanation import ClaimSaid, PlaceSaid, QuantitySaid, lines_by_file
from ablation.words.catalogue import cell, code, localized, prose

# Quantities that a reader compares first; the rest is in findings.json.
SHOWN = (
    "effective_batch",
    "train_rows",
    "sample_passes",
    "steps",
    "learning_rate.peak",
    "learning_rate.last",
    "learning_rate.sum",
    "weight_decay.shrinkage",
    "lora.scale",
    "layers_adapted",
    "trainable_parameters",
    "tokens_per_run",
    "flops_per_run",
    "memory.gpu",
)
TOLD = ("problem", "warning")


def quantity_rows(sources: Sources) -> list[dict[str, str]]:
    """What the two configurations amount to, side by side, with the formula of each line."""
    t = sources.messages
    every = sources.findings["quantities"] if sources.findings else []
    found = {quantity["name"]: quantity for quantity in every}
    rows = []
    for quantity in (found[name] for name in SHOWN if name in found):
        low, high = quantity["ratio_low"], quantity["ratio_high"]
        if low is None and quantity["current"] is None:
            continue
        rows.append(
            {
                "label": cell(quantity["label"][t.language]),
                "current": _amount(sources, quantity, "current"),
                "backup": _amount(sources, quantity, "backup"),
                "ratio": _ratio(sources, low, high),
                "formula": cell(quantity["formula"][t.language]),
            }
        )
    return rows


def _amount(sources: Sources, quantity: QuantitySaid, side: Side) -> str:
    t, value = sources.messages, quantity[side]
    if value is None:
        return t("none")
    if quantity["unit"] == "memory":
        return t.memory(value)
    if quantity["unit"] == "percent":
        return t.as_percent(value)
    if value == int(value) and abs(value) < 1e12:
        return f"{int(value):,}"
    return t.numbers(value, *(quantity[one] for one in SIDES))[0]


def _ratio(sources: Sources, low: float | None, high: float | None) -> str:
    t = sources.messages
    if low is None:
        return t("none")
    if high is None:
        return t("range.at_least", low=t.factor(low))
    return t.factor(low) if low == high else f"{t.factor(low)} – {t.factor(high)}"


def finding_lines(sources: Sources) -> list[dict[str, str]]:
    """The findings that a reader has to act on, the most severe first, with their lines."""
    t = sources.messages
    every = sources.findings["findings"] if sources.findings else []
    told = [finding for finding in every if finding["severity"] in TOLD]
    return [
        {
            "title": " ".join(finding["title"][t.language].split()),
            "text": " ".join(finding["text"][t.language].split()),
            "places": _places(finding["places"]),
        }
        for finding in sorted(told, key=lambda f: TOLD.index(f["severity"]))
    ]


def _places(places: Sequence[PlaceSaid]) -> str:
    """`training.yml:13, 62; deepspeed.yml:118`, without what stands in no file."""
    lines = lines_by_file(places).items()
    return "; ".join(
        code(f"{name}:{', '.join(map(str, sorted(numbers)))}") for name, numbers in lines
    )


def decided_claims(sources: Sources) -> list[dict[str, str]]:
    """The source report's statements that arithmetic decides, with what it comes to."""
    t = sources.messages
    rows = []
    for claim in sources.findings["claims"] if sources.findings else []:
        rows.append(
            {
                "claim": cell(prose(localized(claim["text"], t.language))),
                "source": cell(prose(claim["source"]) if claim["source"] else t("none")),
                "computed": _computed(sources, claim),
                "verdict": t(f"verdict_computed.{claim['verdict']}"),
            }
        )
    return rows


def _computed(sources: Sources, claim: ClaimSaid) -> str:
    """The value that the statement is judged by, with the two sides where it compares them."""
    t = sources.messages
    if claim["estimate"] is None:
        low, high = claim["interval_low"], claim["interval_high"]
        return _ratio(sources, low, high) if claim["unit"] == "factor" else t("none")
    if claim["unit"] == "factor":
        return t.factor(claim["estimate"])
    if claim["unit"] == "relative_reduction":
        return t.change(-claim["estimate"])
    return t.number(claim["estimate"])
