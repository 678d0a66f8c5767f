"""How is a box made without a zygote? By an nsjail of its own with a new interpreter: slower, and needing nothing else.

It serves while the zygote is away, and programs whose packages replace those the zygote has loaded.
"""

from __future__ import annotations

import asyncio
import base64
import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from sandbox.host.launching import Ends, Identity, Launched, Place
from sandbox.host.nsjail import cold_command
from sandbox.host.seccomp import filter_program
from sandbox.host.staging import Staging

NSJAIL_SECONDS = 2.0  # from the end of process 1 to that of nsjail, which only has to reap it
LOG_BYTES = 8000
# Of 1000: where the whole machine is out of memory, the kernel takes boxes before anything that serves everybody.
FIRST_TO_GO = b"600"

_LIBC = ctypes.CDLL(None)  # loaded here: nothing may be loaded between fork and exec


class Cold:
    start = "cold"
    shared_bytes = 0
    local = counts = True
    enters = False

    def __init__(self, nsjail: Path, staging: Staging) -> None:
        self._nsjail = nsjail
        self._staging = staging

    async def launch(self, ends: Ends, identity: Identity, place: Place) -> Launched:
        def command(log: int) -> list[str]:
            passed = (ends.control.fileno(), ends.rich, ends.inbox)
            return cold_command(self._nsjail, self._staging, identity, place, passed, log)

        return Jail(command, (ends.control.fileno(), ends.rich, ends.inbox), (ends.stdin, ends.stdout, ends.stderr))

    def go(self, identity: Identity, place: Place) -> dict[str, Any]:
        return {"filter": base64.b64encode(filter_program(self._staging.device)).decode("ascii")}


class Jail:
    """A running nsjail, its log, and its end."""

    lost = False

    def __init__(self, command: Any, passed: tuple[int, ...], standard: tuple[int, int, int]) -> None:
        self.ended = asyncio.Event()
        self._text = b""
        self._loop = asyncio.get_running_loop()
        self._log, log = os.pipe()
        os.set_blocking(self._log, False)
        stdin, stdout, stderr = standard
        try:
            self.process = subprocess.Popen(
                command(log),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(*passed, log),
                env={},
                cwd="/",
                start_new_session=True,
                preexec_fn=_die_with_the_engine,
            )
        except BaseException:
            os.close(self._log)
            raise
        finally:
            os.close(log)
        self._descriptor = os.pidfd_open(self.process.pid)
        self._loop.add_reader(self._log, self._read_log)
        self._loop.add_reader(self._descriptor, self._on_end)

    def start_program(self, ends: Ends) -> None:
        """Process 1 forks it by itself."""

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()

    async def clear(self) -> None:
        patience = time.monotonic() + NSJAIL_SECONDS
        while self.process.poll() is None:
            if time.monotonic() > patience:
                self.process.kill()
            await asyncio.sleep(0.002)
        self._read_log()
        for descriptor in (self._log, self._descriptor):
            self._loop.remove_reader(descriptor)
            os.close(descriptor)

    def log(self) -> str:
        return self._text.decode("utf-8", "replace")

    def usage(self) -> None:
        return None

    def _on_end(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self.ended.set()

    def _read_log(self) -> None:
        try:
            data = os.read(self._log, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(self._log)
        self._text = (self._text + data)[-LOG_BYTES:]


def _die_with_the_engine() -> None:
    """In the child before nsjail starts: the kernel kills it when the engine is gone, and with it the box."""
    _LIBC.prctl(1, signal.SIGKILL, 0, 0, 0)
    try:
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(descriptor, FIRST_TO_GO)
        os.close(descriptor)
    except OSError:
        pass  # a container that may not: then size alone decides
