"""What is wrong with a study that a schema cannot say: all that would spoil it once it has run."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ablation import designs
from ablation.comparison.findings.finding import SIDES
from ablation.designs import greedy_path
from ablation.designs.a_a import A_A, other_seeds
from ablation.designs.contrast import BETWEEN, OF_FACTORS, ROLES
from ablation.designs.design import Asked, Space
from ablation.errors import UserError
from ablation.settings.architecture import read_architecture
from ablation.settings.catalogue import SETTINGS
from ablation.settings.quantities import Quantities, compute, read_plan
from ablation.study.arithmetic import is_arithmetic
from ablation.study.claim import (
    ABSOLUTE,
    CONTRASTS,
    SEED_SPREAD,
    VALUE,
    Claim,
    measured_quantities,
    read_claim,
)
from ablation.study.names import LOWER_IS_BETTER
from ablation.study.paths import OUTSIDE_ALLOWED, leads_outside, outside_problem
from ablation.study.study import Study


def find_problems(study: Study) -> list[UserError]:
    """Everything that is wrong with it, each with its line."""
    space = study.space()
    return [
        *_metric(study),
        *_files(study),
        *_data(study),
        *_split_per(study),
        *_claims(study),
        *_repeated(study),
        *_designs(study, space),
        *_sequential(study),
        *_confirm(study, space),
    ]


def _problem(
    study: Study,
    key: str,
    problem: str,
    found: object,
    allowed: str | Iterable[object] | None = None,
    write: str | None = None,
) -> UserError:
    """A problem at a dotted key of study.yaml, or at the nearest key above that is there."""
    while key not in study.lines and "." in key:
        key = key.rsplit(".", 1)[0]
    return UserError(
        problem,
        file=study.file,
        line=study.lines.get(key),
        found=found,
        allowed=allowed,
        write=write,
    )


def _metric(study: Study) -> Iterator[UserError]:
    metric = study.options["metric"]
    name, delta = metric["name"], metric["delta"]
    higher = name not in LOWER_IS_BETTER
    if metric["higher_is_better"] != higher:
        text = f"the metric has one direction: {'higher' if higher else 'lower'} is better"
        found = f"{name}, higher_is_better: {str(not higher).lower()}"
        write = f"higher_is_better: {str(higher).lower()}"
        yield _problem(study, "metric.higher_is_better", text, found, write=write)
    if higher and delta >= 1:
        text = f"metric.delta is a difference in {name}, which lies between 0 and 1"
        allowed = "a number above 0 and below 1: one point is 0.01"
        write = f"delta: {delta / 100:g}" if delta < 100 else "delta: 0.01"
        yield _problem(study, "metric.delta", text, delta, allowed, write)
    multiples = metric["impact_multiples"]
    levels = [multiples[level] for level in ("low", "medium", "high")]
    if levels != sorted(levels):
        text, allowed = (
            "metric.impact_multiples must rise from low to high",
            "low <= medium <= high",
        )
        write = f"impact_multiples: {{low: {levels[0]:g}, medium: {levels[0] * 2:g}, "
        write += f"high: {levels[0] * 5:g}}}"
        yield _problem(study, "metric.impact_multiples", text, multiples, write=write)


def _files(study: Study) -> Iterator[UserError]:
    """Names that the workflow could not keep apart, and data that lies outside."""
    options = study.options
    named: dict[str, str | None] = {side: options[side] for side in SIDES}
    named |= {"data.path": options["data"]["path"], "model.path": options["model"].get("path")}
    for key, name in named.items():
        if isinstance(name, str) and re.search(r"[{}\n\r\0]", name):
            text = f"{key} has braces or a line break, which the workflow would take for its own"
            yield _problem(study, key, text, name, "a name without braces and line breaks")
    path, hub = options["data"]["path"], options["data"]["format"] == "hub"
    if isinstance(path, str) and Path(path).is_absolute() and hub:
        text, allowed = "data.path is a folder, and format: hub wants a name", "owner/name"
        yield _problem(study, "data.path", text, path, allowed, "format: auto")
    data, model = options["data"], options["model"]
    inside = ("data", None if hub else path, data), ("model", model.get("path"), model)
    for block, found, own in inside:
        if not isinstance(found, str) or own.get("allow_outside"):
            continue
        if leads_outside(study.folder, found):
            key, write = f"{block}.path", f"allow_outside: true   # under {block}:"
            yield _problem(study, key, outside_problem(key), found, OUTSIDE_ALLOWED, write)


def _data(study: Study) -> Iterator[UserError]:
    options = study.data_options()
    sizes = {key: options["split"][key] for key in ("test_size", "val_size")}
    wrong = [key for key, size in sizes.items() if not 0 < size < 1]
    for key in wrong:
        text, allowed = f"data.split.{key} is not a share of the rows", "above 0 and below 1"
        write = f"{key}: {0.2 if key == 'test_size' else 0.1}"
        told = study.told_by(f"split.{key}")
        if key in study.options["data"]["split"] or told is None or told.line is None:
            yield _problem(study, f"data.split.{key}", text, sizes[key], allowed, write)
            continue
        write = f"split: {{{write}}}   # in study.yaml, under data:"
        problem = UserError(text, found=sizes[key], allowed=allowed, write=write)
        yield problem.at(str(told.file), told.line)
    if not wrong and sum(sizes.values()) >= 1:
        text = "data.split leaves no rows for training: test_size + val_size must be below 1"
        found = f"{' + '.join(f'{key} {size:g}' for key, size in sizes.items())} "
        found += f"= {sum(sizes.values()):g}"
        allowed = "shares of all rows that sum to less than 1"
        write = "split: {test_size: 0.2, val_size: 0.1}"
        yield _problem(study, "data.split.test_size", text, found, allowed, write)
    try:
        "".encode(options["encoding"])  # looks it up, and refuses those that are none of text
    except LookupError:
        text, allowed = "there is no such encoding", "utf-8, cp949 (Korean Windows), utf-16, ..."
        yield _problem(
            study, "data.encoding", text, options["encoding"], allowed, "encoding: utf-8"
        )


def _split_per(study: Study) -> Iterator[UserError]:
    """A seed of the split beside splits that come from the seeds: one of them would be ignored."""
    split = study.options["data"]["split"]
    for key in ("seed", "extract_seed") if study.splits_per_seed else ():
        if key in split:
            text = f"data.split.{key} has no effect: each seed draws a split of its own"
            found, allowed = f"{key}: {split[key]}, split_per: seed", "one of the two"
            yield _problem(study, f"data.split.{key}", text, found, allowed, "split_per: study")


def _claims(study: Study) -> Iterator[UserError]:
    claims = study.options["claims"]
    known = [*SETTINGS, *(difference.setting for difference in study.differences)]
    for place, claimed in enumerate(claims["impact"]):
        if claimed["setting"] not in known:
            near = difflib.get_close_matches(claimed["setting"], known, n=1)
            yield _problem(
                study,
                f"claims.impact.{place}.setting",
                "a claim names an unknown setting",
                claimed["setting"],
                [difference.setting for difference in study.differences if difference.trained],
                f"setting: {near[0]}" if near else None,
            )
    seen: set[str] = set()
    sides = _quantities(study) if any(map(is_arithmetic, claims["statements"])) else []
    for place, entry in enumerate(claims["statements"]):
        key = f"claims.statements.{place}"
        if entry["id"] in seen:
            yield _problem(study, f"{key}.id", "two claims have the same id", entry["id"])
        seen.add(entry["id"])
        if "arm" in entry and not is_arithmetic(entry):
            text = f"claim {entry['id']} is about one arm: that needs no run, or it is about a pair"
            allowed = "with `decided_by: arithmetic`; else `contrast` in place of `arm`"
            found = f"arm: {entry['arm']}"
            yield _problem(study, f"{key}.arm", text, found, allowed, "decided_by: arithmetic")
            continue
        try:
            claim = read_claim(entry)
        except UserError as error:
            yield error.at(study.file, study.lines[key])
            continue
        if is_arithmetic(entry):
            yield from _computed(study, key, claim, sides)
        else:
            yield from _measured(study, key, claim)


def _quantities(study: Study) -> list[Quantities]:
    """What both sides amount to for one row: which quantities there are hangs on no number."""
    architecture = read_architecture(study.options["model"]["architecture"])
    plan = read_plan(None, 1, (0.0, 0.0), [])
    return [
        compute({name: value.value for name, value in side.readable.items()}, plan, architecture)
        for side in (study.current, study.backup)
    ]


def _computed(
    study: Study, key: str, claim: Claim, sides: Sequence[Quantities]
) -> Iterator[UserError]:
    """What is wrong with a claim that arithmetic decides, beside what only its values tell."""
    if claim.unit != VALUE:
        yield from _contrast(study, key, claim)
    known = {name for side in sides for name in side.values}
    if not any(side.knows(claim.quantity) for side in sides):
        yield from _quantity(study, key, claim, sorted(known))


def _measured(study: Study, key: str, claim: Claim) -> Iterator[UserError]:
    """What is wrong with a claim that runs decide."""
    yield from (_of_design if ":" in claim.contrast else _contrast)(study, key, claim)
    yield from _quantity(study, key, claim, measured_quantities(study.options["metric"]["name"]))
    if claim.quantity == SEED_SPREAD and claim.unit == ABSOLUTE:
        text = f"claim {claim.id}: a spread is compared as a ratio"
        yield _problem(study, f"{key}.unit", text, claim.unit, "factor, relative_reduction")


def _contrast(study: Study, key: str, claim: Claim) -> Iterator[UserError]:
    names = [*CONTRASTS, *(stage.name for stage in study.stages)]
    if claim.contrast not in names:
        near = difflib.get_close_matches(claim.contrast, names)
        write = f"contrast: {near[0]}" if near else None
        text = f"claim {claim.id} names an unknown contrast"
        yield _problem(study, f"{key}.contrast", text, claim.contrast, names, write)


def _of_design(study: Study, key: str, claim: Claim) -> Iterator[UserError]:
    """What is wrong with the id of a design's contrast, which is a role and what it is about."""
    role, _, about = claim.contrast.partition(":")
    space = study.space()
    factors = [factor.name for factor in space.factors()]
    known = {*factors, *(n for n in space.current if space.current[n] != space.backup.get(n))}
    text = f"claim {claim.id} names an unknown contrast"
    if role not in ROLES:
        near = difflib.get_close_matches(role, ROLES)
        write = f"contrast: {near[0]}:{about}" if near else None
        yield _problem(study, f"{key}.contrast", text, claim.contrast, ROLES, write)
    elif role in OF_FACTORS and not known.issuperset(about.split(BETWEEN)):
        near = difflib.get_close_matches(about, factors)
        write = f"contrast: {role}:{near[0]}" if near else None
        yield _problem(study, f"{key}.contrast", text, claim.contrast, factors, write)


