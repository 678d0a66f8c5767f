"""Does a function answer by its arguments alone? Asked before one result of an indicator is used for several runs.

A library's function is taken to. One of the program's own is read: it may use libraries, functions of which the same
holds, and constants, whose values count as arguments.
"""

from __future__ import annotations

import builtins
import dis
import os
import sys
from collections.abc import Iterator, MutableMapping, MutableSequence, MutableSet
from functools import lru_cache
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

__all__ = ["answers_alike", "exactly", "from_library", "is_library", "names_read", "reads_of"]

CONSTANTS = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis))
# What reaches around names, or answers otherwise every time; as does what is drawn at random.
UNTOLD = {"globals", "locals", "vars", "exec", "eval", "setattr", "delattr", "open", "input", "__import__"}
# Libraries that are asked for what lies outside, or keep it: files, the system, the time, other processes.
OUTSIDE = {"os", "sys", "posix", "pathlib", "shutil", "tempfile", "io", "time", "gc", "ctypes", "inspect", "importlib"}
OUTSIDE |= {"builtins", "locale", "threading", "multiprocessing", "subprocess", "contextvars", "atexit", "signal"}
OUTSIDE |= {"pickle", "shelve", "dbm", "sqlite3", "secrets", "uuid", "weakref", "warnings", "logging"}
# Of any object: settings of libraries, files, the time, and what holds the attributes of others.
KEPT = {"seterr", "geterr", "seterrcall", "geterrcall", "setbufsize", "getbufsize", "getcontext", "setcontext"}
KEPT |= {"set_printoptions", "get_printoptions", "set_option", "get_option", "reset_option", "localcontext", "options"}
KEPT |= {"save", "savez", "savez_compressed", "savetxt", "tofile", "to_csv", "to_parquet", "to_pickle", "to_json"}
KEPT |= {"load", "loadtxt", "genfromtxt", "fromfile", "memmap", "read_csv", "read_parquet", "read_pickle", "read_json"}
KEPT |= {"now", "today", "utcnow", "__dict__", "__globals__", "__defaults__", "__kwdefaults__", "__code__"}
LIBRARIES = (f"{Path(os.__file__).parent}/", f"{Path(__file__).parents[2]}/")  # Python's and ours
REACHES = {"LOAD_ATTR", "LOAD_METHOD", "LOAD_GLOBAL", "LOAD_NAME", "IMPORT_FROM"}
CHANGES = {"STORE_GLOBAL", "DELETE_GLOBAL", "STORE_ATTR", "DELETE_ATTR", "IMPORT_STAR"}


def answers_alike(func: Any) -> bool:
    """Whether it is a function of a module that answers by its arguments, and by reads_of() it, alone."""
    return reads_of(func) is not None


def reads_of(func: Any) -> tuple[Any, ...] | None:
    """Constants of modules that a function's answer depends on beside its arguments; None where more may be."""
    if "<" in getattr(func, "__qualname__", "<") or getattr(func, "__self__", None) is not None:
        return None
    if from_library(func):
        return ()
    found: list[Any] = []
    try:
        _read(func, found, set())
    except _Untold:
        return None
    return tuple(found)


