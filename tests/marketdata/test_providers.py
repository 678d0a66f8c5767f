"""One question, one form of answer, whoever is asked; and each provider's refusals by their kind, over TLS."""

from __future__ import annotations

import os
import sys
from datetime import date, timedelta

import httpx
import numpy as np
import pytest

from marketdata import providers
from marketdata.providers import Question
from marketdata.providers.connection import LARGEST_ANSWER, Connection
from marketdata.providers.description import actions_of
from marketdata.providers.errors import (
    BadResponse,
    NoData,
    NotEntitled,
    ProviderDown,
    QuotaExceeded,
    RateLimited,
    UnknownSymbol,
)
from tests.providers.answers import (
    BAD,
    FREE,
    GOOD,
    Reply,
    alpha_vantage_a_day,
    alpha_vantage_a_second,
    nonsense,
    too_many,
)
from tests.providers.histories import history

SHARES = {"tiingo": "AAPL", "alphavantage": "AAPL", "nasdaq": "WIKI/PRICES/AAPL", "yahoo": "AAPL"}
SYMBOLS = {**SHARES, "fred": "CPIAUCSL", "ecb": "EURUSD", "binance": "BTCUSDT", "lseg": "AAPL.O"}
HOSTS = {name: providers.find(name).base.removeprefix("https://") or "query2.finance.yahoo.com" for name in SYMBOLS}
KEYED = [name for name in SYMBOLS if providers.find(name).needs_key]


def ask(name: str, symbol: str = "", key: str = GOOD, seconds: float = 15, **span):
    provider = providers.find(name)
    fields = dict.fromkeys(provider.key_fields, key)
    with Connection(provider, providers.address_of(provider), fields, timeout=httpx.Timeout(seconds)) as connection:
        return provider.fetch(Question(symbol or SYMBOLS[name], **span), connection)


@pytest.mark.parametrize("name", SHARES)
def test_shares_have_one_form_and_the_prices_as_traded_whoever_gives_them(stand_ins, name):
    bars, known = ask(name), history("AAPL")
    assert list(bars.columns) == ["open", "high", "low", "close", "volume"]
    assert {column.dtype for column in bars.columns.values()} == {np.dtype("float64")}
    assert bars.dates.dtype == np.dtype("datetime64[us]")
    np.testing.assert_array_equal(bars.dates.astype("datetime64[D]"), known.days)
    for column in bars.columns:
        np.testing.assert_allclose(bars.columns[column], getattr(known, column), rtol=1e-6)
    happened = (known.split != 1) | (known.dividend != 0)
    np.testing.assert_array_equal(bars.actions.dates.astype("datetime64[D]"), known.days[happened])
    np.testing.assert_allclose(bars.actions.split, known.split[happened])
    np.testing.assert_allclose(bars.actions.dividend, known.dividend[happened], rtol=1e-6)
    assert (bars.adjustment, bars.interval, bars.kind) == ("raw", "1d", "equity")


@pytest.mark.parametrize("name", SHARES)
def test_both_ends_of_the_days_asked_for_are_included(stand_ins, name):
    days = history("AAPL").days
    bars = ask(name, start=days[-260].astype(date), end=days[-220].astype(date))
    np.testing.assert_array_equal(bars.dates.astype("datetime64[D]"), days[-260:-219])
    # Two splits came later, and still these are the prices of those days.
    np.testing.assert_allclose(bars.columns["close"], history("AAPL").close[-260:-219], rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in SYMBOLS if name != "nasdaq"])
def test_unknown_symbol_is_told_as_such(stand_ins, name):
    unknown = {"ecb": "EURXXX", "binance": "BTCXYZ"}.get(name, "NOPE")
    with pytest.raises(UnknownSymbol, match=unknown) as refusal:
        ask(name, unknown)
    if name in ("tiingo", "fred", "ecb", "binance"):
        assert len(refusal.value.nearest) == 3


