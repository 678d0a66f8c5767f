"""Does a second factor keep a stolen password out, and its owner in?"""

from __future__ import annotations

import base64
import re

import pytest
from allauth.account.signals import user_logged_in
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.core import mail
from django.test import Client

from tests.accounts.people import sign_in, signed_in_as


def code_for(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))


def turn_on(client: Client) -> tuple[str, list[str]]:
    """Set up an authenticator app as a person would; answers its secret and the recovery codes shown."""
    page = client.get("/account/2fa/activate").content.decode()
    picture = base64.b64decode(re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', page).group(1)).decode()
    assert 'fill="white"' in picture, "a dark page must not make it unreadable"
    secret = re.search(r"<code>([A-Z2-7]{16,})</code>", page).group(1)
    answer = client.post("/account/2fa/activate", {"code": code_for(secret)})
    assert answer.url == "/account/2fa/recovery-codes"
    codes = re.findall(r"\b\d{8}\b", client.get(answer.url).content.decode())
    return secret, codes


@pytest.fixture
def protected(as_alice: Client) -> tuple[str, list[str]]:
    return turn_on(as_alice)


def test_setting_up_shows_recovery_codes(protected, as_alice):
    assert len(set(protected[1])) == 10
    assert b"10 recovery codes left" in as_alice.get("/account/security").content


def test_a_wrong_code_does_not_turn_it_on(as_alice):
    as_alice.get("/account/2fa/activate")
    answer = as_alice.post("/account/2fa/activate", {"code": "000000"})
    assert answer.status_code == 200 and b"Incorrect code" in answer.content
    assert not Authenticator.objects.exists()


def test_the_password_alone_no_longer_signs_in(client, protected):
    answer = sign_in(client, "alice", next="/g/token")
    assert answer.url.startswith("/account/2fa/code")
    assert signed_in_as(client) is None
    assert client.get("/account/profile").status_code == 302
    page = client.get(answer.url).content.decode()
    assert 'autocomplete="one-time-code"' in page
    done = client.post("/account/2fa/code", {"code": code_for(protected[0])})
    assert (done.status_code, done.url) == (302, "/g/token")
    assert signed_in_as(client) == "alice"


def test_a_code_works_once(client, protected):
    code = code_for(protected[0])
    sign_in(client, "alice")
    client.post("/account/2fa/code", {"code": code})
    assert signed_in_as(client) == "alice"
    again = Client()
    sign_in(again, "alice")
    again.post("/account/2fa/code", {"code": code})
    assert signed_in_as(again) is None


def test_a_recovery_code_signs_in_once(client, protected):
    code = protected[1][0]
    sign_in(client, "alice")
    client.post("/account/2fa/code", {"code": code})
    assert signed_in_as(client) == "alice"
    again = Client()
    sign_in(again, "alice")
    assert b"Incorrect code" in again.post("/account/2fa/code", {"code": code}).content


def test_guessing_codes_is_stopped(client, protected):
    sign_in(client, "alice")
    for _ in range(5):
        client.post("/account/2fa/code", {"code": "000000"})
    answer = client.post("/account/2fa/code", {"code": code_for(protected[0])})
    assert b"Wait 5 minutes" in answer.content and signed_in_as(client) is None


def test_listeners_get_the_browsers_cookies_after_the_second_step(client, protected):
    heard = []

    def receiver(sender, request, user, **kwargs):
        heard.append((request.COOKIES.get("guest"), user.username))

    user_logged_in.connect(receiver)
    try:
        client.cookies["guest"] = "a-guest-key"
        sign_in(client, "alice")
        assert heard == []
        client.post("/account/2fa/code", {"code": code_for(protected[0])})
    finally:
        user_logged_in.disconnect(receiver)
    assert heard == [("a-guest-key", "alice")]


def test_the_secret_is_not_in_the_database_as_text(protected):
    secret, codes = protected
    stored = str(list(Authenticator.objects.values_list("data", flat=True)))
    assert secret not in stored and not any(code in stored for code in codes)


def test_new_recovery_codes_replace_the_old(as_alice, protected):
    as_alice.post("/account/2fa/recovery-codes/new")
    new = re.findall(r"\b\d{8}\b", as_alice.get("/account/2fa/recovery-codes").content.decode())
    assert len(new) == 10 and not set(new) & set(protected[1])
    download = as_alice.get("/account/2fa/recovery-codes/download")
    assert download["Content-Disposition"].startswith("attachment") and new[0].encode() in download.content


def test_turning_it_off_takes_the_recovery_codes_along(as_alice, protected, client):
    assert as_alice.post("/account/2fa/deactivate").status_code == 302
    assert not Authenticator.objects.exists()
    assert mail.outbox[-1].subject == "Second factor turned off" and mail.outbox[-1].to == ["alice@example.com"]
    assert sign_in(client, "alice").url == "/dashboard"


def test_an_old_session_confirms_itself_before_changing_it(as_alice, protected, settings):
    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 0
    answer = as_alice.post("/account/2fa/deactivate")
    assert answer.status_code == 302 and answer.url.startswith("/account/reauthenticate")
    assert Authenticator.objects.filter(type="totp").exists()


def test_bob_sees_nothing_of_alices_factor(protected, bob):
    client = Client()
    sign_in(client, "bob")
    assert client.get("/account/2fa/recovery-codes").status_code == 404
    assert client.get("/account/2fa/recovery-codes/download").status_code == 404
