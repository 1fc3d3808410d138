"""Which modules LoRA adapts: as peft itself decides it, on a model of each known family."""

from __future__ import annotations

import copy
import inspect

import pytest

torch = pytest.importorskip("torch")

from peft import LoraConfig, get_peft_model
from peft.utils import ModulesToSaveWrapper
from tiny import SETTINGS
from transformers import AutoConfig, AutoModelForSequenceClassification, optimization
from transformers.trainer_utils import SchedulerType

from ablation.designs.feasibility import cannot_run
from ablation.settings.adapted import find_adapted, module_paths
from ablation.settings.architecture import KNOWN_FAMILIES
from ablation.settings.schedule_arguments import TAKES

LAYERS = 3
TARGETS = [
    ["q_proj", "v_proj"],
    ["self_attn.q_proj"],
    ["model.layers.1.self_attn.q_proj"],
    ["1.self_attn.q_proj", "down_proj"],
    ["score"],
    ["q_proj", "score"],
    ["embed_tokens"],
    ["embed_tokens", "k_proj"],
    ["lm_head", "o_proj"],
    ["norm"],
    ["mlp"],
    ["q_proj", "self_attn"],
    ["proj"],
    "all-linear",
    "ALL-LINEAR",
    "q_proj",
    r".*\.q_proj",
    r".*layers\.[12]\.self_attn\.(q|v)_proj",
    r".*(v_proj|score)",
    r"model\.embed_tokens",
    r".*norm",
]
SAVED = [None, ["score"], ["embed_tokens"], ["norm"], ["mlp"], ["q_proj"], ["model.norm"]]


@pytest.fixture(scope="module", params=KNOWN_FAMILIES)
def classifier(request):
    """A small classifier of a family, without values."""
    config = AutoConfig.for_model(
        request.param,
        vocab_size=32,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=4,
        num_labels=3,
    )
    with torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(config)


def facts(classifier) -> dict:
    return {"model_type": classifier.config.model_type, "num_hidden_layers": LAYERS}


def by_peft(classifier, targets, layers, saved, head: bool) -> tuple[list[str], set[str]] | None:
    """Paths that peft adapts, and last names of the modules that it trains whole."""
    task = {"task_type": "SEQ_CLS"} if head else {}
    given = {"target_modules": targets, "layers_to_transform": layers, "modules_to_save": saved}
    try:
        config = LoraConfig(r=2, **copy.deepcopy(given), **task)
        network = get_peft_model(copy.deepcopy(classifier), config)
    except ValueError:  # no module, one that LoRA cannot adapt, layers beside a text
        return None
    start = "base_model.model."
    modules = {n.removeprefix(start): m for n, m in network.named_modules()}
    adapted = [n for n, m in modules.items() if hasattr(m, "lora_A")]
    whole = {
        n.rsplit(".", 1)[-1]
        for n, m in modules.items()
        if isinstance(m, ModulesToSaveWrapper) and any(p.requires_grad for p in m.parameters())
    }
    return adapted, whole


def test_every_module_of_a_known_family_is_known(classifier):
    here = [name for name, _ in classifier.named_modules() if name]
    assert sorted(module_paths(classifier.config.model_type, LAYERS)) == sorted(here)


@pytest.mark.parametrize("targets", TARGETS, ids=str)
@pytest.mark.parametrize("layers", [None, [1]], ids=["all", "one"])
def test_the_modules_are_those_that_peft_adapts(classifier, targets, layers):
    compare(classifier, targets, layers, None, True)


@pytest.mark.parametrize("saved", SAVED, ids=str)
@pytest.mark.parametrize("head", [True, False], ids=["SEQ_CLS", "no task"])
def test_what_is_trained_whole_is_what_peft_trains_whole(classifier, saved, head):
    for targets in (["q_proj", "gate_proj"], ["score", "k_proj"], "all-linear"):
        compare(classifier, targets, None, saved, head)


def compare(classifier, targets, layers, saved, head: bool) -> None:
    settings = SETTINGS | {
        "lora.target_modules": targets,
        "lora.layers_to_transform": layers,
        "lora.modules_to_save": saved,
        **({} if head else {"lora.trains_head": False}),
    }
    found = find_adapted(settings, facts(classifier))
    expected = by_peft(classifier, targets, layers, saved, head)
    if expected is None:
        assert cannot_run(settings, facts(classifier)) is not None
        return
    assert not found.unsupported
    assert sorted(found.modules) == sorted(expected[0])
    assert set(found.saved) == expected[1]


def test_the_arguments_of_each_schedule_are_those_of_its_function():
    given = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch"}
    for name, taken in TAKES.items():
        function = optimization.TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(name)]
        assert set(inspect.signature(function).parameters) - given == set(taken), name
