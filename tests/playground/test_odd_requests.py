"""Requests no page of ours sends get an answer, never a 500."""

from __future__ import annotations

import pytest

from tests.factories import make_finished_run, make_project

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/docs//", 302),
        ("/docs/%00", 404),
        ("/account/google/login", 404),
        ("/account/google/callback?error=%00", 404),
        ("/account/github/callback?code=x&state=y", 404),
        ("/p/nobody/nothing", 404),
        ("/r/00000000-0000-0000-0000-000000000000", 404),
    ],
)
def test_an_odd_address_is_answered(client, path, expected):
    assert client.get(path).status_code == expected


@pytest.mark.parametrize("after", ["-1", "9" * 25, "9223372036854775807", "x", ""])
def test_odd_numbers_of_events_are_answered(client, after):
    run = make_finished_run(make_project(visibility="public"))
    assert client.get(f"/r/{run.pk}/events", {"after": after}).status_code in (200, 400)


def test_a_form_in_another_encoding_is_refused(client):
    response = client.post("/try", "a=b", content_type="application/x-www-form-urlencoded; charset=utf-7")
    assert response.status_code == 415


def test_a_database_that_is_away_is_503_and_says_when_to_try_again(client, settings, monkeypatch):
    client.raise_request_exception = False
    monkeypatch.setitem(settings.DATABASES["default"], "HOST", "/nowhere")
    from django.db import connections

    connection = connections["default"]
    monkeypatch.setattr(connection, "ensure_connection", _away)
    monkeypatch.setattr(connection, "connection", None)
    response = client.get("/explore")
    assert response.status_code == 503 and response["Retry-After"] == "10"


def _away() -> None:
    from django.db import OperationalError

    raise OperationalError("connection refused")
