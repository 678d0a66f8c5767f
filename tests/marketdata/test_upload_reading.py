"""How files that people bring along are understood: fixtures as exchanges, brokers and sites write them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from marketdata.reading.limits import Refused
from marketdata.reading.program import preview
from marketdata.reading.table import understand

FIXTURES = Path(__file__).resolve().parent.parent / "data" / "uploads"
# file -> the columns code sees, the first row, rows, interval
EXPECTED = {
    "yahoo.csv": (
        "open high low close adj_close volume",
        ["2024-01-02", "100", "103.18", "98.5", "101.93", "99.8914", "100000"],
        "1d",
    ),
    "xetra_german.csv": (
        "open high low close volume",
        ["2024-01-02", "1300", "1341.34", "1280.5", "1325.09", "100000"],
        "1d",
    ),
    "nse_india.csv": (
        "symbol prev_close open high low ltp close volume",
        ["2024-01-02", "TATA", "101.93", "2000", "2063.6", "1970", "2038.6", "2038.6", "3100000"],
        "1d",
    ),
    "metatrader.csv": (
        "open high low close tickvol volume spread",
        ["2024-01-02", "1.11111", "1.14644", "1.09444", "1.13256", "100000", "0", "3"],
        "1d",
    ),
    "binance_minutes.csv": (
        "open high low close volume close_time trades",
        ["2024-01-01 00:00:00", "40000", "41272", "39400", "40772", "10", "1704067259999", "17"],
        "1m",
    ),
    "investing.csv": (
        "close open high low volume change",
        ["2024-01-02", "1019.3", "1000", "1031.8", "985", "100000", "0.0193"],
        "1d",
    ),
    "fred.csv": ("dgs10", ["2024-01-02", "3.9"], "1d"),
    "yfinance_zoned.csv": (
        "open high low close volume dividend split",
        ["2024-01-02", "100", "103.18", "98.5", "101.93", "100000", "0", "0"],
        "1d",
    ),
    "euronext_french.csv": (
        "open high low close volume",
        ["2024-01-02", "1200", "1238.16", "1182", "1223.16", "100000"],
        "1d",
    ),
    "no_header.txt": (
        "open high low close volume",
        ["2024-01-02", "100", "103.18", "98.5", "101.93", "100000"],
        "1d",
    ),
    "monthly_factors.csv": ("mkt_rf smb hml rf", ["2020-01-31", "0", "1", "0", "0.13"], "1mo"),
}


def read(text: str | bytes, **choices):
    return understand(text.encode() if isinstance(text, str) else text, choices)


def stops(table) -> dict[str, list[int]]:
    return {remark["kind"]: remark["rows"] for remark in table.remarks if remark["level"] == "stop"}


def warned(table) -> dict[str, list[int]]:
    return {remark["kind"]: remark["rows"] for remark in table.remarks if remark["level"] == "warning"}


@pytest.mark.parametrize("name", EXPECTED)
def test_file_is_understood_unaided(name):
    columns, first, interval = EXPECTED[name]
    table = read((FIXTURES / name).read_bytes())
    assert (table.questions, table.is_ready) == ([], True)
    assert table.names == columns.split()
    assert preview(table)["rows"][0] == first
    assert (len(table.moments), table.interval) == (30, interval)


def test_fixtures_are_all_looked_at():
    asked = {"ambiguous.csv", "hourly_local.csv"}
    assert {path.name for path in FIXTURES.iterdir()} == set(EXPECTED) | asked


def test_times_without_a_zone_are_asked_about_and_then_turned_into_utc():
    content = (FIXTURES / "hourly_local.csv").read_bytes()
    assert [question["choice"] for question in read(content).questions] == ["zone"]
    table = read(content, zone="America/New_York")
    assert table.is_ready
    assert preview(table)["rows"][0] == ["2024-01-02 14:30:00", "1.08", "1.0801"]
    with pytest.raises(Refused, match="no time zone"):
        read(content, zone="Mars/Olympus")


def test_dates_with_two_readings_are_asked_about_and_never_guessed():
    content = (FIXTURES / "ambiguous.csv").read_bytes()
    table = read(content)
    [question] = table.questions
    assert question["choice"] == "date_format"
    assert set(question["options"]) == {"%d/%m/%Y", "%m/%d/%Y"}
    assert preview(read(content, date_format="%d/%m/%Y"))["rows"][1][0] == "2024-01-02"
    assert preview(read(content, date_format="%m/%d/%Y"))["rows"][1][0] == "2024-01-02"
    assert str(read(content, date_format="%d/%m/%Y").moments[9])[:10] == "2024-02-01"
    assert str(read(content, date_format="%m/%d/%Y").moments[-1])[:10] == "2024-09-03"


def test_days_and_months_that_change_places_within_a_file_are_refused_by_row():
    table = read("date,close\n03/04/2024,1\n13/04/2024,2\n04/13/2024,3\n")
    assert not table.is_ready
    [remark] = [remark for remark in table.remarks if remark["level"] == "stop"]
    assert "Row 4 has the date “04/13/2024”, which is not DD/MM/YYYY" in remark["text"]


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (["45293", "45294"], "2024-01-02"),
        (["1704153600", "1704240000"], "2024-01-02"),
        (["1704153600000", "1704240000000"], "2024-01-02"),
        (["1704153600000000000", "1704240000000000000"], "2024-01-02"),
        (["2024Q1", "2024Q2"], "2024-03-31"),
        (["2-Jan-24", "3-Jan-24"], "2024-01-02"),
        (["Jan 2, 2024", "Jan 3, 2024"], "2024-01-02"),
        (["20240102", "20240103"], "2024-01-02"),
    ],
)
def test_form_of_dates(cells, first):
    table = read("date;close\n" + "".join(f"{cell};1.5\n" for cell in cells))
    assert table.questions == []
    assert str(table.moments[0])[:10] == first


@pytest.mark.parametrize("year", ["0001", "9999", "2262"])
def test_years_outside_of_reason_are_refused_by_row(year):
    table = read(f"date,close\n2024-01-02,1\n{year}-04-12,2\n2024-01-04,1\n")
    [remark] = [remark for remark in table.remarks if remark["level"] == "stop"]
    assert f"Row 3 has the date “{year}-04-12”" in remark["text"]


def test_offsets_become_utc_and_mixed_ones_are_told_apart():
    table = read("time,close\n2024-03-08T09:30:00-05:00,1\n2024-03-11T09:30:00-04:00,2\n2024-03-11T10:30:00-04:00,2\n")
    assert [row[0] for row in preview(table)["rows"]] == [
        "2024-03-08 14:30:00",
        "2024-03-11 13:30:00",
        "2024-03-11 14:30:00",
    ]
    assert any("different offsets" in remark["text"] for remark in table.remarks)
    with pytest.raises(Refused, match=r"Row 3 says its offset.*row 2 does not"):
        read("time,close\n2024-03-08 09:30,1\n2024-03-08 10:30+00:00,2\n")


def test_hour_that_a_zone_did_not_have_is_refused_by_row():
    lines = [f"2024-03-10 {hour:02d}:30,1" for hour in range(5)]
    table = read("time,close\n" + "\n".join(lines), zone="America/New_York")
    assert stops(table) == {"zone": [4]}


@pytest.mark.parametrize(
    ("cells", "numbers", "choices"),
    [
        (["1.234,5", "0,5"], [1234.5, 0.5], {}),
        (["1,234.5", "0.5"], [1234.5, 0.5], {}),
        (["1 234,5", "2"], [1234.5, 2], {}),
        (["1'234.50", "2"], [1234.5, 2], {}),
        (["12,34,567.5", "1.5"], [1234567.5, 1.5], {}),
        (["(1.5)", "2.5"], [-1.5, 2.5], {"negative": "yes"}),
        (["$1.5", "2.5K"], [1.5, 2500], {}),
        (["1e3", "-"], [1000, np.nan], {}),
        (["1.234", "2.345"], [1.234, 2.345], {"decimal": "."}),
        (["1.234", "2.345"], [1234, 2345], {"decimal": ","}),
    ],
)
def test_numbers_as_people_write_them(cells, numbers, choices):
    table = read("date;close\n" + "".join(f"2024-01-0{n};{cell}\n" for n, cell in enumerate(cells, 2)), **choices)
    assert table.questions == []
    np.testing.assert_array_equal(table.values[0], numbers)


def test_number_that_may_have_decimals_or_thousands_is_asked_about():
    assert [q["choice"] for q in read("date;close\n2024-01-02;1.234\n2024-01-03;2.345\n").questions] == ["decimal"]


def test_odd_rows_are_named_and_stop_until_their_owner_decides():
    text = (
        "Date,Close,Volume\n2024-01-02,1,1\n2024-01-02,2,1\n2024-01-03,-1,1\n2024-01-04,inf,1\n2024-01-05,abc,1\n"
        "2024-01-08,,1\n"
    )
    table = read(text)
    assert stops(table) == {"duplicates": [3], "negative": [4], "infinities": [5], "unreadable": [6]}
    missing = next(remark for remark in table.remarks if remark["kind"] == "missing")
    assert (missing["level"], missing["rows"]) == ("note", [5, 6, 7])
    table = read(text, duplicates="last", negative="yes", infinities="missing", unreadable="missing")
    assert table.is_ready
    np.testing.assert_array_equal(table.values[0], [2, -1, np.nan, np.nan, np.nan])


def test_disorder_future_gaps_and_jumps_are_warned_of_by_row():
    usual = "".join(f"2020-01-{day:02d},1\n" for day in (7, 8, 9, 10, 6, 13, 14, 15, 16))
    table = read(f"date,close\n{usual}2023-01-05,1000\n2099-01-05,1000\n2099-01-06,1000\n")
    assert table.is_ready
    assert warned(table) == {"order": [6], "future": [12, 13], "gap": [11, 12], "jump": [11]}


def test_rows_of_different_lengths_are_refused_with_the_first():
    with pytest.raises(Refused, match=r"Row 3 has 5 columns where the others have 3"):
        read("a,b,c\n2024-01-02,2,3\n2024-01-03,2,3,4,5\n2024-01-04,2\n2024-01-05,1,2\n")


def test_blank_lines_do_not_shift_the_rows_that_are_named():
    table = read("date,close\n\n2024-01-02,1\n\n\n2024-01-03,x\n2024-01-04,2\n2024-01-05,2\n")
    assert stops(table) == {"unreadable": [6]}


def test_byte_order_mark_is_no_part_of_the_first_name():
    assert read(b"\xef\xbb\xbfdate,close\n2024-01-02,1\n").sources[0]["name"] == "date"


def test_other_encoding_is_told_with_a_word_to_judge_by():
    content = "Datum;Société Générale\n02.01.2024;1,5\n".encode("latin-1")
    table = read(content)
    assert any("line 1 has “Société”" in remark["text"] for remark in table.remarks)
    assert table.sources[1]["name"] == "Société Générale"
    with pytest.raises(Refused, match="line 1 has bytes that mean nothing"):
        read(content, encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\x80\x04\x95abc", "pickle"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "password"),
        (b"\x1f\x8b\x08abc", "Unpack"),
        (b"PK\x03\x04nothing", "damaged"),
        (b"<html><table>", "web page"),
        (b"date,close\n2024-01-02,\x00\n", "NUL"),
        (b"date,close\n", "No row holds"),
        (b"hello\nworld\n", "No row holds"),
        (b",".join(b"c%d" % n for n in range(1_000_000)), "1\u202f000\u202f000 columns; 200 is the limit"),
        (b"PAR1" + b"\xff\xff\xff\x7fPAR1", "footer cannot be read"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(content, reason):
    with pytest.raises(Refused, match=reason):
        read(content)


def test_rows_are_counted_before_they_are_parsed():
    with pytest.raises(Refused, match="5\u202f000\u202f001 rows; 5\u202f000\u202f000 is the limit"):
        read(b"d,c\n" + b"1,2\n" * 5_000_001)


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def test_parquet_and_feather_keep_their_types_and_zones():
    stamps = pa.array([1704205800, 1704209400], pa.timestamp("s", "America/New_York"))
    table = pa.table({"Timestamp": stamps, "Close": [1, 2], "Note": ["a", None], "Flag": [True, False]})
    sink = io.BytesIO()
    feather.write_feather(table, sink)
    for content in (parquet(table), sink.getvalue()):
        found = read(content)
        assert (found.is_ready, found.zone) == (True, "UTC")
        assert preview(found)["rows"][0] == ["2024-01-02 14:30:00", "1", "a", "1"]


def test_nested_columns_are_refused_by_name():
    with pytest.raises(Refused, match="column 'deep' has the type list"):
        read(parquet(pa.table({"date": [1704205800], "deep": [[1, 2]]})))


def test_parquet_bomb_is_refused_by_its_footer():
    rows = 60_000_000
    column = pa.chunked_array([pa.array(np.zeros(rows // 60, np.int8))] * 60)
    content = parquet(pa.table({"date": column, "close": column}))
    assert len(content) < 1_000_000
    with pytest.raises(Refused, match="60\u202f000\u202f000 rows; 5\u202f000\u202f000 is the limit"):
        read(content)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
@pytest.mark.parametrize("write", [pq.write_table, feather.write_feather])
def test_one_long_text_in_many_rows_is_counted_before_it_is_written_out(write, kind):
    sink, long = io.BytesIO(), pa.array(["x" * 65_536], kind)
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(30_000, np.int32)), long)
    write(pa.table({"close": texts}), sink, compression="zstd")
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(Refused, match="take more than 200 MB"):
        read(sink.getvalue())
    assert pa.default_memory_pool().max_memory() < max(before, 500_000_000), "written out they take 2 GB"


@pytest.mark.parametrize(("module", "reader"), [("pyarrow.parquet", "ParquetFile"), ("pyarrow.ipc", "open_file")])
def test_too_much_memory_is_not_called_a_damaged_file(monkeypatch, module, reader):
    write = {"pyarrow.parquet": pq.write_table, "pyarrow.ipc": feather.write_feather}[module]
    content = io.BytesIO()
    write(pa.table({"date": [1.0], "close": [2.0]}), content)

    def without_memory(*arguments: object) -> None:
        raise pa.ArrowMemoryError("malloc of size 640000000 failed")

    monkeypatch.setattr(f"{module}.{reader}", without_memory)
    with pytest.raises(MemoryError):
        understand(content.getvalue(), {})


def test_pandas_index_is_read_as_the_dates():
    import pandas as pd

    frame = pd.DataFrame({"Close": [1.0, 2.0]}, index=pd.DatetimeIndex(["2024-01-02", "2024-01-03"]))
    sink = io.BytesIO()
    frame.to_parquet(sink)
    table = read(sink.getvalue())
    assert (table.names, str(table.moments[0])[:10]) == (["close"], "2024-01-02")


def test_news_are_dated_by_their_publication_which_stays_beside_a_date_of_their_own():
    alone = read("id,published,headline\na,2024-03-01 16:05,Profit doubles\nb,2024-03-04 08:00,New chief\n", zone="UTC")
    assert preview(alone)["names"] == ["date", "id", "headline"]
    both = read("date,published,headline\n2024-03-01,2024-03-01 16:05,Up\n2024-03-04,2024-03-05 08:00,Down\n")
    assert preview(both)["names"] == ["date", "published", "headline"]
    assert preview(both)["rows"][0] == ["2024-03-01", "2024-03-01 16:05", "Up"]
