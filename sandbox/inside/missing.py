"""What does `import pandsa` say? Which package is not there, on which line, and what was probably meant."""

from __future__ import annotations

import sys
from types import FrameType

from .tracebacks import is_users

# Import name -> the name to propose. Known to many people, whether a box has them or not.
_KNOWN = [
    "arch", "backtesting", "backtrader", "bokeh", "bs4", "cvxpy", "cython", "dask", "flask", "fastapi", "joblib",
    "keras", "lightgbm", "matplotlib", "networkx", "numba", "numpy", "openpyxl", "pandas", "plotly", "polars",
    "pyarrow", "pydantic", "qfp", "quantlib", "requests", "scipy", "seaborn", "sklearn", "sqlalchemy", "statsmodels",
    "sympy", "talib", "tensorflow", "torch", "tqdm", "xgboost", "yfinance",
]  # fmt: skip
_PRICES = 'Prices come from qfp: `from qfp import data`, then data.prices("AAPL").'
# Packages that only make sense with a network, and what does their work here.
_NEED_A_NETWORK = {
    "alpha_vantage": _PRICES,
    "nasdaqdatalink": _PRICES,
    "quandl": _PRICES,
}
# What to ask for where that is another name, or more than one.
_ASKED_FOR = {"zipline": "zipline-reloaded, pandas<3"}
_ALIASES = {
    "scikit_learn": "sklearn",
    "scikit": "sklearn",
    "beautifulsoup": "bs4",
    "beautifulsoup4": "bs4",
    "pytorch": "torch",
}


class MissingPackages:
    """The last of the finders: asked only when no other one knows the name."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if path is not None or "." in name:
            return None
        line = _line_of_the_import()
        if line is None:
            return None  # a library looking for something optional, or a question that wants None for an answer
        if name in _NEED_A_NETWORK:
            text = f"{name!r} is not available: programs here have no network. {_NEED_A_NETWORK[name]}"
            raise ModuleNotFoundError(f"{text} (line {line})", name=name)
        meant = proposal(name)
        if meant is None:
            wish = _ASKED_FOR.get(name, name)
            ask = f"A line `# requirements: {wish}` at the top of the file asks for it, if that is its name."
            raise ModuleNotFoundError(f"No package called {name!r} (line {line}). {ask}", name=name)
        raise ModuleNotFoundError(f"{name!r} is not available. Did you mean {meant!r}?", name=name)


def proposal(name: str) -> str | None:
    """The well-known name that this one is a slip of the fingers away from."""
    import difflib

    lowered = name.lower()
    if lowered in _KNOWN:
        return lowered if lowered != name else None
    candidates = [*_KNOWN, *_ALIASES]
    close = difflib.get_close_matches(lowered, candidates, n=1, cutoff=0.8)
    return _ALIASES.get(close[0], close[0]) if close else None


def _line_of_the_import() -> int | None:
    """The user's line that imports, when it is a user's line that does."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return frame.f_lineno
        module = str(frame.f_globals.get("__name__", ""))
        # importlib.util.find_spec() only asks; anything but the import machinery is a library with options.
        if module == "importlib.util" or not module.startswith(("importlib", __package__)):
            return None
        frame = frame.f_back
    return None
