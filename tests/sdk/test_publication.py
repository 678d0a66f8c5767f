"""What was known when: an item is there from the moment it was published, with the text that it had then."""

from __future__ import annotations

import pandas as pd
import pytest


@pytest.fixture
def news():
    return pd.DataFrame(
        {
            "id": ["a", "b", "a"],
            "text": ["Profit doubles", "New chief", "Profit doubles, corrected: halves"],
            "Published at": ["2024-03-01 16:05", "2024-03-01 09:00", "2024-03-04 08:00"],
        }
    )


def test_an_item_of_five_past_four_is_unknown_at_four_and_known_at_the_next_decision(data, news):
    assert list(data.as_of(news, "2024-03-01 16:00", item="id")["text"]) == ["New chief"]
    assert list(data.as_of(news, "2024-03-01 11:04:59-05:00", item="id")["text"]) == ["New chief"]
    assert list(data.as_of(news, "2024-03-01 11:05-05:00", item="id")["text"]) == ["New chief", "Profit doubles"]
    assert data.as_of(news, "2024-03-01").empty, "a decision of a day is made as it begins"


def test_an_item_edited_later_keeps_its_first_text_for_the_past(data, news):
    before, after = (data.as_of(news, day, item="id") for day in ("2024-03-04 07:59", "2024-03-04 08:00"))
    assert list(before["text"]) == ["New chief", "Profit doubles"]
    assert list(after["text"]) == ["New chief", "Profit doubles, corrected: halves"]
    assert len(data.as_of(news, "2024-03-05")) == 3, "without item= every row"


def test_the_newest_item_stands_beside_each_bar_and_never_that_of_later_the_same_day(data, news):
    days = pd.DatetimeIndex(["2024-03-01", "2024-03-02", "2024-03-04", "2024-03-05"])
    beside = data.latest_at(days, news)
    assert beside.index.equals(days)
    assert beside["text"].fillna("nothing").tolist() == ["nothing", "Profit doubles", "Profit doubles", news["text"][2]]
    at_close = data.latest_at(days + pd.Timedelta(hours=16), news)
    assert at_close["text"].tolist() == ["New chief", "Profit doubles", news["text"][2], news["text"][2]]


def test_what_says_only_the_day_is_known_when_that_day_is_over(data):
    filed = pd.DataFrame({"eps": [1.0, 2.0]}, index=pd.DatetimeIndex(["2024-03-01", "2024-03-04"], name="date"))
    assert data.as_of(filed, "2024-03-01 23:59").empty
    assert data.as_of(filed, "2024-03-02")["eps"].tolist() == [1.0]
    first = filed.assign(published_after_days=[27.0, 30.0])  # as FRED's "@first" gives them
    assert data.as_of(first, "2024-03-28 12:00").empty
    assert data.as_of(first, "2024-03-29")["eps"].tolist() == [1.0]


def test_what_has_no_moment_of_publication_is_never_known(data, news):
    news.loc[1, "Published at"] = None
    assert list(data.as_of(news, "2030-01-01", item="id")["id"]) == ["a"]
    with pytest.raises(data.DataError, match="published="):
        data.as_of(news[["id", "text"]], "2030-01-01")
    with pytest.raises(data.DataError, match="unit='s'"):
        data.as_of(news.assign(published=[1, 2, 3]), "2030-01-01")
    with pytest.raises(data.DataError, match="moment is needed"):
        data.as_of(news, "soon")
    with pytest.raises(data.DataError, match="no column 'story'"):
        data.as_of(news, "2030-01-01", item="story")


def test_a_series_of_the_catalogue_goes_in_by_its_name(data):
    known = data.as_of("CORE_CPI", "2018-01-31")
    assert known.index[-1] == pd.Timestamp("2017-12-01"), "a figure of January is not known before it is over"
    known = data.as_of("CORE_CPI", "2018-01-01")
    assert known["known_at"].max() <= pd.Timestamp("2018-01-01", tz="UTC") and len(known) > 700
