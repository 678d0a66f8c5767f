"""Which series may this person see, and how are they found among hundreds?

Everything comes from the manifest that this person's own runs are pinned to: a page shows what code would read, and
nothing that it could not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from qfp.objects import rank

from marketdata import providers
from marketdata.providers import Description
from marketdata.store import OPTIONAL, SnapshotMissing, current_snapshot_id, read_manifest, snapshot_folder

Entry = Mapping[str, Any]

INTERVALS = {
    "1m": "1 minute",
    "5m": "5 minutes",
    "15m": "15 minutes",
    "30m": "30 minutes",
    "1h": "1 hour",
    "1d": "Daily",
    "1w": "Weekly",
    "1wk": "Weekly",
    "1mo": "Monthly",
    "3mo": "Quarterly",
    "1y": "Yearly",
    "irregular": "Irregular",
}
KINDS = {
    "equity": "Shares",
    "index": "Indices",
    "fx": "Exchange rates",
    "crypto": "Crypto",
    "commodity": "Commodities",
    "volatility": "Volatility",
    "curve": "Yield curves",
    "credit": "Credit yields",
    "macro": "Economic figures",
    "factors": "Factors",
    "options": "Options",
    "dataset": "Datasets",
}
TIERS = {
    "A": "Public domain",
    "B": "Open licence",
    "C": "For education",
    "S": "Synthetic",
    "own": "Your own data",
    "personal": "For you alone",
    "": "Other, see the series",
}
SURVIVORSHIP = {
    "free": "Free of it",
    "biased": "Biased: survivors only",
    "unknown": "Not known",
    "not applicable": "Does not apply",
}


PROVIDERS = {"starter": "Starter catalogue", "upload": "Uploaded"} | {p.name: p.title for p in providers.ALL.values()}


@dataclass(frozen=True)
class View:
    """What one snapshot shows: its series and universes, and where their bytes lie."""

    snapshot: str
    folder: Path
    entries: Sequence[Entry]
    universes: Sequence[Mapping[str, Any]]
    own: frozenset[str]
    by_name: Mapping[str, Entry] = field(repr=False)
    words: Mapping[str, tuple[list[str], str]] = field(repr=False)  # by id: the names, and all that is searched

    def find(self, name: str, interval: str = "") -> Entry | None:
        """The series of this id, symbol or alias; of several intervals of a symbol, the one asked for."""
        found = self.by_name.get(name.strip().casefold())
        if found is None or interval in ("", found["interval"]):
            return found
        return next((entry for entry in self.intervals_of(found) if entry["interval"] == interval), None)

    def intervals_of(self, entry: Entry) -> list[Entry]:
        """All series with the symbol of this one, the finest last."""
        same = [other for other in self.entries if other["symbol"].casefold() == entry["symbol"].casefold()]
        order = list(INTERVALS)
        return sorted(same, key=lambda e: -order.index(e["interval"]) if e["interval"] in order else 1)

    def universe(self, name: str) -> Mapping[str, Any] | None:
        return next((found for found in self.universes if found["name"] == name), None)

    def universes_with(self, entry: Entry) -> list[Mapping[str, Any]]:
        return [u for u in self.universes if any(member["series"] == entry["id"] for member in u["members"])]

    def name_in_addresses(self, entry: Entry) -> str:
        """The symbol where it means this series, else the id."""
        return entry["symbol"] if self.find(entry["symbol"]) is entry else entry["id"]


def view_of(user: Any) -> View | None:
    """What this person's runs would read now; None while nothing has been loaded."""
    snapshot = current_snapshot_id(user if user is not None and user.is_authenticated else None)
    if snapshot is None:
        return None
    try:
        return _view(settings.STORE_DIR, snapshot)
    except SnapshotMissing:
        return None


# A snapshot never changes, so its manifest is read once a process.
@lru_cache(maxsize=16)
def _view(store: Path, snapshot: str) -> View:
    manifest = read_manifest(store, snapshot)
    entries = sorted(
        ({**OPTIONAL, **entry} for entry in manifest["series"]),
        key=lambda entry: (-rank(entry), place_of(entry["kind"]), entry["symbol"].casefold(), entry["id"]),
    )
    by_name: dict[str, Entry] = {}
    for names in (lambda e: [e["id"]], lambda e: [e["symbol"]], lambda e: e["aliases"]):
        for entry in sorted(entries, key=lambda e: (-rank(e), e["interval"] != "1d")):
            for name in names(entry):
                by_name.setdefault(name.casefold(), entry)
    words = {entry["id"]: _words_of(entry) for entry in entries}
    folder, own = snapshot_folder(store, snapshot), frozenset(manifest.get("own", []))
    return View(snapshot, folder, entries, manifest.get("universes", []), own, by_name, words)


