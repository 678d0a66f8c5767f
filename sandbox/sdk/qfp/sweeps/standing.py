"""What do the trials of a sweep stand on, beside their parameters and bars? A digest of code, and of values it reads.

A program that changes an attribute or a name between two sweeps, a cell that was run again in between, other code with
the same record: each is another sweep, whose trials are not those of the first. Values that the code of a strategy
reads tell trials of equal parameters apart where trials are counted.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import secrets
from collections import deque
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

import numpy as np

import qfp
from qfp.backtesting.purity import is_library, names_read
from qfp.sweeps.changes import changes_of

__all__ = ["stands_on", "values_read"]

PLAIN = (int, float, complex, str, bytes, type(None), type(Ellipsis), range, np.generic, PurePath, Decimal, Fraction)
PLAIN += (datetime.date, datetime.time, datetime.timedelta, Enum)  # type: ignore[assignment]
CODE = ("co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_argcount", "co_kwonlyargcount")
CODES = (FunctionType, staticmethod, classmethod, property)
# Of a class, what is made anew for each, or says where it stands.
OF_CLASSES = {"__dict__", "__weakref__", "__doc__", "__module__", "__abstractmethods__", "_abc_impl", "__annotations__"}
OF_CLASSES |= {"__firstlineno__", "__static_attributes__"}
BY_ANY_NAME = {"getattr", "vars", "__dict__", "attrgetter"}
_NOWHERE = object()


def stands_on(*things: Any) -> str:
    """The same text where a strategy, a function or a value would do the same again, in any process; another one every
    time where that cannot be told.
    """
    found = _Digest()
    try:
        found.add((qfp.__version__, *things))
    except Exception:  # of what the program's own objects do when they are looked at, or are too deep
        found.told = False
    return found.whole.hexdigest() if found.told else f"untold {secrets.token_hex(8)}"


def values_read(but: Collection[str], *things: Any) -> str:
    """The same text where a strategy or a function has the same code, and what that reads beside its parameters, named
    in `but`, has the same values; of attributes of classes, those that some of the code names.

    What cannot be told, as a generator of random numbers, is taken to be the same, so that trying it again is no
    further trial; and so is what the code itself changes under a name that it reads: CACHE[n] = ..., LOG.append(...),
    Settings.count += 1, self.log.append(...) on a list of the class. What it changes otherwise, through another name,
    an argument or a method of an object of its own, is told, so that another value of it is another trial.
    """
    known = _Code()
    while known.grows:  # of functions that were met after what they read
        known.grows = False
        _Read(known, but, tables=False).add(things)
    found = _Read(known, but)
    found.add(things)
    return found.whole.hexdigest()


class _Digest:
    def __init__(self) -> None:
        self.whole, self.told = hashlib.sha256(), True
        self.seen: dict[int, tuple[int, Any]] = {}  # by identity: when it was met first, and itself, so that it stays

    def add(self, thing: Any) -> None:
        if isinstance(thing, PLAIN):
            self._say(type(thing).__qualname__, repr(thing))
            return
        if id(thing) in self.seen:
            self._say("again", self.seen[id(thing)][0])
            return
        self.seen[id(thing)] = len(self.seen), thing
        self._say(type(thing).__qualname__)
        for kinds, how in self._ways():
            if isinstance(thing, kinds):
                how(thing)
                return
        self._of_object(thing)

    def _ways(self) -> tuple[tuple[Any, Callable[[Any], None]], ...]:
        import pandas as pd

        return (
            ((tuple, list), self._each),
            (deque, lambda many: self._each([many.maxlen, *many])),
            (bytearray, lambda one: self.add(bytes(one))),
            ((set, frozenset), lambda many: self._each(sorted(many, key=repr))),
            (Mapping, lambda many: self._each([part for pair in many.items() for part in pair])),
            (np.ndarray, self._array),
            ((pd.DataFrame, pd.Series, pd.Index), self._table),
            (CodeType, self._code),
            (FunctionType, self._function),
            (MethodType, lambda one: self._each([one.__func__, one.__self__])),
            ((staticmethod, classmethod), lambda one: self.add(one.__func__)),
            (property, lambda one: self._each([one.fget, one.fset])),
            (functools.partial, lambda one: self._each([one.func, one.args, one.keywords])),
            (type, self._class),
            (ModuleType, self._module),
            ((BuiltinFunctionType, np.ufunc), self._builtin),
            (SimpleNamespace, lambda one: self.add(vars(one))),
        )

    def _say(self, *words: Any) -> None:
        for word in words:
            text = str(word).encode("utf-8", "surrogatepass")
            self.whole.update(b"%d:%b;" % (len(text), text))

    def _each(self, many: Any) -> None:
        self._say(len(many))
        for one in many:
            self.add(one)

    def _array(self, array: np.ndarray) -> None:
        self._say(array.dtype.str, array.shape)
        if array.dtype.hasobject:
            self._each(array.ravel().tolist())
        else:
            self.whole.update(np.ascontiguousarray(array).tobytes())

    def _table(self, table: Any) -> None:
        import pandas as pd

        if isinstance(table, pd.Index):
            self._each([list(table.names), str(table.dtype), np.asarray(table)])
        elif isinstance(table, pd.Series):
            self._each([table.name, str(table.dtype), np.asarray(table), table.index])
        else:
            self._each([table.columns, table.index, *(table.iloc[:, at] for at in range(table.shape[1]))])

    def _code(self, code: CodeType) -> None:
        self._each([getattr(code, name) for name in CODE])
        self.add(code.co_consts)

    def _function(self, function: FunctionType) -> None:
        self._say(function.__module__, function.__qualname__)
        if is_library(function.__module__) and function.__module__ not in (None, "builtins"):
            self._data(function.__module__)
            return
        self._each([function.__code__, function.__defaults__, function.__kwdefaults__, self._attributes(function)])
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # it has no value yet
                self._say("empty")
                continue
            if not self._changes(name, value):
                self.add(value)
        for name, *path in names_read(function.__code__):
            self._say(name)
            thing = function.__globals__.get(name, _NOWHERE)
            while path and isinstance(thing, ModuleType) and not is_library(thing.__name__):
                name = path.pop(0)
                thing = getattr(thing, name, _NOWHERE)
            if thing is not _NOWHERE and not self._changes(name, thing):  # one of Python's own otherwise, or none
                self.add(thing)

    def _class(self, cls: type) -> None:
        for one in cls.__mro__:
            self._say(one.__module__, one.__qualname__)
            if not is_library(one.__module__):
                own = [pair for pair in sorted(vars(one).items()) if pair[0] not in OF_CLASSES and self._counts(*pair)]
                self._each([part for pair in own for part in pair])

    def _counts(self, name: str, value: Any) -> bool:
        """Whether an attribute of a class is looked at."""
        return True

    def _changes(self, name: str, value: Any) -> bool:
        """Whether what stands under the name is left out, as the code changes it itself."""
        return False

    def _attributes(self, thing: Any) -> dict[str, Any]:
        """Of an object, with those that have a slot."""
        found = dict(getattr(thing, "__dict__", {}))
        for cls in type(thing).__mro__:
            if not is_library(cls.__module__):
                slots = [name for name, slot in vars(cls).items() if isinstance(slot, MemberDescriptorType)]
                found |= {name: getattr(thing, name) for name in slots if hasattr(thing, name)}
        return {name: value for name, value in found.items() if not self._changes(name, value)}

    def _module(self, module: ModuleType) -> None:
        self._say(module.__name__)
        self._data(module.__name__)
        self.told = self.told and is_library(module.__name__)

    def _builtin(self, function: Any) -> None:
        self._say(getattr(function, "__module__", ""), function.__name__)
        owner = getattr(function, "__self__", None)
        if not isinstance(owner, (ModuleType, type(None))):
            self.add(owner)

    def _of_object(self, thing: Any) -> None:
        """One of a class of the program is what it says of itself; of a library's, what it is put around is known."""
        cls = type(thing)
        around = getattr(thing, "__wrapped__", None) or getattr(thing, "func", None)
        if is_library(cls.__module__) and isinstance(around, FunctionType):  # kept answers, machine code
            self.add(around)
            return
        if is_library(cls.__module__):
            self.told = False
        else:
            self._each([cls, self._attributes(thing)])

    def _data(self, module: str) -> None:
        """Whoever may ask for data stands on what there is."""
        if module in ("qfp", "qfp.data") or module.startswith("qfp.data."):
            from qfp.data import catalogue

            if catalogue.current.cache_info().currsize:
                self._say(catalogue.current().snapshot)


