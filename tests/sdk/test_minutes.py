"""Bars of minutes as Parquet: the same numbers to the last bit, and nothing is read that was not asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from qfp import minutes, objects, synthetic

ODD = [np.nan, 0.0, -0.0, 5e-324, -np.inf, np.inf, 0.1 + 0.2, 1.7976931348623157e308]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Four months of minutes with every kind of number, as a file."""
    dates = np.arange(np.datetime64("2023-11-15T00:00", "m"), np.datetime64("2024-02-03T00:00", "m"), 7)
    stream = np.random.default_rng(3)
    columns = {"close": stream.normal(100, 5, len(dates)), "volume": np.resize(ODD, len(dates))}
    path = tmp_path_factory.mktemp("minutes") / "bars.parquet"
    path.write_bytes(minutes.parquet_bytes(dates, columns))
    return path, dates.astype("datetime64[us]"), columns


def test_every_bit_comes_back(kept):
    path, dates, columns = kept
    found, names, values = minutes.read(path)
    assert np.array_equal(found, dates) and names == ["close", "volume"]
    for row, column in zip(values, columns.values(), strict=True):
        assert row.tobytes() == column.tobytes()
    assert minutes.parquet_bytes(dates, columns) == path.read_bytes()


def test_it_is_compressed_with_zstd_a_group_of_rows_a_month(kept):
    meta = pq.ParquetFile(kept[0]).metadata
    assert meta.num_row_groups == 4  # November to February
    for group in range(4):
        assert {meta.row_group(group).column(number).compression for number in range(3)} == {"ZSTD"}
        found = meta.row_group(group).column(0).statistics
        assert found.min.month == found.max.month


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2023-12-24T10:00", "2023-12-24T10:59"),
        ("2023-11-30T23:00", "2024-01-01T01:00"),
        ("2024-02-02T20:00", None),
        (None, "2023-11-15T00:00"),
        ("2030-01-01", None),
    ],
)
def test_the_rows_between_two_moments_are_those_of_the_whole(kept, first, last):
    path, dates, columns = kept
    first, last = (None if each is None else np.datetime64(each, "us") for each in (first, last))
    found, names, values = minutes.read(path, ["close"], first, last)
    wanted = np.ones(len(dates), bool)
    if first is not None:
        wanted &= dates >= first
    if last is not None:
        wanted &= dates <= last
    assert names == ["close"] and np.array_equal(found, dates[wanted])
    assert np.array_equal(values[0], columns["close"][wanted])


def test_other_months_and_columns_are_not_read(kept, tmp_path):
    """They are overwritten with rubbish; what was asked for comes all the same."""
    path, dates, columns = kept
    content, meta = bytearray(path.read_bytes()), pq.ParquetFile(path).metadata
    for group in range(meta.num_row_groups):
        for number in range(3):
            chunk = meta.row_group(group).column(number)
            if group != 1 or chunk.path_in_schema == "volume":
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(content)
    first, last = np.datetime64("2023-12-05", "us"), np.datetime64("2023-12-06", "us")
    found, _, values = minutes.read(damaged, ["close"], first, last)
    assert np.array_equal(values[0], columns["close"][(dates >= first) & (dates <= last)]) and len(found)
    with pytest.raises(OSError):
        minutes.read(damaged)


def test_prices_of_minutes_are_what_was_made_up(data, starter):
    _, made = synthetic.bitcoin()
    entry = data.info("BTCUSD", interval="1m")
    assert objects.object_path(starter.folder, entry["object"]).suffix == ".parquet"
    whole = data.prices("BTCUSD", interval="1m")
    assert list(whole.columns) == list(made.columns) and len(whole) == 43_200
    for name, column in made.columns.items():
        assert whole[name].to_numpy().tobytes() == column.tobytes()
    assert np.array_equal(whole.index.tz_localize(None).to_numpy(), made.dates)
    part = data.prices("BTCUSD", "2020-12-30 12:00", "2020-12-31", interval="1m", fields=["volume", "close"])
    pd.testing.assert_frame_equal(part, whole.loc["2020-12-30 12:00":, ["volume", "close"]], check_freq=False)
    assert part.attrs["object"] == entry["object"] and len(part) == 720 + 1440
    pd.testing.assert_frame_equal(data.series("synth/crypto/1m/BTCUSD", "2020-12-31"), whole.iloc[-1440:])
    closes = data.panel(["SYN001", "SYN002"], "2019-12-30", "2019-12-30", interval="1m")
    alone = data.prices("SYN002", "2019-12-30", "2019-12-30", interval="1m")
    assert closes["SYN002"].tolist() == alone["close"].tolist() and len(closes) == 390


def test_writing_to_minutes_changes_nothing_that_others_get(data):
    bars = data.prices("SYN001", "2019-12-30", "2019-12-30", interval="1m")
    bars.iloc[0, 0] = -1.0
    assert data.prices("SYN001", "2019-12-30", "2019-12-30", interval="1m").iloc[0, 0] > 0


def test_fields_choose_columns_of_any_interval(data):
    assert list(data.prices("IBM", "2005-01-03", fields=["split", "close"]).columns) == ["split", "close"]
    assert list(data.prices("IBM", adjust=None, fields=("close",)).columns) == ["close"]
    for interval, symbol in (("1d", "IBM"), ("1m", "SYN001")):
        with pytest.raises(data.NoData, match="no column 'bid'; it has open, high, low, close"):
            data.prices(symbol, interval=interval, fields=["close", "bid"])
    with pytest.raises(data.DataError, match="list of columns"):
        data.prices("IBM", fields="close")
    with pytest.raises(data.NoData, match="it goes from"):
        data.prices("SYN001", "2021-01-01", interval="1m", fields=["close"])
