"""Do backtesting.py's own unit tests pass on our engine? Run in the boxes' environment: prints the outcomes as JSON.

The tests come from the installed wheel, untouched; only the names they import lead to qfp.backtesting, under the rules
that copy every habit of the original. Arguments: names of tests; none for all.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import multiprocessing
import os
import sys
import types
import unittest
import unittest.mock
import warnings


def attempt(function, default=None, exception=Exception):
    """The helper that the tests call try_."""
    try:
        return function()
    except exception:
        return default


def alias() -> None:
    """Make `import backtesting` find our engine, and its tests and their data in the wheel."""
    import numpy as np
    import pandas as pd
    import qfp.backtesting as ours
    from qfp.backtesting import lib, lines, running, statistics, strategy

    spec = importlib.machinery.PathFinder.find_spec("backtesting")
    assert spec is not None and spec.submodule_search_locations

    running.Backtest.rules = ours.COMPATIBLE
    Backtest = running.Backtest

    lines.Line._opts = property(lambda line: line.options)

    def module(name: str, **names: object) -> types.ModuleType:
        made = types.ModuleType(name)
        made.__dict__.update(names)
        sys.modules[name] = made
        return made

    def peaks(drawdown: pd.Series) -> tuple[pd.Series, pd.Series]:
        begins, ends, depths = statistics.drawdown_spans(drawdown.to_numpy())
        lengths = pd.Series(drawdown.index[ends] - drawdown.index[begins], index=drawdown.index[ends])
        return lengths.reindex(drawdown.index), pd.Series(depths, index=drawdown.index[ends]).reindex(drawdown.index)

    package = module("backtesting", Backtest=Backtest, Strategy=strategy.Strategy, __version__="0.6")
    package.__path__ = list(spec.submodule_search_locations)
    package.set_bokeh_output = lambda notebook=False: None
    package.Pool = multiprocessing.Pool
    package.lib = sys.modules["backtesting.lib"] = lib
    package.backtesting = module("backtesting.backtesting", Strategy=strategy.Strategy, Backtest=Backtest)
    package._stats = module("backtesting._stats", compute_drawdown_duration_peaks=peaks, compute_stats=None)
    package._util = module(
        "backtesting._util",
        _Array=lines.Line,
        _Indicator=lines.Line,
        _as_str=strategy._short,
        _as_list=list,
        _Data=lines.Bars,
        patch=unittest.mock.patch.object,
        try_=attempt,
        np=np,
    )
    package._plotting = module("backtesting._plotting", _MAX_CANDLES=10_000)


class Outcomes(unittest.TestResult):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.found.setdefault(test.id(), "passed")

    def addError(self, test: unittest.TestCase, err) -> None:
        self.found[test.id()] = self._exc_info_to_string(err, test)[-900:]

    addFailure = addError

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.found[test.id()] = f"skipped: {reason}"

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err) -> None:
        if err is not None:
            self.found[test.id()] = self._exc_info_to_string(err, test)[-900:]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    alias()
    wanted = sys.argv[1:]
    from backtesting.test import _test  # type: ignore[import-not-found]

    outcomes = Outcomes()
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(wanted, _test) if wanted else loader.loadTestsFromModule(_test)
    os.environ["MPLBACKEND"] = "agg"
    with open(os.devnull, "w") as nowhere:
        sys.stdout, out = nowhere, sys.stdout
        suite.run(outcomes)
        sys.stdout = out
    json.dump(outcomes.found, sys.stdout)
