"""A pretended Kubernetes: an API that kubectl talks to, and pods that are processes here.

A pod has process numbers of its own, as a container has: its command is number 1, which is deaf to
SIGTERM. What is deleted has its `preStop` called and so many seconds to end by itself. A node has
GPUs that are only counted. Volumes, images and memory are not pretended.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PATH = "/apis/batch/v1/namespaces/default/jobs"
UNSHARE = ["unshare", "--user", "--map-root-user", "--pid", "--mount-proc"]
UNSHARE += ["--fork", "--kill-child"]  # and nothing of it stays
GROUP = {"groupVersion": "batch/v1", "version": "v1"}
JOBS = {
    "name": "jobs",
    "singularName": "job",
    "namespaced": True,
    "kind": "Job",
    "verbs": ["create", "delete", "get", "list"],
}
# That the server finds unknown fields itself is read from its PATCH.
PATCH = {
    "parameters": [{"name": "fieldValidation", "in": "query"}],
    "x-kubernetes-group-version-kind": {"group": "batch", "version": "v1", "kind": "Job"},
}
SCHEMA = "/openapi/v3/apis/batch/v1"
FOUND = {
    "/openapi/v3": {"paths": {"apis/batch/v1": {"serverRelativeURL": SCHEMA}}},
    SCHEMA: {"openapi": "3.0.0", "paths": {f"{PATH}/name": {"patch": PATCH}}},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": "batch", "versions": [GROUP], "preferredVersion": GROUP}],
    },
    "/apis/batch/v1": {"kind": "APIResourceList", "groupVersion": "batch/v1", "resources": [JOBS]},
}


def why_no_pods() -> str | None:
    """Why there can be no pretended pods here; None where there can."""
    done = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"no process numbers of its own: {done.stderr.strip()}"


@dataclass(kw_only=True)
class Job:
    """A Job and its pod.

    Attributes:
        manifest: What was asked for.
        pod: Its process, from the moment on that a node had so many GPUs.
        deleted: Whether somebody has asked for its end.
        log: What its command has said.
    """

    manifest: dict[str, Any]
    pod: subprocess.Popen[str] | None = None
    deleted: bool = False
    log: list[str] = field(default_factory=list)

    @property
    def spec(self) -> dict[str, Any]:
        """Of its pods."""
        return self.manifest["spec"]["template"]["spec"]

    @property
    def container(self) -> dict[str, Any]:
        """Its only container."""
        (one,) = self.spec["containers"]
        return one

    @property
    def gpus(self) -> int:
        """How many it holds."""
        return int(self.container["resources"].get("limits", {}).get("nvidia.com/gpu", 0))

    def begin(self) -> None:
        """Start the pod's command."""
        said = {one["name"]: one["value"] for one in self.container.get("env", [])}
        self.pod = subprocess.Popen(
            [*UNSHARE, *(word.replace("$$", "$") for word in self.container["command"])],
            cwd=self.container["workingDir"],
            env=said,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.log.append(self.pod.communicate()[0])

    def first(self) -> str:
        """The number of the process, here, that is number 1 in the pod."""
        assert self.pod is not None
        children = Path(f"/proc/{self.pod.pid}/task/{self.pod.pid}/children")
        return children.read_text().split()[0]

    def end(self) -> None:
        """Let the pod end as an evicted one does."""
        if self.pod is None or self.pod.poll() is not None:
            return
        started = time.monotonic()
        hook = self.container["lifecycle"]["preStop"]["exec"]["command"]
        first = self.first()
        enter = f"nsenter --target={first} --user --pid --mount --preserve-credentials".split()
        grace = self.spec["terminationGracePeriodSeconds"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run([*enter, *hook], timeout=grace, capture_output=True, check=False)
        with contextlib.suppress(OSError):
            os.kill(int(first), signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.pod.wait(max(0.0, grace - (time.monotonic() - started)))
        self.pod.kill()

    def told(self) -> dict[str, Any]:
        """What the API says of it."""
        code = self.pod.poll() if self.pod is not None else None
        kind = None if code is None else "Failed" if code else "Complete"
        conditions = [{"type": kind, "status": "True"}] if kind else []
        return self.manifest | {"status": {"conditions": conditions}}


class Kubernetes:
    """All Jobs, by name, and so many GPUs."""

    def __init__(self, gpus: int = 2) -> None:
        self.all_gpus = self.gpus = gpus  # there are, and are free
        self.jobs: dict[str, Job] = {}
        self.deleted: dict[str, Job] = {}
        self.most = 0  # GPUs that were held at once
        self.lock = threading.Condition()

    def create(self, manifest: dict[str, Any]) -> Job:
        """Take a Job in; its pod begins as soon as its GPUs are free."""
        job = Job(manifest=manifest)
        with self.lock:
            meta = manifest["metadata"]
            meta["name"] = f"{meta.pop('generateName')}{len(self.jobs) + len(self.deleted):05}"
            meta["namespace"] = "default"
            self.jobs[meta["name"]] = job
        threading.Thread(target=self._run, args=(job,), daemon=True).start()
        return job

    def _run(self, job: Job) -> None:
        with self.lock:
            self.lock.wait_for(lambda: job.deleted or job.gpus <= self.gpus)
            if job.deleted:
                return
            self.gpus -= job.gpus
            self.most = max(self.most, self.all_gpus - self.gpus)
        try:
            job.begin()
        finally:
            with self.lock:
                self.gpus += job.gpus
                self.lock.notify_all()

    def delete(self, name: str) -> dict[str, Any]:
        """Forget a Job, and let its pod end."""
        with self.lock:
            job = self.jobs.pop(name)
            job.deleted = True
            self.deleted[name] = job
            self.lock.notify_all()
        threading.Thread(target=job.end, daemon=True).start()
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}


def handler_of(cluster: Kubernetes) -> type[BaseHTTPRequestHandler]:
    """The API of a cluster."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, content: dict[str, Any] | None, code: int = 200) -> None:
            body = b"" if content is None else json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def missing(self) -> None:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
            self.answer(status | {"reason": "NotFound", "code": 404, "message": self.path}, 404)

        def read(self) -> dict[str, Any]:
            return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            name = path.removeprefix(f"{PATH}/")
            if path in FOUND:
                self.answer(FOUND[path])
            elif path == "/openapi/v2":  # of which kubectl before 1.27 reads the schemas: none
                self.answer(None)
            elif name in cluster.jobs:
                self.answer(cluster.jobs[name].told())
            else:
                self.missing()

        def do_POST(self) -> None:
            manifest = self.read()
            self.answer(cluster.create(manifest).manifest, 201)

        def do_DELETE(self) -> None:
            self.read()
            name = urlsplit(self.path).path.removeprefix(f"{PATH}/")
            if name in cluster.jobs:
                self.answer(cluster.delete(name))
            else:
                self.missing()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextlib.contextmanager
def serve(cluster: Kubernetes) -> Iterator[str]:
    """The address of the cluster's API."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(cluster)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            for name in list(cluster.jobs):
                cluster.delete(name)
