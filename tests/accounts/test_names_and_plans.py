"""Which usernames may exist, and what does each plan allow?"""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import Plan, User
from accounts.names import suggest_username, validate_username
from tests.accounts.people import PASSWORD, make_account


@pytest.mark.parametrize("name", ["alice", "a", "7", "alice-b", "x" * 32])
def test_a_short_slug_is_a_username(name):
    validate_username(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        "a-",
        "a--b",
        "Alice",
        "a b",
        "a_b",
        "a.b",
        "..",
        "x" * 33,
        "аlice",
        "admin\u200b",
        "ａｄｍｉｎ",
        "adm\u0131n",
        "admin",
        "login",
        "api",
        "static",
        "null",
        "undefined",
        "none",
        "true",
        "me",
        "settings",
        "mine",
        "tiingo",
    ],
)
def test_a_name_that_misleads_or_collides_is_refused(name):
    with pytest.raises(ValidationError):
        validate_username(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada.Lovelace", "adalovelace"),
        ("admin", "admin-1"),
        ("", "trader"),
        ("日本", "trader"),
        ("a__b", "a-b"),
    ],
)
def test_a_suggested_name_is_always_allowed(text, expected):
    assert suggest_username(text) == expected
    validate_username(suggest_username(text))


def test_names_and_addresses_are_unique_without_regard_to_case():
    make_account("alice")
    for name, email in (("ALICE", "other@example.com"), ("other", "Alice@Example.com")):
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.create_user(name, email, PASSWORD)


def test_plans_are_picked_by_role():
    guest, free = Plan.objects.for_guests(), Plan.objects.for_new_accounts()
    assert (guest.concurrent_runs, guest.runs_per_day, guest.cpu_seconds, guest.memory_mb) == (1, 30, 10, 512)
    assert (free.concurrent_runs, free.cpu_seconds, free.max_projects) == (2, 60, 100)
    Plan.objects.filter(pk=free.pk).update(code="starter", name="Starter")
    assert make_account("alice").plan.name == "Starter"


def test_only_one_plan_is_for_guests_and_one_for_new_accounts():
    pro = Plan.objects.get(is_default=False, is_for_guests=False)
    for role in ("is_default", "is_for_guests"):
        with pytest.raises(IntegrityError), transaction.atomic():
            Plan.objects.filter(pk=pro.pk).update(**{role: True})
