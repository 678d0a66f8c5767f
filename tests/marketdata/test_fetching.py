"""A series on its way from a provider into somebody's data: patience, refusals, and what is stored for whom."""

from __future__ import annotations

import logging
import threading
import time
from datetime import date, timedelta
from typing import Any

import django_rq
import numpy as np
import pytest
from django.conf import settings
from django.utils import timezone

from marketdata import credentials, fetch_queue, fetching, providers, store, throttle, wanting
from marketdata.models import CredentialUse, Fetch, Provider, ProviderAgreement, Refresh, Series
from marketdata.providers import Question
from marketdata.providers.connection import TIMEOUT
from marketdata.providers.errors import NotEntitled, QuotaExceeded, RateLimited, SwitchedOff, UnknownSymbol
from tests.bars import read_bars
from tests.factories import make_user
from tests.providers.answers import GOOD, Reply, nonsense, too_many
from tests.providers.histories import history

pytestmark = pytest.mark.django_db

TIINGO = "api.tiingo.com"


def fetched(user: Any, provider: str = "tiingo", symbol: str = "AAPL", **values: Any) -> Fetch:
    """Wanted, and then done here instead of by a worker."""
    fetch = wanting.want(user, provider, symbol, **values)
    fetching.perform(str(fetch.pk))
    fetch.refresh_from_db()
    return fetch


@pytest.fixture
def with_key(alice, give_key, stand_ins):
    give_key(alice, "tiingo", GOOD)
    return alice


def series_of(user: Any) -> set[str]:
    snapshot = store.current_snapshot_id(user)
    return {entry["id"] for entry in store.read_manifest(settings.STORE_DIR, snapshot)["series"]}


# Stored


def test_what_was_fetched_is_in_its_owners_data_and_in_nobody_elses(with_key):
    fetch = fetched(with_key)
    assert (fetch.status, fetch.error, fetch.attempts) == (Fetch.Status.SUCCEEDED, "", 1), fetch.message
    assert fetch.series_id == "tiingo/1d/AAPL" and fetch.snapshot == store.current_snapshot_id(with_key)
    bars = read_bars(settings.STORE_DIR, fetch.snapshot, fetch.series_id, None)
    np.testing.assert_allclose(bars["close"], history("AAPL").close)
    adjusted = read_bars(settings.STORE_DIR, fetch.snapshot, fetch.series_id, "split")
    np.testing.assert_allclose(adjusted["close"], history("AAPL").close / history("AAPL").later_splits)
    row = Series.objects.get(series_id=fetch.series_id)
    assert (row.snapshot.owner, row.rights, row.provider) == (with_key, "personal", "tiingo")
    assert "tiingo/1d/AAPL" not in series_of(make_user()) | series_of(None)
    assert Provider.objects.get(name="tiingo").health == Provider.Health.GOOD


def test_another_history_is_another_object_and_the_old_snapshot_keeps_its_own(with_key, stand_ins):
    first = fetched(with_key)
    stand_ins.shift = 1.01
    second = fetched(with_key)
    assert first.object_sha256 != second.object_sha256 and first.snapshot != second.snapshot
    old = read_bars(settings.STORE_DIR, first.snapshot, first.series_id, None)
    np.testing.assert_allclose(old["close"], history("AAPL").close)


def test_days_that_are_there_stay_there(with_key, stand_ins):
    days = history("AAPL").days
    fetched(with_key, start=days[100].astype(object), end=days[200].astype(object))
    fetch = fetched(with_key, start=days[300].astype(object))
    bars = read_bars(settings.STORE_DIR, fetch.snapshot, fetch.series_id, None)
    assert (bars["date"][0], bars["date"][-1]) == (days[100], days[-1])
    assert stand_ins.requests_to(TIINGO)[-1].query["startDate"] == str(days[100])


