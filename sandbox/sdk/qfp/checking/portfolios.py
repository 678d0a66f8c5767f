"""The look at a portfolio right after it: its function is run again on varied bars of all instruments, and with other
names, dates and prices. As qfp.checking.strategies does for a class.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qfp.checking import amnesia, apart, lookahead
from qfp.checking.decisions import Decision, first_difference, of_claim
from qfp.checking.lookahead import NotRepeatable
from qfp.checking.sources import Sources
from qfp.checking.strategies import (
    NO_SEED,
    Before,
    moment,
    patience,
    time_for,
    untested,
    uses_tables,
)
from qfp.checking.variations import Variation

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PortfolioRuns", "look_at_portfolio"]


@dataclass
class PortfolioRuns:
    """A portfolio that can be run again over varied bars.

    frames: by symbol. settings: of the account. strategy: what Portfolio.run() takes. index: of all its bars.
    """

    frames: Mapping[str, Any]
    settings: dict[str, Any]
    strategy: dict[str, Any]
    index: pd.DatetimeIndex
    before: Before
    tails_are_whole: bool = field(default=True, init=False)

    @property
    def count(self) -> int:
        return len(self.index)

    def decide(self, variation: Variation | None, until: int) -> list[Decision]:
        frames = dict(self.frames)
        if variation is not None:
            sources = Sources(self.index[variation.cut], variation.tail, variation.seed)
            frames = {
                symbol: sources.frame(frame, symbol)
                for symbol, frame in frames.items()
                if self._began(frame, variation)
            }
        return self.decided(frames)

    def _began(self, frame: Any, variation: Variation) -> bool:
        """With other courses all instruments stay; what has not begun before the end is not there."""
        return bool(variation.tail) or frame.index[0] <= self.index[variation.cut]

    def decided(self, frames: Mapping[str, Any], **settings: Any) -> list[Decision]:
        from qfp.portfolio.running import Portfolio

        self.before.restore()
        run = Portfolio(frames, **{**self.settings, **settings}).run(**self.strategy)
        number = {symbol: at for at, symbol in enumerate(self.frames)}
        among = [number.get(symbol, at) for at, symbol in enumerate(frames)]
        return [
            decision._replace(instrument=among[decision.instrument]) for decision in of_claim({"orders": run.orders()})
        ]


def look_at_portfolio(
    frames: Mapping[str, Any], settings: dict[str, Any], strategy: dict[str, Any], index: Any, before: Before
) -> dict[str, Any]:
    """{"lookahead": finding, "amnesia": finding} for a portfolio that has just been run over these bars."""
    seconds = time_for(before)
    if seconds is None:
        return untested("the time limit of the run left no time for it")
    if not apart.can_fork():
        return untested("a copy of the program cannot be made on this system")
    runs = PortfolioRuns(frames, settings, strategy, index, before)
    answer = apart.tried_apart(lambda say: _findings(runs, before, seconds, say), patience(seconds))
    if "value" in answer:
        return answer["value"]
    return answer["said"][-1] if answer["said"] else untested(f"run again, {answer['failed']}")


def _findings(runs: PortfolioRuns, before: Before, seconds: float, say: Any) -> dict[str, Any]:
    began = time.monotonic()
    base = runs.decided(runs.frames)
    run_seconds = time.monotonic() - began
    if before.random_used() and not before.seeded:
        return untested(NO_SEED)
    try:
        seen = lookahead.examine(runs, base, seconds, run_seconds)
    except NotRepeatable:
        return untested(NO_SEED)
    found: dict[str, Any] = {"cuts": seen.cuts, "tails": seen.tails, "orders": len(base)}
    if seen.bar is not None:
        at = {"state": "leak", "bar": seen.bar, "date": moment(runs.index, seen.bar)}
        return {"lookahead": found | at, "amnesia": {"state": "untested", "why": "it knows the future"}}
    if not seen.tried:
        why = f"on other bars it fails: {seen.failures[0]}" if seen.failures else "there are too few bars"
        return untested(why)
    found["state"] = "clean"
    say({"lookahead": found, "amnesia": {"state": "untested", "why": apart.TOOK_TOO_LONG}})
    return {"lookahead": found, "amnesia": _memory(runs, base)}


def _memory(runs: PortfolioRuns, base: list[Decision]) -> dict[str, Any]:
    table = hasattr(runs.strategy.get("weights"), "index") or isinstance(runs.strategy.get("rebalance"), (list, tuple))
    if table or runs.settings.get("members") is not None:
        return {"state": "untested", "why": "its weights, dates or members are a table by date"}
    moved = {symbol: amnesia.with_other_dates(frame) for symbol, frame in runs.frames.items()}
    if any(frame is None for frame in moved.values()):
        return {"state": "untested", "why": "its bars have no dates that could be moved"}
    others = [
        ("dates", moved, 1.0),
        ("names", {f"I{at:03}": frame for at, frame in enumerate(runs.frames.values())}, 1.0),
        ("prices", {name: amnesia.with_other_prices(frame) for name, frame in runs.frames.items()}, amnesia.FACTOR),
    ]
    for what, frames, factor in others:
        try:
            decided = runs.decided(frames, cash=runs.settings["cash"] * factor)
        except Exception as error:
            return {
                "state": "untested",
                "why": f"with other {what} it fails: {type(error).__name__}: {str(error)[:150]}",
            }
        bar = first_difference(base, decided, runs.count, factor)
        if bar is not None:
            if what != "names" and uses_tables([runs.strategy.get("on_bar"), runs.strategy.get("weights")], []):
                return {"state": "untested", "why": "it looks up other data, which stay on their dates and prices"}
            return {"state": "remembers", "what": what, "bar": bar, "date": moment(runs.index, bar)}
    return {"state": "clean"}
