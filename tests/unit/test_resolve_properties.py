"""Generated pairs of configurations, across dialects: what must hold for all of them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablation.comparison.resolve import find_differences, find_silent, resolve_pair
from ablation.dialects import DIALECTS, recognize
from ablation.dialects.own_names import OWN_NAMES
from ablation.dialects.vocabulary import keys_of
from ablation.documents.entries import load_entries
from ablation.errors import UserError
from ablation.settings.catalogue import HF_SCHEDULERS, SETTINGS, in_arm
from ablation.study.grid import content_hash

MODEL = {"model_type": "qwen3", "num_hidden_layers": 12, "hidden_size": 64}

# Numbers as people write them, some of which YAML 1.1 reads as text.
rates = st.one_of(
    st.sampled_from([1e-5, 5e-5, 2e-4, 1e-3]),
    st.floats(min_value=1e-8, max_value=1.0, allow_nan=False),
)
shares = st.floats(min_value=0.0, max_value=0.9, allow_nan=False)
counts = st.integers(min_value=1, max_value=512)
modules = st.lists(
    st.sampled_from(["q_proj", "k_proj", "v_proj", "o_proj", "up_proj"]), min_size=1, max_size=4
)
layers = st.lists(st.integers(min_value=-14, max_value=13), max_size=5)
# What stands where it does not belong: mostly refused, never a crash.
strange = st.sampled_from(
    [None, True, -1, 0, "x", "auto", "1e-5", [], {}, [1, "a"], {"a": 1}, 10**30, "", "nan", -0.5]
)


def block(fields: dict[str, st.SearchStrategy]) -> st.SearchStrategy[dict]:
    """A block with any of its fields, of which now and then one has a strange value."""
    sound = st.fixed_dictionaries({}, optional=fields)
    wrong = st.dictionaries(st.sampled_from([*fields]), strange, max_size=1)
    others = st.dictionaries(st.sampled_from(["unheard_of", "a.b", "5"]), strange, max_size=1)
    mostly_none = st.one_of(st.just({}), st.just({}), st.just({}), wrong)
    return st.builds(
        lambda *parts: {k: v for p in parts for k, v in p.items()}, sound, mostly_none, others
    )


lora = {
    "r": counts,
    "lora_alpha": counts,
    "lora_dropout": shares,
    "target_modules": modules,
    "layers_to_transform": layers,
    "bias": st.sampled_from(["none", "all", "lora_only"]),
    "use_rslora": st.booleans(),
    "modules_to_save": st.sampled_from([["score"], None]),
    "rank_pattern": st.sampled_from([{}, {"q_proj": 4}]),
}
trainer = {
    "learning_rate": rates,
    "weight_decay": shares,
    "num_train_epochs": st.one_of(counts, st.floats(min_value=0.1, max_value=20)),
    "max_steps": st.integers(min_value=-1, max_value=10_000),
    "per_device_train_batch_size": counts,
    "gradient_accumulation_steps": counts,
    "warmup_ratio": shares,
    "warmup_steps": st.integers(min_value=0, max_value=1000),
    "lr_scheduler_type": st.sampled_from(HF_SCHEDULERS),
    "optim": st.sampled_from(["adamw_torch", "adamw_torch_fused", "paged_adamw_8bit", "sgd"]),
    "bf16": st.booleans(),
    "gradient_checkpointing": st.booleans(),
    "eval_strategy": st.sampled_from(["no", "steps", "epoch"]),
    "load_best_model_at_end": st.booleans(),
    "metric_for_best_model": st.sampled_from(["accuracy", "eval_loss"]),
    "neftune_noise_alpha": st.sampled_from([None, 5]),
    "seed": counts,
}
zero = block(
    {
        "stage": st.integers(min_value=0, max_value=3),
        "offload_optimizer": st.fixed_dictionaries(
            {"device": st.sampled_from(["none", "cpu"])}, optional={"pin_memory": st.booleans()}
        ),
        "reduce_bucket_size": st.sampled_from(["auto", 500_000_000, 5e8]),
        "overlap_comm": st.booleans(),
        "cpu_offload": st.booleans(),
    }
)
scheduler = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["WarmupLR", "WarmupCosineLR", "WarmupDecayLR"]),
        "params": st.fixed_dictionaries(
            {"warmup_num_steps": st.sampled_from(["auto", 10])},
            optional={"warmup_type": st.sampled_from(["log", "linear"])},
        ),
    }
)
optimizer = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["AdamW", "Adam"]),
        "params": st.fixed_dictionaries(
            {"lr": st.one_of(rates, st.just("auto"))},
            optional={"weight_decay": shares, "betas": st.just([0.9, 0.95])},
        ),
    }
)
deepspeed = {
    "train_micro_batch_size_per_gpu": st.one_of(counts, st.just("auto")),
    "gradient_accumulation_steps": st.one_of(counts, st.just("auto")),
    "train_batch_size": st.sampled_from(["auto", 64, 256]),
    "gradient_clipping": st.sampled_from([0.0, 1.0, "auto"]),
    "zero_optimization": zero,
    "bf16": st.fixed_dictionaries({"enabled": st.sampled_from([True, False, "auto"])}),
    "optimizer": optimizer,
    "scheduler": scheduler,
    "activation_checkpointing": st.just({"partition_activations": True}),
    "steps_per_print": counts,
}
flat_lora = {f"lora_{name.removeprefix('lora_')}": value for name, value in lora.items()}
CONFIGURATIONS = {
    "kedro": st.fixed_dictionaries(
        {
            "train": st.fixed_dictionaries(
                {"training_args": block(trainer)},
                optional={
                    "lora": st.fixed_dictionaries({"config": block(lora)}),
                    "deepspeed": st.fixed_dictionaries({"config": block(deepspeed)}),
                    "tokenization": block({"max_length": counts, "padding": st.just("longest")}),
                    "loss": block(
                        {"use_class_weights": st.booleans(), "class_weight_alpha": shares}
                    ),
                },
            )
        },
        optional={"split": block({"extract_ratio": rates, "max_classes": counts, "seed": counts})},
    ),
    "deepspeed_native": st.fixed_dictionaries(
        {"training": st.builds(lambda a: {"epochs": 3, **a}, block({"warmup_ratio": shares}))},
        optional={
            "lora": block(lora),
            "deepspeed": block(deepspeed),
            "data": block({"max_length": counts, "extract_ratio": rates}),
            "hardware": block({"num_gpus": counts, "pin_memory": st.booleans()}),
        },
    ),
    "hf_trainer": st.builds(
        lambda a, b: {"output_dir": "o", **a, **b},
        block(trainer),
        st.fixed_dictionaries({}, optional={"lora": block(lora), "deepspeed": block(deepspeed)}),
    ),
    "deepspeed_json": st.builds(
        lambda a: {"zero_optimization": {"stage": 2}, **a}, block(deepspeed)
    ),
    "nested": st.builds(
        lambda a, b: {"training": {"num_train_epochs": 1, "save_total_limit": 1, **a}, **b},
        block(trainer),
        st.fixed_dictionaries(
            {},
            optional={
                "lora": block({**lora, "rank": counts, "alpha": counts, "dropout": shares}),
                "data": block({"max_length": counts}),
                "evaluation": block(
                    {"eval_steps": counts, "load_best_model_at_end": st.just(True)}
                ),
                "deepspeed": block(deepspeed),
            },
        ),
    ),
    "peft_adapter": st.builds(
        lambda a: {"peft_type": "LORA", "base_model_name_or_path": "m", **a}, block(lora)
    ),
    "llama_factory": st.builds(
        lambda a, b: {"finetuning_type": "lora", **a, **b},
        block(trainer),
        block(
            {
                "lora_rank": counts,
                "lora_alpha": counts,
                "lora_target": st.sampled_from(["all", "q_proj,v_proj"]),
                "cutoff_len": counts,
                "disable_gradient_checkpointing": st.booleans(),
                "template": st.just("qwen"),
                "packing": st.booleans(),
                "deepspeed": block(deepspeed),
            }
        ),
    ),
    "axolotl": st.builds(
        lambda a, b: {
            **{"base_model": "m", "adapter": "lora", "lora_r": 8, "lora_alpha": 16},
            **{"learning_rate": 1e-4, **a, **b},
        },
        block({k: v for k, v in trainer.items() if k not in ("optim", "lr_scheduler_type")}),
        block(
            {
                "micro_batch_size": counts,
                "num_epochs": counts,
                "sequence_len": counts,
                "lora_target_linear": st.booleans(),
                "lora_target_modules": modules,
                "peft_layers_to_transform": layers,
                "lr_scheduler": st.sampled_from(["cosine", "linear", None]),
                "cosine_min_lr_ratio": st.sampled_from([None, 0.1]),
                "bf16": st.sampled_from(["auto", True, False, "full", None]),
                "sample_packing": st.booleans(),
                "optimizer": st.sampled_from(["adamw_torch", "adamw_bnb_8bit"]),
            }
        ),
    ),
    "trl": st.builds(
        lambda a, b: {"use_peft": True, **a, **b},
        block(trainer),
        block(
            {
                **{k: flat_lora[k] for k in ("lora_r", "lora_alpha", "lora_dropout")},
                "lora_target_modules": modules,
                "max_length": counts,
                "max_seq_length": counts,
                "dtype": st.sampled_from(["bfloat16", "auto", "float32"]),
                "deepspeed_config": block({"zero_stage": st.integers(0, 3)}),
                "num_processes": counts,
            }
        ),
    ),
}
configurations = st.one_of(*CONFIGURATIONS.values())
quickly = settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Plain(yaml.SafeDumper):
    """Writes what two keys share twice: JSON has no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def dumped(side: object) -> str:
    return yaml.dump(side, Dumper=Plain, sort_keys=False)


