"""The starter data and the boxes' interpreter: what the library's own tests stand on."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from django.conf import settings

STORE = Path(os.environ["PLAYGROUND_TESTS_STORE"])
SDK = Path(settings.BASE_DIR) / "sandbox" / "sdk"


@pytest.fixture(scope="session")
def starter():
    """The starter snapshot, fetched once and then found; in the store that all test runs share."""
    from qfp import starter

    return starter.build(STORE)


@pytest.fixture
def data(starter, monkeypatch):
    from qfp import data
    from qfp.data import catalogue

    monkeypatch.setenv("QFP_DATA", str(starter.folder))
    catalogue.current.cache_clear()
    catalogue.folder.cache_clear()
    yield data
    catalogue.current.cache_clear()
    catalogue.folder.cache_clear()


@pytest.fixture(scope="session")
def interpreter() -> Path:
    """The boxes' own."""
    found = Path(settings.SANDBOX_ENV) / "bin" / "python"
    assert found.exists(), "The boxes' environment is missing: run `make run` or sandbox/host/environment.py once."
    return found


@pytest.fixture
def in_box_environment(interpreter, starter, tmp_path):
    """Run source with the boxes' packages, without a box; returns (stdout, messages of the channel)."""

    def run(source: str) -> tuple[str, list[dict]]:
        messages, script = tmp_path / "messages.jsonl", tmp_path / "main.py"
        script.write_text(source)
        with open(messages, "wb") as channel:
            done = subprocess.run(
                [str(interpreter), str(script)],
                capture_output=True,
                text=True,
                pass_fds=[channel.fileno()],
                timeout=120,
                env=_surroundings(starter, tmp_path) | {"QFP_CHANNEL_FD": str(channel.fileno())},
            )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout, [json.loads(line) for line in messages.read_text().splitlines()]

    return run


@pytest.fixture(scope="session")
def forking(interpreter):
    """An interpreter that has imported what programs use; see forking.py."""
    with subprocess.Popen(
        [str(interpreter), str(Path(__file__).with_name("forking.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SDK)},
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def in_forked_environment(forking, starter, tmp_path):
    """The same as in_box_environment without the seconds that importing takes, for what does not ask what is imported;
    stdout has standard error in it.
    """

    def run(source: str, params: dict | None = None, expect_failure: bool = False) -> tuple[str, list[dict]]:
        script, output, messages = (tmp_path / name for name in ("main.py", "output.txt", "messages.jsonl"))
        script.write_text(source)
        environment = _surroundings(starter, tmp_path) | {"QFP_PARAMS": json.dumps(params or {})}
        told = {"script": str(script), "environment": environment, "output": str(output), "messages": str(messages)}
        forking.stdin.write(f"{json.dumps(told)}\n")
        forking.stdin.flush()
        failed = forking.stdout.readline().strip() != "0"
        text = output.read_text()
        assert failed == expect_failure, text[-3000:]
        return text, [json.loads(line) for line in messages.read_text().splitlines()]

    return run


def _surroundings(starter, home: Path) -> dict[str, str]:
    folder = {"PYTHONPATH": str(SDK), "QFP_DATA": str(starter.folder)}
    return {"PATH": os.environ["PATH"], "HOME": str(home), "QFP_PARAMS": "{}"} | folder
