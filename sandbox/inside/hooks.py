"""What happens to a library at the moment the program imports it? after_import() calls a function then, and not
before.

The shell imports nothing the program does not: plotly, bokeh, tqdm and matplotlib are fitted to the page when they
come.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from types import ModuleType

_waiting: dict[str, tuple[Callable[[], None] | None, Callable[[ModuleType], None] | None]] = {}


def after_import(
    name: str, after: Callable[[ModuleType], None] | None, before: Callable[[], None] | None = None
) -> None:
    _waiting[name] = (before, after)


def install() -> None:
    sys.meta_path.insert(0, _Finder)


class _Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in _waiting:
            return None
        before, after = _waiting.pop(name)
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        if before is not None:
            before()
        if after is not None:
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                try:
                    after(module)
                except AttributeError:
                    pass  # not the library we know, but a file of the program with its name

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
