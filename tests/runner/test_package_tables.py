"""Tables of packages say something else about later days, and the same about earlier ones."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from runner.honesty import package_tables
from runner.honesty.dated_tables import dated_table
from runner.honesty.package_tables import OF_BOXES, PACKED, TEXTS, UnknownTables, _ending, tables_of

DAYS = pd.date_range("2019-01-01", periods=60)
CUT = np.datetime64("2019-02-09", "us")  # a midnight, which stands for its day
BARS = pd.DataFrame(
    {
        "Open": np.arange(60) + 10.25,
        "High": np.arange(60) + 11.5,
        "Low": np.arange(60) + 9.5,
        "Close": np.arange(60) + 10.75,
        "Volume": 1000 + np.arange(60),
    },
    index=DAYS.rename("Date"),
)
QUARTERS = pd.DataFrame(
    {"year": np.repeat(np.arange(2005, 2020), 4), "quarter": [1, 2, 3, 4] * 15, "cpi": BARS["Open"].to_numpy()}
)
SECONDS = DAYS.to_numpy().astype("datetime64[s]").astype(int)


def written(frame: pd.DataFrame, form: str | None = None, **how: object) -> str:
    named = frame.set_index(frame.index.strftime(form).rename("Date")) if form else frame
    return named.to_csv(**how)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (written(BARS), 40),
        (written(BARS, "%m/%d/%Y"), 40),
        (written(BARS, "%d-%b-%y"), 40),
        (written(BARS, "%Y%m%d", sep=";"), 40),
        (written(BARS.set_index(SECONDS), index_label="time"), 40),
        (written(BARS.set_index(pd.date_range("2019-02-09 00:00", periods=60, freq="h")), index_label="time"), 24),
        (written(BARS.set_index(pd.date_range("2016-01-31", periods=60, freq="ME")), "%Y-%m"), 37),
        (written(QUARTERS, index=False), 56),
        (written(BARS.assign(name='A "b", c')), 40),
        (written(BARS.iloc[::-1]), 40),
        (written(BARS.reset_index().melt("Date"), index=False), 5 * 40),
        (written((BARS * 100).astype(int).assign(Close=lambda bars: bars["Close"] ** 2 % 9973)), 40),
        (BARS.reset_index().to_string(index=False) + "\n", 40),
        (written(BARS).replace(",", "   "), 40),
        (written(BARS.assign(name="two\nlines, quoted")[["name", *BARS]]), 60 + 40),
    ],
)
def test_rows_up_to_a_day_stay_to_the_byte_and_later_ones_keep_all_but_their_numbers(text: str, known: int) -> None:
    table = dated_table(text)
    assert table is not None
    varied = table.varied(CUT, -1, 3)
    assert varied is not None and varied == table.varied(CUT, -1, 3) != table.varied(CUT, -1, 4)
    ours, theirs = text.splitlines(), varied.splitlines()
    assert len(ours) == len(theirs) and ours[0] == theirs[0]
    same = [one == other for one, other in zip(ours[1:], theirs[1:], strict=True)]
    assert known <= sum(same) <= known + 2, "a shuffled number may find its place again"
    assert varied.count(".") == text.count(".") and "nan" not in varied
    assert table.varied(np.datetime64("2031-01-01", "us"), 1, 3) is None


def test_prices_go_first_where_they_are_told_to_and_gaps_stay() -> None:
    gaps = BARS.copy()
    gaps.iloc[45, 3] = np.nan
    for tail in (-1, 1):
        for text in (written(BARS), written(BARS[["Close"]].rename(columns={"Close": "ABC"})), written(gaps)):
            varied = dated_table(text).varied(CUT, tail, 5)  # type: ignore[union-attr]
            rows = [line.split(",") for line in varied.splitlines()[1:]]
            prices = [float(row[-2 if len(row) > 2 else 1]) for row in rows[39:44]]
            assert np.all(np.diff(prices) * tail > 0), (tail, prices)
            assert [not row[-2] for row in rows].count(True) == int(len(rows[0]) > 2 and text == written(gaps))


def test_what_has_no_days_or_nothing_measured_stays_as_it_is() -> None:
    holidays = pd.DataFrame({"code": np.arange(60) % 5, "number": np.arange(60), "left": -np.arange(60) % 21}, DAYS)
    prose = "On 2019-01-02 it rose by 3 points.\n" * 40
    none = ["", "a,b\n1,2\n", prose, "word\n" * 50, written(BARS.reset_index(drop=True))]
    for text in (*none, written(holidays), written(holidays, sep=" ")):
        assert dated_table(text) is None


def test_of_every_boxs_packages_all_texts_with_days_are_known(settings) -> None:
    (packages,) = Path(settings.SANDBOX_ENV).glob("lib/python3*/site-packages")
    known = {path for pattern in OF_BOXES for path in packages.glob(pattern)}
    missing = []
    for path in package_tables._files(packages):
        if path in known or _ending(path.name) not in TEXTS or ".dist-info" in path.parts[-2]:
            continue
        with getattr(PACKED.get(path.suffix), "open", open)(path, "rb") as file:
            if dated_table(file.read().decode("utf-8", "replace")) is not None:
                missing.append(str(path.relative_to(packages)))
    assert missing == []


def test_a_projects_own_packages_are_looked_through_as_far_as_is_possible(tmp_path, settings, monkeypatch) -> None:
    settings.LAYERS_DIR, settings.SANDBOX_ENV = tmp_path, tmp_path / "env"
    layer = tmp_path / "abc"
    (layer / "priced").mkdir(parents=True)
    (layer / "priced" / "bars.csv.gz").write_bytes(gzip.compress(written(BARS).encode()))
    (layer / "priced" / "wide.csv").write_bytes(written(BARS).encode("utf-16"))
    os.utime(layer / "priced" / "wide.csv", (1e9, 1e9))
    (layer / "priced" / "broken.csv.gz").write_bytes(b"1")
    (layer / "priced" / "notes.txt").write_text("words\n" * 30)
    os.symlink("bars.csv.gz", layer / "priced" / "again.csv.gz")
    run = SimpleNamespace(lock=SimpleNamespace(sha256="abc"))
    found = tables_of(run)  # type: ignore[arg-type]
    assert list(found.tables) == [("layer", "priced/bars.csv.gz"), ("layer", "priced/wide.csv")]
    with found.put(tmp_path, "snapshot", CUT, 1, 1):
        made = tmp_path / "tables" / "snapshot" / "layer" / "priced" / "bars.csv.gz"
        assert pd.read_csv(made, index_col=0).shape == BARS.shape and made.stat().st_mode & 0o777 == 0o644
        other = made.with_name("wide.csv")
        assert pd.read_csv(other, index_col=0, encoding="utf-16").iloc[:40].equals(pd.read_csv(made, index_col=0)[:40])
        assert other.stat().st_mtime == 1e9, "it does not say that it is another one"
    assert not made.exists() and tables_of(SimpleNamespace(lock=None)).tables == {}  # type: ignore[arg-type]
    for limit in ("MOST_FILES", "MOST_BYTES", "MOST_TOGETHER"):
        with monkeypatch.context() as patch, pytest.raises(UnknownTables):
            patch.setattr(package_tables, limit, 1)
            tables_of(run)  # type: ignore[arg-type]
    monkeypatch.setattr(package_tables, "MOST_FILES", 2)
    for number in range(9):
        (layer / "priced" / f"LICENSE{number}.txt").write_text("words\n" * 30)
    assert len(tables_of(run).tables) == 2, "texts that are no tables count as none"  # type: ignore[arg-type]
