"""What is odd about the dates of a series? Their order, what is missing, what was closed, and the clock they are by."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np

from marketdata.quality.findings import Finding, Kind, grouped, how_many, of_rows, rows_are, when
from marketdata.quality.series import DAYS, CheckedSeries, Columns, local_times


def disorder(columns: Columns) -> list[Finding]:
    dates = columns["date"]
    days = dates.astype("datetime64[D]")
    found = []
    back = np.flatnonzero(np.diff(dates.astype(np.int64)) < 0) + 1
    if len(back):
        found += of_rows(
            Kind.DISORDER, days, back, lambda rows, span: f"The dates go backwards {span}: rows are out of order."
        )
    order = np.argsort(dates, kind="stable")
    same = np.flatnonzero(np.diff(dates[order].astype(np.int64)) == 0) + 1
    if len(same):
        others = [values[order] for name, values in columns.items() if name != "date"]
        differ = any(((values[same] != values[same - 1]) & ~np.isnan(values[same])).any() for values in others)
        how = "with different values" if differ else "with the same values"
        found += of_rows(
            Kind.DUPLICATE,
            days[order],
            same,
            lambda rows, span: f"{rows_are(rows)} there twice {how} {span}.",
        )
    return found


def sorted_once(columns: Columns) -> dict[str, np.ndarray]:
    """In order and every date once, the first of several: so that the other rules can look."""
    _, rows = np.unique(columns["date"], return_index=True)
    return {name: values[rows] for name, values in columns.items()}


def gaps(series: CheckedSeries) -> list[Finding]:
    days, calendar = np.unique(series.local_days), series.calendar
    if calendar is not None and series.by_session:
        expected = calendar.sessions(days[0].item(), days[-1].item())
        missing = ~np.isin(expected, days)
        if calendar.name == "FX":
            missing &= ~_christmas_or_new_year(expected)  # hardly anybody quotes then
        return of_rows(
            Kind.GAP,
            expected,
            np.flatnonzero(missing),
            lambda rows, span: f"{how_many(rows, 'session')} missing {span}, when {calendar.name} was open.",
        )
    usual = DAYS.get(series.interval, 1)
    # Without a calendar holidays are not known: more than a week from one row to the next is no holiday.
    longest = 7 if usual == 1 else 1.6 * usual
    steps = np.diff(days).astype(int)
    found = []
    for at in np.flatnonzero(steps > longest):
        first, last = (days[at] + 1).item(), (days[at + 1] - 1).item()
        found.append(Finding(Kind.GAP, first, last, f"Nothing is there {when(first, last)}."))
    return found


def _christmas_or_new_year(days: np.ndarray) -> np.ndarray:
    of_year = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(int)
    to_next = (days.astype("datetime64[Y]") + 1).astype("datetime64[D]") - days
    return (of_year == 0) | (to_next.astype(int) == 7)


def closed_days(series: CheckedSeries) -> list[Finding]:
    calendar = series.calendar
    if calendar is None or calendar.name in ("FX", "CRYPTO") or not series.by_session:
        return []
    closed = calendar.knows(series.local_days) & ~calendar.open_on(series.local_days)
    return series.findings(
        Kind.CLOSED_DAY,
        np.flatnonzero(closed),
        lambda rows, span: f"{rows_are(rows)} dated {span}, when {calendar.name} was closed.",
    )


def zone_shifts(series: CheckedSeries) -> list[Finding]:
    if series.intraday:
        return _shifted_hours(series)
    if series.interval != "1d":
        return []
    found = []
    clock = series.dates - series.days
    if (odd := np.flatnonzero(clock != np.timedelta64(0))).size:
        minutes = int(np.median(clock[odd].astype("timedelta64[m]").astype(int)))
        at = f"{minutes // 60:02d}:{minutes % 60:02d}"
        found += series.findings(
            Kind.ZONE_SHIFT,
            odd,
            lambda rows, span: (
                f"Daily bars carry a time of day, mostly {at}, {span}: midnight of another time zone. "
                "Their days may be one off."
            ),
            reach=5,
        )
    if series.calendar is None or series.calendar.week == "1111111":
        return found
    # A day early: Monday's bar on Sunday and none on Friday. A day late: Friday's on Saturday and none on Monday.
    days = series.days
    weekday = (days.astype(int) + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    early = days[(weekday == 6) & ~np.isin(days + 5, days)]
    late = days[(weekday == 5) & ~np.isin(days - 5, days)]
    for shifted, way, before, after in ((early, "early", 0, 4), (late, "late", 4, 0)):
        for run in grouped(shifted.astype(int), reach=15):
            if len(run) < 2:
                continue
            first, last = (
                (run[0] - before).astype("datetime64[D]").item(),
                (run[-1] + after).astype("datetime64[D]").item(),
            )
            weekend = "Sundays and none on Fridays" if way == "early" else "Saturdays and none on Mondays"
            found.append(
                Finding(
                    Kind.ZONE_SHIFT,
                    first,
                    last,
                    f"Bars {when(first, last)} are dated a day too {way}: there are bars on {weekend}. Midnight was "
                    "probably taken in another time zone.",
                )
            )
    return found


def _shifted_hours(series: CheckedSeries) -> list[Finding]:
    """Sessions whose first and last bars are the same whole hours away from where they usually are."""
    calendar = series.calendar
    if calendar is None or calendar.name in ("FX", "CRYPTO"):
        return []
    local = local_times(series.dates, calendar.zone)
    days, begins = np.unique(local.astype("datetime64[D]"), return_index=True)
    ends = np.append(begins[1:], len(local)) - 1
    first, last = ((local[rows] - days).astype("timedelta64[m]").astype(int) for rows in (begins, ends))
    usual_first, usual_last = np.median(first), np.median(last)
    opens = calendar.opening(days[-1].item()).astimezone(ZoneInfo(calendar.zone))
    away = usual_first - (opens.hour * 60 + opens.minute)
    if away and away % 60 == 0 and abs(away) <= 14 * 60:
        return [
            Finding(
                Kind.ZONE_SHIFT,
                days[0].item(),
                days[-1].item(),
                f"Sessions begin {_hours(away)} the opening of {calendar.name}: the times are of another zone.",
            )
        ]
    shift = first - usual_first
    odd = (shift != 0) & (shift % 60 == 0) & (last - usual_last == shift)
    found = []
    for run in grouped(np.flatnonzero(odd), reach=1):
        if len(run) < 2:
            continue
        begin, end = days[run[0]].item(), days[run[-1]].item()
        found.append(
            Finding(
                Kind.ZONE_SHIFT,
                begin,
                end,
                f"Sessions {when(begin, end)} begin and end {_hours(shift[run[0]])} their usual times: summer time, "
                "or another zone.",
            )
        )
    return found


def _hours(minutes: float) -> str:
    hours = abs(int(minutes)) // 60
    return f"{how_many(hours, 'hour', 'hours')} {'after' if minutes > 0 else 'before'}"
