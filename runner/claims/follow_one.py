"""Do the fills follow from the log? What was placed, moved and taken away by bars leaves nothing open, so every order,
stop-loss and target is followed over our bars, and every fill has to be the one that comes next.

A level is reached or not, by our bars to the last digit: who places orders on levels that prices just meet would choose
otherwise, with what came after in sight. Only what the account can pay for is known to a billionth part.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from contextlib import suppress

from qfp.conventions import BacktestingPy, Usual

from runner.claims.bars import NotVerified, OurBars
from runner.claims.checks import PRICE_TOLERANCE
from runner.claims.commissions import Dues
from runner.claims.fields import Log, TakenAway
from runner.claims.funds import Funds
from runner.claims.orders import ROOM, peaks_of, reached
from runner.claims.waiting import UNIT_ROOM, Order, Told, Trade, Waiting

__all__ = ["UNLOGGED", "follow_one"]

MOST_LOOKS = 2_000_000  # at an order on a bar: a few seconds
SEARCH = 5  # looks that a search for the next bar counts as
SOON = 3  # bars on which a new level is looked at before the next one that may reach it is searched: most are moved
UNLOGGED = "What was refused or withdrawn, moved or dropped before it was reached, is the word of the library."
CAME = ("filled", "refused")  # of orders that were reached
NO_UNIT = "insufficient margin for a single unit"


def follow_one(
    fills: list[dict[str, float]],
    orders: list[Order],
    log: Log,
    bars: OurBars,
    cash: float,
    rules: BacktestingPy,
    window_bars: int | None,
) -> list[int]:
    """Raises NotVerified where another fill follows from the log than the one that is told, or none, or one is missing.
    Returns which orders were filled at prices outside their bars, as happens by the rules of backtesting.py alone.

    window_bars: of the windows of a walk-forward, at the end of each of which every trade is closed.
    """

    def followed(told: list[dict[str, float]], dues: Dues, largest: bool) -> _Followed:
        found = _Followed(told, orders, log, bars, cash, rules, window_bars, dues, largest)
        found.run()
        return found

    def outside(largest: bool) -> list[int]:
        # Where nothing was filled nobody knows what it would have been charged. Nobody gains by that: of a side on
        # which some were filled it is known, so all orders of the other are refused, or none is.
        charged = fills
        if fills and rules.commission is None and not isinstance(rules, Usual):
            # Its function is given the size of the trade that a fill closes, so what each has closed has to be known.
            charged = followed([{**fill} for fill in fills], Dues.widest(fills), largest).charged
        told = [{**fill} for fill in fills]  # a try that fails leaves no trace
        found = followed(told, Dues.of(charged, unseen=math.inf), largest)
        for fill, taken in zip(fills, told, strict=True):
            fill.update(taken)
        return found.outside

    try:
        return outside(largest=True)
    except NotVerified:
        if rules.commission is None:
            with suppress(NotVerified):
                return outside(largest=False)
        raise


class _Followed:
    """The account, bar by bar, as qfp.backtesting has it."""

    def __init__(
        self,
        fills: list[dict[str, float]],
        orders: list[Order],
        log: Log,
        bars: OurBars,
        cash: float,
        rules: BacktestingPy,
        window_bars: int | None,
        dues: Dues,
        largest: bool,
    ) -> None:
        self.largest = largest  # see _nearest()
        self.orders, self.log, self.bars, self.rules = orders, log, bars, rules
        self.usual = isinstance(rules, Usual)
        self.opens, self.highs, self.lows, self.closes = (
            column.tolist() for column in (bars.open, bars.high, bars.low, bars.close)
        )
        self.last = len(self.closes) - 1
        self.window_bars = window_bars
        self.told = Told.of(fills, len(self.closes))
        self.dues = dues
        self.trades: dict[int, Trade] = {}  # open ones, oldest first, by the row that opened them
        self.placed: dict[int, Waiting] = {}
        self.due: dict[int, list[Waiting]] = {}  # what is looked at on a bar
        self.created: list[Waiting] = []  # stops and targets, in this pass over the orders
        self.funds = Funds(cash, rules.margin)
        self.first_rank = self.last_rank = 0
        self.ruined = False
        self.looks = 0
        self.outside: list[int] = []  # rows of orders
        self.charged: list[dict[str, float]] = []  # fills, of which each size is that of the trade
        self._peaks = {rising: peaks_of(bars.high if rising else bars.low, rising) for rising in (True, False)}

    def run(self) -> None:
        late = 2 if self.rules.trade_on_close else 1
        row = taken = 0
        for bar in range(self.last + 1):
            if bar >= late:
                self.told.check_all_of(bar - late)
            if bar in self.due:
                self._process(bar, self.due.pop(bar))
            self._check_ruin(bar)
            if self.ruined:
                break
            row, taken = self._decide(bar, row, taken)
            ends = bar == self.last or (self.window_bars and (bar + 1) % self.window_bars == 0)
            if ends and self.rules.finalize_trades:
                self._end(bar)
        for bar in range(self.last + 1):
            self.told.check_all_of(bar)
        for waiting in self.placed.values():
            self._check_outcome(waiting)

    # What was decided

    def _decide(self, bar: int, row: int, taken: int) -> tuple[int, int]:
        """In the order in which it was told."""
        orders, taken_away = self.orders, self.log.taken_away
        while True:
            if taken < len(taken_away) and taken_away[taken].bar == bar and taken_away[taken].before <= row:
                self._take_away(taken_away[taken])
                taken += 1
            elif row < len(orders) and orders[row]["bar"] == bar:
                self._place(row, bar)
                row += 1
            else:
                return row, taken

    def _place(self, row: int, bar: int) -> None:
        order, owner = self.orders[row], self.log.owners[row]
        if not order.get("closes"):
            if order["size"]:
                self.placed[row] = self._wait(order, row, bar + 1)
            return
        if owner is None:
            if order["outcome"] == "filled":
                raise NotVerified(f"It does not say what the order of {order['size']:g} on bar {bar} has closed.")
            return  # its trade was closed before
        trade = self.trades.get(owner)
        if trade is None or (order["size"] > 0) == (trade.size > 0):
            raise NotVerified(f"An order of {order['size']:g} on bar {bar} is of a trade that it cannot close.")
        if order.get("stop"):
            self._drop(trade.sl)
            trade.sl = self._wait(order, row, bar + 1, trade, first=True)
        elif order.get("limit"):
            self._drop(trade.tp)
            trade.tp = self._wait(order, row, bar + 1, trade)
        else:
            self.placed[row] = self._wait(order, row, bar + 1, trade, first=True)

    def _take_away(self, taken: TakenAway) -> None:
        if taken.what == "order":
            waiting = self.placed.get(taken.of)
            if waiting is not None and not waiting.waits:
                raise NotVerified(f"An order was taken away on bar {taken.bar} that did not wait any more.")
            self._drop(waiting)
            return
        trade = self.trades.get(taken.of)
        waiting = None if trade is None else trade.sl if taken.what == "sl" else trade.tp
        if trade is None or waiting is None:
            raise NotVerified(f"On bar {taken.bar} a stop or target was taken away where there was none.")
        self._drop(waiting)
        if taken.what == "sl":
            trade.sl = None
        else:
            trade.tp = None

    @staticmethod
    def _drop(waiting: Waiting | None) -> None:
        if waiting is not None:
            waiting.waits = False

    def _wait(
        self, order: Order, row: int, bar: int | None, trade: Trade | None = None, first: bool = False
    ) -> Waiting:
        """Before all others, or behind them. bar: on which it is looked at first."""
        if first:
            self.first_rank -= 1
        else:
            self.last_rank += 1
        waiting = Waiting(order, row, self.first_rank if first else self.last_rank, trade, bar or 0)
        if bar is not None:
            self.due.setdefault(bar, []).append(waiting)
        return waiting

    @staticmethod
    def _check_outcome(waiting: Waiting) -> None:
        """Of an order that was never reached, or withdrawn before."""
        order = waiting.order
        if waiting.trade is None and not waiting.came and order["outcome"] in CAME:
            raise NotVerified(
                f"The order of {order['size']:g} decided on bar {order['bar']} was told as {order['outcome']}; by the "
                "stated rules it was not reached."
            )

    # One bar

    def _process(self, bar: int, looked: list[Waiting]) -> None:
        again = True
        while again:
            self.created = []
            looked = sorted((each for each in looked if each.waits), key=lambda each: each.rank)
            again = self._pass_over(bar, looked)
            looked += self.created
        for each in looked:
            if each.waits:
                following = None if bar == self.last else self._next_bar(each, bar + 1)
                self.due.setdefault(self.last + 1 if following is None else following, []).append(each)

    def _pass_over(self, bar: int, looked: Sequence[Waiting]) -> bool:
        """Whether, by the rules of backtesting.py, all are looked at again."""
        again = False
        entered: list[tuple[Trade, float, bool]] = []
        self.looks += len(looked)
        if self.looks > MOST_LOOKS:
            raise NotVerified("So many orders wait for so long that the site cannot follow them.")
        for each in looked:
            if not each.waits:
                continue
            place = self._place_of(each, bar)
            if place is None:
                continue
            price, at_close = place
            if each.trade is not None:
                self._exit(each, each.trade, price, bar - at_close)
                continue
            filled = self.told.next[bar]
            opened = self._enter(each, price, bar, at_close)
            if not self.usual and self.told.next[bar] > filled and not self._had(price, bar - at_close):
                self.outside.append(each.row)
            if opened is not None and (opened.sl or opened.tp):
                market = not (each.limit or each.stop)
                if self.usual:
                    # At a limit within the bar its target may have been passed before.
                    counts = not each.limit or price == self.opens[bar]
                    entered.append((opened, self.opens[bar] if market else price, counts))
                else:
                    again = again or market or self._target_only(each, bar)
        for opened, reference, counts in reversed(entered):
            self._act_on_entry_bar(opened, reference, counts, bar)
        return again

    def _had(self, price: float, bar: int) -> bool:
        """Whether a bar had a price, as far as its range is told."""
        room = PRICE_TOLERANCE * self.highs[bar]
        return self.lows[bar] - room <= price <= self.highs[bar] + room

    def _place_of(self, each: Waiting, bar: int) -> tuple[float, bool] | None:
        """The price at which it fills on a bar, and whether that is at the close before."""
        long, limit, stop, opened = each.size > 0, each.limit, each.stop, self.opens[bar]
        better, beyond = (min, max) if long else (max, min)
        if not limit and not stop:
            at_close = self.rules.trade_on_close
            return self.closes[bar - 1] if at_close else opened, at_close
        limited = not limit or self._reaches(limit, not long, bar)
        if not stop or each.touched:
            return (better(opened, limit), False) if limited else None
        if not self._reaches(stop, long, bar):
            return None
        if not limit:
            late = self.rules.trade_on_close and not self.usual and each.trade is None
            return beyond(self.closes[bar - 1] if late else opened, stop), False
        each.touched = True
        # A limit on the near side of the stop was passed before the stop was touched.
        if not limited or ((limit <= stop) if long else (limit >= stop)):
            return None
        return better(beyond(opened, stop) if self.usual else stop, limit), False

    def _exit(self, each: Waiting, trade: Trade, price: float, booked: int) -> None:
        each.waits = False
        if not trade.is_open:
            return
        bracket = each is trade.sl or each is trade.tp
        size = -trade.size if bracket else math.copysign(min(abs(trade.size), abs(each.size)), each.size)
        what = "stop" if each is trade.sl else "target"
        why = (
            f"The {what} of {each.stop or each.limit:g} of what was opened on bar {trade.bar} was reached first"
            if bracket
            else f"What was opened on bar {trade.bar} was to be closed"
        )
        self._reduce(trade, price, size, booked, why)

    def _enter(self, each: Waiting, price: float, bar: int, at_close: bool) -> Trade | None:
        """What it has opened."""
        rules, size, order = self.rules, each.size, each.order
        long, share, booked = size > 0, abs(size), bar - at_close
        paid = price * (1 + math.copysign(rules.spread, size))
        refused = order["outcome"] == "refused"
        if order["outcome"] not in CAME:
            raise NotVerified(
                f"The order of {size:g} decided on bar {order['bar']} was reached on bar {bar} while it waited; the "
                "run said that it did not fill."
            )
        each.waits = False
        each.came = True
        charged = rules.commission_for(size, price)
        # What a function of the program charges is not known, but for what it has charged elsewhere.
        dear = self.dues.at_most(share * price, long) if charged is None else charged
        least_charged = self.dues.at_least(share * price, long) if charged is None else charged
        unit, cheap = paid + dear / share, paid + least_charged / share
        mark = (self.closes[bar - 1] if at_close else self.opens[bar]) if self.usual else self.closes[bar]
        why = f"The order of {size:g} decided on bar {order['bar']} was reached"
        need = share
        if share < 1:
            likely = self.dues.likely(share * price, long) if charged is None else charged
            exact = self.funds.affordable(mark, paid + likely / share, share)[1]
            least, most = self.funds.affordable(mark, unit, share)[0], self.funds.affordable(mark, cheap, share)[2]
            if refused and order.get("reason") == NO_UNIT:
                if least >= 1:
                    raise self._payable(order)
                return None
            told = [units for units in self._told_units(long, price, paid, booked) if least <= units <= most]
            # Of one that is refused after it has closed something, what it was for is told by no fill.
            need = most if refused else self._nearest(told, exact)
            unit = cheap if refused else unit
        if not rules.hedging:
            need = self._net(need, long, price, booked, why)
        least, most = self.funds.affordable(mark, unit, 1.0)[0], self.funds.affordable(mark, cheap, 1.0)[2]
        if refused:
            if need < least:
                raise self._payable(order)
            return None
        if need and need > most * (1 + UNIT_ROOM):
            raise NotVerified(f"{why} on bar {bar}, and the account could not pay for {need:g} units.")
        if not need:
            return None
        need = need if long else -need
        fill = self.told.take(booked, need, paid, why)
        trade = Trade(each.row, need, fill["price"], booked)
        self.trades[each.row] = trade
        self.funds.cash -= fill["commission"]
        self.charged.append(fill)
        self.funds.change(need, fill["price"], abs(need))
        if order.get("tp"):
            trade.tp = self._bracket(trade, "limit", order["tp"])
        if order.get("sl"):
            trade.sl = self._bracket(trade, "stop", order["sl"])
        return trade

    def _bracket(self, trade: Trade, word: str, price: float) -> Waiting:
        found = self._wait({"size": -trade.size, word: price}, -1, None, trade, first=word == "stop")
        self.created.append(found)
        return found

    def _net(self, need: float, long: bool, price: float, booked: int, why: str) -> float:
        """What is left of an order after it has closed what is open on the other side."""
        closing, left = [], need
        for other in self.trades.values():
            if (other.size > 0) == long or not left:
                break  # all are on one side
            closing.append(other)
            left -= min(left, abs(other.size))
        for other in closing:
            part = min(need, abs(other.size))
            self._reduce(other, price, part if long else -part, booked, why)
            need -= part
        return need

    def _payable(self, order: Order) -> NotVerified:
        return NotVerified(
            f"An order of {order['size']:g} decided on bar {order['bar']} was told as refused, and the account could "
            "pay for it."
        )

    def _told_units(self, long: bool, price: float, paid: float, booked: int) -> set[float]:
        """How many units an order for a fraction may have filled by the next fills: what it closes, and with what it
        opens, unless that is of the order behind it, as the last of what is closed may be.
        """
        found: set[float] = set()
        units, ahead = 0.0, 0
        others = [] if self.rules.hedging else self.trades.values()
        for other in others:
            if (other.size > 0) == long:
                break
            fill = self.told.peek(booked, ahead)
            if fill is None or (fill["size"] > 0) != long or abs(fill["price"] - price) > ROOM * price:
                return found
            units, ahead = units + abs(fill["size"]), ahead + 1
            found.add(units)
            if abs(fill["size"]) < abs(other.size):
                return found
        fill = self.told.peek(booked, ahead)
        if fill is not None and (fill["size"] > 0) == long and abs(fill["price"] - paid) <= ROOM * paid:
            found.add(units + abs(fill["size"]))
        return found

    def _nearest(self, told: Collection[float], likely: float) -> float:
        """As many units as the fills may tell of, or those nearest to what a function of the program seems to charge:
        orders that fill alike on one bar leave that open.
        """
        if self.largest:
            return max(told, default=likely)
        return min(told, key=lambda units: abs(units - likely), default=likely)

    # The bar of the entry

    def _act_on_entry_bar(self, trade: Trade, reference: float, counts: bool, bar: int) -> None:
        """The stop first, which is worse for the trader. counts: whether its target does."""
        if not trade.is_open:
            return
        long, size = trade.size > 0, -trade.size
        for waiting, word, rising in ((trade.sl, "stop", not long), (trade.tp if counts else None, "target", long)):
            if waiting is None:
                continue
            level = waiting.stop or waiting.limit
            price = max(reference, level) if rising else min(reference, level)
            if self._reaches(level, rising, bar):
                why = f"The {word} of {level:g} of what was opened on bar {trade.bar} was reached first"
                self._reduce(trade, price, size, bar, why)
                return

    def _target_only(self, each: Waiting, bar: int) -> bool:
        """Whether a stop order opened a trade whose target, and not its stop, lies within the same bar."""
        stop_loss, target = each.order.get("sl"), each.order.get("tp")
        if not each.stop or each.limit or not target:
            return False
        long = each.size > 0
        return self._reaches(target, long, bar) and not (stop_loss and self._reaches(stop_loss, not long, bar))

    # What is open

    def _reduce(self, trade: Trade, price: float, size: float, bar: int, why: str) -> None:
        fill = self.told.take(bar, size, price, why)
        self.funds.cash += -size * (fill["price"] - trade.price) - fill["commission"]
        self.charged.append({**fill, "size": -size})
        trade.size += size
        if abs(trade.size) <= UNIT_ROOM:
            trade.size, trade.is_open = 0.0, False
            del self.trades[trade.row]
            self._drop(trade.sl)
            self._drop(trade.tp)
        self.funds.change(size, trade.price, -abs(size))
        if not self.trades:
            self.funds.close()

    def _check_ruin(self, bar: int) -> None:
        close = self.closes[bar]
        worth, room = self.funds.worth(close), self.funds.room(close)
        if worth > room:
            return
        oldest = next(iter(self.trades.values()), None)
        if worth >= -room and oldest is not None and not self.told.is_next(bar, -oldest.size, close):
            return
        self.ruined = True
        trades = list(self.trades.values())
        for trade in trades if self.usual else trades[::2]:  # every second one goes missing
            self._reduce(trade, close, -trade.size, bar, "Nothing was left of the account")

    def _end(self, bar: int) -> None:
        """Of the data, or of a window: what is open is closed."""
        if self.usual or self.window_bars:
            for trade in list(self.trades.values()):
                self._reduce(trade, self.closes[bar], -trade.size, bar, "What was open at the end was closed")
            self.due.clear()
            self.placed.clear()
            return
        looked = self.due.pop(bar + 1, [])
        for trade in reversed(self.trades.values()):
            looked.append(self._wait({"size": -trade.size}, -1, None, trade, first=True))
        self._process(bar, looked)
        self._check_ruin(bar)

    # Levels

    def _reaches(self, level: float, rising: bool, bar: int) -> bool:
        return self.highs[bar] >= level if rising else self.lows[bar] <= level

    def _next_bar(self, each: Waiting, start: int) -> int | None:
        """The next bar on which it may be reached."""
        if start < each.bar + SOON:
            return start
        long = each.size > 0
        level, rising = (each.stop, long) if each.stop and not each.touched else (each.limit, not long)
        if start <= self.last and self._reaches(level, rising, start):
            return start
        self.looks += SEARCH
        values = self.bars.high if rising else self.bars.low
        found = reached(values, level, rising, start, self._peaks[rising])
        return found[0] if found else None
