"""Does any program of the manual that trades know the future? Each is tested as a run of the site is."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.sandbox.test_examples_in_docs import FOLDER, examples
from tests.sdk.conftest import SDK

TRADES = re.compile(r"\b(backtest|portfolio_backtest|Backtest|run_algorithm|walk_forward|sweep|cerebro\.run)\(")
# What is found in the backtests of a page, in their order; None where another test of the page asserts it.
PAGES: dict[str, list[str] | None] = {
    "copied-code.md": ["clean"],  # its second program is for zipline-reloaded: tests/runner/test_copied_zipline.py
    "fills.md": ["clean"],
    "getting-started.md": ["clean"],
    "honesty.md": ["leak", "clean"],  # one leaks on purpose; where a copy has no findings to print, both were told
    "portfolio.md": None,  # test_portfolio_page.py
    "reports.md": ["clean"],
    "reproducing.md": ["clean"],
    "rich-output.md": ["clean"],
    "speed.md": ["partly"],  # its bars are made in the code
    "sweeps.md": ["clean"],
}
# Many runs of one strategy say no more than one, which takes their place.
INSTEAD = {
    "fills.md": ("test = ", ""),
    "copied-code.md": ("import pandas as pd\nfrom zipline", ""),
    "speed.md": ("test = ", "from qfp import backtest\nbacktest(Cross, bars.iloc[:2000])\n"),
    "sweeps.md": (
        "found = ",
        'from qfp import backtest\nbacktest(Cross, data.prices("IBM", "2009-01-02", "2010-12-31"))\n',
    ),
}


def program(page: str) -> str:
    source = "\n".join(examples(page))
    if page in INSTEAD:
        upto, instead = INSTEAD[page]
        assert upto in source
        source = source.partition(upto)[0] + instead
    return source


def test_no_page_that_trades_is_missing_here():
    assert {path.name for path in FOLDER.glob("*.md") if any(map(TRADES.search, examples(path.name)))} == set(PAGES)


@pytest.fixture(scope="module")
def found(starter, tmp_path_factory) -> dict[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("pages")
    backtrader = importlib.util.find_spec("backtrader")  # a box gets it by the first line of its program
    assert backtrader is not None and backtrader.origin
    packages = tmp_path_factory.mktemp("packages")
    (packages / "backtrader").symlink_to(Path(backtrader.origin).parent)
    file = folder / "pages.py"
    file.write_text("".join(f"\n# %% {page}\n{program(page)}" for page, states in PAGES.items() if states))
    done = subprocess.run(
        [
            str(Path(settings.SANDBOX_ENV) / "bin" / "python"),
            str(Path(__file__).parent / "honesty_programs.py"),
            str(file),
            "1",
            "recording others",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=400,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(map(str, (SDK, SDK / "compat", settings.BASE_DIR, packages))),
            "QFP_DATA": str(starter.folder),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {
        each["name"]: [backtest["lookahead"] for backtest in each["found"]]
        for each in map(json.loads, done.stdout.splitlines())
    }


@pytest.mark.parametrize("page", [page for page, states in PAGES.items() if states])
def test_a_page_trades_without_look_ahead_or_shows_one_on_purpose(found, page):
    assert [each["state"] for each in found[page]] == PAGES[page], found[page]
