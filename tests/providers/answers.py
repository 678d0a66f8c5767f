"""What do providers answer? Yahoo, Alpha Vantage, Nasdaq Data Link, FRED, ECB, Tiingo, Binance, LSEG.

Keys mean what they say: "good-key", "free-key", "bad-key"; a key that is none of these is refused, and repeated in the
refusal where the real one does so.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.providers.histories import SPLITS, History, history

if TYPE_CHECKING:
    from tests.providers.server import StandIns

GOOD, FREE, BAD = "good-key-0123456789abcdef", "free-key-0123456789abcdef", "bad-key-0123456789abcdef"
HOSTS = (
    *("query1.finance.yahoo.com", "query2.finance.yahoo.com", "fc.yahoo.com", "guce.yahoo.com", "finance.yahoo.com"),
    *("www.alphavantage.co", "data.nasdaq.com", "api.stlouisfed.org", "data-api.ecb.europa.eu"),
    *("api.tiingo.com", "api.binance.com", "api.refinitiv.com"),
)


@dataclass
class Reply:
    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    host: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    form: dict[str, str]


# Whoever it is


def too_many(seconds: str = "") -> Reply:
    return Reply(429, "Too Many Requests\r\n", {"Retry-After": seconds} if seconds else {})


def nonsense() -> Reply:
    return Reply(200, "<html>We are sorry")


# Yahoo


def _yahoo(asked: Asked, stand_ins: StandIns) -> Reply:
    if asked.path == "/v1/test/getcrumb":
        return Reply(200, "StandInCrumb")
    if not asked.path.startswith("/v8/finance/chart/"):
        return Reply(404, "<html></html>", {"Set-Cookie": "A3=d=standin; Max-Age=31557600; Domain=.yahoo.com; Path=/"})
    symbol = asked.path.rpartition("/")[2]
    if symbol not in SPLITS:
        return Reply(404, _yahoo_error("Not Found", "No data found, symbol may be delisted"))
    known = history(symbol)
    stamps = (known.days.astype("datetime64[s]").astype(int) + 14 * 3600 + 1800).astype(int)
    begin, end = int(asked.query.get("period1", 0)), int(asked.query.get("period2", 2**40))
    kept = (stamps >= begin) & (stamps < end)
    if asked.query.get("range") not in (None, "max"):
        kept = np.arange(len(stamps)) >= len(stamps) - 1
    if not kept.any():
        return Reply(400, _yahoo_error("Bad Request", "Data doesn't exist for startDate"))
    later = known.later_splits / stand_ins.shift
    quote = {
        name: [round(float(value), 6) for value in (getattr(known, name) / later)[kept]]
        for name in ("open", "high", "low", "close")
    }
    quote["volume"] = [int(value) for value in (known.volume * known.later_splits)[kept]]
    events: dict[str, Any] = {"dividends": {}, "splits": {}}
    for at in np.flatnonzero(kept):
        stamp = int(stamps[at])
        if known.dividend[at]:
            amount = round(float(known.dividend[at] / known.later_splits[at]), 6)
            events["dividends"][str(stamp)] = {"amount": amount, "date": stamp}
        if known.split[at] != 1:
            events["splits"][str(stamp)] = {
                "date": stamp,
                "numerator": float(known.split[at]),
                "denominator": 1.0,
                "splitRatio": f"{known.split[at]:g}:1",
            }
    meta = {
        "currency": "USD",
        "symbol": symbol,
        "exchangeName": "NMS",
        "instrumentType": "EQUITY",
        "firstTradeDate": int(stamps[0]),
        "regularMarketTime": int(stamps[-1]),
        "gmtoffset": -18000,
        "timezone": "EST",
        "exchangeTimezoneName": "America/New_York",
        "longName": f"{symbol} Incorporated",
        "priceHint": 2,
        "dataGranularity": asked.query.get("interval", "1d"),
        "range": asked.query.get("range", ""),
        "validRanges": ["1d", "1y", "max"],
        "currentTradingPeriod": {
            name: {"timezone": "EST", "start": int(stamps[-1]), "end": int(stamps[-1]) + 23400, "gmtoffset": -18000}
            for name in ("pre", "regular", "post")
        },
    }
    result = {
        "meta": meta,
        "timestamp": [int(stamp) for stamp in stamps[kept]],
        "indicators": {"quote": [quote], "adjclose": [{"adjclose": _adjusted(known, quote["close"], kept)}]},
        "events": {name: found for name, found in events.items() if found},
    }
    return Reply(200, {"chart": {"result": [result], "error": None}})


def _adjusted(known: History, closes: list[float], kept: np.ndarray) -> list[float]:
    """For dividends: each lowers what came before it by its part of the close before."""
    factors = np.ones(len(known.days))
    for at in np.flatnonzero(known.dividend):
        factors[:at] *= 1 - known.dividend[at] * known.split[at] / known.close[at - 1]
    return [round(close * float(factor), 6) for close, factor in zip(closes, factors[kept], strict=True)]


def _yahoo_error(code: str, description: str) -> dict[str, Any]:
    return {"chart": {"result": None, "error": {"code": code, "description": description}}}


# Alpha Vantage: 200 whatever happens


def _alpha_vantage(asked: Asked, stand_ins: StandIns) -> Reply:
    function, symbol, key = (asked.query.get(name, "") for name in ("function", "symbol", "apikey"))
    if key not in (GOOD, FREE):
        return Reply(
            200,
            {
                "Error Message": "the parameter apikey is invalid or missing. Please claim your free API key on "
                "(https://www.alphavantage.co/support/#api-key). It should take less than 20 seconds."
            },
        )
    if function == "SYMBOL_SEARCH":
        found = difflib.get_close_matches(asked.query.get("keywords", ""), SPLITS, 3, 0.5)
        return Reply(200, {"bestMatches": [{"1. symbol": name, "2. name": name} for name in found]})
    if symbol not in SPLITS:
        return Reply(200, {"Error Message": "Invalid API call. Please retry or visit the documentation."})
    adjusted = function == "TIME_SERIES_DAILY_ADJUSTED"
    if key == FREE and (adjusted or asked.query.get("outputsize") == "full"):
        return Reply(
            200,
            {
                "Information": "Thank you for using Alpha Vantage! This is a premium endpoint. You may subscribe to "
                "any of the premium plans at https://www.alphavantage.co/premium/"
            },
        )
    known = history(symbol)
    rows = {}
    first = 0 if asked.query.get("outputsize") == "full" else len(known.days) - 100
    for at in reversed(range(first, len(known.days))):
        row = {f"{i}. {name}": f"{getattr(known, name)[at] * stand_ins.shift:.4f}" for i, name in _NUMBERED}
        if adjusted:
            row |= {
                "5. adjusted close": f"{known.close[at]:.4f}",
                "6. volume": f"{known.volume[at]:.0f}",
                "7. dividend amount": f"{known.dividend[at]:.4f}",
                "8. split coefficient": f"{known.split[at]:.1f}",
            }
        else:
            row["5. volume"] = f"{known.volume[at]:.0f}"
        rows[str(known.days[at])] = row
    return Reply(200, {"Meta Data": {"2. Symbol": symbol}, "Time Series (Daily)": rows})


_NUMBERED = tuple(enumerate(("open", "high", "low", "close"), start=1))


def alpha_vantage_a_second() -> Reply:
    return Reply(
        200,
        {
            "Information": "Thank you for using Alpha Vantage! Please consider spreading out your free API requests "
            "more sparingly (1 request per second). You may subscribe to any of the premium plans to lift the free "
            "key rate limit (25 requests per day) and instantly remove all daily rate limits."
        },
    )


def alpha_vantage_a_day(key: str = GOOD) -> Reply:
    return Reply(
        200,
        {
            "Information": f"We have detected your API key as {key} and our standard API rate limit is 25 requests per "
            "day. Please subscribe to any of the premium plans to instantly remove all daily rate limits."
        },
    )


# Nasdaq Data Link

_COLUMNS = ("ticker", "date", "open", "high", "low", "close", "volume", "ex-dividend", "split_ratio", "adj_close")


def _nasdaq(asked: Asked, stand_ins: StandIns) -> Reply:
    key = asked.headers.get("x-api-token") or asked.query.get("api_key", "")
    if key not in (GOOD, FREE):
        return _quandl(400, "QEAx01", f"We could not recognize your API key {key}. Please check your API key.")
    if found := re.match(r"/api/v3/datasets/(\w+)/(\w+)/data", asked.path):
        return Reply(410, "<html>410 Gone</html>") if found[1] == "WIKI" else _quandl(404, "QECx02", "Incorrect code")
    found = re.match(r"/api/v3/datatables/(\w+)/(\w+)", asked.path)
    if not found:
        return _quandl(404, "QECx01", "We could not recognize the URL you requested.")
    if (found[1], found[2]) == ("SHARADAR", "SEP") and key == FREE:
        return _quandl(403, "QEPx04", "A valid API key with a subscription is required to access this datatable.")
    if (found[1], found[2]) not in (("WIKI", "PRICES"), ("SHARADAR", "SEP")):
        return _quandl(404, "QECx02", "You have submitted an incorrect Quandl code.")
    rows = []
    for symbol in asked.query.get("ticker", "").split(","):
        if symbol not in SPLITS:
            continue
        known = history(symbol)
        for at, day in enumerate(known.days):
            if str(day) < asked.query.get("date.gte", ""):
                continue
            prices = [float(getattr(known, name)[at]) * stand_ins.shift for name in _COLUMNS[2:6]]
            rest = [float(column[at]) for column in (known.volume, known.dividend, known.split, known.close)]
            rows.append([symbol, str(day), *prices, *rest])
    offset = int(asked.query.get("qopts.cursor_id") or 0)
    size = min(int(asked.query.get("qopts.per_page", 10_000)), 150)  # small pages, so that there are several
    more = str(offset + size) if offset + size < len(rows) else None
    columns = [{"name": name, "type": "double"} for name in _COLUMNS]
    return Reply(
        200, {"datatable": {"data": rows[offset : offset + size], "columns": columns}, "meta": {"next_cursor_id": more}}
    )


def _quandl(status: int, code: str, message: str) -> Reply:
    return Reply(status, {"quandl_error": {"code": code, "message": message}})


# FRED

_FIGURES = (
    ("2020-01-01", "100.0", "2020-02-14"),
    ("2020-02-01", ".", "2020-03-13"),
    ("2020-03-01", "99.5", "2020-04-10"),
)


def _fred(asked: Asked, stand_ins: StandIns) -> Reply:
    if asked.query.get("api_key") not in (GOOD, FREE):
        return Reply(
            400, {"error_code": 400, "error_message": "Bad Request.  The value for variable api_key is not registered."}
        )
    if asked.path == "/fred/series/search":
        return Reply(200, {"seriess": [{"id": name} for name in ("CPIAUCSL", "CPILFESL", "CPIAUCNS")]})
    if asked.query.get("series_id") not in ("CPIAUCSL", "GDP"):
        return Reply(400, {"error_code": 400, "error_message": "Bad Request.  The series does not exist."})
    if asked.path == "/fred/series":
        about = {"title": "Consumer Price Index", "units": "Index 1982-1984=100", "frequency_short": "M"}
        return Reply(200, {"seriess": [about]})
    known_on = asked.query.get("realtime_end", "9999-12-31")
    rows = [
        {"realtime_start": published, "realtime_end": "9999-12-31", "date": day, "value": value}
        for day, value, published in _FIGURES
        if published <= known_on and asked.query.get("observation_start", "") <= day
    ]
    if known_on == "9999-12-31" and asked.query.get("output_type") != "4":
        rows[0]["value"] = "101.5"  # since revised
    return Reply(200, {"observations": rows})


# European Central Bank


def _ecb(asked: Asked, stand_ins: StandIns) -> Reply:
    currency = asked.path.split(".")[1]
    if currency not in ("USD", "CHF"):
        return Reply(404, "No results found.")
    days = (("2024-01-02", "1.0956"), ("2024-01-03", "1.0919"), ("2024-01-04", "1.0953"))
    kept = [
        f"EXR.D.{currency}.EUR.SP00.A,D,{currency},EUR,SP00,A,{day},{rate}"
        for day, rate in days
        if asked.query.get("startPeriod", "") <= day <= asked.query.get("endPeriod", "9999")
    ]
    head = "KEY,FREQ,CURRENCY,CURRENCY_DENOM,EXR_TYPE,EXR_SUFFIX,TIME_PERIOD,OBS_VALUE"
    return Reply(200, "\r\n".join([head, *kept]) + "\r\n")


# Tiingo


def _tiingo(asked: Asked, stand_ins: StandIns) -> Reply:
    key = asked.headers.get("authorization", "").removeprefix("Token ")
    if key not in (GOOD, FREE):
        return Reply(401, {"detail": f"Invalid token {key}."})
    if asked.path == "/api/test":
        return Reply(200, {"message": "You successfully sent a request"})
    if asked.path == "/tiingo/utilities/search":
        return Reply(200, [{"ticker": name} for name in ("aapl", "aap", "apl")])
    symbol = asked.path.split("/")[3]
    if symbol == "PRIVATE":
        return Reply(403, {"detail": "You do not have permission to access this ticker"})
    if symbol not in SPLITS:
        return Reply(404, {"detail": f"Error: Ticker '{symbol}' not found"})
    known = history(symbol)
    begin, end = asked.query.get("startDate", ""), asked.query.get("endDate", "9999")
    rows = [
        {
            "date": f"{day}T00:00:00.000Z",
            **{name: float(getattr(known, name)[at]) * stand_ins.shift for name in ("open", "high", "low", "close")},
            "volume": int(known.volume[at]),
            "adjClose": float(known.close[at]),
            "divCash": float(known.dividend[at]),
            "splitFactor": float(known.split[at]),
        }
        for at, day in enumerate(known.days)
        if begin <= str(day) <= end
    ]
    return Reply(200, rows)


# Binance


def _binance(asked: Asked, stand_ins: StandIns) -> Reply:
    if asked.query.get("symbol") != "BTCUSDT":
        return Reply(400, {"code": -1121, "msg": "Invalid symbol."})
    step = {"1m": 60_000, "1h": 3_600_000, "1d": 86_400_000}[asked.query["interval"]]
    begin, end, limit = (int(asked.query[name]) for name in ("startTime", "endTime", "limit"))
    now = int(datetime.now(UTC).timestamp() * 1000)
    first = max(-(-begin // step) * step, int(datetime(2023, 1, 1, tzinfo=UTC).timestamp() * 1000))
    rows = []
    for moment in range(first, min(end, now), step):
        price = 40_000 + moment // step % 1000
        text = [f"{price + add:.2f}" for add in (0, 10, -10, 5)]
        rows.append([moment, *text, "12.5", moment + step - 1, "0", 10, "0", "0", "0"])
        if len(rows) == limit:
            break
    return Reply(200, rows)


# LSEG


def _lseg(asked: Asked, stand_ins: StandIns) -> Reply:
    if asked.path == "/auth/oauth2/v2/token":
        if asked.form.get("client_secret") not in (GOOD, FREE):
            return Reply(401, {"error": "invalid_client"})
        return Reply(200, {"access_token": f"token-of-{asked.form['client_secret']}", "expires_in": 600})
    token = asked.headers.get("authorization", "").removeprefix("Bearer token-of-")
    if token not in (GOOD, FREE):
        return Reply(401, {"error": {"message": "token expired"}})
    if token == FREE:
        return Reply(403, {"error": {"message": "insufficient scope"}})
    ric = asked.path.rpartition("/")[2]
    symbol = ric.removesuffix(".O")
    if symbol not in SPLITS:
        status = {"code": "TS.Interday.UserRequestError.70005", "message": "The universe is not found."}
        return Reply(200, [{"universe": {"ric": ric}, "status": status}])
    known = history(symbol)
    names = ("DATE", "OPEN_PRC", "HIGH_1", "LOW_1", "TRDPRC_1", "ACVOL_UNS")
    rows = [
        [str(day), *(float(getattr(known, name)[at]) for name in ("open", "high", "low", "close", "volume"))]
        for at, day in enumerate(known.days)
        if asked.query.get("start", "") <= str(day) <= asked.query.get("end", "9999")
    ]
    headers = [{"name": name, "type": "number"} for name in names]
    return Reply(200, [{"universe": {"ric": ric}, "interval": "P1D", "headers": headers, "data": rows[::-1]}])


ANSWERS: dict[str, Callable[[Asked, StandIns], Reply]] = {
    **{host: _yahoo for host in HOSTS if host.endswith("yahoo.com")},
    "www.alphavantage.co": _alpha_vantage,
    "data.nasdaq.com": _nasdaq,
    "api.stlouisfed.org": _fred,
    "data-api.ecb.europa.eu": _ecb,
    "api.tiingo.com": _tiingo,
    "api.binance.com": _binance,
    "api.refinitiv.com": _lseg,
}