def test_what_may_be_passed_on_goes_into_the_catalogue_even_for_a_guest(stand_ins, alice):
    fetch = fetched(None, "ecb", "usd")
    assert fetch.status == Fetch.Status.SUCCEEDED and fetch.user is None
    assert "ecb/1d/EURUSD" in series_of(None) & series_of(alice)
    assert wanting.want(alice, "ecb", "EURCHF").user is None
    assert wanting.want(alice, "ecb", "EUR/USD", start=history("IBM").days[0].astype(object)) == fetch
    Fetch.objects.filter(pk=fetch.pk).update(finished=timezone.now() - timedelta(hours=2))
    assert wanting.want(None, "ecb", "EURUSD") != fetch


def test_uses_of_a_key_are_on_record(with_key):
    fetched(with_key)
    fetched(with_key, symbol="NOPE")
    assert list(CredentialUse.objects.order_by("at").values_list("purpose", "outcome")) == [
        ("AAPL 1d", "succeeded"),
        ("NOPE 1d", "UnknownSymbol"),
    ]
    assert credentials.current(with_key, "tiingo").last_used is not None


# Patience


def test_two_refusals_and_then_data_are_a_success_after_waits_with_one_line_of_log(with_key, stand_ins, caplog):
    caplog.set_level(logging.INFO, "marketdata")
    stand_ins.faults[TIINGO] = [too_many, too_many]
    fetch = fetched(with_key)
    assert (fetch.status, fetch.attempts) == (Fetch.Status.SUCCEEDED, 3)
    assert fetch.finished - fetch.started > timedelta(seconds=0.75 + 1.5)
    [line] = [record.getMessage() for record in caplog.records if record.name.startswith("marketdata")]
    assert "Tiingo AAPL 1d stored after 3 attempts" in line


def test_refusal_for_good_is_told_within_half_a_minute_with_next_try_and_alternative(with_key, stand_ins, give_key):
    give_key(with_key, "alphavantage", GOOD)
    fetched(with_key)
    stand_ins.always[TIINGO] = too_many
    last_begins, answered_within = fetching.RETRIES_END_SECONDS, TIMEOUT.read
    assert last_begins + answered_within < 30
    fetch = fetched(with_key)
    assert (fetch.status, fetch.error, fetch.attempts) == (Fetch.Status.FAILED, "RateLimited", 4)
    assert fetch.message.startswith("Tiingo refuses for now") and "may be asked again at" in fetch.message
    assert "Until then use Alpha Vantage, for which you have a key" in fetch.message
    assert "What was fetched before is still there" in fetch.message
    assert fetch.retry_at > timezone.now()
    assert Provider.objects.get(name="tiingo").health == Provider.Health.SLOW


def test_a_provider_that_names_a_time_is_left_alone_until_then(with_key, stand_ins):
    stand_ins.faults[TIINGO] = [lambda: too_many("1800")]
    first, second = fetched(with_key), fetched(with_key, symbol="MSFT")
    assert [fetch.error for fetch in (first, second)] == ["RateLimited"] * 2
    assert first.attempts == 1 and len(stand_ins.requests_to(TIINGO)) == 1
    assert abs(second.retry_at - timezone.now() - timedelta(seconds=1800)) < timedelta(seconds=60)


def test_calls_in_flight_never_exceed_the_providers_limit(stand_ins, services):
    provider = providers.find("binance")
    stand_ins.slowness["api.binance.com"] = 0.15

    def ask() -> None:
        with fetching.connect(provider, {}, throttle.scope_of(provider, None)) as connection:
            provider.fetch(Question("BTCUSDT", start=timezone.now().date() - timedelta(days=5)), connection)

    threads = [threading.Thread(target=ask) for _ in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stand_ins.asked) == 7
    assert stand_ins.most_flying["api.binance.com"] == provider.limits.in_flight == 2


