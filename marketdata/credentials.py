"""Who may use which key? People's keys for providers: written once, never shown, opened for a fetch, used on record.

They are encrypted with keys of the site that stand in a file, apart from the database and from SECRET_KEY: a copy of
the database alone opens nothing. Person and provider are encrypted with a key, so a row moved to another is refused.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from marketdata.models import CredentialUse, Fetch, ProviderCredential
from marketdata.providers.description import Description
from marketdata.providers.errors import NotEntitled


class KeysUnusable(Exception):
    """The file with the site's keys is missing or does not fit what was encrypted; the sentence says which it is."""


# What people do


def set_key(user: Any, provider: Description, fields: Mapping[str, str]) -> ProviderCredential:
    """Keep this key and forget the one before. fields: what provider.key_fields names."""
    plaintext = {
        "user": user.pk,
        "provider": provider.name,
        "fields": {name: fields[name].strip() for name in provider.key_fields},
    }
    secret = plaintext["fields"][provider.key_fields[-1]]
    with _keys() as keys, transaction.atomic():
        # Of two that are entered in the same moment the later one counts.
        get_user_model().objects.select_for_update(no_key=True).get(pk=user.pk)
        for earlier in ProviderCredential.objects.select_for_update().filter(
            user=user, provider=provider.name, revoked=None
        ):
            _forget(earlier)
        return ProviderCredential.objects.create(
            user=user,
            provider=provider.name,
            ciphertext=Fernet(keys[0]).encrypt(json.dumps(plaintext).encode()),
            key_version=_version(keys[0]),
            # Of a short secret four characters would be half of it.
            last4=secret[-4:] if len(secret) >= 12 else "",
        )


def revoke(credential: ProviderCredential) -> None:
    """From now on no fetch can open it: what was encrypted is overwritten."""
    _forget(credential)


def current(user: Any, provider: str) -> ProviderCredential | None:
    return ProviderCredential.objects.filter(user=user, provider=provider, revoked=None).first()


# What fetches do


@contextmanager
def open_for_fetch(fetch: Fetch, provider: Description) -> Iterator[dict[str, str]]:
    """The key of the fetch's own person, and a row of its use with how it ended. Raises NotEntitled without one."""
    with _opened(fetch.user_id, provider, f"{fetch.symbol} {fetch.interval}", fetch.run) as fields:
        yield fields


@contextmanager
def open_for_test(credential: ProviderCredential, provider: Description) -> Iterator[dict[str, str]]:
    with _opened(credential.user_id, provider, "Test of the key", None) as fields:
        yield fields


@contextmanager
def _opened(user_id: int | None, provider: Description, purpose: str, run: Any) -> Iterator[dict[str, str]]:
    credential = ProviderCredential.objects.filter(user_id=user_id, provider=provider.name, revoked=None).first()
    if user_id is None or credential is None:
        raise without_key(provider)
    use = CredentialUse.objects.create(credential=credential, purpose=purpose[:200], run=run)
    ProviderCredential.objects.filter(pk=credential.pk).update(last_used=timezone.now())
    outcome, said = "succeeded", ""
    try:
        yield _decrypted(credential)
    except BaseException as problem:
        outcome = getattr(problem, "kind", type(problem).__name__)
        said = str(problem) if isinstance(problem, NotEntitled) else ""
        raise
    finally:
        CredentialUse.objects.filter(pk=use.pk).update(outcome=outcome[:40])
        ProviderCredential.objects.filter(pk=credential.pk).update(last_error=said)


def without_key(provider: Description) -> NotEntitled:
    return NotEntitled(
        f"You have no key for {provider.title}. Get one at {provider.key_page} and enter it under My keys."
    )


def _decrypted(credential: ProviderCredential) -> dict[str, str]:
    with _keys() as keys:
        try:
            content = MultiFernet([Fernet(key) for key in keys]).decrypt(bytes(credential.ciphertext))
        except InvalidToken:
            raise KeysUnusable(
                f"A key of version {credential.key_version} cannot be opened with what stands in {keys_file()}."
            ) from None
    plaintext = json.loads(content)
    if (plaintext["user"], plaintext["provider"]) != (credential.user_id, credential.provider):
        raise KeysUnusable(f"The credential {credential.pk} was written for somebody or something else.")
    return plaintext["fields"]


