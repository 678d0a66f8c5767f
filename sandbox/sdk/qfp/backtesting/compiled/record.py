"""What is the account's record, and what can be read off it? Columns that grow, values, profits; as machine code.

Written in the same small part of Python as kernel.py, and translated together with it.
"""

from __future__ import annotations

from qfp.backtesting.compiled.language import (
    COMPENSATED,
    absolute,
    copysign,
    floor,
    fmod,
    fused,
    is_finite,
    resize,
    row,
    scaled8,
)

INFINITE = 1e999
SURE = 1125899906842624.0  # up to here the steps below, with their roundings, come to the exact quotient's whole part


class Account:
    """The record. The first block is set by the caller, the second grows, the rest is where the account stands.

    A row[...] is a place in every row of the table declared before it: what belongs together lies together, as a
    processor likes it. Memory that is touched for the first time takes longer than the work on it, so rows are short:
    what an order at the market has not is in a table of its own, the terms, where o_terms is -1 for none; whether an
    order waits, was decided by the strategy and what became of it is one number, o_state; and a fill is a trade's
    number where it opened it, or -1 less the number where it closed it: the trade knows the rest.
    """

    opens: list[float]
    highs: list[float]
    lows: list[float]
    closes: list[float]
    count: int
    start: int
    first_room: int
    first_cash: float
    spread: float
    leverage: float
    fee_fixed: float
    fee_share: float
    trade_on_close: int
    hedging: int
    exclusive_orders: int
    size_at_close: int
    entry_bar_stops: int
    last_orders_fill: int
    stops_at_open: int
    all_trades_at_ruin: int
    shared_entry_fee: int
    all_cancelled: int
    finalize: int
    lines: list[int]
    params: list[float]
    lowest: float
    highest: float
    steps: int
    step_rows: list[int]
    i_what: row[int]
    i_one: row[int]
    i_other: row[int]
    i_twin: row[int]
    i_loose: row[int]
    operands: int
    operand_rows: list[int]
    q_line: row[int]
    q_back: row[int]
    q_step: row[int]
    q_place: row[int]
    numbers: list[float]
    sifted: list[int]
    sieve_back: int
    sieve_begin: int
    block: int

    sifted_from: int
    fetched: int
    orders: int
    order_room: int
    order_rows: list[int]
    o_bar: row[int]
    o_size: row[float]
    o_trade: row[int]
    o_state: row[int]
    o_terms: row[int]
    terms: int
    terms_room: int
    terms_rows: list[int]
    m_first_size: row[float]
    m_limit: row[float]
    m_stop: row[float]
    m_first_stop: row[float]
    m_sl: row[float]
    m_tp: row[float]
    m_tag: row[int]
    waiting: int
    waits: list[int]
    walk: list[int]
    walked: list[int]
    e_trade: list[int]
    e_reference: list[float]
    e_counts: list[int]
    trades: int
    trade_room: int
    trade_rows: list[int]
    t_bar: row[int]
    t_exit_bar: row[int]
    t_size: row[float]
    t_price: row[float]
    t_exit_price: row[float]
    t_commission: row[float]
    t_opened: row[float]
    t_sl: row[int]
    t_tp: row[int]
    t_tag: row[int]
    t_order: row[int]
    open: int
    opened: list[int]
    seen: list[int]
    closed: int
    closed_ids: list[int]
    fills: int
    fill_room: int
    fill_of: list[int]
    stretches: int
    stretch_room: int
    stretch_rows: list[int]
    s_bar: row[int]
    s_cash: row[float]
    s_units: row[float]
    s_cost: row[float]
    refused: int
    refused_room: int
    refused_rows: list[int]
    r_bar: row[int]
    r_size: row[float]
    r_reason: row[int]

    cash: float
    units: float
    cost: float
    bar: int
    danger_below: float
    danger_above: float
    ruined_at: int
    placed: int
    deferred: int


# Room ---------------------------------------------------------------------------------------------------------------


def begin(a: Account) -> int:
    """As after Account.__init__(): nothing placed, the cash of the beginning. Columns keep their room."""
    a.orders = a.terms = a.waiting = a.trades = a.open = a.closed = a.fills = a.stretches = a.refused = 0
    a.cash = a.first_cash
    a.units = a.cost = 0.0
    a.danger_below = -INFINITE
    a.danger_above = INFINITE
    a.ruined_at = -1
    a.placed = a.deferred = 0
    a.bar = a.count - 1
    return add_stretch(a, 0)


