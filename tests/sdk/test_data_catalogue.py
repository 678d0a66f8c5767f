"""What the starter catalogue offers beyond daily shares: bars within a day, universes, panels, invented markets."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from qfp import objects, panels, synthetic
from qfp.data import catalogue

from tests.bars import PRICES, faults


def test_every_series_says_its_tier_rights_and_currency(data, starter):
    tiers = {entry["id"]: entry["tier"] for entry in starter.series}
    assert set(tiers.values()) == {"A", "B", "C", "S"}
    assert tiers["starter/us/1d/AAPL"] == "A" and tiers["starter/panel/sp500_20/AAPL"] == "C"
    for entry in starter.series:
        assert entry["rights"] == "redistribute" and (entry["tier"] == "S") == ("SYNTHETIC" in entry["notice"])
        assert entry["tier"] != "C" or "education" in entry["notice"]


def test_an_interval_chooses_among_the_series_of_a_symbol(data):
    days, minutes = data.prices("BTCUSD", "2020-12-31"), data.prices("BTCUSD", "2020-12-31", interval="1m")
    assert len(days) == 1 and len(minutes) == 1440 and minutes.attrs["zone"] == "UTC"
    assert days["high"].iloc[0] == minutes["high"].max() and days["close"].iloc[0] == minutes["close"].iloc[-1]
    with pytest.raises(data.NoData, match="interval='1h'"):
        data.prices("EURUSD")


def test_bars_within_a_day_are_instants_and_an_end_day_is_all_of_it(data):
    bars = data.prices("SYN001", "2019-12-30", "2019-12-30", interval="1m")
    assert str(bars.index.tz) == "UTC" and len(bars) == 390
    opening = bars.index[0].tz_convert(bars.attrs["zone"])
    assert (opening.hour, opening.minute) == (9, 30)
    half = data.prices("SYN001", "2019-12-30 15:00", "2019-12-30T15:29", interval="1m")
    assert len(half) == 30


def test_writing_to_prices_changes_neither_the_file_nor_what_others_get(data):
    bars, closes = data.prices("SPX", "2005-01-03"), data.panel(data.universe("synth/us500"))
    rates, raw = data.curve("ust"), data.prices("IBM", adjust=None)
    bars.iloc[0, 0] = closes.iloc[0, 0] = rates.iloc[0, 0] = raw.iloc[0, 0] = -1.0
    assert data.curve("ust").iloc[0, 0] != -1.0 and data.prices("IBM", adjust=None).iloc[0, 0] > 0
    assert data.prices("SPX", "2005-01-03").iloc[0, 0] > 0
    assert data.panel(data.universe("synth/us500")).iloc[0, 0] > 0


def test_a_block_holds_what_the_columns_hold(data, starter):
    for name in ("IBM", "ust", "VIX", "SPX_chain"):
        dates, names, values = objects.read_block(objects.object_path(starter.folder, data.info(name)["object"]))
        columns = objects.read(starter.folder, data.info(name)["object"])
        assert np.array_equal(dates, columns.pop("date")) and names == list(columns)
        assert all(np.array_equal(row, columns[each], equal_nan=True) for each, row in zip(names, values, strict=True))
        assert not values.flags.writeable and not values.flags.owndata


def test_a_table_that_is_no_bars_is_read_column_by_column(data, starter, tmp_path):
    import pyarrow as pa

    table = pa.table({"date": pa.array(np.array(["2024-01-01"], "M8[us]")), "who": ["ada"], "n": [1]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    digest = objects.put(tmp_path, sink.getvalue().to_pybytes())
    assert objects.read_block(objects.object_path(tmp_path, digest)) is None
    assert list(objects.read(tmp_path, digest)["who"]) == ["ada"]


def test_a_kept_panel_equals_the_series_one_by_one(data):
    for asked in (data.universe("synth/us500"), data.universe("synth/us500", "2018-06-01")[::-1][:40]):
        kept = data.panel(asked, "2017-03-01", "2019-06-28")
        assert list(kept.columns) == asked
        for symbol in (asked[0], asked[25]):
            closes = kept[symbol].dropna()
            alone = data.prices(symbol, closes.index[0], "2019-06-28")["close"]  # from earlier on would be warned of
            pd.testing.assert_series_equal(closes, alone, check_names=False, check_freq=False)
    some = data.universe("synth/us500")[:30]
    pd.testing.assert_frame_equal(
        data.panel(some).iloc[:, :7], data.panel(some[:7]), check_freq=False, obj="kept and lined up"
    )


def test_series_of_different_days_line_up():
    days = np.array(["2024-01-01", "2024-01-02", "2024-01-03"], dtype="datetime64[us]")
    dates, values = panels.line_up([(days[:2], np.array([1.0, 2.0])), (days[1:], np.array([3.0, 4.0]))])
    assert np.array_equal(dates, days)
    assert np.array_equal(values, [[1.0, 2.0, np.nan], [np.nan, 3.0, 4.0]], equal_nan=True)


def test_a_universe_has_members_by_date_and_warns_of_hindsight(data):
    then = data.universe("synth/us500", asof="2016-01-04")
    later = data.universe("synth/us500", asof="2019-12-31")
    assert len(then) == len(later) == 500 and len(set(then) - set(later)) == 60
    stays = data.members("synth/us500").set_index("symbol")
    leaver = stays.index[stays["left"].notna()][0]
    left = stays.loc[leaver, "left"]
    assert leaver in data.universe("synth/us500", left)
    assert leaver not in data.universe("synth/us500", left + pd.Timedelta(days=1))
    assert data.prices(leaver).index[-1] == left  # its prices are kept
    joiner = stays.index[stays["entered"].notna()][-1]
    entered = stays.loc[joiner, "entered"]
    assert joiner not in data.universe("synth/us500", entered - pd.Timedelta(days=1))
    assert joiner in data.universe("synth/us500", entered)
    with pytest.warns(data.SurvivorshipWarning, match=r"sp500_20 was chosen with hindsight"):
        names = data.universe("starter/sp500_20", "2010-01-04")
    assert "GE" in names and "starter/panel/sp500_20/AAPL" in names  # AAPL alone is the one with unadjusted bars
    assert list(data.panel(names).columns)[:2] == ["AAPL", "AMD"]
    with pytest.raises(data.UnknownSymbol, match="synth/us500"):
        data.universe("us500")
    with pytest.raises(data.NoData, match="no members on 1980-01-01"), pytest.warns(data.SurvivorshipWarning):
        data.universe("starter/sp500_20", "1980-01-01")


def test_raw_and_adjusted_prices_are_never_set_side_by_side(data):
    assert not data.panel(["AAPL", "GE"], "2012-01-03", "2012-01-05").isna().any(axis=None)
    for adjust in (None, "split"):
        with pytest.raises(data.MixedAdjustment, match="unadjusted"):
            data.panel(["AAPL", "GE"], adjust=adjust)
        with pytest.raises(data.NoData, match="only adjusted"):
            data.prices("GE", adjust=adjust)
    assert data.prices("GE").attrs["adjust"] == "all" and data.prices("SPX").attrs["adjust"] is None


def test_bars_without_known_actions_do_not_stand_beside_adjusted_ones(data, monkeypatch):
    monkeypatch.setitem(catalogue.find("SPX"), "adjustment", "raw")
    with pytest.raises(data.MixedAdjustment, match="adjust=None"):
        data.panel(["AAPL", "SPX"])
    assert list(data.panel(["AAPL", "SPX"], adjust=None)) == ["AAPL", "SPX"]


def test_a_table_that_is_not_ones_own_is_refused_in_a_sentence(data):
    for call in (lambda: data.dataset("mine/prices"), lambda: data.prices("mine/prices")):
        with pytest.raises(data.NotEntitled, match="private to its author"):
            call()
    with pytest.raises(data.UnknownSymbol, match="fetch it with your own key"):
        data.prices("NVDA")


# What is made up --------------------------------------------------------------------------------------------


def test_no_invented_bar_is_faulty_and_a_stream_repeats(data, starter):
    for entry in starter.series:
        if entry["tier"] == "S" and set(PRICES) <= set(entry["columns"]):
            assert faults(objects.read(starter.folder, entry["object"])) == [], entry["id"]
    one, two = synthetic.random("a").random_sample(3), synthetic.random("a").random_sample(3)
    assert (one == two).all() and (one != synthetic.random("b").random_sample(3)).all()


def test_stated_moments_hold_within_four_standard_errors(data):
    def check(returns, deviation, per_year):
        count, spread = len(returns), deviation / math.sqrt(per_year)
        assert abs(returns.std() - spread) < 4 * spread / math.sqrt(2 * count)
        assert abs(returns.mean() - returns.attrs["drift"] / per_year + spread**2 / 2) < 4 * spread / math.sqrt(count)

    for symbol, interval, stated, per_year in (
        ("EURUSD", "1h", synthetic.EURO, synthetic.EURO["hours_a_year"]),
        ("BTCUSD", "1d", synthetic.BITCOIN, synthetic.BITCOIN["days_a_year"]),
    ):
        returns = np.log(data.prices(symbol, interval=interval)["close"]).diff().dropna()
        returns.attrs["drift"] = stated["drift"]
        check(returns, stated["deviation"], per_year)
    market = synthetic.market()
    returns = pd.Series(market.returns)
    returns.attrs["drift"] = synthetic.MARKET["drift"]
    check(returns, synthetic.MARKET["deviation"], synthetic.MARKET["sessions_a_year"])
    # Betas, estimated on the shares' own prices, average to what they are drawn from.
    closes = data.panel(data.universe("synth/us500", "2019-12-31")[:100])
    steps = np.log(closes).diff().iloc[1:]
    betas = steps.apply(lambda each: np.polyfit(market.returns[1:], each, 1)[0])
    assert abs(betas.mean() - sum(synthetic.BETAS) / 2) < 4 * 0.27 / 10


def test_options_keep_put_call_parity(data):
    chain = data.series("SPX_chain")
    day = chain.loc["2016-06-03"]
    call, put = (day[day["call"] == side].set_index(["days", "strike"]) for side in (1, 0))
    years = call.index.get_level_values("days") / 365
    carried = call["underlying"] * np.exp(-synthetic.DIVIDEND_YIELD * years)
    parity = carried - call.index.get_level_values("strike") * np.exp(-call["rate"] * years)
    assert (call["price"] - put["price"] - parity).abs().max() < 0.02  # prices are rounded to a hundredth
    assert (chain["price"] >= 0).all() and chain["implied_volatility"].min() >= 0.05