def _quantity(
    study: Study, key: str, claim: Claim, quantities: Sequence[str]
) -> Iterator[UserError]:
    if claim.quantity not in quantities:
        near = difflib.get_close_matches(claim.quantity, quantities)
        write = f"quantity: {near[0]}" if near else None
        text = f"claim {claim.id} names an unknown quantity"
        yield _problem(study, f"{key}.quantity", text, claim.quantity, quantities, write)


def _keys(study: Study) -> dict[str, str]:
    """The dotted key of each design, by its name."""
    found = {}
    for place, item in enumerate(study.options["designs"]):
        name = item if isinstance(item, str) else next(iter(item))
        found[name] = f"designs.{place}" if isinstance(item, str) else f"designs.{place}.{name}"
    return found


def _repeated(study: Study) -> Iterator[UserError]:
    seen: set[str] = set()
    for place, item in enumerate(study.options["designs"]):
        name = item if isinstance(item, str) else next(iter(item))
        if name in seen:
            text = "a design stands twice"
            yield _problem(study, f"designs.{place}", text, name, "each design once")
        seen.add(name)


def _designs(study: Study, space: Space) -> Iterator[UserError]:
    keys = _keys(study)
    asked = Asked(
        seeds=study.all_seeds(),
        sequential=bool(study.looks),
        pool=_pool(study),
    )
    for name, problem in designs.find_problems(study.designs, space, asked):
        key = f"{keys[name]}.{problem.key}".rstrip(".")
        yield _problem(study, key, problem.problem, problem.found, problem.allowed, problem.write)


