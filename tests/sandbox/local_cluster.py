"""The API of tests/sandbox/cluster.py as a process, with a kubeconfig that leads there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent


def why_not() -> str:
    """Why there can be none here; nothing if there can."""
    if os.geteuid() != 0:
        return "the pods of the local cluster need a user of their own each, which only root can give"
    return ""


class LocalCluster:
    def __init__(self, directory: Path, environment: Path) -> None:
        self.directory = directory
        port_file = directory / "port"
        words = [sys.executable, "-m", "tests.sandbox.cluster", "--port-file", str(port_file)]
        words += ["--env", str(environment), "--state", str(directory / "cluster")]
        self.log = directory / "cluster.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while not port_file.exists():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
        self.url = f"http://127.0.0.1:{port_file.read_text()}"
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "local",
                    "clusters": [{"name": "local", "cluster": {"server": self.url}}],
                    "users": [{"name": "local", "user": {}}],
                    "contexts": [{"name": "local", "context": {"cluster": "local", "user": "local"}}],
                }
            )
        )

    def set_fates(self, *fates: str) -> None:
        question = urllib.request.Request(f"{self.url}/fates", json.dumps(fates).encode(), method="POST")
        urllib.request.urlopen(question, timeout=10).close()

    def seen(self) -> dict:
        with urllib.request.urlopen(f"{self.url}/seen", timeout=10) as answer:
            return json.load(answer)

    def options(self) -> tuple[str, ...]:
        return ("--backend", "kubernetes", "--namespace", "boxes", "--image", "registry.example/box:1")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
