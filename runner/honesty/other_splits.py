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
from qfp.checking.decisions import Decision, first_difference, of_claim
from qfp.checking.variations import PRICES
from rq.timeouts import JobTimeoutException

from marketdata.store import read_manifest
from runner.honesty.differences import numbered
from runner.honesty.examinable import NotComparable
from runner.honesty.site_findings import splits, splits_unseen
from runner.honesty.varied_data import INVENTED_SHARES, Lent, with_panels
from runner.models import Backtest, Run
from runner.private import brought_series, personal_series
from sandbox.client import BoxRefused, EngineUnavailable

logger = logging.getLogger(__name__)

__all__ = ["on_other_splits", "split_snapshot"]

EARLIEST, LATEST = 0.6, 0.9  # of the bars, between which the day is drawn
LARGEST = 6  # ratio, as a power of two
CENT = 0.01
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
        with split_snapshot(Path(settings.STORE_DIR), run.snapshot, moment, best.dates[0], leave, all_shares) as made:
            other, ratios = made
            found, unclear = _otherwise(backtests, compared, claims_on(other), moment, ratios)
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
    return said | {each.position: splits(each, found[each.position]) for each in compared if each.position in found}


def _has_own_commission(backtest: Backtest) -> bool:
    """Whether it is a function of the program, such as an amount for each share: it is another one at other prices, and
    with it what the account has.
    """
    return backtest.conventions.get("commission", 0.0) is None


def _refused(orders: Sequence[Mapping[str, Any]]) -> list[int]:
    """Those that the account could not pay: what it can pay for follows from the level of prices."""
    return [at for at, order in enumerate(orders) if order.get("outcome") == "refused"]


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
        orders = numbered(claim, backtest, claim.get("orders") or [])
        if _refused(orders) != _refused(backtest.orders):
            unclear.add(backtest.position)
            continue
        levels = [
            1.0 if each.get("adjust") is None else ratios.get(each.get("series") or "", 1.0)
            for each in backtest.instruments
        ]
        until = int(np.searchsorted(np.array([date[:10] for date in backtest.dates]), str(moment)[:10])) - 1
        ours = [_without_level(each, []) for each in of_claim({"orders": backtest.orders})]
        theirs = [_without_level(each, levels) for each in of_claim({"orders": orders})]
        cents = CENT * max([1.0, *levels])
        theirs[: len(ours)] = [_within(cents, one, other) for one, other in zip(ours, theirs, strict=False)]
        if (bar := first_difference(ours, theirs, until)) is not None:
            found[backtest.position] = bar
    return found, unclear


def _without_level(decision: Decision, levels: Sequence[float]) -> Decision:
    """With prices as they would be without those splits; of units only the side."""
    level = levels[decision.instrument] if decision.instrument < len(levels) else 1.0
    size = decision.size if abs(decision.size) < 1 else math.copysign(1.0, decision.size)
    return decision._replace(size=size, limit=decision.limit * level, stop=decision.stop * level)


def _within(amount: float, ours: Decision, theirs: Decision) -> Decision:
    """Theirs with our limit and stop where they lie so near: prices are often rounded before an order is given."""
    near = {
        name: own for name in ("limit", "stop") if abs((own := getattr(ours, name)) - getattr(theirs, name)) <= amount
    }
    return theirs._replace(**near)


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
