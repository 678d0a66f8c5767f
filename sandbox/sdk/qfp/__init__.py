"""The library of Quant Finance Playground: market data, backtests, charts, tables, parameters, parallel work.

The same program runs on the site and, after `pip install`, on a laptop. Nothing heavy is imported before it
is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "data",
    "backtest",
    "portfolio_backtest",
    "report",
    "show",
    "display",
    "table",
    "chart",
    "param",
    "progress",
    "pmap",
    "sweep",
    "walk_forward",
    "Between",
    "SweepResult",
    "BacktestResult",
    "PortfolioResult",
    "Table",
    "Progress",
    "ParallelError",
    "portfolio",
    "montecarlo",
    "models",
    "metrics",
    "significance",
    "regression",
    "resampling",
    "windows",
    "conventions",
    "replay",
    "adjustment",
]

if TYPE_CHECKING:
    from qfp import (
        adjustment,
        conventions,
        data,
        metrics,
        models,
        montecarlo,
        portfolio,
        regression,
        replay,
        resampling,
        significance,
        windows,
    )
    from qfp.backtests import BacktestResult, backtest
    from qfp.output import Table, chart, display, show, table
    from qfp.parallel import ParallelError, pmap
    from qfp.params import param
    from qfp.portfolio.result import PortfolioResult, portfolio_backtest
    from qfp.progressing import Progress, progress
    from qfp.reporting import report
    from qfp.sweeps.result import SweepResult
    from qfp.sweeps.space import Between
    from qfp.sweeps.sweeping import sweep
    from qfp.sweeps.walking import walk_forward

# Where each name lives. No module has the name of a function, or importing it would hide the function.
_HOME = {
    "backtest": "backtests",
    "portfolio_backtest": "portfolio.result",
    "report": "reporting",
    "PortfolioResult": "portfolio.result",
    "BacktestResult": "backtests",
    "show": "output",
    "display": "output",
    "table": "output",
    "chart": "output",
    "Table": "output",
    "param": "params",
    "progress": "progressing",
    "Progress": "progressing",
    "pmap": "parallel",
    "sweep": "sweeps.sweeping",
    "walk_forward": "sweeps.walking",
    "Between": "sweeps.space",
    "SweepResult": "sweeps.result",
    "ParallelError": "parallel",
}
_MODULES = {
    "data",
    "backtesting",
    "portfolio",
    "metrics",
    "significance",
    "regression",
    "resampling",
    "windows",
    "models",
    "montecarlo",
    "conventions",
    "replay",
    "adjustment",
    "starter",
    "channel",
    "synthetic",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"qfp.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"qfp.{name}")
    else:
        raise AttributeError(f"module 'qfp' has no attribute {name!r}; it offers {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
