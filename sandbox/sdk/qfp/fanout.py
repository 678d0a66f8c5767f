"""How does a pmap() reach further boxes, on any machine of the site? By asking the host, which trusts neither side.

The function and chunks of items are pickled here (cloudpickle, so that lambdas and what main.py defines can travel),
leave as bytes that nobody outside a box ever unpickles, and are unpickled in boxes of the same run, which send pickled
results back the same way. run_on_hosts() is the side of the program, work() that of a box which does one chunk.
"""

from __future__ import annotations

import contextlib
import math
import pickle
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from typing import Any

from qfp import channel, forking
from qfp.calls import Call
from qfp.forking import Failure

__all__ = ["available", "boxes_offered", "can_travel", "run_on_hosts", "work"]

CHUNKS_PER_BOX = 3  # so that boxes which are done early have something to do
PART_BYTES = 4_000_000  # of pickled data in one message; the site takes messages of 8 MB, and base64 adds a third
# A box may say 20 MB on its channel in all, and would be ended for more; this leaves room for charts.
TOTAL_BYTES = 12_000_000
OFFER_SECONDS = 5.0  # whoever can answer answers at once

_sent = 0  # bytes this box has sent pickled so far
in_chunk = False  # True in a box that works on a chunk: a pmap() in there takes no further boxes


class TooLarge(Exception):
    """The function, an item or a result is more than one message can carry."""


def available() -> bool:
    """Whether this program runs where there could be further boxes; on a laptop there are none."""
    return channel.connected and not in_chunk and not forking.in_worker


def boxes_offered() -> tuple[int, str]:
    """How many further boxes this run may have at a time, and, when it is none, the reason."""
    try:
        offer = channel.ask("pmap", {"do": "offer"}, timeout=OFFER_SECONDS)
    except channel.Unanswered as reason:
        return 0, str(reason)
    return int(offer.get("boxes", 0)), str(offer.get("reason", ""))


def can_travel(call: Call) -> bool:
    """Whether the function can be sent to another box at all."""
    try:
        _pickled(call.f, "the function, with what it uses,")
    except Exception:
        return False
    return True


def run_on_hosts(call: Call, chunk: int | None, on_progress: Callable[[int], None]) -> list[Any] | Failure:
    """The results of all items in order, made by further boxes, or the failure of the first item that failed.

    Raises RuntimeError when this run may have no further boxes, and TooLarge when the function cannot be sent.
    """
    boxes, reason = boxes_offered()
    if boxes < 1:
        raise RuntimeError(f'pmap(where="hosts"): {reason} Leave `where` out to use the cores of this box.')
    function = _pickled(call.f, "the function, with what it uses,")
    size = chunk or max(1, math.ceil(len(call.items) / (boxes * CHUNKS_PER_BOX)))
    opened = channel.ask("pmap", {"do": "open", "function": _leaving(function, "the function")})
    return _Call(opened["call"], call, on_progress).run(size)


