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
    spec = template["spec"]
    container = spec["template"]["spec"]["containers"][0]
    template["metadata"] |= {
        "generateName": f"{asked['rule'].replace('_', '-')}-",
        "annotations": {"wildcards": json.dumps(asked["wildcards"])},
    }
    container["command"] = ["/bin/sh", "-c", jobscript.read_text(encoding="utf-8")]
    container["workingDir"] = str(folder)
    limits = {"memory": f"{asked['resources']['mem_mb']}M"}
    if gpus := asked["resources"].get("gpu"):
        limits["nvidia.com/gpu"] = str(gpus)
    container["resources"] = {"requests": {"cpu": str(asked["threads"])} | limits, "limits": limits}
    if minutes := asked["resources"].get("runtime"):
        spec["activeDeadlineSeconds"] = 60 * minutes
    return template


def main() -> int:
    """Create it."""
    template, jobscript = map(Path, sys.argv[1:])
    if shutil.which("kubectl") is None:
        sys.exit("error: kubectl is not installed, or not on the PATH")
    try:
        job = job_of(yaml.safe_load(template.read_text(encoding="utf-8")), jobscript, Path.cwd())
    except (yaml.YAMLError, LookupError, TypeError) as error:
        wanted = (
            "a Job with spec.template.spec.containers, as the project's profiles/kubernetes has"
        )
        sys.exit(f"error: {template} is not {wanted}: {type(error).__name__}: {error}")
    command = ["kubectl", "create", "--filename", "-", "--output", "jsonpath={.metadata.name}"]
    return subprocess.run(command, input=json.dumps(job), text=True, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
