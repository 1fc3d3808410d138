"""A sample of `make soak-settings`: what is accepted trains as it says, or the plan refuses it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from soak.settings_matrix import FAMILIES, Case, all_cases, plan_case, prepare, run_case

from ablation.errors import UserError

pytestmark = pytest.mark.e2e
# Each of these once failed after its data and model were prepared, or trained something else.
MENDED = (
    "optim sgd",
    "schedule polynomial zero 1",
    "schedule cosine_with_min_lr zero 3",
    "zero 3 bf16 True checkpointing True",
    "padding longest truncation False max_length 12",
    "padding False truncation True max_length 12",
    "max_steps 2 epochs -1",
    "targets 4 ['model.layers.1.self_attn.q_proj']",
    "targets 8 ['q_proj', 'score']",
    "targets 10 ['q_proj', 'embed_tokens']",
    "modules_to_save ['q_proj']",
    "DeepSpeed Adam {'adam_w_mode': False}",
    "metric without best",
)
REFUSED = {
    "targets 7 ['score']": "which no layer of llama is called",
    "modules_to_save ['nothing']": "which llama does not have",
    "best by f1 greater True": "f1, which is not measured",
    "schedule polynomial kwargs 2 zero 2": "has no argument no_such_argument",
    "max_length 1000000000 padding max_length": "the model has 64 positions",
    "max_steps -1 epochs -1": "a value it cannot have",
    "WarmupLR 3 torch": "mismatch TrainingArguments values",
}


def cases() -> dict[str, Case]:
    return {case.name: case for case in all_cases()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The tiny model and its data."""
    found = tmp_path_factory.mktemp("matrix")
    prepare(found)
    return found


@pytest.mark.parametrize("name", MENDED)
def test_what_once_failed_trains_as_it_says(folder, name):
    outcome = run_case(cases()[name], folder, folder / ".warm")
    assert outcome.kind == "runs", outcome.message


@pytest.mark.parametrize(("name", "reason"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_run_is_refused_in_the_plan_with_its_line(folder, name, reason):
    with pytest.raises(UserError, match=reason) as caught:
        plan_case(cases()[name], folder / "model")
    assert re.search(r"(current\.yml|ds\.json):\d+: ", str(caught.value)), str(caught.value)


@pytest.mark.parametrize("family", FAMILIES[:-1], ids=lambda family: family.__name__)
def test_cases_of_every_kind_run_or_are_refused(folder, family):
    found = list(family())
    for case in found[:: max(1, len(found) // 3)]:
        outcome = run_case(case, folder, folder / ".warm")
        assert outcome.good, f"{case.name}: {outcome.message}"
