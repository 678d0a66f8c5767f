"""How is a box made where Docker is what there is? A container for one run, with the walls a container can have.

The daemon is asked by its own client on its own socket: Docker's, or Podman's, which speaks the same. Unless an image
is named, the container's files are this machine's, mounted read-only into an image of nothing but empty directories:
the same packages as in every other box, and nothing to build or to keep up to date. That takes a daemon on the same
machine; a named image (the `box` stage of deploy/Dockerfile) takes nothing.

What a container lacks beside a box of nsjail is in sandbox/README.md.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import itertools
import json
import logging
import secrets
import socket
import struct
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import requests
from docker.types import Mount, Ulimit

from sandbox.host.bridge import Bridge, SocketStream
from sandbox.host.cgroups import Usage
from sandbox.host.devices import Device
from sandbox.host.launching import Ends, Identity, Launched, LaunchFailed, Place, finish_anyway
from sandbox.host.nsjail import ENVIRONMENT, MAX_INODES, PYTHON, SYSTEM_LINKS, read_only_mounts
from sandbox.host.profile import docker_profile
from sandbox.host.seccomp import filter_program
from sandbox.host.staging import Staging

logger = logging.getLogger(__name__)

REPOSITORY = "localhost/playground-box"
LABEL = "playground.engine"
SLACK_BYTES = 32 << 20  # process 1, page tables, kernel memory
OWN_PROCESSES = 2  # init and its relay
SHM_BYTES = 16 << 20
OPEN_FILES = 4096
BLOCK_BYTES = 4096
ANSWER_SECONDS = 30
LINKS = (*SYSTEM_LINKS, ("/tmp", "box/.tmp"))
ETC_FILES = ("passwd", "group", "hosts", "hostname", "nsswitch.conf", "fonts/fonts.conf", "ld.so.cache")
HEADER = struct.Struct(">B3xI")  # of the daemon's own framing: 1 is stdout, 2 is stderr


class DockerMissing(Exception):
    """The daemon cannot be asked; the text says what to do."""


class Containers:
    """The launcher of boxes that are containers."""

    start = "docker"
    shared_bytes = 0
    local = enters = False
    counts = True

    def __init__(self, url: str, staging: Staging, state: Path, owner: str, image: str = "", runtime: str = "") -> None:
        """owner: a name of this engine's, by which it knows what it left behind. Raises DockerMissing."""
        self._staging, self._owner, self._runtime = staging, owner, runtime
        self._numbers = itertools.count(1)
        try:
            self._api = docker.APIClient(base_url=url, version="auto", timeout=ANSWER_SECONDS)
            parts = [part.get("Name", "") for part in self._api.version().get("Components") or []]
            self._is_podman = "Podman Engine" in parts
            self._check_runtime()
            self._profile = self._seccomp_option(state)
            self._image = image or self._make_image()
            self._own_files = not image
            self._sweep()
        except (docker.errors.DockerException, requests.RequestException, OSError, ValueError) as error:
            raise DockerMissing(
                f"Docker does not answer on {url}: {error}. Start it, let this user open its socket, "
                "or name another in DOCKER_HOST."
            ) from error

    # The launcher

    async def launch(self, ends: Ends, identity: Identity, place: Place) -> Launched:
        container = Container(self._api, f"{self._owner}-{next(self._numbers)}-{secrets.token_hex(4)}")
        try:
            connection = await finish_anyway(asyncio.to_thread(self._create, container.name, identity, place))
            container.carry(ends, connection)
            await finish_anyway(asyncio.to_thread(self._api.start, container.name))
        except BaseException as error:
            container.kill()
            await finish_anyway(container.clear())
            if isinstance(error, (docker.errors.DockerException, requests.RequestException)):
                raise LaunchFailed(f"Docker started no container: {error}") from error
            raise
        return container

    def go(self, identity: Identity, place: Place) -> dict[str, Any]:
        return {"filter": base64.b64encode(filter_program(self._staging.device)).decode("ascii")}

    def _create(self, name: str, identity: Identity, place: Place) -> socket.socket:
        limits = place.limits
        assert limits is not None
        labels = {LABEL: self._owner}
        # A volume and not a `tmpfs` of the container: Podman knows no limit of inodes there, nor `size` here.
        options = f"nr_blocks={max(1, place.disk_bytes // BLOCK_BYTES)},nr_inodes={MAX_INODES},mode=0700"
        options += f",uid={identity.uid},gid={identity.gid},nosuid,nodev"
        self._api.create_volume(name, "local", {"type": "tmpfs", "device": "tmpfs", "o": options}, labels)
        memory = int(limits.memory_bytes) + place.disk_bytes + SLACK_BYTES
        processes = int(limits.processes) + OWN_PROCESSES
        host = self._api.create_host_config(
            mounts=self._mounts(name, place),
            mem_limit=memory,
            memswap_limit=memory,
            nano_cpus=int(limits.cores * 1e9),
            pids_limit=processes,
            ulimits=[
                Ulimit(name="nofile", soft=OPEN_FILES, hard=OPEN_FILES),
                # Far above the group's limit, which counts what it refuses: only that makes a notice for the user.
                Ulimit(name="nproc", soft=4 * processes, hard=4 * processes),
                Ulimit(name="core", soft=0, hard=0),
            ],
            shm_size=min(SHM_BYTES, place.disk_bytes),
            network_mode="none",
            ipc_mode="private",
            # Podman puts three file systems without a limit into a read-only container. There the root belongs to
            # another user, which closes it as well.
            read_only=not self._is_podman,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges", self._profile],
            log_config={"type": "none"},
            runtime=self._runtime or None,
            devices=[f"{node}:{node}:rw" for node in self._nodes(place)],
        )
        self._api.create_container(
            self._image,
            command=box_command(self._staging.device),
            name=name,
            hostname="box",
            user=f"{identity.uid}:{identity.gid}",
            working_dir="/",
            stdin_open=True,
            environment={},
            labels=labels,
            host_config=host,
        )
        attached = self._api.attach_socket(name, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        connection = getattr(attached, "_sock", attached)
        own = connection.dup()  # the client's object closes its own when it is collected
        attached.close()
        return own

    def _nodes(self, place: Place) -> tuple[str, ...]:
        device = self._staging.device
        return (*device.nodes, place.unit) if device is not None and place.unit is not None else ()

    def _mounts(self, volume: str, place: Place) -> list[Mount]:
        mounts = [Mount("/box", volume, type="volume", no_copy=True)]
        read_only = []
        if self._own_files:
            read_only += _file_mounts(self._staging)
        if self._staging.device is not None:
            read_only += [(path, path) for path in self._staging.device.libraries]
        if place.snapshot is not None:
            read_only.append((str(self._staging.store / "snapshots" / place.snapshot), "/data"))
        if place.layer is not None:
            read_only.append((str(self._staging.layers / place.layer), "/opt/layer"))
        read_only += [(str(self._staging.store / path), target) for path, target in place.tables]
        return mounts + [Mount(target, source, type="bind", read_only=True) for source, target in read_only]

    # Once

    def _check_runtime(self) -> None:
        """Podman takes no notice of the runtime it is told, and a wall that is not there must not be believed in."""
        if self._runtime and self._is_podman:
            raise DockerMissing(
                f"Podman does not take the runtime {self._runtime} with a container: set it in its containers.conf "
                "and leave SANDBOX_RUNTIME empty."
            )
        known = self._api.info().get("Runtimes") or {}
        if self._runtime and self._runtime not in known:
            raise DockerMissing(f"Docker knows no runtime {self._runtime}, only {', '.join(sorted(known))}.")

    def _seccomp_option(self, state: Path) -> str:
        """Docker takes the profile itself, Podman the name of a file that it can read."""
        text = json.dumps(docker_profile(self._staging.device))
        if not self._is_podman:
            return f"seccomp={text}"
        file = state / "seccomp.json"
        file.write_text(text)
        return f"seccomp={file}"

    def _make_image(self) -> str:
        layer = _empty_image(self._staging)
        tag = hashlib.sha256(layer).hexdigest()[:16]
        name = f"{REPOSITORY}:{tag}"
        try:
            self._api.inspect_image(name)
        except docker.errors.ImageNotFound:
            answer = self._api.import_image_from_data(layer, repository=REPOSITORY, tag=tag)
            number = json.loads(answer.strip().splitlines()[-1])["status"]
            self._api.tag(number, REPOSITORY, tag)  # Podman's import does not look at the name
        return name

    def _sweep(self) -> None:
        """What an engine that is gone has left: its boxes end with it, their names stay."""
        mine = {"label": f"{LABEL}={self._owner}"}
        containers = self._api.containers(all=True, filters=mine)
        for container in containers:
            self._api.remove_container(container["Id"], force=True)
        for volume in self._api.volumes(filters=mine).get("Volumes") or []:
            self._api.remove_volume(volume["Name"], force=True)
        if containers:
            logger.info("removed %d containers of an earlier engine", len(containers))


class Container:
    """One box: a container and the volume of the same name."""

    lost = False

    def __init__(self, api: docker.APIClient, name: str) -> None:
        self.ended = asyncio.Event()
        self.name = name
        self._api = api
        self._loop = asyncio.get_running_loop()
        self._unpack = _Unpacker()
        self._bridge: Bridge | None = None
        self._usage = Usage(0.0, 0, 0, 0, 0)
        self._tasks: set[asyncio.Task[None]] = set()
        self._killed = False

    def carry(self, ends: Ends, connection: socket.socket) -> None:
        self._bridge = Bridge(self.name, ends, SocketStream(connection, self._unpack))
        self.ended = self._bridge.over

    def start_program(self, ends: Ends) -> None:
        """Process 1 forks it by itself."""

    def kill(self) -> None:
        if self._killed:
            return
        self._killed = True
        task = asyncio.create_task(asyncio.to_thread(self._kill))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def clear(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._bridge is not None:
            await self._bridge.end()
        await asyncio.to_thread(self._remove)

    def log(self) -> str:
        failure = self._bridge.failure if self._bridge is not None else ""
        return f"{failure} {self._unpack.errors.decode('utf-8', 'replace')}".strip()

    def usage(self) -> Usage:
        return self._usage

    def _look_for_memory_kills(self) -> None:
        """Process 1 tells of kills while it lives; if it was killed itself, the daemon does."""
        if self._api.inspect_container(self.name)["State"].get("OOMKilled"):
            self._usage = replace(self._usage, out_of_memory_kills=1)

    def _kill(self) -> None:
        try:
            self._api.kill(self.name, "SIGKILL")
        except (docker.errors.DockerException, requests.RequestException):
            pass  # it has ended; and if not, removing it ends it

    def _remove(self) -> None:
        try:
            self._api.wait(self.name, timeout=ANSWER_SECONDS)
            self._look_for_memory_kills()
        except (docker.errors.DockerException, requests.RequestException):
            pass
        for remove in (self._api.remove_container, self._api.remove_volume):
            try:
                remove(self.name, force=True)
            except docker.errors.NotFound:
                pass
            except (docker.errors.DockerException, requests.RequestException) as error:
                logger.warning("%s: not removed: %s", self.name, error)


def box_command(device: Device | None) -> list[str]:
    """Process 1, with an environment of ours alone: images, daemons and clusters add variables of their own."""
    variables = {**ENVIRONMENT, **(device.environment if device is not None else {})}
    words = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in variables.items())]
    return [*words, *PYTHON, "/opt/inside/qfp_inside/init.py", "stream"]


