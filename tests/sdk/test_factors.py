"""The factor table of a tear sheet: whole months lined up with the factors', or a sentence about why there is none."""

from __future__ import annotations

import numpy as np
import pytest
from qfp.tearsheet import FactorSet, Record, tables

MONTHS = np.arange("2000-01", "2010-01", dtype="datetime64[M]")
TRUE = {"mkt_rf": 1.2, "smb": -0.4, "hml": 0.3}
ALPHA = 0.002


def factors(months=MONTHS, names=("mkt_rf", "smb", "hml", "mom"), interval="1mo") -> FactorSet:
    chance = np.random.default_rng(1)
    columns = {name: chance.normal(0.005, 0.04, len(months)) for name in names}
    columns["rf"] = chance.uniform(0.001, 0.004, len(months))
    ends = (months + 1).astype("datetime64[D]") - np.timedelta64(1, "D")
    return FactorSet("Invented factors", interval, ends, columns)


def record(first: str, last: str, found: FactorSet, sets=None) -> Record:
    """Weekdays on which the account earns exactly what the factors say, all of it on the first day of the month."""
    days = np.arange(first, last, dtype="datetime64[D]")
    days = days[np.is_busday(days)]
    earned = found.columns["rf"] + ALPHA + sum(share * found.columns[name] for name, share in TRUE.items())
    by_month = dict(zip(found.dates.astype("datetime64[M]").tolist(), earned.tolist(), strict=True))
    value, equity, month = 1_000.0, [], None
    for day in days:
        if (now := day.astype("datetime64[M]").item()) != month:
            value, month = value * (1 + by_month.get(now, 0.01)), now
        equity.append(value)
    return Record("Invented", days, np.array(equity), factors=[found] if sets is None else sets)


def table_of(made: Record):
    return next((table for table in tables(made) if table.key == "factors"), None)


def test_what_was_put_in_comes_out_with_the_months_it_was_found_over():
    table = table_of(record("2001-03-15", "2004-12-20", factors()))
    rows = {row[0]: row[1] for row in table.rows[:4]}
    assert rows == {
        "Three factors: alpha a year": "2.4\u00a0%",
        "Market": "1.20",
        "Size (SMB)": "\N{MINUS SIGN}0.40",
        "Value (HML)": "0.30",
    }
    # March 2001 has no month before it, and the bars end before December does.
    assert "44 months, 2001-04 to 2004-11, of Invented factors; R² 1.00" in table.note
    assert [row[0] for row in table.rows[4:]] == [
        "Three factors and momentum: alpha a year", "Market", "Size (SMB)", "Value (HML)", "Momentum (MOM)"
    ]  # fmt: skip


def test_a_month_that_ends_with_a_weekend_is_whole():
    assert "2001-04 to 2004-10" in table_of(record("2001-03-15", "2004-10-30", factors())).note


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (
            "2015-01-01",
            "2018-01-01",
            "no overlap, Invented factors has no month of these bars, only 2000-01 to 2009-12",
        ),
        ("2008-06-01", "2012-01-01", "only 18 months in common with Invented factors"),
    ],
)
def test_too_little_in_common_is_said_and_no_figure_is_given(first, last, said):
    table = table_of(record(first, last, factors()))
    assert not table.rows and said in table.note


def test_the_set_with_most_in_common_is_used_and_without_one_there_is_no_table():
    short, whole = factors(MONTHS[:40]), factors()
    assert "116 months" in table_of(record("2000-04-01", "2010-01-01", whole, [short, whole])).note.partition("R²")[0]
    assert table_of(record("2001-03-15", "2004-12-20", whole, [])) is None


def test_daily_factors_are_taken_day_by_day_and_not_over_a_gap():
    days = np.arange("2000-01-03", "2000-06-01", dtype="datetime64[D]")
    days = days[np.is_busday(days)]
    found = factors(MONTHS, names=("mkt_rf", "smb", "hml"))
    columns = {name: np.resize(values, len(days)) for name, values in found.columns.items()}
    daily = FactorSet("Invented factors", "1d", days, columns)
    earned = columns["rf"] + ALPHA + sum(share * columns[name] for name, share in TRUE.items())
    kept = np.delete(np.arange(len(days)), 50)
    made = Record("Invented", days[kept], 100 * np.cumprod(1 + earned)[kept], factors=[daily])
    table = table_of(made)
    assert table.rows[1][1] == "1.20" and f"{len(days) - 3} days" in table.note
