# The plan of the study, and the functions through which rules ask it for their files.

import subprocess

from ablation.evidence.run import is_whole
from ablation.results import remove_partial, report_name
from ablation.trackers import TRACKERS
from ablation.words import catalogue as words
from ablation.workflow.interrupt import tell_of_interrupts
from ablation.workflow.library import code_hashes
from ablation.workflow.plan import Caller, make_plan

PLAN = checked(
    make_plan,
    config,
    BASE / "config/studies",
    Caller(
        cores=workflow.resource_settings.cores,
        remote=workflow.remote_exec,
        dry=workflow.dryrun,
        options=OPTIONS,
    ),
)
STUDY = PLAN.study
LIBRARY = code_hashes()
LANGUAGES = {report_name(language): language for language in words.LANGUAGES}
# Of a command: a warm worker's socket is for one machine.
WARM = f" --warm {PLAN.results.folder}/.warm" * (
    config["warm_worker"] == "auto" and not PLAN.cluster
)

# Snakemake counts the GPUs, and each run takes a lease of its own (ablation.machine.leases).
if PLAN.gpus and not PLAN.cluster and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", PLAN.gpus)


wildcard_constraints:
    study="|".join([STUDY.name]),
    # Not the names themselves: Snakemake searches a constraint for each file of each job.
    variant="[^/]+",
    seed=r"\d+",


def show_plan():
    """Say what will be run, once for all processes of a call."""
    if workflow.is_main_process:
        print(checked(PLAN.describe, words.asked_language()), file=sys.stderr)
        if not workflow.dryrun:
            tell_of_interrupts(words.asked_language())


def get_final_output():
    """The files that a finished study has; what results decide waits for them."""
    return [
        *PLAN.final_files(),
        *[get_decided_metrics] * STUDY.adaptive,
        *[get_confirmation_metrics] * bool(STUDY.options["confirm"]),
    ]


def get_metrics():
    """The metrics of every run: those planned, or those that results have decided on."""
    return get_decided_metrics if STUDY.adaptive else PLAN.metrics()


def get_decided_metrics(wildcards):
    return PLAN.metrics_of(checkpoints.decide_grid.get(study=STUDY.name).output.json)


def get_confirmation_metrics(wildcards):
    chosen = checkpoints.choose_confirmation.get(study=STUDY.name)
    return PLAN.metrics_of(chosen.output.grid)


def wait_for_look(**which):
    return checkpoints.decide_seeds.get(study=STUDY.name, **which).output[0]


def wait_for_step(**which):
    return checkpoints.choose_step.get(study=STUDY.name, **which).output[0]


def get_earlier_looks(wildcards):
    return PLAN.looks(int(wildcards.look) - 1, wait_for_look)


def get_look_metrics(wildcards):
    return PLAN.look_metrics(get_earlier_looks(wildcards))


def get_earlier_steps(wildcards):
    return PLAN.steps(wildcards.direction, int(wildcards.step) - 1, wait_for_step)


def get_step_metrics(wildcards):
    return PLAN.step_metrics(wildcards.direction, get_earlier_steps(wildcards))


def get_decisions(wildcards):
    return PLAN.decisions(wait_for_look, wait_for_step)


def get_confirmation(wildcards):
    return [str(PLAN.results.verdict)] * bool(STUDY.options["confirm"])


def end_incomplete():
    """What is done when not all is: keep what has finished, and report it."""
    keep_finished()
    render_partial()


def end_incomplete_also(outer):
    """Let a workflow that uses this one as a module do so, too, beside what it does itself."""
    own = outer._onerror

    def handler(log):
        own(log)
        end_incomplete()

    outer._onerror = handler


def keep_finished():
    """Let runs count as done that ended after an interrupt: Snakemake no longer listened."""
    for job in list(workflow.dag.jobs):
        if not job.rule.name.endswith("train_run"):
            continue
        # Whole files are read and hashed: first what rules out nearly all of them.
        if workflow.async_run(workflow.persistence.incomplete(job)) and is_whole(
            job.output[0]
        ):
            workflow.async_run(workflow.persistence.finished(job))


def remove_finished_partial():
    """Remove the partial report once the study has all its files."""
    if all(Path(file).exists() for file in PLAN.final_files()):
        remove_partial(PLAN.results)


def render_partial():
    """Render the report of the runs that are there, after one has failed."""
    command = [sys.executable, SCRIPTS / "render_partial.py"]
    command += ["--results", PLAN.results.folder, "--devices", str(PLAN.told or 0)]
    subprocess.run(command, check=False)
