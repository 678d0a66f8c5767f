"""A corpus of hostile and faulty programs, when there is one: SANDBOX_CORPUS names the directory with its
manifest.yaml.

Our own attacks (tests/sandbox/attacks.py) are always run; these are other people's, so that we do not only meet
ourselves. What the host sees is judged by host_checks.py, for which engines without a wall are the test.
"""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.outcomes import sentence
from tests.sandbox.broken import engine_with
from tests.sandbox.conftest import ROOT, Engine, Result
from tests.sandbox.host_checks import TCP_PORT, Host, remove_sysv_keys

CORPUS = Path(os.environ.get("SANDBOX_CORPUS") or ROOT.parent / "shared" / "corpus" / "run")
CPU_SECONDS = 3
LATE_SECONDS = 6  # so long the child of a program goes on that has ended
LIMITS = {
    "cpu_seconds": CPU_SECONDS,
    "wall_seconds": 20,
    "memory_bytes": 512_000_000,
    "disk_bytes": 64_000_000,
    "processes": 48,
    "output_bytes": 1_000_000,
}
# The manifest's limits in the engine's words, and the figure its sentence has to name.
LIMIT_NAMES = {
    "time": ("cpu_seconds", f"{CPU_SECONDS} s"),
    "memory": ("memory_bytes", "512 MB"),
    "disk": ("disk_bytes", "64 MB"),
    "process": ("processes", "48"),
    "output": ("output_bytes", "1 MB"),
}
EXIT_CODES = {"spoof_stdout_events": 3, "pkg_missing": 1}


@dataclass(frozen=True)
class Program:
    id: str
    source: str
    expected: str
    limit: str
    runs: int
    checks: tuple[str, ...]  # of host, post and must

    @classmethod
    def from_manifest(cls, text: str) -> Program:
        """One entry of the manifest, whose layout is fixed: no YAML library for five fields."""

        def value(name: str) -> str:
            found = re.search(rf"^ +{name}: (.+)$", text, re.MULTILINE)
            return found[1] if found else ""

        checks = re.findall(r"^    - (\S+)$", text, re.MULTILINE)
        return cls(
            id=text.split("\n")[0],
            source=(CORPUS / value("file")).read_text(),
            expected=value("expected"),
            limit=value("limit"),
            runs=int(value("runs")),
            checks=(*checks, *filter(None, [value("post")])),
        )


def _programs() -> list[Program]:
    if not (CORPUS / "manifest.yaml").exists():
        return []
    entries = (CORPUS / "manifest.yaml").read_text().split("\n- id: ")[1:]
    return [Program.from_manifest(entry) for entry in entries]


PROGRAMS = _programs()
ALL = pytest.param(PROGRAMS, marks=pytest.mark.skipif(not PROGRAMS, reason="there is no corpus here"))


def judge(program: Program, result: Result) -> list[str]:
    """What is wrong with how this program ended, as far as the engine's side can say."""
    wrong = []
    status, ended = result.outcome, result.ended
    said = sentence(status, ended).replace("\u2009", " ")
    if "|ESCAPED|" in result.stdout:
        wrong.append(f"it escaped: {result.stdout[:400]}")
    if status == "crashed":
        wrong.append("shown as a fault of ours")
    if program.limit in LIMIT_NAMES:
        name, figure = LIMIT_NAMES[program.limit]
        met = {(ended["limit"] or {}).get("name"), *result.notices()}
        if name not in met or figure not in said:
            wrong.append(f"the limit is not named: {said}")
        if ended["cpu_seconds"] > CPU_SECONDS + 2:
            wrong.append(f"the limit was passed: {ended['cpu_seconds']} s")
    elif f"QFPC|{program.id}|HELD" not in result.stdout:
        wrong.append(f"no evidence: {said} {result.stderr[-300:]}")
    elif program.expected != "limited" and program.id not in EXIT_CODES and status != "succeeded":
        wrong.append(f"it should have run: {said} {result.stderr[-300:]}")
    if "status_failed_user_error" in program.checks:
        if (status, ended["exit"]["code"]) != ("failed", EXIT_CODES[program.id]):
            wrong.append(f"not shown as its own failure: {said}")
    if program.id == "pkg_missing" and not re.search(r"qfp_no_such_package_zz9.*line \d+", said):
        wrong.append(f"the package and the line are not named: {said}")
    if "finish_within_3s" in program.checks and ended["wall_seconds"] >= LATE_SECONDS:
        wrong.append(f"shown as finished after {ended['wall_seconds']:.1f} s")
    return wrong


def play(engine: Engine, host: Host, program: Program, **limits: Any) -> list[str]:
    """The program, as often as the manifest says and as another user each time; everything that is wrong."""
    with host.watched(engine) as watch:
        for number in range(program.runs):
            watch.results.append(engine.run(program.source, owner=f"user-{number}", **{**LIMITS, **limits}))
    return [f"{program.id}: {wrong}" for result in watch.results for wrong in judge(program, result)] + [
        f"{program.id}: {wrong}" for wrong in watch.wrong
    ]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.id)
