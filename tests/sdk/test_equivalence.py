"""Is our engine the same as backtesting.py? Over 60 strategies through both, and its own tests on ours.

Both run in the boxes' environment, where backtesting.py is installed, in a process of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from django.conf import settings

from tests.sdk.both_engines import RULES
from tests.sdk.conftest import SDK

HERE = Path(__file__).resolve().parent
# What of the wheel's own tests is not about orders, trades, equity, figures, searches or the library; docs/fills.md
# gives the reasons.
EXCEPTIONS = {
    "TestDocs.test_examples",  # skips itself where there are no examples
    "TestDocs.test_readme_contains_stats_keys",  # reads a file the wheel does not have
    "TestOptimize.test_max_tries",  # expects how many combinations one seed happens to draw
    "TestPlot.test_resample",  # Bokeh's charts
    "TestPlot.test_resample_trades_vectorized",  # Bokeh's charts
    "TestUtil.test_as_str",  # a private helper
    "TestUtil.test_indicators_picklable",  # private options of an indicator that comes back as a plain array
}


def in_boxes_environment(script: str, *arguments: str) -> list | dict:
    interpreter = Path(settings.SANDBOX_ENV) / "bin" / "python"
    done = subprocess.run(
        [str(interpreter), str(HERE / script), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SDK), "MPLBACKEND": "agg"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def cases(starter, tmp_path_factory):
    """What both engines made of every strategy."""
    import pandas as pd
    from qfp import data
    from qfp.data import catalogue

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QFP_DATA", str(starter.folder))
        catalogue.current.cache_clear()
        catalogue.folder.cache_clear()
        bars = {
            symbol: data.prices(symbol, start, end, adjust=adjust).rename(columns=str.title)
            for symbol, start, end, adjust in (
                ("IBM", "2008-01-02", "2009-03-31", "split"),
                ("AAPL", "2010-01-04", "2010-12-31", "all"),
            )
        }
        catalogue.current.cache_clear()
        catalogue.folder.cache_clear()
    path = tmp_path_factory.mktemp("equivalence") / "starter.pickle"
    pd.to_pickle({symbol: frame[["Open", "High", "Low", "Close", "Volume"]] for symbol, frame in bars.items()}, path)
    return in_boxes_environment("both_engines.py", str(path))


def test_under_the_compatible_rules_every_bar_order_trade_and_figure_is_the_same(cases):
    assert len({case["strategy"] for case in cases}) >= 60
    assert sum(case["trades"] for case in cases) > 3000
    assert {case["case"]: case["compatible"][:2] for case in cases if case["compatible"]} == {}


def test_under_the_usual_rules_only_the_stated_differences_remain(cases):
    equal = [case for case in cases if not case["usual"]]
    assert len(equal) > len(cases) / 3
    assert [case["case"] for case in cases if case["usual"] and not case["reasons"]] == []
    # Each stated difference is met by some strategy: none of them is a word without an effect.
    assert {reason for case in cases for reason in case["reasons"]} == set(RULES)


def test_the_wheels_own_tests_pass_on_our_engine():
    outcomes = {name.split("_test.")[-1]: how for name, how in in_boxes_environment("upstream_tests.py").items()}
    assert len(outcomes) >= 75
    failed = {name for name, how in outcomes.items() if how != "passed"}
    if any("needs the package sambo" in outcomes[name] for name in failed):
        failed.discard("TestOptimize.test_method_sambo")  # the package is not part of the boxes' environment
    assert failed == EXCEPTIONS, {name: outcomes[name][-600:] for name in failed - EXCEPTIONS}