def test_an_allowance_is_counted_for_each_key_and_a_lost_call_is_given_back(services):
    provider = providers.find("alphavantage")
    redis = django_rq.get_connection("fetch")
    now = time.time()
    redis.zadd("fetch:alphavantage:1:86400", {f"call {i}": now - 3600 for i in range(25)})
    with pytest.raises(QuotaExceeded, match="25 calls for every day") as refusal:
        with throttle.call(provider, "alphavantage:1"):
            pass
    assert refusal.value.retry_at > timezone.now() + timedelta(hours=22)
    redis.zadd("fetch:alphavantage:2:flying", {"lost": now - 1})
    with throttle.call(provider, "alphavantage:2"):
        with pytest.raises(RateLimited, match="waiting"):
            with throttle.call(provider, "alphavantage:2", patience_seconds=0.2):
                pass


def test_the_same_series_is_fetched_once_at_a_time_for_each_person(with_key, give_key):
    first = wanting.want(with_key, "tiingo", "AAPL")
    assert wanting.want(with_key, "tiingo", " aapl ") == first
    bob = make_user()
    bob = make_user()
    give_key(bob, "tiingo", GOOD)
    assert wanting.want(bob, "tiingo", "AAPL") != first
    fetching.perform(str(first.pk))
    fetching.perform(str(first.pk))  # a second job finds nothing to do
    assert wanting.want(with_key, "tiingo", "AAPL") != first


# Refused


def test_a_key_that_was_revoked_meanwhile_fails_at_once(with_key, stand_ins):
    fetch = wanting.want(with_key, "tiingo", "AAPL")
    credentials.revoke(credentials.current(with_key, "tiingo"))
    fetching.perform(str(fetch.pk))
    fetch.refresh_from_db()
    assert (fetch.status, fetch.error) == (Fetch.Status.FAILED, "NotEntitled") and not stand_ins.asked


def test_a_provider_switched_off_is_not_asked_and_an_alternative_is_named(with_key, stand_ins):
    fetch = wanting.want(with_key, "tiingo", "AAPL")
    Provider.objects.filter(name="tiingo").update(enabled=False)
    with pytest.raises(SwitchedOff, match=r"switched off on this site\. Until then use Alpha Vantage"):
        wanting.want(with_key, "tiingo", "MSFT")
    fetching.perform(str(fetch.pk))
    fetch.refresh_from_db()
    assert fetch.error == "ProviderDown" and not stand_ins.asked


@pytest.mark.parametrize(
    ("provider", "symbol", "said"),
    [
        ("tiingo", "AAPL", "no key for Tiingo"),
        ("bloomberg", "AAPL US Equity", "not set up on this site"),
        ("lseg", "VOD.L", "not set up on this site"),
        ("yahoo", "AAPL", "switched off"),
    ],
)
def test_what_somebody_may_not_have_is_told_before_anything_is_asked(alice, stand_ins, provider, symbol, said):
    for user in (alice, None):
        with pytest.raises((NotEntitled, SwitchedOff), match=said):
            wanting.want(user, provider, symbol)
    assert not stand_ins.asked and not Fetch.objects.exists()


def test_yahoo_needs_the_operator_and_the_persons_consent(alice, stand_ins):
    Provider.objects.create(name="yahoo", enabled=True)
    with pytest.raises(NotEntitled, match="Accept the terms of Yahoo Finance"):
        wanting.want(alice, "yahoo", "AAPL")
    ProviderAgreement.objects.create(user=alice, provider="yahoo", kind=ProviderAgreement.Kind.CONSENT)
    fetch = fetched(alice, "yahoo")
    assert fetch.status == Fetch.Status.SUCCEEDED and fetch.user == alice, fetch.message
    np.testing.assert_allclose(
        read_bars(settings.STORE_DIR, fetch.snapshot, fetch.series_id, None)["close"], history("AAPL").close, rtol=1e-6
    )
    held = fetching.held_series(fetch)
    assert held is not None and held["zone"] == ""  # days of trading are no instants


