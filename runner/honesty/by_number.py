"""Does a program look its orders up by the number of the bar? Where prices are others, whoever looks at prices decides
otherwise afterwards, and a table does not; nor does a rule of the calendar. Where bars begin some later, the rule gives
its orders on the same days, and the table on the same numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from django.conf import settings
from qfp import objects
from qfp.checking.amnesia import DROPPED, FEWEST_BARS, follows_numbers
from qfp.checking.decisions import of_claim
from rq.timeouts import JobTimeoutException

from marketdata.store import read_manifest
from runner.honesty.differences import numbered
from runner.honesty.examinable import NotComparable
from runner.honesty.site_findings import numbers, numbers_unseen
from runner.honesty.varied_data import INVENTED_SHARES, Lent, with_panels
from runner.models import Backtest, Run
from runner.private import brought_series, personal_series
from sandbox.client import BoxRefused, EngineUnavailable

logger = logging.getLogger(__name__)

__all__ = ["SameOrders", "later_snapshot", "on_later_bars"]

ALIKE = 0.95  # of the orders on other prices: who looks at them has fewer in common
LEAST = 3  # times that prices were others


class SameOrders:
    """How many orders of each backtest were the same on prices that were others by then."""

    def __init__(self) -> None:
        self._same: dict[int, list[bool]] = {}

    def note(self, backtests: Sequence[Backtest], claims: Sequence[Any], moment: np.datetime64) -> None:
        """claims: what was made where prices are others from the moment on, one for each of the backtests."""
        for backtest, claim in zip(backtests, claims, strict=True):
            after = int(np.searchsorted(_days(backtest.dates), moment.astype("datetime64[D]"), side="right"))
            ours, theirs = _placed(backtest, None, after), _placed(backtest, claim, after)
            if len({bar for bar, *_ in ours}) >= FEWEST_BARS:
                alike = len(ours & theirs) >= ALIKE * len(ours | theirs)
                self._same.setdefault(backtest.position, []).append(alike)

    def of(self, backtest: Backtest) -> bool:
        """Whether they were each time: its orders hang on no prices."""
        told = self._same.get(backtest.position, [])
        return len(told) >= LEAST and all(told)


def _days(dates: Sequence[str]) -> np.ndarray:
    return np.array([date[:10] for date in dates], dtype="datetime64[D]")


def _placed(backtest: Backtest, claim: Any, after: int) -> set[tuple[int, int, bool]]:
    """Bars, instruments and sides of its orders from a bar on."""
    orders = backtest.orders if claim is None else numbered(claim, backtest, claim.get("orders") or [])
    return {(each.bar, each.instrument, each.size > 0) for each in of_claim({"orders": orders}) if each.bar >= after}


def on_later_bars(
    run: Run,
    backtests: Sequence[Backtest],
    same: SameOrders,
    claims_on: Callable[[str], list[Any]],
    all_shares: bool,
) -> dict[int, dict[str, Any]]:
    """What is said of each backtest that gives its orders on the same numbers of bars, whatever prices do, by position.

    claims_on: what the program claims on the data of a snapshot. all_shares: whether invented ones begin later, too.
    """
    told = [each for each in backtests if each.verified and same.of(each) and len(each.dates) > 2 * DROPPED]
    if not told:
        return {}
    first = max(told, key=lambda each: each.equity[-1] / each.cash)
    leave = {*personal_series(run.snapshot), *brought_series(run.snapshot)}
    try:
        began = np.datetime64(first.dates[DROPPED].replace("Z", ""), "us")
        with later_snapshot(Path(settings.STORE_DIR), run.snapshot, began, leave, all_shares) as later:
            claims = claims_on(later)
        follows = {each.position: _follows(each, backtests, claims) for each in told}
        of_others = numbers_unseen("on bars that begin later it made other backtests")
        said = {None: of_others, True: numbers()}
        return {position: said[follows_them] for position, follows_them in follows.items() if follows_them in said}
    except JobTimeoutException:
        raise
    except NotComparable as reason:
        return {each.position: numbers_unseen(str(reason)) for each in told}
    except (BoxRefused, EngineUnavailable):
        return {each.position: numbers_unseen("the sandbox could not be had") for each in told}
    except Exception:  # what else was found stays
        logger.exception("run %s: it was not made again on later bars", run.pk)
        return {each.position: numbers_unseen("a fault of ours") for each in told}


def _follows(backtest: Backtest, backtests: Sequence[Backtest], claims: Sequence[Any]) -> bool | None:
    """None where there is no backtest of the same bars to compare with."""
    if len(claims) != len(backtests):
        return None
    claim = claims[list(backtests).index(backtest)]
    if claim["dates"] != backtest.dates[DROPPED:]:
        return None
    theirs = of_claim({"orders": numbered(claim, backtest, claim.get("orders") or [])})
    return follows_numbers(
        lambda *_: theirs, pd.DataFrame(index=range(len(backtest.dates))), of_claim({"orders": backtest.orders})
    )


@contextmanager
def later_snapshot(
    store: Path, snapshot: str, began: np.datetime64, leave: set[str], all_shares: bool
) -> Iterator[str]:
    """The id of a snapshot like this one without what was before a moment."""
    manifest = read_manifest(store, snapshot, with_objects=True)
    with Lent(store) as lent:
        series, others = [], set[str]()
        for entry in manifest["series"]:
            if entry["id"] not in leave and (all_shares or not entry["id"].startswith(INVENTED_SHARES)):
                columns = dict(objects.read(store, entry["object"]))
                dates = columns.pop("date", None)
                head = 0 if dates is None else int(np.searchsorted(dates, began))
                if dates is not None and 0 < head < len(dates):
                    content = objects.arrow_bytes(dates[head:], {name: each[head:] for name, each in columns.items()})
                    about = {"rows": len(dates) - head, "first": str(dates[head])[: len(entry.get("first") or "")]}
                    entry = entry | about | {"object": lent.put(content, entry["object"])}
                    if entry.get("actions"):
                        acted = dict(objects.read(store, entry["actions"]))
                        kept = acted["date"] >= dates[head]
                        content = objects.arrow_bytes(
                            acted.pop("date")[kept], {name: each[kept] for name, each in acted.items()}
                        )
                        entry = entry | {"actions": lent.put(content, entry["actions"])}
                    others.add(entry["id"])
            series.append(entry)
        universes = [with_panels(universe, others) for universe in manifest.get("universes", [])]
        with lent.snapshot({**manifest, "series": series, "universes": universes}) as later:
            yield later