def test_unknown_tables_and_tickers_say_how_they_are_written(stand_ins):
    for symbol in ("AAPL", "NO/TABLE/AAPL", "WIKI/PRICES/NOPE"):
        with pytest.raises(UnknownSymbol, match="VENDOR/TABLE/TICKER"):
            ask("nasdaq", symbol)


@pytest.mark.parametrize("name", KEYED)
def test_bad_key_is_told_and_not_repeated(stand_ins, name):
    with pytest.raises(NotEntitled, match="does not accept your key") as refusal:
        ask(name, key=BAD)
    assert BAD not in str(refusal.value)
    provider = providers.find(name)
    with Connection(provider, provider.base, dict.fromkeys(provider.key_fields, BAD)) as connection:
        with pytest.raises(NotEntitled):
            provider.check(connection)
    with Connection(provider, provider.base, dict.fromkeys(provider.key_fields, GOOD)) as connection:
        provider.check(connection)


@pytest.mark.parametrize(
    ("name", "symbol", "span"),
    [
        ("alphavantage", "AAPL", {"start": date(2024, 1, 2), "end": date.today() - timedelta(days=300)}),
        ("nasdaq", "SHARADAR/SEP/AAPL", {}),
        ("tiingo", "PRIVATE", {}),
        ("lseg", "AAPL.O", {}),
    ],
)
def test_what_a_key_does_not_include_is_told(stand_ins, name, symbol, span):
    with pytest.raises(NotEntitled, match=r"Your key for .+ (gives|does not include)"):
        ask(name, symbol, key=FREE, **span)


@pytest.mark.parametrize("name", SYMBOLS)
def test_throttle_is_told_with_its_time(stand_ins, name):
    stand_ins.always[HOSTS[name]] = lambda: too_many("7")
    if name == "yahoo":  # it answers the crumb like everything else
        stand_ins.always["query1.finance.yahoo.com"] = too_many
    with pytest.raises(RateLimited, match="refuses for now") as refusal:
        ask(name)
    assert (refusal.value.retry_at is None) == (name == "yahoo")


@pytest.mark.parametrize("name", SYMBOLS)
def test_malformed_answer_is_refused(stand_ins, name):
    for host in stand_ins_hosts(name):
        stand_ins.always[host] = nonsense
    with pytest.raises((BadResponse, UnknownSymbol)) as refusal:
        ask(name)
    # yfinance cannot tell a page of regrets from a symbol without a time zone.
    assert name == "yahoo" or refusal.type is BadResponse


@pytest.mark.parametrize("name", [name for name in SYMBOLS if name != "yahoo"])
@pytest.mark.parametrize(
    "body", [[], {}, [[]], [{}], {"observations": [{}]}, {"datatable": {}}, "KEY,VALUE\r\n1,2\r\n"]
)
def test_answer_of_another_shape_is_no_crash(stand_ins, name, body):
    stand_ins.always[HOSTS[name]] = lambda: Reply(200, body)
    with pytest.raises((BadResponse, NoData, UnknownSymbol)):
        ask(name)


@pytest.mark.parametrize("name", [name for name in SYMBOLS if name != "yahoo"])
def test_time_out_and_own_fault_are_told_without_the_key(stand_ins, name):
    stand_ins.always[HOSTS[name]] = lambda: Reply(503, "overloaded")
    with pytest.raises(ProviderDown, match="503"):
        ask(name)
    del stand_ins.always[HOSTS[name]]
    stand_ins.slowness[HOSTS[name]] = 0.6
    with pytest.raises(ProviderDown, match="did not answer in time") as refusal:
        ask(name, seconds=0.2)
    assert GOOD not in f"{refusal.value!r} {refusal.value.__cause__!r} {refusal.getrepr()}".replace(f"'{GOOD}'", "")
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize("factor", [1e-320, 0.0, 1e300])
def test_split_that_never_was_is_refused(factor):
    days = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[us]")
    with pytest.raises(BadResponse, match="nothing of it was kept"):
        actions_of(days, np.array([1.0, factor]), np.zeros(2))


