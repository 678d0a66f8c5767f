"""What is a backtest's result worth? Look-ahead and amnesia tests that run by themselves after every backtest.

Start reading at look(). docs/honesty.md says what the answers mean.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qfp import channel

if TYPE_CHECKING:
    import pandas as pd

    from qfp.checking.clock import Clock
    from qfp.checking.strategies import Before

__all__ = [
    "begin",
    "examine_program",
    "forget",
    "look",
    "look_at_copied",
    "look_at_portfolio",
    "spare",
    "tell",
    "time_left",
]

MOST_BACKTESTS = 20  # of a program; the site keeps no more

active = True  # False in a copy of the program that is itself a test
backtests = 0  # that this program has handed over; in a session, this cell
before = 0  # that earlier cells of the session have
cell = 0  # of the session, by number
seconds = 0.0  # that tests have taken so far
whole_program = False  # whether examine_program() will be called
# When the program is ended, by time.monotonic() and by processor time; None where nobody ends it.
until: float | None = None
cpu_limit: float | None = None
_looked_at: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}  # claim and findings by number of the backtest
moves: dict[int, list[int]] = {}  # of its prices, by the same number: see telling.largest_moves()


def spare() -> float | None:
    """Seconds that are left before the program is ended, of which it may work all; None without a limit."""
    left = time_left()
    if left is None:
        return None
    if cpu_limit is not None:
        import resource

        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        left = min(left, cpu_limit - sum(each.ru_utime + each.ru_stime for each in used))
    return max(0.0, left)


def time_left() -> float | None:
    """Seconds that may still pass, whether the program works or waits; None without a limit."""
    return None if until is None else max(0.0, until - time.monotonic())


def forget() -> None:
    """A cell of a session begins: the site counts its backtests anew."""
    global backtests, before, cell
    before += backtests
    channel.begin_claims()
    backtests, cell = 0, cell + 1
    _looked_at.clear()
    moves.clear()


def begin(strategy: Any) -> Before | None:
    """To be called before a strategy runs; None where it will not be looked at."""
    global backtests
    from qfp import forking

    backtests += 1
    if not active or forking.in_worker or backtests > MOST_BACKTESTS:
        return None
    from qfp.checking.strategies import Before

    return Before.of(strategy)


def look(
    strategy: type,
    frame: pd.DataFrame,
    options: dict[str, Any],
    params: dict[str, Any],
    before: Before,
    claim: dict[str, Any],
) -> dict[str, Any]:
    """Test the backtest that has just been made; tell the site, or print a line where there is none."""
    from qfp.checking.strategies import look_at

    return _looked(claim, lambda: look_at(strategy, frame, options, params, before), frame["Close"].to_numpy())


def look_at_portfolio(
    frames: Mapping[str, Any],
    settings: dict[str, Any],
    strategy: dict[str, Any],
    market: Any,
    before: Before,
    claim: dict[str, Any],
) -> dict[str, Any]:
    """The same for a portfolio."""
    from qfp.checking import portfolios

    def found() -> dict[str, Any]:
        return portfolios.look_at_portfolio(frames, settings, strategy, market.index, before, claim)

    return _looked(claim, found, market.close)


def look_at_copied(claim: dict[str, Any], library: str) -> None:
    """The same for a backtest that another library has run: its strategy cannot be taken out of it, so only the test
    of the whole program, at its end, says more.
    """
    why = {} if whole_program else {"why": f"what runs in {library} is tested at the end of a whole program only"}
    memory = {"state": "untested", "why": f"what runs in {library} cannot be run again on other dates and prices"}

    def found() -> dict[str, Any]:
        return {"lookahead": {"state": "untested", **why}, "amnesia": memory}

    _looked(claim, found)


def _looked(claim: dict[str, Any], look_now: Callable[[], dict[str, Any]], close: Any = None) -> dict[str, Any]:
    """close: prices of all bars, where they are at hand."""
    global seconds
    from qfp.checking.clock import Clock
    from qfp.checking.telling import largest_moves
    from qfp.checking.words import sentence

    number, clock = backtests - 1, Clock()
    moves[number] = [] if close is None else largest_moves(close)
    found = look_now()
    if found["lookahead"]["state"] == "clean":  # of the strategy; the program around it is more than that
        why = (
            "the program around it is tested at its end" if whole_program else "only the strategy can be run again here"
        )
        found["lookahead"] = {**found["lookahead"], "state": "partly", "why": why}
    seconds += clock.passed
    if channel.connected:
        _looked_at[number] = claim, found
        tell(number, found)
    else:
        print(sentence(found["lookahead"]))
    return found


def examine_program(
    again: Callable[[], dict[str, Any]], namespace: dict[str, Any], source: str, folder: str, clock: Clock
) -> None:
    """At the end of a program with backtests: test the whole of it and tell the site.

    clock: since it began.
    """
    if not _looked_at:
        return
    from qfp.checking import programs
    from qfp.checking.verdict import joined

    claims = [claim for claim, _ in _looked_at.values()]
    own = max(0.0, clock.passed - seconds)
    all_moves = [moves[number] for number in _looked_at]
    program = programs.Program(again, namespace, source, claims, own, folder, own - seconds, all_moves)
    try:
        results = programs.examine(program)
    finally:
        programs.clean_up(folder)
    for (number, (_, found)), whole in zip(_looked_at.items(), results, strict=True):
        tell(number, {**found, "lookahead": joined(found["lookahead"], whole)})


def tell(number: int, found: dict[str, Any]) -> None:
    """Hand the findings about a backtest to the site."""
    channel.emit({"type": "checks", "backtest": number, **found})