def resolved(folder: Path, *texts: str):
    """Both sides of a pair, or the problem's text without its places."""
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"side{number}.yml")
        paths[-1].write_text(text)
    try:
        return resolve_pair(*paths, MODEL, world_size=2)
    except UserError as error:
        return error.problem


def plain_values(sides) -> list[dict]:
    return [{name: value.value for name, value in side.settings.items()} for side in sides]


def read_as_numbers(sides) -> list[dict]:
    """Values whose texts are numbers where they can be: JSON quotes what YAML does not."""

    def number(value: object) -> object:
        try:
            found = float(value) if isinstance(value, str) else value
        except ValueError:
            return value
        return value if found != found else found  # nan is a word

    return [{n: number(v) for n, v in side.items()} for side in plain_values(sides)]


KNOWN = sorted({*OWN_NAMES, *(key for dialect in DIALECTS for key in keys_of(dialect))})
# Those by which files of different trainers are told apart, and some that several have.
TELLING = sorted({k for module in DIALECTS.values() for k in getattr(module, "MARKS", ())})
TELLING += [
    "output_dir",
    "max_seq_length",
    "model_name_or_path",
    "use_peft",
    "lora_r",
    "lora_alpha",
]
known = st.one_of(st.sampled_from(KNOWN), st.sampled_from(TELLING))


