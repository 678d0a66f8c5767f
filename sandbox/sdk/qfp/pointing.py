"""Which line of the program is a warning about? The nearest one that was not written here, nor by a library named."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["at_programs_line", "warn"]

OURS = f"{Path(__file__).parent}/"
COMPATIBLE = f"{Path(__file__).parents[1]}/compat/"  # modules that stand for others


def warn(text: str) -> None:
    """As warnings.warn(), told of the line by which the program came here."""
    _, depth = _programs_frame((OURS, COMPATIBLE))
    warnings.warn(text, stacklevel=depth)


@contextlib.contextmanager
def at_programs_line(module: Any) -> Iterator[None]:
    """Within it, warnings whose place is in the module's package, or here, are shown at the program's line."""
    libraries = (OURS, f"{Path(module.__file__).parent}/")
    show = warnings.showwarning

    def show_there(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, *more: Any, **named: Any
    ) -> None:
        if filename.startswith(libraries):
            frame, _ = _programs_frame((*libraries, warnings.__file__, contextlib.__file__))
            if frame is not None:
                filename, lineno = frame.f_code.co_filename, frame.f_lineno
        show(message, category, filename, lineno, *more, **named)

    warnings.showwarning = show_there
    try:
        yield
    finally:
        warnings.showwarning = show


def _programs_frame(libraries: tuple[str, ...]) -> tuple[FrameType | None, int]:
    """The nearest frame outside of these files, None where there is none, and how many frames it lies above whoever
    asks here, who counts as 1.
    """
    frame, depth = sys._getframe(1), 1
    while frame is not None and frame.f_code.co_filename.startswith(libraries):
        frame, depth = frame.f_back, depth + 1  # type: ignore[assignment]
    return frame, depth
