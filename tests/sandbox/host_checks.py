"""What only the host can say about a box: who was heard, what was left, what was changed, whether a secret came out.

Secrets with a token of their own lie in every place a box must not see; listeners wait where a program with a network
would find them. `watched(engine)` compares the machine before and after some runs and returns what is wrong with it.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import secrets
import select
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.host.processes import descendants

CANARIES = ("/opt/qfp_canary", "/srv/qfp_canary", "/var/lib/qfp_canary", "/etc/qfp_canary")
TCP_PORT, UDP_PORT, BACK_DOOR_PORT = 47011, 47012, 47021
ABSTRACT_NAME = "\0qfp_canary"
MOST_PROCESSES = 1000
MOST_OUTPUT = 8 << 20
MOST_FILES, MOST_FILE_BYTES = 200, 30 << 20
EVIL_PLACES = ("/", "/opt", "/tmp", "/var/tmp", "/dev/shm", "/run", "/home", "/mnt", "/root")
SYSV_KEYS = 0x5146


class Host:
    """The traps of this machine, for as long as the tests run. One at a time: their names are fixed."""

    def __init__(self) -> None:
        self.token = "QFPTOKEN-" + secrets.token_hex(12)
        self._lock = open("/tmp/qfp-canary.lock", "w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.canary = self._lay_out()
        self._listeners = self._listen()
        self.heard: list[str] = []
        self.victim = subprocess.Popen(["/usr/bin/sleep", "100000"])
        self._state: dict[str, tuple[Any, ...]] = {}

    def close(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        self.victim.kill()
        self.victim.wait()
        if self.canary is not None:
            shutil.rmtree(self.canary)
        self._lock.close()

    def _lay_out(self) -> Path | None:
        """Secrets, other people's files and hidden data where a program would look for them; None without rights."""
        for name in CANARIES:
            canary = Path(name)
            shutil.rmtree(canary, ignore_errors=True)  # of a test run that was killed
            try:
                canary.mkdir()
                canary.chmod(0o777)  # only the walls keep a box out
            except OSError:
                continue
            for file in (
                "secret.env",
                ".env",
                "other_run/strategy.py",
                "hidden_data/hidden_holdout.csv",
                "write_target",
            ):
                path = canary / file
                path.parent.mkdir(exist_ok=True)
                path.write_text(f"SECRET={self.token}\n")
                path.chmod(0o666)
            return canary
        return None

    def _listen(self) -> dict[str, socket.socket]:
        listeners = {"TCP": socket.socket(), "UDP": socket.socket(type=socket.SOCK_DGRAM)}
        listeners["TCP"].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listeners["TCP"].bind(("127.0.0.1", TCP_PORT))
        listeners["UDP"].bind(("127.0.0.1", UDP_PORT))
        listeners["abstract socket"] = socket.socket(socket.AF_UNIX)
        listeners["abstract socket"].bind(ABSTRACT_NAME)
        if self.canary is not None:
            listeners["socket file"] = socket.socket(socket.AF_UNIX)
            listeners["socket file"].bind(str(self.canary / "canary.sock"))
        for listener in listeners.values():
            if listener.type == socket.SOCK_STREAM:
                listener.listen()
            listener.setblocking(False)
        return listeners

    def _look_at_canary(self) -> dict[str, tuple[Any, ...]]:
        if self.canary is None:
            return {}
        state = {}
        for path in sorted(self.canary.rglob("*")):
            info = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(info.st_mode) else b""
            state[str(path)] = (info.st_mode, info.st_uid, info.st_gid, hashlib.sha256(content).hexdigest())
        return state

    # The checks, each the name of what is wrong and how

    def wrong(
        self, engine: Any, results: list[Any], before: dict[str, Any], most_processes: int, patience: float
    ) -> list[str]:
        found = [*self._heard(), *self._shown(results), *self._left(engine, before, patience)]
        if self._look_at_canary() != self._state:
            found.append("canary_unchanged: files outside the box were changed")
        if most_processes >= MOST_PROCESSES:
            found.append(f"max_procs: {most_processes} processes")
        if Path(f"/proc/{self.victim.pid}/stat").read_text().rpartition(")")[2].split()[0] not in "SR":
            found.append("victim_alive: a process of this machine was ended or stopped")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", BACK_DOOR_PORT)) == 0:
                found.append("probe_closed: a box listens to this machine")
        return found

    def _heard(self) -> Iterator[str]:
        ready = select.select([*self._listeners.values()], [], [], 0)[0]
        for name, listener in self._listeners.items():
            if listener in ready:
                if listener.type == socket.SOCK_STREAM:
                    listener.accept()[0].close()
                else:
                    listener.recv(1000)
                yield f"listeners_silent: {name} heard a box"

    def _shown(self, results: list[Any]) -> Iterator[str]:
        for result in results:
            if self.token in json.dumps(result.events):
                yield "token: a secret is in what a user sees"
            text = sum(len(event.get("text", "")) for event in result.events)
            files = [base64.b64decode(event["content_base64"]) for event in result.of("artefact")]
            if any(self.token.encode() in content for content in files):
                yield "collector_no_token: a secret is in a file a user gets"
            if text > MOST_OUTPUT:
                yield f"output_capped: {text} bytes of output"
            if len(files) > MOST_FILES or sum(map(len, files)) > MOST_FILE_BYTES:
                yield f"collector_bounded: {len(files)} files"

    def _left(self, engine: Any, before: dict[str, Any], patience: float) -> Iterator[str]:
        """What has some time to go: the last run is shown as ended a moment before its box is removed."""
        deadline = time.monotonic() + patience
        while _left_more(after := self.count(engine), before) and time.monotonic() < deadline:
            time.sleep(0.05)
        names = {
            "orphans": "no_orphans",
            "evil": "no_evil_files",
            "sysv": "no_sysv",
            "bytes": "disk_restored",
            "zombies": "no_orphans",
        }
        for name in _left_more(after, before):
            yield f"{names[name]}: {after[name]} {name}, before {before[name]}"

    def count(self, engine: Any) -> dict[str, Any]:
        orphans = zombies = 0
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                words = (directory / "cmdline").read_bytes().split(b"\0")
                orphans += b"qfp_orphan" in words
            except OSError:
                continue
        for pid in descendants(engine.process.pid)[1:]:
            try:
                zombies += Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
        places = [Path(place) for place in EVIL_PLACES] + [engine.directory]
        if self.canary is not None:
            places.append(self.canary)
        evil = sorted(str(path) for place in places for mark in ("qfp_evil*", "qfp_left*") for path in place.glob(mark))
        written = sum(
            path.lstat().st_size for path in (engine.state, engine.store) for path in path.rglob("*") if path.is_file()
        )
        return {"orphans": orphans, "zombies": zombies, "evil": evil, "sysv": _sysv_keys(), "bytes": written}

    @contextmanager
    def watched(self, engine: Any, patience: float = 30.0) -> Iterator[Watch]:
        """Runs inside the block go into `results`; after it, `wrong` says what the host saw, and what of them was left
        for `patience` seconds."""
        watch = Watch(engine)
        before, self._state = self.count(engine), self._look_at_canary()
        list(self._heard())
        with watch.counting():
            yield watch
        watch.wrong = self.wrong(engine, watch.results, before, watch.most_processes, patience)