def room_for_order(a: Account) -> int:
    if a.orders < a.order_room:
        return 0
    room = a.first_room if a.order_room == 0 else 2 * a.order_room
    a.order_rows = resize(a.order_rows, room)
    a.waits = resize(a.waits, room)
    a.walk = resize(a.walk, room)
    a.walked = resize(a.walked, room)
    a.e_trade = resize(a.e_trade, room)
    a.e_reference = resize(a.e_reference, room)
    a.e_counts = resize(a.e_counts, room)
    a.order_room = room
    return 0


def room_for_terms(a: Account) -> int:
    if a.terms < a.terms_room:
        return 0
    room = a.first_room if a.terms_room == 0 else 2 * a.terms_room
    a.terms_rows = resize(a.terms_rows, room)
    a.terms_room = room
    return 0


def room_for_trade(a: Account) -> int:
    if a.trades < a.trade_room:
        return 0
    room = a.first_room if a.trade_room == 0 else 2 * a.trade_room
    a.trade_rows = resize(a.trade_rows, room)
    a.opened = resize(a.opened, room)
    a.seen = resize(a.seen, room)
    a.closed_ids = resize(a.closed_ids, room)
    a.trade_room = room
    return 0


def add_fill(a: Account, fill: int) -> int:
    if a.fills == a.fill_room:
        room = a.first_room if a.fill_room == 0 else 2 * a.fill_room
        a.fill_of = resize(a.fill_of, room)
        a.fill_room = room
    a.fill_of[a.fills] = fill
    a.fills = a.fills + 1
    return 0


def add_stretch(a: Account, bar: int) -> int:
    at = a.stretches
    if at > 0 and a.s_bar[at - 1] == bar:
        at = at - 1
    elif at == a.stretch_room:
        room = a.first_room if at == 0 else 2 * at
        a.stretch_rows = resize(a.stretch_rows, room)
        a.stretch_room = room
    a.s_bar[at] = bar
    a.s_cash[at] = a.cash
    a.s_units[at] = a.units
    a.s_cost[at] = a.cost
    a.stretches = at + 1
    return 0


def stretch_of(a: Account, bar: int) -> int:
    """The stretch that a bar is in."""
    low = 0
    high = a.stretches
    while high - low > 1:
        middle = (low + high) >> 1
        if a.s_bar[middle] <= bar:
            low = middle
        else:
            high = middle
    return low


def write_equity(a: Account, begin: int, end: int, equity: list[float]) -> int:
    """The account's value at the closes from `begin` to before `end`, in the operations of Stretches.equity()."""
    closes = a.closes
    bar = begin
    k = stretch_of(a, begin)
    while bar < end:
        units = a.s_units[k]
        cost = a.s_cost[k]
        cash = a.s_cash[k]
        until = a.s_bar[k + 1] if k + 1 < a.stretches else end
        if until > end:
            until = end
        at = bar
        while at < until and at + 8 <= end:  # what it writes too far, the next stretch writes anew
            scaled8(closes, at, units, cost, cash, equity, at - begin)
            at = at + 8
        while at < until:
            equity[at - begin] = closes[at] * units - cost + cash
            at = at + 1
        bar = until
        k = k + 1
    if a.ruined_at >= 0:
        for at in range(a.ruined_at if a.ruined_at > begin else begin, end):
            equity[at - begin] = 0.0
    return 0


# What a strategy asks -----------------------------------------------------------------------------------------------


def equity_at(a: Account, price: float) -> float:
    return a.cash + (a.units * price - a.cost)


def margin_available(a: Account, price: float) -> float:
    used = 0.0
    rest = 0.0
    for k in range(a.open):
        term = absolute(a.t_size[a.opened[k]]) * price / a.leverage
        if COMPENSATED:
            total = used + term
            if k > 0:
                rest = rest + ((used - total) + term if absolute(used) >= absolute(term) else (term - total) + used)
            used = total
        else:
            used = used + term
    if COMPENSATED and rest != 0.0 and is_finite(rest):
        used = used + rest
    left = equity_at(a, price) - used
    return left if left > 0.0 else 0.0


def commission(a: Account, size: float, price: float) -> float:
    return a.fee_fixed + absolute(size) * price * a.fee_share


