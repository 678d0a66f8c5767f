"""What does the account do on one bar, as machine code? The rules of qfp.backtesting.core, on columns of numbers.

This module is written in the small typed part of Python that qfp.backtesting.compiled.emission translates: every value
is a 64-bit int or float, a list is a column of them, `a.name` is a place in the one record that the account is. It is
not imported to be run. Function by function it does what core.py does, in the same order and with the same operations,
so that results are equal to the last bit; whoever changes one changes the other, and the tests compare them.

Functions return an int; below 0 means: the interpreted account would raise here. Then the whole run is given up and
repeated by the interpreted tier, which raises what there is to raise. A price of 0.0 is none; orders and trades are
numbered rows, -1 is none.
"""

from __future__ import annotations

from qfp.backtesting.compiled.language import (
    COMPENSATED,
    absolute,
    called,
    column,
    copysign,
    is_finite,
    must,
    resize,
    rint,
)
from qfp.backtesting.compiled.record import (
    INFINITE,
    Account,
    add_fill,
    add_stretch,
    commission,
    equity_at,
    floor_divide,
    is_contingent,
    margin_available,
    room_for_order,
    room_for_terms,
    room_for_trade,
    trade_sl,
    trade_tp,
    write_equity,
)

FILLED, CANCELLED, UNPAID, UNPAID_UNIT = 1, 2, 3, 4
# What the program has decided: an order, one for a trade that is closed, or that something was taken away.
DECIDED, NO_STOP, NO_TARGET, WITHDRAWN, LATE = 1, 2, 3, 4, 5
WAITS, KIND, OUTCOME = 1, 14, 4  # o_state: a bit, the bits of what was decided, how far up the outcome is
EXACT = 9007199254740992.0  # whole numbers are exact up to here


# Placing orders -----------------------------------------------------------------------------------------------------


def new_order(a: Account, size: float, limit: float, stop: float, sl: float, tp: float, tag: int, trade: int) -> int:
    must(room_for_order(a) >= 0)
    order = a.orders
    a.o_bar[order] = a.bar
    a.o_size[order] = size
    a.o_trade[order] = trade
    a.o_state[order] = WAITS
    a.o_terms[order] = -1
    if limit != 0.0 or stop != 0.0 or sl != 0.0 or tp != 0.0 or tag != 0:
        must(room_for_terms(a) >= 0)
        terms = a.terms
        a.o_terms[order] = terms
        a.m_first_size[terms] = size
        a.m_limit[terms] = limit
        a.m_stop[terms] = stop
        a.m_first_stop[terms] = stop
        a.m_sl[terms] = sl
        a.m_tp[terms] = tp
        a.m_tag[terms] = tag
        a.terms = terms + 1
    a.orders = order + 1
    return order


def decided(a: Account, order: int, kind: int) -> int:
    a.o_state[order] = a.o_state[order] | kind << 1
    return 0


def came_to(a: Account, order: int, outcome: int) -> int:
    a.o_state[order] = (a.o_state[order] & (WAITS | KIND)) | outcome << OUTCOME
    return 0


def wait_first(a: Account, order: int) -> int:
    at = a.waiting
    while at > 0:
        a.waits[at] = a.waits[at - 1]
        at = at - 1
    a.waits[0] = order
    a.waiting = a.waiting + 1
    return 0


def wait_last(a: Account, order: int) -> int:
    a.waits[a.waiting] = order
    a.waiting = a.waiting + 1
    return 0


def withdraw(a: Account, order: int) -> int:
    at = 0
    while a.waits[at] != order:
        at = at + 1
    last = a.waiting - 1
    while at < last:
        a.waits[at] = a.waits[at + 1]
        at = at + 1
    a.waiting = last
    a.o_state[order] = a.o_state[order] & -2  # it waits no longer
    return 0


def take_away(a: Account, kind: int, owner: int) -> int:
    """Write down that there is no such stop-loss, target or order any more. owner: an order, or less than 0."""
    if owner < 0:
        return 0
    row = new_order(a, 0.0, 0.0, 0.0, 0.0, 0.0, 0, -1)
    must(row >= 0)
    a.o_state[row] = kind << 1 | owner << OUTCOME
    return 0


def owner_of(a: Account, trade: int) -> int:
    """The order that opened a trade; less than 0 once it is closed, as what is asked of it leads to nothing."""
    return a.t_order[trade] if a.t_exit_bar[trade] < 0 else -1


def cancel(a: Account, order: int) -> int:
    kind = WITHDRAWN
    owner = order if a.o_state[order] & KIND != 0 else -1
    trade = a.o_trade[order]
    if trade >= 0 and is_contingent(a, order) != 0:
        kind = NO_STOP if order == a.t_sl[trade] else NO_TARGET
        owner = owner_of(a, trade)
    must(take_back(a, order) >= 0)
    return take_away(a, kind, owner)


def take_back(a: Account, order: int) -> int:
    must(a.o_state[order] & WAITS != 0)
    withdraw(a, order)
    came_to(a, order, CANCELLED)
    trade = a.o_trade[order]
    if trade >= 0:
        if order == a.t_sl[trade]:
            a.t_sl[trade] = -1
        elif order == a.t_tp[trade]:
            a.t_tp[trade] = -1
    return 0


