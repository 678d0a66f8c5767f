"""How is it kept out of logs and error texts? Keys of providers are struck out by their form and by their value."""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import quote, quote_plus

STRUCK_OUT = "[removed]"
# What is being used right now: struck out wherever it stands, whatever form it has.
_in_use: ContextVar[tuple[str, ...]] = ContextVar("secrets_in_use", default=())

_NAMES = (
    r"api[_-]?key|api[_-]?token|x-api-token|access[_-]?token|client[_-]?secret|app[_-]?key|apikey|token|crumb|secret"
)
_FORMS = (
    # ?apikey=..., api_key: ..., "x-api-token": "...", also with the signs of an address or of JSON written out
    re.compile(
        rf"""(?P<before>["']?(?:\b|(?<=%[23][0-9A-Fa-f]))(?:{_NAMES})["']?(?:\s*[:=]\s*|%3[dDaA]|\\?["']:\s*\\?["'])\s*(?:b?\\?["'])?)"""
        r"""(?P<secret>(?:(?!%26)[^\s"'\\&,;)}\]<>])+)""",
        re.IGNORECASE,
    ),
    # ('x-api-token', '...') as libraries print headers
    re.compile(rf"""(?P<before>b?["'](?:{_NAMES}|authorization)["']\s*,\s*b?["'])(?P<secret>[^"']+)""", re.IGNORECASE),
    # Authorization: Token ..., Bearer ..., Basic ...
    re.compile(r"(?P<before>\b(?:Token|Bearer|Basic)\s+)(?P<secret>(?=[A-Za-z._~+/=-]*\d)[A-Za-z0-9._~+/=-]{6,})"),
    # access tokens of this site
    re.compile(r"(?P<before>\bqfp_)(?P<secret>[A-Za-z0-9]{40})"),
    # https://user:password@host
    re.compile(r"(?P<before>\b[a-z][a-z0-9+.-]*://)(?P<secret>[^\s/@:]+:[^\s/@]+)(?=@)", re.IGNORECASE),
    # "We have detected your API key as ..." and the like
    re.compile(r"(?P<before>\bAPI key(?: as| is|:)?\s+[\"'(]?)(?P<secret>(?=\S*\d)[A-Za-z0-9_-]{6,})", re.IGNORECASE),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without keys: the ones given, the ones in use, and whatever has the form of one."""
    for spelling in _spellings([*secrets, *_in_use.get()]):
        text = text.replace(spelling, STRUCK_OUT)
    for form in _FORMS:
        text = form.sub(lambda found: found["before"] + STRUCK_OUT, text)
    return text


@contextmanager
def hiding(secrets: Iterable[str]) -> Iterator[None]:
    """While these are used, no log line of this thread shows them."""
    token = _in_use.set((*_in_use.get(), *(secret for secret in secrets if secret)))
    try:
        yield
    finally:
        _in_use.reset(token)


class Redacting(logging.Filter):
    """On every handler: message and traceback of a record are struck through before anybody formats them."""

    _formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            return True  # the handler tells of the wrong arguments
        struck = redact(message)
        if struck != message:
            record.msg, record.args = struck, None
        if record.exc_info and record.exc_info is not True and record.exc_info[0] is not None:
            # Formatters take exc_text where it is set.
            record.exc_text = redact(record.exc_text or self._formatter.formatException(record.exc_info))
        elif record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True


def _spellings(secrets: Iterable[str]) -> list[str]:
    """A secret as addresses, headers and JSON write it; the longest first, so that no rest of one stays."""
    found: set[str] = set()
    for secret in secrets:
        if len(secret) < 4:
            continue  # would strike out ordinary words
        encoded = base64.b64encode(secret.encode()).decode()
        found |= {
            secret,
            quote(secret, safe=""),
            quote_plus(secret),
            json.dumps(secret)[1:-1],
            repr(secret)[1:-1],
            encoded,
            encoded.rstrip("="),
            base64.urlsafe_b64encode(secret.encode()).decode(),
            secret.upper(),
            secret.lower(),
        }
    return sorted(found, key=len, reverse=True)
