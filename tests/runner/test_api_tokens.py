"""A token opens what its owner may read, and with the scope runs it; it opens no page, and cookies start nothing."""

from __future__ import annotations

import json
import logging
from datetime import timedelta

import pytest
from django.core.signing import dumps
from django.test import Client
from django.utils import timezone

from accounts import tokens
from accounts.models import AccessToken
from marketdata.redaction import Redacting
from runner.access import GUEST_COOKIE, hash_key
from runner.api.access import read_only
from runner.defaults import names_of
from runner.models import Project, Run
from tests.factories import make_finished_run, make_project, make_user

pytestmark = pytest.mark.django_db

PARAMS = {"fast": 20, "wide": True, "name": "x", "code": "00700", "exact": 1.0, "text": "true"}


@pytest.fixture
def ada():
    return make_user("ada")


@pytest.fixture
def hidden(ada):
    """A run of a private project of Ada's."""
    return make_finished_run(make_project(ada, slug="mine", visibility=Project.Visibility.PRIVATE))


def bearer(user, scope: str = "read", **values) -> dict[str, str]:
    made, secret = tokens.make(user, f"token {AccessToken.objects.count()}", scope, 30)
    AccessToken.objects.filter(pk=made.pk).update(**values) if values else None
    return {"Authorization": f"Bearer {secret}"}


def start(client, headers, body="", project="ada/mine"):
    address = f"/api/v1/projects/{project}/runs"
    return client.post(address, body, content_type="application/json", headers=headers)


def test_a_private_run_answers_its_owners_token_alone(client, ada, hidden):
    address = f"/api/v1/runs/{hidden.pk}"
    assert client.get(address, headers=bearer(ada)).json()["id"] == str(hidden.pk)
    assert client.get(address).status_code == 404
    assert client.get(address, headers=bearer(make_user("eve"), "read+run")).status_code == 404


def test_what_is_no_working_token_is_refused_and_no_cookie_stands_in_for_it(client, ada, hidden):
    expired = bearer(ada, expires=timezone.now() - timedelta(seconds=1))
    revoked = bearer(ada)
    AccessToken.objects.latest("pk").delete()
    client.force_login(ada)
    for wrong in (expired, revoked, {"Authorization": "Bearer"}, {"Authorization": "bearer qfp_" + "a" * 40}):
        refused = client.get(f"/api/v1/runs/{hidden.pk}", headers=wrong)
        assert refused.status_code == 401 and refused["WWW-Authenticate"] == "Bearer"
        assert refused.json()["error"]["code"] == "bad_token"
    # What a proxy asks for is not ours.
    assert client.get(f"/api/v1/runs/{hidden.pk}", headers={"Authorization": "Basic YTpi"}).status_code == 200


def test_beside_a_token_cookies_count_for_nothing(client, ada, hidden):
    eve = bearer(make_user("eve"))
    client.force_login(ada)
    assert client.get(f"/api/v1/runs/{hidden.pk}", headers=eve).status_code == 404
    guests = make_project(guest_hash=hash_key("key"), expires=timezone.now() + timedelta(days=7))
    guests_run = Run.objects.create(revision=guests.make_revision(guests.draft, author=None), owner_key="g", limits={})
    client.logout()
    client.cookies[GUEST_COOKIE] = dumps("key", salt="runner.guest")
    assert client.get(f"/api/v1/runs/{guests_run.pk}").status_code == 200
    assert client.get(f"/api/v1/runs/{guests_run.pk}", headers=eve).status_code == 404


def test_a_token_anywhere_else_than_in_its_header_is_ignored(client, ada, hidden):
    secret = bearer(ada, "read+run")["Authorization"].removeprefix("Bearer ")
    for name in ("token", "access_token", "Authorization"):
        assert client.get(f"/api/v1/runs/{hidden.pk}?{name}={secret}").status_code == 404
        assert start(client, None, json.dumps({name: secret})).status_code == 401
        assert client.post(f"/api/v1/projects/ada/mine/runs?{name}={secret}").status_code == 401
    client.cookies["token"] = secret
    assert client.get(f"/api/v1/runs/{hidden.pk}").status_code == 404


def test_no_token_opens_a_page_or_changes_anything_of_the_account(client, ada, hidden):
    ada.is_staff = ada.is_superuser = True
    ada.save()
    headers = bearer(ada, "read+run")
    for page in ("/account/tokens", "/account/security", "/account/delete", "/data/keys/", "/dashboard", "/admin/"):
        assert client.get(page, headers=headers).status_code in (302, 404), page
        assert client.post(page, headers=headers).status_code in (302, 403, 404, 405), page
    for path in (f"/r/{hidden.pk}", "/p/ada/mine", "/p/ada/mine/edit"):
        assert client.get(path, headers=headers).status_code == 404, path
    for action in ("run", "draft", "save", "settings", "delete"):
        assert client.post(f"/p/ada/mine/{action}", {"source": "1"}, headers=headers).status_code == 404, action
    assert Project.objects.get().source == "print(1)" and AccessToken.objects.count() == 1


