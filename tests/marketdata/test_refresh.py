"""Series are brought up to date after the close: new days are joined, changes told, what is wrong held back."""

from __future__ import annotations

import io
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import django_rq
import numpy as np
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from marketdata import calendars, fetching, refresh, store, wanting
from marketdata.models import Fetch, QualityIssue, Refresh, Series
from tests.bars import read_bars
from tests.factories import make_user
from tests.providers.answers import GOOD, Reply, too_many
from tests.providers.histories import history

pytestmark = pytest.mark.django_db

TIINGO = "api.tiingo.com"
SERIES = "tiingo/1d/MSFT"
KNOWN = history("MSFT")


def fetched(user: Any, provider: str = "tiingo", symbol: str = "MSFT", **values: Any) -> Fetch:
    fetch = wanting.want(user, provider, symbol, **values)
    fetching.perform(str(fetch.pk))
    fetch.refresh_from_db()
    assert fetch.status == Fetch.Status.SUCCEEDED, fetch.message
    return fetch


@pytest.fixture
def ada(give_key, stand_ins):
    """Has all of MSFT but the last five days, and was here today."""
    user = make_user("ada", last_login=timezone.now())
    give_key(user, "tiingo", GOOD)
    fetched(user, end=KNOWN.days[-6].item())
    return user


def refreshed() -> Refresh:
    """A round by hand over everything, done here instead of by a worker."""
    begun = refresh.begin("everything", refresh.BY_HAND, refresh.fetched_series())
    return finished(begun)


def finished(begun: Refresh) -> Refresh:
    while begun.status == Refresh.Status.RUNNING:
        begun = refresh.go_on(begun.pk)
        for item in begun.series.filter(ended="", fetch__isnull=False):
            fetching.perform(str(item.fetch_id))
    return begun


def closes(user: Any) -> np.ndarray:
    return read_bars(settings.STORE_DIR, store.current_snapshot_id(user), SERIES, None)["close"]


def answer(first: int, change: Any = lambda row, at: None) -> Reply:
    """Tiingo's answer from a day on, with something changed."""
    rows = []
    for at in range(first, len(KNOWN.days)):
        row = {name: float(getattr(KNOWN, name)[at]) for name in ("open", "high", "low", "close", "volume")}
        row |= {"date": str(KNOWN.days[at]), "divCash": float(KNOWN.dividend[at]), "splitFactor": 1.0}
        change(row, at)
        rows.append(row)
    return Reply(200, rows)


# Joined


def test_only_the_last_ten_sessions_are_asked_for_and_the_new_days_joined(ada, stand_ins):
    done = refreshed()
    assert (done.status, done.done, done.total, done.changed) == ("succeeded", 1, 1, 1)
    np.testing.assert_array_equal(closes(ada), KNOWN.close)
    asked = stand_ins.requests_to(TIINGO)[-1].query["startDate"]
    expected = calendars.find("US").sessions_before(KNOWN.days[-6].item(), 10)
    assert asked == str(expected) and len(stand_ins.requests_to(TIINGO)) == 2
    assert done.message == "1 changed, 0 as they were."


def test_nothing_new_leaves_the_snapshot_as_it_is(ada):
    refreshed()
    before = store.current_snapshot_id(ada)
    done = refreshed()
    assert (store.current_snapshot_id(ada), done.changed) == (before, 0)
    assert done.message == "0 changed, 1 as they were."


def test_a_round_that_joins_a_persons_fetch_of_older_days_cuts_nothing_off(ada):
    before = closes(ada)
    own = wanting.want(ada, "tiingo", "MSFT", start=KNOWN.days[20].item(), end=KNOWN.days[40].item())
    begun = refresh.go_on(refresh.begin("everything", refresh.BY_HAND, refresh.fetched_series()).pk)
    assert begun.series.get().fetch == own
    finished(begun)
    assert len(closes(ada)) >= len(before)


def test_a_changed_history_is_fetched_whole_told_and_kept_in_the_old_snapshot(ada, stand_ins):
    before = store.current_snapshot_id(ada)
    stand_ins.shift = 1.01
    refreshed()
    np.testing.assert_allclose(closes(ada), KNOWN.close * 1.01)
    assert stand_ins.requests_to(TIINGO)[-1].query["startDate"] == str(KNOWN.days[0])
    (issue,) = QualityIssue.objects.filter(owner=ada, kind="restatement")
    assert issue.series_id == SERIES and "1.01 times" in issue.message
    old = read_bars(settings.STORE_DIR, before, SERIES, None)["close"]
    np.testing.assert_array_equal(old, KNOWN.close[:-5])


