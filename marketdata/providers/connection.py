"""How is a provider asked over the web? With time-outs, a cap on size, no redirects, and errors that keep the key."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx

from marketdata.providers.description import Description
from marketdata.providers.errors import BadResponse, KeyRefused, NotEntitled, ProviderDown, RateLimited

TIMEOUT = httpx.Timeout(connect=5.0, read=15.0, write=5.0, pool=5.0)
CALL_SECONDS = 25.0
LARGEST_ANSWER = 64 * 1024 * 1024
AGENT = "quant-finance-playground"


@dataclass(frozen=True)
class Answer:
    """Status below 500 and not 429: what else there is to say differs from provider to provider."""

    provider: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")

    def json(self, expected: type = dict) -> Any:
        """Raises BadResponse for what is no JSON, or not of the expected type."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, expected):
            raise BadResponse(
                f"{self.provider} sent something that cannot be read. Try again later, or use another provider."
            )
        return found


class Connection:
    """To one provider with one key, for one fetch. Nothing of it is kept: no cookies, no pool, no cache."""

    def __init__(
        self,
        provider: Description,
        base: str,
        key: Mapping[str, str] | None = None,
        gate: Callable[[], AbstractContextManager[Any]] = nullcontext,
        timeout: httpx.Timeout = TIMEOUT,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        """gate: entered around every call; it holds the provider's limits."""
        self.provider, self.base = provider, base.rstrip("/")
        self.key = dict(key or {})
        self.gate = gate
        self.call_seconds = call_seconds
        # HTTPS_PROXY and SSL_CERT_FILE count, so that an operator can send all of this through a proxy.
        self._client = httpx.Client(timeout=timeout, follow_redirects=False, headers={"User-Agent": AGENT})

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *rest: object) -> None:
        self._client.close()

    def get(
        self, path: str, parameters: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return self._call("GET", path, params=dict(parameters or {}), headers=dict(headers or {}))

    def post(self, path: str, form: Mapping[str, str]) -> Answer:
        return self._call("POST", path, data=dict(form))

    def _call(self, method: str, path: str, **more: Any) -> Answer:
        title = self.provider.title
        with self.gate():
            ends = time.monotonic() + self.call_seconds
            body = bytearray()
            try:
                with self._client.stream(method, self.base + path, **more) as response:
                    for piece in response.iter_bytes():
                        body += piece
                        if len(body) > LARGEST_ANSWER:
                            raise BadResponse(
                                f"{title} sent more than {LARGEST_ANSWER >> 20} MB. Ask for fewer days at a time."
                            )
                        if time.monotonic() > ends:
                            raise httpx.ReadTimeout("the whole answer took too long")
            # The texts of these errors hold the address, and the address may hold the key: none of it goes on.
            except httpx.TimeoutException:
                raise ProviderDown(
                    f"{title} did not answer in time. Try again in some minutes, or use another provider."
                ) from None
            except (httpx.HTTPError, httpx.InvalidURL):
                raise ProviderDown(
                    f"{title} cannot be reached. Try again in some minutes, or use another provider."
                ) from None
        status = response.status_code
        if status in (418, 429):
            retry_at = _retry_at(response.headers)
            raise RateLimited(f"{title} refuses for now: too many calls.", retry_at=retry_at)
        if status >= 500:
            raise ProviderDown(f"{title} has a fault of its own ({status}). Try again in some minutes.")
        if 300 <= status < 400:
            raise BadResponse(
                f"{title} sends us to another address, which is not followed. The operator can set its new one in "
                "PROVIDER_URLS."
            )
        return Answer(title, status, response.headers, bytes(body))


def in_path(symbol: str) -> str:
    """A symbol as one part of an address."""
    return quote(symbol, safe="")


def bad_key(provider: Description) -> KeyRefused:
    return KeyRefused(
        f"{provider.title} does not accept your key. Look at it on the provider's page, then enter it again under "
        "My keys."
    )


def not_included(provider: Description, what: str) -> NotEntitled:
    return NotEntitled(f"Your key for {provider.title} does not include {what}. {provider.free_key}".strip())


def odd_status(provider: Description, status: int) -> BadResponse:
    return BadResponse(
        f"{provider.title} answered with {status}, which tells nothing. Try again later, or use another provider."
    )


def _retry_at(headers: Mapping[str, str]) -> datetime | None:
    """From Retry-After, as seconds or as a date; a day ahead at most."""
    value = headers.get("retry-after", "").strip()
    now = datetime.now(UTC)
    try:
        moment = now + timedelta(seconds=float(value)) if value else None
    except (ValueError, OverflowError):
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
    if moment is None or moment.tzinfo is None:
        return None
    return min(max(moment, now), now + timedelta(days=1))
