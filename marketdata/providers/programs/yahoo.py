"""What does Yahoo Finance say of one symbol? Run as a program: a question on its input, the answer on its output.

The real yfinance is used for its cookies and crumbs. It keeps both in files and in the process, so every question
gets a process and a home folder of its own.
"""

import json
import signal
import sys
import traceback
import warnings


def answer(question: dict) -> dict:
    import yfinance

    yfinance.set_tz_cache_location("cache")
    # A refusal must not look like an empty answer, and our own back-off is the only one.
    yfinance.config.debug.hide_exceptions = False
    yfinance.config.network.retries = 0
    ticker = yfinance.Ticker(question["symbol"])
    span = {"start": question["start"]} if question["start"] else {"period": "max"}
    frame = ticker.history(
        **span, interval=question["interval"], auto_adjust=False, actions=True, timeout=10, raise_errors=True
    )
    about = ticker.history_metadata or {}
    moments = frame.index.tz_convert("UTC") if question["interval"] != "1d" else frame.index.tz_localize(None)
    names = {
        "open": "Open",
        "high": "High",
        "low": "Low",
        "close": "Close",
        "volume": "Volume",
        "dividend": "Dividends",
        "split": "Stock Splits",
    }
    return {
        "moments": [moment.strftime("%Y-%m-%dT%H:%M:%S") for moment in moments],
        "columns": {
            ours: [None if value != value else float(value) for value in frame[theirs]]
            for ours, theirs in names.items()
            if theirs in frame
        },
        "about": {
            ours: str(about.get(theirs) or "")
            for ours, theirs in (
                ("name", "longName"),
                ("kind", "instrumentType"),
                ("currency", "currency"),
                ("zone", "exchangeTimezoneName"),
                ("exchange", "exchangeName"),
            )
        },
    }


def kind_of(error: BaseException) -> str:
    """By the names of yfinance's and curl's errors: what they inherit from changes between versions."""
    names = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(getattr(error, "response", None), "status_code", None)
    if "YFRateLimitError" in names or status == 429:
        return "RateLimited"
    if names & {"YFPricesMissingError", "YFTzMissingError", "YFTickerMissingError"} or status == 404:
        return "UnknownSymbol"
    if "YFInvalidPeriodError" in names or status in (400, 422):
        return "NoData"
    if names & {"Timeout", "ConnectionError", "RequestException", "RequestsError", "YFDataException"} and not (
        names & {"JSONDecodeError", "InvalidJSONError"}
    ):
        return "ProviderDown"
    return "BadResponse"


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    signal.alarm(asked["seconds"])
    warnings.simplefilter("ignore")
    out, sys.stdout = sys.stdout, sys.stderr  # libraries print
    try:
        said = answer(asked)
    except Exception as problem:
        traceback.print_exc()
        said = {"error": kind_of(problem)}
    json.dump(said, out)
