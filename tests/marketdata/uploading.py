"""How do tests send a file and keep what it holds?"""

from __future__ import annotations

from typing import Any

from django.test import Client

from marketdata import uploads
from marketdata.models import DatasetVersion, Upload


def client_of(user: Any) -> Client:
    client = Client()
    client.force_login(user, backend="accounts.backends.AccountBackend")
    return client


def send(user: Any, content: bytes, filename: str = "prices.csv", name: str = "") -> Upload:
    """Received, and looked at in a box as a worker would do it."""
    upload = uploads.begin(user, name=name, filename=filename, size=len(content))
    for start in range(0, len(content), uploads.PIECE_BYTES):
        upload = uploads.append(upload, start, content[start : start + uploads.PIECE_BYTES])
    uploads.process(upload.pk)
    upload.refresh_from_db()
    return upload


def keep(upload: Upload, **choices: Any) -> DatasetVersion:
    assert uploads.choose(upload, {**upload.reading, **choices}, confirm=True)
    uploads.process(upload.pk)
    upload.refresh_from_db()
    assert upload.status == Upload.Status.DONE, upload.problem or upload.found
    assert upload.version is not None
    return upload.version