def _pool(study: Study) -> int | None:
    """The rows that are not held out, as far as study.yaml tells how many there are."""
    rows, split = study.planned_rows(), study.data_options()["split"]
    held_out = float(split["test_size"]) + float(split["val_size"])
    return None if rows is None or held_out >= 1 else round(rows * (1 - held_out))


def _sequential(study: Study) -> Iterator[UserError]:
    looks = list(study.looks)
    if not looks:
        return
    if looks != sorted(set(looks)):
        write = f"looks: {sorted(set(looks))}"
        text, allowed = "looks must ascend: each adds seeds", "whole numbers, ascending"
        yield _problem(study, "sequential.looks", text, looks, allowed, write)
    elif len(study.options["seeds"]) > looks[-1]:
        seeds = study.options["seeds"]
        text = "there are more seeds than the last look has"
        write = f"seeds: {seeds[: looks[-1]]}"
        allowed = f"at most {looks[-1]}, or a later last look"
        yield _problem(study, "seeds", text, f"{len(seeds)} seeds", allowed, write)


def _confirm(study: Study, space: Space) -> Iterator[UserError]:
    if not study.fresh_seeds:
        return
    asked = study.designs
    used = set(study.all_seeds())
    if A_A in asked:
        used |= set(other_seeds(study.all_seeds(), asked[A_A]))
    shared = sorted(used & set(study.fresh_seeds))
    if shared:
        first = max(used) + 1
        fresh = list(range(first, first + len(study.fresh_seeds)))
        text = "a confirmation needs fresh seeds: these chose what it confirms"
        write = f"confirm: {{seeds: {fresh}}}"
        yield _problem(study, "confirm.seeds", text, shared, "seeds that nothing else uses", write)
    if len(space.factors()) > greedy_path.MOST:
        text = f"a confirmation is made for at most {greedy_path.MOST} stages and remainder"
        yield _problem(study, "confirm", text, f"{len(space.factors())} of them")
