"""What a run is asked to do: config.json and ds_config.json, written before the launch."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from ablation.data.model import ModelRecord, model_folder, require_unchanged
from ablation.data.outcomes import OUTCOMES
from ablation.data.prepared import data_fingerprint, digest, require_whole
from ablation.data.request import Request
from ablation.errors import UserError
from ablation.files import load_record, save_json, save_text
from ablation.machine.attempts import end_attempt
from ablation.machine.launcher import has_gpu
from ablation.machine.progress import LOCKS
from ablation.project import LOCK
from ablation.records import leaves
from ablation.results import Results
from ablation.settings.catalogue import Settings
from ablation.settings.profile import load_profile
from ablation.settings.quantities import POOL_ROWS
from ablation.study.grid_file import GridFile
from ablation.study.resolved import load_resolved
from ablation.sums import file_sum
from ablation.training.intent import batch_of, deepspeed_config
from ablation.training.marks import checkpoints_in, pass_over, why_damaged

# Libraries whose version decides the numbers.
PACKAGES = ("torch", "transformers", "peft", "deepspeed", "accelerate", "datasets", "numpy")
TOLD = 5  # differences that are named
log = logging.getLogger(__name__)
IDENTITY = "identity.json"  # beside the checkpoints: what they were made for
KEPT = ".done.json"  # the result once more, where Snakemake does not remove it


def make_request(
    results: Results, grid: GridFile, variant: str, seed: int, world_size: int
) -> Request:
    """Contents of config.json: all that the ranks need, and nothing else decides what they do.

    Raises:
        UserError: The grid has no such variant, or its settings can't run on this machine.
    """
    settings = settings_of(grid, variant)
    batch = batch_of(settings, world_size)
    data, model = results.data, load_record(results.model)
    path = model_folder(model, results.model)
    require_unchanged(model, path)
    require_whole(data)
    require_rows(settings, data)
    provenance = provenance_of(model, data)
    request: Request = {
        "study": grid["study"],
        "variant": variant,
        "seed": seed,
        "settings_hash": digest(settings),
        "settings": settings,
        "batch": batch.as_dict(),
        "deepspeed": deepspeed_config(settings, batch),
        "model": model,
        "model_path": path,
        "data": str(data),
        "prefix": str(results.frozen) if results.frozen.is_file() else None,
        "data_fingerprint": provenance["data"],
        "output": str(results.run(variant, seed)),
        "code_commit": code_commit(),
        "provenance": provenance,
    }
    if results.study.is_file():
        request["checkpoint_minutes"] = load_resolved(results).options["checkpoint_minutes"]
    return request


def grid_of(variant: str, results: Results) -> GridFile:
    """The grid that holds a run's arm: the plan, or what results may add to it."""
    planned: GridFile = load_record(results.planned_grid)
    if any(arm["variant"] == variant for arm in planned["arms"]):
        return planned
    added: GridFile = load_record(results.candidates)
    return added


def provenance_of(model: ModelRecord, data: Path) -> dict[str, str | None]:
    """Sums of what a run is made from: `lock`, `model` and `data`; None where nothing is known."""
    sums = {name: stamp["xxh3"] for name, stamp in (model.get("sums") or {}).items()}
    return {
        "lock": file_sum(LOCK)[:16] if LOCK.is_file() else None,
        "model": digest(sums) if sums else None,
        "data": data_fingerprint(data),
    }


def require_rows(settings: Settings, data: Path) -> None:
    """Raise a `UserError` where an arm draws from more training rows than there are."""
    wanted = settings.get(POOL_ROWS)
    if wanted is None:
        return
    there = load_profile(data / "profile.json").rows.train
    if wanted > there:
        raise UserError(
            "a rung has more rows than there are to train on",
            found=wanted,
            allowed=f"at most {there}: all rows but those held out",
            write=f"rows: [..., {there}]   # under scale:",
        )


def settings_of(grid: GridFile, variant: str) -> Settings:
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


def identity_of(request: Request) -> dict[str, str]:
    """What checkpoints must have been made with for a run to go on from them, by dotted name.

    The libraries' versions and the kind of device are part of it: a run is of one kind.
    """
    names = ("settings", "seed", "batch", "deepspeed", "data_fingerprint")
    whole: Mapping[str, object] = request
    found = {name: whole[name] for name in names}
    found["model"] = digest(request["model"])
    found["versions"] = {name: version(name) for name in PACKAGES}
    found["device"] = "GPU" if has_gpu() else "CPU"
    return {name: json.dumps(value, ensure_ascii=False) for name, value in leaves(found)}


def other_identity(file: Path, identity: Mapping[str, str]) -> str:
    """What differs from the identity in a file, in words; empty where nothing does."""
    try:
        before = json.loads(file.read_bytes())
        before.keys()
    except (OSError, ValueError, AttributeError):
        return f"{file.name} is absent, damaged or of an earlier version"
    names = [n for n in {**before, **identity} if before.get(n) != identity.get(n)]
    told = [f"{n}: {before.get(n, 'none')}, now {identity.get(n, 'none')}" for n in names[:TOLD]]
    return "; ".join([*told, *[f"{len(names) - TOLD} more"] * (len(names) > TOLD)])


def keep_done(output: Path) -> None:
    """Keep the result of a run under a name that Snakemake does not know."""
    with suppress(OSError):  # a disk without links: then it is trained again
        os.link(output / "metrics.json", output / KEPT)


def done_meanwhile(request: Request, output: Path, waited: bool) -> bool:
    """Whether another job has trained just this run since Snakemake was called.

    Snakemake removes the result before the job that it asks for: it is put back.

    Args:
        request: What the run is asked to do.
        output: The run's folder.
        waited: Whether that job was waited for.
    """
    try:
        asked = json.loads((output / "config.json").read_bytes())
        if not waited:
            called = max(path.stat().st_mtime for path in LOCKS.iterdir())
            waited = (output / KEPT).stat().st_mtime > called
    except (OSError, ValueError):  # nothing is there, or no Snakemake has called
        return False
    if not waited or asked != json.loads(json.dumps(request)):
        return False
    with suppress(OSError):
        os.link(output / KEPT, output / "metrics.json")
    if not (output / "metrics.json").exists():
        return False
    keep_done(output)  # that job may have been killed before
    shutil.rmtree(output / "checkpoints", ignore_errors=True)
    end_attempt(output)
    return True


def save_request(request: Request, output: Path) -> None:
    """Write the run's files, and drop results and checkpoints of another request.

    Checkpoints stay if what makes the numbers is unchanged: then the run goes on from them.
    """
    output.mkdir(parents=True, exist_ok=True)
    for name in ("metrics.json", KEPT, OUTCOMES):
        (output / name).unlink(missing_ok=True)
    shutil.rmtree(output / "adapter", ignore_errors=True)
    checkpoints = output / "checkpoints"
    identity = identity_of(request)
    other = other_identity(checkpoints / IDENTITY, identity)
    if other:
        if checkpoints_in(checkpoints):
            log.warning("the checkpoints are not this run's (%s): the run begins anew", other)
        shutil.rmtree(checkpoints, ignore_errors=True)
        checkpoints.mkdir()
        save_json(identity, checkpoints / IDENTITY)
    pass_over(checkpoints, why_damaged)
    for name, value in (("config", request), ("ds_config", request["deepspeed"])):
        text = json.dumps(value, indent=2, ensure_ascii=False)
        save_text(text + "\n", output / f"{name}.json")
