"""How is a forgotten or a stolen password replaced?"""

from __future__ import annotations

import time

from django.core import mail
from django.test import Client

from tests.accounts.people import PASSWORD, link_in, make_account, sign_in, signed_in_as

NEW = "a louder harbour 92"


def ask(client, email):
    return client.post("/reset", {"email": email})


def test_the_mailed_link_sets_a_new_password_once(client, alice):
    assert ask(client, "alice@example.com").url == "/reset/sent"
    path = link_in(mail.outbox[0])
    form = client.get(path, follow=True)
    assert form.request["PATH_INFO"].endswith("-set-password"), "the key leaves the address bar"
    assert client.post(form.request["PATH_INFO"], {"password1": NEW}).url == "/reset/done"
    sign_in(client, "alice", NEW)
    assert signed_in_as(client) == "alice"
    assert b"used already" in Client().get(path, follow=True).content


def test_a_reset_ends_every_session(client, as_alice):
    ask(client, "alice@example.com")
    form = client.get(link_in(mail.outbox[0]), follow=True)
    client.post(form.request["PATH_INFO"], {"password1": NEW})
    assert as_alice.get("/account/profile").status_code == 302


def test_known_and_unknown_addresses_get_the_same_answer(client, alice):
    answers = [ask(client, email) for email in ("alice@example.com", "nobody@example.com")]
    assert len({(answer.status_code, answer.url) for answer in answers}) == 1
    assert [message.to[0] for message in mail.outbox] == ["alice@example.com", "nobody@example.com"]
    assert "/reset/" not in mail.outbox[1].body


def test_known_and_unknown_addresses_take_about_the_same_time(client, alice):
    def seconds(email):
        begin = time.thread_time()  # of the processor: what others do on this machine is not counted
        ask(client, email)
        return time.thread_time() - begin

    seconds("warm-up@example.com")
    known = min(seconds("alice@example.com") for _ in range(3))
    unknown = min(seconds("nobody@example.com") for _ in range(3))
    assert abs(known - unknown) < 0.1


def test_the_mail_goes_to_the_stored_address_only(client):
    make_account("mike")
    assert ask(client, "m\u0131ke@example.com").status_code == 200
    assert not mail.outbox
    ask(client, "MIKE@EXAMPLE.COM")
    assert [message.to for message in mail.outbox] == [["mike@example.com"]]


def test_changing_the_password_signs_the_other_browsers_out(as_alice, alice):
    other = Client()
    sign_in(other, "alice")
    refused = as_alice.post("/account/password", {"oldpassword": "wrong", "password1": NEW})
    assert b"not the current password" in refused.content
    assert as_alice.post("/account/password", {"oldpassword": PASSWORD, "password1": NEW}).status_code == 302
    assert as_alice.get("/account/profile").status_code == 200
    assert other.get("/account/profile").status_code == 302
    assert mail.outbox[-1].subject == "Your password was changed"


def test_asking_too_often_is_answered_with_a_page(client, alice):
    answers = [ask(client, "alice@example.com").status_code for _ in range(6)]
    assert answers == [302] * 5 + [429]
    assert len(mail.outbox) == 5
