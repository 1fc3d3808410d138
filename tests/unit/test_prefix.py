"""The states of the frozen layers: who reads them, and that they are the same training."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tiny
from datasets import concatenate_datasets, load_from_disk

from ablation.errors import (
    RunError,
    UserError,
)
from ablation.frozen import cache as prefixes
from ablation.frozen.cache import Prefix, open_prefix, write_caches
from ablation.frozen.top import (
    build_top,
    compute_missing,
    prune_last_layer,
    whole_size,
)
from ablation.frozen.which import (
    describe_prefix,
    fit_budget,
    wanted_caches,
    wanted_values,
    why_plain,
)
from ablation.results import Results
from ablation.settings.profile import Histogram, Profile, RowCounts, TokenLengths
from ablation.training.job import load_frozen
from ablation.training.network import build_network, trainable_state
from ablation.training.request import done_meanwhile, keep_done, make_request, save_request
from ablation.training.rows import Collator, Rows, load_tables
from ablation.words.errors import translate

LLAMA = {"model_type": "llama", "hidden_size": 16}
LABELS = 4
ARMS = {
    "current": {},
    "upper": {"lora.layers_to_transform": [3], "max_length": 8},
    "first": {"lora.layers_to_transform": [0, 1]},
    "wide": {"data.extract_ratio": 0.8},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    tiny.write_model(folder / "model")
    tiny.write_data(folder / "data")
    tiny.write_grid(folder / "grid.json", ARMS)
    cache(folder)
    return folder


def cache(folder: Path, budget: float = 1.0) -> dict:
    model, data = folder / "model/model.json", folder / "data"
    grid = json.loads((folder / "grid.json").read_text())
    wanted = wanted_values(arm["settings"] for arm in grid["arms"])
    return write_caches(wanted, model, data, folder / "prefix", budget)


def request(folder: Path, arm: str) -> dict:
    grid = json.loads((folder / "grid.json").read_text())
    results = Results(folder)  # what is asked for may be gone when the run looks for it
    return {**make_request(results, grid, arm, 1, 1), "prefix": str(results.frozen)}


def test_each_reason_for_the_plain_path_is_named():
    def reason(architecture=LLAMA, **changes):
        return why_plain(
            tiny.SETTINGS | {k.replace("__", "."): v for k, v in changes.items()}, architecture
        )

    assert reason() is None
    assert "architecture" in reason({"model_type": "bert"})
    assert "dropout" in reason(LLAMA | {"attention_dropout": 0.1})
    assert "first layer" in reason(lora__layers_to_transform=None)
    assert "first layer" in reason(lora__layers_to_transform=[0, 3])
    assert "modules_to_save" in reason(lora__modules_to_save=["score", "embed_tokens"])
    assert "target_modules" in reason(lora__target_modules=["q_proj", "embed_tokens"])
    assert reason(lora__modules_to_save=["score", "lm_head"]) is None  # no classifier has one
    assert "bias" in reason(lora__bias="all")
    assert "ZeRO-3" in reason(**{"deepspeed.zero_optimization.stage": 3})


def test_one_cache_serves_all_arms_of_a_dtype():
    arms = [tiny.SETTINGS | changes for changes in ARMS.values()]
    caches = wanted_caches(arms)
    assert list(caches) == ["float32"]
    assert caches["float32"].boundaries == [2, 3]
    assert caches["float32"].max_length == 12
    assert caches["float32"].extracts == [(0.5, None), (0.8, None)]


def test_the_lowest_boundary_comes_first_where_the_disk_is_small():
    assert fit_budget([2, 3], 6 * 10**8, 1.0) == ([2], 1.0)
    assert fit_budget([2, 3], 5 * 10**8, 1.0) == ([2, 3], 1.0)
    assert fit_budget([2, 3], 4 * 10**9, 1.0) == ([2], 0.25)


def test_what_most_epochs_read_is_kept_first():
    ids, lengths = np.arange(4), np.full(4, 10)
    splits = {"train": (ids, lengths), "validation": (ids[:2], lengths[:2])}
    splits["test"] = (ids, lengths)
    ranks = np.array([0.9, 0.1, 0.5, 0.3])
    kept = prefixes.first_rows(splits, ranks, 49)
    assert {name: list(rows) for name, (rows, _) in kept.items()} == {
        "validation": [0, 1],
        "train": [1, 3],
        "test": [],
    }
    assert all((sizes == 10).all() for _, sizes in kept.values())


OF_TEN = TokenLengths(mean=10, median=10, p95=10, p99=10, max=10, histogram=Histogram())


def test_the_plan_says_what_the_cache_takes_and_who_cannot_use_it():
    arms = [(name, tiny.SETTINGS | changes) for name, changes in ARMS.items()]
    profile = Profile(rows=RowCounts(train=1000), tokens=OF_TEN, special_tail=())
    lines = describe_prefix(arms, LLAMA, 20, profile)
    assert "2, 3 frozen layers" in lines[0]
    assert "0.00102 GB" in lines[0]  # 800 rows x 10 tokens x 64 bytes x 2
    assert "first" in lines[1]
    assert len(lines) == 2
    small = describe_prefix(arms, LLAMA, 0.000256, profile)
    assert "0.000256 GB of prefix_cache_gb 0.000256" in small[0]
    assert "2 frozen layers" in small[0] and "holds 0.5 of the tokens" in small[1]
    earlier = replace(profile, special_tail=None)
    assert describe_prefix(arms, LLAMA, 20, earlier) == lines
    assert "prefix_cache_gb is 0" in describe_prefix(arms, LLAMA, 0, None)[0]


def test_arms_that_cannot_use_the_cache_for_one_reason_are_told_once():
    first = tiny.SETTINGS | ARMS["first"]
    lines = describe_prefix([(f"arm{number}", first) for number in range(90)], LLAMA, 20, None)
    told = [line for line in lines if "themselves" in line]
    assert told == [
        "  90 arms compute their frozen layers themselves (arm0, arm1, arm2, …): "
        "LoRA is in the first layer"
    ]
    assert "구성 90개가" in translate(told[0].strip(), "ko")


@pytest.mark.parametrize("arm", ["current", "upper", "wide"])
@pytest.mark.parametrize("pruned", [False, True])
def test_the_cached_path_gives_the_losses_and_the_adapter_of_the_plain_path(study, arm, pruned):
    config = request(study, arm)
    prefix = open_prefix(config)
    assert prefix.boundary == (3 if arm == "upper" else 2)
    outcomes = []
    for use in (None, prefix):
        network = build_network(config, LABELS, use.boundary if use else 0).train()
        network.config.pad_token_id = network.get_base_model().config.pad_token_id = 0
        if use and pruned:
            assert prune_last_layer(network.get_base_model())
        tables = load_tables(study / "data", config["settings"], LABELS, 1)
        if use:
            tables.read_states(use)
        outcomes.append(train(network, tables.train))
    (plain_losses, plain), (losses, state) = outcomes
    assert np.abs(np.subtract(losses, plain_losses)).max() < 1e-5
    assert set(plain) == set(state)
    assert all(torch.allclose(plain[name], state[name], atol=1e-5) for name in plain)


def test_a_kept_special_token_rules_out_the_states_of_a_longer_cut(study, tmp_path):
    other = Path(shutil.copytree(study, tmp_path / "other"))
    (other / "data/profile.json").write_text('{"special_tail": [2]}')
    assert "another model" in open_prefix(request(other, "current"))
    cache(other)
    assert "cut to 12 tokens" in open_prefix(request(other, "upper"))
    config = request(other, "current")
    rows = load_tables(other / "data", config["settings"], LABELS, 1).train
    index = int(np.argmax(rows.full_lengths))
    tokens = rows[index]["input_ids"]
    assert len(tokens) == 12 < rows.full_lengths[index]
    assert tokens[-1] == 2
    prefix = open_prefix(config)
    network = prefixes.load_bottom(config["model_path"], config["model"], "float32", 2)
    states = prefixes.hidden_states(network, [np.asarray(tokens)], [2])[2][0]
    tables = load_tables(other / "data", config["settings"], LABELS, 1).read_states(prefix)
    cached = tables.train[index]["states"]
    assert torch.allclose(cached, states, atol=1e-5)


def test_rows_that_a_seed_dealt_out_anew_have_the_states_of_their_own_texts(study, tmp_path):
    other = Path(shutil.copytree(study, tmp_path / "other"))
    deal = {"test_size": 0.25, "val_size": 0.25, "stratify_extract": True}
    (other / "data/profile.json").write_text(json.dumps({"special_tail": [], "deal": deal}))
    cache(other)
    config = request(other, "current")
    plain, cached = (load_tables(other / "data", config["settings"], LABELS, 5) for _ in "ab")
    cached.read_states(open_prefix(config))
    assert cached.cached_share() == 1.0
    network = prefixes.load_bottom(config["model_path"], config["model"], "float32", 2)
    for part in ("train", "validation", "test"):
        there, here = getattr(plain, part), getattr(cached, part)
        for index in range(0, len(there), 7):
            tokens = np.asarray(there[index]["input_ids"])
            states = prefixes.hidden_states(network, [tokens], [2])[2][0]
            assert torch.allclose(here[index]["states"], states, atol=1e-5)


@pytest.mark.parametrize("cut", [None, 5, 1])
@pytest.mark.parametrize("tail", [(), (2,)])
def test_last_tokens_are_those_that_rows_end_with(study, cut, tail):
    table = load_from_disk(str(study / "data/train"))
    rows = Rows(table, np.array([5, 3, 70, 71, 90]), cut, tail)
    assert rows.last_tokens() == {int(rows[i]["input_ids"][-1]) for i in range(len(rows))}
    parts = concatenate_datasets([table.select(range(4)), table.select(range(4, 120))])
    assert Rows(parts, rows.ids, cut, tail).last_tokens() == rows.last_tokens()


def test_the_plan_names_arms_whose_texts_end_otherwise_than_in_the_cache():
    arms = [(name, tiny.SETTINGS | changes) for name, changes in ARMS.items()]
    profile = Profile(rows=RowCounts(train=9), tokens=OF_TEN, special_tail=(2,))
    lines = describe_prefix(arms, LLAMA, 20, profile)
    assert any("upper" in line and "special token" in line for line in lines)
    lines = describe_prefix(arms, LLAMA, 20, replace(profile, special_tail=()))
    assert not any("upper" in line for line in lines)


def train(network, rows) -> tuple[list[float], dict]:
    """Losses and trained values of a few steps, with dropout."""
    params = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(params, lr=0.05)  # larger steps magnify the order of sums
    losses = []
    for step in range(5):
        torch.manual_seed(step)
        batch = Collator(0, None)([rows[i] for i in range(6 * step, 6 * step + 6)])
        labels = batch.pop("labels")
        loss = torch.nn.functional.cross_entropy(network(**batch).logits, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses, trainable_state(network)


def test_the_layers_below_are_not_loaded_but_counted(study):
    config = request(study, "current")
    plain, top = build_network(config, LABELS), build_network(config, LABELS, 2)
    sizes = [sum(p.numel() for p in network.parameters()) for network in (plain, top)]
    assert sizes[1] < sizes[0] == sizes[1] + whole_size(top.get_base_model())


def test_an_adapter_of_the_cached_path_loads_on_the_whole_model(study, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    config = request(study, "current")
    top = build_network(config, LABELS, 2)
    top.save_pretrained(tmp_path, save_embedding_layers=False)
    base = AutoModelForSequenceClassification.from_pretrained(
        config["model_path"], num_labels=LABELS
    )
    whole = dict(PeftModel.from_pretrained(base, tmp_path).named_parameters())
    state = trainable_state(top)
    assert any(".layers.3." in name for name in state)
    assert all(torch.equal(whole[name], value) for name, value in state.items())


def test_a_cache_of_other_data_or_rows_is_not_read(study, tmp_path):
    other = Path(shutil.copytree(study, tmp_path / "other"))
    assert isinstance(open_prefix(request(other, "current")), Prefix)
    (other / "data/labels.json").write_text('["another"]')
    assert "another model" in open_prefix(request(other, "current"))
    assert open_prefix(request(study, "first")) == "LoRA is in the first layer"
    (other / "prefix/prefix.json").unlink()
    assert "there is no" in open_prefix(request(other, "current"))


def test_a_model_that_brings_code_stops_no_study(study, tmp_path):
    other = Path(shutil.copytree(study, tmp_path / "other"))
    file = other / "model/model.json"
    record = json.loads(file.read_text()) | {"allow_remote_code": True, "path": "own"}
    file.write_text(json.dumps(record))
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}
    (other / "model/own").mkdir()
    (other / "model/own/config.json").write_text(json.dumps(config))
    assert cache(other)["notes"] == ["the model brings code of its own"]


@pytest.mark.parametrize("kind", ["pickled", "quantized"])
def test_weights_that_only_transformers_reads_rule_the_cache_out(study, tmp_path, kind):
    other = Path(shutil.copytree(study, tmp_path / "other"))
    file = other / "model/model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"path": "own"}))
    own = Path(shutil.copytree(study / "model", other / "model/own"))
    if kind == "pickled":
        (own / "model.safetensors").rename(own / "pytorch_model.bin")
    else:
        config = json.loads((own / "config.json").read_text())
        config["quantization_config"] = {"quant_method": "fp8"}
        (own / "config.json").write_text(json.dumps(config))
    (note,) = cache(other)["notes"]
    assert ("safetensors" if kind == "pickled" else "quantized") in note
    assert open_prefix(request(other, "current")) == note


@pytest.mark.parametrize("damage", ["removed", "cut"])
def test_a_cache_that_is_not_whole_any_more_is_not_read(study, tmp_path, damage):
    other = Path(shutil.copytree(study, tmp_path / "other"))
    record = json.loads((other / "prefix/prefix.json").read_text())
    folder = other / "prefix" / record["caches"]["float32"]["folder"]
    if damage == "removed":
        shutil.rmtree(folder)
    else:
        file = folder / "train.2.bin"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert "not whole" in open_prefix(request(other, "current"))


def test_a_run_begins_anew_where_a_full_disk_left_an_empty_file(study, tmp_path):
    for _ in range(2):
        save_request(request(study, "current"), tmp_path)
        identity = tmp_path / "checkpoints/identity.json"
        assert identity.read_text()
        identity.write_text("")


def test_a_run_that_another_job_has_trained_meanwhile_is_done(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked, run = request(study, "current"), tmp_path / "run"
    assert not done_meanwhile(asked, run, waited=True)
    save_request(asked, run)
    assert not done_meanwhile(asked, run, waited=True)
    lock = tmp_path / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()  # the call begins
    (run / "metrics.json").write_text("{}")
    os.utime(run / "metrics.json", (lock.stat().st_mtime + 1,) * 2)
    keep_done(run)
    (run / "metrics.json").unlink()  # as Snakemake does before a job
    assert not done_meanwhile(asked | {"seed": 7}, run, waited=False)
    assert done_meanwhile(asked, run, waited=False)
    assert (run / "metrics.json").read_text() == "{}"
    assert not (run / "checkpoints").exists()
    (run / ".done.json").unlink()  # its job was killed before
    assert done_meanwhile(asked, run, waited=True) and (run / ".done.json").exists()
    os.utime(run / "metrics.json", (lock.stat().st_mtime + 1,) * 2)
    # A call that has begun since wants it again, as --forcerun does.
    os.utime(lock, (lock.stat().st_mtime + 2,) * 2)
    (run / "metrics.json").unlink()
    assert not done_meanwhile(asked, run, waited=False)
    save_request(asked, run)
    assert not done_meanwhile(asked, run, waited=True)


def test_an_interrupted_cache_is_never_read(study, tmp_path, monkeypatch):
    other = Path(shutil.copytree(study, tmp_path / "other"))
    shutil.rmtree(other / "prefix")

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prefixes, "hidden_states", fail)
        with pytest.raises(KeyboardInterrupt):
            cache(other)
    assert "there is no" in open_prefix(request(other, "current"))
    cache(other)
    assert isinstance(open_prefix(request(other, "current")), Prefix)
    assert not list((other / "prefix").glob("*.part"))


def test_a_disk_without_room_is_told_before_anything_is_computed(study, tmp_path):
    model = json.loads((study / "model/model.json").read_text())
    rows = {name: (np.arange(1), np.full(1, 10**13)) for name in ("train", "validation", "test")}
    folder, where = tmp_path / "float32-0", str(study / "model")
    build = prefixes.Build(dtype="float32", boundaries=[2], max_length=None, splits=rows)
    with pytest.raises(UserError, match="no room") as caught:
        prefixes.build_cache(folder, where, model, study / "data", build)
    assert "prefix_cache_gb: " in caught.value.write
    assert not list(tmp_path.rglob("*.bin"))


def test_a_disk_that_fills_up_is_told_and_the_cache_goes_on_later(study, tmp_path, monkeypatch):
    other = Path(shutil.copytree(study, tmp_path / "other"))
    shutil.rmtree(other / "prefix")

    def open_full(path, size):
        return Path("/dev/full").open("r+b")

    with monkeypatch.context() as patch:
        patch.setattr(prefixes, "open_sized", open_full)
        with pytest.raises(UserError, match="no room") as caught:
            cache(other)
    assert caught.value.found.startswith("the disk is full, ")
    assert "there is no" in open_prefix(request(other, "current"))
    cache(other)
    assert isinstance(open_prefix(request(other, "current")), Prefix)


def test_an_interrupted_cache_goes_on_where_it_was(study, tmp_path, monkeypatch):
    other = Path(shutil.copytree(study, tmp_path / "other"))
    shutil.rmtree(other / "prefix")
    monkeypatch.setattr(prefixes, "TOKENS_AT_ONCE", {"cpu": 100})
    monkeypatch.setattr(prefixes, "NOTE_SECONDS", 0)
    compute, seen = prefixes.hidden_states, []

    def count(network, rows, boundaries):
        if len(seen) == 12:
            raise KeyboardInterrupt
        seen.append(len(rows))
        return compute(network, rows, boundaries)

    monkeypatch.setattr(prefixes, "hidden_states", count)
    with pytest.raises(KeyboardInterrupt):
        cache(other)
    stale = other / "prefix/float32-of-another-study.part"
    stale.mkdir()
    before, seen[:] = sum(seen), []
    monkeypatch.setattr(prefixes, "hidden_states", lambda *a: seen.append(len(a[1])) or compute(*a))
    record = cache(other)
    assert not stale.exists() and not list((other / "prefix").glob("*.part"))
    folders = [base / "prefix" / record["caches"]["float32"]["folder"] for base in (study, other)]
    rows = sum(len(np.load(path)) for path in folders[1].glob("*.ids.npy"))
    assert 0 < before < rows and sum(seen) == rows - before
    for one in (path for path in folders[0].iterdir() if path.name != prefixes.STAMPS):
        left, right = (np.fromfile(folder / one.name, np.uint8) for folder in folders)
        if one.suffix == ".npy":
            assert (left == right).all()
        else:
            assert np.allclose(left.view(np.float32), right.view(np.float32), atol=1e-6)


def test_no_budget_makes_no_cache_and_says_so(study, tmp_path):
    other = Path(shutil.copytree(study, tmp_path / "other"))
    assert cache(other, 0)["caches"] == {}
    assert open_prefix(request(other, "current")) == "prefix_cache_gb is 0"
    cache(other, 1e-9)
    assert "no room for any text" in open_prefix(request(other, "current"))


@pytest.mark.parametrize("pruned", [False, True])
def test_a_run_computes_the_rows_that_a_small_cache_lacks(study, tmp_path, pruned):
    other = Path(shutil.copytree(study, tmp_path / "other"))
    whole = json.loads((study / "prefix/prefix.json").read_text())["caches"]["float32"]
    small = cache(other, whole["bytes"] / 3e9)["caches"]["float32"]
    assert small["boundaries"] == [2] and 0 < small["tokens"] < whole["tokens"]
    assert small["bytes"] <= whole["bytes"] / 3
    config = request(other, "wide")
    plain = load_tables(other / "data", config["settings"], LABELS, 1)
    tables = load_tables(other / "data", config["settings"], LABELS, 1)
    tables.read_states(open_prefix(config))
    assert 0.3 < tables.cached_share() < 0.9
    kinds = [{"states" in tables.train[i] for i in range(n, n + 6)} for n in range(0, 30, 6)]
    assert {True, False} in kinds  # some batches have both kinds
    top = build_network(config, LABELS, 2).train()
    compute_missing(top.get_base_model(), load_frozen(config, 2))
    assert not pruned or prune_last_layer(top.get_base_model())
    network = build_network(config, LABELS).train()
    network.config.pad_token_id = network.get_base_model().config.pad_token_id = 0
    plain_losses, expected = train(network, plain.train)
    losses, state = train(top, tables.train)
    assert np.abs(np.subtract(losses, plain_losses)).max() < 1e-5
    assert set(expected) == set(state)
    assert all(torch.allclose(expected[name], state[name], atol=1e-5) for name in state)


def test_rows_that_the_cache_lacks_may_fill_a_batch(study):
    config = request(study, "current")
    table = load_tables(study / "data", config["settings"], LABELS, 1).train
    top = build_network(config, LABELS, 2).eval()
    compute_missing(top.get_base_model(), load_frozen(config, 2))
    batch = Collator(0, None)([table[i] for i in range(6)])
    assert set(batch) == {"input_ids", "attention_mask", "labels"}
    network = build_network(config, LABELS).eval()
    network.config.pad_token_id = network.get_base_model().config.pad_token_id = 0
    with torch.no_grad():
        assert torch.allclose(top(**batch).logits, network(**batch).logits, atol=1e-6)


@pytest.mark.parametrize("family", ["Llama", "Mistral", "Qwen2", "Qwen3"])
@pytest.mark.parametrize("kind", ["ForCausalLM", "Model"])
def test_every_known_family_computes_the_same_from_the_cache(family, kind, tmp_path):
    tiny.write_family(tmp_path, family, kind, sliding_window=None)
    plain, cached, pruned = outcomes_of(tmp_path)
    assert torch.allclose(plain, cached, atol=1e-6)
    assert torch.allclose(plain, pruned, atol=1e-6)


def test_weights_that_the_files_lack_are_never_drawn_at_random(tmp_path):
    from safetensors.torch import load_file, save_file

    tiny.write_family(tmp_path, "Llama", "ForCausalLM")
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    del weights["model.layers.3.mlp.up_proj.weight"]
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(RunError, match=r"layers\.3\.mlp\.up_proj"):
        build_top(str(tmp_path), None, torch.float32, LABELS, 2)


def test_the_layers_of_a_sharded_decoder_are_found(tmp_path):
    tiny.write_family(tmp_path, "Llama", "Model", shard="8KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    plain, cached, _ = outcomes_of(tmp_path)
    assert torch.allclose(plain, cached, atol=1e-6)


FULL, WINDOW = "full_attention", "sliding_attention"


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("Mistral", {}),
        ("Qwen2", {"use_sliding_window": True, "max_window_layers": 0}),
        ("Qwen3", {"use_sliding_window": True, "layer_types": [FULL, WINDOW, FULL, WINDOW]}),
        ("Qwen3", {"use_sliding_window": True, "layer_types": [FULL, WINDOW, WINDOW, FULL]}),
    ],
)
def test_a_window_shorter_than_the_text_is_kept(family, options, tmp_path):
    tiny.write_family(tmp_path, family, "ForCausalLM", sliding_window=3, **options)
    plain, cached, pruned = outcomes_of(tmp_path)
    assert torch.allclose(plain, cached, atol=1e-6)
    assert torch.allclose(plain, pruned, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_states_are_those_of_a_model_that_the_engine_casts(dtype, tmp_path):
    from transformers import AutoModel

    tiny.write_family(tmp_path, "Llama", "ForCausalLM")
    bottom = prefixes.load_bottom(str(tmp_path), {"revision": None}, dtype, 2)
    whole = AutoModel.from_pretrained(tmp_path, dtype=torch.float32).eval()
    for param in whole.parameters():  # DeepSpeed leaves buffers as they are
        param.data = param.data.to(getattr(torch, dtype))
    rows = [np.arange(1, 60)]
    states = [prefixes.hidden_states(network, rows, [2])[2] for network in (bottom, whole)]
    assert states[0].dtype == getattr(torch, dtype)
    assert torch.equal(*states)


def test_weights_that_are_rounded_twice_rule_the_cache_out():
    twice = tiny.SETTINGS | {"model.dtype": "bfloat16", "fp16": True}
    assert "rounded" in why_plain(twice, LLAMA)
    for once in ({"bf16": True}, {"model.dtype": "bfloat16", "bf16": True}):
        assert why_plain(tiny.SETTINGS | once, LLAMA) is None


def outcomes_of(folder: Path) -> tuple:
    """Logits of all layers, of the layers above two, and of those with the last one pruned."""
    job = {
        "model": {"revision": None},
        "model_path": str(folder),
        "seed": 1,
        "settings": tiny.SETTINGS,
    }
    ids = torch.randint(1, 70, (3, 9))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    ids[1, 5:] = 0
    bottom = prefixes.load_bottom(str(folder), {"revision": None}, "float32", 2)
    states = prefixes.hidden_states(
        bottom, [row[:n] for row, n in zip(ids, mask.sum(1), strict=True)], [2]
    )[2]
    with torch.no_grad():
        plain = build_network(job, LABELS).eval()(input_ids=ids, attention_mask=mask).logits
        top = build_network(job, LABELS, 2).eval()
        cached = top(inputs_embeds=states, attention_mask=mask).logits
        prune_last_layer(top.get_base_model())
        pruned = top(inputs_embeds=states, attention_mask=mask).logits
    return plain, cached, pruned
