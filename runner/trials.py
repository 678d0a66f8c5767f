"""How many things were tried before this result? Different backtests along a project's lineage, counted for its author.

A trial is a different combination of code (comments and blank lines do not count), parameters, instruments, period
and conventions that gave a result; the same one run twice is one, also in a live session, and whether a parameter has
its default or is given that value. Where a run tries the same again and it comes out otherwise, or is recorded with
another outcome than in an earlier run, the program has read something beside its parameters that has changed in
between, and that is another one. A fork begins with what had been tried before it
was made, and what an author tries in a fork of their own, or with the same strategies in another project, counts, too,
even after that has been deleted. Every combination that a sweep tried is one, whatever became of its run and in however
many windows of a walk-forward it was tried, once for each set of values that the program gave to what its strategy
reads beside its parameters; so is what a run tried in backtests beyond those that are recorded. A backtest that is
surely one of those combinations (runner/combinations.py) is no further one.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

from django.db.models import Avg, Count, FloatField, Max, Min, Q, QuerySet, TextField, Value, Variance
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce
from qfp.significance import expected_maximum
from qfp.sweeps.trial import BLOCKS

from runner.defaults import defaults_of
from runner.likeness.alike import alike_revisions
from runner.likeness.compared import is_counting
from runner.likeness.traded import traded_alike
from runner.models import ENTRY, MOST_ANCESTORS, Attempt, Backtest, PastTrial, Project, Run, Sweep, Trial
from runner.past_trials import alike_shapes

__all__ = ["Code", "Trials", "chosen_from", "of_backtest", "of_project"]

SANE = 1_000.0  # annual Sharpe ratios beyond it are told, not earned: they are left out of the spread
COVERED = 0.8  # of a result's period, by trials whose Sharpe ratios are compared with it
SAME_FREQUENCY = 0.5  # bars a year, the fewer over the more: days and hours, or days and weeks, lie further apart
ENOUGH = 10  # trials from which on a part of them says how far they spread


class Spread(NamedTuple):
    """Of the Sharpe ratios of some trials. variance: None for a single one."""

    number: int
    mean: float
    variance: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Part:
    """Trials that were made alike. days: first and last that they read; None where that is not known.

    bars: at most so many; 0 where that is not known. a_year: bars a year. strategy, symbol: of a backtest.
    """

    spread: Spread
    days: tuple[date, date] | None = None
    bars: int = 0
    a_year: float | None = None
    strategy: str = ""
    symbol: str = ""

    def is_beside(self, backtest: Backtest) -> bool:
        """Whether the result could have been picked from them for its Sharpe ratio: they were made over the same
        period, by bars of the same kind, and other strategies on the same instrument.
        """
        year = backtest.metrics.get("periods_per_year")
        if year and self.a_year and min(year, self.a_year) < SAME_FREQUENCY * max(year, self.a_year):
            return False
        if self.days is None:
            return not self.bars or self.bars >= COVERED * len(backtest.equity)
        if self.strategy and self.strategy != backtest.strategy and self.symbol != _symbol_of(backtest):
            return False
        first, last = backtest.start.date(), backtest.end.date()
        shared = (min(last, self.days[1]) - max(first, self.days[0])).days + 1
        return shared >= COVERED * ((last - first).days + 1)


@dataclass(frozen=True)
class Trials:
    """count: different ones, at least 1. others: how many of them count because their programs trade nearly the same.
    counting: whether more may be, once what was traded has been compared.
    in_sweeps, of_searches, deleted: how many of them are combinations of sweeps, further backtests that runs of sweeps
    and walk-forwards ended with, and what was tried in projects that have been deleted; the rest are backtests of other
    runs. annual_variance: of their Sharpe ratios; None for fewer than two.

    Most are told by programs, so it is the widest of what all, a sweep's alone, and the best and the worst of them say:
    whoever tells of thousands of equal ones afterwards makes it no smaller.
    """

    count: int
    parts: tuple[Part, ...] = ()
    others: int = 0
    in_sweeps: int = 0
    of_searches: int = 0
    deleted: int = 0
    counting: bool = False

    @property
    def annual_variance(self) -> float | None:
        return _variance(part.spread for part in self.parts)

    def variance_beside(self, backtest: Backtest) -> float | None:
        """Of those that the backtest is compared with: Sharpe ratios of a shorter time scatter further."""
        return _variance(part.spread for part in self.parts if part.is_beside(backtest))


class Code:
    """The code of many trials, hashed once for all of them."""

    def __init__(self, files: dict[str, str]) -> None:
        code = {path: _without_comments(text) for path, text in sorted(files.items()) if path.endswith(".py")}
        self._defaults = defaults_of(files.get(ENTRY, ""))
        self._begun = hashlib.sha256(f"[{json.dumps(code, sort_keys=True)}, ".encode())

    def fingerprint(self, values: dict[str, Any]) -> str:
        """The name of a trial: SHA-256 of its code and of the values that it was made with."""
        # A form sends every parameter, the first run none: what the code says itself is the same trial either way.
        if given := values.get("run_params"):
            chosen = {name: value for name, value in given.items() if not self._is_default(name, value)}
            values = {**values, "run_params": chosen}
        digest = self._begun.copy()
        digest.update(f"{json.dumps(values, sort_keys=True, default=str)}]".encode())
        return digest.hexdigest()

    def _is_default(self, name: str, value: Any) -> bool:
        default = self._defaults.get(name)
        return name in self._defaults and value == default and isinstance(value, bool) == isinstance(default, bool)


def of_backtest(
    backtest: Backtest, code: Code, run_params: dict[str, Any], ended: tuple[str, float] | None = None
) -> str:
    """The name of a trial. ended: a figure of it, where its run had tried the same before and that was another one."""
    return code.fingerprint(
        {
            **({} if ended is None else {"ended": ended}),
            "run_params": run_params,
            "strategy": backtest.strategy,
            "params": backtest.params,
            "instruments": [[each["series"] or each["symbol"], each["adjust"]] for each in backtest.instruments],
            "period": [backtest.start.isoformat(), backtest.end.isoformat()],
            "cash": backtest.cash,
            "conventions": backtest.rules,
        }
    )


@lru_cache(maxsize=256)
def _without_comments(text: str) -> str:
    try:
        return ast.unparse(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two for what is nested deeply
        lines = (line.strip() for line in text.splitlines())
        return "\n".join(line for line in lines if line and not line.startswith("#"))


def of_project(project: Project) -> Trials:
    """What was tried in the project, before it was forked, and in its author's forks of it."""
    forks = _own_forks(project)
    where = Q(run__revision__project__in=[project.pk, *forks])
    alike = set(alike_revisions(project))
    if alike:
        where |= Q(run__revision__in=alike)
    before = Q(project__in=[project.pk, *forks])
    if project.owner_id is not None and PastTrial.objects.filter(owner=project.owner_id).exists():
        before |= Q(owner=project.owner_id, shape__in=alike_shapes(project))
    for ancestor, forked in project.ancestors():
        where |= Q(run__revision__project=ancestor, run__queued__lte=forked)
        before |= Q(project=ancestor)
    count, traded = _count(where, before), traded_alike(project)
    others = 0
    if traded and (further := set(alike_revisions(project, traded)) - alike):
        where |= Q(run__revision__in=further)
        others = _count(where, before) - count
    swept = Trial.objects.filter(where).order_by().values("key").distinct().count()
    deleted = count + others - _count(where) if PastTrial.objects.filter(before).exists() else 0
    # Nobody would pick what was found to know the future: it counts as tried, and its ratio is no measure of luck.
    tried = Backtest.objects.filter(where).exclude(trial="")
    honest = tried.annotate(ahead=Coalesce(KT("checks__lookahead__state"), Value("", TextField()))).exclude(ahead="red")
    results = tried.exclude(run__search={}).exclude(trial__in=Trial.objects.filter(where).values("key"))
    ended = results.order_by().values("trial").distinct().count()
    parts = (*_of_sweeps(Trial.objects.filter(where)), *_of_backtests(honest))
    return Trials(max(1, count + others), parts, others, swept, ended, deleted, is_counting(project))


