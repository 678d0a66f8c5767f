"""Code written for zipline, where its packages are: its sixty packages are too many to bring in for every test run.

.venv/bin/uv pip install --python .data/sandbox-env/bin/python --target FOLDER zipline-reloaded 'pandas<3'
ZIPLINE_FOLDER=FOLDER make test ARGS=tests/runner/test_copied_zipline.py
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from django.conf import settings

from runner.backtests import check_claim
from tests.sandbox.test_examples_in_docs import examples
from tests.sdk.conftest import SDK, STORE, starter  # noqa: F401

FOLDER = os.environ.get("ZIPLINE_FOLDER", "")
SCRIPTS = Path(__file__).parent.parent / "data" / "copied" / "zipline"
FINAL = re.compile(r"final value: ([\d.]+)")
# As the shell of a box does it, and the test of the whole program at its end.
HARNESS = """
import os, sys
from qfp import channel, checking, copied
from qfp.checking.clock import Clock
from qfp.checking.programs import run_source
from sandbox.inside import hooks

hooks.install()
copied.observe(hooks.after_import)
checking.whole_program = True
clock, source = Clock(), open("main.py").read()
names = run_source(source, os.path.abspath("main.py"))
checking.examine_program(
    lambda: run_source(source, os.path.abspath("main.py")), names, source, os.getcwd(), clock
)
"""

pytestmark = pytest.mark.skipif(not FOLDER, reason="ZIPLINE_FOLDER names no folder with zipline-reloaded")


@pytest.mark.parametrize(
    ("source", "symbols"),
    [
        pytest.param((SCRIPTS / "buy_and_rebalance.py").read_text(), {"AAPL"}, id="rebalance"),
        pytest.param((SCRIPTS / "dual_average.py").read_text(), {"IBM"}, id="averages"),
        pytest.param((SCRIPTS / "rotation.py").read_text(), {"AAPL", "IBM", "MSFT"}, id="rotation"),
        pytest.param(examples("copied-code.md")[1], {"IBM"}, id="the example of the manual"),
    ],
)
def test_a_script_is_recorded_and_verified_to_the_cent(starter, tmp_path, source, symbols) -> None:  # noqa: F811
    (tmp_path / "main.py").write_text(source)
    (tmp_path / "harness.py").write_text(HARNESS)
    with (tmp_path / "messages").open("wb") as sent:
        done = subprocess.run(
            [str(Path(settings.SANDBOX_ENV) / "bin" / "python"), "-W", "ignore", "harness.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            pass_fds=[sent.fileno()],
            timeout=300,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "PYTHONPATH": os.pathsep.join([FOLDER, str(SDK), str(SDK / "compat"), str(settings.BASE_DIR)]),
                "QFP_DATA": str(starter.folder),
                "QFP_CHANNEL_FD": str(sent.fileno()),
            },
        )
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in (tmp_path / "messages").read_text().splitlines()]
    [claim] = [message["claim"] for message in said if message["type"] == "backtest"]
    checked = check_claim(claim, STORE)
    assert checked.verified, checked.verified_text
    assert f"{checked.equity[-1]:.2f}" == FINAL.findall(done.stdout)[-1]
    assert checked.conventions["id"] == "zipline/next-close"
    assert {each["symbol"] for each in checked.instruments} == symbols
    assert "in the place of the bundle" in done.stdout
    found = [message["lookahead"]["state"] for message in said if message["type"] == "checks"]
    assert found[-1] == "clean", said[-1]
