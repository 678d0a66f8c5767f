"""What nobody should overlook stands with a result wherever it is read: refused orders, and why there are no trades."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from qfp import backtests
from qfp.backtesting import Strategy

from runner.models import Backtest, Project
from runner.reports.records import _record
from tests.factories import make_finished_run, make_project, make_user
from tests.runner.reported import stored
from tests.runner.test_reports import as_text, body, written
from tests.sdk.conftest import STORE, data, starter  # noqa: F401

pytestmark = pytest.mark.django_db


class Asks(Strategy):
    """Orders `size` on the bar number `at`, where a limit is given at it."""

    at, size, limit, warm = 20, 10, None, 0

    def init(self) -> None:
        self.line = self.I(lambda close: np.where(np.arange(len(close)) < self.warm, np.nan, 1.0), self.data.Close)

    def next(self) -> None:
        if len(self.data) in (self.at, self.at + 1):
            self.buy(size=self.size, limit=self.limit)


@pytest.fixture(autouse=True)
def usual_store(settings):
    settings.STORE_DIR = STORE
    _record.cache_clear()


@pytest.fixture
def kept(data):  # noqa: F811
    """The row of a backtest of IBM over a hundred bars, as the site stores it."""
    project = make_project(make_user("ada"), visibility=Project.Visibility.PUBLIC)
    run = make_finished_run(project, manifest={"version": 1, "data": {"private": []}})
    bars = data.prices("IBM", "2009-01-02").iloc[:100]

    def keep(**options) -> Backtest:
        result = backtests.backtest(Asks, bars, **options)
        return stored(run, json.loads(json.dumps(result.claim, allow_nan=False)))

    return keep


def surfaces(client, backtest) -> dict[str, str]:
    where = backtest.get_absolute_url()
    texts = {
        "page": as_text(client.get(where).content.decode()),
        "html": as_text(client.get(f"{where}/report.html").content.decode()),
        "pdf": written(client.get(f"{where}/report.pdf").content),
        "api": " ".join(client.get(f"/api/v1/runs/{backtest.run_id}/backtests/{backtest.position}").json()["remarks"]),
    }
    return {name: " ".join(text.split()) for name, text in texts.items()}


def test_refused_orders_are_counted_with_their_reason_wherever_a_result_is_read(client, kept):
    backtest = kept(size=10_000)
    assert [order["outcome"] for order in backtest.orders] == ["refused", "refused"] and backtest.verified
    for name, text in surfaces(client, backtest).items():
        assert "2 orders were refused, the first decided on 2009-01-30: insufficient margin (2)." in text, name
    rows = list(csv.DictReader(io.StringIO(body(client.get(f"{backtest.get_absolute_url()}/orders.csv")).decode())))
    assert [(row["outcome"], row["reason"]) for row in rows] == [("refused", "insufficient margin")] * 2
    assert "were refused" not in " ".join(surfaces(client, kept(size=1)).values())


def test_four_runs_without_trades_give_four_reasons_wherever_they_are_read(client, kept):
    reasons = {
        "its next() never called buy() or sell()": {"at": 5_000},
        "no price reached": {"limit": 1.0},
        "Every order was refused: insufficient margin. One unit costs about": {"size": 10_000},
        "to warm up": {"warm": 5_000, "at": 5_000},
    }
    told = {reason: surfaces(client, kept(**options)) for reason, options in reasons.items()}
    for reason, texts in told.items():
        for name, text in texts.items():
            said = text.partition("The strategy made no trade. ")[2]
            assert reason.lower() in said[:300].lower(), (reason, name)
            assert not any(other.lower() in said[:300].lower() for other in reasons if other != reason), (reason, name)


def test_who_may_not_see_prices_is_told_of_refused_orders_and_not_of_what_a_unit_costs(client, kept):
    backtest = kept(size=10_000)
    backtest.run.manifest = {"data": {"private": ["tiingo/1d/VEND"]}}
    backtest.run.save()
    for name, text in surfaces(client, backtest).items():
        assert "2 orders were refused" in text and "One unit costs" not in text, name
    client.force_login(backtest.run.user)
    assert "One unit costs" in as_text(client.get(backtest.get_absolute_url()).content.decode())
