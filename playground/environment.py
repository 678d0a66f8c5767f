"""What did the operator set? Readers of environment variables that refuse nonsense, naming the variable.

Used by settings.py only, so that settings.py lists every variable of the site.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    """The variable without surrounding blanks; an empty one counts as not set."""
    return os.environ.get(name, "").strip() or default


def path(name: str, default: Path) -> Path:
    return Path(text(name, str(default))).expanduser().absolute()


def choice(name: str, choices: tuple[str, ...], default: str) -> str:
    value = text(name, default)
    if value not in choices:
        raise refused(name, f"must be one of {', '.join(choices)}")
    return value


def for_each(name: str, keys: tuple[str, ...], choices: tuple[str, ...], default: str) -> dict[str, str]:
    """One choice for all keys (`docker`), or some with their own (`large=kubernetes,gpu=docker`) and the default."""
    value = text(name, default)
    if value in choices:
        return dict.fromkeys(keys, value)
    found = dict.fromkeys(keys, default)
    for part in value.split(","):
        key, _, chosen = (word.strip() for word in part.partition("="))
        if key not in keys or chosen not in choices:
            raise refused(name, f"must be one of {', '.join(choices)}, or pairs such as {keys[-1]}={choices[-1]}")
        found[key] = chosen
    return found


def whole_number(name: str, default: int, minimum: int, maximum: int) -> int:
    value = text(name)
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or not minimum <= int(value) <= maximum:
        raise refused(name, f"must be a whole number from {minimum} to {maximum}")
    return int(value)


def boolean(name: str, default: bool = False) -> bool:
    value = text(name).lower()
    if not value:
        return default
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    raise refused(name, "must be 1 or 0")


def names(name: str, default: list[str]) -> list[str]:
    """A list separated by commas."""
    value = text(name)
    return [part.strip() for part in value.split(",") if part.strip()] if value else default


def web_address(name: str, default: str) -> str:
    """scheme://host[:port] without a path, as browsers send it in Origin."""
    value = text(name, default).rstrip("/")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        port, parts = None, urlsplit("")
    rest = parts.path or parts.query or parts.fragment or parts.username
    if parts.scheme not in ("http", "https") or not parts.hostname or rest or port == 0:
        raise refused(name, "must look like https://example.org or http://127.0.0.1:8000", shown=value)
    return value


def addresses(name: str) -> dict[str, str]:
    """Pairs such as fred=https://mirror.example.org, separated by commas."""
    found = {}
    for pair in names(name, []):
        key, _, address = (part.strip() for part in pair.partition("="))
        parts = urlsplit(address)
        if not key or parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise refused(name, "must be pairs such as fred=https://mirror.example.org", shown="")
        found[key] = address.rstrip("/")
    return found


def is_host_and_port(value: str) -> bool:
    host, _, port = value.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 65536


def index_address(name: str) -> str:
    """http(s)://host/path of a package index, or nothing."""
    value = text(name).rstrip("/")
    parts = urlsplit(value)
    if value and not (parts.scheme in ("http", "https") and parts.hostname and _port_is_number(value)):
        raise refused(name, "must look like https://packages.example.org/simple", shown="")
    if parts.username or parts.query or parts.fragment:
        raise refused(name, "must be an address without a user name, ? or #", shown="")
    return value


def package_names(name: str) -> list[str]:
    """Names of packages, separated by commas, each in its one spelling."""
    found = names(name, [])
    for each in found:
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", each):
            raise refused(name, "must be names of packages separated by commas")
    return [re.sub(r"[-_.]+", "-", each).lower() for each in found]


def redis_address(name: str, default: str) -> str:
    value = text(name, default)
    parts = urlsplit(value)
    if parts.scheme in ("redis", "rediss") and parts.hostname and _port_is_number(value):
        return value
    if parts.scheme == "unix" and parts.path.startswith("/"):
        return value
    raise refused(name, "must look like redis://host:6379/0, rediss://... or unix:///path/to/redis.sock")


def database(name: str, default: str) -> dict[str, object]:
    """Django's DATABASES entry for a URL like postgresql://user:password@host:5432/name?sslmode=require.

    A host that starts with a slash (written %2Fpath or as ?host=/path) is the folder of a unix socket.
    """
    value = text(name, default)
    parts = urlsplit(value)
    options = dict(parse_qsl(parts.query))
    # Not parts.hostname: that lower-cases, and a socket's folder may have capital letters.
    address = parts.netloc.rpartition("@")[2]
    host, _, port = address.rpartition(":") if ":" in address.rpartition("]")[2] else (address, "", "")
    database_name = unquote(parts.path.lstrip("/"))
    if parts.scheme not in ("postgres", "postgresql") or not database_name or not _port_is_number(value):
        raise refused(name, "must look like postgresql://user:password@host:5432/name (only PostgreSQL is supported)")
    return {
        "ENGINE": "playground.database",
        "NAME": database_name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", "") or unquote(host).strip("[]"),
        "PORT": port or options.pop("port", ""),
        "OPTIONS": {"connect_timeout": 5, **options},
    }


@dataclass(frozen=True)
class MailServer:
    """Where mail leaves: host and port, and how the connection is protected."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    starttls: bool = False


def mail_server(name: str) -> MailServer | None:
    """smtp://user:password@host:587 (STARTTLS), smtps://host:465 (TLS), smtp+plain://host:25 (neither)."""
    value = text(name)
    if not value:
        return None
    parts = urlsplit(value)
    ports = {"smtp": 587, "smtps": 465, "smtp+plain": 25}
    if parts.scheme not in ports or not parts.hostname or not _port_is_number(value):
        raise refused(name, "must look like smtp://user:password@host:587, smtps://host:465 or smtp+plain://host:25")
    return MailServer(
        host=parts.hostname,
        port=parts.port or ports[parts.scheme],
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=parts.scheme == "smtps",
        starttls=parts.scheme == "smtp",
    )


def together(first: str, second: str) -> tuple[str, str]:
    """Two variables that only make sense as a pair, such as a client id and its secret."""
    values = text(first), text(second)
    if bool(values[0]) != bool(values[1]):
        missing, present = (first, second) if not values[0] else (second, first)
        raise refused(missing, f"must be set as well, because {present} is", shown="")
    return values


def refused(name: str, why: str, shown: str | None = None) -> ImproperlyConfigured:
    """The error for a variable; its value is shown unless it may hold a password."""
    if shown is None:
        shown = "" if name.endswith(("_URL", "_SECRET", "_KEY")) else os.environ.get(name, "")
    return ImproperlyConfigured(f"{name} {why}{f', not {shown!r}' if shown else ''}.")


def _port_is_number(value: str) -> bool:
    try:
        return urlsplit(value).port != 0
    except ValueError:
        return False
