"""What does next() find outside its strategy? Names of modules, functions, methods: machine code has them built in.

A program may give such a name another value between two runs. So what a reading found is looked up again before its
machine code serves another run, and where it is not the same any more, next() is read anew.
"""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from qfp.backtesting.strategy import Strategy

__all__ = ["Outside", "alike"]

PLAIN = (int, float, str, bool, type(None), np.generic)
METHODS = (FunctionType, staticmethod, property)


class Outside:
    """What one reading found, and how it is found again."""

    def __init__(self) -> None:
        self._found: list[tuple[Callable[..., Any], Any, Any, Any]] = []  # how, where, by which name, what
        self._methods: set[str] = set()

    def named(self, function: FunctionType, name: str) -> Any:
        """What a name means in a function that does not set it. Raises LookupError where it is not there."""
        return self._kept(_named, function, name)

    def member(self, module: ModuleType, name: str) -> Any:
        return self._kept(getattr, module, name)

    def element(self, many: Any, key: Any) -> Any:
        """Of a tuple, list or dict."""
        return self._kept(_element, many, key)

    def method(self, cls: type, name: str) -> Any:
        """What a class has under a name, as it stands there; None where it has not. A strategy's own come before it."""
        found = _static(cls, name)
        if isinstance(found, METHODS):
            self._methods.add(name)
            self._found.append((_static, cls, name, found))
        else:  # numbers are looked up on every strategy
            self._found.append((_has_method, cls, name, False))
        return found

    def above(self, cls: type, name: str) -> Any:
        """What this class itself says of a name, not those it derives from."""
        return self._kept(_own, cls, name)

    def function(self, function: FunctionType) -> None:
        """It is put where it is called."""
        self._kept(getattr, function, "__code__")
        self._kept(getattr, function, "__defaults__")

    def answer(self, ask: Callable[[Any], bool], thing: Any) -> None:
        """What was asked about a thing that can be changed where it is."""
        self._kept(_answer, ask, thing)

    def same(self, strategy: Strategy) -> bool:
        """Whether a reading that starts from this strategy would find the same."""
        if not self._methods.isdisjoint(vars(strategy)):
            return False
        try:
            return all(alike(how(where, name), thing) for how, where, name, thing in self._found)
        except (AttributeError, LookupError, ValueError):
            return False

    def _kept(self, how: Callable[..., Any], where: Any, name: Any) -> Any:
        thing = how(where, name)
        self._found.append((how, where, name, thing))
        return thing


def alike(one: Any, other: Any) -> bool:
    """Whether they are one thing, equal numbers or texts of one type, or functions that do the same."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, PLAIN) and type(one).__module__ in ("builtins", "numpy"):
        return repr(one) == repr(other)  # 0.0 is not -0.0, and a missing number is one
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, (staticmethod, property)):
        return alike(_under(one), _under(other))
    if isinstance(one, FunctionType):
        if one.__code__ != other.__code__ or one.__globals__ is not other.__globals__:
            return False
        return alike(one.__defaults__, other.__defaults__) and alike(_cells(one), _cells(other))
    return False


def _under(thing: Any) -> Any:
    return thing.fget if isinstance(thing, property) else thing.__func__


def _cells(function: FunctionType) -> tuple[Any, ...]:
    return tuple([cell.cell_contents for cell in function.__closure__ or ()])


def _named(function: FunctionType, name: str) -> Any:
    if name in function.__code__.co_freevars:
        assert function.__closure__ is not None
        return function.__closure__[function.__code__.co_freevars.index(name)].cell_contents
    if name in function.__globals__:
        return function.__globals__[name]
    return vars(builtins)[name]


def _element(many: Any, key: Any) -> Any:
    return many[key]


def _static(cls: type, name: str) -> Any:
    return inspect.getattr_static(cls, name, None)


def _has_method(cls: type, name: str) -> bool:
    return isinstance(_static(cls, name), METHODS)


def _answer(ask: Callable[[Any], bool], thing: Any) -> bool:
    return ask(thing)


def _own(cls: type, name: str) -> Any:
    return vars(cls).get(name)
