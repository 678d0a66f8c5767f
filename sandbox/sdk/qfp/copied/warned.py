"""What has been warned of already? In a search the same words are printed once, however many trials say them, and in a
run those that differ in numbers alone a few times.
"""

from __future__ import annotations

import mmap
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

__all__ = ["folded", "once"]

PLACES = 1 << 16
MOST_ALIKE = 3  # that are shown in full


@lru_cache(maxsize=1)
def _said() -> mmap.mmap:
    """A byte for each text, by its checksum. Memory that workers, which are forks, have in common with us."""
    return mmap.mmap(-1, PLACES)


@contextmanager
def once() -> Iterator[None]:
    """Within it, a warning of the same kind and words as an earlier one is not shown."""
    said, show = _said(), warnings.showwarning

    def show_new(message: Warning | str, category: type[Warning], *where: Any, **named: Any) -> None:
        place = zlib.crc32(f"{category.__name__}: {message}".encode(errors="replace")) % PLACES
        if not said[place]:
            said[place] = 1
            show(message, category, *where, **named)

    warnings.showwarning = show_new
    try:
        yield
    finally:
        warnings.showwarning = show


@contextmanager
def folded() -> Iterator[None]:
    """Within it, of warnings that differ in nothing but numbers the first are shown, and at the end the last, with how
    many more there were.
    """
    seen: Counter[tuple[type[Warning], str]] = Counter()
    last: dict[tuple[type[Warning], str], tuple[str, tuple[Any, ...], dict[str, Any]]] = {}
    show = warnings.showwarning

    def show_few(message: Warning | str, category: type[Warning], *where: Any, **named: Any) -> None:
        alike = category, re.sub(r"\d+(?:[.,]\d+)*", "0", str(message))
        seen[alike] += 1
        if seen[alike] <= MOST_ALIKE:
            show(message, category, *where, **named)
        last[alike] = str(message), where, named

    warnings.showwarning = show_few
    try:
        yield
    finally:
        warnings.showwarning = show
        for alike, count in seen.items():
            if count > MOST_ALIKE:
                words, where, named = last[alike]
                told = f"and {count - MOST_ALIKE} more like this, with other numbers; the last: {words}"
                with suppress(Exception):  # whatever their class or the program's own way of showing them asks for
                    show(told, alike[0], *where, **named)
