"""The same program ends the same way and shows the same things, whoever makes its box."""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.host import identities
from sandbox.host.boxes import Boxes
from sandbox.host.engine import parse_options
from sandbox.host.metrics import Metrics
from tests.sandbox.conftest import MEGABYTE, Engine, Result

BACKENDS = ("engine", "docker_engine", "kubernetes_engine")  # each is compared with the cold engine

PROGRAMS = {
    "text, charts and files": (
        "import sys\nimport plotly.graph_objects as go\nimport pandas as pd\nfrom qfp import progress\n"
        "print('one'); go.Figure(go.Scatter(y=[1, 2])).show(); print('two', file=sys.stderr)\n"
        "# %% a table\npd.DataFrame({'a': [1, 2]})\n"
        "# %% a file\nopen('left.csv', 'w').write('a,b\\n' * 50_000)\nimport os; os.symlink('/etc/passwd', 'link.txt')\n"
        "for _ in progress(range(3)): pass\nprint('three')",
        {},
    ),
    "an exception": ("x = 1\ndef f():\n    return {}['missing']\nprint('before')\nf()", {}),
    "an exit code": ("print('bye'); import sys; sys.exit(137)", {}),
    "too much time": ("print('on', flush=True)\nimport time\ntime.sleep(60)", {"wall_seconds": 4}),
    "too much work": ("print('on', flush=True)\nwhile True: pass", {"cpu_seconds": 2}),
    "too much memory": ("x = [bytearray(10 << 20) for _ in range(100)]", {"memory_bytes": 128 * MEGABYTE}),
    "too much memory together": (
        "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        x = bytearray(60 << 20)\n        x[::4096] = b'1' * len(x[::4096])\n"
        "        time.sleep(8)\n        os._exit(0)\nfor _ in range(8): os.wait()\nraise SystemExit(1)",
        {"memory_bytes": 128 * MEGABYTE},
    ),
    "too much output": ("while True: print('x' * 1000)", {}),
    "too much on the disk": ("open('big', 'wb').write(b'1' * (40 << 20))", {}),
    "too many processes": (
        "import os, time\ntry:\n    for _ in range(100):\n        if os.fork() == 0: time.sleep(3); os._exit(0)\nexcept OSError as e: print(type(e).__name__)",
        {"processes": 20},
    ),
    "a crash of its own": ("print('last', flush=True)\nimport os; os.abort()", {}),
}  # fmt: skip


def seen(result: Result) -> dict:
    """Everything but figures that differ from run to run."""
    ended = result.ended
    return {
        "outcome": ended["outcome"],
        "limit": ended["limit"],
        "exit": ended["exit"] if ended["outcome"] in ("succeeded", "failed") else None,
        "error": ended["error"],
        "stdout": result.stdout if ended["outcome"] != "output_exceeded" else len(result.stdout),
        "stderr": result.stderr,
        "shown": [sorted(event["data"]) for event in result.of("display")],
        "order": [
            event["type"]
            for event in result.events
            if event["type"] in ("stdout", "stderr", "display", "cell", "error")
        ]
        if ended["outcome"] in ("succeeded", "failed")
        else [],
        "files": {event["name"]: event["sha256"] for event in result.of("artefact") if ended["outcome"] == "succeeded"},
        "notices": sorted(result.notices()),
    }


@pytest.fixture(scope="module")
def expected(cold_engine: Engine) -> dict:
    def end(name: str) -> dict:
        source, limits = PROGRAMS[name]
        return seen(cold_engine.run(source, **limits))

    with ThreadPoolExecutor(3) as pool:  # some of them only wait for their end
        return dict(zip(PROGRAMS, pool.map(end, PROGRAMS), strict=True))


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_ends_and_shows_the_same(request, backend: str, name: str, expected: dict) -> None:
    source, limits = PROGRAMS[name]
    engine: Engine = request.getfixturevalue(backend)
    assert seen(engine.run(source, **limits)) == expected[name]


def test_an_engine_that_finds_no_user_ids_for_its_containers_says_so(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(identities, "FIRST_CHOICES", ())
    words = [f"--{name}={tmp_path}" for name in ("socket", "env", "store", "state")]
    assert "no user ids for boxes" in Boxes(parse_options([*words, "--backend=docker"]), Metrics()).prepare()


def test_the_programs_are_what_they_are_called(expected: dict) -> None:
    """Otherwise all of them could be alike in failing."""
    outcomes = {name: each["outcome"] for name, each in expected.items()}
    assert outcomes == {
        "text, charts and files": "succeeded",
        "an exception": "failed",
        "an exit code": "failed",
        "too much time": "timed_out",
        "too much work": "timed_out",
        "too much memory": "out_of_memory",
        "too much memory together": "out_of_memory",
        "too much output": "output_exceeded",
        "too much on the disk": "disk_full",
        "too many processes": "succeeded",
        "a crash of its own": "failed",
    }
    whole = expected["text, charts and files"]
    assert whole["files"] == {"left.csv": hashlib.sha256(b"a,b\n" * 50_000).hexdigest()}
    assert len(whole["shown"]) == 2