def test_redirects_are_not_followed_and_great_answers_are_cut_off(stand_ins):
    stand_ins.faults["api.tiingo.com"] = [lambda: Reply(302, "", {"Location": "https://data.nasdaq.com/steal"})]
    with pytest.raises(BadResponse, match="another address"):
        ask("tiingo")
    assert not stand_ins.requests_to("data.nasdaq.com")
    stand_ins.faults["api.tiingo.com"] = [lambda: Reply(200, " " * (LARGEST_ANSWER + 1))]
    with pytest.raises(BadResponse, match="64 MB"):
        ask("tiingo")


def test_unreachable_provider_is_told(stand_ins, settings):
    settings.PROVIDER_URLS = {"tiingo": "https://nowhere.example.org"}  # the way out refuses it
    with pytest.raises(ProviderDown, match="cannot be reached"):
        ask("tiingo")


def test_alpha_vantage_says_what_is_used_up_and_what_a_free_key_gives(stand_ins):
    host = "www.alphavantage.co"
    stand_ins.faults[host] = [alpha_vantage_a_second]
    with pytest.raises(RateLimited):
        ask("alphavantage")
    stand_ins.faults[host] = [alpha_vantage_a_day]
    with pytest.raises(QuotaExceeded, match="tomorrow") as refusal:
        ask("alphavantage")
    assert GOOD not in str(refusal.value) and refusal.value.retry_at is not None
    bars = ask("alphavantage", key=FREE)
    assert len(bars.dates) == 100 and bars.actions is None and "neither splits nor dividends" in bars.adjustment
    stand_ins.asked.clear()
    ask("alphavantage", key=FREE, start=date.today() - timedelta(days=30))
    assert [asked.query["function"] for asked in stand_ins.asked] == ["TIME_SERIES_DAILY"]  # one call of 25


def test_a_free_key_of_alpha_vantage_gives_what_it_has_of_a_longer_range_and_says_so(stand_ins):
    start = date.today() - timedelta(days=400)
    bars = ask("alphavantage", key=FREE, start=start)
    assert len(bars.dates) == 100
    assert f"from {start} on" in bars.notice and f"begins on {bars.dates[0].astype('M8[D]')}." in bars.notice
    assert ask("alphavantage", key=GOOD, start=start).notice == ""


def test_alpha_vantage_names_what_its_own_search_finds(stand_ins):
    with pytest.raises(UnknownSymbol) as refusal:
        ask("alphavantage", "AAPX")
    assert refusal.value.nearest[0] == "AAPL"
    with pytest.raises(UnknownSymbol) as refusal:
        ask("alphavantage", "QQQQZZZZ")
    assert refusal.value.nearest == []


def test_alpha_vantage_does_not_take_a_wrong_key_for_a_free_one(stand_ins):
    with pytest.raises(NotEntitled, match="does not accept your key"):
        ask("alphavantage", key=BAD, start=date.today() - timedelta(days=400))


def test_old_time_series_of_nasdaq_data_link_say_that_they_are_gone(stand_ins):
    with pytest.raises(NotEntitled, match="410") as refusal:
        ask("nasdaq", "WIKI/AAPL")
    assert "FRED" in str(refusal.value)


def test_fred_gives_what_was_known_on_a_day_and_what_was_published_first(stand_ins):
    today = ask("fred")
    assert list(today.columns) == ["close"] and (today.interval, today.kind) == ("1mo", "macro")
    np.testing.assert_array_equal(today.columns["close"], [101.5, np.nan, 99.5])
    then = ask("fred", "CPIAUCSL@2020-03-20")
    np.testing.assert_array_equal(then.columns["close"], [100.0, np.nan])
    first = ask("fred", "CPIAUCSL@FIRST")
    np.testing.assert_array_equal(first.columns["close"], [100.0, np.nan, 99.5])
    np.testing.assert_array_equal(first.columns["published_after_days"], [44, 41, 40])
    with pytest.raises(UnknownSymbol, match="no day"):
        ask("fred", "CPIAUCSL@yesterday")


