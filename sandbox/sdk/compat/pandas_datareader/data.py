"""Which of pandas_datareader's sources are here? "fred" and "famafrench"; others say what to use instead."""

from __future__ import annotations

from typing import Any

import pandas as pd
from qfp import data

__all__ = ["DataReader", "get_data_famafrench", "get_data_fred"]

USUAL_YEARS = 5
_FAMA_FRENCH = {
    "F-F_Research_Data_Factors": ("ff3", {"mkt_rf": "Mkt-RF", "smb": "SMB", "hml": "HML", "rf": "RF"}),
    "F-F_Momentum_Factor": ("carhart4", {"mom": "Mom"}),
}


def DataReader(
    name: Any,
    data_source: str | None = None,
    start: Any = None,
    end: Any = None,
    retry_count: int = 3,
    pause: float = 0.1,
    session: Any = None,
    api_key: str | None = None,
) -> Any:
    """A series of FRED as a frame, or a data set of Kenneth French's library as a dictionary.

    start: without one, five years before the end of the series, so that a run can be made again. `end` is included.
    """
    if data_source == "fred":
        return get_data_fred(name, start, end)
    if data_source == "famafrench":
        return get_data_famafrench(name, start, end)
    raise NotImplementedError(
        f"The source {data_source!r} of pandas_datareader is not available here; there are fred and famafrench. "
        "Prices come from qfp: from qfp import data, then data.prices(symbol)."
    )


def get_data_fred(symbols: str | list[str], start: Any = None, end: Any = None, **_: Any) -> pd.DataFrame:
    """One column for each series of FRED, which needs a key of yours for FRED, connected on the page Data, Keys."""
    names = [symbols] if isinstance(symbols, str) else list(symbols)
    columns = {}
    for name in names:
        frame = data.series(f"fred/{name}")
        columns[name] = frame.iloc[:, 0].rename(name)
    whole = pd.concat(columns.values(), axis=1, sort=True)
    whole.index.name = "DATE"
    return _between(whole, start, end)


class _Tables(dict[Any, Any]):
    def __missing__(self, key: Any) -> Any:
        raise KeyError(f"Only the monthly table, [0], is available here, not [{key!r}]. Compound it for years.")


def get_data_famafrench(symbols: str, start: Any = None, end: Any = None, **_: Any) -> dict[Any, Any]:
    """{0: the monthly table in percent, "DESCR": what it is}."""
    if symbols not in _FAMA_FRENCH:
        raise NotImplementedError(
            f"The data set {symbols!r} is not available here; there are {' and '.join(_FAMA_FRENCH)}. data.factors() "
            "has sorted portfolios and industries, too."
        )
    name, titles = _FAMA_FRENCH[symbols]
    frame = _between(data.factors(name)[list(titles)].rename(columns=titles) * 100.0, start, end)
    frame.index = frame.index.to_period("M").rename("Date")
    return _Tables({0: frame, "DESCR": data.info(name)["name"] + "\n\n" + data.info(name)["source"]})


def _between(frame: pd.DataFrame, start: Any, end: Any) -> pd.DataFrame:
    last = frame.index[-1] if end is None else pd.Timestamp(end)
    first = last - pd.DateOffset(years=USUAL_YEARS) if start is None else pd.Timestamp(start)
    return frame.loc[(frame.index >= first) & (frame.index <= last)]
