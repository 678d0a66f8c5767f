"""Where a chart has no value, does its line have a gap, wherever it is drawn?"""

from __future__ import annotations

import json

import numpy as np
from qfp.tearsheet import Record
from qfp.tearsheet.charts import Chart, charts, points
from qfp.tearsheet.drawing import svg

from runner.result_views import _trace, drawn


def rolling_sharpe() -> Chart:
    """Of an account that holds nothing for 400 days, more than twice the window."""
    days = np.arange("2010-01-01", "2014-01-01", dtype="datetime64[D]")
    returns = np.random.default_rng(1).normal(0, 0.01, len(days))
    returns[400:800] = 0
    (chart,) = charts(Record("Invented", days, 1_000 * np.cumprod(1 + returns)), "rolling_sharpe")
    return chart


def test_a_rolling_figure_is_not_drawn_across_a_stretch_where_it_has_no_value():
    chart = rolling_sharpe()
    both = drawn(chart)
    for drawing in (svg(chart), both["svg"], both["narrow"]):
        assert drawing.count("<polyline") == 2 and "nan" not in drawing
    assert not any("2012-01-01" <= row[0] <= "2012-02-28" or "nan" in row[1].lower() for row in chart.rows)
    assert "nan" not in chart.sentence.lower()


def test_the_points_sent_keep_the_gap_its_edges_and_the_extremes():
    chart = rolling_sharpe()
    values = chart.traces[0].y
    missing = np.flatnonzero(np.isnan(values))
    for most in (60, 480, 5_000):
        ((trace, at),) = points(chart, most)
        assert len(at) <= most and {missing[0] - 1, missing[0], missing[-1] + 1} <= set(at)
        assert {int(np.nanargmin(values)), int(np.nanargmax(values))} <= set(at)
        sent = json.loads(json.dumps(_trace(chart, trace, at), allow_nan=False))
        assert sent["y"].count(None) == 1
    # Zoomed into the gap there is nothing to see, and nothing breaks.
    ((trace, at),) = points(chart, 60, np.datetime64("2011-12-01"), np.datetime64("2012-01-01"))
    assert np.isnan(trace.y[at]).all()