def test_a_program_of_the_corpus_is_held(engine: Engine, host: Host, program: Program) -> None:
    assert not play(engine, host, program)


@pytest.mark.parametrize("programs", [ALL])
def test_the_corpus_is_held_twice_more(engine: Engine, host: Host, programs: list[Program]) -> None:
    assert not [wrong for _ in range(2) for program in programs for wrong in play(engine, host, program)]


@pytest.mark.skipif(not os.environ.get("SANDBOX_ALL"), reason="the walls are the same; SANDBOX_ALL=1 tries them")
@pytest.mark.parametrize("programs", [ALL])
def test_the_corpus_is_held_in_the_boxes_of_an_ordinary_user(
    ordinary_engine: Engine, host: Host, programs: list[Program]
) -> None:
    assert not [wrong for program in programs for wrong in play(ordinary_engine, host, program)]


HONEST = "import pandas as pd\nframe = pd.DataFrame({'price': range(1, 2001), 'odd': [1, 0] * 1000})\nprint(frame.price.rolling(20).mean().sum(), frame.groupby('odd').price.mean().tolist())"
# Means of 20 numbers ending at n are n - 9.5, n = 20 ... 2000; means of 2, 4 ... 2000 and of 1, 3 ... 1999.
HONEST_OUTPUT = "1981990.5 [1001.0, 1000.0]\n"


@pytest.mark.parametrize("programs", [ALL])
def test_the_corpus_is_held_beside_eight_honest_runs_which_do_not_notice(
    make_engine: Any, host: Host, programs: list[Program]
) -> None:
    engine = make_engine("--max-boxes", "12")
    ended = threading.Event()
    honest: list[Result] = []

    def be_honest() -> None:
        while not ended.is_set():
            honest.append(engine.run(HONEST, cpu_seconds=20, wall_seconds=90))

    threads = [threading.Thread(target=be_honest) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        with host.watched(engine) as watch, ThreadPoolExecutor(4) as pool:

            def attack(program: Program) -> list[str]:
                wrong = []
                for number in range(program.runs):
                    result = engine.run(program.source, owner=f"user-{number}", **{**LIMITS, "wall_seconds": 90})
                    watch.results.append(result)
                    wrong += [
                        f"{program.id}: {each}" for each in judge(program, result) if "finished after" not in each
                    ]
                return wrong

            wrong = [each for found in pool.map(attack, programs) for each in found]
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not wrong + watch.wrong
    assert len(honest) >= 8
    assert {(result.outcome, result.stdout) for result in honest} == {("succeeded", HONEST_OUTPUT)}


# What the host has to notice when a wall is missing. No corpus is needed for it.
FOUND_OUT = [
    (
        "the network of the machine",
        f"import socket\nsocket.create_connection(('127.0.0.1', {TCP_PORT}), 2).send(b'x')",
        "listeners_silent: TCP",
    ),
    (
        "the network of the machine",
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0qfp_canary')\ns.send(b'x')",
        "listeners_silent: abstract",
    ),
    (
        "the network of the machine",
        "import socket, time\ns = socket.socket()\ns.setsockopt(1, 2, 1)\ns.bind(('127.0.0.1', 47021))\ns.listen()\nprint('on', flush=True)\ntime.sleep(60)",
        "probe_closed",
    ),
    ("a canary mounted", "print(open('CANARY/secret.env').read())", "token"),
    (
        "a canary mounted",
        "import os, shutil\nshutil.copyfile('CANARY/secret.env', 'mine.csv')",
        "collector_no_token",
    ),
    ("a canary mounted", "open('CANARY/write_target', 'a').write('x')", "canary_unchanged"),
    ("a canary mounted", "open('CANARY/qfp_evil_import', 'w').write('x')", "no_evil_files"),
    (
        "the IPC of the machine",
        "import ctypes\nctypes.CDLL(None).shmget(0x51460001, 4096, 0o1666)",
        "no_sysv",
    ),
]


@pytest.mark.parametrize(("way", "source", "check"), FOUND_OUT, ids=lambda value: value.split(":")[0][:30])
def test_the_host_notices_a_box_without_a_wall(make_engine: Any, host: Host, way: str, source: str, check: str) -> None:
    if host.canary is None and "CANARY" in source:
        pytest.skip("an ordinary user may lay out no canary")
    canary = str(host.canary)
    engine = make_engine("--no-zygote", start_with=engine_with(way).replace("CANARY", canary))
    source = source.replace("CANARY", canary)
    stays: list[Any] = []  # the box of the one that is still there when the host looks
    may_look = threading.Event()

    def note(box: Any, event: dict[str, Any]) -> None:
        if event.get("text") == "on\n":
            stays.append(box)
            may_look.set()

    def run() -> None:
        try:
            watch.results.append(engine.run(source, on_event=note))
        finally:
            may_look.set()

    with host.watched(engine, patience=2.0) as watch:
        running = threading.Thread(target=run)
        running.start()
        assert may_look.wait(60)
    for box in stays:
        box.cancel()
    running.join()
    remove_sysv_keys()
    assert any(wrong.startswith(check) for wrong in watch.wrong), (watch.wrong, [r.stderr for r in watch.results])
