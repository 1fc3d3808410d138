"""Creates a Kubernetes Job for a job of Snakemake, and prints its name.

python profiles/kubernetes/submit.py profiles/kubernetes/job.yaml JOBSCRIPT
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import read_job_properties


def job_of(template: dict[str, Any], jobscript: Path, folder: Path) -> dict[str, Any]:
    """The Job: the template with what Snakemake asks for.

    Args:
        template: A Job of one container.
        jobscript: What is to run, with the job's properties in its head.
        folder: Where it runs, in the pod as here.
    """
    asked = read_job_properties(str(jobscript))
    told, pod = template["metadata"], template["spec"]["template"]["spec"]
    told["generateName"] = f"{asked['rule'].replace('_', '-')}-"
    told.setdefault("annotations", {})["wildcards"] = json.dumps(asked["wildcards"])
    container = pod["containers"][0]
    script = jobscript.read_text(encoding="utf-8").replace("$", "$$")  # Kubernetes takes it back
    container["command"] = ["/bin/sh", "-c", script]
    container["workingDir"] = str(folder)
    limits = {"memory": f"{asked['resources']['mem_mb']}M"}
    if gpus := asked["resources"].get("gpu"):
        limits["nvidia.com/gpu"] = str(gpus)
    wanted = container.setdefault("resources", {})
    wanted.setdefault("requests", {}).update({"cpu": str(asked["threads"]), **limits})
    wanted.setdefault("limits", {}).update(limits)
    if minutes := asked["resources"].get("runtime"):
        pod["activeDeadlineSeconds"] = 60 * minutes  # not the Job's: that one counts the waiting
    return template


def main() -> int:
    """Create it."""
    template, jobscript = map(Path, sys.argv[1:])
    if shutil.which("kubectl") is None:
        sys.exit("error: kubectl is not installed, or not on the PATH")
    try:
        job = job_of(yaml.safe_load(template.read_text(encoding="utf-8")), jobscript, Path.cwd())
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}")
    except (yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        wanted = (
            "a Job with spec.template.spec.containers, as the project's profiles/kubernetes has"
        )
        sys.exit(f"error: {template} is not {wanted}: {type(error).__name__}: {error}")
    command = ["kubectl", "create", "--filename", "-", "--output", "jsonpath={.metadata.name}"]
    return subprocess.run(command, input=json.dumps(job), text=True, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
