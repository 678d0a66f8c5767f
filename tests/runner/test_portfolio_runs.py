"""A portfolio from the editor to the page: a program in a box, its claim checked, the row that every surface reads."""

from __future__ import annotations

import json

import numpy as np
import pytest
from django.test import Client
from qfp import objects

from marketdata import store
from runner.access import Viewer
from runner.execution import execute_next
from runner.models import Project, Run
from runner.recording import Recording
from runner.reports.records import record_of
from runner.starting import start_run
from tests.factories import make_project, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services", "engine")]

SOURCE = """
from qfp import portfolio_backtest


def on_bar(ctx):
    if ctx.bar % 5 == 0:
        ctx.target_weights({"FIRST": 0.5, "SECOND": 0.4})
    if ctx.bar == 7:
        ctx.order("SECOND", 1_000_000)


portfolio_backtest(["FIRST", "SECOND"], on_bar)
"""


def series(symbol: str, dates: np.ndarray, prices: np.ndarray) -> dict:
    columns = dict.fromkeys(("open", "high", "low", "close"), prices) | {"volume": np.full(len(dates), 1000.0)}
    split = {"split": np.array([2.0]), "dividend": np.array([0.5])}
    return {
        "id": f"tiingo/1d/{symbol}",
        "symbol": symbol,
        "name": "from a vendor",
        "kind": "equity",
        "interval": "1d",
        "adjustment": "raw",
        "licence": "the vendor's terms",
        "source": "a vendor",
        "rights": "personal",
        "columns": ["open", "high", "low", "close", "volume", "split", "dividend"],
        "rows": len(dates),
        "first": str(dates[0]),
        "last": str(dates[-1]),
        "object": store.put_object(objects.arrow_bytes(dates, columns)),
        "actions": store.put_object(objects.arrow_bytes(dates[12:13], split)),
    }


def test_a_portfolio_is_run_in_a_box_verified_here_and_shown():
    user = make_user("ada")
    dates = np.arange("2024-01-01", "2024-01-31", dtype="datetime64[D]")
    first = np.where(np.arange(30) < 12, 100.0, 50.0) + np.arange(30) % 5
    second = first + 7.25
    entries = [series("FIRST", dates, first), series("SECOND", dates[:20], second[:20])]
    store.add_series(entries, user=user, created_for="fetch")
    project = make_project(user, source=SOURCE, visibility=Project.Visibility.PUBLIC)
    run = start_run(project, Viewer(user), files={"main.py": SOURCE})
    execute_next()
    run.refresh_from_db()
    events = Recording(run.pk).read()
    assert run.status == Run.Status.SUCCEEDED, events

    backtest = run.backtests.get()
    assert backtest.verified, backtest.verified_text
    assert [instrument["symbol"] for instrument in backtest.instruments] == ["FIRST", "SECOND"]
    assert {flow["kind"] for flow in backtest.flows} == {"split", "dividend", "delisting"}
    assert {order["kind"] for order in backtest.orders} == {"target", "market"}
    assert [held["instrument"] for held in backtest.holdings] == [0]
    assert len(backtest.remarks) == 2 and "could not pay for it (1)" in backtest.remarks[0]
    assert backtest.remarks[1].endswith("paid out at its close: SECOND.")
    # What was paid out for SECOND is a trade in the report, too, and nothing of it is held from then on.
    reported = record_of(backtest, prices=True)
    assert list(reported.trades) == backtest.trades
    assert reported.gross[-1] == pytest.approx(backtest.holdings[0]["value"] / backtest.equity[-1])
    cells = backtest.checks["band"]["cells"]
    (base,) = [cell for cell in cells if cell["base"]]
    assert len(cells) == 12 and base["final_equity"] == backtest.metrics["final_equity"]

    (event,) = [event for event in events if event["type"] == "backtest"]
    assert event["holdings"]["rows"][0][0] == "FIRST" and event["remarks"] == backtest.remarks
    owner = Client()
    owner.force_login(user)
    page = owner.get(run.get_absolute_url()).content.decode()
    assert "1 order was refused" in page or "orders were refused" in page
    assert "filled at the open of the next bar" in page
    theirs = json.loads(Client().get(run.events_url).content)["events"]
    (shown,) = [event for event in theirs if event["type"] == "backtest"]
    assert shown["holdings"]["rows"] == [] and shown["trades"]["rows"] == []
