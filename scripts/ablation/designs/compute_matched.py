"""Control for steps that alter tokens or optimizer steps: the arm before, with their compute."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ablation.designs.contrast import (
    COMPUTE_ALONE,
    EQUAL_COMPUTE,
    Contrast,
    Made,
    PathStep,
    between,
)
from ablation.designs.design import (
    CONTROL,
    REMAINDER,
    Cell,
    Design,
    DesignPlan,
    Options,
    Space,
    tidy,
)
from ablation.designs.feasibility import Reason
from ablation.designs.staged import staged_plan
from ablation.settings.catalogue import Settings
from ablation.settings.quantities import token_bounds
from ablation.settings.schedules import effective_batch

COMPUTE_MATCHED = "compute_matched"


def _plan(space: Space, options: Options, seeds: Sequence[int]) -> DesignPlan:
    """For each step of the staged path, the arm before it with the compute of the arm behind it.

    Step minus control is the step's effect at equal compute, control minus the arm before is what
    compute alone does; the two add up to the step's whole effect.
    """
    path = staged_plan(space, {}, seeds).cells
    cells, left_out = [], []
    controls: list[PathStep] = []
    for before, arm in pairwise(path):
        step = arm.stage or REMAINDER
        name = f"matched-{step}"
        found = match_compute(before.settings, arm.settings, options["match"])
        if isinstance(found, Reason):
            left_out.append((name, before.stages, found))
        elif found:
            settings = {**before.settings, **found}
            cells.append(Cell(name, CONTROL, COMPUTE_MATCHED, before.stages, settings))
            own: PathStep = {"step": step, "arm": arm.name, "before": before.name}
            controls.append({**own, "control": name, "set": found})
    return DesignPlan(cells, {"match": options["match"], "controls": controls}, left_out)


def match_compute(before: Settings, arm: Settings, match: str) -> Settings | Reason:
    """The duration with which `before` takes as many optimizer steps or tokens as `arm`.

    Computed from settings alone, so that an arm's name never depends on the data: epochs times
    extracted share over effective batch are steps, and times tokens of a row they are tokens.

    Args:
        before: The settings that keep all but their duration.
        arm: The settings whose compute is matched.
        match: "steps" or "tokens".

    Returns:
        The setting to change; empty where both take as much already; a reason where settings
        alone don't tell.
    """
    tokens = 1.0
    if match == "tokens":
        low, high = token_bounds(before, arm)
        if low is None or low != high:
            limits = [int(before["max_length"]), int(arm["max_length"])]
            return Reason("tokens_depend_on_texts", {"limits": limits})
        tokens = low
    limited = [int(side.get("max_steps", -1)) > 0 for side in (before, arm)]
    batches = effective_batch(before) / effective_batch(arm)
    if all(limited):
        per_step = 1.0 if match == "steps" else tokens / batches
        steps = max(1, round(int(arm["max_steps"]) * per_step))
        return {} if steps == int(before["max_steps"]) else {"max_steps": steps}
    if any(limited) or before.get("data.max_classes") != arm.get("data.max_classes"):
        return Reason("rows_not_known")
    share = float(arm["data.extract_ratio"]) / float(before["data.extract_ratio"])
    factor = share * (batches if match == "steps" else tokens)
    epochs = tidy(float(arm["num_train_epochs"]) * factor)
    return {} if epochs == float(before["num_train_epochs"]) else {"num_train_epochs": epochs}


def _contrasts(made: Made) -> list[Contrast]:
    """Each step split into its effect at equal compute and what compute alone does."""
    found = []
    for control in made.facts.get("controls", []):
        if not all(control[key] in made.arms for key in ("arm", "before", "control")):
            continue
        step, matched = control["step"], control["control"]
        for role, pair in (
            (EQUAL_COMPUTE, (control["arm"], matched)),
            (COMPUTE_ALONE, (matched, control["before"])),
        ):
            found.append(between(f"{role}:{step}", role, pair, step, design=COMPUTE_MATCHED))
    return found


DESIGN = Design(
    name=COMPUTE_MATCHED,
    plan=_plan,
    description="Control for steps that alter tokens or optimizer steps: the arm before with the "
    "compute of the arm behind.",
    options={
        "match": {
            "enum": ["tokens", "steps"],
            "default": "tokens",
            "description": "What is made equal.",
        }
    },
    suggested=False,
    contrasts=_contrasts,
    follows=lambda facts: {one["control"]: one["arm"] for one in facts["controls"]},
)