def test_bloomberg_is_for_people_whom_the_operator_entitled(alice, stand_ins):
    Provider.objects.create(name="bloomberg", enabled=True)
    with pytest.raises(NotEntitled, match="you are not among them"):
        wanting.want(alice, "bloomberg", "AAPL US Equity")
    ProviderAgreement.objects.create(user=alice, provider="bloomberg", kind=ProviderAgreement.Kind.ENTITLEMENT)
    fetch = fetched(alice, "bloomberg", "AAPL US Equity")
    assert fetch.error == "NotEntitled" and "no session with Bloomberg" in fetch.message


def test_unknown_symbol_comes_with_names_that_exist(with_key, give_key):
    assert "Did you mean AAPL, AAP or APL?" in fetched(with_key, symbol="AAPPL").message
    give_key(with_key, "alphavantage", GOOD)
    fetch = fetched(with_key, "alphavantage", "AAPX")
    assert fetch.error == "UnknownSymbol" and "Did you mean AAPL?" in fetch.message


def test_bars_that_cannot_be_right_are_not_stored(with_key, stand_ins):
    row = {"open": 1, "high": 1, "low": 1, "close": -1, "volume": 1, "divCash": 0, "splitFactor": 1}
    twice = [{**row, "close": 1, "date": "2024-01-02T00:00:00Z"}] * 2
    for rows, said in ((twice, "appear twice"), ([{**row, "date": "2024-01-02T00:00:00Z"}], "negative")):
        stand_ins.faults[TIINGO] = [lambda rows=rows: Reply(200, rows)]
        fetch = fetched(with_key)
        assert fetch.error == "BadResponse" and said in fetch.message
    stand_ins.faults[TIINGO] = [nonsense]
    assert fetched(with_key).error == "BadResponse"
    assert series_of(with_key) == series_of(None)
    assert Provider.objects.get(name="tiingo").health == Provider.Health.DOWN


def test_a_person_has_so_many_unfinished_fetches_and_no_more(with_key):
    for number in range(wanting.UNFINISHED_EACH):
        Fetch.objects.create(user=with_key, provider="tiingo", symbol=f"S{number}")
    with pytest.raises(QuotaExceeded, match="not finished"):
        wanting.want(with_key, "tiingo", "AAPL")
    for wrong in ({"interval": "1m"}, {"start": timezone.now().date(), "end": timezone.now().date() - timedelta(1)}):
        with pytest.raises((NotEntitled, UnknownSymbol)):
            wanting.want(with_key, "tiingo", "AAPL", **wrong)


def test_a_program_gets_the_errors_by_the_names_that_fetches_keep():
    from qfp import data

    from marketdata.providers import errors

    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ProviderError)
    ]
    names = {kind("", []).kind if kind is errors.UnknownSymbol else kind("").kind for kind in kinds} - {"ProviderError"}
    assert len(names) == 7 and all(issubclass(getattr(data, name), data.DataError) for name in names)


# Workers


def test_nobody_waits_behind_the_many_fetches_of_another(
    with_key, give_key, stand_ins, django_capture_on_commit_callbacks
):
    bob = make_user()
    give_key(bob, "tiingo", GOOD)
    with django_capture_on_commit_callbacks(execute=True):
        many = [wanting.want(with_key, "tiingo", symbol) for symbol in ("AAA", "BBB", "CCC")]
        one = wanting.want(bob, "tiingo", "DDD")
    order = [job.args[0] for job in django_rq.get_queue("fetch").jobs]
    assert order.index(str(one.pk)) < order.index(str(many[1].pk)) < order.index(str(many[2].pk))


