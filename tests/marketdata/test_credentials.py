"""Keys of people: ciphertext in the database, opened by fetches alone, gone when revoked, rotated with the site."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse

from marketdata import credentials, key_test, providers, wanting
from marketdata.models import CredentialUse, Fetch, ProviderCredential
from marketdata.providers.errors import NotEntitled
from tests.factories import make_user

pytestmark = pytest.mark.django_db

SECRET = "s3cret-of-alice-0123456789"
TIINGO = providers.find("tiingo")


@pytest.fixture(autouse=True)
def keys_file(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"
    settings.CREDENTIAL_KEYS_FILE = tmp_path / "keys" / "credential-keys"
    return settings.CREDENTIAL_KEYS_FILE


def opened(user, provider=TIINGO) -> dict[str, str]:
    with credentials.open_for_fetch(Fetch(user=user, provider=provider.name, symbol="AAPL"), provider) as key:
        return key


def test_the_database_holds_ciphertext_and_the_last_four(alice, give_key, keys_file):
    credential = give_key(alice, "tiingo", SECRET)
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text, ciphertext FROM marketdata_providercredential t")
        [(row, ciphertext)] = cursor.fetchall()
    assert SECRET not in row and SECRET.encode() not in bytes(ciphertext) and SECRET.encode().hex() not in row
    assert credential.last4 == "6789" and str(credential) == "tiingo ...6789"
    assert opened(alice) == {"key": SECRET}
    assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600
    give_key(alice, "fred", "short")
    assert credentials.current(alice, "fred").last4 == ""


def test_a_new_key_takes_the_place_of_the_old_one_which_is_wiped(alice, give_key):
    old = give_key(alice, "tiingo", SECRET)
    give_key(alice, "tiingo", "another-key-9876543210")
    old.refresh_from_db()
    assert old.revoked is not None and bytes(old.ciphertext) == b""
    assert opened(alice) == {"key": "another-key-9876543210"}


@pytest.mark.django_db(transaction=True)
def test_two_keys_entered_in_the_same_moment_leave_one(alice, give_key):
    def enter(number: int) -> None:
        try:
            give_key(alice, "tiingo", f"{SECRET}{number}")
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(enter, range(4)))
    assert ProviderCredential.objects.filter(user=alice, revoked=None).count() == 1


def test_a_revoked_key_opens_for_nobody(alice, give_key):
    credential = give_key(alice, "tiingo", SECRET)
    credentials.revoke(credential)
    credential.refresh_from_db()
    assert bytes(credential.ciphertext) == b""
    for user in (alice, make_user(), None):
        with pytest.raises(NotEntitled, match="no key for Tiingo"):
            opened(user)
    assert not CredentialUse.objects.exists()


def test_a_row_moved_to_another_person_or_provider_is_refused(alice, give_key):
    credential, bob = give_key(alice, "tiingo", SECRET), make_user()
    ProviderCredential.objects.filter(pk=credential.pk).update(user=bob)
    with pytest.raises(credentials.KeysUnusable, match="somebody"):
        opened(bob)
    ProviderCredential.objects.filter(pk=credential.pk).update(user=alice, provider="fred")
    with pytest.raises(credentials.KeysUnusable, match="something else"):
        opened(alice, providers.find("fred"))


def test_rotation_encrypts_everything_anew_and_drops_the_old_key(alice, give_key, keys_file):
    give_key(alice, "tiingo", SECRET)
    revoked = give_key(make_user(), "fred", SECRET)
    credentials.revoke(revoked)
    before, old_keys = ProviderCredential.objects.get(provider="tiingo"), keys_file.read_bytes()
    out = StringIO()
    call_command("rotate_credentials", stdout=out)
    after = ProviderCredential.objects.get(provider="tiingo")
    assert out.getvalue() == "1 key encrypted anew.\n"
    assert bytes(after.ciphertext) != bytes(before.ciphertext) and after.key_version != before.key_version
    [key] = keys_file.read_bytes().split()
    assert key not in old_keys and stat.S_IMODE(keys_file.stat().st_mode) == 0o600
    assert json.loads(Fernet(key).decrypt(bytes(after.ciphertext)))["fields"] == {"key": SECRET}
    assert opened(alice) == {"key": SECRET}


def test_keys_of_the_place_they_had_before_are_read_until_a_rotation_moves_them(alice, give_key, keys_file, settings):
    earlier = settings.DATA_DIR / "credential-keys"
    earlier.parent.mkdir(parents=True, exist_ok=True)
    settings.CREDENTIAL_KEYS_FILE = earlier
    give_key(alice, "tiingo", SECRET)
    settings.CREDENTIAL_KEYS_FILE = keys_file
    assert opened(alice) == {"key": SECRET}
    give_key(bob := make_user(), "fred", SECRET)
    assert not keys_file.exists() and credentials.keys_file() == earlier
    old_keys = earlier.read_bytes()
    call_command("rotate_credentials", stdout=StringIO())
    assert not earlier.exists() and keys_file.read_bytes().split()[0] not in old_keys
    assert opened(alice) == opened(bob, providers.find("fred")) == {"key": SECRET}
    earlier.write_bytes(old_keys)  # a rotation that ended in between
    assert opened(alice) == {"key": SECRET}
    call_command("rotate_credentials", stdout=StringIO())
    assert not earlier.exists()


def test_a_rotation_leaves_the_file_that_its_folder_has_another_name_for(alice, give_key, settings, tmp_path):
    (tmp_path / "disk").mkdir()
    settings.DATA_DIR.symlink_to(tmp_path / "disk")
    settings.CREDENTIAL_KEYS_FILE = tmp_path / "disk" / "credential-keys"
    give_key(alice, "tiingo", SECRET)
    old_keys = settings.CREDENTIAL_KEYS_FILE.read_bytes()
    call_command("rotate_credentials", stdout=StringIO())
    assert settings.CREDENTIAL_KEYS_FILE.read_bytes() != old_keys
    assert opened(alice) == {"key": SECRET}


def test_a_key_that_cannot_be_opened_stops_the_rotation_and_nothing_is_lost(alice, give_key, keys_file):
    give_key(alice, "tiingo", SECRET)
    ProviderCredential.objects.create(user=make_user(), provider="fred", ciphertext=b"nonsense", key_version="x")
    before = bytes(ProviderCredential.objects.get(provider="tiingo").ciphertext)
    with pytest.raises(CommandError, match="nothing was changed"):
        call_command("rotate_credentials")
    assert bytes(ProviderCredential.objects.get(provider="tiingo").ciphertext) == before
    assert opened(alice) == {"key": SECRET}


def test_a_lost_file_of_keys_is_told_and_not_made_anew(alice, give_key, keys_file):
    give_key(alice, "tiingo", SECRET)
    keys_file.unlink()
    with pytest.raises(credentials.KeysUnusable, match="backup"):
        opened(alice)
    assert not keys_file.exists()
    keys_file.write_text("no key at all\n")
    with pytest.raises(credentials.KeysUnusable, match="cannot be used"):
        opened(alice)


def test_an_account_with_keys_is_deleted_in_the_admin(alice, give_key, admin_client):
    """Keys, fetches and series are nobody's to delete by themselves; with their account they go."""
    give_key(alice, "tiingo", SECRET)
    wanting.want(alice, "tiingo", "AAPL")
    gone = admin_client.post(reverse("admin:accounts_user_delete", args=[alice.pk]), {"post": "yes"})
    assert gone.status_code == 302
    assert not ProviderCredential.objects.exists() and not Fetch.objects.exists()


def test_a_test_of_a_key_that_cannot_be_opened_does_not_say_that_it_works(alice, give_key, keys_file):
    key = give_key(alice, "tiingo", SECRET)
    keys_file.unlink()
    key_test.perform(key.pk)
    key.refresh_from_db()
    assert "cannot open this key" in key.last_error and not key_test.going_on(key)


def test_neither_environment_nor_settings_nor_process_table_hold_a_key(alice, give_key):
    from django.conf import settings

    give_key(alice, "tiingo", SECRET)
    opened(alice)
    assert SECRET not in json.dumps(dict(os.environ))
    assert SECRET not in repr(settings._wrapped.__dict__)
    with open("/proc/self/environ", "rb") as environ, open("/proc/self/cmdline", "rb") as cmdline:
        assert SECRET.encode() not in environ.read() + cmdline.read()