def test_rates_of_the_ecb_are_for_one_euro(stand_ins):
    bars = ask("ecb", start=date(2024, 1, 3))
    np.testing.assert_array_equal(bars.columns["close"], [1.0919, 1.0953])
    assert bars.unit == "USD for one euro"
    ecb = providers.find("ecb")
    assert {providers.spelled(ecb, text) for text in ("usd", "EUR/USD", "eurusd")} == {"EURUSD"}


def test_candles_come_by_the_thousand_and_only_those_that_have_ended(stand_ins):
    bars = ask("binance", interval="1h", start=date.today() - timedelta(days=60))
    assert len(stand_ins.asked) == 2 and len(bars.dates) > 1400
    assert bars.dates[-1] + np.timedelta64(1, "h") <= np.datetime64("now")
    assert np.all(np.diff(bars.dates) == np.timedelta64(1, "h")) and bars.zone == "UTC"
    with pytest.raises(QuotaExceeded, match="fewer days"):
        ask("binance", interval="1m")


def test_yfinance_leaves_nothing_and_knows_nothing_of_the_site(stand_ins, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SECRET_KEY", "of-the-site")
    monkeypatch.delitem(sys.modules, "yfinance", raising=False)  # whoever needed it before
    ask("yahoo")
    assert list(tmp_path.iterdir()) == []
    assert "yfinance" not in sys.modules


@pytest.mark.parametrize("symbol", ["../x", "a/../b", "", " ", "A" * 61, "x\ny", "AAPL?apikey=1", "%2e%2e"])
def test_what_cannot_be_a_symbol_reaches_no_provider(symbol):
    with pytest.raises(UnknownSymbol, match="cannot be a symbol"):
        providers.spelled(providers.find("tiingo"), symbol)


# Bloomberg: the operator's own module and session

BLPAPI = """
class Event: TIMEOUT, RESPONSE, PARTIAL_RESPONSE = 10, 5, 6
class InvalidStateException(Exception): pass
class UnknownErrorException(Exception): pass
class SessionOptions:
    def setServerHost(self, host): assert host == "bpipe.example.org"
    def setServerPort(self, port): assert port == 8194
    def setSessionIdentityOptions(self, options): assert options == "app:ours"
class AuthOptions:
    createWithApp = staticmethod(lambda name: f"app:{name}")
class Element(dict):
    hasElement = dict.__contains__
    getElement = getElementAsString = getElementAsFloat = getElementAsDatetime = dict.__getitem__
class Table(list):
    numValues, getValueAsElement = list.__len__, list.__getitem__
class Request:
    def __init__(self): self.said, self.lists = {}, {"securities": [], "fields": []}
    def getElement(self, name):
        outer = self.lists[name]
        return type("Array", (), {"appendValue": lambda self, value: outer.append(value)})()
    def set(self, name, value): self.said[name] = value
class Events:
    def __init__(self, kind, *messages): self.kind, self.messages = kind, messages
    def eventType(self): return self.kind
    def __iter__(self): return iter(self.messages)
class Session:
    def __init__(self, options): pass
    def start(self): return True
    def stop(self): pass
    def openService(self, name): return name == "//blp/refdata"
    def getService(self, name): return self
    def createRequest(self, name):
        assert name == "HistoricalDataRequest"
        self.request = Request()
        return self.request
    def sendRequest(self, request):
        from datetime import datetime
        assert request.said["adjustmentSplit"] is False and len(request.lists["fields"]) == 5
        security = request.lists["securities"][0]
        if security == "NOPE US Equity":
            data = Element(securityError=Element(category="BAD_SEC"))
            self.events = [Events(Event.RESPONSE, Element(securityData=data))]
        elif security == "MSFT US Equity":
            self.events = [Events(Event.RESPONSE, Element(responseError=Element(category="LIMIT")))]
        elif security == "GONE US Equity":
            raise InvalidStateException("Session Not Started", 0x10003)
        else:
            if security == "NEWS US Equity":
                import sys
                sys.stderr.write("apikey=" + "AB12CD34" * 1000 + "\\ntoken=AB12CD34\\n")
            assert security != "NEWS US Equity", "a field of no kind that is known"
            row = lambda day, price: Element(date=datetime(2024, 1, day), PX_OPEN=price, PX_HIGH=price + 1,
                                             PX_LOW=price - 1, PX_LAST=price, PX_VOLUME=1000.0)
            parts = [Element(securityData=Element(fieldData=Table([row(day, 100.0 + day)]))) for day in (2, 3)]
            self.events = [Events(Event.PARTIAL_RESPONSE, parts[0]), Events(Event.RESPONSE, parts[1])]
    def nextEvent(self, milliseconds): return self.events.pop(0)
"""


@pytest.fixture
def bloomberg(tmp_path, settings):
    """A Python with a module that speaks as blpapi does; the session behind it is made up."""
    (tmp_path / "blpapi.py").write_text(BLPAPI)
    python = tmp_path / "python"
    runs = f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path(sys.argv[2], run_name='__main__')"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{runs}" "$@"\n')
    python.chmod(0o755)
    settings.BLOOMBERG_PYTHON, settings.BLOOMBERG_SERVER = str(python), "bpipe.example.org:8194"
    settings.BLOOMBERG_APPLICATION = "ours"


def test_bloomberg_is_asked_through_the_operators_session(bloomberg):
    bars = ask("bloomberg", "AAPL US Equity")
    np.testing.assert_array_equal(bars.columns["close"], [102.0, 103.0])
    assert str(bars.dates[0].astype("datetime64[D]")) == "2024-01-02" and list(bars.columns)[-1] == "volume"
    with pytest.raises(UnknownSymbol, match="yellow key"):
        ask("bloomberg", "NOPE US Equity")
    with pytest.raises(RateLimited):
        ask("bloomberg", "MSFT US Equity")


def test_a_program_that_fails_is_not_told_as_a_provider_that_is_down_and_the_log_says_why(bloomberg, caplog):
    with pytest.raises(ProviderDown, match="session with Bloomberg does not answer"):
        ask("bloomberg", "GONE US Equity")
    with pytest.raises(BadResponse, match="not the data it promises"):
        ask("bloomberg", "NEWS US Equity")
    [line] = [record.getMessage() for record in caplog.records if record.name == "marketdata.providers.own_process"]
    assert "asks Bloomberg failed, exit status 0" in line and "a field of no kind that is known" in line
    assert len(line) < 5000 and "AB12CD34" not in line


def test_without_a_session_bloomberg_explains_itself():
    with pytest.raises(NotEntitled, match="upload the file"):
        ask("bloomberg", "AAPL US Equity")


# The providers' own clients keep the stand-ins honest


def test_the_official_clients_read_the_stand_ins(stand_ins):
    from alpha_vantage.timeseries import TimeSeries

    frame, _ = TimeSeries(key=GOOD, output_format="pandas").get_daily_adjusted("AAPL", outputsize="full")
    np.testing.assert_allclose(frame["4. close"].to_numpy()[::-1], history("AAPL").close, atol=1e-4)
    import nasdaqdatalink

    nasdaqdatalink.ApiConfig.api_key = GOOD
    table = nasdaqdatalink.get_table("WIKI/PRICES", ticker="AAPL", paginate=True)
    np.testing.assert_allclose(table["close"].to_numpy(), history("AAPL").close)


def stand_ins_hosts(name: str) -> list[str]:
    if name == "yahoo":
        return ["query1.finance.yahoo.com", "query2.finance.yahoo.com"]
    return [HOSTS[name]]


def test_the_way_out_is_the_one_of_the_environment(stand_ins):
    assert os.environ["HTTPS_PROXY"].startswith("http://127.0.0.1:")
    ask("ecb")
    assert [asked.host for asked in stand_ins.asked] == ["data-api.ecb.europa.eu"]