class _Code:
    """What all of the code names and changes, as far as it has been met. grows: some was met for the first time."""

    def __init__(self) -> None:
        self.names, self.changed, self.attributes, self.own = set[str](), set[str](), set[str](), set[str]()
        self.grows = True

    def add(self, code: CodeType) -> None:
        before = self._size()
        self.names.update(code.co_names, (each for each in code.co_consts if isinstance(each, str)))
        for known, more in zip((self.changed, self.attributes, self.own), changes_of(code), strict=True):
            known |= more
        self.grows = self.grows or self._size() > before

    def _size(self) -> int:
        return sum(map(len, (self.names, self.changed, self.attributes, self.own)))

    def changes(self, name: str) -> bool:
        return name in self.changed or (name in self.attributes and name not in self.own)


class _Read(_Digest):
    """known: of the code; more is added as it is met. tables: whether the values of arrays and tables are read, too."""

    def __init__(self, known: _Code, but: Collection[str], tables: bool = True) -> None:
        super().__init__()
        self.known, self.but, self.tables = known, but, tables

    def add(self, thing: Any) -> None:
        try:
            super().add(thing)
        except Exception:  # of what the program's own objects do when they are looked at, or are too deep
            self._say("untold")

    def _array(self, array: np.ndarray) -> None:
        if self.tables:
            super()._array(array)

    def _table(self, table: Any) -> None:
        if self.tables:
            super()._table(table)

    def _code(self, code: CodeType) -> None:
        self.known.add(code)
        super()._code(code)

    def _counts(self, name: str, value: Any) -> bool:
        if isinstance(value, CODES):
            return True
        if name in self.but or self._changes(name, value):
            return False
        return name in self.known.names or not BY_ANY_NAME.isdisjoint(self.known.names)

    def _changes(self, name: str, value: Any) -> bool:
        return self.known.changes(name) and not isinstance(value, (*CODES, type, ModuleType, BuiltinFunctionType))

    def _data(self, module: str) -> None:
        """Later data are other bars, which a trial is told apart by already."""
