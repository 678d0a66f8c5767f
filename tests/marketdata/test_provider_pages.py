"""Pages of providers, keys and fetches: who sees what, and a key that no page ever gives back."""

from __future__ import annotations

import time

import pytest
from django.test import Client
from django.urls import reverse

from marketdata import credentials, fetching, key_test, provider_access, providers, wanting
from marketdata.models import CredentialUse, Fetch, Provider, ProviderAgreement, ProviderCredential
from tests.accounts.people import make_account, sign_in
from tests.factories import make_user
from tests.providers.answers import BAD, FREE, GOOD

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(db, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return make_account("alice")


@pytest.fixture
def as_alice(alice):
    """Signed in a moment ago."""
    client = Client()
    assert sign_in(client, "alice").status_code == 302
    return client


def client_of(user) -> Client:
    """Signed in long ago."""
    client = Client()
    client.force_login(user, backend="accounts.backends.AccountBackend")
    return client


def address(name: str, *arguments) -> str:
    return reverse(f"marketdata:{name}", args=arguments)


def test_every_provider_has_a_page_for_everybody_that_states_its_limits_terms_and_free_key(client, as_alice):
    for who in (client, as_alice):
        listed = who.get(address("data_providers")).content.decode()
        for description in providers.ALL.values():
            assert description.title in listed
            page = who.get(address("provider", description.name)).content.decode()
            assert page.count("<h1") == 1
            for part in (description.terms, description.symbols, f"At most {description.limits.in_flight} call"):
                assert part in page.replace("&#x27;", "'").replace("&quot;", '"')
    assert client.get(address("provider", "nobody")).status_code == 404


def test_the_light_and_the_switch_are_shown(client):
    Provider.objects.create(name="tiingo", health="slow", last_error="Tiingo refuses for now.")
    Provider.objects.create(name="ecb", enabled=False)
    assert "Refuses for now" in client.get(address("provider", "tiingo")).content.decode()
    assert "Off on this site" in client.get(address("provider", "ecb")).content.decode()


@pytest.mark.parametrize("name", ["bloomberg", "lseg"])
@pytest.mark.parametrize("enabled", [False, True])
def test_premium_providers_answer_403_with_an_explanation_without_entitlement(as_alice, name, enabled):
    Provider.objects.create(name=name, enabled=enabled)
    answer = as_alice.post(address("begin_fetch", name), {"symbol": "VOD.L", "interval": "1d"})
    assert answer.status_code == 403
    said = {
        ("bloomberg", False): "not set up on this site",
        ("lseg", False): "not set up on this site",
        ("bloomberg", True): "you are not among them",
        ("lseg", True): "You have no key for LSEG",
    }[name, enabled]
    assert said in answer.content.decode() and not Fetch.objects.exists()


def test_a_key_is_entered_and_no_page_gives_it_back(as_alice, alice):
    page = as_alice.get(address("enter_key", "tiingo"))
    assert page.status_code == 200 and 'type="password"' in page.content.decode()
    answer = as_alice.post(address("enter_key", "tiingo"), {"key": f" {GOOD} "})
    assert answer.status_code == 302 and answer["Location"] == address("data_keys")
    assert credentials.current(alice, "tiingo").last4 == GOOD[-4:]
    listed = as_alice.get(address("data_keys"))
    assert GOOD[-4:] in listed.content.decode() and "no-store" in listed["Cache-Control"]
    refused = as_alice.post(address("enter_key", "tiingo"), {"key": f"{GOOD} with blanks"})
    assert refused.status_code == 422
    addresses = [address("data_keys"), address("enter_key", "tiingo"), address("provider", "tiingo")]
    for text in [refused.content.decode()] + [as_alice.get(where).content.decode() for where in addresses]:
        assert GOOD not in text
    assert GOOD not in str(dict(as_alice.session))


def test_whoever_signed_in_long_ago_confirms_it_first_and_the_key_waits_nowhere(alice):
    client = client_of(alice)
    assert "/account/" in client.get(address("enter_key", "tiingo"))["Location"]
    answer = client.post(address("enter_key", "tiingo"), {"key": GOOD}, follow=True)
    assert answer.redirect_chain[0][0] == address("enter_key", "tiingo")
    assert "/reauthenticate" in answer.redirect_chain[1][0]
    assert GOOD not in str(dict(client.session)) and not ProviderCredential.objects.exists()


def test_keys_are_their_owners_alone(as_alice, alice, give_key, client):
    bob = make_user("bob")
    give_key(bob, "tiingo", GOOD)
    assert GOOD[-4:] not in as_alice.get(address("data_keys")).content.decode()
    for action in ("test_key", "revoke_key"):
        assert as_alice.post(address(action, "tiingo")).status_code == 404
        assert "/login" in client.post(address(action, "tiingo"))["Location"]
    assert credentials.current(bob, "tiingo") is not None
    give_key(alice, "tiingo", GOOD)
    as_alice.post(address("revoke_key", "tiingo"))
    assert credentials.current(alice, "tiingo") is None and credentials.current(bob, "tiingo") is not None
    assert as_alice.get(address("revoke_key", "tiingo")).status_code == 405


@pytest.mark.parametrize(("key", "shown"), [(GOOD, "Works"), (BAD, "does not accept your key")])
def test_a_test_of_the_key_tells_how_it_went_and_leaves_a_use(as_alice, alice, give_key, stand_ins, key, shown):
    credential = give_key(alice, "tiingo", key)
    as_alice.post(address("test_key", "tiingo"))
    assert "Being tested" in as_alice.get(address("data_keys")).content.decode()
    key_test.perform(credential.pk)
    page = as_alice.get(address("data_keys")).content.decode()
    assert shown in page and "Test of the key" in page and "Being tested" not in page and key not in page
    assert CredentialUse.objects.get().outcome == ("succeeded" if key == GOOD else "NotEntitled")


def test_a_key_of_a_provider_that_is_switched_off_is_not_tried(alice, give_key, stand_ins):
    credential = give_key(alice, "lseg", GOOD)
    key_test.perform(credential.pk)
    credential.refresh_from_db()
    assert "switched off" in credential.last_error and not stand_ins.asked


def test_consent_is_recorded_with_its_words_and_can_be_withdrawn(as_alice, alice):
    Provider.objects.create(name="yahoo", enabled=True)
    assert "I accept these terms" in as_alice.get(address("provider", "yahoo")).content.decode()
    as_alice.post(address("agree_to_terms", "yahoo"), {"answer": "accept"})
    agreement = ProviderAgreement.objects.get()
    assert (agreement.user, agreement.kind, agreement.terms) == (alice, "consent", providers.find("yahoo").terms)
    as_alice.post(address("agree_to_terms", "yahoo"), {"answer": "withdraw"})
    assert not provider_access.agreed(alice, providers.find("yahoo"), "consent")
    assert as_alice.post(address("agree_to_terms", "tiingo")).status_code == 404


def test_a_fetch_is_followed_on_its_page_by_its_owner_alone(as_alice, alice, give_key, stand_ins, client):
    give_key(alice, "tiingo", GOOD)
    answer = as_alice.post(address("begin_fetch", "tiingo"), {"symbol": "aapl", "interval": "1d"})
    fetch = Fetch.objects.get()
    assert answer["Location"] == address("fetch", fetch.pk)
    waiting = as_alice.get(address("fetch", fetch.pk)).content.decode()
    assert "Waits for its turn" in waiting and 'hx-trigger="load delay:1s"' in waiting
    for other in (client, client_of(make_user())):
        assert other.get(address("fetch", fetch.pk)).status_code == 404
        assert other.get(address("fetch_state", fetch.pk)).status_code == 404
    fetching.perform(str(fetch.pk))
    done = as_alice.get(address("fetch_state", fetch.pk)).content.decode()
    assert "Only your own runs read it" in done and "hx-trigger" not in done
    assert as_alice.get(address("instrument", "tiingo/1d/AAPL")).status_code == 200
    assert client.get(address("instrument", "tiingo/1d/AAPL")).status_code == 404


def test_a_refused_fetch_says_what_to_do(as_alice, alice, give_key, stand_ins):
    give_key(alice, "alphavantage", FREE)
    fetch = wanting.want(alice, "alphavantage", "NOPE")
    fetching.perform(str(fetch.pk))
    page = as_alice.get(address("fetch", fetch.pk)).content.decode()
    assert "Not fetched." in page and "Did you mean" in page and "Fetch it again" in page
    wrong = as_alice.post(address("begin_fetch", "alphavantage"), {"symbol": "../x", "interval": "1d"})
    assert wrong.status_code == 422 and "cannot be a symbol" in wrong.content.decode()


def test_lists_stay_light(as_alice, alice, give_key, django_assert_max_num_queries):
    for name in ("tiingo", "fred"):
        give_key(alice, name, GOOD)
    as_alice.get(address("data_providers"))
    for where in ("data_providers", "data_keys"):
        with django_assert_max_num_queries(50):
            as_alice.get(address(where))


def test_the_administration_shows_no_ciphertext_and_gives_entitlements(alice, give_key):
    staff = make_user("staff", is_staff=True, is_superuser=True)
    give_key(alice, "tiingo", GOOD)
    client = client_of(staff)
    key = ProviderCredential.objects.get()
    for where in (
        reverse("admin:marketdata_provider_changelist"),
        reverse("admin:marketdata_fetch_changelist"),
        reverse("admin:marketdata_credentialuse_changelist"),
        reverse("admin:marketdata_providercredential_changelist"),
        reverse("admin:marketdata_providercredential_change", args=[key.pk]),
    ):
        page = client.get(where)
        assert page.status_code == 200 and bytes(key.ciphertext).decode() not in page.content.decode()
    assert "bloomberg" in client.get(reverse("admin:marketdata_provider_changelist")).content.decode()
    answer = client.post(
        reverse("admin:marketdata_provideragreement_add"),
        {"user": alice.pk, "provider": "bloomberg", "kind": "entitlement", "terms": "Contract 7"},
    )
    assert answer.status_code == 302 and provider_access.agreed(alice, providers.find("bloomberg"), "entitlement")
    client.post(
        reverse("admin:marketdata_providercredential_changelist"), {"action": "revoke", "_selected_action": [key.pk]}
    )
    assert credentials.current(alice, "tiingo") is None


@pytest.mark.django_db(transaction=True)
def test_a_key_is_tested_by_a_worker_of_the_site(alice, as_alice, give_key, stand_ins, fetcher):
    as_alice.post(address("enter_key", "tiingo"), {"key": BAD})
    deadline = time.monotonic() + 60
    while not (credential := credentials.current(alice, "tiingo")).last_error and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "does not accept your key" in credential.last_error
