"""The starter catalogue through qfp.data: values known from elsewhere, adjustment, names, errors."""

from __future__ import annotations

import hashlib
import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from qfp import objects
from qfp.data import catalogue


def test_raw_bars_are_what_was_traded(data):
    bar = data.prices("AAPL", "2005-02-25", "2005-02-28", adjust=None)
    assert list(bar.columns) == ["open", "high", "low", "close", "volume", "dividend", "split"]
    assert bar["close"].tolist() == [88.99, 44.86]
    assert bar["split"].tolist() == [1.0, 2.0]


def test_the_starting_and_ending_day_are_included(data):
    bars = data.prices("aapl", "2010-01-04", "2010-01-08")
    assert list(bars.index.strftime("%d")) == ["04", "05", "06", "07", "08"]


def test_days_before_the_first_bar_are_told_at_the_line_that_asked_for_them(data):
    with pytest.warns(
        UserWarning, match="The bars of AAPL begin on 2000-03-01; there are none from 1990-01-01"
    ) as told:
        bars = data.prices("AAPL", "1990-01-01", "2000-03-10")
    assert told[0].filename == __file__ and str(bars.index[0].date()) == "2000-03-01"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.prices("AAPL", "2000-02-26", "2000-03-10")  # a weekend is no news


def test_adjusted_returns_equal_the_sources_own_adjusted_closes(data):
    """MSFT around its special dividend of 3.08: the day's return with the dividend added back."""
    raw = data.prices("MSFT", "2004-11-12", "2004-11-15", adjust=None)["close"]
    adjusted = data.prices("MSFT", "2004-11-12", "2004-11-15")["close"]
    by_hand = raw.iloc[1] / (raw.iloc[0] - 3.08) - 1
    assert adjusted.iloc[1] / adjusted.iloc[0] - 1 == pytest.approx(by_hand, rel=1e-12)


def test_the_last_bar_is_never_changed_by_adjustment(data):
    for symbol in ("AAPL", "IBM", "MSFT"):
        assert data.prices(symbol)["close"].iloc[-1] == data.prices(symbol, adjust=None)["close"].iloc[-1]


def test_corporate_actions_were_rebuilt_exactly(data):
    apple, microsoft, ibm = (data.actions(symbol) for symbol in ("AAPL", "MSFT", "IBM"))
    assert apple["split"][apple["split"] != 1].to_dict() == {
        pd.Timestamp("2000-06-21"): 2.0,
        pd.Timestamp("2005-02-28"): 2.0,
    }
    assert apple["dividend"][apple["dividend"] > 0].tolist() == [2.65] * 3
    assert (microsoft["dividend"] > 0).sum() == 37 and microsoft["dividend"]["2004-11-15"] == 3.08
    assert (ibm["dividend"] > 0).sum() == 52
    assert data.actions("FB").empty


def test_bars_carry_where_they_come_from_through_a_slice(data):
    bars = data.prices("GOOG", adjust="split")
    assert bars.iloc[100:200].attrs == bars.attrs
    assert bars.attrs["series"] == "starter/us/1d/GOOG" and bars.attrs["snapshot"] == data.snapshot()
    assert bars.attrs["object"] == data.info("GOOG")["object"]


def test_a_panel_lines_up_days_and_leaves_gaps_missing(data):
    closes = data.panel(["IBM", "FB"], "2012-05-01", "2012-06-01")
    assert list(closes.columns) == ["IBM", "FB"]
    assert closes["FB"].isna().sum() == 13 and closes["FB"].first_valid_index() == pd.Timestamp("2012-05-18")


@pytest.mark.parametrize(("asked", "nearest"), [("APPL", "AAPL"), ("MFST", "MSFT"), ("Aple", "AAPL"), ("SP501", "SPX")])
def test_an_unknown_symbol_is_answered_with_the_nearest_names(data, asked, nearest):
    with pytest.raises(data.UnknownSymbol, match="Did you mean") as caught:
        data.prices(asked)
    assert nearest in caught.value.nearest and isinstance(caught.value, data.DataError)


def test_what_is_like_nothing_is_answered_without_a_guess(data):
    with pytest.raises(data.UnknownSymbol, match="lists what there is") as caught:
        data.prices("NVDIA")
    assert caught.value.nearest == [] and "Did you mean" not in str(caught.value)