class Watch:
    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.results: list[Any] = []
        self.wrong: list[str] = []
        self.most_processes = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        ended = threading.Event()

        def count() -> None:
            while not ended.wait(0.2):
                self.most_processes = max(self.most_processes, len(descendants(self.engine.process.pid)))

        thread = threading.Thread(target=count)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _sysv_keys(*kinds: str) -> list[str]:
    keys = []
    for kind in kinds or ("shm", "sem", "msg"):
        try:
            lines = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
        except OSError:
            continue
        keys += [line.split()[0] for line in lines if (int(line.split()[0]) & 0xFFFFFFFF) >> 16 == SYSV_KEYS]
    return keys


def remove_sysv_keys() -> None:
    """What a box that shares the IPC of this machine left in it."""
    for kind, option in (("shm", "-M"), ("sem", "-S"), ("msg", "-Q")):
        for key in _sysv_keys(kind):
            subprocess.run(["ipcrm", option, str(int(key) & 0xFFFFFFFF)], check=True)


def _left_more(after: dict[str, Any], before: dict[str, Any]) -> list[str]:
    """What there is more of than before. Less is no trace: a zombie of an earlier run may be collected meanwhile."""
    return [
        name
        for name in after
        if (set(after[name]) - set(before[name]) if isinstance(after[name], list) else after[name] > before[name])
    ]
