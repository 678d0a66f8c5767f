"""Would the program decide the same on other dates? A snapshot in which everything happens 28 years earlier or later,
after which weekdays, months and leap years fall alike: a rule decides the same, a memory of certain days does not.

A program that asks for days by name finds none there, and one that works out by how much the dates have moved knows its
days again. So the same decisions prove nothing, and others are a doubt.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from qfp import objects
from qfp.checking.amnesia import DAYS
from rq.timeouts import JobTimeoutException

from marketdata.store import read_manifest
from runner.honesty.examinable import NotComparable, NotEnded
from runner.honesty.package_tables import PackageTables
from runner.honesty.site_findings import dates, dates_failed, dates_unseen
from runner.honesty.varied_data import INVENTED_SHARES, Lent, with_panels
from runner.models import Backtest, Run
from runner.private import brought_series, personal_series
from runner.snapshot_series import by_id
from sandbox.client import BoxRefused, EngineUnavailable

logger = logging.getLogger(__name__)

__all__ = ["moved_snapshot", "on_other_dates", "unseen"]

WHOLE_DAYS = ("1d", "1w", "1mo", "3mo")  # within a day, clocks were changed on other days in other years
FIRST_BACK, LAST_ON = 1929, 2071  # years, as in qfp.checking.amnesia
# How programs read those of packages.
WITH_TABLES = re.compile(r"\bdatasets\b|\b(backtesting|plotly|express|px)(\.|\s+import\s+)(test|data)\b")

Decided = Callable[[str, Callable[[list[Any]], list[Any]]], dict[int, int]]


def on_other_dates(
    run: Run, backtests: Sequence[Backtest], decided_otherwise: Decided, all_shares: bool, tables: PackageTables
) -> dict[int, dict[str, Any]]:
    """What is said of each backtest where the same things happen on other dates, by position, or of why that could not
    be seen; nothing where the same dates, too, give other decisions.

    decided_otherwise: the first bars that were, on the data of a snapshot, with a function that gives claims the dates
    that there were. all_shares: whether the invented ones are moved, too. tables: of packages that it could read.
    """
    store = Path(settings.STORE_DIR)
    days = _days_between(store, run.snapshot, backtests)
    if not days:
        return unseen(backtests, "only bars of whole days, in years that a calendar is known for, can be moved")
    if _may_read_what_stays(run, tables):
        return unseen(backtests, "it may read days from files or tables whose dates stay")
    try:
        with moved_snapshot(store, run.snapshot, days, all_shares) as moved:
            try:
                found = decided_otherwise(moved, lambda claims: _on_their_dates(claims, backtests, days))
            except NotEnded:
                return {each.position: dates_failed() for each in backtests}
        if found and decided_otherwise(run.snapshot, list):
            return {}
    except NotComparable as reason:
        return unseen(backtests, str(reason))
    except (BoxRefused, EngineUnavailable):
        return unseen(backtests, "the sandbox could not be had")
    except JobTimeoutException:
        raise
    except Exception:  # what else was found stays
        logger.exception("run %s: it was not made again on other dates", run.pk)
        return unseen(backtests, "a fault of ours")
    return {each.position: dates(each, found.get(each.position)) for each in backtests}


def unseen(backtests: Sequence[Backtest], reason: str) -> dict[int, dict[str, Any]]:
    """What is said of each backtest, by position, where it could not be made again on other dates, and why."""
    return {each.position: dates_unseen(reason) for each in backtests}


def _may_read_what_stays(run: Run, tables: PackageTables) -> bool:
    """Whether it may look days up in something whose dates are not moved, such as a table of a package."""
    read, text = run.manifest.get("data", {}), "\n".join(run.revision.files.values())
    of_its_own = any(part == "layer" for part, _ in tables.tables)
    return bool(read.get("private") or read.get("brought") or of_its_own or WITH_TABLES.search(text))


def _days_between(store: Path, snapshot: str, backtests: Sequence[Backtest]) -> int:
    """By how many days the dates may be moved; 0 where they may not."""
    entries = by_id(store, snapshot)
    for instrument in (each for backtest in backtests for each in backtest.instruments):
        entry = entries.get(instrument.get("series") or "")
        if entry is None or entry["interval"] not in WHOLE_DAYS:
            return 0
    if min(int(backtest.dates[0][:4]) for backtest in backtests) >= FIRST_BACK:
        return -DAYS
    return DAYS if max(int(backtest.dates[-1][:4]) for backtest in backtests) <= LAST_ON else 0


@contextmanager
def moved_snapshot(store: Path, snapshot: str, days: int, all_shares: bool) -> Iterator[str]:
    """The id of a snapshot like this one whose dates are so many days later. What may be one person's alone, or came
    as a file, is not read: a box could be watched for it meanwhile.
    """
    leave = {*personal_series(snapshot), *brought_series(snapshot)}
    manifest = read_manifest(store, snapshot, with_objects=True)
    with Lent(store) as lent:
        series, others = [], set[str]()
        for entry in manifest["series"]:
            if entry["id"] in leave or (not all_shares and entry["id"].startswith(INVENTED_SHARES)):
                series.append(entry)
                continue
            held = {key: entry[key] for key in ("object", "actions") if entry.get(key)}
            moved = {key: lent.put(_moved(store, digest, days), digest) for key, digest in held.items()}
            others.add(entry["id"])
            about = {key: _day(entry[key], days) for key in ("first", "last") if entry.get(key)}
            series.append({**entry, **about, **moved})
        universes = []
        for universe in manifest.get("universes", []):
            members = [
                {**stay, **{key: _day(stay[key], days) for key in ("entered", "left") if stay[key]}}
                for stay in universe["members"]
            ]
            universes.append({**with_panels(universe, others), "members": members})
        with lent.snapshot({**manifest, "series": series, "universes": universes}) as moved_id:
            yield moved_id


def _moved(store: Path, digest: str, days: int) -> bytes:
    columns = dict(objects.read(store, digest))
    return objects.arrow_bytes(columns.pop("date") + np.timedelta64(days, "D"), columns)


def _day(text: str, days: int) -> str:
    """A day or a moment in ISO 8601, so many days later."""
    return f"{np.datetime64(text[:10]) + days}{text[10:]}"


def _on_their_dates(claims: Sequence[Any], backtests: Sequence[Backtest], days: int) -> list[Any]:
    """The claims of a run on moved dates with those that there were. Raises NotComparable where it traded others."""
    if len(claims) != len(backtests):
        raise NotComparable("on other dates it makes other backtests")
    found = []
    for claim, backtest in zip(claims, backtests, strict=True):
        if [str(date)[:10] for date in claim["dates"]] != [_day(date, days)[:10] for date in backtest.dates]:
            raise NotComparable("on other dates it trades other days")
        found.append({**claim, "dates": backtest.dates})
    return found
