"""Are closed hours left out of charts of minutes, wherever they are drawn?"""

from __future__ import annotations

import itertools
import re

import numpy as np
from qfp.tearsheet import Record
from qfp.tearsheet.charts import charts
from qfp.tearsheet.describing import describe
from qfp.tearsheet.drawing import NARROW, svg
from qfp.tearsheet.hours import NEVER, breaks, closed_hours

HOUR = 3600.0


def minutes_of(*days: str) -> np.ndarray:
    """Every minute from 14:30 to 20:59 of these days."""
    one = np.arange(870, 1260).astype("timedelta64[m]")
    return np.concatenate([np.datetime64(day, "us") + one for day in days])


def record(dates: np.ndarray) -> Record:
    at = np.arange(len(dates))
    held = (at % 390 > 200).astype(float)  # from the middle of a day over the night
    return Record("Invented", dates, 1_000 + np.sin(at / 50) * 10, net=held, gross=held)


# Thursday to Wednesday.
WEEK = minutes_of("2019-12-05", "2019-12-06", "2019-12-09", "2019-12-10", "2019-12-11")


def test_nights_and_the_weekend_are_found_from_the_bars_alone():
    closed = closed_hours(WEEK)
    assert (closed.stops - closed.starts).tolist() == [17.5 * HOUR, 65.5 * HOUR, 17.5 * HOUR, 17.5 * HOUR]
    assert str(np.datetime64(int(closed.starts[1]), "s")) == "2019-12-06T21:00:00"
    assert closed.holds(closed.starts[1]) and not closed.holds(closed.stops[1])
    grouped = {each["dvalue"]: each["values"] for each in breaks(closed)}
    assert grouped == {
        63_000_000: ["2019-12-05T21:00:00", "2019-12-09T21:00:00", "2019-12-10T21:00:00"],
        235_800_000: ["2019-12-06T21:00:00"],
    }


def test_days_and_markets_that_never_close_have_none():
    days = np.arange("2019-01-01", "2020-01-01", dtype="datetime64[D]")
    assert closed_hours(days[np.is_busday(days)]) == NEVER == closed_hours(days[:1])
    assert not closed_hours(np.arange("2019-01-01", "2019-01-03", dtype="datetime64[m]"))
    # One missing minute is a hole in the data, not a night.
    assert not closed_hours(np.delete(np.arange("2019-01-01", "2019-01-03", dtype="datetime64[m]"), 700))


def test_open_time_goes_on_where_a_night_stood():
    closed = closed_hours(WEEK)
    seconds = WEEK.astype("datetime64[s]").astype(float)
    assert set(np.diff(closed.open_time(seconds))) == {60.0}
    # Within a night it stands still.
    night = closed.open_time([closed.starts[1], closed.starts[1] + HOUR, closed.stops[1]])
    assert len(set(night.tolist())) == 1


def test_a_drawing_of_minutes_has_no_line_across_a_night():
    (equity,) = charts(record(WEEK), "equity")
    assert equity.sentence.endswith("Hours without bars are left out.")
    for sheet in (None, NARROW):
        drawing = svg(equity) if sheet is None else svg(equity, sheet=sheet)
        line = re.search(r'<polyline class="ts-line ts-main" points="([^"]*)"', drawing)
        assert line is not None
        across = [float(pair.split(",")[0]) for pair in line[1].split()]
        # Over real time the weekend alone would be half of the width.
        assert max(np.diff(across)) < 0.05 * (across[-1] - across[0])
        assert re.findall(r">(12-\d\d)<", drawing) == ["12-05", "12-06", "12-09", "12-10", "12-11"]


def test_exposure_is_held_until_it_changes():
    (exposure,) = charts(record(WEEK), "exposure")
    assert {trace.mode for trace in exposure.traces} == {"steps"}
    line = re.search(r'<polyline class="ts-line ts-main" points="([^"]*)"', svg(exposure))
    assert line is not None
    pairs = [tuple(map(float, pair.split(","))) for pair in line[1].split()]
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in itertools.pairwise(pairs))


def test_a_period_within_one_month_is_told_by_its_days():
    equity = np.array([100.0, 110.0, 99.0, 105.0])
    days = ["2019-12-04T14:30:00", "2019-12-06T14:30:00", "2019-12-09T14:30:00", "2019-12-31T20:59:00"]
    assert describe(days, equity) == (
        "Equity rose from 100 to 105 between 4 Dec 2019 and 31 Dec 2019; worst fall 10.0 %, 6 Dec 2019 to 9 Dec 2019."
    )
    assert describe([days[0]] * 4, equity).startswith("Equity rose from 100 to 105 on 4 Dec 2019; worst fall")
    assert "between Dec 2019 and Jan 2020" in describe([*days[:3], "2020-01-02"], equity)