def _forget(credential: ProviderCredential) -> None:
    ProviderCredential.objects.filter(pk=credential.pk, revoked=None).update(revoked=timezone.now(), ciphertext=b"")


# The site's keys


def rotate() -> tuple[int, bool]:
    """(keys of people encrypted anew, whether a new key of the site was made). Earlier keys of the site are dropped,
    and what is left of them where they were before.

    Where the file cannot be written, its operator has put the new key in its first line, and that one is used.
    """
    with _keys(exclusive=True) as keys:
        path = _place()
        ours = os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))
        if ours:
            # Both stand in the file until nothing needs the earlier ones: an interruption loses nothing.
            keys = [Fernet.generate_key(), *keys]
            _write(keys)
        first, all_of_them = Fernet(keys[0]), MultiFernet([Fernet(key) for key in keys])
        done = 0
        with transaction.atomic():
            for credential in ProviderCredential.objects.select_for_update().filter(revoked=None):
                try:
                    content = all_of_them.decrypt(bytes(credential.ciphertext))
                except InvalidToken:
                    raise KeysUnusable(
                        f"The credential {credential.pk} (key {credential.key_version}) cannot be opened; nothing was "
                        f"changed. Put the key it was encrypted with into {keys_file()}, or revoke it."
                    ) from None
                credential.ciphertext, credential.key_version = first.encrypt(content), _version(keys[0])
                credential.save(update_fields=["ciphertext", "key_version"])
                done += 1
        if ours:
            _write(keys[:1])
        with suppress(OSError):  # one of them is not there, or may not be removed
            if not path.samefile(_earlier()):  # the same may have two names, where a folder is a link
                _earlier().unlink()  # what it holds opens nothing any more
    return done, ours


def keys_file() -> Path:
    """Where they stand: where the setting says, or where they were before there was such a place and are still."""
    path, earlier = _place(), _earlier()
    return earlier if earlier.exists() and not path.exists() else path


def _place() -> Path:
    return Path(settings.CREDENTIAL_KEYS_FILE)


def _earlier() -> Path:
    return Path(settings.DATA_DIR) / "credential-keys"


@contextmanager
def _keys(exclusive: bool = False) -> Iterator[list[bytes]]:
    """The site's keys, the newest first. Held, so that no row is written with a key that a rotation is dropping."""
    path = keys_file()
    if not path.exists():
        _make(path)
    with suppress(OSError):
        _place().parent.mkdir(parents=True, exist_ok=True)
    # Beside the file: a rotation replaces the file itself, and may move it from where it was before.
    with _lock(_place()).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        path = keys_file()
        try:
            keys = path.read_bytes().split()
            for key in keys:
                Fernet(key)
        except (OSError, ValueError) as problem:
            raise KeysUnusable(f"{path} cannot be used: {type(problem).__name__}.") from None
        if not keys:
            raise KeysUnusable(f"{path} is empty; it must hold a key in each line, the newest first.")
        yield keys


def _lock(path: Path) -> Path:
    """Where the file's folder is read-only nothing rotates it but its operator, and any lock will do."""
    beside = path.with_name(f".{path.name}.lock")
    if os.access(path.parent, os.W_OK):
        return beside
    name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"credential-keys-{os.getuid()}-{name}.lock"


def _make(path: Path) -> None:
    if ProviderCredential.objects.filter(revoked=None).exists():
        if path.exists():  # another process made it, and used it, since we looked
            return
        raise KeysUnusable(
            f"{path} is gone, and people's keys were encrypted with what stood in it. Bring it back from a backup; "
            "if there is none, revoke all keys in the administration."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path, [Fernet.generate_key()])
    try:
        os.link(draft, path)  # fails when another process was first; then that key counts
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _write(keys: list[bytes]) -> None:
    _draft(_place(), keys).replace(_place())


def _draft(path: Path, keys: list[bytes]) -> Path:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # readable by its owner only
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"\n".join(keys) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _version(key: bytes) -> str:
    return hashlib.sha256(b"version:" + key).hexdigest()[:12]