def test_one_changed_day_is_a_restatement_of_that_day(ada, stand_ins):
    def change(row, at):
        if at == len(KNOWN.days) - 9:
            row["close"] = round(row["close"] + 0.1, 2)

    stand_ins.faults[TIINGO] = [lambda: answer(len(KNOWN.days) - 16, change)]
    refreshed()
    (issue,) = QualityIssue.objects.filter(owner=ada, kind="restatement")
    assert issue.first == issue.last == KNOWN.days[-9].item()
    assert closes(ada)[-9] == round(KNOWN.close[-9] + 0.1, 2) and closes(ada)[-10] == KNOWN.close[-10]


# Held back


def spiked(row, at):
    if at == len(KNOWN.days) - 1:
        for name in ("open", "high", "low", "close"):
            row[name] *= 100


def test_rows_with_a_fault_are_held_back_until_somebody_has_looked(ada, stand_ins):
    before = closes(ada)
    stand_ins.always[TIINGO] = lambda: answer(len(KNOWN.days) - 16, spiked)
    done = refreshed()
    np.testing.assert_array_equal(closes(ada), before)
    (issue,) = QualityIssue.objects.filter(owner=ada)
    assert (issue.kind, issue.state, issue.first) == ("spike", "quarantined", KNOWN.days[-1].item())
    assert "1 with new rows held back" in done.message
    refreshed()
    assert QualityIssue.objects.filter(owner=ada).count() == 1  # told once
    QualityIssue.objects.update(state=QualityIssue.State.DISMISSED)
    assert refreshed().changed == 1
    assert closes(ada)[-1] == KNOWN.close[-1] * 100


def test_rows_held_back_come_in_when_the_provider_has_put_them_right(ada, stand_ins):
    stand_ins.faults[TIINGO] = [lambda: answer(len(KNOWN.days) - 16, spiked)]
    refreshed()
    assert refreshed().changed == 1
    assert not QualityIssue.objects.filter(owner=ada).exists()
    np.testing.assert_array_equal(closes(ada), KNOWN.close)


def test_a_person_who_asks_gets_what_the_provider_has_and_is_told(ada, stand_ins):
    stand_ins.faults[TIINGO] = [lambda: answer(0, spiked)]
    fetched(ada)
    assert closes(ada)[-1] == KNOWN.close[-1] * 100
    assert QualityIssue.objects.get(owner=ada).state == QualityIssue.State.OPEN
    assert "times the day before's" in Series.objects.get(series_id=SERIES).quality


# When


@pytest.mark.parametrize(
    ("now", "session", "moment"),
    [
        ("2026-11-25T21:29", "2026-11-24", "next morning"),
        ("2026-11-25T21:30", "2026-11-25", "close + 30 min"),
        ("2026-11-26T00:59", "2026-11-25", "close + 30 min"),
        ("2026-11-26T01:00", "2026-11-25", "close + 4 h"),
        ("2026-11-26T12:00", "2026-11-25", "next morning"),
        ("2026-11-27T18:29", "2026-11-25", "next morning"),  # Thanksgiving is over, the half day is not
        ("2026-11-27T18:30", "2026-11-27", "close + 30 min"),
    ],
)
def test_new_york_is_asked_for_three_times_after_each_close(now, session, moment):
    due = refresh.latest_moment(calendars.find("US"), datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert (str(due.session), due.moment) == (session, moment)


def test_crypto_has_its_rounds_every_day_and_figures_theirs_in_the_morning():
    sunday = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)
    due = refresh.latest_moment(calendars.CRYPTO, sunday)
    assert (due.session, due.moment) == (date(2026, 11, 21), "next morning")
    due = refresh.latest_moment(refresh.WORKING_DAYS, sunday)
    assert (due.session, due.moment) == (date(2026, 11, 20), "next morning")


@pytest.fixture
def euro(stand_ins):
    """The catalogue has a rate of the ECB's."""
    return fetched(None, "ecb", "EURUSD")


