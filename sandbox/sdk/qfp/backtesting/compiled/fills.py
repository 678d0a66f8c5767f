"""Which orders fill on one bar, at which price, and which are refused? As machine code.

Written in the same small part of Python as kernel.py, which says what holds for all of it, and translated together
with it.
"""

from __future__ import annotations

from qfp.backtesting.compiled.language import absolute, copysign, must, resize
from qfp.backtesting.compiled.orders import CANCELLED, EXACT, FILLED, WAITS, came_to, withdraw
from qfp.backtesting.compiled.record import (
    INFINITE,
    Account,
    commission,
    floor_divide,
    is_contingent,
    margin_available,
    trade_sl,
    trade_tp,
)
from qfp.backtesting.compiled.trades import close_at, open_trade, reduce_trade

UNPAID, UNPAID_UNIT = 3, 4  # outcomes of refused orders


def fill_orders(a: Account) -> int:
    """1 when the stops and targets it opened have to be looked at again, 0 otherwise."""
    bar = a.bar
    again = 0
    entered = 0
    count = a.waiting
    for k in range(count):
        a.walk[k] = a.waits[k]
    for k in range(count):
        order = a.walk[k]
        if a.o_state[order] & WAITS == 0:
            continue
        size = a.o_size[order]
        terms = a.o_terms[order]
        stop = 0.0
        limit = 0.0
        if terms >= 0:
            stop = a.m_stop[terms]
            limit = a.m_limit[terms]
        trade = a.o_trade[order]
        long = size > 0.0
        at_close = False
        price = 0.0
        if stop != 0.0:
            if (a.highs[bar] < stop) if long else (a.lows[bar] > stop):
                continue
            a.m_stop[terms] = 0.0
        if limit != 0.0:
            if (a.lows[bar] > limit) if long else (a.highs[bar] < limit):
                continue
            if stop != 0.0 and ((limit <= stop) if long else (limit >= stop)):
                continue
            reference = a.opens[bar]
            if stop != 0.0:
                beyond = reference > stop if long else reference < stop
                if not (beyond and a.stops_at_open != 0):
                    reference = stop
            if long:
                price = limit if limit < reference else reference
            else:
                price = limit if limit > reference else reference
        else:
            at_close = a.trade_on_close != 0 and is_contingent(a, order) == 0
            if at_close and not (stop != 0.0 and a.stops_at_open != 0):
                price = a.closes[bar - 1]
            else:
                price = a.opens[bar]
            if stop != 0.0:
                if long:
                    price = stop if stop > price else price
                else:
                    price = stop if stop < price else price
                at_close = False
        market = limit == 0.0 and stop == 0.0
        booked = bar - 1 if at_close else bar

        if trade >= 0:
            must(fill_exit(a, order, trade, price, booked, stop) >= 0)
            continue

        paid = price * (1.0 + copysign(a.spread, size))
        paid_with_fee = paid + commission(a, size, price) / absolute(size)
        mark = a.closes[bar]
        if a.size_at_close == 0:
            mark = a.closes[bar - 1] if at_close else a.opens[bar]
        need = size
        if size > -1.0 and size < 1.0:
            must(paid_with_fee != 0.0)
            units = floor_divide(margin_available(a, mark) * a.leverage * absolute(size), paid_with_fee)
            must(absolute(units) < EXACT)
            if units == 0.0:
                must(refuse(a, order, UNPAID_UNIT) >= 0)
                continue
            need = units if long else -units

        if a.hedging == 0:
            there = a.open
            for j in range(there):
                a.seen[j] = a.opened[j]
            for j in range(there):
                other = a.seen[j]
                if (a.t_size[other] > 0.0) == long:
                    continue
                if absolute(need) >= absolute(a.t_size[other]):
                    need = need + a.t_size[other]
                    must(close_at(a, other, price, booked) >= 0)
                else:
                    must(reduce_trade(a, other, price, need, booked) >= 0)
                    need = 0.0
                if need == 0.0:
                    break

        if need != 0.0 and absolute(need) * paid_with_fee > margin_available(a, mark) * a.leverage:
            must(refuse(a, order, UNPAID) >= 0)
            continue
        withdraw(a, order)
        came_to(a, order, FILLED)
        if need != 0.0:
            sl = 0.0
            tp = 0.0
            tag = 0
            if terms >= 0:
                sl = a.m_sl[terms]
                tp = a.m_tp[terms]
                tag = a.m_tag[terms]
            entry = open_trade(a, need, paid, booked, sl, tp, tag)
            must(entry >= 0)
            a.t_order[entry] = order
            brackets = sl != 0.0 or tp != 0.0
            if brackets and a.entry_bar_stops != 0:
                counts = 1 if market or price == a.opens[bar] or (stop != 0.0 and limit == 0.0) else 0
                a.e_trade[entered] = entry
                a.e_reference[entered] = a.opens[bar] if market else price
                a.e_counts[entered] = counts
                entered = entered + 1
            elif brackets:
                high = a.highs[bar]
                low = a.lows[bar]
                if market or target_only(size, sl, tp, stop, limit, high, low) != 0:
                    again = 1
                elif (sl != 0.0 and low <= sl and sl <= high) or (tp != 0.0 and low <= tp and tp <= high):
                    a.deferred = a.deferred + 1
    while entered > 0:
        entered = entered - 1
        trade = a.e_trade[entered]
        acted = act_on_entry_bar(a, trade, a.e_reference[entered], a.e_counts[entered], a.highs[bar], a.lows[bar])
        must(acted >= 0)
    return again


