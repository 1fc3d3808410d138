"""A plan as text for a terminal."""

from __future__ import annotations

from ablation.designs import DESIGNS
from ablation.designs.retune import RETUNE
from ablation.designs.scale import SCALE
from ablation.study.forecast import MANY_HOURS, ROWS_DIFFER
from ablation.study.forecasted import Forecast, Offer, Prospect
from ablation.study.options import MetricOptions
from ablation.study.packing import Packing
from ablation.words.catalogue import Messages, in_percent, is_score, load_catalogue, texts_beside
from ablation.words.terminal import cut, table, wrap

COLUMNS = 100
LEAST_HOURS = 0.001  # below which none are told
MOST_ARMS = 40
MOST_NAMED = 3  # arms in a sentence


def load_texts(language: str) -> Messages:
    """The texts of a plan in a language."""
    return Messages(language, load_catalogue("plan", language))


def render(said: Forecast, t: Messages) -> str:
    """The whole plan.

    Args:
        said: What the plan says.
        t: The texts of a language.
    """
    parts = [
        [_heading(said, t)],
        _arms(said, t),
        _left_out(said, t),
        _cautions(said, t),
        _costs(said, t),
        packing_lines(said.packing, t) if said.packing else [],
        _designs(said, t),
        _budget(said, t),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _heading(said: Forecast, t: Messages) -> str:
    total = said.total
    return t(
        "heading",
        study=said.study,
        arms=total.arms,
        seeds=len(said.seeds),
        runs=total.runs,
        shared=total.shared,
        finished=total.finished,
    )


def _hours(hours: float | None, t: Messages, digits: int = 2) -> str:
    """A number of hours; nobody plans by what is less than a few seconds."""
    few = hours is not None and 0 < hours < LEAST_HOURS
    return f"<{t.number(LEAST_HOURS)}" if few else t.number(hours, digits)


def _cost(hours: float | None, relative: float | None, t: Messages) -> str:
    if hours is not None:
        return t("hours", value=_hours(hours, t))
    return t("none") if relative is None else t("times", value=t.number(relative, 2))


def _arms(said: Forecast, t: Messages) -> list[str]:
    rows = [[t(f"column.{name}") for name in ("arm", "designs", "changed", "runs", "cost")]]
    for arm in said.arms[:MOST_ARMS]:
        runs = f"{arm.runs}" if not arm.finished else f"{arm.finished}/{arm.runs}"
        cost = _cost(arm.hours, arm.relative, t)
        if arm.same_as:
            runs, cost = t("same_as", arm=arm.same_as), ""
        names = ", ".join(arm.design)
        rows.append([cut(arm.arm, 44), names, str(arm.changed), runs, cost])
    lines = table(rows, (2, 4))
    rest = len(said.arms) - MOST_ARMS
    return [*lines, "  " + t("more_arms", count=rest)] if rest > 0 else lines


def _left_out(said: Forecast, t: Messages) -> list[str]:
    return [
        line
        for lost in said.left_out
        for line in _wrapped(t("left_out", arm=lost["arm"], reason=lost["text"][t.language]))
    ]


def _cautions(said: Forecast, t: Messages) -> list[str]:
    lines = []
    for caution in said.cautions:
        arms = caution.arms
        more = ", …" if len(arms) > MOST_NAMED else ""
        names = ", ".join(arms[:MOST_NAMED]) + more
        lines += _wrapped(t("caution", arms=names, reason=caution.text[t.language]))
    return lines


def _wrapped(text: str) -> list[str]:
    first, *rest = wrap(text, COLUMNS - 2)
    return [f"  {first}", *(f"    {line}" for line in rest)]


def _costs(said: Forecast, t: Messages) -> list[str]:
    total, prices = said.total, said.prices
    lines = []
    if total.hours is not None:
        facts = {"hours": _hours(total.hours, t), "left": _hours(total.hours_left, t)}
        lines += _wrapped(t("total", unit=t(f"unit.{prices.device}"), **facts))
        if prices.all_rows and (total.hours_left or 0) > MANY_HOURS:
            lines += _wrapped(t("fewer_rows", rows=prices.all_rows // 10))
    speed = t.number(prices.speed, 2) if prices.speed else t("none")
    card = prices.card or t(f"unknown_card.{prices.device}")
    origin = f"cost_from.{prices.origin}"
    lines += _wrapped(t(origin, speed=speed, measured=prices.measured, card=card))
    if prices.rows and not prices.lengths_known:
        lines += _wrapped(t("cost_from.lengths"))
    lines += [*_confirm(said, t), *_ladder(said, t), *_retune(said, t)]
    if said.sequential:
        looks = ", ".join(map(str, said.sequential["looks"]))
        lines += _wrapped(t("sequential", looks=looks, most=said.most_seeds))
    return lines


def _confirm(said: Forecast, t: Messages) -> list[str]:
    """What fresh seeds take beside all that, where the study asks for them."""
    found = said.confirm
    if found is None:
        return []
    unit = t(f"unit.{said.prices.device}")
    key = "confirm.unknown" if found.hours is None else "confirm.cost"
    return _wrapped(t(key, runs=found.runs, hours=_hours(found.hours, t), unit=unit))


def _retune(said: Forecast, t: Messages) -> list[str]:
    """What tuning both sides of each step costs, where the study asks for it."""
    found = said.retune
    if found is None or found.hours is None:
        return []
    unit = t(f"unit.{said.prices.device}")
    return _wrapped(t("retune", runs=found.runs, hours=_hours(found.hours, t), unit=unit))


def _ladder(said: Forecast, t: Messages) -> list[str]:
    """What the smaller sizes of the study cost, or what a ladder in place of all rows would."""
    found = said.ladder
    if found is None:
        return []
    unit = t(f"unit.{said.prices.device}")
    rows = ", ".join(f"{count:,}" for count in found.rows)
    facts = {"rows": rows, "runs": found.runs, "hours": _hours(found.hours, t)}
    if found.asked:
        key = "ladder.cost" if found.hours is not None else "ladder.unknown"
        return _wrapped(t(key, unit=unit, **facts))
    lines = _wrapped(t("ladder.proposed", unit=unit, all=f"{found.all_rows:,}", **facts))
    return [*lines, *(f"    {line}" for line in found.write)]


def packing_lines(said: Packing, t: Messages) -> list[str]:
    """How long all runs take for each way to share the devices, and which way `auto` takes.

    Args:
        said: The ways.
        t: The texts of a language.
    """
    kind = said.kind
    lines = _wrapped(t(f"packing.{kind}", devices=said.devices))
    for way in said.ways:
        length = t("times", value=t.number(way.length, 2))
        if said.hours is not None:
            length = t("hours", value=_hours(way.length * said.hours, t))
        facts = {"devices": way.devices, "at_once": way.at_once, "length": length}
        line = t("packing.one" if way.devices == 1 else "packing.several", **facts)
        if way.memory is not None and said.memory is not None:
            sizes = (t.number(size / 1e9, 2) for size in (way.memory, said.memory))
            line += " " + t("packing.memory", **dict(zip(("need", "there"), sizes, strict=True)))
        lines.append(f"    {line}")
    reason = t(f"packing.because.{said.reason}")
    lines += _wrapped(t("packing.chosen", devices=said.chosen, reason=reason))
    if len(said.ways) > 1:
        share = t.number(100 * said.efficiency, 2)
        lines += _wrapped(t("packing.assumed", share=share))
    return lines


def _size(value: float, metric: str, t: Messages) -> str:
    if is_score(metric):
        return t("points", value=t.number(100 * value, 2))
    return t.number(value, 2)


def _designs(said: Forecast, t: Messages) -> list[str]:
    metric, noise = said.metric["name"], said.noise
    names = ("design", "arms", "shared", "cost_per_seed", "comparisons", "detectable")
    rows = [[t(f"column.{name}") for name in names]]
    for design in said.designs:
        name = ("* " if design.asked else "  ") + design.design
        if design.reason:
            needs = t("needs_factors", needed=design.reason, found=design.factors)
            rows.append([name, "–", "–", "–", "–", needs])
            continue
        arms = ("≤ " if design.at_most else "") + str(design.arms)
        cost = _cost(design.hours, None, t)
        comparisons = str(design.contrasts) if design.contrasts else "–"
        found = _detectable(design, metric, t)
        rows.append([name, arms, str(design.shared), cost, comparisons, found])
    sd = _size(noise.sd, metric, t)
    facts = {"pairs": noise.pairs, "seeds": noise.seeds, "sd": sd}
    title = t("designs", seeds=said.most_seeds, metric=metric)
    notes = [t(f"noise.{noise.origin}", **facts), t("marks")]
    return [title, *table(rows, (1, 2, 3, 4)), *(line for n in notes for line in _wrapped(n))]


def _detectable(design: Prospect, metric: str, t: Messages) -> str:
    if design.design == "greedy_path":
        return t("exploratory")
    if design.design in (SCALE, RETUNE):
        return t("by_rows" if design.design == SCALE else "tuned")
    if design.variance is None:
        return t("control")
    if design.detectable is None:
        return t("one_seed")
    size = t.number(design.detectable_sd, 2)
    if is_score(metric) and design.detectable > 1:
        return t("impossible", sd=size)
    return t("detectable", value=_size(design.detectable, metric, t), sd=size)


def _budget(said: Forecast, t: Messages) -> list[str]:
    """What a budget buys: the frontier, what is found and what not, and the lines to write."""
    found = said.budget
    if found is None:
        return []
    unit = t(f"budget.unit.{said.prices.device}")
    facts = {"hours": _hours(found.hours, t, 3), "devices": found.devices, "unit": unit}
    metric, chosen = said.metric, found.chosen
    names = ("hours", "rows", "design", "seeds", "runs", "detectable")
    rows = [[t(f"budget.column.{name}") for name in names]]
    rows += [_priced(point.hours, point.offer, metric, t) for point in found.frontier]
    lines = [*_wrapped(t("budget.title", **facts)), *table(rows, (0, 1, 3, 4))]
    if chosen is None:
        return [*lines, *_wrapped(t("budget.none", **facts))]
    notes = [
        t(
            "budget.with_looks" if chosen.looks else "budget.chosen",
            design=chosen.design,
            seeds=chosen.seeds,
            runs=chosen.runs,
            devices=chosen.devices,
            hours=_hours(chosen.hours, t),
        ),
        t(
            "budget.found_delta" if chosen.detectable <= metric["delta"] else "budget.found",
            value=_size(chosen.detectable, metric["name"], t),
            delta=_size(metric["delta"], metric["name"], t),
            share=in_percent(chosen.power_at_delta, 0),
        ),
        *texts_beside("design", chosen.design, DESIGNS[chosen.design].answers, t.language),
    ]
    if chosen.rows:
        notes.append(t("budget.fewer_rows", rows=f"{chosen.rows:,}"))
    notes += [t("budget.assumed", share=t.number(100 * ROWS_DIFFER, 2)), t("budget.write")]
    lines += ["", *(line for note in notes for line in _wrapped(note))]
    return [*lines, *(f"    {line}" for line in found.write)]


def _priced(hours: float, offer: Offer | None, metric: MetricOptions, t: Messages) -> list[str]:
    """One budget of the frontier."""
    length = _hours(hours, t, 3)
    if offer is None:
        return [length, "–", "–", "–", "–", t("budget.nothing")]
    value = _size(offer.detectable, metric["name"], t)
    if offer.detectable <= metric["delta"]:
        delta = _size(metric["delta"], metric["name"], t)
        value = t("budget.finds_delta", value=value, delta=delta)
    rows = f"{offer.rows:,}" if offer.rows else t("budget.all_rows")
    return [length, rows, offer.design, str(offer.seeds), str(offer.runs), value]
