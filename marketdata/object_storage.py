"""How are files kept in object storage? A bucket of Amazon S3 or of anything that speaks its protocol, through pyarrow.

Only marketdata.store uses it: the bucket holds what a store holds, under the same names, and each machine's own store
is a cache of it.
"""

from __future__ import annotations

import os
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

CONNECT_SECONDS = 5
REQUEST_SECONDS = 60
ATTEMPTS = 4


class StorageUnreachable(Exception):
    """Object storage does not answer, or refuses us."""


class Bucket:
    """The part of a bucket that the address names. Names are paths below it, such as objects/<sha256>.arrow."""

    def __init__(self, address: str, endpoint: str, region: str, key: str, secret: str) -> None:
        from pyarrow import fs

        parts, server = urlsplit(address), urlsplit(endpoint)
        self._root = f"{parts.netloc}{parts.path}".rstrip("/")
        self._selector = fs.FileSelector
        self._is_file = lambda info: info.type == fs.FileType.File
        self._files = fs.S3FileSystem(
            # Without a key: the machine's role, or what else the AWS library finds.
            access_key=key or None,
            secret_key=secret or None,
            region=region or None,
            endpoint_override=server.netloc or None,
            scheme=server.scheme or "https",
            connect_timeout=CONNECT_SECONDS,
            request_timeout=REQUEST_SECONDS,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        )

    def put(self, name: str, content: bytes) -> None:
        with _told_plainly(), self._files.open_output_stream(f"{self._root}/{name}") as stream:
            stream.write(content)

    def get(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        with _told_plainly(), self._files.open_input_stream(f"{self._root}/{name}") as stream:
            return stream.read()

    def changed(self, name: str) -> datetime | None:
        """When it was put there; None when it is not."""
        with _told_plainly():
            (info,) = self._files.get_file_info([f"{self._root}/{name}"])
        return info.mtime if self._is_file(info) else None

    def names(self, folder: str) -> dict[str, datetime]:
        """What lies below a folder, and when each was put there."""
        with _told_plainly():
            found = self._files.get_file_info(
                self._selector(f"{self._root}/{folder}", recursive=True, allow_not_found=True)
            )
        return {info.path.removeprefix(f"{self._root}/"): info.mtime for info in found if self._is_file(info)}

    def delete(self, name: str) -> None:
        with _told_plainly():
            self._files.delete_file(f"{self._root}/{name}")


class _told_plainly:
    """pyarrow's errors name the request in full; ours say what the operator has to look at."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise StorageUnreachable(
                f"The object storage of market data ({settings.STORE_S3_URL}) does not answer or refuses: check "
                f"STORE_S3_ENDPOINT, STORE_S3_KEY and the bucket's rights. ({str(error)[:200]})"
            ) from error


def bucket() -> Bucket | None:
    """The bucket of this site; None when the store lies on disk alone."""
    if not settings.STORE_S3_URL:
        return None
    names = ("STORE_S3_URL", "STORE_S3_ENDPOINT", "STORE_S3_REGION", "STORE_S3_KEY", "STORE_S3_SECRET")
    return _opened(os.getpid(), *(getattr(settings, name) for name in names))


@lru_cache(maxsize=1)
def _opened(_process: int, *where: str) -> Bucket:
    """One in each process: connections do not survive a fork."""
    return Bucket(*where)
