"""What a run is asked to do: config.json and ds_config.json, written before the launch."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ablation.data.model import model_folder, require_unchanged
from ablation.data.outcomes import OUTCOMES
from ablation.data.prepared import data_fingerprint, digest, require_whole
from ablation.errors import UserError
from ablation.settings.quantities import POOL_ROWS
from ablation.training.intent import batch_of, deepspeed_config
from ablation.training.marks import checkpoints_in, remove_damaged

log = logging.getLogger(__name__)
IDENTITY = "identity.json"  # beside the checkpoints: what they were made for


def make_request(
    grid: dict[str, Any],
    variant: str,
    seed: int,
    model_json: Path,
    data: Path,
    output: Path,
    world_size: int,
    prefix: Path | None = None,
) -> dict[str, Any]:
    """Contents of config.json: all that the ranks need, and nothing else decides what they do.

    Raises:
        UserError: The grid has no such variant, or its settings can't run on this machine.
    """
    settings = settings_of(grid, variant)
    batch = batch_of(settings, world_size)
    model = json.loads(model_json.read_text())
    require_unchanged(model, model_folder(model, model_json))
    require_whole(data)
    require_rows(settings, data)
    return {
        "study": grid["study"],
        "variant": variant,
        "seed": seed,
        "settings_hash": digest(settings),
        "settings": settings,
        "batch": batch.as_dict(),
        "deepspeed": deepspeed_config(settings, batch),
        "model": model,
        "model_path": model_folder(model, model_json),
        "data": str(data),
        "prefix": str(prefix) if prefix else None,
        "data_fingerprint": data_fingerprint(data),
        "output": str(output),
        "code_commit": code_commit(),
    }


def require_rows(settings: dict[str, Any], data: Path) -> None:
    """Raise a `UserError` where an arm draws from more training rows than there are."""
    wanted = settings.get(POOL_ROWS)
    if wanted is None:
        return
    there = json.loads((data / "profile.json").read_text(encoding="utf-8"))["rows"]["train"]
    if wanted > there:
        raise UserError(
            "a rung has more rows than there are to train on",
            found=wanted,
            allowed=f"at most {there}: all rows but those held out",
            write=f"rows: [..., {there}]   # under scale:",
        )


def settings_of(grid: dict[str, Any], variant: str) -> dict[str, Any]:
    """Settings of a variant of the grid."""
    for arm in grid["arms"]:
        if arm["variant"] == variant:
            return arm["settings"]
    raise UserError(
        "the grid has no such variant",
        found=variant,
        allowed=sorted({arm["variant"] for arm in grid["arms"]}),
    )


def code_commit() -> str | None:
    """Commit of the project's code, None outside a repository; "+" marks uncommitted changes."""
    here = Path(__file__).parent
    try:
        commit = git(here, "rev-parse", "HEAD")
        return commit + ("+" if git(here, "status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def git(folder: Path, *arguments: str) -> str:
    """Output of a git command in a folder."""
    command = ["git", "-C", str(folder), *arguments]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return result.stdout.strip()


def save_request(request: dict[str, Any], output: Path) -> None:
    """Write the run's files, and drop results and checkpoints of another request.

    Checkpoints stay if what makes the numbers is unchanged: then the run goes on from them.
    """
    output.mkdir(parents=True, exist_ok=True)
    for name in ("metrics.json", OUTCOMES):
        (output / name).unlink(missing_ok=True)
    shutil.rmtree(output / "adapter", ignore_errors=True)
    checkpoints = output / "checkpoints"
    names = ("settings", "seed", "batch", "deepspeed", "model", "data_fingerprint")
    identity = digest({name: request[name] for name in names})
    file = checkpoints / IDENTITY
    text = json.dumps(identity)
    if not file.is_file() or file.read_bytes() != text.encode():  # empty where the disk was full
        if checkpoints_in(checkpoints):
            log.warning("the checkpoints are of another request or damaged: the run begins anew")
        shutil.rmtree(checkpoints, ignore_errors=True)
        checkpoints.mkdir()
        file.write_text(text)
    remove_damaged(checkpoints)
    for name, value in (("config", request), ("ds_config", request["deepspeed"])):
        text = json.dumps(value, indent=2, ensure_ascii=False)
        (output / f"{name}.json").write_text(text + "\n")
