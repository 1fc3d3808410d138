"""Weights, compute and memory of a decoder with adapters, against peft and torch themselves."""

from __future__ import annotations

from typing import Any

import pytest

from ablation.settings.architecture import (
    LINEAR,
    activation_bytes,
    backward_layers,
    count_trainable,
    estimate_memory,
    is_rotary,
    layer_forwards,
    missing_facts,
    places_of,
    read_architecture,
    run_forwards,
    saved_bytes,
)

QWEN3_4B = {
    "model_type": "qwen3",
    "num_hidden_layers": 36,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "attention_bias": False,
}
LORA = (
    "r",
    "lora_alpha",
    "target_modules",
    "layers_to_transform",
    "modules_to_save",
    "bias",
    "use_dora",
)
QKVO = ["q_proj", "k_proj", "v_proj", "o_proj"]


def arm(**changes: Any) -> dict[str, Any]:
    return {
        "lora.r": 128,
        "lora.lora_alpha": 256.0,
        "lora.lora_dropout": 0.05,
        "lora.target_modules": QKVO,
        "lora.layers_to_transform": list(range(28, 36)),
        "lora.modules_to_save": ["score"],
        "lora.bias": "lora_only",
        "lora.use_dora": False,
        "bf16": True,
        "model.dtype": "bfloat16",
        "gradient_checkpointing": False,
        "world_size": 4,
        "per_device_train_batch_size": 32,
        "max_length": 256,
        "deepspeed.zero_optimization.stage": 2,
        "deepspeed.zero_optimization.offload_optimizer.device": "none",
        "deepspeed.zero_optimization.reduce_bucket_size": 500_000_000,
        **changes,
    }


BACKUP = {"lora.r": 256, "lora.layers_to_transform": list(range(30, 36))}


def test_the_source_study_trains_1_48_times_the_weights():
    model = read_architecture(QWEN3_4B)
    current = count_trainable(model, arm(), 280).total
    backup = count_trainable(model, arm(**BACKUP), 280).total
    assert (current, backup) == (21_688_320, 32_174_080)
    assert backup / current == pytest.approx(1.483, abs=1e-3)


def test_the_number_of_labels_is_needed_for_the_head_only():
    counted = count_trainable(read_architecture(QWEN3_4B), arm(), None)
    assert counted.lora == 20_971_520
    assert counted.total is None


def test_facts_that_are_missing_are_named():
    assert missing_facts({"num_hidden_layers": 4}) == [
        "hidden_size",
        "intermediate_size",
        "num_attention_heads",
    ]
    assert read_architecture({**QWEN3_4B, "num_experts": 8}) is None


TINY = {
    "num_hidden_layers": 4,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
}
FAMILIES = {
    "llama": {},
    "llama with biases": {"attention_bias": True, "mlp_bias": True},
    "mistral": {"head_dim": 32},
    "qwen2": {},
    "qwen3": {"head_dim": 32},
    "qwen3 with biases": {"head_dim": 32, "attention_bias": True},
}
ARMS = {
    "the source's": {"lora.layers_to_transform": [2, 3]},
    "biases of all layers": {"lora.bias": "all", "lora.layers_to_transform": [1]},
    "no biases": {"lora.bias": "none", "lora.modules_to_save": None},
    "all linear layers": {
        "lora.target_modules": "all-linear",
        "lora.layers_to_transform": None,
    },
    "DoRA on some": {"lora.use_dora": True, "lora.target_modules": ["q_proj", "down_proj"]},
    "a trained embedding": {"lora.modules_to_save": ["embed_tokens"], "lora.r": 3},
}


