"""How is a box made where a Kubernetes cluster is what there is? A Job for one run, whose pod is attached to.

The cluster is asked by its own client, as the pod's own service account or by a kubeconfig. The pod's image holds all
that a box needs (the `box` stage of deploy/Dockerfile); the job, the sources and whatever the program prints travel on
the attached stream, so nothing of a run stands in an object that others may read, and no size is limited by one. Market
data and packages are directories of a volume claim. A cluster limits neither processes nor processor seconds: the first
is a limit of the pod's user, the second is counted by process 1, and by the kernel for each process.

What a pod lacks beside a box of nsjail is in sandbox/README.md.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import math
import os
import secrets
import socket
import threading
import time
from dataclasses import replace
from typing import Any

import urllib3
import websocket
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

from sandbox.host.bridge import Bridge, SocketStream
from sandbox.host.cgroups import Usage
from sandbox.host.containers import SHM_BYTES, SLACK_BYTES, box_command
from sandbox.host.devices import Device
from sandbox.host.launching import Ends, Identity, Launched, LaunchFailed, LaunchUseless, Place, finish_anyway
from sandbox.host.seccomp import filter_program

logger = logging.getLogger(__name__)

LABEL = "playground.engine"
CONTAINER = "box"
LOOK_SECONDS = 0.3
PENDING_SECONDS = 600.0  # a cluster may have to add a node first
STATUS_SECONDS = 3.0
ANSWER_SECONDS = 20
KEPT_SECONDS = 60  # of a finished job, for whoever looks for it
CANNOT_START = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
}
LOST = {"NodeLost", "NodeShutdown", "Evicted", "Terminated", "Shutdown", "NodeAffinity", "UnexpectedAdmissionError"}
ERRORS = (ApiException, urllib3.exceptions.HTTPError, websocket.WebSocketException, OSError, ValueError)


class ClusterMissing(Exception):
    """The cluster cannot be asked; the text says what to do."""


class Pods:
    """The launcher of boxes that are pods."""

    start = "kubernetes"
    shared_bytes = 0
    local = enters = False
    counts = False

    def __init__(
        self, owner: str, namespace: str, image: str, runtime: str = "", claim: str = "", device: Device | None = None
    ) -> None:
        """claim: of a volume with the directories `store` and `layers`. Raises ClusterMissing."""
        if not image:
            raise ClusterMissing("Kubernetes needs an image for the boxes: set SANDBOX_IMAGE (deploy/README.md).")
        self._owner, self._namespace, self._image = owner, namespace, image
        self._runtime, self._claim, self._device = runtime, claim, device
        try:
            if "KUBERNETES_SERVICE_HOST" in os.environ:
                config.load_incluster_config()
            else:
                config.load_kube_config()
            self._batch, self._core = client.BatchV1Api(), client.CoreV1Api()
            self._sweep()
        except (config.ConfigException, *ERRORS) as error:
            raise ClusterMissing(
                f"The Kubernetes cluster does not answer: {_words(error)}. Set KUBECONFIG, or give the engine's "
                "service account the role of deploy/kubernetes/engine.yaml."
            ) from error

    # The launcher

    async def launch(self, ends: Ends, identity: Identity, place: Place) -> Launched:
        pod = Pod(self._batch, self._core, self._namespace, f"box-{secrets.token_hex(8)}")
        try:
            job = self.job(pod.job, identity, place)
            await finish_anyway(asyncio.to_thread(self._batch.create_namespaced_job, self._namespace, job))
            await self._wait_until_it_runs(pod)
            pod.carry(ends, await finish_anyway(asyncio.to_thread(self._attach, pod.name)))
        except BaseException as error:
            await finish_anyway(pod.clear())
            if isinstance(error, ERRORS) and not isinstance(error, LaunchFailed):
                raise LaunchFailed(f"Kubernetes made no pod: {_words(error)}") from error
            raise
        return pod

    def go(self, identity: Identity, place: Place) -> dict[str, Any]:
        return {"filter": base64.b64encode(filter_program(self._device)).decode("ascii")}

    async def _wait_until_it_runs(self, pod: Pod) -> None:
        patience = time.monotonic() + PENDING_SECONDS
        why = "no node has taken it"
        while time.monotonic() < patience:
            found = await asyncio.to_thread(pod.look)
            if found is not None and found.status is not None:
                phase, status = found.status.phase, found.status
                if phase == "Running":
                    return
                if phase in ("Failed", "Succeeded"):
                    raise LaunchFailed(f"the pod ended before it began: {status.reason or ''} {status.message or ''}")
                for container in status.container_statuses or []:
                    waiting = container.state.waiting if container.state is not None else None
                    if waiting is not None and waiting.reason in CANNOT_START:
                        raise LaunchUseless(
                            f"the image {self._image} cannot be started: {waiting.reason}. {waiting.message or ''} "
                            "Check SANDBOX_IMAGE, and that the nodes may pull it."
                        )
                why = next((each.message for each in status.conditions or [] if each.message), why)
            await asyncio.sleep(LOOK_SECONDS)
        raise LaunchUseless(f"the pod did not start within {PENDING_SECONDS:g} s: {why}")

    def _attach(self, pod: str) -> WebSocketStream:
        options = {"container": CONTAINER, "stdin": True, "stdout": True, "stderr": True, "tty": False}
        # Its own client object: the stream replaces how that object makes requests while it connects.
        core = client.CoreV1Api(client.ApiClient())
        attached = stream(
            core.connect_get_namespaced_pod_attach,
            pod,
            self._namespace,
            **options,
            binary=True,
            _preload_content=False,
        )
        return WebSocketStream(attached.sock)

    # What the cluster is told

    def job(self, name: str, identity: Identity, place: Place) -> client.V1Job:
        limits = place.limits
        assert limits is not None
        labels = {LABEL: self._owner, "app.kubernetes.io/component": "playground-box"}
        memory = int(limits.memory_bytes) + place.disk_bytes + SLACK_BYTES + min(SHM_BYTES, place.disk_bytes)
        amounts = {"memory": str(memory), "cpu": f"{math.ceil(limits.cores * 1000)}m", "ephemeral-storage": "16Mi"}
        if self._device is not None and self._device.cluster_name:
            amounts[self._device.cluster_name] = "1"
        volumes, mounts = self._volumes(place)
        container = client.V1Container(
            name=CONTAINER,
            image=self._image,
            command=box_command(self._device),
            stdin=True,
            stdin_once=True,
            resources=client.V1ResourceRequirements(limits=amounts, requests=amounts),
            volume_mounts=mounts,
            security_context=client.V1SecurityContext(
                allow_privilege_escalation=False,
                capabilities=client.V1Capabilities(drop=["ALL"]),
                privileged=False,
                read_only_root_filesystem=True,
            ),
        )
        spec = client.V1PodSpec(
            containers=[container],
            volumes=volumes,
            restart_policy="Never",
            automount_service_account_token=False,
            enable_service_links=False,
            host_network=False,
            host_pid=False,
            host_ipc=False,
            hostname="box",
            dns_policy="None",
            dns_config=client.V1PodDNSConfig(nameservers=["127.0.0.1"]),
            runtime_class_name=self._runtime or None,
            termination_grace_period_seconds=0,
            security_context=client.V1PodSecurityContext(
                run_as_non_root=True,
                run_as_user=identity.uid,
                run_as_group=identity.gid,
                fs_group=identity.gid,
                seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault"),
            ),
        )
        return client.V1Job(
            api_version="batch/v1",
            kind="Job",
            metadata=client.V1ObjectMeta(name=name, labels=labels),
            spec=client.V1JobSpec(
                backoff_limit=0,  # whether a run may be tried again is the engine's to say
                active_deadline_seconds=math.ceil(limits.wall_seconds + PENDING_SECONDS),
                ttl_seconds_after_finished=KEPT_SECONDS,
                template=client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=labels), spec=spec),
            ),
        )

    def _volumes(self, place: Place) -> tuple[list[client.V1Volume], list[client.V1VolumeMount]]:
        sizes = {"box": place.disk_bytes, "shm": min(SHM_BYTES, place.disk_bytes)}
        volumes = [
            client.V1Volume(name=name, empty_dir=client.V1EmptyDirVolumeSource(medium="Memory", size_limit=str(size)))
            for name, size in sizes.items()
        ]
        mounts = [
            client.V1VolumeMount(name=name, mount_path=path) for name, path in (("box", "/box"), ("shm", "/dev/shm"))
        ]
        wanted = []
        if place.snapshot is not None:
            wanted.append(("/data", f"store/snapshots/{place.snapshot}"))
        if place.layer is not None:
            wanted.append(("/opt/layer", f"layers/{place.layer}"))
        wanted += [(target, f"store/{path}") for path, target in place.tables]
        if wanted and not self._claim:
            raise LaunchUseless(
                "the run needs market data or packages: set SANDBOX_CLAIM to the volume that holds them"
            )
        if wanted:
            source = client.V1PersistentVolumeClaimVolumeSource(claim_name=self._claim, read_only=True)
            volumes.append(client.V1Volume(name="files", persistent_volume_claim=source))
        for path, directory in wanted:
            mounts.append(client.V1VolumeMount(name="files", mount_path=path, sub_path=directory, read_only=True))
        return volumes, mounts

    def _sweep(self) -> None:
        """What an engine that is gone has left."""
        left = self._batch.list_namespaced_job(
            self._namespace, label_selector=f"{LABEL}={self._owner}", _request_timeout=ANSWER_SECONDS
        )
        for job in left.items:
            if job.metadata is not None and job.metadata.name:
                delete_job(self._batch, self._namespace, job.metadata.name)


class Pod:
    """One box: a Job, its pod, and the stream to it."""

    def __init__(self, batch: client.BatchV1Api, core: client.CoreV1Api, namespace: str, job: str) -> None:
        self.ended = asyncio.Event()
        self.job = job
        self.name = ""
        self.lost = False
        self._batch, self._core, self._namespace = batch, core, namespace
        self._bridge: Bridge | None = None
        self._usage = Usage(0.0, 0, 0, 0, 0)
        self._text = ""
        self._killing: asyncio.Task[None] | None = None

    def look(self) -> client.V1Pod | None:
        pods = self._core.list_namespaced_pod(
            self._namespace, label_selector=f"job-name={self.job}", _request_timeout=ANSWER_SECONDS
        ).items
        if not pods or pods[0].metadata is None:
            return None
        self.name = pods[0].metadata.name or ""
        return pods[0]

    def carry(self, ends: Ends, connection: WebSocketStream) -> None:
        self._bridge = Bridge(self.job, ends, connection)
        self.ended = self._bridge.over

    def start_program(self, ends: Ends) -> None:
        """Process 1 forks it by itself."""

    def kill(self) -> None:
        if self._killing is None:
            self._killing = asyncio.create_task(asyncio.to_thread(self._end))

    async def clear(self) -> None:
        self.kill()
        assert self._killing is not None
        await self._killing
        if self._bridge is not None:
            await self._bridge.end()

    def log(self) -> str:
        return f"{self._bridge.failure if self._bridge is not None else ''} {self._text}".strip()

    def usage(self) -> Usage:
        return self._usage

    def _end(self) -> None:
        """Hear how the pod ended, if it has, and delete all of it."""
        patience = time.monotonic() + STATUS_SECONDS
        try:
            pod = self.look()
            # Its stream ends a moment before the cluster knows why.
            while self.ended.is_set() and _runs(pod) and time.monotonic() < patience:
                time.sleep(LOOK_SECONDS)
                pod = self.look()
            self._note(pod)
        except ERRORS as error:
            self._text = _words(error)
        try:
            delete_job(self._batch, self._namespace, self.job)
        except ERRORS as error:
            logger.warning("%s: not deleted: %s", self.job, _words(error))

    def _note(self, pod: client.V1Pod | None) -> None:
        if pod is None or pod.status is None:
            self.lost = bool(self.name)  # it was there, and its node went with it
            return
        self._text = f"{pod.status.reason or ''} {pod.status.message or ''}".strip()
        self.lost = pod.status.phase == "Failed" and pod.status.reason in LOST
        for container in pod.status.container_statuses or []:
            ended = container.state.terminated if container.state is not None else None
            if ended is not None and ended.reason == "OOMKilled":
                self._usage = replace(self._usage, out_of_memory_kills=1)


class WebSocketStream(SocketStream):
    """An attached pod. The client's own object reads in ways that cannot be polled, so two threads stand between."""

    STDIN, STDOUT = 0, 1

    def __init__(self, connection: websocket.WebSocket) -> None:
        ours, self._theirs = socket.socketpair()
        super().__init__(ours)
        self._connection = connection
        for work in (self._read_frames, self._write_frames):
            threading.Thread(target=work, daemon=True).start()

    def shut(self) -> None:
        super().shut()
        self._connection.shutdown()

    def close(self) -> None:
        super().close()
        try:
            self._connection.close(timeout=1)
        except (OSError, websocket.WebSocketException):
            pass

    def _read_frames(self) -> None:
        try:
            while True:
                kind, data = self._connection.recv_data()
                if kind == websocket.ABNF.OPCODE_CLOSE:
                    break
                if len(data) > 1 and data[0] == self.STDOUT:
                    self._theirs.sendall(data[1:])
        except (OSError, websocket.WebSocketException):
            pass
        finally:
            self._theirs.shutdown(socket.SHUT_RDWR)

    def _write_frames(self) -> None:
        try:
            while data := self._theirs.recv(1 << 15):
                self._connection.send_binary(bytes([self.STDIN]) + data)
        except (OSError, websocket.WebSocketException):
            pass
        finally:
            self._connection.shutdown()


def _runs(pod: client.V1Pod | None) -> bool:
    return pod is not None and pod.status is not None and pod.status.phase == "Running"


def delete_job(batch: client.BatchV1Api, namespace: str, name: str) -> None:
    """With its pod, at once."""
    try:
        batch.delete_namespaced_job(
            name,
            namespace,
            propagation_policy="Background",
            grace_period_seconds=0,
            _request_timeout=ANSWER_SECONDS,
        )
    except ApiException as error:
        if error.status != 404:
            raise


def _words(error: BaseException) -> str:
    if isinstance(error, ApiException):
        return f"{error.status} {error.reason} {str(error.body or '')[:300]}".strip()
    return str(error) or type(error).__name__
