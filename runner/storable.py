"""Make what a run sent fit for the database: PostgreSQL keeps neither NUL characters nor halves of surrogate pairs."""

from __future__ import annotations

from typing import Any


def storable(value: Any) -> Any:
    """The same JSON value with such characters replaced by U+FFFD, in keys and values."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return value