@lru_cache(maxsize=1000)
def is_library(name: str | None) -> bool:
    """Whether a module comes with Python or from a package, and is not the program's own."""
    if name is None:
        return True  # of numpy's ufuncs
    top = name.split(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None:
        return top in sys.stdlib_module_names  # a file of the program's own may have such a name, too
    return "site-packages" in file or "dist-packages" in file or str(file).startswith(LIBRARIES)


def exactly(value: Any) -> tuple[type, Any]:
    """What tells a value from others that are equal to it, as 1 and True, or 0.0 and -0.0."""
    return type(value), repr(value) if isinstance(value, float) else value


def from_library(func: Any) -> bool:
    """Whether it is a library's function."""
    name = getattr(func, "__module__", None)
    # One that a program has made in a namespace without a name.
    return is_library(name) and not (isinstance(func, FunctionType) and name in (None, "builtins"))


def names_read(code: CodeType) -> list[tuple[str, ...]]:
    """Every name of a module that the code reads, with the attributes that are read of it."""
    return [path for path in _paths(code) if path is not None]


class _Untold(Exception):
    """The answer may depend on what is not known here."""


def _read(func: Any, found: list[Any], seen: set[Any]) -> None:
    func = getattr(func, "py_func", func)  # of numba
    if not isinstance(func, FunctionType):
        raise _Untold
    if from_library(func) or func in seen:
        return
    seen.add(func)
    for value in (*(func.__defaults__ or ()), *(func.__kwdefaults__ or {}).values()):
        _value(value, found, seen)
    for cell in func.__closure__ or ():
        try:
            _value(cell.cell_contents, found, seen)
        except ValueError:  # still empty
            raise _Untold from None
    for path in _paths(func.__code__):
        if path is None:
            raise _Untold
        value = func.__globals__.get(path[0], _Untold)
        if value is _Untold:
            if not hasattr(builtins, path[0]):
                raise _Untold
            continue
        rest = list(path[1:])
        while rest and isinstance(value, ModuleType) and not is_library(value.__name__):
            value = getattr(value, rest.pop(0), _Untold)
        _value(value, found, seen)
        for name in rest:  # of a library: what it keeps may be changed in place
            own = isinstance(value, FunctionType) and not from_library(value)
            value = getattr(value, name, None)
            if own:  # an attribute of a function
                _value(value, found, seen)
            if isinstance(value, (MutableMapping, MutableSequence, MutableSet)) or _is_outside(value):
                raise _Untold


def _is_outside(value: Any) -> bool:
    """Whether it is one of the libraries that reach what lies outside, or something of theirs."""
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return isinstance(name, str) and name.split(".")[0] in OUTSIDE - {"builtins"}


def _value(value: Any, found: list[Any], seen: set[Any]) -> None:
    """What a name of the function stands for."""
    if isinstance(value, CONSTANTS):
        found.append(exactly(value))
    elif isinstance(value, (tuple, frozenset)):
        found.append((type(value), len(value)))
        for one in value:
            _value(one, found, seen)
    elif isinstance(value, (ModuleType, type)):
        name = value.__name__ if isinstance(value, ModuleType) else value.__module__
        if not is_library(name) or value.__name__ == "random" or _is_outside(value):
            raise _Untold
    elif isinstance(value, BuiltinFunctionType) or type(value).__name__ == "ufunc":
        if _is_outside(value) or not isinstance(getattr(value, "__self__", None), (ModuleType, type(None))):
            raise _Untold
    else:
        _read(value, found, seen)


@lru_cache(maxsize=1000)
def _paths(code: CodeType) -> tuple[tuple[str, ...] | None, ...]:
    """Every name of a module that the code reads, with the attributes that are read of it; None for what it changes."""
    return tuple(dict.fromkeys(_walk(code, frozenset(code.co_freevars))))


def _walk(code: CodeType, outer: frozenset[str]) -> Iterator[tuple[str, ...] | None]:
    path: list[str] = []
    for step in dis.get_instructions(code):
        if path and step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            path.append(step.argval)
        elif path and step.opname != "CACHE":
            yield tuple(path)
            path = []
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            path = [step.argval]
        changed = step.opname in CHANGES or (step.opname in ("STORE_DEREF", "DELETE_DEREF") and step.argval in outer)
        foreign = step.opname == "IMPORT_NAME" and (not is_library(step.argval) or step.argval.split(".")[0] in OUTSIDE)
        kept = step.opname in REACHES and step.argval in KEPT
        untold = path == [step.argval] and step.argval in UNTOLD
        drawn = step.argval == "random" and not step.opname.endswith(("CONST", "FAST"))
        if changed or foreign or untold or kept or drawn:
            yield None
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _walk(constant, outer)