def test_visitors_hold_few_places_and_people_with_an_account_go_before_them(
    alice, stand_ins, django_capture_on_commit_callbacks
):
    currencies = ("USD", "CHF", "GBP", "JPY", "SEK", "NOK", "DKK")
    with django_capture_on_commit_callbacks(execute=True):
        of_visitors = [wanting.want(None, "ecb", each) for each in currencies[: wanting.UNFINISHED_OF_VISITORS]]
        with pytest.raises(QuotaExceeded, match="sign in"):
            wanting.want(None, "ecb", "NOK")
        assert wanting.want(None, "ecb", "USD") == of_visitors[0]  # waits already
        hers = wanting.want(alice, "ecb", "NOK")
        by_the_clock = wanting.want(None, "ecb", "DKK", by_the_clock=True)
    order = [job.args[0] for job in django_rq.get_queue("fetch").jobs]
    assert order == [str(each.pk) for each in (hers, *of_visitors, by_the_clock)]


def test_a_round_of_the_site_shuts_no_visitor_out(db, stand_ins, django_capture_on_commit_callbacks):
    refresh = Refresh.objects.create(what="1d", reason="by the clock")
    for currency in ("USD", "CHF", "GBP", "JPY", "SEK", "NOK")[: wanting.UNFINISHED_OF_VISITORS]:
        fetch = wanting.want(None, "ecb", currency, by_the_clock=True)
        refresh.series.create(series_id=currency, fetch=fetch, start=date(2024, 1, 2))
    assert wanting.want(None, "ecb", "DKK").status == Fetch.Status.QUEUED


def test_a_fetch_whose_worker_was_lost_ends_and_one_that_was_forgotten_is_sent_again(
    with_key, django_capture_on_commit_callbacks
):
    long_ago = timezone.now() - timedelta(minutes=5)
    lost, alive, forgotten = (Fetch.objects.create(user=with_key, provider="tiingo", symbol=s) for s in "ABC")
    Fetch.objects.filter(pk__in=[lost.pk, alive.pk]).update(status=Fetch.Status.RUNNING, started=long_ago)
    Fetch.objects.filter(pk=forgotten.pk).update(created=long_ago)
    fetch_queue.show_life(alive)
    with django_capture_on_commit_callbacks(execute=True):
        assert fetch_queue.sweep() == (1, 1)
    lost.refresh_from_db()
    alive.refresh_from_db()
    assert (lost.status, alive.status) == (Fetch.Status.FAILED, Fetch.Status.RUNNING)
    assert "Fetch it again" in lost.message
    assert django_rq.get_queue("fetch").count == 1
    assert fetch_queue.sweep() == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_a_worker_of_the_site_fetches_what_is_wanted(alice, give_key, stand_ins, fetcher):
    give_key(alice, "tiingo", GOOD)
    fetch = wanting.want(alice, "tiingo", "IBM")
    deadline = time.monotonic() + 60
    while fetch.status in fetch_queue.UNFINISHED and time.monotonic() < deadline:
        time.sleep(0.1)
        fetch.refresh_from_db()
    assert fetch.status == Fetch.Status.SUCCEEDED, fetch.message
    assert [asked.path for asked in stand_ins.requests_to(TIINGO)] == ["/tiingo/daily/IBM/prices"]
    assert "tiingo/1d/IBM" in series_of(alice)


def test_key_that_a_provider_repeats_as_a_symbol_is_not_told(with_key, stand_ins):
    def echoing() -> Reply:
        return Reply(404, {}) if stand_ins.asked[-1].path.endswith("prices") else Reply(200, [{"ticker": GOOD}] * 2)

    stand_ins.always[TIINGO] = echoing
    fetch = fetched(with_key, symbol="AAPLX")
    assert fetch.error == "UnknownSymbol"
    assert GOOD.casefold() not in fetch.message.casefold()


def test_page_of_a_provider_does_not_say_what_somebody_asked_for(with_key, stand_ins):
    stand_ins.always[TIINGO] = lambda: Reply(200, [{"date": "no date"}])
    assert "MYSECRET" in fetched(with_key, symbol="MYSECRET").message
    provider = Provider.objects.get(name="tiingo")
    assert (provider.health, "MYSECRET" in provider.last_error) == (Provider.Health.DOWN, False)
