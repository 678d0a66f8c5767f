"""Which other walls can boxes have, and what does each need to be told? Options of the engine, and their launchers."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox.host import diagnosis
from sandbox.host.devices import Device
from sandbox.host.launching import Launcher
from sandbox.host.staging import prepare

if TYPE_CHECKING:
    from sandbox.host.containers import Containers
    from sandbox.host.pods import Pods

NAMES = ("docker", "kubernetes")


class BackendMissing(Exception):
    """Whoever should make the boxes cannot be asked; the text says what to do."""


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("for other backends than nsjail")
    group.add_argument("--docker-url", default="unix:///var/run/docker.sock", help="where Docker, or Podman, listens")
    group.add_argument("--image", default="", help="of the boxes; without one Docker mounts this machine's files")
    group.add_argument("--runtime", default="", help="such as runsc (gVisor); the one that is usual there if not said")
    group.add_argument("--namespace", default="default", help="of the pods")
    group.add_argument("--claim", default="", help="of the volume with the pods' market data (store) and layers")


def launcher(options: argparse.Namespace, owner: str, device: Device | None) -> Launcher:
    """owner: what this engine's containers are labelled with. Raises BackendMissing."""
    return _docker(options, owner, device) if options.backend == "docker" else _kubernetes(options, owner, device)


def _docker(options: argparse.Namespace, owner: str, device: Device | None) -> Containers:
    # Its client takes a third of a second to import, which no other engine should pay.
    from sandbox.host import containers

    if not options.image:
        missing = diagnosis.missing_environment(options.env)
        if missing:
            raise BackendMissing(missing)
    for directory in (options.store, options.layers):
        directory.mkdir(parents=True, exist_ok=True)
    staging = prepare(options.env, options.store, options.layers, options.state, private=False)
    staging = replace(staging, device=device)
    try:
        return containers.Containers(options.docker_url, staging, options.state, owner, options.image, options.runtime)
    except containers.DockerMissing as error:
        raise BackendMissing(str(error)) from error


def _kubernetes(options: argparse.Namespace, owner: str, device: Device | None) -> Pods:
    from sandbox.host import pods  # its client takes more than a second to import

    try:
        return pods.Pods(owner, options.namespace, options.image, options.runtime, options.claim, device)
    except pods.ClusterMissing as error:
        raise BackendMissing(str(error)) from error