def test_starting_and_stopping_ask_for_a_token_that_may(ada, hidden):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    queued = Run.objects.create(revision=hidden.revision, user=ada, owner_key="u", limits={})
    for address in ("/api/v1/projects/ada/mine/runs", f"/api/v1/runs/{queued.pk}/cancel"):
        alone = client.post(address)
        assert alone.status_code == 401 and alone.json()["error"]["code"] == "token_needed"
        # A form of ours, with all that it sends, is no token either.
        client.get("/account/tokens")
        csrf = client.cookies["csrftoken"].value
        assert client.post(address, headers={"X-CSRFToken": csrf}).status_code == 401
        reads = client.post(address, headers=bearer(ada))
        assert reads.status_code == 403 and reads.json()["error"]["code"] == "token_reads_only"
        assert client.post(address, headers=bearer(make_user(), "read+run")).status_code == 404
        assert client.get(address, headers=bearer(ada, "read+run"))["Allow"] == "POST"
    assert Run.objects.count() == 2 and not Run.objects.exclude(status__in=["queued", "succeeded"]).exists()
    assert client.post(f"/api/v1/runs/{queued.pk}/cancel", headers=bearer(ada, "read+run")).json()["status"] == (
        "cancelled"
    )


def test_a_started_run_is_its_owners_with_these_parameters_and_under_the_same_limits(client, ada, hidden):
    ada.plan.concurrent_runs = 1
    ada.plan.save()
    client.cookies["sessionid"] = "of-somebody-else"
    Run.objects.filter(pk=hidden.pk).update(declared_params=[{"name": name} for name in PARAMS])
    started = start(client, bearer(ada, "read+run"), json.dumps({"params": PARAMS}))
    assert started.status_code == 202 and started["Location"] == f"/api/v1/runs/{started.json()['id']}"
    run = Run.objects.get(pk=started.json()["id"])
    assert (run.user, run.params, run.revision) == (ada, PARAMS, hidden.revision)
    again = start(client, bearer(ada, "read+run"))
    assert again.status_code == 429 and "Stop one or wait" in again.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        "{", "[]", "\xff", '{"source": "print(2)"}', '{"params": []}', '{"params": {"a": [1]}}',
        '{"params": {"a": null}}', '{"params": {"a": 1e999}}', '{"params": {"a": "\\ud800"}}', '{"params": {"a b": 1}}',
        "[" * 100_000,
        json.dumps({"params": {f"p{n}": n for n in range(60)}}), '{"params": {"a": ' + "9" * 5000 + "}}",
    ],
)  # fmt: skip
def test_what_is_not_understood_starts_nothing(client, ada, hidden, body):
    refused = start(client, bearer(ada, "read+run"), body)
    assert refused.status_code == 422 and refused.json()["error"]["code"] == "bad_input"
    assert Run.objects.count() == 1


def test_a_body_that_is_too_long_is_refused_in_json(client, ada, hidden):
    refused = start(client, bearer(ada, "read+run"), "x" * 3_000_000)
    assert refused.status_code == 413 and refused.json()["error"]["code"] == "too_long"


def test_what_is_deleted_while_it_is_asked_for_is_not_found_in_json(rf, ada, hidden):
    asked = rf.get("/", headers=bearer(ada))

    @read_only
    def deleted_meanwhile(request):
        hidden.project.remove()
        hidden.refresh_from_db()

    found = deleted_meanwhile(asked)
    assert found.status_code == 404 and json.loads(found.content)["error"]["code"] == "not_found"


def test_no_log_line_shows_a_token():
    secret = "qfp_" + "a1B2" * 10
    for line in (f"GET /x?token={secret}", f"Authorization: Bearer {secret}", f"sent {secret} twice", f"'{secret}'"):
        record = logging.LogRecord("x", logging.INFO, "x", 1, "%s", (line,), None)
        assert Redacting().filter(record) and secret[4:] not in record.getMessage(), line


def test_a_parameter_that_the_program_does_not_have_is_refused_with_those_that_it_has(client, ada, hidden):
    Project.objects.update(draft={"main.py": 'import qfp\nqfp.param("slow", 50)\nqfp.param("fast", 20)'})
    refused = start(client, bearer(ada, "read+run"), '{"params": {"nope": 1, "fast": 2}}')
    assert refused.status_code == 422 and Run.objects.count() == 1
    assert refused.json()["error"]["message"] == "The program has no parameter nope. Its parameters: fast, slow."
    Project.objects.update(draft={"main.py": "import rules", "rules.py": 'import qfp\nqfp.param("fast", 20)'})
    assert start(client, bearer(ada, "read+run"), '{"params": {"fast": 2}}').status_code == 202
    Project.objects.update(draft={"main.py": 'import qfp\nfor name in ("a", "b"): qfp.param(name, 1)'})
    started = start(client, bearer(ada, "read+run"), '{"params": {"a": 2}}')
    assert started.status_code == 202 and "is known once it has run" in started.json()["note"]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("print(1)", set()),
        ('from qfp import *\nx = param(name="a", default=f())', {"a"}),
        ("import qfp\nask = qfp.param\nask('a', 1)", None),
        ("from qfp import param as ask\nask('a', 1)", None),
        ("from qfp import param\nparam('a' + 'b', 1)", None),
        ("exec(text)", None),
        ("x = (", None),
    ],
)
def test_parameters_are_known_from_the_text_only_where_it_names_them_all(source, names):
    assert names_of({"main.py": source, "notes.md": "(", "more.py": ""}) == names
