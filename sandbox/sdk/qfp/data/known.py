"""What was known at a moment? Rows count from when they became public."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qfp import data
from qfp.data import catalogue
from qfp.data.days import Day
from qfp.data.errors import DataError, in_words

if TYPE_CHECKING:
    import pandas as pd


def as_of(items: pd.DataFrame | str, moment: Day, *, published: str | None = None, item: str | None = None) -> Any:
    """What was known at a moment: news, filings, forecasts, figures that were revised later.

    items: a table, or the name of one: "mine/headlines" (data.dataset), "GDP@first" (data.series).
    moment: of the decision. Without a zone it is UTC, and a day without a time means its beginning, so that nothing
      that came during the day is known yet.
    published: the column that says when each row became public; None for the first of published, published_at, known,
      known_at, available_at, or else the dates of the table itself, of which
      those that stand for a whole month count from its end. A time without a zone is UTC. A column of
      days without times says nothing about the hour, so its rows are known from the end of that day.
    item: the column that names an item, where an edited one comes again as another row. Of each item only
      the row that was the newest at the moment is given: before the edit, its text as it was first seen.

    Returns the rows published at or before the moment, oldest first, with their moment of publication as the column
    `known_at` (UTC); no rows when there were none. Raises DataError for a column that is not there or holds no times,
    and for a moment that is none.
    """
    from qfp import publication

    table = publication.dated(_items(items), published)
    return publication.newest(table.loc[table["known_at"] <= publication.instant(moment)], _column(table, item))


def latest_at(moments: Any, items: pd.DataFrame | str, *, published: str | None = None) -> pd.DataFrame:
    """The newest item that was known at each of several moments, to set beside bars.

    moments: such as bars.index of data.prices(); read like the moment of as_of(), so beside daily bars
      stands what was public before their day began. Add pd.Timedelta(hours=21) for a decision at that hour in UTC.
    items, published: as for as_of().

    Returns a DataFrame with the columns of the items and `known_at`, indexed by the moments; missing where nothing was
    known yet. Raises DataError as as_of() does.
    """
    import numpy as np
    import pandas as pd

    from qfp import publication

    table = publication.dated(_items(items), published)
    wanted = publication.instants(moments)
    places = np.searchsorted(table["known_at"].to_numpy(), wanted.to_numpy(), side="right") - 1
    found = table.reset_index(drop=True).reindex(places)
    return found.set_axis(pd.Index(moments), axis=0)


def _items(items: pd.DataFrame | str) -> pd.DataFrame:
    if not isinstance(items, str):
        return items
    entry = catalogue.find(items)
    # By way of the package: a test of the program may have put others in their place.
    return data.dataset(items) if entry["kind"] == "dataset" else data.series(items)


def _column(table: pd.DataFrame, name: str | None) -> str | None:
    if name is not None and name not in table.columns:
        raise DataError(f"There is no column {name!r}; there are {in_words([str(each) for each in table.columns])}.")
    return name
