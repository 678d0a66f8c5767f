"""What is tried when a machine is checked? An engine of the check's own, and what can be seen of it from outside."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sandbox.client import BoxRefused, BoxRequest, EngineClient, EngineUnavailable, Limits
from sandbox.host.processes import descendants

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 60
ENGINE = ("-m", "sandbox.host.engine")
# The kinds of box of this machine's own, and the options of an engine that makes no other.
WAYS = {"cold": ("--no-zygote",), "fork": ("--ready", "0")}

LIMITS = Limits(
    cpu_seconds=2,
    wall_seconds=20,
    memory_bytes=192 << 20,
    disk_bytes=8 << 20,
    processes=24,
    output_bytes=64 << 10,
    rich_bytes=1 << 20,
    rich_message_bytes=1 << 20,
    events=500,
    artefact_bytes=1 << 20,
    artefact_count=5,
)


@dataclass
class Seen:
    """How one box ended and what came out of it."""

    outcome: str = "did not start"
    limit: str = ""
    exit: dict[str, Any] = field(default_factory=dict)
    printed: str = ""
    files: list[str] = field(default_factory=list)
    first_output: float | None = None
    start: str = ""


class Machine:
    """The engine that is tried, and what can be seen of it from outside."""

    def __init__(
        self, client: EngineClient, process: subprocess.Popen[bytes], directory: Path, token: str, way: str
    ) -> None:
        self.client = client
        self.process = process
        self.directory = directory
        self.token = token  # in the engine's environment, and nowhere in a box
        self.way = way
        self.mark = f"61.{secrets.randbelow(10**9):09}"  # seconds a daemon of ours would sleep: its mark as well
        self.status: dict[str, Any] = {}
        self.reason = ""  # why it makes no boxes
        self.before: dict[str, int] = {}

    def wait(self) -> None:
        """Until it answers; `reason` stays empty when it makes boxes."""
        deadline = time.monotonic() + START_SECONDS
        while not self.status and self.process.poll() is None and time.monotonic() < deadline:
            try:
                self.status = self.client.status()
            except EngineUnavailable:
                time.sleep(0.05)
        self.reason = self.status.get("reason", "")
        if not self.reason and not self.status.get("ready"):
            said = (self.directory / "log").read_text(errors="replace")[-800:].strip()
            self.reason = f"The engine did not start: {said}"

    def makes_its_kind(self) -> bool:
        """Whether its boxes are of the kind that is to be tried; a zygote needs a while."""
        deadline = time.monotonic() + START_SECONDS
        while self.way == "fork" and time.monotonic() < deadline:
            zygote = self.client.status()["zygote"]["state"]
            if zygote == "ready" or zygote not in ("starting", "off"):
                break
            time.sleep(0.1)
        made = self.run("print(1)").start == self.way  # for other backends the way is the backend's name
        self.before = self.left()
        return made

    def run(self, source: str, owner: str = "check", during: Callable[[], None] | None = None, **limits: Any) -> Seen:
        """One program from start to end; `during` is called at its first output, and ends what it asks by input()."""
        source = source.replace("MARK", self.mark)
        request = BoxRequest("check", owner, {"main.py": source}, "main.py", {}, replace(LIMITS, **limits))
        seen = Seen()
        try:
            with self.client.start(request) as box:
                for event in box.events():
                    if event is None:
                        continue
                    if event["type"] == "stdout":
                        if seen.first_output is None:
                            seen.first_output = event["t"]
                            if during is not None:
                                during()
                                box.send_input("")
                        seen.printed += event["text"]
                    elif event["type"] == "artefact":
                        seen.files.append(event["name"])
                    elif event["type"] == "ended":
                        seen.outcome, seen.exit, seen.start = event["outcome"], event["exit"], event["start"]
                        seen.limit = (event["limit"] or {}).get("name", "")
        except (BoxRefused, EngineUnavailable) as error:
            seen.outcome = str(error)
        return seen

    def users_of_boxes(self) -> set[int]:
        """The uids, as the machine sees them, of what runs in boxes now."""
        users = set()
        for pid in descendants(self.process.pid)[1:]:
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if self.mark.encode() in command:
                users.add(int(status.split("\nUid:")[1].split()[0]))
        return users

    def left(self) -> dict[str, int]:
        """What boxes could leave behind: processes, zombies, mounts and files of the engine's directory. Other programs
        mount on the same machine, too.
        """
        marked = zombies = 0
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                marked += self.mark.encode() in (directory / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
        for pid in descendants(self.process.pid)[1:]:
            try:
                zombies += Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
        mounted = Path(f"/proc/{self.process.pid}/mountinfo").read_text().splitlines()
        mounts = sum(str(self.directory) in line for line in mounted)
        files = sum(1 for _ in self.directory.rglob("*"))
        return {"processes": marked, "zombies": zombies, "mounts": mounts, "files": files}


@contextmanager
def started(environment: Path, engine: Sequence[str], way: str) -> Iterator[Machine]:
    """An engine while it is tried."""
    with tempfile.TemporaryDirectory(prefix="sandbox-check-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        token = secrets.token_hex(12)
        words = [sys.executable, *engine, "--socket", str(directory / "s"), "--env", str(environment)]
        words += ["--store", str(directory / "store"), "--state", str(directory / "state")]
        log = (directory / "log").open("w+b")
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]]), "QFP_CHECK": token}
        process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables)
        try:
            yield Machine(EngineClient(directory / "s"), process, directory, token, way)
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()
