"""Make what a run sent fit for the database: PostgreSQL keeps neither NUL characters nor halves of surrogate pairs, and
its JSON knows neither infinity nor what is no number.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = ["MOST_NESTED", "TooDeep", "storable"]

MOST_NESTED = 100


class TooDeep(ValueError):
    """The text is for the author of the program."""


def storable(value: Any, deeper: int = MOST_NESTED) -> Any:
    """The same JSON value with such characters replaced by U+FFFD, in keys and values, and such numbers by None."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, (list, dict)):
        return value
    if not deeper:
        raise TooDeep(f"Lists and dictionaries are kept up to {MOST_NESTED} inside each other.")
    if isinstance(value, list):
        return [storable(item, deeper - 1) for item in value]
    return {storable(key): storable(item, deeper - 1) for key, item in value.items()}
