"""The look at a portfolio right after it: its function is run again on varied bars of all instruments, and with other
names, dates and prices. As qfp.checking.strategies does for a class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qfp import checking
from qfp.checking import amnesia, apart, lookahead, strategies
from qfp.checking.boundary import boundary, published
from qfp.checking.decisions import Decision, first_difference, of_claim
from qfp.checking.literals import LONG, longest_table
from qfp.checking.lookahead import NotRepeatable
from qfp.checking.sources import Sources
from qfp.checking.strategies import (
    NO_SEED,
    Before,
    looks_up_days,
    moment,
    patience,
    time_for,
    untested,
    uses_tables,
)
from qfp.checking.telling import of_backtest
from qfp.checking.variations import Variation

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PortfolioRuns", "look_at_portfolio"]

MEMORY_SHARE = 0.6  # of the time of the look, for the test of memory
LEAST_BARS = 60
OWN, BROUGHT = "own", "mine/"  # series that somebody brought along
RUNS_FOR_NUMBERS = 2  # so many there has to be time for


@dataclass
class PortfolioRuns:
    """A portfolio that can be run again over varied bars.

    frames: by symbol. settings: of the account. strategy: what Portfolio.run() takes. index: of all its bars.
    claim: of the run itself.
    """

    frames: Mapping[str, Any]
    settings: dict[str, Any]
    strategy: dict[str, Any]
    index: pd.DatetimeIndex
    before: Before
    claim: Mapping[str, Any]
    tails_are_whole: bool = field(default=True, init=False)
    final: float = field(default=0.0, init=False)  # what the account was worth at the end of the last run

    @property
    def count(self) -> int:
        return len(self.index)

    def base(self) -> list[Decision]:
        """What the run itself decided: by its claim, or run again where that does not list all."""
        whole = self.claim.get("order_count", 0) == len(self.claim.get("orders") or ())
        return of_claim(dict(self.claim)) if whole else self.decided(self.frames)

    def decide(self, variation: Variation | None, until: int) -> list[Decision]:
        frames = dict(self.frames)
        if variation is not None:
            moment = self.index[variation.cut]
            sources = Sources(moment, variation.tail, variation.seed, variation.jump, traded=True)
            frames = {
                symbol: sources.frame(frame, symbol)
                for symbol, frame in frames.items()
                if self._began(frame, variation)
            }
        return self.decided(frames)

    def _began(self, frame: Any, variation: Variation) -> bool:
        """With other courses all instruments stay; what has not begun before the end is not there."""
        return bool(variation.tail) or frame.index[0] <= self.index[variation.cut]

    def decided(self, frames: Mapping[str, Any], among: Sequence[int] | None = None, **settings: Any) -> list[Decision]:
        """among: the place of each frame among all of them; by its name unless given."""
        from qfp.portfolio.running import Portfolio

        self.before.restore()
        run = Portfolio(frames, **{**self.settings, **settings}).run(**self.strategy)
        self.final = float(run.equity[-1])
        if among is None:
            places = {symbol: at for at, symbol in enumerate(self.frames)}
            among = [places[symbol] for symbol in frames]
        return [
            decision._replace(instrument=among[decision.instrument]) for decision in of_claim({"orders": run.orders()})
        ]


def look_at_portfolio(
    frames: Mapping[str, Any],
    settings: dict[str, Any],
    strategy: dict[str, Any],
    index: Any,
    before: Before,
    claim: Mapping[str, Any],
) -> dict[str, Any]:
    """{"lookahead": finding, "amnesia": finding} for a portfolio that has just been run over these bars."""
    run_seconds = before.clock.passed
    seconds = time_for(before)
    if seconds is None:
        return untested("the time limit of the run left no time for it")
    if not apart.can_fork():
        return untested("a copy of the program cannot be made on this system")
    runs = PortfolioRuns(frames, settings, strategy, index, before, claim)
    answer = apart.tried_apart(lambda say: _findings(runs, before, run_seconds, seconds, say), patience(seconds))
    if "value" in answer:
        return answer["value"]
    return answer["said"][-1] if answer["said"] else untested(apart.why_failed(answer["failed"]))


def _findings(runs: PortfolioRuns, before: Before, run_seconds: float, seconds: float, say: Any) -> dict[str, Any]:
    base = runs.base()
    try:
        orders, fills, flows = (runs.claim.get(name) or () for name in ("orders", "fills", "flows"))
        telling = of_backtest(orders, fills, flows, checking.moves.get(checking.backtests - 1, ()))
        seen = lookahead.examine(runs, base, (1 - MEMORY_SHARE) * seconds, run_seconds, telling=telling)
    except NotRepeatable:
        return untested(NO_SEED)
    # By the last of these runs; the first one may have imported what draws a number.
    if before.random_used() and not before.seeded:
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
    return {
        "lookahead": found,
        "amnesia": _memory(runs, base, max(strategies.WHOLE_SECONDS, MEMORY_SHARE * seconds) / max(run_seconds, 1e-3)),
    }


def _memory(runs: PortfolioRuns, base: list[Decision], share: float) -> dict[str, Any]:
    """share: of a run, that there is time for; the test ends on that bar."""
    table = hasattr(runs.strategy.get("weights"), "index") or isinstance(runs.strategy.get("rebalance"), (list, tuple))
    members = runs.settings.get("members")
    if table or not (members is None or _is_of_the_site(members)):
        return {"state": "untested", "why": "its weights, dates or members are a table by date"}
    memory = _Memory(runs, base, runs.count if share >= 1 else max(LEAST_BARS, int(share * runs.count)))
    if memory.untested:
        return memory.untested
    # All at once, in one run, or but for names; which of them it was is only asked where something differs.
    with suppress(Exception):
        if memory.differs("all") is None:
            return _by_numbers(runs, memory, share)
    named, failed, whats = False, "", ["dates", "names", "prices"]
    with suppress(Exception):  # who names instruments fails with other names, and is soon told apart
        if memory.differs("moved") is None:
            whats = ["names"]
    for what in whats:
        try:
            bar = memory.differs(what)
        except Exception as error:
            if what == "names":  # it says itself which instruments it means
                named = True
                continue
            failed = failed or f"with other {what} it fails: {type(error).__name__}: {str(error)[:150]}"
            if what == "dates":
                continue
            return {"state": "untested", "why": failed}
        if bar is not None:
            if memory.is_of_what_it_keeps(what):
                return {"state": "untested", "why": amnesia.KEEPS}
            functions = [part for part in runs.strategy.values() if callable(part)]
            if what != "names" and (uses_tables(functions, []) or looks_up_days(functions)):
                return {"state": "untested", "why": "it looks up other data, which stay on their dates and prices"}
            if what == "dates":
                parts = list(runs.strategy.values())
                if (days := published(parts, memory.grown(None), memory.grown(what))) is not None:
                    at = {"bar": bar, "date": moment(runs.index, bar)}
                    return {"state": "remembers", "what": "days", "count": days, **at}
                day = boundary(
                    parts,
                    [decision for decision in base if decision.bar < memory.until],
                    lambda: runs.decide(Variation(0, 1), runs.count),
                )
                if day is not None:
                    at = {"bar": bar, "date": moment(runs.index, bar)}
                    return {"state": "remembers", "what": "boundary", "day": day, **at}
            return {"state": "remembers", "what": what, "bar": bar, "date": moment(runs.index, bar)}
    if failed:
        return {"state": "untested", "why": failed, "but_dates": True}
    found = _by_numbers(runs, memory, share)
    return found | {"named": True} if named and found["state"] == "clean" else found


def _is_of_the_site(members: Any) -> bool:
    """Whether it is the name of a universe that nobody brought along."""
    from qfp.data import catalogue

    known = catalogue.current()
    universe = known.universes.get(members.strip().casefold()) if isinstance(members, str) else None
    if universe is None:
        return False
    entries = [known.by_id.get(each["series"], {}) for each in universe["members"]]
    return not any(entry.get("rights") == OWN or entry.get("id", "").startswith(BROUGHT) for entry in entries)


def _by_numbers(runs: PortfolioRuns, memory: _Memory, share: float) -> dict[str, Any]:
    """What knows neither dates nor names may still know the numbers of bars, or hold a table of them."""
    parts = [part for part in runs.strategy.values() if callable(part)]
    count = longest_table(parts)
    if share >= RUNS_FOR_NUMBERS and memory.follows_numbers(may_count=count < LONG):
        if uses_tables(parts, []):
            return {"state": "untested", "why": "its orders are looked up in a table by the number of the bar"}
        return {"state": "remembers", "what": "numbers"}
    if count >= LONG:
        return {"state": "remembers", "what": "table", "count": count}
    return memory.clean()


class _Memory:
    """The portfolio with other dates, names and prices, up to the bar `until`."""

    def __init__(self, runs: PortfolioRuns, base: list[Decision], until: int) -> None:
        self.runs, self.base, self.until = runs, base, min(until, runs.count)
        last = runs.index[self.until - 1]
        frames = {symbol: frame for symbol, frame in runs.frames.items() if frame.index[0] <= last}
        if self.until < runs.count:
            frames = {symbol: frame[frame.index <= last] for symbol, frame in frames.items()}
        places = {symbol: at for at, symbol in enumerate(runs.frames)}
        self.among, self.frames = [places[symbol] for symbol in frames], frames
        self.moved = {symbol: amnesia.with_other_dates(frame) for symbol, frame in frames.items()}
        self.untested: dict[str, Any] = {}
        if any(frame is None for frame in self.moved.values()):
            self.untested = {"state": "untested", "why": "its bars have no dates that could be moved"}

    def differs(self, what: str) -> int | None:
        """The first bar that is decided otherwise with other ones of these. Raises what the program raises."""
        return first_difference(self.base, *self._decided(what))

    def is_of_what_it_keeps(self, what: str) -> bool:
        """Whether it decides the same as on the same data, each after a run that ended alike: what a program keeps from
        run to run, such as the last month, is no memory of history.
        """
        same = self.runs.decided(self.frames, self.among)
        return first_difference(same, *self._decided(what)) is None

    def _decided(self, what: str) -> tuple[list[Decision], int, float]:
        """What is decided with other ones of these, up to which bar, and how many times larger sizes are."""
        frames = self.moved if what in ("dates", "moved", "all") else self.frames
        factor = amnesia.FACTOR if what in ("prices", "moved", "all") else 1.0
        if factor != 1:
            frames = {name: amnesia.with_other_prices(frame) for name, frame in frames.items()}
        names = {name: name for name in frames}
        if what in ("names", "all"):
            names = {name: f"I{at:03}" for at, name in enumerate(frames)}
            frames = {names[name]: frame for name, frame in frames.items()}
        settings = amnesia.on_another_level(self.runs.settings, factor)
        if (members := self.runs.settings.get("members")) is not None:
            settings["members"] = self._members(members, names, moved=what in ("dates", "moved", "all"))
        return self.runs.decided(frames, self.among, **settings), self.until - 1, factor

    def _members(self, universe: str, names: Mapping[str, str], *, moved: bool) -> Any:
        """The rows of a universe under these names, on the dates of the bars."""
        from qfp import data

        rows = data.members(universe)
        known = [
            next((names[each] for each in (row.symbol, row.series) if each in names), "") for row in rows.itertuples()
        ]
        rows = rows.assign(symbol=known, series=known)[[bool(name) for name in known]]
        if moved:
            symbol, frame = next(iter(self.frames.items()))
            other = self.moved[symbol]
            assert other is not None  # where the dates cannot be moved nothing is compared
            by = other.index[0] - frame.index[0]
            rows = rows.assign(entered=rows["entered"] + by, left=rows["left"] + by)
        return rows

    def grown(self, what: str | None) -> float:
        """What the account becomes, as a multiple, with other ones of these."""
        if what is None:
            self.runs.decided(self.frames, self.among)
        else:
            self.differs(what)
        return self.runs.final / float(self.runs.settings["cash"])

    def follows_numbers(self, may_count: bool) -> bool:
        """Whether it orders on the same numbers of bars when all instruments begin some bars later."""

        def decide(dates: Any, _: int) -> list[Decision]:
            began = {symbol: frame[frame.index >= dates.index[0]] for symbol, frame in self.frames.items()}
            if any(frame.empty for frame in began.values()):
                raise ValueError("an instrument has no later bars")
            return self.runs.decided(began, self.among)

        known = [decision for decision in self.base if decision.bar < self.until]
        dates = self.runs.index[: self.until].to_frame()
        return amnesia.follows_numbers(decide, dates, known, may_count=may_count)

    def clean(self) -> dict[str, Any]:
        return {"state": "clean", **({"bars": self.until} if self.until < self.runs.count else {})}
