"""Which engines does this machine have, and how is one asked while it restarts?"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from django.conf import settings

from sandbox.client import EngineClient, EngineUnavailable

USUAL = "runs"  # the queue whose engine serves all that have none of their own
PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.25

Answer = TypeVar("Answer")


def sockets() -> dict[str, Path]:
    """Of all engines of this machine, by the queue each is named for."""
    return {USUAL: settings.ENGINE_SOCKET, **settings.ENGINE_SOCKETS}


def engine_of(queue: str) -> EngineClient:
    return EngineClient(settings.ENGINE_SOCKETS.get(queue, settings.ENGINE_SOCKET))


def patiently(ask: Callable[[], Answer]) -> Answer:
    """What an engine answers; one that is being restarted is given a few seconds. Raises EngineUnavailable."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except EngineUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_SECONDS)


def backend_options(backend: str) -> list[str]:
    """What an engine, and the check of one, is told of who makes the boxes."""
    if backend == "nsjail":
        return []
    options = ["--backend", backend, "--image", settings.SANDBOX_IMAGE, "--runtime", settings.SANDBOX_RUNTIME]
    if backend == "docker":
        return [*options, "--docker-url", settings.DOCKER_HOST]
    return [*options, "--namespace", settings.SANDBOX_NAMESPACE, "--claim", settings.SANDBOX_CLAIM]
