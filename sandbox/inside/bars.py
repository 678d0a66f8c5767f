"""How does tqdm show itself? As one progress bar of the page, instead of a line redrawn a thousand times."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any

from . import hooks

BRIEFLY = 0.1  # seconds; a bar that goes away again within this time is not worth showing
METER = "{n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]"
_numbers = itertools.count(1)


def install(emit: Callable[[dict[str, Any]], Any]) -> None:
    def fit(module) -> None:
        bar = module.tqdm
        draw_as_text, close_as_text, clear_as_text = bar.display, bar.close, bar.clear
        bar.monitor_interval = 0  # no thread that wakes up to redraw

        def is_ours(self) -> bool:
            """A bar on a stream of the page; one that writes to a file of the program's own stays text."""
            stream = getattr(self, "fp", None)
            stream = getattr(stream, "_wrapped", stream)
            return stream in (sys.stdout, sys.stderr)

        def send(self, done: bool) -> None:
            facts = self.format_dict
            # A bar that is cleared when it ends, or that stands inside another, is one line drawn again and again.
            line = abs(self.pos)
            again = line > 0 or not self.leave
            if again and facts["elapsed"] < BRIEFLY and not hasattr(self, "_playground_shown"):
                return
            self._playground_shown = True
            name = (
                f"tqdm-line-{line}" if again else self.__dict__.setdefault("_playground_id", f"tqdm-{next(_numbers)}")
            )
            text = bar.format_meter(**{**facts, "ncols": None, "bar_format": METER})
            emit(
                {
                    "type": "progress",
                    "id": name,
                    "label": (facts.get("prefix") or "").rstrip(": "),
                    "value": facts["n"],
                    "total": facts["total"],
                    "done": done,
                    "text": text,
                }
            )

        def display(self, msg=None, pos=None):
            if not is_ours(self):
                return draw_as_text(self, msg, pos)
            if msg is None:
                send(self, done=False)
            return True

        def clear(self, nolock=False):
            if not is_ours(self):
                clear_as_text(self, nolock)

        def close(self):
            if getattr(self, "disable", True) or not is_ours(self):
                close_as_text(self)
                return
            self.disable = True
            send(self, done=True)
            self._decr_instances(self)

        bar.display, bar.clear, bar.close = display, clear, close

    hooks.after_import("tqdm.std", fit)