@pytest.fixture(scope="module")
def peft_count():
    """Trained and all weights of an arm as peft counts them, without any memory."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")

    def count(facts: dict[str, Any], settings: dict[str, Any], labels: int) -> tuple[int, int]:
        config = transformers.AutoConfig.for_model(**facts, num_labels=labels)
        lora = {
            name: settings[f"lora.{name}"]
            for name in [
                "r",
                "lora_alpha",
                "target_modules",
                "layers_to_transform",
                "modules_to_save",
                "bias",
                "use_dora",
            ]
        }
        with torch.device("meta"):
            model = transformers.AutoModelForSequenceClassification.from_config(config)
            model = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", **lora))
        return model.get_nb_trainable_parameters()

    return count


@pytest.mark.parametrize("changes", [{}, BACKUP], ids=["current", "backup"])
def test_the_source_study_is_counted_as_peft_counts_it(peft_count, changes):
    settings = arm(**changes)
    trained, everything = peft_count(QWEN3_4B, settings, 280)
    model = read_architecture(QWEN3_4B)
    assert count_trainable(model, settings, 280).total == trained
    parts = {part.name: part for part in estimate_memory(model, settings, 280)}
    assert parts["weights"].facts["count"] == everything


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("changes", ARMS.values(), ids=ARMS)
def test_every_family_is_counted_as_peft_counts_it(peft_count, family, changes):
    facts = {**TINY, "model_type": family.split()[0], **FAMILIES[family]}
    settings = arm(**{"lora.layers_to_transform": [2, 3], "lora.r": 8, **changes})
    counted = count_trainable(read_architecture(facts), settings, 5)
    assert counted.uncounted == ()
    assert counted.total == peft_count(facts, settings, 5)[0]


def test_a_gradient_has_to_reach_the_lowest_trained_weight():
    model = read_architecture({**TINY, "model_type": "qwen2"})
    named = arm(**{"lora.layers_to_transform": [1, 3], "lora.bias": "none"})
    assert backward_layers(model, named) == 3
    assert backward_layers(model, {**named, "lora.bias": "all"}) == 4
    embedding = {**named, "lora.modules_to_save": ["embed_tokens"]}
    assert backward_layers(model, embedding) == 4


def test_checkpointing_costs_2_25_times_the_compute_of_the_source():
    model = read_architecture(QWEN3_4B)
    assert layer_forwards(model, arm()) == 36 + 8
    checkpointed = layer_forwards(model, arm(gradient_checkpointing=True))
    assert checkpointed == pytest.approx((2 + 0.753) * 36, rel=1e-3)
    assert checkpointed / 44 == pytest.approx(2.25, abs=0.01)


def test_a_run_here_does_not_go_back_below_the_lowest_trained_layer():
    model = read_architecture(QWEN3_4B)
    assert run_forwards(model, arm()) == 36 + 8
    again = run_forwards(model, arm(gradient_checkpointing=True))
    assert again == pytest.approx(36 + 1.753 * 8, rel=1e-3)


@pytest.fixture(scope="module")
def tiny():
    """A tiny model that really computes, with adapters in its upper layers."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")

    def build(facts, settings, *, dropout=0.0, checkpointing=False):
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(**facts, num_labels=4, pad_token_id=0)
        model = transformers.AutoModelForSequenceClassification.from_config(
            config, dtype=torch.bfloat16
        )
        lora = peft.LoraConfig(
            task_type="SEQ_CLS",
            r=settings["lora.r"],
            lora_dropout=dropout,
            target_modules=settings["lora.target_modules"],
            layers_to_transform=settings["lora.layers_to_transform"],
        )
        model = peft.get_peft_model(model, lora, autocast_adapter_dtype=False)
        if checkpointing:
            model.base_model.model.activation_checkpointing_enable()
        return model.train()

    return build


def backward(model, rows=2, length=64):
    """Loss of one batch, with its backward still to run."""
    import torch

    ids = torch.randint(1, 100, (rows, length))
    return model(input_ids=ids, labels=torch.zeros(rows, dtype=torch.long)).loss


WIDE = {**TINY, "hidden_size": 256, "intermediate_size": 768, "head_dim": 64}


def test_transformers_checkpointing_reaches_layers_that_nothing_trains(tiny):
    facts = {**WIDE, "model_type": "qwen3"}
    settings = arm(**{"lora.r": 4, "lora.layers_to_transform": [3]})
    for checkpointing in (False, True):
        model, reached = tiny(facts, settings, checkpointing=checkpointing), []
        lowest = model.base_model.model.model.layers[0]
        lowest.register_full_backward_hook(lambda *_, reached=reached: reached.append(True))
        backward(model).backward()
        assert bool(reached) is checkpointing


def test_compute_is_what_a_counter_counts(tiny):
    counter = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode
    facts = {**WIDE, "model_type": "qwen3", "num_hidden_layers": 6}
    counted, stated = [], []
    for checkpointing in (False, True):
        settings = arm(
            **{"lora.r": 1, "lora.layers_to_transform": [4, 5]},
            gradient_checkpointing=checkpointing,
        )
        model = tiny(facts, settings, checkpointing=checkpointing)
        with counter(display=False) as flops:
            backward(model, length=16).backward()
        counted.append(flops.get_total_flops())
        stated.append(layer_forwards(read_architecture(facts), settings))
    assert counted[1] / counted[0] == pytest.approx(stated[1] / stated[0], rel=0.03)


