"""Which claims are backtests at all? Every field that comes out of a box is checked for type, range and size here.

What is read is built anew: no text, number or key of the claim is kept that was not looked at.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from qfp.conventions import COPIED_FILLS, FILLS, LIBRARIES, BacktestingPy, CopiedRules, PortfolioRules, Usual
from qfp.portfolio import orders as portfolio

MAX_BARS = 200_000
MAX_FILLS = 100_000
MAX_FLOWS = 50_000
MAX_ORDERS = 100_000
MAX_INSTRUMENTS = 1_000
MOST_UNITS = 1e15  # of coins of a millionth, too
ORDER_KINDS = ("market", "limit", "stop", "stop-limit", "target")
TAKEN_AWAY = ("sl", "tp", "order")
# Those that the library gives: others also see them of runs on private data, where no free text may be. The first two
# are of qfp.backtesting, which takes seconds to import.
REASONS = {
    "insufficient margin", "insufficient margin for a single unit", portfolio.NO_MONEY, portfolio.NO_SHORT,
    portfolio.TOO_MUCH, portfolio.TOO_SMALL, portfolio.NOT_WHOLE, portfolio.BAD_SIZE, portfolio.HALTED,
    portfolio.NO_PRICE, portfolio.ENDED,
}  # fmt: skip
OTHER_REASON = "other"
FLOW_KINDS = ("dividend", "split", "interest", "borrow", "delisting")
BREAKING = ("Cc", "Zl", "Zp")  # categories of characters: controls, and ends of lines and paragraphs
_HASH = re.compile(r"[0-9a-f]{64}")

Rules = BacktestingPy | PortfolioRules | CopiedRules
# No letters but these: the rules are shown to whoever may not see what the program prints.
_VERSION = re.compile(r"\d{1,3}(\.\d{1,3}){0,3}((a|b|rc|\.dev|\.post)\d{1,2})?", re.ASCII)


class TakenAway(NamedTuple):
    """On a bar, after so many orders: a trade's stop-loss ("sl") or target ("tp"), or an "order"; of which order."""

    bar: int
    before: int
    of: int
    what: str


class Log(NamedTuple):
    """owners: by order that is about a trade, the order that opened it; otherwise None. taken_away: oldest first."""

    owners: list[int | None]
    taken_away: list[TakenAway]


