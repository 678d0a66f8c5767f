"""Which programs is the running site made of, and how are they started so that none outlives its parent?"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping

from django.conf import settings

from playground.memory_pressure import SITE, hold_on
from runner.engines import backend_options

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


def engine_command(queue: str = "runs") -> list[str]:
    """The engine of this queue; those of settings.ENGINE_SOCKETS have one of their own."""
    own = queue in settings.ENGINE_SOCKETS
    environment = settings.GPU_SANDBOX_ENV if queue == "gpu" else settings.SANDBOX_ENV
    socket = settings.ENGINE_SOCKETS[queue] if own else settings.ENGINE_SOCKET
    return [
        *(sys.executable, "-m", "sandbox.host.engine"),
        *("--socket", str(socket), "--env", str(environment)),
        *("--store", str(settings.STORE_DIR), "--state", str(settings.DATA_DIR / f"engine{f'-{queue}' * own}")),
        *("--layers", str(settings.LAYERS_DIR)),
        *(("--device", "gpu") if queue == "gpu" else ()),
        *backend_options(settings.SANDBOX_BACKENDS[queue]),
        *(("--production",) if settings.PRODUCTION else ()),
    ]


def worker_command(*queues: str) -> list[str]:
    """An RQ worker; all its queues must have the same serializer."""
    serializer = settings.RQ_QUEUES[queues[0]]["SERIALIZER"]
    # Runs, uploads and fetches are waited for; the house-keeping is not.
    awaited = {*settings.RUN_QUEUES, "uploads", "fetch"} & set(queues)
    kind = ("--worker-class", "runner.workers.ReadyWorker") if awaited else ()
    return [sys.executable, "manage.py", "rqworker", *queues, *kind, "--serializer", serializer, "--verbosity", "0"]


def cron_command() -> list[str]:
    return [sys.executable, "manage.py", "rqcron", "playground.cron", "--logging-level", "WARNING"]


def web_command() -> list[str]:
    """gunicorn's own ASGI worker: HTTP and WebSockets, one program less than with uvicorn, and as fast."""
    host = f"[{settings.HOST}]" if ":" in settings.HOST else settings.HOST
    return [
        *(
            sys.executable,
            "-m",
            "gunicorn",
            "playground.asgi:application",
            "--bind",
            f"{host}:{settings.PORT}",
        ),
        # Loaded once and then forked: half the work at the start, and the workers share its memory.
        *("--worker-class", "asgi", "--asgi-loop", "uvloop", "--asgi-lifespan", "off", "--preload"),
        *("--workers", str(settings.WEB_WORKERS), "--websocket-max-message-size", str(64 * 1024)),
        # Open WebSockets would hold a stop for the whole grace period; pages reconnect by themselves.
        *("--graceful-timeout", "2", "--timeout", "60", "--no-control-socket", "--log-level", "warning"),
        # Workers say that they live by touching a file; a disk under load must not look like a dead worker.
        *(("--worker-tmp-dir", "/dev/shm") if os.access("/dev/shm", os.W_OK) else ()),  # noqa: S108
    ]


def die_with(parent: int) -> None:
    """Called in a new child: the kernel ends it when its parent dies, however that happens."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent died before the kernel was told
        os._exit(1)


def start(
    command: list[str], environment: Mapping[str, str] | None = None, output: int | None = None
) -> subprocess.Popen:
    """Start a program in a session of its own, so that it and all its children can be ended together."""
    parent = os.getpid()

    def prepare() -> None:
        die_with(parent)
        hold_on(SITE)

    return subprocess.Popen(
        command,
        cwd=settings.BASE_DIR,
        env=dict(environment) if environment is not None else None,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output == subprocess.DEVNULL else output,  # what is discarded is chatter, never errors
        start_new_session=True,
        preexec_fn=prepare,
    )
