"""Would the program decide the same if shares had split otherwise later? Prices that are adjusted for splits and
dividends are earlier ones times a factor, in which all later splits and dividends stand: a price of 2004 tells of the
split of 2005 by its level, and by its share of the price as it was traded.

So after a day that is drawn every series splits once more, each by another ratio, and nothing else changes. Adjusted
prices before it are others by that ratio, their returns and those that were traded are the same. Ratios are powers of
two, by which a computer multiplies without rounding: what does not hang on the level of prices stays the same to the
last digit.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from qfp import adjustment, objects
from qfp.checking.variations import PRICES
from rq.timeouts import JobTimeoutException

from marketdata.store import read_manifest
from runner.honesty.differences import numbered
from runner.honesty.examinable import NotComparable, NotEnded
from runner.honesty.other_levels import Side, first_otherwise
from runner.honesty.site_findings import splits, splits_unseen
from runner.honesty.varied_data import INVENTED_SHARES, Lent, with_panels
from runner.models import Backtest, Run
from runner.private import brought_series, personal_series
from sandbox.client import BoxRefused, EngineUnavailable

logger = logging.getLogger(__name__)

__all__ = ["on_other_splits", "split_snapshot", "unseen_on_other_splits"]

EARLIEST, LATEST = 0.6, 0.9  # of the bars, between which the day is drawn
LARGEST = 6  # ratio, as a power of two
OWN_COMMISSION = "its commission is a function of its own, which may be another one at other prices"
OTHERS_REFUSED = "the account could not pay for other orders than it could at these prices"


def on_other_splits(
    run: Run,
    backtests: Sequence[Backtest],
    claims_on: Callable[[str], list[Any]],
    chance: random.Random,
    all_shares: bool,
) -> dict[int, dict[str, Any]]:
    """What is said of each backtest that decides otherwise where only later splits are others, or of why that could not
    be seen, by position.

    claims_on: what the program claims on the data of a snapshot. all_shares: whether the invented ones split, too.
    """
    shown = [each for each in backtests if each.verified]
    if not shown or not _may_read_adjusted(run, backtests):
        return {}
    said = {each.position: splits_unseen(OWN_COMMISSION) for each in shown if _has_own_commission(each)}
    compared = [each for each in shown if each.position not in said]
    if not compared:
        return said
    best = max(compared, key=lambda each: each.equity[-1] / each.cash)
    bar = int(len(best.dates) * chance.uniform(EARLIEST, LATEST))
    moment = np.datetime64(best.dates[bar][:10], "us")
    leave = {*personal_series(run.snapshot), *brought_series(run.snapshot)}
    try:
        ended = True
        with split_snapshot(Path(settings.STORE_DIR), run.snapshot, moment, best.dates[0], leave, all_shares) as made:
            other, ratios = made
            try:
                found, unclear = _otherwise(backtests, compared, claims_on(other), moment, ratios)
            except NotEnded:
                ended, found, unclear = False, {each.position: None for each in compared}, set()
        if found and _otherwise(backtests, compared, claims_on(run.snapshot), moment, {})[0]:
            return said
    except NotComparable as reason:
        return said | {each.position: splits_unseen(str(reason)) for each in compared}
    except (BoxRefused, EngineUnavailable):
        return said | {each.position: splits_unseen("the sandbox could not be had") for each in compared}
    except JobTimeoutException:
        raise
    except Exception:  # what else was found stays
        logger.exception("run %s: it was not made again with other splits", run.pk)
        return said | {each.position: splits_unseen("a fault of ours") for each in compared}
    said |= {position: splits_unseen(OTHERS_REFUSED) for position in unclear}
    return said | {
        each.position: splits(each, found[each.position], ended) for each in compared if each.position in found
    }


def unseen_on_other_splits(run: Run, backtests: Sequence[Backtest], reason: str) -> dict[int, dict[str, Any]]:
    """What is said of each backtest, by position, whose run was not made again with other splits, and why."""
    if not _may_read_adjusted(run, backtests):
        return {}
    return {each.position: splits_unseen(reason) for each in backtests if each.verified}


def _has_own_commission(backtest: Backtest) -> bool:
    """Whether it is a function of the program, such as an amount for each share: at other prices than those that were
    traded it is another one, and with it what the account has.
    """
    adjusted = any(each.get("adjust") is not None for each in backtest.instruments)
    return adjusted and backtest.conventions.get("commission", 0.0) is None


def _refused(orders: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Those that the account could not pay, by their bar: what it can pay for follows from the level of prices."""
    return [(order["bar"], at) for at, order in enumerate(orders) if order.get("outcome") == "refused"]


def _first_other(ours: Sequence[tuple[int, int]], theirs: Sequence[tuple[int, int]]) -> int | None:
    """The bar of the first order that one of both could not pay and the other could."""
    return min({bar for bar, _ in {*ours} ^ {*theirs}}, default=None)


def _may_read_adjusted(run: Run, backtests: Sequence[Backtest]) -> bool:
    """Whether a series whose splits or dividends are known was traded, or is named in the text."""
    text = "\n".join(run.revision.files.values())
    traded = {instrument.get("series") for backtest in backtests for instrument in backtest.instruments}
    return any(
        entry["id"] in traded or entry["symbol"] in text
        for entry in read_manifest(Path(settings.STORE_DIR), run.snapshot)["series"]
        if entry.get("actions")
    )


