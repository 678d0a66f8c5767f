"""Which trades are open, and what do opening and closing one book? As machine code.

Written in the same small part of Python as kernel.py, which says what holds for all of it, and translated together
with it.
"""

from __future__ import annotations

from qfp.backtesting.compiled.language import COMPENSATED, absolute, is_finite, must
from qfp.backtesting.compiled.orders import CANCELLED, EXACT, WAITS, came_to, set_stop_loss, set_take_profit, withdraw
from qfp.backtesting.compiled.record import Account, add_fill, commission, room_for_trade


def count_open(a: Account) -> int:
    units = 0.0
    cost = 0.0
    rest = 0.0
    for k in range(a.open):
        trade = a.opened[k]
        units = units + a.t_size[trade]
        term = a.t_size[trade] * a.t_price[trade]
        if COMPENSATED:
            total = cost + term
            if k > 0:
                rest = rest + ((cost - total) + term if absolute(cost) >= absolute(term) else (term - total) + cost)
            cost = total
        else:
            cost = cost + term
    if COMPENSATED and rest != 0.0 and is_finite(rest):
        cost = cost + rest
    a.units = units
    a.cost = cost
    must(absolute(units) < EXACT)
    return 0


def new_trade(a: Account, size: float, price: float, bar: int, tag: int) -> int:
    must(room_for_trade(a) >= 0)
    trade = a.trades
    a.t_bar[trade] = bar
    a.t_exit_bar[trade] = -1
    a.t_size[trade] = size
    a.t_price[trade] = price
    a.t_exit_price[trade] = 0.0
    a.t_commission[trade] = 0.0
    a.t_opened[trade] = size
    a.t_sl[trade] = -1
    a.t_tp[trade] = -1
    a.t_tag[trade] = tag
    a.t_order[trade] = -1
    a.trades = trade + 1
    a.opened[a.open] = trade
    a.open = a.open + 1
    return trade


def open_trade(a: Account, size: float, price: float, bar: int, sl: float, tp: float, tag: int) -> int:
    fee = commission(a, size, price)
    trade = new_trade(a, size, price, bar, tag)
    must(trade >= 0)
    must(count_open(a) >= 0)
    a.cash = a.cash - fee
    must(add_fill(a, trade) >= 0)
    if tp != 0.0:
        must(set_take_profit(a, trade, tp) >= 0)
    if sl != 0.0:
        must(set_stop_loss(a, trade, sl) >= 0)
    return trade


def reduce_trade(a: Account, trade: int, price: float, size: float, bar: int) -> int:
    left = a.t_size[trade] + size
    if left == 0.0:
        return close_at(a, trade, price, bar)
    part = new_trade(a, -size, a.t_price[trade], a.t_bar[trade], a.t_tag[trade])
    must(part >= 0)
    a.t_opened[part] = a.t_opened[trade]
    a.t_size[trade] = left
    if a.t_sl[trade] >= 0:
        a.o_size[a.t_sl[trade]] = -left
    if a.t_tp[trade] >= 0:
        a.o_size[a.t_tp[trade]] = -left
    return close_at(a, part, price, bar)


def close_at(a: Account, trade: int, price: float, bar: int) -> int:
    at = 0
    while a.opened[at] != trade:
        at = at + 1
    last = a.open - 1
    while at < last:
        a.opened[at] = a.opened[at + 1]
        at = at + 1
    a.open = last
    must(count_open(a) >= 0)
    if a.t_sl[trade] >= 0 and a.o_state[a.t_sl[trade]] & WAITS != 0:
        withdraw(a, a.t_sl[trade])
        came_to(a, a.t_sl[trade], CANCELLED)
    if a.t_tp[trade] >= 0 and a.o_state[a.t_tp[trade]] & WAITS != 0:
        withdraw(a, a.t_tp[trade])
        came_to(a, a.t_tp[trade], CANCELLED)
    size = a.t_size[trade]
    fee = commission(a, size, price)
    a.t_exit_price[trade] = price
    a.t_exit_bar[trade] = bar
    a.cash = a.cash + (size * (price - a.t_price[trade]) - fee)
    entry_fee = commission(a, size, a.t_price[trade])
    if size != a.t_opened[trade] and a.shared_entry_fee:
        share = size / a.t_opened[trade]
        entry_fee = entry_fee - a.fee_fixed + a.fee_fixed * share
    a.t_commission[trade] = fee + entry_fee
    a.closed_ids[a.closed] = trade
    a.closed = a.closed + 1
    return add_fill(a, -1 - trade)