def set_stop_loss(a: Account, trade: int, price: float) -> int:
    if a.t_sl[trade] >= 0:
        must(take_back(a, a.t_sl[trade]) >= 0)
    if price != 0.0:
        order = new_order(a, -a.t_size[trade], 0.0, price, 0.0, 0.0, a.t_tag[trade], trade)
        must(order >= 0)
        a.t_sl[trade] = order
        wait_first(a, order)
    return 0


def set_take_profit(a: Account, trade: int, price: float) -> int:
    if a.t_tp[trade] >= 0:
        must(take_back(a, a.t_tp[trade]) >= 0)
    if price != 0.0:
        order = new_order(a, -a.t_size[trade], price, 0.0, 0.0, 0.0, a.t_tag[trade], trade)
        must(order >= 0)
        a.t_tp[trade] = order
        wait_last(a, order)
    return 0


def decide_stop_loss(a: Account, trade: int, price: float) -> int:
    must(price == 0.0 or (price > 0.0 and is_finite(price)))
    before = a.t_sl[trade]
    must(set_stop_loss(a, trade, price) >= 0)
    if a.t_sl[trade] >= 0:
        decided(a, a.t_sl[trade], DECIDED if owner_of(a, trade) >= 0 else LATE)
    elif before >= 0:
        return take_away(a, NO_STOP, owner_of(a, trade))
    return 0


def decide_take_profit(a: Account, trade: int, price: float) -> int:
    must(price == 0.0 or (price > 0.0 and is_finite(price)))
    before = a.t_tp[trade]
    must(set_take_profit(a, trade, price) >= 0)
    if a.t_tp[trade] >= 0:
        decided(a, a.t_tp[trade], DECIDED if owner_of(a, trade) >= 0 else LATE)
    elif before >= 0:
        return take_away(a, NO_TARGET, owner_of(a, trade))
    return 0


def close_trade(a: Account, trade: int, portion: float) -> int:
    must(portion > 0.0 and portion <= 1.0)
    size = a.t_size[trade]
    units = rint(absolute(size) * portion)
    units = units if units > 1.0 else 1.0
    order = new_order(a, copysign(units, -size), 0.0, 0.0, 0.0, 0.0, a.t_tag[trade], trade)
    must(order >= 0)
    decided(a, order, DECIDED if owner_of(a, trade) >= 0 else LATE)
    wait_first(a, order)
    return 0


def close_position(a: Account, portion: float) -> int:
    for k in range(a.open):
        must(close_trade(a, a.opened[k], portion) >= 0)
    return 0


def place(a: Account, size: float, limit: float, stop: float, sl: float, tp: float, tag: int) -> int:
    must(limit == 0.0 or (limit > 0.0 and is_finite(limit)))
    must(stop == 0.0 or (stop > 0.0 and is_finite(stop)))
    must(sl == 0.0 or (sl > 0.0 and is_finite(sl)))
    must(tp == 0.0 or (tp > 0.0 and is_finite(tp)))
    entry = limit
    if entry == 0.0:
        entry = stop
    if entry == 0.0:
        entry = a.closes[a.bar] * (1.0 + copysign(a.spread, size))
    below = sl if size > 0.0 else tp
    above = tp if size > 0.0 else sl
    must(below == 0.0 or below < entry)
    must(above == 0.0 or entry < above)
    if a.exclusive_orders:
        if a.all_cancelled:
            count = a.waiting
            for k in range(count):
                a.walked[k] = a.waits[k]
            for k in range(count):
                if not is_contingent(a, a.walked[k]):
                    must(cancel(a, a.walked[k]) >= 0)
        else:
            at = 0
            while at < a.waiting:
                if not is_contingent(a, a.waits[at]):
                    must(cancel(a, a.waits[at]) >= 0)
                at = at + 1
        for k in range(a.open):
            must(close_trade(a, a.opened[k], 1.0) >= 0)
    order = new_order(a, size, limit, stop, sl, tp, tag, -1)
    must(order >= 0)
    decided(a, order, DECIDED)
    wait_last(a, order)
    a.placed = a.placed + 1
    return order


def buy(a: Account, size: float, limit: float, stop: float, sl: float, tp: float, tag: int) -> int:
    must((size > 0.0 and size < 1.0) or (size >= 1.0 and size < EXACT and rint(size) == size))
    return place(a, size, limit, stop, sl, tp, tag)


def sell(a: Account, size: float, limit: float, stop: float, sl: float, tp: float, tag: int) -> int:
    must((size > 0.0 and size < 1.0) or (size >= 1.0 and size < EXACT and rint(size) == size))
    return place(a, -size, limit, stop, sl, tp, tag)


# One bar ------------------------------------------------------------------------------------------------------------


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


def fill_orders(a: Account) -> int:
    """1 when the stops and targets it opened have to be looked at again, 0 otherwise."""
    bar = a.bar
    high = a.highs[bar]
    low = a.lows[bar]
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
            if (high < stop) if long else (low > stop):
                continue
            a.m_stop[terms] = 0.0
        if limit != 0.0:
            if (low > limit) if long else (high < limit):
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
                if market or target_only(size, sl, tp, stop, limit, high, low) != 0:
                    again = 1
                elif (sl != 0.0 and low <= sl and sl <= high) or (tp != 0.0 and low <= tp and tp <= high):
                    a.deferred = a.deferred + 1
    while entered > 0:
        entered = entered - 1
        acted = act_on_entry_bar(a, a.e_trade[entered], a.e_reference[entered], a.e_counts[entered], high, low)
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


# Many runs ----------------------------------------------------------------------------------------------------------


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
