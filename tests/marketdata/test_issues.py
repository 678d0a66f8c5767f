"""Findings as rows: told once, gone when the series is well, quiet when somebody has dismissed them."""

from __future__ import annotations

import io
from datetime import date

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from qfp.objects import arrow_bytes

from marketdata import issues, store
from marketdata.models import QualityIssue
from marketdata.quality import Finding, Kind
from tests.factories import make_user
from tests.marketdata.test_quality import clean, day_of, scaled, without

pytestmark = pytest.mark.django_db

State = QualityIssue.State
SERIES = "tiingo/1d/AAPL"
DAY = date(2024, 5, 3)
SPIKE = Finding(Kind.SPIKE, DAY, DAY, "The price is 100 times the one before.")
GAP = Finding(Kind.GAP, date(2024, 6, 3), date(2024, 6, 7), "5 sessions are missing.")


def told(**about) -> list[tuple[str, str, str]]:
    rows = QualityIssue.objects.filter(series_id=SERIES, **about).order_by("first")
    return [(row.kind, row.state, row.object_sha256[:1]) for row in rows]


def test_a_finding_is_told_once_and_goes_when_it_is_there_no_more():
    assert issues.record(SERIES, "a" * 64, [SPIKE, GAP]) == 2
    assert issues.record(SERIES, "b" * 64, [SPIKE]) == 0
    assert told() == [("spike", "open", "b")]


def test_what_was_dismissed_stays_so_with_another_object():
    issues.record(SERIES, "a" * 64, [SPIKE])
    QualityIssue.objects.update(state=State.DISMISSED)
    issues.record(SERIES, "b" * 64, [SPIKE, GAP])
    assert [state for _, state, _ in told()] == ["dismissed", "open"]
    assert issues.dismissed(SERIES, None) == {("spike", DAY)}
    assert [issue.kind for issue in issues.issues_of(SERIES, "b" * 64)] == ["gap"]


def test_rows_held_back_do_not_touch_what_is_known_of_the_series_in_place():
    issues.record(SERIES, "a" * 64, [GAP])
    issues.record(SERIES, "c" * 64, [SPIKE], held_back=True)
    issues.record(SERIES, "a" * 64, [GAP])
    assert told() == [("spike", "quarantined", "c"), ("gap", "open", "a")]
    assert {issue.kind for issue in issues.issues_of(SERIES, "a" * 64)} == {"spike", "gap"}
    issues.nothing_is_held_back(SERIES)
    assert told() == [("gap", "open", "a")]


def test_a_persons_issues_are_their_own():
    ada, ben = make_user(), make_user()
    issues.record(SERIES, "a" * 64, [SPIKE], owner=ada)
    issues.record(SERIES, "a" * 64, [SPIKE], owner=ben)
    assert [issues.issues_of(SERIES, "a" * 64, reader).count() for reader in (ada, ben, None)] == [1, 1, 0]


def test_a_restatement_is_kept_beside_later_ones():
    for name, at in (("a", DAY), ("b", DAY)):
        issues.record_restatement(SERIES, name * 64, [at], "The provider has changed the values of 1 day.")
        issues.record(SERIES, name * 64, [])
    assert told() == [("restatement", "open", "a"), ("restatement", "open", "b")]


def own_series(user, bars, series=SERIES):
    entry = {
        "id": series,
        "symbol": "AAPL",
        "name": "Apple",
        "kind": "equity",
        "interval": "1d",
        "exchange": "NASDAQ",
        "licence": "the provider's terms",
        "source": "a provider",
        "columns": [name for name in bars if name != "date"],
        "rows": len(bars["date"]),
        "first": str(day_of(bars, 0)),
        "last": str(day_of(bars, -1)),
        "object": store.put_object(arrow_bytes(bars["date"], {n: v for n, v in bars.items() if n != "date"})),
        "rights": "personal",
        "adjustment": "raw",
    }
    return store.add_series([entry], user=user, created_for="test")


def test_the_catalogue_has_the_known_remarks_and_no_others():
    said = io.StringIO()
    call_command("check_data", stdout=said)
    # Prices of the twenty shares are rounded to a tenth of a cent, and this one cost a few cents in the beginning.
    told = [line for line in said.getvalue().splitlines() if not line.startswith("starter/panel/sp500_20/RRC: ")]
    assert told[:-1] == [
        "starter/index/IXIC: The volume is zero on 2015-05-12 although the price changed.",
        "starter/index/IXIC: The volume is zero on 2018-01-09 although the price changed.",
    ]
    assert QualityIssue.objects.filter(series_id="starter/index/IXIC", owner=None, state="open").count() == 2


def test_the_command_checks_somebodys_own_series():
    ada = make_user("ada")
    own_series(ada, scaled(without(clean(), slice(100, 105)), 300, 100))
    said = io.StringIO()
    call_command("check_data", "--user", "ada", stdout=said)
    assert sorted(QualityIssue.objects.filter(owner=ada).values_list("kind", flat=True)) == ["gap", "spike"]
    assert said.getvalue().splitlines()[-1] == "2 remarks on 1 series."
    with pytest.raises(CommandError, match="nobody called"):
        call_command("check_data", "--user", "eve")


def test_an_issue_is_dismissed_in_the_admin_by_those_who_may(admin_client, client):
    issues.record(SERIES, "a" * 64, [SPIKE])
    (row,) = QualityIssue.objects.all()
    press = {"action": "dismiss", "_selected_action": [row.pk]}
    address = reverse("admin:marketdata_qualityissue_changelist")
    clerk = make_user("clerk", is_staff=True)
    client.force_login(clerk)
    assert client.post(address, press).status_code == 403
    page = admin_client.post(address, press, follow=True)
    row.refresh_from_db()
    assert row.state == State.DISMISSED and "1 dismissed" in page.content.decode()
    admin_client.post(address, {**press, "action": "open_again"})
    row.refresh_from_db()
    assert row.state == State.OPEN


def test_nothing_is_said_of_a_series_that_is_well():
    ada = make_user()
    own_series(ada, clean())
    assert issues.check_snapshot(ada) == {} and not QualityIssue.objects.filter(owner=ada).exists()
