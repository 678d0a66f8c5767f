"""Can runs be executed on this machine now, and if not, why? Asked by every page with a Run button."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import django_rq
from django.conf import settings
from rq import Worker

from sandbox.client import EngineClient, EngineUnavailable

SECONDS_FRESH = 5.0
# A worker renews its mark while it waits and while it runs a job; RQ forgets it after about 7 minutes.
HEARTBEAT_SECONDS = 480.0


@dataclass(frozen=True)
class SandboxState:
    ready: bool
    reason: str = ""


def a_worker_listens(queue: str = "runs") -> bool:
    """Some worker of the queue was heard of lately."""
    now = datetime.now(UTC)
    for worker in Worker.all(queue=django_rq.get_queue(queue)):
        heard = worker.last_heartbeat
        if heard is not None and (now - heard.replace(tzinfo=heard.tzinfo or UTC)).total_seconds() < HEARTBEAT_SECONDS:
            return True
    return False


_known: tuple[float, SandboxState] | None = None


def current() -> SandboxState:
    """The engine's own word, at most a few seconds old. While an engine restarts, runs wait; none is refused."""
    global _known
    now = time.monotonic()
    if _known is not None and now - _known[0] < SECONDS_FRESH:
        return _known[1]
    try:
        status = EngineClient(settings.ENGINE_SOCKET).status()
        state = SandboxState(bool(status["ready"]), status.get("reason", ""))
    except EngineUnavailable:
        state = SandboxState(True, "The sandbox engine is being restarted; runs wait for it.")
    _known = (now, state)
    return state
