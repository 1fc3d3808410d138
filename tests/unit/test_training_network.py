"""Initial values, padding, loss and checkpointing on a tiny random model."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tiny

from ablation.machine.pulse import Pulse
from ablation.training.effective import compare, planned_adapter, read_adapter
from ablation.training.intent import Batch, epoch_order, micro_batches, real_token_share
from ablation.training.interval import Pace
from ablation.training.network import (
    build_network,
    load_trainable_state,
    skip_frozen_layers,
    trainable_state,
)
from ablation.training.rows import Collator, EpochSampler
from ablation.training.trainer import Checkpoints, RunTrainer, WeightedLoss

LABELS = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> dict:
    return json.loads(tiny.write_model(tmp_path_factory.mktemp("model")).read_text())


def build(model: dict, seed: int = 1, **changes):
    settings = tiny.SETTINGS | {key.replace("__", "."): value for key, value in changes.items()}
    config = {"model": model, "model_path": model["path"], "settings": settings, "seed": seed}
    return build_network(config, LABELS)


def values(network) -> dict[str, torch.Tensor]:
    return trainable_state(network)


def test_arms_with_other_layers_share_the_head_and_their_common_layers(model):
    torch.manual_seed(5)
    few = values(build(model, lora__layers_to_transform=[3]))
    torch.manual_seed(6)
    many = values(build(model, lora__layers_to_transform=[1, 2, 3]))
    assert set(few) < set(many)
    assert all(torch.equal(few[name], many[name]) for name in few)


def test_a_larger_rank_begins_with_the_rows_of_a_smaller_one(model):
    small, large = values(build(model)), values(build(model, lora__r=8))
    names = [name for name in small if ".lora_A." in name]
    assert names
    for name in names:
        assert large[name].shape[0] == 8
        assert torch.equal(large[name][:4], small[name])


def test_another_seed_draws_other_values(model):
    one, two = values(build(model, seed=1)), values(build(model, seed=2))
    changed = [name for name in one if not torch.equal(one[name], two[name])]
    assert all("lora_A" in name or "score" in name for name in changed)
    assert len(changed) == sum("lora_B" not in name for name in one)


def test_initial_values_have_the_distributions_of_the_libraries(model):
    state = values(build(model, lora__r=64))
    lora_a = torch.cat([v.flatten() for n, v in state.items() if ".lora_A." in n])
    bound = 16**-0.5  # kaiming_uniform(a=sqrt(5)) over 16 inputs
    assert lora_a.abs().max() <= bound
    assert lora_a.std() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert all(not v.any() for n, v in state.items() if ".lora_B." in n)
    head = next(v for n, v in state.items() if "score" in n)
    assert head.std() == pytest.approx(0.02, rel=0.35)


def test_only_the_adapter_and_the_head_learn(model):
    names = set(values(build(model)))
    assert len(names) == 2 * 4 * 2 + 1
    assert all("lora_" in name or "score" in name for name in names)


def test_an_adapter_is_written_alike_whatever_order_its_process_gives_to_sets(model, tmp_path):
    build(model).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert written["target_modules"] == sorted(written["target_modules"])
    assert len(written["target_modules"]) == 4


def test_padding_changes_no_prediction_even_where_a_row_ends_with_the_end_token(model):
    network = build(model).eval()
    network.config.pad_token_id = 7  # no row ends with it
    rows = [{"input_ids": np.array([3, 7, 4, 2]), "label": 0}, {"input_ids": [5] * 9, "label": 1}]
    both = Collator(7, None)(rows)
    alone = Collator(7, None)(rows[:1])
    with torch.no_grad():
        padded = network(**{k: v for k, v in both.items() if k != "labels"}).logits[0]
        plain = network(**{k: v for k, v in alone.items() if k != "labels"}).logits[0]
    assert torch.allclose(padded, plain, atol=1e-6)


def test_checkpointing_leaves_frozen_layers_alone_and_changes_no_gradient(model):
    batch = Collator(0, None)([{"input_ids": [3, 4, 5], "label": 1}])

    def gradients(checkpointing: bool):
        network = build(model, lora__lora_dropout=0.0).train()
        if checkpointing:
            network.activation_checkpointing_enable(
                activation_checkpointing_kwargs={"use_reentrant": False}
            )
            assert network.is_activation_checkpointing
            skip_frozen_layers(network)
        reached = []
        first = network.base_model.model.model.layers[0]
        first.register_forward_hook(lambda m, i, o: reached.append(o.requires_grad))
        network.config.pad_token_id = 0
        network(**batch).loss.backward()
        return reached, [p.grad for p in network.parameters() if p.requires_grad]

    plain_reached, plain = gradients(False)
    reached, checked = gradients(True)
    assert plain_reached == reached == [False]
    assert all(torch.equal(a, b) for a, b in zip(plain, checked, strict=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"lora.target_modules": ["self_attn.q_proj", "v_proj", "lm_head"]},
        {"lora.target_modules": r".*\.[23]\..*(q|v)_proj", "lora.layers_to_transform": None},
        {"lora.modules_to_save": ["score", "lm_head"]},
    ],
    ids=["dotted", "pattern", "absent head"],
)
def test_what_an_arm_names_in_another_way_is_still_what_runs(model, changes):
    found = read_adapter(build(model, **changes))
    compare(found, planned_adapter(tiny.SETTINGS | changes, tiny.FACTS))


def test_saved_values_come_back(model):
    network = build(model)
    before = trainable_state(network)
    with torch.no_grad():
        for param in network.parameters():
            if param.requires_grad:
                param.add_(1)
    load_trainable_state(network, before)
    after = trainable_state(network)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_loss_of_a_batch_does_not_depend_on_how_it_is_cut():
    loss = WeightedLoss(np.array([0.5, 2.0, 1.0]), label_smoothing=0.1)
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 0, 1])
    weight = loss.weight_of(labels)
    whole = loss(SimpleNamespace(logits=logits), labels, weight)
    parts = sum(
        loss(SimpleNamespace(logits=logits[cut]), labels[cut], weight)
        for cut in (slice(0, 1), slice(1, 6))
    )
    expected = torch.nn.functional.cross_entropy(
        logits, labels, weight=torch.tensor([0.5, 2.0, 1.0]), label_smoothing=0.1
    )
    assert parts.item() == pytest.approx(whole.item())
    assert whole.item() == pytest.approx(expected.item())


def rows_of_steps(cut: Batch, rows: int, epoch: int) -> list[list[int]]:
    """Rows of each optimizer step as accelerate hands them to all devices."""
    from accelerate.data_loader import prepare_data_loader

    parts = []
    for device in range(cut.world_size):
        loader = torch.utils.data.DataLoader(
            torch.arange(rows),
            batch_size=cut.micro,
            sampler=EpochSampler(rows, cut.rows, seed=1),
        )
        shared = prepare_data_loader(
            loader, num_processes=cut.world_size, process_index=device, rng_types=[]
        )
        shared.set_epoch(epoch)  # as Trainer does
        parts.append(list(shared))
    micro = [torch.cat(batches) for batches in zip(*parts, strict=True)]
    size = cut.accumulation
    return [sorted(torch.cat(micro[i : i + size]).tolist()) for i in range(0, len(micro), size)]


@pytest.mark.parametrize("cut", [Batch(8, 2, 1), Batch(8, 1, 2), Batch(2, 4, 2)])
def test_accelerate_hands_each_step_the_same_rows_on_any_number_of_devices(cut):
    expected = rows_of_steps(Batch(16, 1, 1), rows=43, epoch=2)
    assert rows_of_steps(cut, rows=43, epoch=2) == expected
    planned = micro_batches(epoch_order(43, 16, 1, 2), cut)
    assert [sorted(step.ravel().tolist()) for step in planned] == expected


def test_a_run_that_resumes_after_its_last_step_takes_no_other():
    from transformers import TrainerControl, TrainerState

    trainer = RunTrainer.__new__(RunTrainer)
    trainer.sampler = EpochSampler(24, 8, seed=1)
    trainer.state = TrainerState(global_step=10, max_steps=10)  # within an epoch of 3 steps
    trainer.control = TrainerControl()
    trainer._run_epoch(epoch=3, steps_in_epoch=3)
    assert trainer.control.should_training_stop


def test_a_text_that_is_not_cut_may_be_longer_than_the_padding():
    rows = [{"input_ids": [1, 2, 3], "label": 0}, {"input_ids": [1], "label": 1}]
    assert Collator(0, 2)(rows)["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert Collator(0, 5)(rows)["attention_mask"].shape == (2, 5)
    lengths, order = np.array([3, 1]), np.arange(2)
    assert real_token_share(lengths, order, Batch(2, 1, 1), 2) == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    ("epoch", "step", "saved"), [(0.5, 4, True), (1.0, 8, False), (2.5, 20, False)]
)
def test_no_checkpoint_stands_between_an_epoch_and_its_evaluation(epoch, step, saved, tmp_path):
    from transformers import TrainerControl, TrainerState

    control = TrainerControl()
    state = TrainerState(epoch=epoch, global_step=step, max_steps=20)
    keeper = Checkpoints(tmp_path, None, Pulse(), Pace(minutes=0.0), 0)
    keeper.on_step_end(SimpleNamespace(world_size=1), state, control)
    assert control.should_save == saved


def test_the_tiny_model_is_a_folder_with_a_tokenizer(model):
    assert (Path(model["path"]) / "tokenizer.json").is_file()
