"""Under which caps and rules are packages brought in, and how is a refusal told?"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

# What the caller is told while packages are brought in: a sentence, bytes done, bytes in all. It may raise to give up.
Progress = Callable[[str, int, int], None]


class PackageRefused(Exception):
    """A package is not installed; the text names it and the cause, in words for the person who asked for it."""

    def __init__(self, package: str, reason: str) -> None:
        super().__init__(reason if package and package in reason else f"{package}: {reason}" if package else reason)
        self.package = package
        self.reason = str(self)


class IndexUnavailable(Exception):
    """The package index gave no usable answer; nobody's code is to blame, and trying again may help."""


@dataclass(frozen=True)
class PackageRules:
    """Sizes in bytes, times in seconds. The defaults are those of the site's settings."""

    packages: int = 80  # in one layer
    download_bytes: int = 400_000_000
    unpacked_bytes: int = 1_500_000_000
    files: int = 40_000
    seconds: float = 180.0  # from the first question to the index to the finished layer
    youngest_days: int = 30  # of a name, from its first upload
    fewest_releases: int = 3
    source_builds: bool = True  # of requirements that say --sdist
    allowed: frozenset[str] = field(default_factory=frozenset)  # names the other rules do not ask about
    blocked: frozenset[str] = field(default_factory=frozenset)
    patience_seconds: float = 15.0  # with an index that says nothing


def normal_name(name: str) -> str:
    """A distribution's name as all its spellings have it: lower case, runs of - _ . as one hyphen."""
    return re.sub(r"[-_.]+", "-", name).lower()


def megabytes(count: int) -> str:
    if count < 100_000:
        return f"{max(1, round(count / 1000))} kB"
    return f"{count / 1_000_000:.1f} MB" if count < 10_000_000 else f"{count / 1_000_000:,.0f} MB"
