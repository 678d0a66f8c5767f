"""Is this the name that was meant? Names that imitate well-known ones are refused before anybody asks the index."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from sandbox.host.imports import distribution_of, import_names
from sandbox.host.package_rules import PackageRefused, PackageRules, normal_name
from sandbox.host.requirements import base_versions

POPULAR = Path(__file__).resolve().parent.parent / "policy" / "popular_packages.txt"
SHORTEST_FOR_SLIPS = 5  # of four letters, too many honest names are one letter apart
SHORTEST_MODULE_FOR_SLIPS = 7
# Characters and pairs that look alike in many fonts.
_LOOK_ALIKES = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("0", "o"), ("1", "l"), ("i", "l"), ("5", "s"), ("3", "e"))
_AFFIXES = ("python-", "python3-", "py-", "pip-", "-python", "-py", "-python3", "-pip", "-lib", "-official", "-dev")


@lru_cache(maxsize=1)
def popular_names() -> frozenset[str]:
    lines = POPULAR.read_text().splitlines()
    names = {normal_name(line.strip()) for line in lines if line.strip() and not line.startswith("#")}
    return frozenset(names | set(base_versions()))


def check_name(name: str, rules: PackageRules) -> None:
    """Raise PackageRefused for a blocked name and for one that imitates another. Asks nobody."""
    normal = normal_name(name)
    if normal in rules.blocked:
        raise PackageRefused(name, f"{name} is not installed: the operators of this site have blocked it.")
    if normal in rules.allowed or normal in popular_names():
        return
    distribution = distribution_of(name)
    if distribution != normal and distribution in popular_names():
        raise PackageRefused(
            name, f"{name} is not installed: it is what one imports; the package is called {distribution}."
        )
    meant = imitated(normal)
    if meant is not None:
        raise PackageRefused(
            name,
            f"{name} is not installed: the name is a slip away from {meant}, which is how harmful packages are "
            f"spread. Did you mean {meant}?",
        )


def imitated(name: str) -> str | None:
    """The popular name that this one, which is not popular, could be mistaken for."""
    normal = normal_name(name)
    if normal in popular_names():
        return None
    stripped = [normal.rstrip("0123456789")]
    for affix in _AFFIXES:
        stripped.append(normal.removeprefix(affix) if affix.endswith("-") else normal.removesuffix(affix))
    for other in stripped:
        if other != normal and other.strip("-") in popular_names():
            return other.strip("-")
    joined, looks = normal.replace("-", ""), _skeleton(normal)
    by_joined, by_looks = _indexes()
    if joined in by_joined:
        return by_joined[joined]
    if looks in by_looks:
        return by_looks[looks]
    words = sorted(normal.split("-"))
    best: tuple[int, str] | None = None
    for popular in sorted(popular_names()):
        if len(words) > 1 and words == sorted(popular.split("-")):
            return popular
        shorter = min(len(popular), len(normal))
        allowed = 0 if shorter < SHORTEST_FOR_SLIPS else 1 if shorter < 10 else 2
        if allowed and abs(len(popular) - len(normal)) <= allowed:
            slips = distance(normal, popular, allowed)
            if slips <= allowed and (best is None or slips < best[0]):
                best = (slips, popular)
    # What one imports is typed more often than what the package is called.
    for module, distribution in sorted(import_names().items()):
        known = len(module) >= SHORTEST_MODULE_FOR_SLIPS and distribution in popular_names()
        if best is None and known and distance(normal, module, 1) == 1:
            best = (1, distribution)
    return best[1] if best is not None else None


def distance(one: str, other: str, enough: int) -> int:
    """Letters to change, add, drop or swap with their neighbour; `enough` + 1 stands for anything above it."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, last, row = row, before, [i]
        for j, against in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > enough:
            return enough + 1
    return row[-1]


@lru_cache(maxsize=1)
def _indexes() -> tuple[dict[str, str], dict[str, str]]:
    names = sorted(popular_names())
    return {name.replace("-", ""): name for name in names}, {_skeleton(name): name for name in names}


def _skeleton(name: str) -> str:
    text = name.replace("-", "")
    for looks, like in _LOOK_ALIKES:
        text = text.replace(looks, like)
    return text
