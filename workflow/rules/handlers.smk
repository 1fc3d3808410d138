# What is done as a call starts, and when it ends well or not.

import subprocess

from ablation.study.run_metrics import is_whole
from ablation.results import remove_partial


def end_incomplete():
    """What is done when not all is: keep what has finished, and report it."""
    keep_finished()
    # Not where a signal came when all was done, or what failed is another workflow's: no later
    # call would remove the partial report of a finished study.
    if any(is_ours(job) for job in workflow.dag.needrun_jobs()):
        render_partial()


def is_ours(job):
    """Whether a job makes something of the study."""
    return any(Path(file).is_relative_to(PLAN.results.folder) for file in job.output)


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


onstart:
    checked(PLAN.check_start)


onsuccess:
    # Also where the report was there before, and only something after it had failed.
    remove_finished_partial()


onerror:
    # A failed run never blocks the report: it is rendered from the runs that are there.
    end_incomplete()


# Snakemake heeds the handlers of the outermost Snakefile only.
if workflow.modifier.namespace or not workflow.modifier.is_main_snakefile():
    end_incomplete_also(workflow)