class _Unpacker:
    """Takes the daemon's framing off. What comes on standard error is the runtime's, not the box's."""

    def __init__(self) -> None:
        self.errors = b""
        self._buffer = bytearray()

    def __call__(self, data: bytes) -> bytes:
        self._buffer += data
        told = bytearray()
        while len(self._buffer) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._buffer)
            end = HEADER.size + length
            if len(self._buffer) < end:
                break
            body = self._buffer[HEADER.size : end]
            del self._buffer[:end]
            if kind == 1:
                told += body
            else:
                self.errors = (self.errors + bytes(body))[-8000:]
        return bytes(told)


def _file_mounts(staging: Staging) -> list[tuple[str, str]]:
    """Without devices, which the runtime makes, and without /etc, where it wants to write."""
    return [(path, place) for path, place in read_only_mounts(staging) if not place.startswith(("/dev/", "/etc"))]


def _empty_image(staging: Staging) -> bytes:
    """A root with places to mount on, links, and the files of /etc. The same bytes for the same machine."""
    buffer = io.BytesIO()
    directories = {"/box", "/data", "/opt/layer", "/proc", "/sys", "/dev", "/dev/shm", "/run", "/etc/fonts"}
    directories |= {place for _, place in _file_mounts(staging)}
    directories |= {str(parent) for place in directories for parent in Path(place).parents}
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for place in sorted(directories - {"/"}):
            entry = tarfile.TarInfo(place.lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for link, target in LINKS:
            entry = tarfile.TarInfo(link.lstrip("/"))
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
        for name in (*ETC_FILES, "resolv.conf"):
            file = staging.etc / name
            content = file.read_bytes() if file.exists() else b""
            entry = tarfile.TarInfo(f"etc/{name}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