def test_days_behind_the_end_of_a_series_name_the_longer_one(data):
    # By its file: the real one is installed here, too.
    place = Path(__file__).parents[2] / "sandbox/sdk/compat/yfinance/__init__.py"
    spec = importlib.util.spec_from_file_location("compatible_yfinance", place)
    yfinance = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(yfinance)
    longer = "'starter/panel/sp500_20/AAPL', goes from 1990-01-02 to 2022-12-28, with closes only"
    for ask in (lambda start: data.prices("AAPL", start), lambda start: yfinance.download("AAPL", start=start)):
        with pytest.raises(data.NoData, match="2013-03-01") as caught:
            ask("2015-01-01")
        assert longer in str(caught.value)
        with pytest.raises(data.NoData) as caught:
            ask("2024-01-01")
        assert "Another series" not in str(caught.value)
    assert len(yfinance.download("starter/panel/sp500_20/AAPL", start="2015-01-01")) > 1_000


def test_a_list_of_symbols_is_answered_with_the_call_that_takes_one(data):
    with pytest.raises(data.DataError, match=r"data\.panel\(\['AAPL', 'IBM'\]\)"):
        data.prices(["AAPL", "IBM"])


def test_other_names_find_a_series(data):
    assert data.info("^gspc")["symbol"] == "SPX" and data.info("Apple")["symbol"] == "AAPL"


@pytest.mark.parametrize(
    "call",
    [
        lambda d: d.prices("AAPL", "2020-01-01"),
        lambda d: d.prices("AAPL", "2012-01-01", "2011-01-01"),
        lambda d: d.prices("AAPL", "yesterday-ish"),
        lambda d: d.prices("AAPL", adjust="total"),
        lambda d: d.prices("AAPL", interval="1m"),
        lambda d: d.prices("ust"),
        lambda d: d.prices(7),
        lambda d: d.panel("AAPL"),
        lambda d: d.panel(["AAPL"], field="vwap"),
        lambda d: d.curve("ff3"),
    ],
)
def test_every_mistake_is_a_data_error_that_says_something(data, call):
    with pytest.raises(data.DataError) as caught:
        call(data)
    assert len(str(caught.value)) > 30


def test_curve_and_factors_are_fractions(data):
    assert data.curve("ust").loc["2017-03-29", "10y"] == 0.0239
    assert data.factors("ff3").loc["1926-07-31"].tolist() == [0.0296, -0.023, -0.0287, 0.0022]
    assert data.factors("carhart4").loc["1949-01-31", "mom"] == -0.0292
    assert data.series("AAA").iloc[0, 0] == 0.0535
    assert data.series("us_quarterly").loc["2009-09-30", "unemp"] == 0.096


def test_missing_values_are_nan(data):
    assert data.prices("VIX")["close"].isna().sum() == 46
    assert data.prices("WTI")["close"].isna().sum() == 290


def test_search_finds_by_part_of_a_name_and_by_kind(data):
    assert set(data.search("apple")["symbol"]) == {"AAPL"}
    assert data.search(kind="index")["symbol"].tolist() == ["IXIC", "SPX"]
    assert len(data.search()) == len(catalogue.current().entries) and data.search("no such thing").empty


def test_every_series_says_licence_source_quality_survivorship_and_adjustment(data, starter):
    for entry in starter.series:
        known = data.info(entry["id"])
        assert all(known[key] for key in ("licence", "source", "quality", "survivorship", "adjustment", "unit"))


def test_bars_are_memory_mapped_and_read_only(data, starter):
    columns = objects.read(starter.folder, data.info("IBM")["object"])
    assert not columns["close"].flags.writeable and not columns["close"].flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        columns["close"][0] = 1.0


def test_no_bar_of_a_share_or_index_is_faulty(data):
    from tests.bars import faults

    for symbol in ("AAPL", "FB", "GOOG", "IBM", "MSFT", "SPX", "IXIC"):
        frame = data.prices(symbol, adjust=None)
        columns = {"date": frame.index.to_numpy(), **{name: frame[name].to_numpy() for name in frame.columns}}
        assert faults(columns) == []


def test_the_snapshot_id_is_the_hash_of_the_manifest(data, starter):
    assert data.snapshot() == hashlib.sha256((starter.folder / "manifest.json").read_bytes()).hexdigest()
    for path in (starter.folder / "objects").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem


def test_without_data_the_error_says_how_to_get_it(data, monkeypatch, tmp_path):
    monkeypatch.setenv("QFP_DATA", str(tmp_path))
    catalogue.current.cache_clear()
    catalogue.folder.cache_clear()
    with pytest.raises(data.StarterDataMissing, match=r"python -m qfp\.starter"):
        data.prices("AAPL")


def test_a_step_that_no_action_explains_is_refused():
    from qfp.starter_series import corporate_actions
    from qfp.starter_tables import StarterDataError

    days = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]")
    with pytest.raises(StarterDataError, match="no action explains"):
        corporate_actions(days, np.array([10.0, 10.0]), np.array([10.0, 9.0]))