def _count(where: Q, before: Q | None = None) -> int:
    """Different trials of runs, and of what has been deleted."""
    tried = Backtest.objects.filter(where).exclude(trial="")
    keys = [Trial.objects.filter(where).order_by().values("key")]
    keys.append(Attempt.objects.filter(where).order_by().values("trial"))
    if before is not None:
        keys.append(PastTrial.objects.filter(before).order_by().values("trial"))
    return tried.order_by().values("trial").union(*keys).count()


def chosen_from(run: Run) -> int:
    """How many combinations the windows of a walk-forward chose from, each on earlier bars than those it traded: its
    result is not the best of them, and had all of them been tried before, it would still not be. Whatever else was
    tried, such as with other code or values beyond these, may have led to it.
    """
    tried = Trial.objects.filter(sweep__runs=run, sweep__about__bars__has_key="window")
    return tried.order_by().values("key").distinct().count()


def _of_sweeps(rows: QuerySet[Any]) -> Iterator[Part]:
    sweeps = Sweep.objects.filter(pk__in=rows.order_by().values("sweep"))
    about = dict(sweeps.order_by().values_list("pk", KT("about__bars")))
    for sweep, _, length, spread in _spreads(rows, "figures__sharpe", "sweep", "run", "length"):
        days = _days_of(about.get(sweep))
        a_year = 365.25 * (length + 0.5) * BLOCKS / ((days[1] - days[0]).days + 1) if days and length else None
        yield Part(spread, days, (length + 1) * BLOCKS if length else 0, a_year)


