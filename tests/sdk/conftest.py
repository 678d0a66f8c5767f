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


@pytest.fixture
def in_box_environment(starter, tmp_path):
    """Run source with the boxes' packages, without a box; returns (stdout, messages of the channel)."""
    interpreter = Path(settings.SANDBOX_ENV) / "bin" / "python"
    assert interpreter.exists(), (
        "The boxes' environment is missing: run `make run` or sandbox/host/environment.py once."
    )

    def run(source: str | Path, params: dict | None = None, expect_failure: bool = False):
        messages, script = tmp_path / "messages.jsonl", tmp_path / "main.py"
        if isinstance(source, str):
            script.write_text(source)
        else:
            script = source
        with open(messages, "wb") as channel:
            done = subprocess.run(
                [str(interpreter), str(script)],
                capture_output=True,
                text=True,
                pass_fds=[channel.fileno()],
                timeout=120,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(tmp_path),
                    "PYTHONPATH": str(SDK),
                    "QFP_DATA": str(starter.folder),
                    "QFP_PARAMS": json.dumps(params or {}),
                    "QFP_CHANNEL_FD": str(channel.fileno()),
                },
            )
        assert (done.returncode != 0) == expect_failure, done.stderr[-3000:]
        lines = messages.read_text().splitlines()
        return done.stdout + (done.stderr if expect_failure else ""), [json.loads(line) for line in lines]

    return run