def test_the_clock_begins_each_round_once(euro):
    afternoon = datetime(2026, 11, 25, 15, 45, tzinfo=UTC)
    for now in (afternoon, afternoon, afternoon + timedelta(hours=4), afternoon + timedelta(hours=4)):
        refresh.work(now)
        for begun in Refresh.objects.filter(status="running"):
            finished(begun)
    rounds = Refresh.objects.order_by("created").values_list("what", "reason", "status")
    assert list(rounds) == [
        ("TARGET", "2026-11-25, close + 30 min", "succeeded"),
        ("TARGET", "2026-11-25, close + 4 h", "succeeded"),
    ]
    assert refresh.due(afternoon + timedelta(hours=4)) == []


def test_series_of_people_who_are_away_and_of_small_keys_are_left_alone(ada, euro, give_key):
    give_key(ada, "alphavantage", GOOD)
    fetched(ada, "alphavantage", "IBM")
    assert [row.series_id for row in refresh.refreshable()] == ["ecb/1d/EURUSD", SERIES]
    ada.last_login = timezone.now() - refresh.AWAY - timedelta(days=1)
    ada.save()
    assert [row.series_id for row in refresh.refreshable()] == ["ecb/1d/EURUSD"]


def test_a_provider_that_refuses_is_said_in_the_round(ada, stand_ins):
    stand_ins.always[TIINGO] = lambda: too_many("3600")
    done = refreshed()
    assert done.status == Refresh.Status.FAILED and "1 not fetched. Tiingo" in done.message
    assert closes(ada)[-1] == KNOWN.close[-6]


def test_what_found_the_allowance_of_the_hour_used_up_is_asked_for_later_in_the_round(ada, stand_ins, services):
    redis, used = django_rq.get_connection("fetch"), f"fetch:tiingo:{ada.pk}:3600"
    begun = refresh.go_on(refresh.begin("everything", refresh.BY_HAND, refresh.fetched_series()).pk)
    redis.zadd(used, {f"call {number}": time.time() for number in range(50)})
    fetching.perform(str(begun.series.get().fetch_id))
    begun = refresh.go_on(begun.pk)
    item = begun.series.get()
    assert begun.status == Refresh.Status.RUNNING and item.fetch is None and not item.ended
    redis.delete(used)
    begun.series.update(not_before=timezone.now())
    assert finished(begun).changed == 1


def test_a_round_that_takes_too_long_is_closed(ada):
    begun = refresh.go_on(refresh.begin("everything", refresh.BY_HAND, refresh.fetched_series()).pk)
    Fetch.objects.filter(status="queued").delete()
    Refresh.objects.update(started=timezone.now() - refresh.LONGEST_ROUND - timedelta(minutes=1))
    assert refresh.go_on(begun.pk).status == Refresh.Status.FAILED


def test_rounds_of_long_ago_are_forgotten():
    for days in (1, 91):
        begun = refresh.begin("XNYS", f"{days} days ago", [])
        Refresh.objects.filter(pk=begun.pk).update(created=timezone.now() - timedelta(days=days))
    assert refresh.forget_old_rounds() == 1
    assert Refresh.objects.get().reason == "1 days ago"


# By hand


def test_the_command_refreshes_what_it_is_told(ada, euro):
    said = io.StringIO()
    call_command("refresh_data", "msft", "--user", "ada", stdout=said)
    assert f"1 of 1  {SERIES}: changed" in said.getvalue() and closes(ada)[-1] == KNOWN.close[-1]
    said = io.StringIO()
    call_command("refresh_data", stdout=said)
    assert said.getvalue().splitlines() == ["1 of 1  ecb/1d/EURUSD: as it was", "0 changed, 1 as they were."]
    with pytest.raises(CommandError, match="nothing to refresh"):
        call_command("refresh_data", "MSFT")


def test_the_admin_begins_a_round_again_and_shows_how_it_went(ada, admin_client, django_assert_max_num_queries):
    series = Series.objects.get(series_id=SERIES)
    press = {"action": "refresh_now", "_selected_action": [series.pk]}
    admin_client.post(reverse("admin:marketdata_series_changelist"), press)
    first = finished(Refresh.objects.get())
    address = reverse("admin:marketdata_refresh_changelist")
    admin_client.post(address, {"action": "run_now", "_selected_action": [first.pk]})
    second = finished(Refresh.objects.exclude(pk=first.pk).get())
    assert (first.changed, second.changed, second.total) == (1, 0, 1)
    with django_assert_max_num_queries(12):
        page = admin_client.get(address, {"q": "changed"}).content.decode()
    assert "1 of 1" in page
    page = admin_client.get(reverse("admin:marketdata_refresh_change", args=[first.pk])).content.decode()
    assert SERIES in page and "changed: 400 rows" in page
