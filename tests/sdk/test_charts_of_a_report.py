"""Nine charts of a long backtest: few points each, every one when zoomed, a sentence with its ends and its extremes."""

from __future__ import annotations

import numpy as np
import pytest
from qfp.tearsheet.charts import FORMS, KEYS, charts, points, written_date
from qfp.tearsheet.record import Prices, Record

COUNT, MOST = 25_000, 2_000


@pytest.fixture(scope="module")
def drawn():
    """The charts of 25,000 days."""
    random = np.random.default_rng(12)
    close = 100 * np.exp(np.cumsum(random.normal(0.0001, 0.01, COUNT)))
    equity = 10_000 * np.exp(np.cumsum(random.normal(0.0002, 0.008, COUNT)))
    held = np.where(np.arange(COUNT) % 40 < 25, random.uniform(0.2, 0.9, COUNT), 0.0)
    trades = [
        {"entry_bar": at, "exit_bar": at + 25, "size": 10.0, "entry_price": close[at], "exit_price": close[at + 25],
         "commission": 1.0, "profit": 10 * (close[at + 25] - close[at]) - 1,
         "return_fraction": close[at + 25] / close[at] - 1, "instrument": 0}
        for at in range(0, COUNT - 40, 40)
    ]  # fmt: skip
    fills = [
        {"bar": trade[f"{end}_bar"], "size": size, "price": trade[f"{end}_price"], "commission": 0.5, "instrument": 0}
        for trade in trades
        for end, size in (("entry", 10.0), ("exit", -10.0))
    ]
    record = Record(
        "Long",
        np.datetime64("1950-01-01", "us") + np.arange(COUNT) * np.timedelta64(1, "D"),
        equity,
        trades=trades,
        fills=fills,
        symbols=["X"],
        benchmark=close * 100,
        net=held,
        gross=held,
        prices=Prices("X", close * 1.01, close * 0.99, close),
    )
    found = {chart.key: chart for chart in charts(record)}
    assert tuple(found) == KEYS and len(found) == 9
    return found


@pytest.mark.parametrize("key", KEYS)
def test_few_points_are_drawn_with_all_extremes_and_every_one_when_zoomed(drawn, key):
    chart = drawn[key]
    for trace, at in points(chart, MOST):
        assert len(at) <= MOST and at == sorted(set(at)), trace.name
        known = trace.y[~np.isnan(trace.y)]
        assert {np.nanmin(trace.y[at]), np.nanmax(trace.y[at])} == {known.min(), known.max()}, trace.name
    if chart.x_form == "date":
        start, stop = np.datetime64("1980-01-01", "us"), np.datetime64("1980-12-31", "us")
        for trace, at in points(chart, MOST, start, stop):
            wanted = np.flatnonzero((trace.x >= start) & (trace.x <= stop))
            assert set(wanted) <= set(at) and len(at) <= len(wanted) + 2, trace.name


@pytest.mark.parametrize("key", KEYS)
def test_a_chart_is_told_in_a_sentence_and_in_a_table(drawn, key):
    chart = drawn[key]
    assert chart.title and chart.sentence.endswith(".") and len(chart.columns) >= 2
    assert 2 < len(chart.rows) <= 500 and {len(row) for row in chart.rows} == {len(chart.columns)}
    if key in ("distribution", "trades", "excursions"):
        return  # not one line over time: each says its own extremes
    write = FORMS[chart.form]
    for trace in chart.traces:
        low, high = int(np.nanargmin(trace.y)), int(np.nanargmax(trace.y))
        ends = [("first", 0), ("last", len(trace.y) - 1), ("lowest", low), ("highest", high)]
        for word, at in ends:
            said = f"{word} {write(float(trace.y[at]))} on {written_date(trace.x[at])}"
            assert said in chart.sentence, (trace.name, said)
