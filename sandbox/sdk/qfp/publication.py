"""When did a row become public? Moments of publication, read so that in doubt a row is known later, never earlier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["dated", "instant", "instants", "newest"]

NAMES = ("published", "published_at", "known", "known_at", "available_at")
# What providers of figures with vintages give: after how many days a value was published.
DAYS_LATER = "published_after_days"


def dated(items: pd.DataFrame, published: str | None = None) -> pd.DataFrame:
    """The rows by their moment of publication, which stands in the column `known_at`. Rows without one are left out:
    nobody knows since when they were known.
    """
    import pandas as pd

    from qfp.data import DataError

    by_name = {str(name).casefold().replace(" ", "_"): name for name in items.columns}
    column = published if published is not None else next((by_name[name] for name in NAMES if name in by_name), None)
    if column is not None and column not in items.columns:
        raise DataError(f"There is no column {column!r}; published= names the one that says when a row became public.")
    moments = items[column] if column is not None else items.index
    if column is None and not isinstance(moments, pd.DatetimeIndex):
        raise DataError("No column says when a row became public. Name it with published=, such as published='sent'.")
    later = column is None and DAYS_LATER in items.columns
    known = _since(moments, dates=column is None and not later)
    if later:
        known = known + pd.to_timedelta(items[DAYS_LATER].to_numpy(), unit="D")
    table = items.assign(known_at=known)
    return table[~pd.isna(known)].sort_values("known_at", kind="stable")


def newest(table: pd.DataFrame, item: str | None) -> pd.DataFrame:
    """Of each item the row that came last."""
    return table if item is None else table.drop_duplicates(item, keep="last")


def instant(moment: Any) -> pd.Timestamp:
    import pandas as pd

    from qfp.data import DataError

    try:
        found = pd.Timestamp(moment)
    except (ValueError, TypeError):
        found = pd.NaT
    if isinstance(moment, (int, float)) or found is pd.NaT:
        raise DataError(f'A moment is needed, such as "2024-03-01 16:00", not {moment!r}.')
    return found.tz_localize("UTC") if found.tzinfo is None else found.tz_convert("UTC")


def instants(moments: Any) -> pd.DatetimeIndex:
    import pandas as pd

    from qfp.data import DataError

    if pd.api.types.is_numeric_dtype(getattr(moments, "dtype", None)):
        raise DataError("Numbers are no moments; make them some with pd.to_datetime(numbers, unit='s', utc=True).")
    try:
        return pd.DatetimeIndex(pd.to_datetime(moments, utc=True)).as_unit("us")
    except (ValueError, TypeError) as error:
        raise DataError(f"These are not moments: {error}.") from None


def _since(moments: Any, dates: bool) -> pd.DatetimeIndex:
    """From when on: days without a time count from their end. dates: they may stand for months, which count from
    theirs.
    """
    import numpy as np
    import pandas as pd

    from qfp.periods import ends

    known = instants(moments)
    zoned = getattr(moments, "dtype", None) is not None and isinstance(moments.dtype, pd.DatetimeTZDtype)
    days_only = not zoned and bool((known == known.normalize())[~known.isna()].all())
    if not (days_only and dates) or known.isna().any():
        return known + pd.Timedelta(days=1) if days_only else known
    each, places = np.unique(known.tz_localize(None).to_numpy(), return_inverse=True)
    return pd.DatetimeIndex(ends(each)[places]).tz_localize("UTC") + pd.Timedelta(microseconds=1)