class ClaimRefused(Exception):
    """The claim is not a backtest; `reason` is a sentence for the user."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def number(value: Any, name: str, least: float = -1e15, most: float = 1e15) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ClaimRefused(f"{name} must be a number.")
    try:
        found = float(value)
    except OverflowError:
        raise ClaimRefused(f"{name} is out of range.") from None
    if not math.isfinite(found) or not least <= found <= most:
        raise ClaimRefused(f"{name} is out of range.")
    return found


def whole(value: Any, name: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ClaimRefused(f"{name} must be a whole number from {least} to {most}.")
    return value


def text(value: Any, name: str, longest: int = 200) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise ClaimRefused(f"{name} must be text of at most {longest} characters.")
    return value


def one_line(words: str) -> str:
    """Words of a program as they may stand within sentences of ours: nothing in them breaks a line, hides something or
    turns the way to read.
    """
    kinds = [(each, unicodedata.category(each)) for each in words]
    plain = "".join(" " if kind in BREAKING else each for each, kind in kinds if kind in BREAKING or kind[0] != "C")
    return " ".join(plain.split())


def name(value: Any, called: str, longest: int) -> str:
    """Text of one line; see one_line()."""
    return one_line(text(value, called, longest))


def items(value: Any, name: str, longest: int, shortest: int = 0) -> list[Any]:
    if not isinstance(value, list) or not shortest <= len(value) <= longest:
        raise ClaimRefused(f"{name} must be a list of {shortest} to {longest:,} items.")
    return value


def mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ClaimRefused(f"{name} must be an object.")
    return value


def small_json(value: Any, name: str, longest: int = 10_000) -> Any:
    """A value that is kept as it is, if it is small."""
    try:
        written = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ClaimRefused(f"{name} holds something that is not JSON.") from None
    if len(written) > longest:
        raise ClaimRefused(f"{name} is too long.")
    return value


def hash_or_none(value: Any, name: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ClaimRefused(f"{name} must be a SHA-256.")
    return value


def moments(values: Any) -> tuple[list[str], np.ndarray]:
    """The dates as UTC instants, strictly increasing, and written our way: no text of the claim is kept."""
    if isinstance(values, list) and not 2 <= len(values) <= MAX_BARS:
        raise ClaimRefused(f"A backtest that is kept has 2 to {MAX_BARS:,} bars; this one has {len(values):,}.")
    texts = [text(value, "A date", 40) for value in items(values, "The dates", MAX_BARS, 2)]
    try:
        stamps = np.array([datetime.fromisoformat(date).replace(tzinfo=None) for date in texts], dtype="datetime64[us]")
    except (ValueError, OverflowError):
        raise ClaimRefused("A date is not an ISO date.") from None
    if np.any(stamps < np.datetime64("1700-01-01")) or np.any(stamps > np.datetime64("2200-01-01")):
        raise ClaimRefused("A date lies outside 1700 to 2200.")
    if not np.all(np.diff(stamps) > np.timedelta64(0)):
        raise ClaimRefused("The dates must increase from bar to bar.")
    days_only = np.array_equal(stamps, stamps.astype("datetime64[D]"))
    return np.datetime_as_string(stamps, unit="D" if days_only else "s").tolist(), stamps


def fills(values: Any, bars: int, instruments: int, unit: float = 1.0) -> list[dict[str, float]]:
    """The fills, in the order of their bars; `instrument` is kept where there is more than one. unit: of which sizes
    are told.
    """
    most = MOST_UNITS / unit
    found = []
    for value in items(values, "The fills", MAX_FILLS):
        value = mapping(value, "A fill")
        fill = {
            "bar": whole(value.get("bar"), "A fill's bar", 0, bars - 1),
            "size": number(value.get("size"), "A fill's size", -most, most),
            "price": number(value.get("price"), "A fill's price", 0, 1e12),
            "commission": number(value.get("commission", 0), "A fill's commission", -1e12, 1e12),
        }
        at = whole(value.get("instrument", 0), "A fill's instrument", 0, instruments - 1)
        found.append(fill if instruments == 1 else {**fill, "instrument": at})
    if any(later["bar"] < earlier["bar"] for earlier, later in pairwise(found)):
        raise ClaimRefused("The fills must be in the order of their bars.")
    return found


def flows(values: Any, bars: int, instruments: int) -> list[dict[str, Any]]:
    """What was paid or changed without an order, in the order of the bars."""
    found = []
    for value in items(values, "The flows", MAX_FLOWS):
        value = mapping(value, "A flow")
        if value.get("kind") not in FLOW_KINDS:
            raise ClaimRefused(f"A flow's kind is one of {', '.join(FLOW_KINDS)}.")
        at = value.get("instrument")
        of_account = value["kind"] in ("interest", "borrow")
        flow: dict[str, Any] = {
            "bar": whole(value.get("bar"), "A flow's bar", 0, bars - 1),
            "instrument": None if of_account else whole(at, "A flow's instrument", 0, instruments - 1),
            "kind": value["kind"],
            "amount": number(value.get("amount"), "A flow's amount"),
        }
        wanted = {"split": ("ratio",), "delisting": ("units", "price")}.get(value["kind"], ())
        for name in wanted:
            least = -1e12 if name == "units" else 1e-12
            flow[name] = number(value.get(name), f"A flow's {name}", least, 1e12)
        found.append(flow)
    if any(later["bar"] < earlier["bar"] for earlier, later in pairwise(found)):
        raise ClaimRefused("The flows must be in the order of their bars.")
    return found


def orders(values: Any, bars: int, instruments: int, unit: float = 1.0) -> list[dict[str, Any]]:
    """What was decided, oldest first; only what is known here is kept of each. unit: of which sizes are told."""
    most = MOST_UNITS / unit
    found: list[dict[str, Any]] = []
    for value in items(values, "The orders", MAX_ORDERS):
        value = mapping(value, "An order")
        order: dict[str, Any] = {
            "bar": whole(value.get("bar"), "An order's bar", 0, bars - 1),
            "instrument": whole(value.get("instrument", 0), "An order's instrument", 0, instruments - 1),
            "size": number(value.get("size"), "An order's size", -most, most),
        }
        for name, known in (("kind", ORDER_KINDS), ("outcome", portfolio.OUTCOMES)):
            if value.get(name) not in known:
                raise ClaimRefused(f"An order's {name} is one of {', '.join(known)}.")
            order[name] = value[name]
        for name in ("limit", "stop", "sl", "tp"):
            if value.get(name) is not None:
                order[name] = number(value[name], f"An order's {name}", 0, 1e12)
        for name in ("closes", "together"):
            if value.get(name) is True:
                order[name] = True
        before = found[-1] if found else order
        if order.get("together") and not (
            found and order["kind"] == before["kind"] == "target" and order["bar"] == before["bar"]
        ):
            raise ClaimRefused("Targets that were decided together are of one bar.")
        if value.get("withdrawn") is not None:
            order["withdrawn"] = whole(value["withdrawn"], "The bar of a withdrawal", order["bar"], bars - 1)
        if value.get("reason") is not None:
            reason = text(value["reason"], "An order's reason")
            order["reason"] = reason if reason in REASONS else OTHER_REASON
        found.append(order)
    if any(later["bar"] < earlier["bar"] for earlier, later in pairwise(found)):
        raise ClaimRefused("The orders must be in the order of the bars that decided.")
    return found


def log(orders: Any, taken_away: Any, bars: int) -> Log | None:
    """How the orders hang together. Raises ClaimRefused. orders: those that orders() has read; None where a claim tells
    nothing of it, as those of other libraries.
    """
    if taken_away is None:
        return None
    owners: list[int | None] = []
    for at, order in enumerate(orders):
        owner = None
        if order.get("of") is not None:
            owner = whole(order["of"], "What an order is of", 0, at - 1)
            if order.get("closes") is not True or orders[owner].get("closes") is True:
                raise ClaimRefused("What an order is of has to be an order that opened a trade.")
        owners.append(owner)
    found = []
    for value in items(taken_away, "What was taken away", MAX_ORDERS):
        bar, before, owner, what = items(value, "What was taken away", 4, 4)
        before = whole(before, "The orders before", 1, len(orders))
        owner = whole(owner, "What is taken away", 0, before - 1)
        bar = whole(bar, "The bar on which something was taken away", orders[before - 1]["bar"], bars - 1)
        if before < len(orders) and bar > orders[before]["bar"]:
            raise ClaimRefused("What was taken away must be in the order of the bars that decided.")
        if what not in TAKEN_AWAY or (what != "order" and orders[owner].get("closes") is True):
            raise ClaimRefused(
                "What is taken away is an order, or the sl or tp of a trade, by the order that opened it."
            )
        found.append(TakenAway(bar, before, owner, what))
    if any((later.bar, later.before) < (earlier.bar, earlier.before) for earlier, later in pairwise(found)):
        raise ClaimRefused("What was taken away must be in the order of the bars that decided.")
    return Log(owners, found)


def instruments(value: Any, bars: int) -> list[dict[str, Any]]:
    """What was traded. first, last: the bars between which an instrument has its own, where there are several."""
    found = []
    for item in items(value, "instruments", MAX_INSTRUMENTS, 1):
        item = mapping(item, "An instrument")
        adjust = item.get("adjust")
        if adjust not in ("all", "split", None):
            raise ClaimRefused('adjust must be "all", "split" or nothing.')
        series = item.get("series")
        first = whole(item.get("first", 0), "first", 0, bars - 1)
        found.append(
            {
                "symbol": name(item.get("symbol"), "symbol", 60),
                "series": None if series is None else name(series, "series", 120),
                "object": hash_or_none(item.get("object"), "object"),
                "adjust": adjust,
                "first": first,
                "last": whole(item.get("last", bars - 1), "last", first, bars - 1),
            }
        )
    return found


def rules(value: Any) -> Rules:
    """The rules in numbers. Their sentences are written again from these: a box could say one thing and do another."""
    stated = mapping(value, "conventions")
    known = stated.get("id")
    if isinstance(known, str) and known.startswith("portfolio-"):
        return _portfolio_rules(stated)
    if stated.get("library") is not None:
        return _copied_rules(stated)
    version = stated.get("version")
    kinds = {kind.version: kind for kind in (BacktestingPy, Usual)}
    if known not in ("next-open", "same-close") or type(version) is not int or version not in kinds:
        raise ClaimRefused("The claim's conventions are not known here; update qfp.")
    flags = _flags(stated, "trade_on_close", "hedging", "exclusive_orders", "finalize_trades")
    if flags["trade_on_close"] != (known == "same-close"):
        raise ClaimRefused("The claim's conventions contradict each other.")
    return kinds[version](
        commission=_commission(stated.get("commission")),
        spread=number(stated.get("spread"), "spread", 0, 0.5),
        margin=number(stated.get("margin"), "margin", 1e-4, 1),
        **flags,
    )


def _portfolio_rules(stated: dict[str, Any]) -> PortfolioRules:
    fill = stated.get("fill")
    if stated["id"] != f"portfolio-{fill}" or fill not in FILLS or stated.get("version") != PortfolioRules.version:
        raise ClaimRefused("The claim's conventions are not known here; update qfp.")
    if stated.get("halted") not in ("wait", "refuse"):
        raise ClaimRefused("halted is wait or refuse.")
    return PortfolioRules(
        fill=fill,
        commission=_commission(stated.get("commission")),
        spread=number(stated.get("spread"), "spread", 0, 0.5),
        slippage=number(stated.get("slippage"), "slippage", 0, 0.5),
        leverage=number(stated.get("leverage"), "leverage", 1e-9, 100),
        borrow=number(stated.get("borrow"), "borrow", 0, 0.5),
        interest=number(stated.get("interest"), "interest", -0.5, 0.5),
        halted=stated["halted"],
        **_flags(stated, "fractional", "short"),
    )


def _copied_rules(stated: dict[str, Any]) -> CopiedRules:
    library, fill, release = (text(stated.get(name), name) for name in ("library", "fill", "library_version"))
    known = library in LIBRARIES and fill in COPIED_FILLS and stated.get("id") == f"{library}/{fill}"
    if not known or stated.get("version") != CopiedRules.version:
        raise ClaimRefused("The claim's conventions are not known here; update qfp.")
    if not _VERSION.fullmatch(release):
        raise ClaimRefused("library_version must be the number of a release.")
    share, unit, worse = stated.get("commission"), stated.get("per_unit"), stated.get("slippage")
    return CopiedRules(
        library=library,
        library_version=release,
        fill=fill,
        slippage=None if worse is None else number(worse, "slippage", 0, 0.5),
        slippage_fixed=number(stated.get("slippage_fixed"), "slippage_fixed", 0, 1e9),
        leverage=number(stated.get("leverage"), "leverage", 1e-9, 1e4),
        commission=None if share is None else number(share, "commission", -0.1, 0.1),
        per_unit=None if unit is None else number(unit, "per_unit", -1e6, 1e6),
        **_flags(stated, "at_close"),
    )


def _flags(stated: dict[str, Any], *names: str) -> dict[str, bool]:
    for name in names:
        if not isinstance(stated.get(name), bool):
            raise ClaimRefused(f"{name} must be true or false.")
    return {name: stated[name] for name in names}


def _commission(value: Any) -> float | tuple[float, float] | None:
    if isinstance(value, (list, tuple)):  # a stored one that was not read back yet has a pair
        if len(value) != 2:
            raise ClaimRefused("commission is a fraction, or a fixed amount and a fraction.")
        return number(value[0], "commission", 0, 1e9), number(value[1], "commission", -0.1, 0.1)
    return None if value is None else number(value, "commission", -0.1, 0.1)
