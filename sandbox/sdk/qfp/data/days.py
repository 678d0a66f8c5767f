"""Which rows lie between two days? Both are included; within a day, a day means all of it in UTC."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from qfp.data.errors import DataError, NoData

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Day = str | date | datetime | None
# The first and the last moment of rows that are read from a file; None for no bound.
Span = tuple["np.datetime64 | None", "np.datetime64 | None"]
ALL: Span = (None, None)


def between(frame: pd.DataFrame, entry: dict[str, Any] | None, start: Day, end: Day) -> pd.DataFrame:
    """The rows from start to end, both included. entry: whose they are, when having none is an error."""
    if start is None and end is None and len(frame):
        return frame.copy(deep=False)
    low, high = 0, len(frame)
    zone = getattr(frame.index, "tz", None)
    if start is not None:
        low = int(frame.index.searchsorted(_bound(start, "start", zone), side="left"))
    if end is not None:
        high = int(frame.index.searchsorted(_bound(end, "end", zone), side="right"))
    if low >= high and entry is not None:
        raise NoData(
            f"{entry['symbol']} has nothing between {start or entry['first']} and {end or entry['last']}; "
            f"it goes from {entry['first']} to {entry['last']}."
        )
    return frame.iloc[low:high]


def span_of(start: Day, end: Day) -> Span:
    """What has to be read for between(); a little more, because an end may mean all of its day."""
    import numpy as np

    return (
        None if start is None else moment_of(start, "start"),
        None if end is None else moment_of(end, "end") + np.timedelta64(1, "D"),
    )


def _bound(day: Day, name: str, zone: Any) -> pd.Timestamp:
    import pandas as pd

    moment = pd.Timestamp(moment_of(day, name))
    if zone is None:
        return moment
    whole_day = moment == moment.normalize() and (
        len(day.strip()) <= 10 if isinstance(day, str) else not isinstance(day, datetime)
    )
    if name == "end" and whole_day:
        moment += pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)
    return moment.tz_localize(zone)


def moment_of(day: Day, name: str) -> Any:
    import numpy as np
    import pandas as pd

    try:
        moment = pd.Timestamp(day)
    except (ValueError, TypeError):
        raise DataError(f'{name} is not a date: {day!r}. Write it like "2010-01-31".') from None
    if moment is pd.NaT:
        raise DataError(f'{name} is not a date: {day!r}. Write it like "2010-01-31".')
    if moment.tzinfo is not None:
        moment = moment.tz_convert("UTC").tz_localize(None)
    return np.datetime64(moment.to_datetime64(), "us")
