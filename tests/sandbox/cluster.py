"""A Kubernetes API of our own for tests: `python -m tests.sandbox.cluster --socket-file F --env E --state D`.

It speaks the part of the API that the engine uses, holds every object against the client's own models, and runs a pod's
command for real, in a jail like the engine's own. Each new pod has the next of the fates that POST /fates has named:
"run", "lost" (its node goes before it begins), "lost-later" (it goes once the program runs), "no-image", "pending".
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from kubernetes.client import ApiClient, V1Job

from sandbox.host.cgroups import find_parent
from sandbox.host.nsjail import SYSTEM_LINKS, find_nsjail, read_only_mounts
from sandbox.host.staging import prepare

UNITS = {"Mi": 1 << 20}
PROTOCOL = "v4.channel.k8s.io"


def complaints(job: dict[str, Any]) -> str:
    """What is wrong with a Job; nothing if every field of it is one of the client's model."""
    return unknown_fields(V1Job, job)


def unknown_fields(model: Any, sent: dict[str, Any]) -> str:
    """What the client's model does not know of the object."""
    try:
        known = model.from_dict(sent)
    except Exception as error:
        return str(error)
    return _unknown(sent, ApiClient().sanitize_for_serialization(known), sent.get("kind", "object").lower())


def _unknown(sent: Any, known: Any, path: str) -> str:
    if isinstance(sent, dict):
        for name, value in sent.items():
            if not isinstance(known, dict) or name not in known:
                return f"{path}.{name} is not a field"
            if found := _unknown(value, known[name], f"{path}.{name}"):
                return found
    elif isinstance(sent, list):
        for number, value in enumerate(sent):
            if found := _unknown(value, known[number], f"{path}[{number}]"):
                return found
    elif sent != known:
        return f"{path} is {known!r} after it was {sent!r}"
    return ""


