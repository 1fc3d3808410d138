"""A broken model is one message before any run, and says which file, and which parameters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import tiny
from safetensors.torch import load_file, save_file

from ablation.data.model import prepare_model, require_unchanged
from ablation.data.weights import INDEX, WEIGHTS
from ablation.errors import UserError
from ablation.training.parameters import check_parameters


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    tiny.write_model(folder)
    (folder / "model.json").unlink()
    return folder


@pytest.fixture
def model(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def prepare(model: Path, **options) -> dict:
    given = {"path": str(model), "file": "study.yaml", "lines": {"model.path": 9}, **options}
    return prepare_model(given, model.parent / "out", check_parameters)


def change_weights(model: Path, change) -> None:
    state = load_file(model / WEIGHTS)
    change(state)
    save_file(state, model / WEIGHTS, metadata={"format": "pt"})


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def edit_config(model: Path, **changes) -> None:
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def without_layer(model):
    change_weights(model, lambda state: state.pop("model.layers.1.mlp.up_proj.weight"))


def not_a_number(model):
    change_weights(
        model,
        lambda state: state["model.layers.0.mlp.up_proj.weight"].view(-1)[7:8].fill_(float("nan")),
    )


def infinite_bfloat16(model):
    def change(state):
        state["model.norm.weight"] = torch.full((16,), float("inf"), dtype=torch.bfloat16)

    change_weights(model, change)


def other_shape(model):
    change_weights(model, lambda state: state.update({"model.norm.weight": torch.ones(7)}))


def pickled(model):
    state = load_file(model / WEIGHTS)
    (model / WEIGHTS).unlink()
    torch.save(state, model / "pytorch_model.bin")


def index_without_file(model):
    (model / WEIGHTS).unlink()
    (model / INDEX).write_text(json.dumps({"weight_map": {"a": "model-00001-of-2.safetensors"}}))


def index_of(model, weights):
    (model / WEIGHTS).unlink()
    (model / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weights}))


def index_elsewhere(model):
    shutil.copy(model / WEIGHTS, model.parent / WEIGHTS)
    index_of(model, {"a": f"../{WEIGHTS}"})


def shards(model, without=""):
    state = load_file(model / WEIGHTS)
    names = sorted(state)
    halves = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for file, own in halves.items():
        part = {name: state[name] for name in own if name != without}
        save_file(part, model / file, metadata={"format": "pt"})
    index_of(model, {name: file for file, own in halves.items() for name in own})


def not_a_number_in_8_bits(model):
    name = "model.layers.0.mlp.up_proj.weight"
    change_weights(
        model,
        lambda state: state.update(
            {name: torch.full_like(state[name], float("nan")).to(torch.float8_e4m3fn)}
        ),
    )


def whole_numbers(model):
    name = "model.layers.0.mlp.up_proj.weight"
    change_weights(model, lambda state: state.update({name: state[name].to(torch.int8)}))


def tied_to_nothing(model):
    edit_config(model, tie_word_embeddings=True)
    change_weights(model, lambda state: state.pop("model.embed_tokens.weight"))


def one_tensor_twice(model):
    shards(model)
    state = load_file(model / "one.safetensors")
    other = load_file(model / "two.safetensors")
    other["lm_head.weight"] = state["lm_head.weight"] * 2
    save_file(other, model / "two.safetensors", metadata={"format": "pt"})


def header_of(content: bytes):
    return lambda m: (m / WEIGHTS).write_bytes(content)


def zeros_at_its_end(model):
    content = (model / WEIGHTS).read_bytes()
    (model / WEIGHTS).write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n"
BROKEN = {
    "an end that was never written": (zeros_at_its_end, "zero from some place to the end"),
    "no room for a token": (
        lambda m: edit_config(m, max_position_embeddings=0),
        "max_position_embeddings: 0",
    ),
    "no weights": (lambda m: (m / WEIGHTS).unlink(), "has no weights"),
    "a shard absent": (index_without_file, "names files that are not there"),
    "a shard of another folder": (
        index_elsewhere,
        "names files of another folder",
    ),
    "a shard that is a number": (
        lambda m: index_of(m, {"a": 1}),
        r"names files that are not there(.|\n)*found:   1",
    ),
    "a shard without its tensor": (
        lambda m: shards(m, without="model.layers.1.mlp.up_proj.weight"),
        r"lack parameters(.|\n)*model\.layers\.1\.mlp\.up_proj\.weight",
    ),
    "NaN in 8 bits": (not_a_number_in_8_bits, "infinite or not a number"),
    "whole numbers": (whole_numbers, "of a quantized model"),
    "a pointer of Git LFS": (lambda m: (m / WEIGHTS).write_text(POINTER), "pointer of Git LFS"),
    "a tokenizer of Git LFS": (
        lambda m: (m / "tokenizer.json").write_text(POINTER),
        "pointer of Git LFS",
    ),
    "an adapter beside": (
        lambda m: (m / "adapter_config.json").write_text("{}"),
        "an adapter beside the weights",
    ),
    "padding beyond": (lambda m: edit_config(m, pad_token_id=999), "Padding_idx"),
    "a list of first tokens": (
        lambda m: edit_config(m, bos_token_id=[1]),
        "bos_token_id.*doesn't match",
    ),
    "tied to what is absent": (tied_to_nothing, r"model\.embed_tokens\.weight"),
    "a layer missing": (without_layer, r"model\.layers\.1\.mlp\.up_proj\.weight"),
    "NaN": (not_a_number, r"found:   model\.layers\.0\.mlp\.up_proj\.weight"),
    "infinite": (infinite_bfloat16, r"found:   model\.norm\.weight"),
    "a pickle": (pickled, "allow_pickle: true"),
    "cut in half": (lambda m: cut(m / WEIGHTS, 0.5), "is broken"),
    "cut in its header": (lambda m: cut(m / WEIGHTS, 0.01), "is broken"),
    "empty": (lambda m: (m / WEIGHTS).write_bytes(b""), "is broken"),
    "other shape": (other_shape, r"model\.norm\.weight is \[7\], not \[16\]"),
    "tokenizer {}": (lambda m: (m / "tokenizer.json").write_text("{}"), "tokenizer.json of the"),
    "tokenizer cut": (lambda m: cut(m / "tokenizer.json", 0.5), "tokenizer.json of the model"),
    "config cut": (lambda m: cut(m / "config.json", 0.5), "config.json of the model cannot be"),
    "config a list": (lambda m: (m / "config.json").write_text("[1]"), "is no mapping"),
    "type unknown": (lambda m: edit_config(m, model_type="lama"), "cannot load the model"),
    "heads do not divide": (lambda m: edit_config(m, num_attention_heads=3), "."),
    "fewer layers": (
        lambda m: edit_config(m, num_hidden_layers=2),
        r"leaves out(.|\n)*found:   model\.layers\.2\.",
    ),
    "no layers": (lambda m: edit_config(m, num_hidden_layers=0), "has no layers"),
    "a number of layers below 0": (lambda m: edit_config(m, num_hidden_layers=-1), "has no layers"),
    "a tensor in two files": (one_tensor_twice, r"in two of its files(.|\n)*lm_head\.weight"),
    "a quantized model": (
        lambda m: edit_config(m, quantization_config={"quant_method": "fp8"}),
        "quantized(.|\n)*found:   quantization_config: fp8",
    ),
    "a header beyond the file": (header_of((2**62).to_bytes(8, "little") + b"{}"), "is broken"),
    "a header that never ends": (
        header_of((50_000).to_bytes(8, "little") + b'{"a":' * 10_000),
        "is broken",
    ),
    "a gigantic tensor": (
        header_of(
            (68).to_bytes(8, "little")
            + b'{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,99]}}  '
        ),
        "is broken",
    ),
    "the weights of another architecture": (
        lambda m: edit_config(m, model_type="gpt2"),
        r"lack parameters(.|\n)*transformer\.h\.0",
    ),
    "a prefix of another program": (
        lambda m: save_file(
            {f"module.{n}": v for n, v in load_file(m / WEIGHTS).items()}, m / WEIGHTS
        ),
        "lack parameters",
    ),
    "a folder for its weights": (
        lambda m: ((m / WEIGHTS).unlink(), (m / WEIGHTS).mkdir()),
        "has no weights",
    ),
    "a tokenizer that is a list": (
        lambda m: (m / "tokenizer.json").write_text("[]"),
        "tokenizer.json of the model",
    ),
    "more layers": (lambda m: edit_config(m, num_hidden_layers=5), r"model\.layers\.4\."),
    "own code": (
        lambda m: edit_config(m, model_type="own", auto_map={"AutoConfig": "own.Config"}),
        "allow_remote_code: true",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_is_one_message_with_the_line_of_the_study(model, name):
    damage, part = BROKEN[name]
    damage(model)
    with pytest.raises(UserError, match=part) as caught:
        prepare(model)
    assert str(caught.value).startswith("study.yaml:9: ")
    assert not (model.parent / "out" / "model.json").exists()


def test_a_whole_model_is_recorded_with_its_sums(model):
    record = prepare(model)
    assert sorted(record["sums"]) == ["config.json", "model.safetensors", "tokenizer.json"]
    require_unchanged(record, str(model))


def test_shards_and_a_tied_head_are_whole(model):
    shards(model)
    prepare(model)
    (model / INDEX).unlink()
    state = load_file(model / "one.safetensors") | load_file(model / "two.safetensors")
    state.pop("lm_head.weight")
    save_file(state, model / WEIGHTS, metadata={"format": "pt"})
    edit_config(model, tie_word_embeddings=True)
    prepare(model)


def test_a_permitted_pickle_is_taken(model):
    pickled(model)
    assert prepare(model, allow_pickle=True)["allow_pickle"] is True


def test_a_head_of_another_number_of_classes_is_a_new_one(model):
    change_weights(model, lambda state: state.update({"score.weight": torch.ones(9, 16)}))
    prepare(model)


def test_a_model_that_changed_after_it_was_prepared_is_told(model):
    record = prepare(model)
    path = model / WEIGHTS
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="changed since it was prepared"):
        require_unchanged(record, str(model))
