"""What has a search been warned of already? The same words are printed once, however many trials say them."""

from __future__ import annotations

import mmap
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

__all__ = ["once"]

PLACES = 1 << 16


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