class Cluster:
    def __init__(self, environment: Path, state: Path) -> None:
        for name in ("store", "layers", "state"):
            (state / name).mkdir(parents=True, exist_ok=True)
        self.staging = prepare(environment, state / "store", state / "layers", state / "state")
        self.groups = find_parent(f"playground-cluster-{os.getpid()}")
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, Pod] = {}
        self.fates: list[str] = []
        self.seen: list[dict[str, Any]] = []

    def app(self) -> web.Application:
        app = web.Application()
        jobs, pods = "/apis/batch/v1/namespaces/{namespace}/jobs", "/api/v1/namespaces/{namespace}/pods"
        app.add_routes(
            [
                web.post(jobs, self.create_job),
                web.get(jobs, self.list_jobs),
                web.delete(jobs + "/{name}", self.delete_job),
                web.get(pods, self.list_pods),
                web.get(pods + "/{name}/attach", self.attach),
                web.post("/fates", self.set_fates),
                web.get("/seen", self.show_seen),
            ]
        )
        return app

    async def create_job(self, request: web.Request) -> web.Response:
        job = await request.json()
        if wrong := complaints(job):
            return _failure(422, wrong)
        name = job["metadata"]["name"]
        self.seen.append(job)
        self.jobs[name] = job
        fate = self.fates.pop(0) if self.fates else "run"
        self.pods[name] = Pod(self, name, job["spec"]["template"], fate)
        return web.json_response(job, status=201)

    async def list_jobs(self, request: web.Request) -> web.Response:
        wanted = dict([request.query["labelSelector"].split("=")])
        found = [job for job in self.jobs.values() if wanted.items() <= job["metadata"]["labels"].items()]
        return web.json_response({"apiVersion": "batch/v1", "kind": "JobList", "metadata": {}, "items": found})

    async def delete_job(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.jobs:
            return _failure(404, "no such job")
        del self.jobs[name]
        await self.pods.pop(name).end()
        return web.json_response({"apiVersion": "v1", "kind": "Status", "status": "Success"})

    async def list_pods(self, request: web.Request) -> web.Response:
        name = request.query["labelSelector"].removeprefix("job-name=")
        found = [self.pods[name].told()] if name in self.pods else []
        return web.json_response({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": found})

    async def attach(self, request: web.Request) -> web.StreamResponse:
        pod = next((each for each in self.pods.values() if each.name == request.match_info["name"]), None)
        if pod is None or pod.process is None or request.query.get("container") != "box":
            return _failure(404, "no such pod, or it does not run")
        connection = web.WebSocketResponse(protocols=(PROTOCOL,))
        await connection.prepare(request)
        telling = asyncio.create_task(pod.tell(connection))
        async for message in connection:
            if message.type == WSMsgType.BINARY and message.data[:1] == b"\0":
                pod.hear(message.data[1:])
        pod.hear(b"")  # stdinOnce
        telling.cancel()
        return connection

    async def set_fates(self, request: web.Request) -> web.Response:
        self.fates = await request.json()
        return web.json_response({})

    async def show_seen(self, request: web.Request) -> web.Response:
        return web.json_response({"seen": self.seen, "jobs": sorted(self.jobs)})


class Pod:
    """One pod on the only node: its command runs with the mounts, the user and the memory limit it was given."""

    def __init__(self, cluster: Cluster, job: str, template: dict[str, Any], fate: str) -> None:
        self.name = f"{job}-x1y2z"
        self.process: subprocess.Popen[bytes] | None = None
        self._labels = {**template["metadata"]["labels"], "job-name": job}
        self._spec = template["spec"]
        self._cluster, self._fate = cluster, fate
        self._asked = 0
        self._group = None
        if fate in ("run", "lost-later"):
            self._start()

    def _start(self) -> None:
        (container,) = self._spec["containers"]
        uid = self._spec["securityContext"]["runAsUser"]
        sizes = {
            each["name"]: int(each["emptyDir"]["sizeLimit"]) for each in self._spec["volumes"] if "emptyDir" in each
        }
        words = [str(find_nsjail()), "-Mo", "-Q", "--time_limit", "0", "--disable_rlimits", "--iface_no_lo"]
        words += ["--hostname", self._spec["hostname"], "--disable_proc"]
        words += ["--user", f"{uid}:{uid}:1", "--group", f"{uid}:{uid}:1"]
        for link, target in (*SYSTEM_LINKS, ("/tmp", "box/.tmp")):
            words += ["--symlink", f"{target}:{link}"]
        for source, place in read_only_mounts(self._cluster.staging):
            words += ["--bindmount_ro", f"{source}:{place}"]
        for mount in container["volumeMounts"]:
            size = sizes[mount["name"]]
            words += ["--mount", f"none:{mount['mountPath']}:tmpfs:size={size},mode=0777"]
        group = self._cluster.groups.make(self.name) if self._cluster.groups is not None else None
        if group is not None:
            group.limit(int(container["resources"]["limits"]["memory"]), 4096, 2)
        self.process = subprocess.Popen(
            [*words, "--", *container["command"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={},
            preexec_fn=lambda: group.add(os.getpid()) if group is not None else None,
        )
        if group is not None:
            self._group = group
            self._watching = asyncio.create_task(self._kill_when_out_of_memory())

    async def _kill_when_out_of_memory(self) -> None:
        """As a node with version 2 of control groups does: all of a container, and not one process of it."""
        assert self._group is not None
        while not self._has_ended():
            await asyncio.sleep(0.05)
            if self._group.usage().out_of_memory_kills:
                self._group.kill()

    async def tell(self, connection: web.WebSocketResponse) -> None:
        assert self.process is not None and self.process.stdout is not None
        while data := await asyncio.to_thread(os.read, self.process.stdout.fileno(), 1 << 15):
            await connection.send_bytes(b"\1" + data)
            if self._fate == "lost-later":
                self._asked += 1
                if self._asked > 2:  # it has said hello, and that it is ready
                    self.process.kill()
        await connection.close()

    def hear(self, data: bytes) -> None:
        assert self.process is not None and self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            if data:
                self.process.stdin.write(data)
                self.process.stdin.flush()
            else:
                self.process.stdin.close()

    def told(self) -> dict[str, Any]:
        metadata = {"name": self.name, "labels": self._labels}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": self._spec, "status": self._status()}

    def _status(self) -> dict[str, Any]:
        if self._fate == "pending":
            waits = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
            return {"phase": "Pending", "conditions": [waits]}
        if self._fate == "no-image":
            waiting = {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}
            return {"phase": "Pending", "containerStatuses": [self._container(waiting)]}
        if self._fate == "lost" or (self._fate == "lost-later" and self._has_ended()):
            return {"phase": "Failed", "reason": "NodeLost", "message": "the node does not answer"}
        if not self._has_ended():
            return {"phase": "Running", "containerStatuses": [self._container({"running": {}})]}
        killed = self._group is not None and self._group.usage().out_of_memory_kills > 0
        ended = {"terminated": {"exitCode": 137 if killed else 0, "reason": "OOMKilled" if killed else "Completed"}}
        return {"phase": "Failed" if killed else "Succeeded", "containerStatuses": [self._container(ended)]}

    def _container(self, state: dict[str, Any]) -> dict[str, Any]:
        return {"name": "box", "image": "box", "imageID": "", "ready": True, "restartCount": 0, "state": state}

    def _has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    async def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            await asyncio.to_thread(self.process.wait)
        if self._group is not None:
            self._group.kill()
            await self._group.remove_soon()


def _failure(code: int, message: str) -> web.Response:
    status = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": message, "code": code}
    return web.json_response(status, status=code)


async def serve(options: argparse.Namespace) -> None:
    cluster = Cluster(options.env, options.state)
    runner = web.AppRunner(cluster.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    with tempfile.NamedTemporaryFile("w", dir=options.port_file.parent, delete=False) as file:
        file.write(str(port))
    os.replace(file.name, options.port_file)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(15, stopped.set)
    await stopped.wait()
    for pod in cluster.pods.values():
        await pod.end()
    await runner.cleanup()
    if cluster.groups is not None:
        cluster.groups.remove()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("--port-file", "--env", "--state"):
        parser.add_argument(name, type=Path, required=True)
    sys.exit(asyncio.run(serve(parser.parse_args())))
