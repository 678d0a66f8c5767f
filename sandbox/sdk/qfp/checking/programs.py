"""Does the program around a strategy know the future? The whole of it is run again where all data end earlier, or go on
differently; what it decides until then has to be the same.

This finds what the class alone does not show: a signal computed over the whole series before, a model fitted on all
data, a choice of shares made with hindsight, a file read once more.
"""

from __future__ import annotations

import bisect
import functools
import os
import random
import shutil
import sys
import types
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qfp import channel, checking
from qfp.checking import apart, lookahead
from qfp.checking.decisions import Decision, first_difference, of_claim
from qfp.checking.lookahead import NotRepeatable
from qfp.checking.sources import Sources
from qfp.checking.statements import suspects
from qfp.checking.telling import Telling, of_backtest
from qfp.checking.variations import Variation
from qfp.periods import ends

__all__ = ["Program", "examine"]

LEAST_SECONDS = 0.4
MOST_SECONDS = 10.0
LEAST_SPARE = 1.0  # of a run's limits
MOST_NAMED = 10
MOST_MOVES = 4
CLAIM = 1_000  # instruments of one backtest; tells the backtests of a program apart
NOT_FROM_OUTSIDE = "its data come from nowhere that can be varied: they are made in the code"
SAME_BARS = "the bars it trades were not varied: they are made in the code, or come from where nothing can be varied"
NO_TIME = "there was no time for a day within its bars"
# What packages bring tables in, some of them prices; styles, fonts and templates have other names.
TABLES = (".csv", ".csv.gz", ".tsv", ".npz", ".npy", ".parquet", ".feather", ".pkl", ".xls", ".xlsx", ".dta")
OF_ARROW = {
    "pyarrow": ("memory_map", "OSFile", "input_stream"),
    "pyarrow.csv": ("read_csv", "open_csv"),
    "pyarrow.parquet": ("read_table", "ParquetFile"),
    "pyarrow.feather": ("read_table", "read_feather"),
    "pyarrow.json": ("read_json",),
    "pyarrow.dataset": ("dataset",),
}
NOT_REPEATABLE = "run twice it gave other decisions: random numbers without a seed, or the time of day"
DAY_LENGTH = 10  # of a date without a time
OTHER_COURSE = "on other data it makes other backtests"


@dataclass
class Program:
    """A program that has run, and how to run it again.

    again: runs it in this process in a fresh namespace, which it returns. namespace: what it left. source: its text.
    claims: of its backtests, in order. seconds: it took, without tests. folder: where it ran. left: of the time that
    all tests may take together, as long as it took itself. moves: of the prices of each claim, what
    telling.largest_moves() says.
    """

    again: Callable[[], dict[str, Any]]
    namespace: dict[str, Any]
    source: str
    claims: list[dict[str, Any]]
    seconds: float
    folder: str
    left: float
    moves: Sequence[Sequence[int]]


def examine(program: Program) -> list[dict[str, Any]]:
    """A finding for each backtest of the program; see docs/honesty.md."""
    if not apart.can_fork():
        return [_untested("a copy of the program cannot be made on this system")] * len(program.claims)
    seconds = min(MOST_SECONDS, max(LEAST_SECONDS, program.left))
    if (spare := checking.spare()) is not None:
        if spare < LEAST_SPARE:
            return [_untested("the limits of the run left no time for it")] * len(program.claims)
        seconds = min(seconds, spare / 3)
    runs = _ProgramRuns(program, seconds)
    try:
        seen = lookahead.examine(runs, runs.base, seconds, program.seconds, telling=runs.telling())
    except NotRepeatable as error:
        return [_untested(str(error) or NOT_REPEATABLE)] * len(program.claims)
    except _Untestable as reason:
        return [_untested(str(reason))] * len(program.claims)
    return [runs.finding(number, seen) for number in range(len(program.claims))]


def _untested(why: str) -> dict[str, Any]:
    return {"state": "untested", "why": why}


class _Untestable(BaseException):
    """No other run of this program can say anything."""


