"""Where a chart has no value, does its line have a gap, wherever it is drawn?"""

from __future__ import annotations

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from qfp.tearsheet import Record
from qfp.tearsheet.charts import LEAST_SEEN, Chart, Trace, charts, points
from qfp.tearsheet.drawing import svg

from runner.charts import equity_svg
from runner.figures import chart
from runner.result_views import _trace, drawn
from runner.verdicts import made_up


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


@pytest.mark.parametrize("most", [1, 2, 3, 7, 60, 480])
@pytest.mark.parametrize("width", [25, 600])
def test_no_gap_that_can_be_seen_is_drawn_through_however_many_there_are(most, width):
    values = np.random.default_rng(3).normal(size=6_000)
    values[np.arange(6_000) // width % 2 == 1] = np.nan
    trace = Trace("Invented", np.arange(6_000), values)
    ((_, at),) = points(rolling_sharpe()._replace(traces=(trace,), x_form="number"), most)
    assert len(at) <= most and at == sorted(set(at))
    through = [
        (before, after)
        for before, after in pairwise(at)
        if not np.isnan(values[[before, after]]).any() and np.isnan(values[before:after]).any()
    ]
    assert not through or width * max(most, LEAST_SEEN) <= 6_000
    if most == 480:
        assert {int(np.nanargmin(values)), int(np.nanargmax(values))} <= set(at)


def test_the_curve_of_minutes_names_the_nights_that_its_axis_leaves_out():
    minutes = [
        f"2020-01-0{day}T{hour:02}:{minute:02}:00Z"
        for day in (2, 3, 6)
        for hour in range(14, 21)
        for minute in range(60)
    ]
    kept = chart(minutes, np.linspace(100, 110, len(minutes)), None)
    night, weekend = 17 * 3_600_000, 65 * 3_600_000
    assert {each["dvalue"]: each["values"] for each in kept["closed"]} == {
        night: ["2020-01-02T21:00:00"], weekend: ["2020-01-03T21:00:00"]
    }  # fmt: skip
    days = [str(day) for day in np.arange("2020-01-01", "2020-03-01", dtype="datetime64[D]")]
    assert "closed" not in chart(days, np.linspace(100, 110, len(days)), None)


def test_years_below_a_small_curve_stand_evenly_however_its_points_do():
    days = np.arange("2010-01-01", "2020-01-01", dtype="datetime64[D]")
    # All the points of the extremes fall into one year.
    picks = [*range(300), *range(300, len(days), 200), len(days) - 1]
    drawing = equity_svg([str(days[at]) for at in picks], [100.0 + at for at in picks])
    assert ">2M</text>" in equity_svg(["2020-01-01", "2020-06-01"], [1e6, 2e6]), "a million as in other charts"
    years = [float(x) for x, _ in re.findall(r'<text class="tick" x="([\d.]+)"[^>]*>(20\d\d)<', drawing)]
    steps = np.diff(years)
    assert len(years) >= 4 and max(steps) - min(steps) < 2


def test_bars_that_a_model_made_are_called_so():
    assert made_up([{"symbol": "AAPL", "series": "starter/us/AAPL"}]) == ""
    names = [{"symbol": f"SYN00{number}", "series": f"synth/us/1d/SYN00{number}"} for number in range(1, 6)]
    assert made_up(names) == "A model made the bars of SYN001, SYN002, SYN003 and 2 more; no market was ever like that."
