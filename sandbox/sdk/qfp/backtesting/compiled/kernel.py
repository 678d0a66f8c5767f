"""What does the account do on one bar, as machine code? The rules of qfp.backtesting.core, on columns of numbers.

This module, orders.py, fills.py and trades.py are written in the small typed part of Python that emission.py
translates: every value is a 64-bit int or float, a list is a column of them, `a.name` is a place in the one record that
the account is. They are not imported to be run. Function by function they do what core.py does, in the same order and
with the same operations, so that results are equal to the last bit; whoever changes one changes the other, and the
tests compare them.

Functions return an int; below 0 means: the interpreted account would raise here. Then the whole run is given up and
repeated by the interpreted tier, which raises what there is to raise. A price of 0.0 is none; orders and trades are
numbered rows, -1 is none.
"""

from __future__ import annotations

from qfp.backtesting.compiled.fills import fill_orders
from qfp.backtesting.compiled.language import absolute, called, column, must
from qfp.backtesting.compiled.orders import WAITS, close_trade
from qfp.backtesting.compiled.record import INFINITE, Account, add_stretch, equity_at, write_equity
from qfp.backtesting.compiled.trades import close_at


def process(a: Account) -> int:
    """1 when the account is ruined, 0 otherwise."""
    bar = a.bar
    changes = a.fills
    again = 1
    while again > 0:
        again = fill_orders(a)
    must(again >= 0)
    if a.fills != changes:
        must(add_stretch(a, bar) >= 0)
        watch_ruin(a)
    close = a.closes[bar]
    if close <= a.danger_below or close >= a.danger_above:
        return check_ruin(a)
    return 0


def check_ruin(a: Account) -> int:
    bar = a.bar
    close = a.closes[bar]
    if equity_at(a, close) > 0.0:
        return 0
    if a.all_trades_at_ruin:
        while a.open > 0:
            must(close_at(a, a.opened[0], close, bar) >= 0)
    else:
        at = 0
        while at < a.open:
            must(close_at(a, a.opened[at], close, bar) >= 0)
            at = at + 1
    a.ruined_at = bar
    a.cash = 0.0
    return 1


def close_all(a: Account) -> int:
    bar = a.bar
    while a.open > 0:
        must(close_at(a, a.opened[0], a.closes[bar], bar) >= 0)
    return add_stretch(a, bar)


def finish(a: Account) -> int:
    """What happens after the last bar, with finalize_trades."""
    if a.finalize and a.start < a.count:
        if a.last_orders_fill:
            at = a.open - 1
            while at >= 0:
                must(close_trade(a, a.opened[at], 1.0) >= 0)
                a.o_state[a.orders - 1] = WAITS  # the end of the run decided it
                at = at - 1
            must(process(a) >= 0)
        elif a.open > 0:
            must(close_all(a) >= 0)
    return 0


def watch_ruin(a: Account) -> int:
    rest = a.cash - a.cost
    total = 0.0
    for k in range(a.open):
        trade = a.opened[k]
        total = total + absolute(a.t_size[trade]) * a.t_price[trade]
    scale = 1e-9 * (absolute(a.cash) + total)
    a.danger_below = -INFINITE
    a.danger_above = INFINITE
    if a.units > 0.0:
        a.danger_below = (scale - rest) / a.units
    elif a.units < 0.0:
        a.danger_above = (scale - rest) / a.units
    elif rest <= scale:
        a.danger_below = INFINITE
    return 0


def many(
    a: Account,
    run: int,
    count: int,
    lines: list[int],
    width: int,
    params: list[float],
    numbers: int,
    starts: list[int],
    equity: list[float],
    trades: list[int],
    curves: int,
) -> int:
    """A run for each row of lines and params, by the function at `run`; -1 trades where one fails. curves: 0, or where
    equity by bar is written, a row for each.
    """
    for k in range(count):
        for j in range(width):
            a.lines[j] = lines[k * width + j]
        for j in range(numbers):
            a.params[j] = params[k * numbers + j]
        a.start = starts[k]
        trades[k] = -1
        if called(run, a) == 0:
            trades[k] = a.closed
            equity[k] = equity_at(a, a.closes[a.count - 1]) if a.ruined_at < 0 else 0.0
            if curves != 0:
                must(write_equity(a, 0, a.count, column(curves + k * a.count * 8)) >= 0)
    return 0
