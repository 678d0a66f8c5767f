"""Read environment variables and refuse nonsense with the variable's name. Used by settings.py only."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def boolean(name: str, default: bool) -> bool:
    value = text(name).lower()
    if not value:
        return default
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, not {value!r}.")


def whole_number(name: str, default: int, least: int, most: int) -> int:
    value = text(name)
    if not value:
        return default
    if not value.isdecimal() or not least <= int(value) <= most:
        raise ImproperlyConfigured(f"{name} must be a whole number from {least} to {most}, not {value!r}.")
    return int(value)


def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = text(name, default)
    if value not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
    return value


def words(name: str, default: list[str]) -> list[str]:
    value = text(name)
    return [word.strip() for word in value.split(",") if word.strip()] if value else default


def folder(name: str, default: Path) -> Path:
    path = Path(text(name) or default).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise ImproperlyConfigured(f"{name} must be a folder; {path} is something else.")
    return path


def url(name: str, default: str, schemes: tuple[str, ...]) -> str:
    value = text(name, default)
    if value and urlsplit(value).scheme not in schemes:
        raise ImproperlyConfigured(f"{name} must begin with {' or '.join(f'{s}://' for s in schemes)}.")
    return value


def database(name: str, default: str) -> dict[str, object]:
    """Django's description of postgres://user:password@host:port/name; a folder as host (%2Fvar%2Frun) is a socket."""
    parts = urlsplit(url(name, default, ("postgres", "postgresql")))
    database_name = unquote(parts.path.lstrip("/"))
    if not database_name:
        raise ImproperlyConfigured(f"{name} must name a database: postgres://user:password@host:5432/name.")
    # Not parts.hostname, which turns the folder into lower case.
    host, _, port = parts.netloc.rpartition("@")[2].partition("]" if "]" in parts.netloc else ":")
    if "]" in parts.netloc:
        host, port = host.lstrip("["), port.lstrip(":")
    if port and not port.isdecimal():
        raise ImproperlyConfigured(f"{name} has a port that is not a number: {port!r}.")
    options = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database_name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(host),
        "PORT": port,
        "OPTIONS": {key: unquote(value) for key, value in options.items()} | {"connect_timeout": 5},
    }
