"""Who gives the same orders on other prices, and on the same numbers of bars where bars begin later, looks them up."""

from __future__ import annotations

import random

import numpy as np
import pytest
from qfp import objects
from qfp.checking.amnesia import DROPPED, FEWEST_BARS

from marketdata.store import read_manifest
from runner import claims_box
from runner.honesty.by_number import SameOrders, on_later_bars
from runner.honesty.examinable import NotEnded
from tests.factories import make_finished_run, make_project
from tests.runner.reported import STORE, claim_of, stored

pytestmark = pytest.mark.django_db


def orders_on(bars) -> list[dict]:
    return [{"bar": bar, "size": 0.5 if at % 2 else -0.5, "kind": "market"} for at, bar in enumerate(bars)]


@pytest.fixture
def claim(settings):
    settings.STORE_DIR = STORE
    return claim_of("IBM", 40, 20, bars=600)


@pytest.fixture
def backtest(claim):
    """Orders on 80 bars that nothing says."""
    run = make_finished_run(make_project(visibility="public"), snapshot=claim["snapshot"])
    backtest = stored(run, claim)
    backtest.orders = claim["orders"] = orders_on(sorted(random.Random(1).sample(range(10, 590), 80)))
    return backtest


def on_other_prices(backtest, claims) -> SameOrders:
    same = SameOrders()
    for claim in claims:
        same.note([backtest], [claim], np.datetime64(backtest.dates[100][:10], "us"))
    return same


@pytest.mark.parametrize(
    ("other", "shift", "found"),
    [
        (0, 0, True),
        (0, DROPPED, False),  # on the same days, as a rule of the calendar
        (1, 0, False),  # one in ten orders is another one on other prices
    ],
)
def test_orders_by_the_number_of_the_bar_are_a_doubt(backtest, claim, other, shift, found):
    changed = [{**each, "bar": each["bar"] + (other if at % 10 == 5 else 0)} for at, each in enumerate(claim["orders"])]
    same = on_other_prices(backtest, [claim | {"orders": changed}] * 3)
    made = []

    def claims_on(snapshot):
        (entry,) = (
            each
            for each in read_manifest(STORE, snapshot, with_objects=True)["series"]
            if each["id"] == claim["instruments"][0]["series"]
        )
        made.append(str(objects.read(STORE, entry["object"])["date"][0])[:10])
        acted = [str(date)[:10] for date in objects.read(STORE, entry["actions"])["date"]]
        assert acted and min(acted) >= made[0], "what came before is no part of such bars"
        orders = [{**each, "bar": each["bar"] - shift} for each in claim["orders"] if each["bar"] >= shift]
        return [claim | {"dates": backtest.dates[DROPPED:], "orders": orders}]

    told = on_later_bars(backtest.run, [backtest], same, claims_on, all_shares=False)
    assert (told != {}) is found and made == ([] if other else [backtest.dates[DROPPED][:10]])
    if found:
        backtest.checks = told[0] | {"amnesia": {"state": "green", "sentence": "It decides the same.", "found": {}}}
        line = next(line for line in claims_box.lines(backtest) if line["key"] == "amnesia")
        assert line["state"] == "amber" and "the same numbers of bars" in line["text"]


def test_who_gives_few_orders_or_was_seen_seldom_on_other_prices_is_not_doubted(backtest, claim):
    assert on_other_prices(backtest, [claim] * 3).of(backtest)
    assert not on_other_prices(backtest, [claim] * 2).of(backtest)
    turned = claim | {"orders": [{**each, "size": -each["size"]} for each in claim["orders"]]}
    assert not on_other_prices(backtest, [claim, claim, turned]).of(backtest)
    backtest.orders = orders_on(range(100, 101 + FEWEST_BARS))  # prices are others after bar 100
    for missing, found in ((100, True), (101, False)):
        without = claim | {"orders": [each for each in backtest.orders if each["bar"] != missing]}
        assert on_other_prices(backtest, [without] * 3).of(backtest) is found
    backtest.orders = backtest.orders[:-1]
    assert not on_other_prices(backtest, [claim | {"orders": backtest.orders}] * 3).of(backtest)
    backtest.orders = claim["orders"][-5:]
    assert not on_other_prices(backtest, [claim | {"orders": backtest.orders}] * 3).of(backtest)


@pytest.mark.parametrize("why", ["it does not end", "its bars begin elsewhere"])
def test_where_it_cannot_be_compared_the_line_says_so(backtest, claim, why):
    def claims_on(snapshot):
        if why == "it does not end":
            raise NotEnded("on other data the program ended with an error")
        return [claim | {"dates": backtest.dates[DROPPED + 1 :]}]

    told = on_later_bars(backtest.run, [backtest], on_other_prices(backtest, [claim] * 3), claims_on, all_shares=False)
    backtest.checks = told[0] | {"amnesia": {"state": "green", "sentence": "It decides the same.", "found": {}}}
    line = next(line for line in claims_box.lines(backtest) if line["key"] == "amnesia")
    assert line["state"] == "grey" and "by the number of the bar the site could not see" in line["text"]
