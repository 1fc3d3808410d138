# Everything that is Python: the study, its grid, and what a run asks of the machine.

import json
import os
import sys
from pathlib import Path

# Relative, so that a moved checkout finds its finished runs unchanged.
BASE = Path(os.path.relpath(workflow.basedir))
SCRIPTS = BASE / "scripts"
sys.path.insert(0, str(SCRIPTS.resolve()))

from ablation import incomplete
from ablation.errors import UserError
from ablation.grid import describe
from ablation.grid import expand as expand_arms
from ablation.machine import devices_of_run, visible_gpus
from ablation.prefix import describe_prefix
from ablation.study import check_options, load_study, study_file

STUDIES = config.get("studies") or str(BASE / "config" / "studies")
try:
    check_options(config)
    STUDY = load_study(study_file(config["study"], STUDIES))
    GRID = expand_arms(STUDY)
    GPUS = visible_gpus()
    DEVICES = {
        arm.variant: devices_of_run(config["devices_per_run"], arm.settings, GPUS)
        for arm in GRID.arms
    }
except UserError as error:
    sys.exit(f"error: {error}")

VARIANTS = list(DEVICES)
LANGUAGES = {"report": "en", "report.ko": "ko"}
FIGURES = ["waterfall", "loss_curves", "learning_rates", "gradient_norms"]

# One box hands out no device ids, so jobs that use GPUs take turns: each may use all of them.
if GPUS:
    workflow.register_resource("gpu", max(DEVICES.values()))
if workflow.is_main_process:
    kind = "GPU" if GPUS or config["devices_per_run"] == "source" else "CPU process"
    print(describe(STUDY, GRID, max(DEVICES.values()), kind), file=sys.stderr)
    profile = Path("results") / STUDY.name / "data/profile.json"
    plan = describe_prefix(
        [(arm.name, arm.settings) for arm in GRID.arms],
        STUDY.options["model"]["architecture"] or {},
        config["prefix_cache_gb"],
        json.loads(profile.read_text()) if profile.exists() else None,
    )
    print("\n".join(plan), file=sys.stderr)


wildcard_constraints:
    study="|".join([STUDY.name]),
    variant="|".join(VARIANTS),
    seed=r"\d+",


def get_final_output():
    """The files that a finished study has."""
    return [
        *(f"results/{STUDY.name}/{name}.md" for name in LANGUAGES),
        f"results/{STUDY.name}/grid.csv",
    ]


def get_metrics():
    """The metrics of every run of the grid."""
    return [
        f"results/{STUDY.name}/runs/{run.variant}/seed-{run.seed}/metrics.json"
        for run in GRID.runs()
    ]


def get_study_files(wildcards):
    """What the user wrote: study.yaml and both configurations."""
    return [str(STUDY.file), STUDY.current.file, STUDY.backup.file]


def get_messages(wildcards):
    """The texts of the report and of what it takes up, in all languages."""
    return sorted(map(str, (BASE / "workflow/report/messages").glob("*.yaml")))


def get_data_file(wildcards):
    """The study's data, where it is a file that can be watched for changes."""
    path = STUDY.data_options()["path"]
    return [path] if path and Path(path).is_file() else []


def data_identity():
    """What changes the prepared rows, besides the data itself: their split and their text."""
    options = STUDY.data_options()
    return {
        key: options[key] for key in sorted(options) if key not in ("file", "lines")
    }


def max_lengths():
    """The max lengths of all arms, in tokens."""
    return sorted({int(arm.settings["max_length"]) for arm in GRID.arms})


def train_devices(wildcards):
    """The devices of one run: GPUs, or processes on a machine without."""
    return DEVICES[wildcards.variant]


def train_threads(wildcards):
    """One run's CPU threads: those of each device's process."""
    return DEVICES[wildcards.variant] * config["threads_per_device"]


def train_gpus(wildcards):
    """One run's GPUs; 0 on a machine without, where its processes run on the CPU."""
    wanted = DEVICES[wildcards.variant]
    return wanted if GPUS or config["devices_per_run"] == "source" else 0


def get_library(wildcards):
    """The library without training: its change makes the cheap rules run again."""
    return sorted(map(str, SCRIPTS.glob("ablation/*.py")))


def require_data():
    """End with a message where the study has nothing to train on."""
    try:
        STUDY.require_data()
    except UserError as error:
        sys.exit(f"error: {error}")


def render_partial_report():
    """Render the report from the runs that are there, after one has failed."""
    incomplete.render(STUDY.file, SCRIPTS, Path("results") / STUDY.name, LANGUAGES)
