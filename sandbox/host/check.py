"""Can this machine sandbox? check() starts an engine of its own, runs real boxes in it and says what it saw.

`python -m sandbox.host.check --env DIR` prints that as one JSON object; `manage.py check_sandbox` shows it.
No claim without a try: every promise below is attacked in a box, and a box that did not start proves nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sandbox.client import BoxRefused, BoxRequest, EngineClient, EngineUnavailable, Limits

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 60

_LIMITS = Limits(
    cpu_seconds=2,
    wall_seconds=20,
    memory_bytes=192 << 20,
    disk_bytes=8 << 20,
    processes=24,
    output_bytes=64 << 10,
    rich_bytes=1 << 20,
    rich_message_bytes=1 << 20,
    events=500,
    artefact_bytes=0,
    artefact_count=0,
)


@dataclass(frozen=True)
class Promise:
    name: str
    source: str
    outcome: str
    printed: str = ""  # what the program prints when the promise is kept


PROMISES = (
    Promise("a program runs", "print(6 * 7)", "succeeded", "42\n"),
    Promise(
        "no network",
        "import socket\ntry: socket.socket(); print('open')\nexcept OSError: print('closed')",
        "succeeded",
        "closed\n",
    ),
    Promise(
        "no file of this machine but the libraries",
        "import os\nplaces = ('/root', '/home', '/var', '/etc/shadow', '/proc/1', '/sys')\n"
        "print([place for place in places if os.path.exists(place)])",
        "succeeded",
        "[]\n",
    ),
    Promise(
        "no new namespace",
        "import ctypes\nprint(ctypes.CDLL(None).unshare(0x10000000))",
        "succeeded",
        "-1\n",
    ),
    Promise("processor time is limited", "while True: pass", "timed_out"),
    Promise("memory is limited", "kept = []\nwhile True: kept.append(b'x' * (8 << 20))", "out_of_memory"),
    Promise(
        "memory of all processes together is limited",
        "import os, time\nfor _ in range(6):\n"
        "    if os.fork() == 0: held = b'x' * (100 << 20); time.sleep(15)\ntime.sleep(15)",
        "out_of_memory",
    ),
    Promise("disk space is limited", "file = open('f', 'wb')\nwhile True: file.write(b'x' * (1 << 20))", "disk_full"),
    Promise("output is limited", "while True: print('x' * 1000)", "output_exceeded"),
    Promise(
        "the number of processes is limited",
        "import os, time\nn = 0\ntry:\n    while n < 200:\n        if os.fork() == 0: time.sleep(15); os._exit(0)\n"
        "        n += 1\nexcept OSError: pass\nprint(n < 30)",
        "succeeded",
        "True\n",
    ),
)


@dataclass
class Report:
    ok: bool = False
    reason: str = ""  # why not, and what to change
    weaknesses: list[str] = field(default_factory=list)
    promises: list[dict[str, Any]] = field(default_factory=list)
    first_output_seconds: float | None = None
    status: dict[str, Any] = field(default_factory=dict)


def check(environment: Path, promises: tuple[Promise, ...] = PROMISES) -> Report:
    """Try every promise on this machine with an engine of this user, apart from any that is running."""
    report = Report()
    with tempfile.TemporaryDirectory(prefix="sandbox-check-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        words = [
            sys.executable,
            "-m",
            "sandbox.host.engine",
            "--socket",
            str(directory / "s"),
            "--env",
            str(environment),
        ]
        words += ["--store", str(directory / "store"), "--state", str(directory / "state")]
        log = (directory / "log").open("w+b")
        process = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment()
        )
        try:
            client = EngineClient(directory / "s")
            report.status = _wait(client, process)
            report.weaknesses = report.status.get("weaknesses", [])
            report.reason = report.status.get("reason", "")
            if report.status.get("ready"):
                report.promises = [_try(client, promise, report) for promise in promises]
                broken = [promise["name"] for promise in report.promises if not promise["kept"]]
                report.ok = not broken
                if broken:
                    report.reason = f"Boxes start, but not every promise was kept: {', '.join(broken)}."
            elif not report.reason:
                log.seek(0)
                report.reason = "The engine did not start: " + log.read().decode("utf-8", "replace")[-800:].strip()
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()
    return report


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}


def _wait(client: EngineClient, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return client.status()
        except EngineUnavailable:
            time.sleep(0.05)
    return {}


def _try(client: EngineClient, promise: Promise, report: Report) -> dict[str, Any]:
    request = BoxRequest("check", "check", {"main.py": promise.source}, "main.py", {}, _LIMITS)
    printed, outcome, first = "", "did not start", None
    try:
        with client.start(request) as box:
            for event in box.events():
                if event is None:
                    continue
                if event["type"] == "stdout":
                    first = event["t"] if first is None else first
                    printed += event["text"]
                elif event["type"] == "ended":
                    outcome = event["outcome"]
    except (BoxRefused, EngineUnavailable) as error:
        outcome = str(error)
    if report.first_output_seconds is None:
        report.first_output_seconds = first
    kept = outcome == promise.outcome and (not promise.printed or printed == promise.printed)
    seen = outcome if kept or outcome != promise.outcome else f"{outcome}, printed {printed[:200]!r}"
    return {"name": promise.name, "kept": kept, "expected": promise.outcome, "seen": seen}


def main() -> int:
    parser = argparse.ArgumentParser(prog="sandbox.host.check", description=__doc__)
    parser.add_argument("--env", type=Path, required=True, help="the virtual environment of the boxes")
    report = check(Path(os.path.abspath(parser.parse_args().env)))
    print(json.dumps(asdict(report), indent=2))
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
