"""Which orders wait, and what has the program decided? Placing, moving and taking back, as machine code.

Written in the same small part of Python as kernel.py, which says what holds for all of it, and translated together
with it.
"""

from __future__ import annotations

from qfp.backtesting.compiled.language import absolute, copysign, is_finite, must, rint
from qfp.backtesting.compiled.record import Account, is_contingent, room_for_order, room_for_terms

FILLED, CANCELLED = 1, 2  # outcomes; fills.py has those of refused orders
# What the program has decided: an order, one for a trade that is closed, or that something was taken away.
DECIDED, NO_STOP, NO_TARGET, WITHDRAWN, LATE = 1, 2, 3, 4, 5
WAITS, KIND, OUTCOME = 1, 14, 4  # o_state: a bit, the bits of what was decided, how far up the outcome is
EXACT = 9007199254740992.0  # whole numbers are exact up to here


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