def _otherwise(
    backtests: Sequence[Backtest],
    compared: Sequence[Backtest],
    claims: Sequence[Any],
    moment: np.datetime64,
    ratios: Mapping[str, float],
) -> tuple[dict[int, int | None], set[int]]:
    """By position the first bar before the moment that was decided otherwise, whatever the level of prices, None where
    it is another backtest altogether; and positions of those of which other orders could not be paid.
    """
    if len(claims) != len(backtests):
        return {backtest.position: None for backtest in compared}, set()
    found: dict[int, int | None] = {}
    unclear = set()
    for backtest in compared:
        claim = claims[list(backtests).index(backtest)]
        if claim["strategy"] != backtest.strategy or claim["dates"] != backtest.dates:
            found[backtest.position] = None
            continue
        orders, fills = (numbered(claim, backtest, rows) for rows in (claim.get("orders") or [], claim["fills"]))
        levels = _levels(backtest, ratios)
        until = int(np.searchsorted(np.array([date[:10] for date in backtest.dates]), str(moment)[:10])) - 1
        other = None if _are_one(levels) else _first_other(_refused(backtest.orders), _refused(orders))
        if other is not None:
            until = min(until, other - 1)
        bar = first_otherwise(
            Side(backtest.orders, backtest.fills, backtest.equity),
            Side(orders, fills, claim["equity"]),
            levels,
            until,
            whole=not backtest.conventions.get("fractional"),
            portfolio=str(backtest.conventions.get("id")).startswith("portfolio-"),
        )
        if bar is not None:
            found[backtest.position] = bar
        elif other is not None:
            unclear.add(backtest.position)
    return found, unclear


def _levels(backtest: Backtest, ratios: Mapping[str, float]) -> list[float]:
    """By instrument, what a price of ours is for 1 with those splits."""
    return [
        1.0 if each.get("adjust") is None else ratios.get(each.get("series") or "", 1.0)
        for each in backtest.instruments
    ]


def _are_one(levels: Sequence[float]) -> bool:
    """Whether it trades at the same prices, so that all has to be the same."""
    return all(level == 1.0 for level in levels)


@contextmanager
def split_snapshot(
    store: Path, snapshot: str, moment: np.datetime64, began: str, leave: set[str], all_shares: bool
) -> Iterator[tuple[str, dict[str, float]]]:
    """The id of a snapshot like this one whose series split once more on their first bar from the moment on, and the
    ratios by series. Of those whose factor on the day `began` is larger they are, too: whoever ranks shares by it finds
    another order.
    """
    manifest = read_manifest(store, snapshot, with_objects=True)
    with Lent(store) as lent:
        factors = {
            entry["id"]: _factor(store, entry, np.datetime64(began[:10], "us"))
            for entry in manifest["series"]
            if entry.get("actions")
            and entry["id"] not in leave
            and (all_shares or not entry["id"].startswith(INVENTED_SHARES))
        }
        least = min(factors.values(), default=1.0)
        ratios: dict[str, float] = {}
        series = []
        for entry in manifest["series"]:
            if entry["id"] in factors:
                ratio = 2.0 ** min(LARGEST, 1 + round(2 * math.log2(factors[entry["id"]] / least)))
                if (made := _split(store, entry, moment, ratio)) is not None:
                    ratios[entry["id"]] = ratio
                    entry = entry | {key: lent.put(content, entry[key]) for key, content in made.items()}
            series.append(entry)
        universes = [with_panels(universe, ratios) for universe in manifest.get("universes", [])]
        with lent.snapshot({**manifest, "series": series, "universes": universes}) as made_id:
            yield made_id, ratios


def _read(store: Path, entry: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Its columns and its actions, each with their dates."""
    return dict(objects.read(store, entry["object"])), dict(objects.read(store, entry["actions"]))


def _factor(store: Path, entry: Mapping[str, Any], day: np.datetime64) -> float:
    """What prices of that day are multiplied by in adjusted ones; 1 where that cannot be told."""
    columns, acted = _read(store, entry)
    if "close" not in columns:
        return 1.0
    count = len(columns["date"])
    by_bar = {"split": np.ones(count), "dividend": np.zeros(count)}
    at = np.searchsorted(columns["date"], acted["date"])
    for name, values in by_bar.items():
        known = (at < count) & np.isfinite(acted[name])
        values[at[known]] = acted[name][known]
    try:
        factors, _ = adjustment.factors(columns["close"], by_bar["split"], by_bar["dividend"])
    except ValueError:
        return 1.0
    return float(factors[min(int(np.searchsorted(columns["date"], day)), count - 1)])


def _split(store: Path, entry: Mapping[str, Any], moment: np.datetime64, ratio: float) -> dict[str, bytes] | None:
    """Its objects anew; None where it has no bar from the moment on, or none before it."""
    columns, acted = _read(store, entry)
    dates, days = columns.pop("date"), acted.pop("date")
    head = int(np.searchsorted(dates, moment))
    if not 0 < head < len(dates) or "close" not in columns:
        return None
    for name in (PRICES | {"volume"}) & columns.keys():
        changed = columns[name].astype(float)
        changed[head:] = changed[head:] * ratio if name == "volume" else changed[head:] / ratio
        columns[name] = changed
    later = days >= dates[head]
    acted["dividend"] = np.where(later, acted["dividend"] / ratio, acted["dividend"])
    at = int(np.searchsorted(days, dates[head]))
    if at < len(days) and days[at] == dates[head]:
        acted["split"] = acted["split"].copy()
        acted["split"][at] = np.nan_to_num(acted["split"][at], nan=1.0) * ratio
    else:
        days = np.insert(days, at, dates[head])
        acted = {name: np.insert(values, at, {"split": ratio}.get(name, 0.0)) for name, values in acted.items()}
    return {"object": objects.arrow_bytes(dates, columns), "actions": objects.arrow_bytes(days, acted)}
