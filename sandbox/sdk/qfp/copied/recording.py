"""What did another library's backtest do? Written down bar by bar, then handed over like a backtest of our own."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from qfp import channel, checking, metrics
from qfp.conventions import CopiedRules
from qfp.copied.recognising import Feed, about, days_of
from qfp.moments import dates_of
from qfp.replay import PortfolioReplay, replay_portfolio
from qfp.results import Result, digest, simple

__all__ = ["CopiedResult", "Fill", "Observed", "Order", "count", "is_room"]

MAX_FILLS_LISTED = MAX_ORDERS_LISTED = 100_000
MAX_REFUSED_LISTED = 200
MOST_COUNTED = 1_000  # of backtests for which there is no room


_made: dict[tuple[int, int], int] = {}  # backtests by process and cell of a session


def is_room() -> bool:
    """Whether the site takes one more backtest of this program; called once for each. Code that was written elsewhere
    may run thousands in a loop, and saying all about each of them would end it.
    """
    here = os.getpid(), checking.before
    _made[here] = _made.get(here, 0) + 1
    return _made[here] <= checking.MOST_BACKTESTS


def count(
    strategy: str, params: dict[str, Any], traded: list[tuple[str, Any]], index: Any, cash: float, rules: Any
) -> None:
    """Tell the site what was tried in a backtest for which there is no room; it counts, and nothing is shown of it.

    traded: name and closes of every instrument; other closes under the same name are another trial.
    """
    if not checking.active or _made[os.getpid(), checking.before] > checking.MOST_BACKTESTS + MOST_COUNTED:
        return
    dates = dates_of(index[[0, -1]])
    closes = [(name, np.ascontiguousarray(values, dtype=float).tobytes()) for name, values in traded]
    claim = {
        "strategy": strategy[:120],
        "params": {key: simple(value) for key, value in params.items()},
        "instruments": [{"symbol": f"{name[:40]} {hashlib.sha256(some).hexdigest()[:12]}"} for name, some in closes],
        "period": {"start": dates[0], "end": dates[-1]},
        "cash": cash,
        "conventions": rules.as_dict(),
    }
    channel.emit({"type": "backtest", "claim": claim, "number": None})


@dataclass
class Fill:
    """moment: of its bar. feed: number of the instrument. size: units, negative when sold."""

    moment: Any
    feed: int
    size: float
    price: float
    commission: float


@dataclass
class Order:
    """moment: of the bar that decided. kind, outcome: as in a claim."""

    moment: Any
    feed: int
    size: float
    kind: str = "market"
    limit: float | None = None
    stop: float | None = None
    outcome: str = "waiting"
    reason: str = ""

    def as_dict(self, bar: int) -> dict[str, Any]:
        said: dict[str, Any] = {"bar": bar, "instrument": self.feed, "size": self.size, "kind": self.kind}
        said |= {key: value for key in ("limit", "stop") if (value := getattr(self, key)) is not None}
        return said | {"outcome": self.outcome} | ({"reason": self.reason} if self.reason else {})


@dataclass
class Observed:
    """A backtest as a library has run it. equity: (moment, value) at every bar, oldest first."""

    strategy: str
    params: dict[str, Any]
    cash: float
    rules: CopiedRules
    feeds: list[Feed]
    equity: list[tuple[Any, float]]
    fills: list[Fill] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class CopiedResult(Result):
    """What came out of another library's backtest, in the form of our own.

    account: its fills replayed over its bars.
    """

    conventions: CopiedRules

    def __init__(self, observed: Observed) -> None:
        import pandas as pd

        self.strategy, self.conventions, self.params = observed.strategy, observed.rules, observed.params
        self._observed = observed
        moments = np.array([moment for moment, _ in observed.equity], dtype="datetime64[us]")
        feeds = [Feed(feed.name, days_of(feed.stamps), feed.prices) for feed in observed.feeds]
        # Where a library has a second look at a day, such as for feeds with other times of day, the last counts. A day
        # on which none of the instruments has a bar is not one of the backtest.
        days = _as_days(moments, observed.feeds, feeds)
        there = {stamp for feed in feeds for stamp in feed.stamps.astype("datetime64[us]").tolist()}
        counted_at = zip(days.tolist(), (value for _, value in observed.equity), strict=True)
        worth = {day: value for day, value in counted_at if day in there}
        self.stamps = np.array(sorted(worth), dtype="datetime64[us]")
        self.feeds, self._place = feeds, {stamp: at for at, stamp in enumerate(self.stamps.tolist())}
        self._days = dict(zip(moments.tolist(), days.tolist(), strict=True))
        self.fills = sorted(((self._bar(fill.moment), fill) for fill in observed.fills), key=lambda placed: placed[0])
        counted = np.array([worth[stamp] for stamp in self.stamps.tolist()], dtype=float)
        # A fill at a close that lies back is dated to it, and counts from there.
        dated_back = observed.rules.trade_on_close or observed.rules.at_close
        equity = self.account.equity if dated_back else counted
        index = pd.DatetimeIndex(self.stamps)
        if not (index == index.normalize()).all():  # bars within a day are at moments, not on days
            index = index.tz_localize("UTC")
        self.equity = pd.Series(equity, index=index, name="equity")

    def _bar(self, moment: Any) -> int:
        stamp = np.datetime64(moment, "us").item()
        known = self._place.get(self._days.get(stamp, stamp))
        if known is not None:
            return known
        at = int(np.searchsorted(self.stamps, np.datetime64(stamp, "us"), side="right")) - 1
        return max(0, at)

    @cached_property
    def _closes(self) -> np.ndarray:
        table = np.full((len(self.stamps), len(self.feeds)), np.nan)
        for number, feed in enumerate(self.feeds):
            at = np.searchsorted(self.stamps, feed.stamps)
            there = (at < len(self.stamps)) & (self.stamps[np.minimum(at, len(self.stamps) - 1)] == feed.stamps)
            table[at[there], number] = feed.prices["close"][there]
        return table

    @cached_property
    def account(self) -> PortfolioReplay:
        columns = [
            np.array([bar for bar, _ in self.fills], dtype=np.int64),
            np.array([fill.feed for _, fill in self.fills], dtype=np.int64),
            *(np.array([getattr(fill, name) for _, fill in self.fills], dtype=float) for name in _AMOUNTS),
        ]
        return replay_portfolio(columns, self._closes, self._observed.cash)

    @cached_property
    def metrics(self) -> dict[str, float]:  # type: ignore[override]
        account = self.account
        return metrics.summary(
            self.equity.to_numpy(),
            account.positions,
            account.traded_value,
            account.commissions,
            account.trades,
            metrics.periods_per_year(self.equity.index),
        )

    def notes(self) -> list[str]:
        """What should not be overlooked, a sentence each."""
        refused = sum(order.outcome == "refused" for order in self._observed.orders)
        said = list(self._observed.notes)
        if refused:
            orders = "1 order was" if refused == 1 else f"{refused} orders were"
            said.append(f"{orders} refused by {self._observed.rules.library}.")
        if not self._observed.fills:
            said.append("Nothing was traded." if self._observed.orders else "Nothing was ordered.")
        return said

    def hand_over(self) -> None:
        """Show and record it, once; the look-ahead test runs at the end of the program."""
        if not is_room():
            traded = [(feed.name, feed.prices["close"]) for feed in self.feeds]
            count(self.strategy, self.params, traded, self.equity.index, self._observed.cash, self.conventions)
            return
        looked_at = checking.begin(None) is not None
        self._announce()
        if looked_at:
            checking.look_at_copied(self.claim, self._observed.rules.library)

    @cached_property
    def claim(self) -> dict[str, Any]:  # type: ignore[override]
        rules, observed = self.conventions, self._observed
        dates = dates_of(self.equity.index)
        described = [about(feed) for feed in self.feeds]
        orders = [order.as_dict(self._bar(order.moment)) for order in observed.orders]
        orders.sort(key=lambda order: order["bar"])
        fills = [
            {"bar": bar, "instrument": fill.feed, **{name: float(getattr(fill, name)) for name in _AMOUNTS}}
            for bar, fill in self.fills
        ]
        refused = [{"bar": each["bar"], "reason": each["reason"]} for each in orders if each["outcome"] == "refused"]
        return {
            "version": 2,
            "engine": {"name": observed.rules.library, "version": observed.rules.library_version[:30]},
            "strategy": self.strategy[:120],
            "params": {key: simple(value) for key, value in self.params.items()},
            "instruments": [
                {
                    "symbol": found["symbol"],
                    **{key: found.get(key) for key in ("series", "object", "adjust")},
                    **self._span(feed),
                }
                for found, feed in zip(described, self.feeds, strict=True)
            ],
            "snapshot": next((found["snapshot"] for found in described if found.get("snapshot")), None),
            "period": {"start": dates[0], "end": dates[-1]},
            "cash": observed.cash,
            "conventions": rules.as_dict(),
            "dates": dates,
            "digest": digest(self._closes),
            "equity": self.equity.tolist(),
            "fills": fills[:MAX_FILLS_LISTED],
            "fill_count": len(fills),
            "flows": [],
            "orders": orders[:MAX_ORDERS_LISTED],
            "order_count": len(orders),
            "trades": [],
            "refused_orders": refused[:MAX_REFUSED_LISTED],
        }

    def _span(self, feed: Feed) -> dict[str, int]:
        inside = feed.stamps[(feed.stamps >= self.stamps[0]) & (feed.stamps <= self.stamps[-1])]
        if not len(inside):
            return {"first": 0, "last": len(self.stamps) - 1}
        first, last = np.searchsorted(self.stamps, inside[[0, -1]])
        return {"first": int(first), "last": int(min(last, len(self.stamps) - 1))}


_AMOUNTS = ("size", "price", "commission")


def _as_days(moments: np.ndarray, before: list[Feed], after: list[Feed]) -> np.ndarray:
    """The moments of a library's clock, moved as those of its bars were."""
    moved: dict[Any, Any] = {}
    for old, new in zip(before, after, strict=True):
        moved |= dict(zip(old.stamps.astype("datetime64[us]").tolist(), new.stamps.tolist(), strict=True))
    return np.array([moved.get(moment, moment) for moment in moments.tolist()], dtype="datetime64[us]")
