"""How does one call use many cores, and many machines? pmap(f, items) is a loop whose turns run at the same time."""

from __future__ import annotations

import reprlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from qfp import fanout, forking
from qfp.calls import Call
from qfp.forking import Failure
from qfp.progressing import Progress

__all__ = ["pmap", "ParallelError", "run_call"]

# "auto" looks after so long how fast it gets on, and goes to further boxes when the rest would take longer than that.
LOOK_SECONDS = 2.0
WORTH_SECONDS = 10.0

OnProgress = Callable[[int], None]

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 160


class ParallelError(Exception):
    """An item of pmap() failed. Of several that do, it is the first in the order of the items, as in a loop.

    index: place of the item, counted from 0. item: the item as text, cut when it is long.
    kind: name of the exception's class ("ValueError"), or "WorkerDied". traceback: where it happened, as text.
    """

    def __init__(self, index: int, item: str, kind: str, message: str, traceback: str = "") -> None:
        super().__init__(f"item {index}, {item}: {kind}: {message}" if message else f"item {index}, {item}: {kind}")
        self.index, self.item, self.kind, self.traceback = index, item, kind, traceback

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is pickled by its one text; an error inside a pmap() inside a pmap() keeps its parts.
        return _rebuild, (self.args, self.index, self.item, self.kind, self.traceback)


class ItemTraceback(Exception):
    """Where in f it happened; shown as the cause of a ParallelError."""

    def __str__(self) -> str:
        return "where the item failed:\n" + str(self.args[0])


def _rebuild(args: tuple[Any, ...], index: int, item: str, kind: str, traceback: str) -> ParallelError:
    error = ParallelError(index, item, kind, "", traceback)
    error.args = args
    return error


def pmap(
    f: Callable[..., Any],
    items: Iterable[Any],
    *,
    workers: int | None = None,
    chunk: int | None = None,
    seed: int | None = None,
    progress: bool | str = True,
    where: str = "auto",
) -> list[Any]:
    """`[f(item) for item in items]`, on all cores you may use, and on further machines where your plan has them.

    f: any function of one item, also a lambda or one that uses variables of the program. It works on a copy of
      the program: what it changes there stays there, only what it returns comes back.
    items: what to work through; each is handed to f once. The results are in the order of the items.
    workers: processes at the same time; as many as there are cores when left out.
    chunk: items a worker takes at a time; chosen when left out. It changes no result.
    seed: makes random numbers repeatable. Item number i gets a generator of its own, made of the seed and i, so
      the results are the same however many workers there are. If f has a parameter `rng`, it is passed as that
      (`def f(item, rng)`); otherwise `numpy.random` and `random` are seeded before each item.
    progress: a bar on the page; a text is its label.
    where: "box" uses this machine's cores, "hosts" further boxes on any machine of the site (f, the items and the
      results are sent there and must be picklable), "auto" begins on this one and goes
      on elsewhere when much is left and your plan has more boxes than this one has cores.

    Raises ParallelError with the item that failed. Inside f, a further pmap() works one item after the other.
    """
    items = list(items)
    _check(f, workers, chunk, seed, where)
    call = Call(f, items, seed)
    if not progress or forking.in_worker or fanout.in_chunk:
        return _results(run_call(call, workers, chunk, where, _unseen), items)
    with Progress(None, progress if isinstance(progress, str) else "", len(items)) as bar:
        return _results(run_call(call, workers, chunk, where, bar.set), items)


def run_call(
    call: Call, workers: int | None, chunk: int | None, where: str, on_progress: OnProgress
) -> list[Any] | Failure:
    """pmap() without its bar and its error: the results, or which item failed."""
    if forking.in_worker or fanout.in_chunk:
        with call.random_state_kept():
            return forking.run_here(call, len(call.items), _unseen)
    if where == "hosts" and fanout.available():
        return fanout.run_on_hosts(call, chunk, on_progress)
    number = workers or forking.cores()
    enough = _Enough(call, number).reached if where == "auto" and fanout.available() else None
    with call.random_state_kept():
        outcome = forking.run_forked(call, len(call.items), number, chunk, on_progress, enough)
    if isinstance(outcome, Failure) or len(outcome) == len(call.items):
        return outcome
    done = len(outcome)
    rest = fanout.run_on_hosts(call.after(done), chunk, lambda more: on_progress(done + more))
    if isinstance(rest, Failure):
        return Failure(done + rest.position, rest.kind, rest.message, rest.trace)
    return outcome + rest


class _Enough:
    """Decides, while this box works, whether the rest is better done by further boxes. It asks the site once."""

    def __init__(self, call: Call, workers: int) -> None:
        self.call, self.workers = call, workers
        self.begun = time.monotonic()
        self.decided = False

    def reached(self, done: int) -> bool:
        seconds = time.monotonic() - self.begun
        left = len(self.call.items) - done
        if self.decided or not done or seconds < LOOK_SECONDS or seconds / done * left < WORTH_SECONDS:
            return False
        self.decided = True
        boxes, _ = fanout.boxes_offered()
        return boxes > self.workers and fanout.can_travel(self.call)


def _unseen(done: int) -> None:
    """Progress nobody wants to see."""


def _results(outcome: list[Any] | Failure, items: Sequence[Any]) -> list[Any]:
    if not isinstance(outcome, Failure):
        return outcome
    failure = outcome
    error = ParallelError(
        failure.position, short_repr(items[failure.position]), failure.kind, failure.message, failure.trace
    )
    raise error from (ItemTraceback(failure.trace) if failure.trace else None)


def short_repr(item: Any) -> str:
    try:
        text = _repr.repr(item)
    except Exception:  # a __repr__ of the program's own may do anything
        text = f"<{type(item).__name__}>"
    return " ".join(text.split())[:200]


def _check(f: Any, workers: Any, chunk: Any, seed: Any, where: str) -> None:
    if not callable(f):
        raise TypeError(f"pmap(f, items): f must be a function, not {type(f).__name__}")
    for name, value in (("workers", workers), ("chunk", chunk)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
    if seed is not None and (not isinstance(seed, int) or seed < 0):
        raise ValueError(f"seed must be a whole number of at least 0, not {seed!r}")
    if where not in ("auto", "box", "hosts"):
        raise ValueError(f'where must be "auto", "box" or "hosts", not {where!r}')