def place_of(kind: str) -> int:
    """Where a kind stands in lists."""
    order = list(KINDS)
    return order.index(kind) if kind in order else len(order)


# What a series is, in words -------------------------------------------------------------------------------------


def licence_of(entry: Entry) -> str:
    """The key of the licence facet: the tier, or whose data it is."""
    return entry["tier"] if entry["rights"] == "redistribute" else entry["rights"]


def survivorship_of(entry: Entry) -> str:
    """The first word of what is said about it: free, biased, unknown or not applicable."""
    return entry["survivorship"].partition(":")[0].strip().lower() or "unknown"


def provider_of(entry: Entry) -> str:
    return entry["provider"] or ("upload" if entry["kind"] == "dataset" else "starter")


def provider_title(entry: Entry) -> str:
    key = provider_of(entry)
    return PROVIDERS.get(key) or key.replace("_", " ").capitalize()


def providers_for(entry: Entry) -> list[Description]:
    """The providers that have series of this kind and interval; nobody has more of an invented share."""
    if is_synthetic(entry) and entry["kind"] == "equity":
        return []
    return [p for p in providers.ALL.values() if entry["kind"] in p.kinds and entry["interval"] in p.intervals]


def may_be_downloaded(entry: Entry) -> bool:
    """Whether the site may hand the series out as a file: what may be passed on, what its owner gives, and what
    somebody brought along themselves.

    A vendor's data is for its owner's own runs; that says nothing about copies made by us.
    """
    return entry["rights"] in ("redistribute", "own") or is_upload(entry)


def is_upload(entry: Entry) -> bool:
    """Whether its reader has brought it along."""
    return entry["kind"] == "dataset" and entry["id"].startswith("mine/")


def is_synthetic(entry: Entry) -> bool:
    return entry["tier"] == "S"


# Searching ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facet:
    name: str
    title: str
    value: Callable[[Entry], str]
    labels: Mapping[str, str]


FACETS = (
    Facet("kind", "Kind", lambda entry: entry["kind"], KINDS),
    Facet("interval", "Interval", lambda entry: entry["interval"], INTERVALS),
    Facet("licence", "Licence", licence_of, TIERS),
    Facet("survivorship", "Survivorship", survivorship_of, SURVIVORSHIP),
    Facet("provider", "Provider", provider_of, PROVIDERS),
)


@dataclass(frozen=True)
class Found:
    entries: list[Entry]
    facets: list[dict[str, Any]]


def search(view: View, text: str, chosen: Mapping[str, Sequence[str]]) -> Found:
    """Series that have every word of the text, best first, and how many each choice of a facet would show.

    chosen: values by facet; several of one facet widen, facets narrow each other.
    """
    words = text.casefold().split()
    scored = [(score, entry) for entry in view.entries if (score := _score(view, entry, words)) is not None]
    matching = [entry for _, entry in sorted(scored, key=lambda pair: -pair[0])]

    def passes(entry: Entry, but: str = "") -> bool:
        return all(
            facet.value(entry) in chosen[facet.name] for facet in FACETS if facet.name != but and chosen.get(facet.name)
        )

    facets = []
    for facet in FACETS:
        counts = Counter(facet.value(entry) for entry in matching if passes(entry, but=facet.name))
        order = list(facet.labels)
        values = sorted(
            {*counts, *chosen.get(facet.name, ())},
            key=lambda value: (order.index(value) if value in order else len(order), value),
        )
        options = [
            {
                "value": value,
                "label": facet.labels.get(value, value.replace("_", " ").capitalize()),
                "count": counts[value],
                "chosen": value in chosen.get(facet.name, ()),
            }
            for value in values
        ]
        facets.append({"name": facet.name, "title": facet.title, "options": options})
    return Found([entry for entry in matching if passes(entry)], facets)


def _words_of(entry: Entry) -> tuple[list[str], str]:
    names = [entry["symbol"].casefold(), *(alias.casefold() for alias in entry["aliases"])]
    label = KINDS.get(entry["kind"], entry["kind"])
    return names, " ".join([*names, entry["name"], entry["id"], label, entry["source"]]).casefold()


def _score(view: View, entry: Entry, words: Sequence[str]) -> int | None:
    """How well a series fits, None when a word is not in it; without words all fit alike."""
    if not words:
        return 0
    names, everything = view.words[entry["id"]]
    if not all(word in everything for word in words):
        return None
    whole = " ".join(words)
    score = 8 * (whole == names[0]) + 6 * (whole in names) + 4 * any(name.startswith(whole) for name in names)
    return score + 2 * any(part.startswith(words[0]) for part in entry["name"].casefold().split())