def _of_backtests(rows: QuerySet[Any]) -> Iterator[Part]:
    rows = rows.annotate(symbol=KT("instruments__0__symbol"), year=KT("metrics__periods_per_year"))
    by = ("trial", "strategy", "symbol", "start", "end", "year")
    for _, strategy, symbol, start, end, year, spread in _spreads(rows, "metrics__sharpe", *by):
        a_year = float(year) if year else None
        yield Part(spread._replace(number=1), (start.date(), end.date()), 0, a_year, strategy, symbol or "")


def _days_of(told: str | None) -> tuple[date, date] | None:
    """First and last day that a sweep chose on, as its box has told of its bars; of a window, those learnt from."""
    try:
        bars = json.loads(told or "")
        first, last = bars["train"] if "train" in bars else (bars["period"]["start"], bars["period"]["end"])
        days = date.fromisoformat(first[:10]), date.fromisoformat(last[:10])
    except (ValueError, TypeError, KeyError):
        return None
    return days if days[0] <= days[1] else None


def _symbol_of(backtest: Backtest) -> str:
    return next((str(each.get("symbol") or "") for each in backtest.instruments), "")


def _spreads(rows: QuerySet[Any], figure: str, *by: str) -> Iterator[tuple[Any, ...]]:
    """Rows of the values of `by`, and the spread of those that share them."""
    known = rows.order_by().annotate(told=Cast(KT(figure), FloatField())).filter(told__range=(-SANE, SANE))
    parts = known.values(*by).annotate(
        number=Count("pk"), mean=Avg("told"), variance=Variance("told", sample=True), low=Min("told"), high=Max("told")
    )
    for row in parts.values_list(*by, "number", "mean", "variance", "low", "high"):
        yield (*row[: len(by)], Spread(*row[len(by) :]))


def _variance(parts: Iterable[Spread]) -> float | None:
    parts = list(parts)
    number = sum(part.number for part in parts)
    if number < 2:
        return None
    mean = sum(part.number * part.mean for part in parts) / number
    squares = sum((part.variance or 0.0) * (part.number - 1) + part.number * (part.mean - mean) ** 2 for part in parts)
    found = [squares / (number - 1)]
    found += [part.variance for part in parts if part.variance is not None and part.number >= ENOUGH]
    if number >= ENOUGH:
        # Half of the range is what the best of so many is expected to stand above their mean.
        half = (max(part.high for part in parts) - min(part.low for part in parts)) / 2
        found.append((half / expected_maximum(number)) ** 2)
    return max(found) if all(map(math.isfinite, found)) else None


def _own_forks(project: Project) -> list[int]:
    """Projects of the same author that were forked from it, or from such forks."""
    if project.owner_id is None:
        return []
    found: list[int] = []
    level = [project.pk]
    for _ in range(MOST_ANCESTORS):
        forks = Project.objects.filter(owner=project.owner_id, forked_from__project__in=level)
        level = list(forks.exclude(pk__in=[project.pk, *found]).values_list("pk", flat=True))
        if not level:
            break
        found += level
    return found
