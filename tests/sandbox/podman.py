"""A Docker-compatible daemon for tests: Podman's, root's, with a storage of its own that goes with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import docker
import requests

START_SECONDS = 30


def why_not() -> str:
    """Why there can be none here; nothing if there can."""
    if shutil.which("podman") is None:
        return "podman is not installed (apt install podman runc)"
    if os.geteuid() != 0:
        return "boxes of a rootless Podman need user namespaces with more than one uid; run the tests as root"
    return ""


class Podman:
    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="podman-"))
        self.url = f"unix://{self.directory}/podman.sock"
        self._words = [
            *("podman", "--root", str(self.directory / "root"), "--runroot", str(self.directory / "run")),
            *("--tmpdir", str(self.directory / "tmp"), "--events-backend", "file"),
            # What works in a virtual machine and in a container alike: no systemd, no overlay on overlay.
            *("--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"),
            # crun refuses machines that have both versions of control groups.
            *(("--runtime", "runc") if shutil.which("runc") else ()),
        ]
        self.log = self.directory / "service.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._words, "system", "service", "--time", "0", self.url],
                stdout=log,
                stderr=log,
                cwd=self.directory,  # conmon leaves a file where it ran when a container was out of memory
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.api = docker.APIClient(base_url=self.url, version="auto")
                break
            except (docker.errors.DockerException, requests.RequestException):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"podman did not start:\n{self.log.read_text()}") from None
                time.sleep(0.1)

    def containers(self) -> list[dict]:
        return self.api.containers(all=True)

    def volumes(self) -> list[dict]:
        return self.api.volumes().get("Volumes") or []

    def stop(self) -> None:
        for container in self.containers():
            self.api.remove_container(container["Id"], force=True)
        self.api.close()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(15)
        for line in Path("/proc/self/mounts").read_text().splitlines():
            place = line.split()[1]
            if place.startswith(str(self.directory)):
                subprocess.run(["umount", "--lazy", place], check=False)
        shutil.rmtree(self.directory, ignore_errors=True)
