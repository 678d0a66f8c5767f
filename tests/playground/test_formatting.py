"""Numbers, times and sizes as people read them."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from playground.templatetags import formatting as f

NARROW, SPACE, MINUS = "\u202f", "\u00a0", "\u2212"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0512, f"5.1{SPACE}%"),
        (-0.21, f"{MINUS}21.0{SPACE}%"),
        (-0.00001, f"0.0{SPACE}%"),
        (12.5, f"1{NARROW}250.0{SPACE}%"),
        (None, "–"),
        (float("nan"), "–"),
        ("not a number", "–"),
    ],
)
def test_percent_has_one_decimal(value, text):
    assert f.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.012, f"+1.2{SPACE}%"),
        (-0.012, f"{MINUS}1.2{SPACE}%"),
        (0, f"0.0{SPACE}%"),
        (0.0001, f"0.0{SPACE}%"),
    ],
)
def test_signed_percent_says_gain_and_loss_without_colour(value, text):
    assert f.signed_percent(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (0.35, "350 ms"),
        (0.9996, "1.0 s"),
        (1.2, "1.2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.7, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
        (None, "–"),
    ],
)
def test_duration_uses_the_unit_that_fits(seconds, text):
    assert f.duration(seconds).replace(SPACE, " ") == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (999.6, "1 kB"),
        (1500, "1.5 kB"),
        (34_000_000, "34 MB"),
        (1_400_000_000, "1.4 GB"),
        (None, "–"),
    ],
)
def test_bytesize_counts_by_thousands_as_the_limits_do(size, text):
    assert f.bytesize(size).replace(SPACE, " ") == text


def test_number_has_thin_separators_and_a_real_minus():
    assert f.number(1234567) == f"1{NARROW}234{NARROW}567"
    assert f.number(-1234.5, 1) == f"{MINUS}1{NARROW}234.5"


def test_dates_are_iso_in_tables_and_words_in_prose():
    moment = datetime(2026, 11, 3, 14, 5, tzinfo=UTC)
    assert f.isodate(moment) == "2026-11-03" == f.isodate(date(2026, 11, 3))
    assert f.isotime(moment) == "2026-11-03 14:05"
    assert f.prose_date(moment) == "3 Nov 2026"
    assert f.isodate(None) == f.isotime(None) == f.prose_date(None) == f.ago(None) == "–"


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=5), "just now"),
        (timedelta(seconds=60), "1 min ago"),
        (timedelta(minutes=59), "59 min ago"),
        (timedelta(hours=3), "3 h ago"),
        (timedelta(days=5), "5 days ago"),
        (timedelta(seconds=-3), "just now"),
    ],
)
def test_ago_uses_one_unit(age, text):
    assert f.ago(timezone.now() - age) == text


def test_figures_are_coloured_only_where_up_or_down_means_something():
    assert f.figure_tone(0.3, "total_return") == "gain"
    assert f.figure_tone(-0.3, "cagr") == "loss"
    assert f.figure_tone(-0.21, "max_drawdown") == "loss"
    assert f.figure_tone(1.2, "sharpe") == f.figure_tone(None, "total_return") == f.figure_tone(63, "trades") == ""
