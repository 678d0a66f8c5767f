"""Sessions and closing times: the compact file says what the package says that it was written from."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime

import numpy as np
import pytest

from marketdata import calendars
from tests.surroundings import ROOT


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the package's, about pandas
@pytest.mark.parametrize("name", ["XNYS", "XLON", "XTKS", "XHKG"])
def test_the_file_agrees_with_the_package_it_was_written_from(name):
    import exchange_calendars

    ours = calendars.every()[name]
    theirs = exchange_calendars.get_calendar(name, start="2006-01-02", end="2026-12-31")
    found = ours.sessions(date(2006, 1, 2), date(2026, 12, 31))
    assert np.array_equal(found, theirs.sessions.values.astype("datetime64[D]"))
    assert [ours.closing(day.item()) for day in found] == [at.to_pydatetime() for at in theirs.closes]
    assert [ours.opening(day.item()) for day in found[-300:]] == [at.to_pydatetime() for at in theirs.opens[-300:]]


@pytest.mark.parametrize(
    ("exchange", "kind", "name"),
    [
        ("US", "equity", "XNYS"),
        ("NMS", "equity", "XNYS"),
        ("nasdaq", "equity", "XNYS"),
        ("XETRA", "equity", "XETR"),
        ("ECB", "fx", "TARGET"),
        ("CCY", "fx", "FX"),
        ("", "fx", "FX"),
        ("Binance", "crypto", "CRYPTO"),
    ],
)
def test_exchanges_are_found_as_providers_spell_them(exchange, kind, name):
    assert calendars.find(exchange, kind).name == name


def test_what_has_no_exchange_has_no_calendar():
    assert calendars.find("", "macro") is None and calendars.find("NOWHERE", "equity") is None


def test_the_day_after_thanksgiving_ends_at_one_in_new_york():
    new_york = calendars.find("US")
    assert new_york.closing(date(2026, 11, 27)) == datetime(2026, 11, 27, 18, 0, tzinfo=UTC)
    before, after = datetime(2026, 11, 27, 17, 59, tzinfo=UTC), datetime(2026, 11, 27, 18, 1, tzinfo=UTC)
    assert (new_york.last_closed(before), new_york.last_closed(after)) == (date(2026, 11, 25), date(2026, 11, 27))


def test_summer_time_moves_the_closing():
    new_york = calendars.find("US")
    assert [new_york.closing(date(2026, 3, day)).hour for day in (6, 9)] == [21, 20]


def test_currencies_have_five_days_and_crypto_seven():
    week = date(2026, 11, 16), date(2026, 11, 22)
    assert [len(calendars.every()[name].sessions(*week)) for name in ("FX", "CRYPTO", "TARGET")] == [5, 7, 5]
    # Five in the afternoon in New York; midnight in Greenwich.
    assert calendars.FX.closing(date(2026, 11, 20)) == datetime(2026, 11, 20, 22, tzinfo=UTC)
    assert calendars.CRYPTO.last_closed(datetime(2026, 11, 22, 0, 0, tzinfo=UTC)) == date(2026, 11, 21)


def test_the_central_bank_publishes_nothing_at_easter():
    bank = calendars.find("ECB")
    found = bank.sessions(date(2026, 4, 1), date(2026, 4, 8)).tolist()
    assert found == [date(2026, 4, day) for day in (1, 2, 7, 8)]


def test_ten_sessions_back_goes_round_holidays_and_beyond_what_is_known():
    new_york = calendars.find("US")
    assert new_york.sessions_before(date(2026, 11, 27), 2) == date(2026, 11, 24)  # over Thanksgiving
    assert new_york.sessions_before(date(1980, 1, 14), 5) == date(1980, 1, 7)


def test_after_the_last_known_day_a_holiday_counts_as_a_session():
    shanghai = calendars.find("XSHG")
    late = datetime(shanghai.last.year + 1, 1, 5, 12, tzinfo=UTC)
    assert shanghai.last_closed(late) is not None


def test_the_site_does_not_import_the_heavy_package():
    program = "import django, sys; django.setup(); from marketdata import calendars; calendars.every(); "
    program += (
        "from django.urls import get_resolver; get_resolver().url_patterns; print('exchange_calendars' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"