@quickly
@given(st.lists(known, min_size=2, max_size=8, unique=True), strange)
def test_any_set_of_known_keys_is_recognized_or_refused(keys, value):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file.yml"
        file.write_text(dumped(dict.fromkeys(keys, value)))
        root = load_entries(file)
    try:
        found = recognize(root, "file.yml")
    except UserError:
        return
    assert found.module.NAME in DIALECTS
    assert {*found.speaks_for} <= found.accounted


def test_every_dialect_is_generated():
    assert set(CONFIGURATIONS) == set(DIALECTS)


@quickly
@given(configurations, configurations)
def test_a_pair_resolves_or_is_refused_and_survives_a_round_trip(current, backup):
    texts = [dumped(side) for side in (current, backup)]
    again = [dumped(yaml.safe_load(text)) for text in texts]
    as_json = [json.dumps(side) for side in (current, backup)]
    with tempfile.TemporaryDirectory() as folder:
        first, second, third = (resolved(Path(folder), *pair) for pair in (texts, again, as_json))
    if isinstance(first, str):
        assert first == second == third
        return
    assert plain_values(first) == plain_values(second)
    json.dumps([side.as_json() for side in first], allow_nan=False)
    if any(side.refusals or any(v.unreadable for v in side.settings.values()) for side in first):
        return  # what is refused stands as it is written, and YAML and JSON write it differently
    assert read_as_numbers(first) == read_as_numbers(third)
    for side in first:
        for name, setting in SETTINGS.items():
            if name in side.settings and not setting.held:
                setting.read(side.readable[name].value)  # what is resolved is allowed
    differing = {d.setting for d in find_differences(*first)}
    differing |= {d.setting for d in find_silent(*first)}
    values = plain_values(first)
    names = {*values[0], *values[1]}
    # A side that knows of no packing packs nothing, and one without an objective says none.
    told = {"packing", "training.method", "training.objective"}
    said = [{n: v for n, v in side.items() if v not in (None, {}, [])} for side in values]
    expected = {n for n in names - told if said[0].get(n) != said[1].get(n)}
    assert expected <= differing
    # Beyond that a difference may be that one side says nothing, and the other that it is empty.
    assert all(n not in said[0] or n not in said[1] for n in differing - expected - told)


@quickly
@given(configurations)
def test_a_configuration_compared_with_itself_has_no_differences(configuration):
    text = yaml.safe_dump(configuration, sort_keys=False)
    with tempfile.TemporaryDirectory() as folder:
        pair = resolved(Path(folder), text, text)
    if isinstance(pair, str):
        return
    assert find_differences(*pair) == []
    assert find_silent(*pair) == []
    arms = [
        {name: value.value for name, value in side.settings.items() if in_arm(name)}
        for side in pair
    ]
    assert content_hash(arms[0]) == content_hash(arms[1])
