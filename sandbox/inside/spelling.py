"""What was probably meant by a column or a name that is not there? Read from the error and its own frames: nothing of
the program is called.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterable, Mapping
from itertools import islice
from types import FrameType, ModuleType
from typing import Any

INDEXES = "/pandas/core/indexes/"
MOST_NAMES = 2_000  # that are looked through
MOST_SAID = 8
LONGEST = 100  # characters; a longer one is no misspelling, and takes long to compare
ALIKE = 0.75  # 1 is the same
PRICES = ("Open", "High", "Low", "Close", "Volume")
TELLS_ITSELF = sys.version_info >= (3, 12)  # what may have been meant by a name, at the end of its tracebacks


def meant(error: BaseException) -> str:
    """A sentence; "" where nothing lies near. Whatever goes wrong here, the error itself is shown."""
    kind = type(error)
    try:
        if _asks_itself(error):
            return ""
        if issubclass(kind, KeyError):
            return _of_key(error)
        if issubclass(kind, AttributeError):
            return _of_attribute(error)
        if issubclass(kind, NameError):
            return _of_name(error)
    except BaseException:
        return ""
    return ""


def _asks_itself(error: BaseException) -> bool:
    said = BaseException.__dict__["args"].__get__(error)
    return len(said) == 1 and type(said[0]) is str and "Did you mean" in said[0]


def _of_key(error: BaseException) -> str:
    frame = _last_frame(error, INDEXES)
    if frame is None:
        return ""
    labels, wanted = _texts(frame.f_locals.get("self")), _texts(frame.f_locals.get("key"))
    return next(filter(None, (_of_label(name, labels) for name in wanted if name not in labels)), "")


def _of_label(name: str, labels: list[str]) -> str:
    """The label that was meant, by its capitals or by most of its letters."""
    other = _near(name, labels)
    if not other:
        return ""
    more = f" and {len(labels) - MOST_SAID} more" if len(labels) > MOST_SAID else ""
    said = f'There is no "{name}" among {", ".join(labels[:MOST_SAID])}{more}'
    if other.casefold() != name.casefold():
        return f'{said}. Did you mean ["{other}"]?'
    said += f': write ["{other}"].'
    if name in PRICES and other == name.lower():
        said += " Code that wants Open, High, Low and Close gets them from .rename(columns=str.capitalize)."
    return said


def _of_attribute(error: BaseException) -> str:
    thing, name = (AttributeError.__dict__[each].__get__(error) for each in ("obj", "name"))
    if type(name) is not str or thing is None:
        return ""
    if _is_of("pandas", "DataFrame", thing):
        labels = _texts(thing.columns)
        if _by_case(name, labels) or not TELLS_ITSELF:
            if said := _of_label(name, labels):
                return said
    return "" if TELLS_ITSELF else _question(name, _names_of(thing))


def _of_name(error: BaseException) -> str:
    name = NameError.__dict__["name"].__get__(error)
    if TELLS_ITSELF or type(name) is not str or (frame := _last_frame(error)) is None:
        return ""
    return _question(name, [*frame.f_locals, *frame.f_globals, *vars(builtins)])


def _question(name: str, known: Iterable[Any]) -> str:
    """In Python's own words, which its newer releases add themselves."""
    close = _near(name, list(filter(_is_name, known))) if _is_name(name) else None
    return f"Did you mean: {close!r}?" if close else ""


def _near(name: str, known: list[str]) -> str | None:
    import difflib

    folded = {other.casefold(): other for other in reversed(known[:MOST_NAMES]) if other != name}
    near = difflib.get_close_matches(name.casefold(), folded, 1, ALIKE)
    return _by_case(name, known) or (folded[near[0]] if near else None)


def _by_case(name: str, known: list[str]) -> str | None:
    """The name that differs from it in nothing but capitals."""
    return next((other for other in known if other != name and other.casefold() == name.casefold()), None)


def _names_of(thing: Any) -> Iterable[Any]:
    """Without dir(), which a class may define."""
    for kind in type.__dict__["__mro__"].__get__(thing if issubclass(type(thing), type) else type(thing)):
        yield from type.__dict__["__dict__"].__get__(kind)
    module = issubclass(type(thing), ModuleType)
    inside = object.__getattribute__(thing, "__dict__") if module else _own_dictionary(thing)
    if isinstance(inside, dict):
        yield from inside


def _own_dictionary(thing: Any) -> Mapping[str, Any] | None:
    import inspect

    told = inspect.getattr_static(type(thing), "__dict__", None)
    return object.__getattribute__(thing, "__dict__") if isinstance(told, _SLOT) else None


_SLOT = type(type("Any", (), {}).__dict__["__dict__"])  # of what keeps its attributes in a plain dictionary


def _texts(labels: Any) -> list[str]:
    """Those of an index, a list, or one key, that are texts; none of what pandas, NumPy or Python has not made."""
    if type(labels) is str:
        return [labels] if _is_name(labels) else []
    known = type(labels) in (list, tuple) or _is_of("numpy", "ndarray", labels)
    if known or (_is_of("pandas", "Index", labels) and _is_plain(labels._values)):
        return [label for label in islice(iter(labels), MOST_NAMES) if _is_name(label)]
    return []


def _is_name(text: Any) -> bool:
    """Whether it can be shown: what turns the direction of writing or colours a console is in no sentence of ours."""
    return type(text) is str and len(text) <= LONGEST and text.isprintable()


def _is_plain(values: Any) -> bool:
    """Whether it is an array of NumPy or pandas; a program may bring another kind along."""
    return _is_of("numpy", "", values) or _is_of("pandas", "", values)


def _is_of(package: str, name: str, thing: Any) -> bool:
    """Whether the package has its class under this name, "" for any one. A class may say that it is from there."""
    where, own = (type.__getattribute__(type(thing), told) for told in ("__module__", "__qualname__"))
    if type(where) is not str or where.partition(".")[0] != package or (name and own != name):
        return False
    module = sys.modules.get(where)
    return type(module) is ModuleType and module.__dict__.get(own) is type(thing)


def _last_frame(error: BaseException, file: str = "") -> FrameType | None:
    """The innermost one of its traceback whose code stands in such a file."""
    found, trace = None, BaseException.__dict__["__traceback__"].__get__(error)
    while trace is not None:
        if file in trace.tb_frame.f_code.co_filename:
            found = trace.tb_frame
        trace = trace.tb_next
    return found
