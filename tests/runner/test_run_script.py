"""The operators' command: the site's own path, JSON lines out, an exit code to trust."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from django.conf import settings

from runner.models import Run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services", "engine", "worker")]


@pytest.fixture
def run_script(tmp_path, child_environment):
    def run_it(source: str, *arguments: str) -> tuple[int, list[dict]]:
        file = tmp_path / "program.py"
        file.write_text(source)
        done = subprocess.run(
            [sys.executable, "manage.py", "run_script", str(file), "--json", *arguments],
            cwd=settings.BASE_DIR,
            env={**os.environ, **child_environment},
            capture_output=True,
            text=True,
            timeout=180,
        )
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    return run_it


def test_success_prints_events_and_exits_with_0(run_script):
    source = "from qfp import param\nprint('lookback', param('lookback', 60))"
    code, lines = run_script(source, "--param", "lookback=20")
    assert code == 0
    assert [event["text"] for event in lines if event["type"] == "stdout"] == ["lookback 20\n"]
    outcome = lines[-1]
    assert outcome["status"] == "succeeded"
    assert set(outcome) >= {
        "id", "status", "message", "exit", "url", "cpu_seconds", "wall_seconds", "peak_memory_bytes",
    }  # fmt: skip
    assert outcome["url"].endswith(f"/r/{outcome['id']}")


def test_every_other_outcome_exits_with_1(run_script):
    code, lines = run_script("raise SystemExit(0) if False else ValueError('no')")
    assert code == 1 and lines[-1]["status"] == "failed"
    code, lines = run_script("while True: pass", "--timeout", "1")
    assert code == 1 and lines[-1]["status"] == "timed_out" and "1 s" in lines[-1]["message"]


TRIES = """
import pandas as pd
from qfp.backtesting import Backtest, Strategy

class Hold(Strategy):
    days = 1
    def init(self): pass
    def next(self):
        if not self.position: self.buy(size=1)

prices = [100.0 + n % 7 for n in range(60)]
bars = pd.DataFrame(dict.fromkeys(["Open", "High", "Low", "Close"], prices), pd.date_range("2020-01-01", periods=60))
test = Backtest(bars, Hold, finalize_trades=True)
for days in (2, 3, 3):
    test.run(days=days)
"""


def test_what_a_program_tries_with_backtest_counts_and_shows_nothing(run_script):
    code, lines = run_script(TRIES)
    assert code == 0 and not [event for event in lines if event["type"] in ("backtest", "notice")]
    assert Run.objects.get(pk=lines[-1]["id"]).attempts.count() == 2