def position_pl(a: Account) -> float:
    return a.units * a.closes[a.bar] - a.cost


def position_pl_pct(a: Account) -> float:
    invested = 0.0
    rest = 0.0
    for k in range(a.open):
        trade = a.opened[k]
        term = absolute(a.t_size[trade]) * a.t_price[trade]
        if COMPENSATED:
            total = invested + term
            if k > 0:
                rest = rest + (
                    (invested - total) + term if absolute(invested) >= absolute(term) else (term - total) + invested
                )
            invested = total
        else:
            invested = invested + term
    if COMPENSATED and rest != 0.0 and is_finite(rest):
        invested = invested + rest
    return position_pl(a) / invested * 100.0 if invested != 0.0 else 0.0


def trade_last_price(a: Account, trade: int) -> float:
    return a.closes[a.bar] if a.t_exit_bar[trade] < 0 else a.t_exit_price[trade]


def trade_pl(a: Account, trade: int) -> float:
    return a.t_size[trade] * (trade_last_price(a, trade) - a.t_price[trade]) - a.t_commission[trade]


def trade_pl_pct(a: Account, trade: int) -> float:
    size = a.t_size[trade]
    entry = a.t_price[trade]
    gross = copysign(1.0, size) * (trade_last_price(a, trade) / entry - 1.0)
    return gross - a.t_commission[trade] / (absolute(size) * entry)


def trade_value(a: Account, trade: int) -> float:
    return absolute(a.t_size[trade]) * trade_last_price(a, trade)


def order_limit(a: Account, order: int) -> float:
    return 0.0 if a.o_terms[order] < 0 else a.m_limit[a.o_terms[order]]


def order_stop(a: Account, order: int) -> float:
    return 0.0 if a.o_terms[order] < 0 else a.m_stop[a.o_terms[order]]


def order_sl(a: Account, order: int) -> float:
    return 0.0 if a.o_terms[order] < 0 else a.m_sl[a.o_terms[order]]


def order_tp(a: Account, order: int) -> float:
    return 0.0 if a.o_terms[order] < 0 else a.m_tp[a.o_terms[order]]


def trade_sl(a: Account, trade: int) -> float:
    return 0.0 if a.t_sl[trade] < 0 else order_stop(a, a.t_sl[trade])


def trade_tp(a: Account, trade: int) -> float:
    return 0.0 if a.t_tp[trade] < 0 else order_limit(a, a.t_tp[trade])


def is_contingent(a: Account, order: int) -> int:
    trade = a.o_trade[order]
    if trade < 0:
        return 0
    return 1 if (order == a.t_sl[trade] or order == a.t_tp[trade]) else 0


# Stretches of a column  --------------------------------------------------------------------------------------------


def greatest(column: list[float], begin: int, end: int) -> float:
    """The greatest from `begin` to before `end`; NaN where one is."""
    best = column[begin]
    for at in range(begin, end):
        value = column[at]
        if value > best or value != value:
            best = value
        if best != best:
            return best
    return best


def smallest(column: list[float], begin: int, end: int) -> float:
    """The smallest from `begin` to before `end`; NaN where one is."""
    best = column[begin]
    for at in range(begin, end):
        value = column[at]
        if value < best or value != value:
            best = value
        if best != best:
            return best
    return best


# Python's arithmetic ------------------------------------------------------------------------------------------------


def floor_divide(left: float, right: float) -> float:
    """left // right as Python has it; right is not 0."""
    if left > 0.0 and right > 0.0:
        quotient = floor(left / right)  # as it is or, where rounding reached the next whole number, one more
        if quotient >= 1.0 and quotient < SURE:
            return quotient - 1.0 if fused(-quotient, right, left) < 0.0 else quotient
    rest = fmod(left, right)
    whole = (left - rest) / right
    if rest != 0.0 and (right < 0.0) != (rest < 0.0):
        whole = whole - 1.0
    if whole == 0.0:
        return copysign(0.0, left / right)
    down = floor(whole)
    return down + 1.0 if whole - down > 0.5 else down


def remainder(left: float, right: float) -> float:
    """left % right as Python has it; right is not 0."""
    rest = fmod(left, right)
    if rest != 0.0:
        return rest + right if (right < 0.0) != (rest < 0.0) else rest
    return copysign(0.0, right)
