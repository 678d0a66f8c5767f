"""What did the tests of honesty find? Findings are read as hostile as any claim, and what can be computed here is.

The look-ahead and the amnesia test run the program, so they run in its box, and what they say is what the box says. The
band of conventions is arithmetic over our own bars, and is ours.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from qfp import metrics
from qfp.checking.band import band
from qfp.checking.literals import LONG
from qfp.checking.portfolio_band import portfolio_band
from qfp.checking.words import DOUBTS, QUOTES_NOTHING, amnesia_sentence, sentence
from qfp.conventions import CopiedRules, PortfolioRules
from qfp.figures import NOT_DEFINED, percent

from runner.claims import fields
from runner.claims.bars import PRICES, NotVerified, our_bars, our_market
from runner.claims.checks import columns_of
from runner.honesty import interest
from runner.models import Backtest

logger = logging.getLogger(__name__)

__all__ = ["band_of", "findings"]

LOOKAHEAD = {"clean": "green", "leak": "red"}
AMNESIA = {"clean": "green"}
WORDS = (
    "clean",
    "leak",
    "partly",
    "chosen",
    "files",
    "untested",
    "remembers",
    "dates",
    "boundary",
    "days",
    "names",
    "prices",
    "numbers",
    "table",
)
NOT_KEPT = "the reason is not kept: it could quote data, and this run could read data that one person alone may see"
MOST_COUNTED = 10**9
UNQUOTED = (
    "state",
    "what",
    "bar",
    "bars",
    "cuts",
    "tails",
    "orders",
    "programs",
    "line",
    "count",
    "named",
    "but_dates",
)


def findings(message: dict[str, Any], *, quoting: bool = True, written: int = 0, place: str = "") -> dict[str, Any]:
    """{"lookahead", "amnesia"}: each with state (green, amber, red), a sentence and the finding itself.

    quoting: False where the run could read data that not everybody may see: then no text of the program's is kept.
    written: how many numbers the site has counted in the text of its strategies, whatever the box says of them, and
      place: where most of them stand.
    """
    found: dict[str, Any] = {}
    for key, states, say in (("lookahead", LOOKAHEAD, sentence), ("amnesia", AMNESIA, amnesia_sentence)):
        told = _read(message.get(key))
        if not quoting:
            why = told.get("why")
            told = {name: value for name, value in told.items() if name in UNQUOTED}
            told = {name: value for name, value in told.items() if isinstance(value, int) or value in WORDS}
            if told.get("state") not in ("clean", "leak", "files", "remembers"):
                told["why"] = why if isinstance(why, str) and why in QUOTES_NOTHING else NOT_KEPT
        state = states.get(told.get("state", ""), "amber")
        if key == "amnesia" and told.get("state") == "remembers":
            state = "amber" if told.get("what") in DOUBTS else "red"
        found[key] = {"state": state, "sentence": say(told), "evidence": "box", "found": told}
    told = found["amnesia"]["found"]
    if told.get("what") == "table" and place:
        found["amnesia"]["sentence"] = amnesia_sentence(told | {"place": place})
    if written >= LONG and found["amnesia"]["state"] == "green":
        told = {"state": "remembers", "what": "table", "count": written, "place": place}
        found["amnesia"] = {"state": "amber", "sentence": amnesia_sentence(told), "evidence": "site", "found": told}
    elif told.get("state") == "untested":
        found["amnesia"]["no_table"] = written < LONG
    return found


def _read(told: Any) -> dict[str, Any]:
    """What a box has told: words as they may stand in a sentence of ours, and numbers that count something."""
    return {
        name: fields.one_line(value) if isinstance(value, str) else value
        for name, value in (told or {}).items()
        if isinstance(value, str) or (isinstance(value, int) and 0 <= value <= MOST_COUNTED)
    }


def band_of(backtest: Backtest) -> dict[str, Any]:
    """The same decisions under other fills and costs: state, a sentence, and 12 cells."""
    rules = fields.rules(backtest.conventions)
    if not backtest.verified:
        return {"state": "amber", "sentence": "Not computed: only verified backtests have it.", "cells": []}
    if isinstance(rules, CopiedRules) and (len(backtest.instruments) > 1 or not rules.movable):
        why = f"fills of {rules.library} are moved only where it fills one instrument at the open or the deciding close"
        return {"state": "amber", "sentence": f"Not computed: {why}.", "cells": []}
    stamps = np.array([date.replace("Z", "") for date in backtest.dates], dtype="datetime64[us]")
    store, year = Path(settings.STORE_DIR), metrics.periods_per_year(stamps)
    try:
        if isinstance(rules, PortfolioRules):
            market = our_market(store, backtest.snapshot, backtest.instruments, stamps)
            if not set(PRICES) <= set(market.fields):
                raise NotVerified("some of its series have closes only.")
            equity = np.array(backtest.equity, dtype=float)
            found = portfolio_band(columns_of(backtest.fills), market, backtest.cash, rules, equity, year)
        else:
            bars = our_bars(store, backtest.snapshot, backtest.instruments[0], stamps)
            found = band(backtest.fills, bars, backtest.cash, rules, year)
        cells = [cell.as_dict() for cell in found]
        of_cash = interest.finding(backtest)
    except NotVerified as doubt:
        return {"state": "amber", "sentence": f"Not computed: {doubt}", "cells": []}
    except Exception:
        logger.exception("backtest %s: its band could not be computed", backtest.pk)
        return {"state": "amber", "sentence": "Not computed, which is a fault of ours.", "cells": []}
    same_close = next(cell["fill"] for cell in cells if cell["base"]) == "same close"
    judged = _judged(cells, same_close, rules.has_costs)
    return {**(_together(judged, of_cash) if of_cash else judged), "cells": cells}


def _together(*found: dict[str, str]) -> dict[str, str]:
    """All that is said, with the state that praises least."""
    worst = max((each["state"] for each in found), key=("green", "grey", "amber", "red").index)
    return {"state": worst, "sentence": " ".join(each["sentence"] for each in found)}


def _judged(cells: list[dict[str, Any]], same_close: bool, has_costs: bool) -> dict[str, str]:
    """How much the result hangs on its conventions. Filling at the close that decides cannot be had, so it only counts
    where the result itself does it.
    """
    totals = {(cell["fill"], cell["costs"]): cell["total_return"] for cell in cells}
    base = next(cell["total_return"] for cell in cells if cell["base"])
    possible = [total for (fill, _), total in totals.items() if fill != "same close"]
    span = (
        f"Total return from {_percent(min(possible))} to {_percent(max(possible))} over other fills and costs, with "
        "the sizes of its orders kept"
    )
    double = totals["next open", 2]
    if base > 0 and same_close and totals["next open", 1] <= 0:
        return {"state": "red", "sentence": f"{span}: it is a loss at the next open, the first price that can be had."}
    if base > 0 and double <= 0:
        return {"state": "red", "sentence": f"{span}: it is a loss at twice the costs."}
    if base > 0 and min(possible) <= 0:
        return {"state": "amber", "sentence": f"{span}: some of them are a loss."}
    if same_close:
        return {"state": "amber", "sentence": f"{span}. It fills at the close that decides, which cannot be had."}
    if not has_costs:
        return {"state": "amber", "sentence": f"{span}. It pays no costs at all."}
    return {"state": "green", "sentence": f"{span}."}


def _percent(value: float | None) -> str:
    return NOT_DEFINED if value is None else percent(value)