def act_on_entry_bar(a: Account, trade: int, reference: float, counts: int, high: float, low: float) -> int:
    stop = trade_sl(a, trade)
    target = trade_tp(a, trade)
    long = a.t_size[trade] > 0.0
    if a.t_exit_bar[trade] >= 0:
        return 0
    if stop != 0.0 and (low <= stop if long else high >= stop):
        price = reference
        if long:
            price = stop if stop < reference else reference
        else:
            price = stop if stop > reference else reference
        must(close_at(a, trade, price, a.bar) >= 0)
    elif target != 0.0 and (high >= target if long else low <= target):
        if counts != 0:
            price = reference
            if long:
                price = target if target > reference else reference
            else:
                price = target if target < reference else reference
            must(close_at(a, trade, price, a.bar) >= 0)
        else:
            a.deferred = a.deferred + 1
    return 0


def target_only(size: float, sl: float, tp: float, stop: float, limit: float, high: float, low: float) -> int:
    if stop == 0.0 or limit != 0.0 or tp == 0.0:
        return 0
    if size > 0.0:
        return 1 if tp <= high and (sl if sl != 0.0 else -INFINITE) < low else 0
    return 1 if tp >= low and (sl if sl != 0.0 else INFINITE) > high else 0


def fill_exit(a: Account, order: int, trade: int, price: float, bar: int, stop: float) -> int:
    before = absolute(a.t_size[trade])
    asked = absolute(a.o_size[order])
    size = copysign(asked if asked < before else before, a.o_size[order])
    outcome = CANCELLED
    if a.t_exit_bar[trade] < 0:
        sl_order = a.t_sl[trade]
        outcome = FILLED
        must(reduce_trade(a, trade, price, size, bar) >= 0)
        if order == sl_order:
            a.m_stop[a.o_terms[sl_order]] = stop
    came_to(a, order, outcome)
    if a.o_state[order] & WAITS != 0:
        withdraw(a, order)
    return 0


def refuse(a: Account, order: int, reason: int) -> int:
    at = a.refused
    if at == a.refused_room:
        room = 64 if at == 0 else 2 * at
        a.refused_rows = resize(a.refused_rows, room)
        a.refused_room = room
    a.r_bar[at] = a.bar
    a.r_size[at] = a.o_size[order]
    a.r_reason[at] = reason
    a.refused = at + 1
    came_to(a, order, reason)
    withdraw(a, order)
    return 0