class _ProgramRuns:
    """All backtests of the program as one subject: a calendar of all their dates, and a number for each backtest."""

    tails_are_whole = True

    def __init__(self, program: Program, seconds: float) -> None:
        self.program, self.seconds = program, seconds
        self.over = _over(program.claims)
        self.dates = sorted(self.over, key=lambda date: self.over[date])
        self.count = len(self.dates)
        self.base = self._decisions(program.claims)
        # Backtest -> first bar, in its own dates: where data ended, and where they went on differently.
        self.differences: tuple[dict[int, int], dict[int, int]] = {}, {}
        self.chosen: dict[int, str] = {}
        self.suspects: dict[str, Any] = {}
        self.suspected_at_end = False  # where data ended, which tells less than where they go on
        self.opened = ""  # a table that came with a package
        self.missing: dict[int, str] = {}  # backtest -> with what error the program ended before it, on other data
        self.runs = 0
        self.varied: Counter[int] = Counter()  # backtest -> runs in which its bars were others
        self.same: set[int] = set()  # backtests whose bars stayed as they were after the day
        self.own_modules = _modules_of(program.folder)

    def _decisions(self, claims: list[dict[str, Any]]) -> list[Decision]:
        """Of all backtests; an instrument is the same where its name is, wherever it stands among others."""
        place = {date: at for at, date in enumerate(self.dates)}
        found = []
        for number, (claim, ours) in enumerate(zip(claims, self.program.claims, strict=True)):
            among = _places(_recognised(claim, ours), _series(ours))
            for decision in of_claim(claim):
                if (at := place.get(claim["dates"][decision.bar])) is not None:
                    instrument = among.get(decision.instrument, decision.instrument)
                    found.append(decision._replace(bar=at, instrument=number * CLAIM + instrument))
        return sorted(found, key=lambda decision: decision.bar)

    def telling(self) -> Telling:
        """Of all backtests together, each by what it earned of its own cash."""
        place = {date: at for at, date in enumerate(self.dates)}
        opened: dict[int, float] = defaultdict(float)
        closed: dict[int, float] = defaultdict(float)
        sides: dict[int, int] = {}
        filled: set[int] = set()
        moves: list[int] = []
        for claim, moved in zip(self.program.claims, self.program.moves, strict=True):
            own = of_backtest(claim.get("orders") or (), claim.get("fills") or (), claim.get("flows") or ())
            at = [place[date] for date in claim["dates"]]
            filled |= {at[bar] for bar in own.filled}
            if len(moves) < MOST_MOVES:
                moves += [at[bar] for bar in moved]
            sides |= {at[bar]: side for bar, side in own.sides.items() if 0 <= bar < len(at)}
            for ours, theirs in ((opened, own.opened), (closed, own.closed)):
                for bar, profit in theirs.items():
                    if 0 <= bar < len(at):
                        ours[at[bar]] += profit / (claim.get("cash") or 1.0)
        return Telling(opened, closed, sides, frozenset(filled), moves)

    def decide(self, variation: Variation | None, until: int) -> list[Decision]:
        clean_up(self.program.folder)
        patience = 3.0 + 2 * max(self.seconds, 1.5 * self.program.seconds)
        if (spare := checking.spare()) is not None:
            patience = min(patience, spare / 2)
        answer = apart.tried_apart(lambda say: self._run(variation), patience)
        if "failed" in answer:
            if answer["failed"] in (apart.CANNOT, apart.TOOK_TOO_LONG) or "memory" in answer["failed"]:
                raise _Untestable(apart.why_failed(answer["failed"]))
            raise apart.Told(answer["failed"])
        value = answer["value"]
        if variation is not None and not value["touched"]:
            raise _Untestable(NOT_FROM_OUTSIDE)
        told = value["claims"]
        if value["failed"]:
            told = self._with_missing(told, variation, value["failed"])
        claims = _in_order(told, self.program.claims)
        if [claim["strategy"] for claim in claims] != [claim["strategy"] for claim in self.program.claims]:
            raise apart.Told(OTHER_COURSE)
        self.runs += 1
        self.opened = self.opened or value["opened"]
        if variation is not None:
            self._compare_bars(claims, self.over[self.dates[variation.cut]])
        chosen = {
            number: _changed(ours["params"], theirs["params"])
            for number, (ours, theirs) in enumerate(zip(self.program.claims, claims, strict=True))
            if ours["params"] != theirs["params"]
        }
        known = self.over[self.dates[-1 if variation is None else variation.cut]]
        for number, why in chosen.items():
            # What a backtest over later bars alone was given may have been chosen on data that are others now.
            if self.over[self.program.claims[number]["dates"][0]] <= known:
                self.chosen[number] = why
        found = self._decisions(claims)
        if chosen:  # that is another finding; what they decided with other parameters says nothing
            found = [each for each in found if each.instrument // CLAIM not in chosen]
            found += [each for each in self.base if each.instrument // CLAIM in chosen]
            found.sort(key=lambda each: each.bar)
        if variation is not None:
            self._note(found, variation, value["suspects"])
        return found

    def _with_missing(
        self, claims: list[dict[str, Any]], variation: Variation | None, failed: str
    ) -> list[dict[str, Any]]:
        """What the program had told before it ended with an error is compared as ever; what it had not is as it was,
        and a doubt. Raises Told where it had told none in full.
        """
        ours = self.program.claims
        heads = [len(claim["dates"]) for claim in ours]
        if variation is not None and not variation.tail:
            moment = self.over[self.dates[variation.cut]]
            heads = [bisect.bisect_right(claim["dates"], moment, key=self.over.__getitem__) for claim in ours]
        told = _in_order(claims, ours)
        if len(told) < len(ours):
            among = [_key(theirs) == _key(own) for theirs, own in zip(told, ours, strict=False)]
            told = told[: among.index(False)] if False in among else told
        if not told or any(len(theirs["dates"]) < head for theirs, head in zip(told, heads, strict=False)):
            raise apart.Told(failed)
        for number in range(len(told), len(ours)):
            self.missing.setdefault(number, failed)
        return [*told, *ours[len(told) :]]

    def _compare_bars(self, claims: list[dict[str, Any]], moment: pd.Timestamp) -> None:
        for number, (ours, theirs) in enumerate(zip(self.program.claims, claims, strict=True)):
            if ours["digest"] != theirs["digest"]:
                self.varied[number] += 1
            elif self.over[ours["dates"][-1]] > moment:
                self.same.add(number)

    def _note(self, found: list[Decision], variation: Variation, suspected: dict[str, Any]) -> None:
        for number, claim in enumerate(self.program.claims):
            bar = first_difference(_of(self.base, number), _of(found, number), variation.cut)
            if bar is not None:
                own = bisect.bisect_left(claim["dates"], self.dates[bar])
                known = self.differences[bool(variation.tail)]
                known[number] = min(own, known.get(number, own))
                if suspected and (not self.suspects or variation.tail or self.suspected_at_end):
                    self.suspects, self.suspected_at_end = suspected, not variation.tail

    def finding(self, number: int, seen: lookahead.Seen) -> dict[str, Any]:
        claim = self.program.claims[number]
        if not seen.repeats:
            return self._finding_of_lasting(number, seen)
        bars = [known[number] for known in self.differences[not seen.cuts_tell :] if number in known]
        if seen.bar is not None and bars:
            bar = min(bars)
            return {"state": "leak", "bar": bar, "date": claim["dates"][bar], "programs": self.runs, **self.suspects}
        if number in self.chosen:
            return {"state": "chosen", "why": self.chosen[number], "programs": self.runs}
        failed = self.missing.get(number) or (not seen.tried and next(iter(seen.failures), ""))
        if failed or not seen.tried:
            return _untested(f"on other data it fails: {failed}" if failed else "there are too few bars")
        if not self.varied[number]:
            return _untested(SAME_BARS if number in self.same else NO_TIME)
        if self.opened:
            return {"state": "files", "name": self.opened, "programs": self.varied[number]}
        return {"state": "clean", "programs": self.varied[number]}

    def _finding_of_lasting(self, number: int, seen: lookahead.Seen) -> dict[str, Any]:
        bars = [each.bar for each in seen.lasting if each.instrument // CLAIM == number]
        if not bars:
            return _untested(NOT_REPEATABLE)
        dates = self.program.claims[number]["dates"]
        bar = bisect.bisect_left(dates, self.dates[min(bars)])
        return {"state": "leak", "bar": bar, "date": dates[bar], "programs": self.runs}

    # In the copy ------------------------------------------------------------------------------------------------

    def _run(self, variation: Variation | None) -> dict[str, Any]:
        from qfp import forking

        program = self.program
        before = dict(program.namespace)
        checking.active, forking.in_worker = False, True
        claims: list[dict[str, Any]] = []
        channel.relay = lambda message: claims.append(message["claim"]) if message.get("type") == "backtest" else None
        opened = _elsewhere(program.folder, self.own_modules)
        np.random.seed()
        random.seed()
        cut = self.dates[-1 if variation is None else variation.cut]
        moment = self.over[cut].tz_localize(pd.Timestamp(cut).tz)
        sources = Sources(moment, 0, 0)
        if variation is not None:
            sources = Sources(moment, variation.tail, variation.seed, variation.jump)
            sources.vary()
        failed = ""
        try:
            namespace = program.again()
        except Exception as error:
            if isinstance(error, apart.Told) or not claims:
                raise
            failed, namespace = apart.told(error), dict(sys.modules["__main__"].__dict__)
        found: dict[str, Any] = {}
        if variation is not None and self._differs(claims, variation.cut):
            bars = [claim["dates"] for claim in program.claims]
            heads = {
                len(dates): bisect.bisect_right(dates, self.over[cut], key=self.over.__getitem__) for dates in bars
            }
            ended = not variation.tail
            with suppress(Exception):  # a leak is one also where its place cannot be told
                found = suspects(before, namespace, sources.moment, heads, program.source, ended=ended)
        kept = ("strategy", "params", "instruments", "dates", "digest", "orders")
        return {
            "claims": [{key: claim.get(key) for key in kept} for claim in claims],
            "touched": sources.touched,
            "suspects": found,
            "opened": opened[0] if opened else "",
            "failed": failed,
        }

    def _differs(self, claims: list[dict[str, Any]], until: int) -> bool:
        told = [*claims, *self.program.claims[len(claims) :]]
        if len(told) != len(self.program.claims):
            return False  # it says nothing
        decided = self._decisions(_in_order(told, self.program.claims))
        return first_difference(self.base, decided, until) is not None


def _over(claims: list[dict[str, Any]]) -> dict[str, pd.Timestamp]:
    """When what each date of backtests stands for is over, without a zone: the day, or a month where all are of one."""
    found: dict[str, pd.Timestamp] = {}
    for claim in claims:
        dates = pd.DatetimeIndex(pd.to_datetime(claim["dates"], utc=True, format="ISO8601")).tz_localize(None)
        whole_days = not any(len(date) > DAY_LENGTH for date in claim["dates"])
        over = pd.DatetimeIndex(ends(dates.to_numpy())) if whole_days else dates
        for date, moment in zip(claim["dates"], over, strict=True):
            found[date] = max(moment, found.get(date, moment))
    return found


def _series(claim: dict[str, Any]) -> list[str]:
    """Of its instruments; "" where that is not known, as of bars that other libraries were given on other data."""
    return [str(each.get("series") or "") for each in claim.get("instruments") or ()]


def _recognised(claim: dict[str, Any], like: dict[str, Any]) -> list[str]:
    """The same, and by their names where bars of another library are no series that the site has any more: they are
    varied, and a share that was chosen instead of another one has another name.
    """
    from qfp.data import catalogue

    known = {str(each["symbol"]).casefold(): str(each["series"]) for each in like["instruments"] if each.get("series")}
    found = _series(claim)
    for at, each in enumerate(claim.get("instruments") or ()):
        name = str(each.get("symbol") or "").casefold()
        if not found[at] and known:
            entry = catalogue.current().by_name.get(name, {"symbol": name, "id": ""})
            found[at] = known.get(name) or known.get(entry["symbol"].casefold()) or entry["id"]
    return found


def _places(series: list[str], like: list[str]) -> dict[int, int]:
    """For each the place of the same one, or one of its own; its own place where it or that one is not known."""
    known = {name: at for at, name in enumerate(like) if name}
    places = {}
    for at, name in enumerate(series):
        unknown = not name or (at < len(like) and not like[at])
        places[at] = known.get(name, at if unknown else len(like) + at)
    return places


def _in_order(claims: list[dict[str, Any]], like: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same backtests in another order, such as the best instrument first, are the same."""

    if len(claims) != len(like):
        return claims
    ours, theirs = [_key(claim) for claim in like], [_key(claim) for claim in claims]
    if ours == theirs or sorted(ours) != sorted(theirs):
        return claims
    waiting = list(zip(theirs, claims, strict=True))
    return [waiting.pop(next(at for at, (each, _) in enumerate(waiting) if each == own))[1] for own in ours]


def _key(claim: dict[str, Any]) -> tuple[Any, ...]:
    """What tells it apart from the other backtests of its program."""
    return claim["strategy"], _series(claim), claim["dates"][0]


def _of(decisions: list[Decision], number: int) -> list[Decision]:
    return [decision for decision in decisions if decision.instrument // CLAIM == number]


def _changed(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    name = next((name for name in ours if ours[name] != theirs.get(name)), "a parameter")
    return f"with other data later on, {name} is {theirs.get(name)} instead of {ours.get(name)}"


def _modules_of(folder: str) -> list[str]:
    """The names of modules that are files of the program."""
    return [
        name
        for name, module in list(sys.modules.items())
        if isinstance(module, types.ModuleType)
        and name != "__main__"
        and str(getattr(module, "__file__", None)).startswith(folder + os.sep)
    ]


def _elsewhere(folder: str, modules: Sequence[str] = ()) -> list[str]:
    """The copy works in a folder of its own, with the program's files; what the program has written stays as it is.

    Returns the names of tables that came with packages, as far as it will have opened them.
    """
    own = f"{folder}/.again-{os.getppid()}"
    shutil.copytree(folder, own, ignore=lambda place, names: [name for name in names if name.startswith(".")])
    os.chdir(own)
    sys.path[:] = [own if path == folder else path for path in sys.path]
    for name in modules:
        del sys.modules[name]
    real = open
    opened: list[str] = []
    packages = [path + os.sep for path in sys.path if path and not path.startswith(folder)]

    def note(path: Any) -> None:
        if _is_table(path, packages) and len(opened) < MOST_NAMED:
            opened.append(Path(os.fsdecode(path)).name)

    def inside(file: Any, *args: Any, **kwargs: Any) -> Any:
        with suppress(TypeError):
            path = os.fspath(file)
            if isinstance(path, str) and path.startswith(folder + os.sep) and not path.startswith(own):
                file = own + path[len(folder) :]
        return real(file, *args, **kwargs)

    import builtins
    import io

    builtins.open = io.open = inside
    sys.addaudithook(lambda event, given: note(given[0]) if event == "open" and given else None)
    _note_arrow(note)
    return opened


def _note_arrow(note: Callable[[Any], None]) -> None:
    """pyarrow opens files by itself, where Python does not hear of it."""
    for name, functions in OF_ARROW.items():
        module = sys.modules.get(name)
        for function in functions:
            if callable(found := getattr(module, function, None)):
                setattr(module, function, _noting(found, note))


def _noting(function: Callable[..., Any], note: Callable[[Any], None]) -> Callable[..., Any]:
    @functools.wraps(function, updated=())
    def noted(*args: Any, **kwargs: Any) -> Any:
        for value in (*args, *kwargs.values()):
            for path in value if isinstance(value, (list, tuple)) else (value,):
                with suppress(TypeError):
                    note(os.fspath(path))
        return function(*args, **kwargs)

    return noted


def _is_table(path: Any, packages: list[str]) -> bool:
    """Of a package. The samples of backtesting.test are read before, when it is imported, and varied as any data."""
    path = os.fsdecode(path) if isinstance(path, bytes) else path
    if not isinstance(path, str) or not path.lower().endswith(TABLES):
        return False
    there = os.path.abspath(path)  # noqa: PTH100  (as sys.path writes it, links and all)
    return any(there.startswith(place) for place in packages)


def clean_up(folder: str) -> None:
    """Take away what copies have left."""
    shutil.rmtree(f"{folder}/.again-{os.getpid()}", ignore_errors=True)


def run_source(source: str, path: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run a program as the main module, in a fresh namespace; returns what it left."""
    main = types.ModuleType("__main__")
    main.__dict__.update(names or {})
    main.__dict__["__file__"] = path
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    try:
        exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)  # noqa: S102
    except SystemExit:
        pass
    return main.__dict__
