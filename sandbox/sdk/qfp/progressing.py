"""How far has a long calculation come? progress() draws one bar, on the page or in the terminal."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from qfp import channel

__all__ = ["progress", "Progress"]

# More messages than this a second would say nothing more to an eye, and use up the run's allowance of
# messages.
SECONDS_BETWEEN_MESSAGES = 0.1
_numbers = itertools.count(1)


def progress(over: Iterable[Any] | int | None = None, label: str = "", total: float | None = None) -> Progress:
    """A progress bar, around a loop or moved by hand.

    over: what to loop over (`for path in progress(paths)`), or a number of steps to be moved by hand.
    label: text beside the bar. total: number of steps when `over` cannot be counted.

    Returns a Progress. By hand: `with progress(100, "paths") as bar: bar.advance()`.
    """
    if isinstance(over, int | float):
        return Progress(None, label, over)
    if total is None and hasattr(over, "__len__"):
        total = len(over)  # type: ignore[arg-type]
    return Progress(over, label, total)


class Progress:
    """One bar. It says at most ten times a second how far it is, and once more at its end."""

    def __init__(self, items: Iterable[Any] | None, label: str, total: float | None) -> None:
        self._items, self.label, self.total = items, label, total
        self.value = 0.0
        self.text = ""
        self._id = f"progress-{next(_numbers)}"
        self._began = time.monotonic()
        self._said = -1.0
        self._done = False

    def __iter__(self) -> Iterator[Any]:
        if self._items is None:
            raise TypeError("this bar is moved by hand: call advance() or set()")
        self._say()
        try:
            for item in self._items:
                yield item
                self.advance()
        finally:
            self.close()

    def __enter__(self) -> Progress:
        self._say()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def advance(self, steps: float = 1, text: str | None = None) -> None:
        """Go on by so many steps; text replaces what stands beside the bar."""
        self.set(self.value + steps, text)

    def set(self, value: float, text: str | None = None) -> None:
        """Stand at this step."""
        self.value = float(value)
        if text is not None:
            self.text = text
        if time.monotonic() - self._said >= SECONDS_BETWEEN_MESSAGES:
            self._say()

    def close(self) -> None:
        """The end; the bar stays where it is. Doing it twice changes nothing."""
        if not self._done:
            self._done = True
            self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        message = {
            "type": "progress",
            "id": self._id,
            "label": self.label,
            "value": self.value,
            "total": self.total,
        }
        if channel.emit({**message, "done": self._done, "text": self.text}) or not sys.stderr.isatty():
            return
        of = f"/{self.total:g} ({self.value / self.total:.0%})" if self.total else ""
        seconds = self._said - self._began
        line = f"{self.label + ': ' if self.label else ''}{self.value:g}{of} {seconds:.0f} s {self.text}"
        print(f"\r\033[K{line}", end="\n" if self._done else "", file=sys.stderr, flush=True)
