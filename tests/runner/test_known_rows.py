"""A day, a week or a month is known when it is over, and a decision is made when its bar is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qfp import objects
from qfp.periods import ends, known_since

from marketdata.store import read_manifest
from runner.honesty.differences import differences
from runner.honesty.known_rows import first_unknown, last_known
from runner.honesty.varied_data import varied_snapshot

DAYS = np.arange("2020-12-01", "2021-01-11", dtype="datetime64[D]").astype("datetime64[us]")
HOURS = np.arange("2020-12-01", "2021-01-11", dtype="datetime64[h]").astype("datetime64[us]")
OPEN_HOURS = HOURS[(HOURS - HOURS.astype("datetime64[D]")) // np.timedelta64(1, "h") % 24 - 14 < 7]
OPEN_HOURS = OPEN_HOURS[(OPEN_HOURS - OPEN_HOURS.astype("datetime64[D]")) >= np.timedelta64(14, "h")]
MONTHS = np.arange("2019-10", "2021-02", dtype="datetime64[M]").astype("datetime64[us]")
AFTER_DAYS = "published_after_days"


def moment(text: str) -> np.datetime64:
    return np.datetime64(text, "us")


def snapshot_of(store: Any) -> str:
    """Days and hours of a market that never closes, hours of one that does, and months, two of which only have closes
    or come out later.
    """

    def bars(count: int, *names: str) -> dict[str, np.ndarray]:
        close = np.arange(count) % 7 + 50.0
        return {"close": close, **dict.fromkeys(names, close + 1.0)}

    made = {
        "days": ("1d", DAYS, bars(len(DAYS), "open", "high", "low")),
        "hours": ("1h", HOURS, bars(len(HOURS), "open", "high", "low")),
        "open": ("1h", OPEN_HOURS, bars(len(OPEN_HOURS), "open")),
        "months": ("1mo", MONTHS, bars(len(MONTHS))),
        "late": ("1mo", MONTHS, bars(len(MONTHS)) | {AFTER_DAYS: np.arange(len(MONTHS)) % 3 + 40.0}),
    }
    series = [
        {
            "id": name,
            "object": objects.put(store, objects.arrow_bytes(dates, columns)),
            "actions": None,
            "interval": interval,
        }
        for name, (interval, dates, columns) in made.items()
    ]
    return objects.write_snapshot(store, {"series": series})


def backtest_of(series: str, dates: np.ndarray, position: int = 0) -> Any:
    written = [str(date)[:10] if series in ("days", "months") else f"{str(date)[:19]}Z" for date in dates]
    return SimpleNamespace(position=position, dates=written, instruments=[{"series": series}])


@pytest.mark.parametrize(
    ("decided", "stays"),
    [
        # In the first hours of a day nobody knows its close, nor the month's average.
        (("hours", "2020-12-15T01"), {"days": "2020-12-14", "hours": "2020-12-15T01", "months": "2020-11-01"}),
        (("hours", "2020-12-15T23"), {"days": "2020-12-15", "hours": "2020-12-15T23", "months": "2020-11-01"}),
        # At the close of a day all of its hours are known, those after the close of an exchange, too.
        (("days", "2020-12-15"), {"days": "2020-12-15", "hours": "2020-12-15T23", "open": "2020-12-15T20"}),
        (("open", "2020-12-15T20"), {"days": "2020-12-15", "hours": "2020-12-15T23", "open": "2020-12-15T20"}),
        (("open", "2020-12-15T19"), {"days": "2020-12-14", "hours": "2020-12-15T19", "open": "2020-12-15T19"}),
        # A month is known with its last day of trading; what is published later, with that day.
        (("days", "2020-12-27"), {"months": "2020-11-01", "late": "2020-11-01"}),
        (("days", "2020-12-30"), {"months": "2020-12-01", "late": "2020-11-01"}),
        (("days", "2020-12-10"), {"months": "2020-11-01", "late": "2020-10-01"}),
        (("months", "2020-12-01"), {"months": "2020-12-01", "days": "2020-12-31", "hours": "2020-12-31T23"}),
    ],
)
def test_rows_change_where_they_could_not_be_known_to_the_decision(
    tmp_path, decided: tuple[str, str], stays: dict[str, str]
) -> None:
    snapshot = snapshot_of(tmp_path)
    ours = {each["id"]: objects.read(tmp_path, each["object"]) for each in read_manifest(tmp_path, snapshot)["series"]}
    traded = backtest_of(decided[0], ours[decided[0]]["date"])
    (known,) = last_known(tmp_path, snapshot, [traded]).values()
    at = int(np.searchsorted(ours[decided[0]]["date"], moment(decided[1])))
    varied = {"moment": known[at], "tail": 1, "seed": 1, "all_shares": True}
    with varied_snapshot(tmp_path, snapshot, **varied) as other:
        theirs = {
            each["id"]: objects.read(tmp_path, each["object"]) for each in read_manifest(tmp_path, other)["series"]
        }
    for name, last in stays.items():
        head = int(np.searchsorted(ours[name]["date"], moment(last), side="right"))
        changed = ours[name]["close"] != theirs[name]["close"]
        assert not changed[:head].any() and changed[head], (name, str(ours[name]["date"][np.argmax(changed)]))
        if AFTER_DAYS in ours[name]:
            assert (ours[name][AFTER_DAYS] == theirs[name][AFTER_DAYS]).all()
    if decided[0] in ("hours", "open") and changed.any() and "days" in stays:
        head = int(np.searchsorted(DAYS, moment(stays["days"]), side="right"))
        begun = DAYS[head] <= known[at]
        assert (ours["days"]["open"][head] == theirs["days"]["open"][head]) == begun, "what has begun has its open"


def test_of_a_days_bar_and_its_minutes_each_is_compared_up_to_where_it_was_decided(tmp_path) -> None:
    snapshot = snapshot_of(tmp_path)
    both = [backtest_of("days", DAYS), backtest_of("hours", HOURS, 1)]
    known = last_known(tmp_path, snapshot, both)
    claims = []
    for each in both:
        vars(each).update(strategy="S", params={}, fills=[], conventions={}, equity=[1.0] * len(each.dates), orders=[])
        claims.append({**vars(each), "orders": [{"bar": at, "size": 1.0} for at in range(len(each.dates))]})
        each.orders = list(claims[-1]["orders"])
    at = int(np.searchsorted(HOURS, moment("2020-12-15T10")))
    claims[0]["orders"] = claims[0]["orders"][:14]  # the day is decided at its end
    assert differences(both, claims, known[1][at], known=known) == {}
    assert differences(both, claims, known[0][14], known=known) == {0: 14}


def test_what_a_date_stands_for_shows_in_all_of_them() -> None:
    month_ends = (MONTHS.astype("datetime64[M]") + 1).astype("datetime64[us]") - np.timedelta64(1, "D")
    over = ends(MONTHS, "1mo")
    assert (over + np.timedelta64(1, "us") == (MONTHS.astype("datetime64[M]") + 1).astype("datetime64[us]")).all()
    assert (ends(MONTHS) == over).all() and (ends(MONTHS, "irregular") == over).all()
    assert (ends(MONTHS + np.timedelta64(14, "D"), "1mo") == over).all(), "dated on the 15th, whatever day that is"
    day = np.timedelta64(1, "D") - np.timedelta64(1, "us")
    for dates, interval in ((month_ends, "1mo"), (month_ends, ""), (MONTHS, "1d"), (DAYS, ""), (MONTHS[:4], "")):
        assert (ends(dates, interval) == dates + day).all(), interval
        assert (known_since(dates, interval) == dates + day).all()
    assert ends(MONTHS[::3], "3mo")[0] == moment("2020-01-01") - np.timedelta64(1, "us")
    traded = np.array(["2020-01-02", "2020-02-03", "2020-03-02"], dtype="datetime64[us]")
    assert ends(traded, "1mo", bars=True)[1] == moment("2020-03-01") - np.timedelta64(1, "us")
    assert (ends(traded, "1mo") == traded + day).all(), "it may be a day of publication"
    mondays = np.array(["2020-01-06", "2020-01-14", "2020-01-20"], dtype="datetime64[us]")
    assert ends(mondays, "1w", bars=True)[1] == moment("2020-01-20") - np.timedelta64(1, "us")
    fridays = np.array(["2020-01-03", "2020-01-10"], dtype="datetime64[us]")
    assert (ends(fridays, "1w", bars=True) == fridays + day).all()
    assert (ends(HOURS) == HOURS).all() and ends(HOURS, "15m")[0] == HOURS[0] + np.timedelta64(
        15 * 60 * 10**6 - 1, "us"
    )
    nothing = np.array([], dtype="datetime64[us]")
    assert not len(ends(nothing, "1mo")) and not len(ends(nothing, "1w", bars=True))
    assert first_unknown(DAYS, "1d", {}, moment("2031-01-01")) == len(DAYS)
    assert first_unknown(DAYS, "1d", {}, moment("2001-01-01")) == 0