@pytest.mark.parametrize("family", ["qwen3", "llama"])
@pytest.mark.parametrize("names", [QKVO, list(LINEAR)], ids=["attention", "all"])
def test_activations_are_what_autograd_saves(tiny, family, names):
    import torch

    facts = {**WIDE, "model_type": family}
    saved = []
    for layers in ([2, 3], [3]):
        settings = arm(
            **{
                "lora.r": 16,
                "lora.lora_dropout": 0.0,
                "lora.target_modules": names,
                "lora.layers_to_transform": layers,
            }
        )
        model, seen, kept = tiny(facts, settings), {}, []
        weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

        def pack(tensor, seen=seen, kept=kept, weights=weights):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                seen[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            backward(model)
        saved.append(sum(seen.values()) / (2 * 64))
    stated = saved_bytes(read_architecture(facts), settings, adapted=True)
    assert saved[0] - saved[1] == pytest.approx(stated, rel=0.01)


def test_checkpointing_keeps_the_inputs_of_all_layers_and_one_layer_whole():
    model = read_architecture(QWEN3_4B)
    on = activation_bytes(model, arm(gradient_checkpointing=True))
    assert on == 36 * 2 * 2560 + saved_bytes(model, arm(), adapted=True)
    assert activation_bytes(model, arm()) == 8 * saved_bytes(model, arm(), adapted=True)


def test_zero_shares_out_and_offload_moves_to_the_host():
    model = read_architecture(QWEN3_4B)
    trained = 21_688_320
    stage = "deepspeed.zero_optimization.stage"
    device = "deepspeed.zero_optimization.offload_optimizer.device"

    def parts(**changes):
        return {part.name: part for part in estimate_memory(model, arm(**changes), 280)}

    assert parts()["optimizer"].bytes == trained * 12 / 4
    assert parts(**{stage: 0})["optimizer"].bytes == trained * 12
    assert parts(**{stage: 1})["gradients"].bytes == trained * 2
    assert parts()["gradients"].bytes == trained * 2 / 4
    assert parts(**{stage: 3})["weights"].bytes == pytest.approx(parts()["weights"].bytes / 4)
    assert parts(**{device: "cpu"})["optimizer"].place == "host"
    assert parts()["buffer"].bytes == 1_000_000_000


# --- Without LoRA ------------------------------------------------------------------------------

FULL = {"lora.enable": False} | {name: None for name in arm() if name.startswith("lora.")}


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_a_full_fine_tuning_trains_every_weight_of_the_classifier(family):
    torch = pytest.importorskip("torch")
    from transformers import AutoConfig, AutoModelForSequenceClassification

    facts = {
        "vocab_size": 50,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    config = AutoConfig.for_model(family, **facts, num_labels=5)
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    ours = read_architecture({"model_type": family, **facts})
    expected = sum(param.numel() for param in model.parameters())
    assert count_trainable(ours, arm(**FULL), 5).total == expected
    parts = {part.name: part for part in estimate_memory(ours, arm(**FULL), 5)}
    assert parts["weights"].facts["count"] == parts["optimizer"].facts["count"] == expected


def test_a_full_fine_tuning_costs_the_gradients_of_the_weights_too():
    model = read_architecture(QWEN3_4B)
    everywhere = arm(**{"lora.layers_to_transform": None})
    assert run_forwards(model, everywhere) == 2 * model.layers
    assert (
        run_forwards(model, arm(**FULL)) == layer_forwards(model, arm(**FULL)) == 3 * model.layers
    )
    again = arm(**FULL, gradient_checkpointing=True)
    assert run_forwards(model, again) == pytest.approx((3 + model.recomputed_share) * model.layers)


@pytest.mark.parametrize(
    ("facts", "places", "rotary"),
    [
        ({"model_type": "llama", "max_position_embeddings": 2048}, 2048, True),
        ({"model_type": "gpt2", "n_positions": 1024}, 1024, False),
        ({"model_type": "own", "max_position_embeddings": 512, "rope_theta": 1e4}, 512, True),
        ({"model_type": "bloom"}, None, False),
        (
            {
                "max_position_embeddings": 32768,
                "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 32768},
            },
            131072,
            True,
        ),
        (
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {"factor": 8.0, "original_max_position_embeddings": 8192},
            },
            131072,
            True,
        ),
    ],
)
def test_a_models_positions_and_whether_they_reach_further(facts, places, rotary):
    assert (places_of(facts), is_rotary(facts)) == (places, rotary)
