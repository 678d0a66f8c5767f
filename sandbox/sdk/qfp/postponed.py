"""How can `import backtesting` take 10 ms instead of 500? Almost all of it is Bokeh, which only its plot()
needs.

postpone_plotting() is called by a box before the program starts. Nothing of the library is changed: its
module for plotting is loaded at the first use of one of its functions instead of at once.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__all__ = ["postpone_plotting"]

NAME = "backtesting._plotting"
FUNCTIONS = ("plot", "plot_heatmaps", "set_bokeh_output")


def postpone_plotting() -> None:
    """Put a stand-in where `import backtesting` looks for its plotting module. Does nothing once that is
    loaded.
    """
    sys.modules.setdefault(NAME, _StandIn(NAME))


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name in FUNCTIONS:

            def when_called(*arguments: Any, **options: Any) -> Any:
                return getattr(_real(), name)(*arguments, **options)

            when_called.__name__ = when_called.__qualname__ = name
            return when_called
        if name.startswith("__"):
            raise AttributeError(name)  # asked by the import system itself
        return getattr(_real(), name)


def _real() -> ModuleType:
    if isinstance(sys.modules.get(NAME), _StandIn):
        del sys.modules[NAME]
    return importlib.import_module(NAME)