class _Call:
    """One pmap() that the host carries out, seen from the program."""

    def __init__(self, name: str, call: Call, on_progress: Callable[[int], None]) -> None:
        self.name, self.call, self.on_progress = name, call, on_progress
        self.chunks: list[tuple[int, int]] = []  # first and one past the last position
        self.results: dict[int, list[Any]] = {}  # by number of the chunk
        self.failure: Failure | None = None
        self.failed_chunk: int | None = None

    def run(self, size: int) -> list[Any] | Failure:
        try:
            self._send(size)
            while self._missing():
                for done in self._ask("next", before=self._end())["done"]:
                    self._take(done)
        finally:
            with contextlib.suppress(channel.Unanswered):
                self._ask("close")
        if self.failure is not None:
            return self.failure
        return [result for number in range(len(self.chunks)) for result in self.results[number]]

    def _send(self, size: int) -> None:
        for start in range(0, len(self.call.items), size):
            for first, last, data in self._parts(start, min(start + size, len(self.call.items))):
                if data is None:
                    return  # an item that cannot travel; the chunks before it may still fail first
                self._ask("add", number=len(self.chunks), items=_leaving(data, "the items"))
                self.chunks.append((first, last))

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, int, bytes | None]]:
        """The items from start to stop pickled, in as many parts as messages need."""
        try:
            work = (self.call.items[start:stop], self.call.seed, self.call.first + start)
            yield start, stop, _pickled(work, "the item")
        except Exception as error:
            if stop - start == 1:
                self._fail(Failure(start, type(error).__name__, f"the item cannot be sent to another box: {error}"))
                yield start, stop, None
                return
            middle = (start + stop) // 2
            yield from self._parts(start, middle)
            if self.failure is None:
                yield from self._parts(middle, stop)

    def _end(self) -> int:
        """Chunks from here on are of no more use."""
        return len(self.chunks) if self.failed_chunk is None else self.failed_chunk

    def _missing(self) -> bool:
        return any(number not in self.results for number in range(self._end()))

    def _take(self, done: dict[str, Any]) -> None:
        number = done["number"]
        start, stop = self.chunks[number]
        for stream, text in done.get("texts", ()):
            print(text, end="", file=sys.stderr if stream == "stderr" else sys.stdout)
        failure = done.get("failure")
        if failure is None:
            try:
                self.results[number] = [
                    result
                    for part in done["results"]
                    for result in pickle.loads(b64decode(part))  # noqa: S301
                ]
                self.on_progress(sum(map(len, self.results.values())))
                return
            except Exception as error:
                failure = {"position": 0, "kind": type(error).__name__, "message": f"its result is unreadable: {error}"}
        position = failure.get("position")
        message = str(failure.get("message", ""))
        if position is None and stop - start > 1:  # the box ended as a whole
            message += f" (One of the items {start} to {stop - 1}.)"
        at = min(max(start + (position or 0), start), stop - 1)
        self._fail(Failure(at, str(failure.get("kind", "")), message, str(failure.get("trace", ""))), number)

    def _fail(self, failure: Failure, chunk: int | None = None) -> None:
        if self.failure is None or failure.position < self.failure.position:
            self.failure = failure
            self.failed_chunk = chunk

    def _ask(self, do: str, **body: Any) -> dict[str, Any]:
        return channel.ask("pmap", {"do": do, "call": self.name, **body})


# In a box that does one chunk


def work() -> None:
    """The whole program of such a box: take the chunk, calculate, give the results."""
    global in_chunk
    in_chunk = True
    task = channel.ask("pmap_chunk", {"do": "take"})
    try:
        f = pickle.loads(b64decode(task["function"]))  # noqa: S301  (from the same run)
        items, seed, first = pickle.loads(b64decode(task["items"]))  # noqa: S301
    except Exception as error:
        _give_up(Failure(0, type(error).__name__, f"the function cannot be rebuilt in another box: {error}"))
        return
    call = Call(f, items, seed, first)
    outcome = forking.run_forked(call, len(items), forking.cores(), None, lambda done: None)
    if not isinstance(outcome, Failure):
        outcome = _give(outcome, 0) or outcome
    if isinstance(outcome, Failure):
        _give_up(outcome)
    else:
        channel.ask("pmap_chunk", {"do": "done"})


def _give(results: list[Any], start: int) -> Failure | None:
    """Send results in as many parts as messages need; the failure of the first that cannot be sent."""
    try:
        data = _pickled(results, "the result")
    except Exception as error:
        if len(results) > 1:
            middle = len(results) // 2
            return _give(results[:middle], start) or _give(results[middle:], start + middle)
        return Failure(start, type(error).__name__, f"the result cannot be sent back: {error}")
    try:
        channel.ask("pmap_chunk", {"do": "give", "results": _leaving(data, "the results of this chunk")})
    except TooLarge as error:
        return Failure(start, "TooLarge", f"{error} Smaller chunks (chunk=) help.")
    return None


def _give_up(failure: Failure) -> None:
    channel.ask("pmap_chunk", {"do": "fail", "failure": vars(failure)})


def _pickled(value: Any, what: str) -> bytes:
    import cloudpickle

    data = cloudpickle.dumps(value, protocol=5)
    if len(data) > PART_BYTES:
        raise TooLarge(
            f"{what} takes {len(data) / 1e6:.1f} MB, and at most {PART_BYTES / 1e6:.0f} MB can travel to another box. "
            "Let f load or make its data itself."
        )
    return data


def _leaving(data: bytes, what: str) -> str:
    """The bytes as they are sent; TooLarge when this box has sent too many."""
    global _sent
    _sent += len(data)
    if _sent > TOTAL_BYTES:
        raise TooLarge(f"{what} would make more than {TOTAL_BYTES / 1e6:.0f} MB that this box sends to others.")
    return b64encode(data).decode("ascii")
