"""How does a program get other data without knowing it? A snapshot of its own, in which series go on differently after
a day, what they pay and when they split is on other days, members of universes come and leave on others, and whose bars
were to end goes on like all others. It is made for one box and taken away afterwards.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from qfp import objects
from qfp.checking.variations import from_the_open, other_columns, other_stays
from qfp.publication import DAYS_LATER

from marketdata.store import LENT, read_manifest, snapshot_folder
from runner.honesty.known_rows import first_unknown, whole_day
from runner.honesty.package_tables import PackageTables

__all__ = ["INVENTED_SHARES", "Lent", "varied_snapshot", "with_panels"]

INVENTED_SHARES = "synth/us/"  # five hundred of them, varied only where a program can mean them


class Lent:
    """Objects that are put into the store for one box, while a with statement lasts. Nothing of both says so: a program
    that looks for a sign finds what it finds in any other.

    Objects go by their content, so several workers may lend the same: each leaves a mark, and who takes away the last
    one takes the object away.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._marks = store / LENT / uuid4().hex
        self._new: dict[str, str] = {}  # and what each stands for

    def __enter__(self) -> Lent:
        return self

    def __exit__(self, *_: object) -> None:
        with self._alone():
            shutil.rmtree(self._marks, ignore_errors=True)
            for digest in self._new:
                if not self._others_lend(digest):
                    objects.object_path(self._store, digest).unlink(missing_ok=True)

    def put(self, content: bytes, instead: str) -> str:
        """Its name. instead: that of the object whose place it takes; it seems to be as old."""
        digest = hashlib.sha256(content).hexdigest()
        with self._alone():
            if self._others_lend(digest) or not objects.object_path(self._store, digest).exists():
                self._marks.mkdir(exist_ok=True)
                (self._marks / digest).touch()
                self._new[digest] = instead
            return objects.put(self._store, content)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        (self._store / LENT).mkdir(parents=True, exist_ok=True)
        with (self._store / LENT / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _others_lend(self, digest: str) -> bool:
        return any((self._store / LENT).glob(f"*/{digest}"))

    @contextmanager
    def snapshot(self, manifest: dict[str, Any]) -> Iterator[str]:
        """Its id is another one each time: boxes that stand ready may still hold one that has gone, and another worker
        may make the same. What a panel was made of is a hash that nobody looks at here.
        """
        once, universes = uuid4().hex, manifest.get("universes", [])
        if any("panel_of" in each for each in universes):
            made_of = hashlib.sha256(once.encode()).hexdigest()
            universes = [{**each, "panel_of": made_of} if "panel_of" in each else each for each in universes]
            manifest = {**manifest, "universes": universes}
        else:
            manifest = {**manifest, "created_for": f"run {once}"}
        name = objects.snapshot_id(manifest)
        folder = snapshot_folder(self._store, name)
        try:
            objects.write_snapshot(self._store, manifest)
            for digest, instead in self._new.items():  # now that a snapshot needs them, they may seem old
                with suppress(FileNotFoundError):
                    found = objects.object_path(self._store, instead).stat()
                    os.utime(objects.object_path(folder, digest), ns=(found.st_atime_ns, found.st_mtime_ns))
            yield name
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def with_panels(universe: Mapping[str, Any], changed: Collection[str]) -> dict[str, Any]:
    """The universe without the panel of its closes where one of these series is in it."""
    if any(member["series"] in changed for member in universe["members"]):
        return {key: value for key, value in universe.items() if key not in ("panel", "panel_dates")}
    return dict(universe)


@contextmanager
def varied_snapshot(
    store: Path,
    snapshot: str,
    moment: np.datetime64,
    tail: int,
    seed: int,
    *,
    all_shares: bool,
    leave: Collection[str] = (),
    alone: Collection[str] = (),
    opening: bool = False,
    reached: Mapping[str, tuple[float, float]] | None = None,
    tables: PackageTables | None = None,
) -> Iterator[str]:
    """The id of a snapshot like this one with other rows where they were not known at the moment, which counts to the
    end of its day where it is midnight. tail: 1 or -1, where prices go first.

    leave: ids of series that stay as they are and are not even opened, because a box could be watched for it meanwhile.
    alone: those that are traded alone, and end where they ended: a program may count their bars.
    opening: the first bar after the moment keeps its open, and what is paid or split on its day: it is known by then.
    reached: by series, how far that bar goes at least, as of from_the_open().
    tables: of packages, which are others for boxes with this snapshot, too.
    """
    moment = whole_day(moment)
    manifest = read_manifest(store, snapshot, with_objects=True)
    with Lent(store) as lent:
        among = {
            entry["id"]: entry
            for entry in manifest["series"]
            if entry["id"] not in leave and (all_shares or not entry["id"].startswith(INVENTED_SHARES))
        }
        longer = _going_on(store, manifest.get("universes", []), among, moment, alone)
        series, others = [], set[str]()
        for entry in manifest["series"]:
            varied = None
            if entry["id"] in among:
                extra, about = longer.get(entry["id"], (None, {}))
                own = zlib.crc32(f"{entry['id']} {seed}".encode())
                aside, far = entry["id"] not in alone, (reached or {}).get(entry["id"])
                varied = _varied(store, entry, moment, tail, own, extra, opening, aside, far)
            if varied is None:
                series.append(entry)
                continue
            changed = {**entry, **about}
            series.append(changed | {key: lent.put(content, entry[key]) for key, content in varied.items()})
            others.add(entry["id"])
        universes = []
        for universe in manifest.get("universes", []):
            members = other_stays(
                universe["members"], str(moment)[:10], tail, zlib.crc32(f"{universe['name']} {seed}".encode()), longer
            )
            universes.append({**with_panels(universe, others), "members": members})
        with lent.snapshot({**manifest, "series": series, "universes": universes}) as varied_id:
            with tables.put(store, varied_id, moment, tail, seed) if tables is not None else nullcontext():
                yield varied_id


def _going_on(
    store: Path,
    universes: Iterable[Mapping[str, Any]],
    among: Mapping[str, dict[str, Any]],
    moment: np.datetime64,
    alone: Collection[str],
) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """Members whose bars were to end after the moment and before those of others: the dates on which they go on, and
    what their entries say then. By then nobody could know that they would end, nor read so in a notice.
    """
    found: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}
    for universe in universes:
        entries = [among[each["series"]] for each in universe["members"] if each["series"] in among]
        if not entries or not any(each.get("last") for each in entries):
            continue
        longest = max(entries, key=lambda entry: entry.get("last") or "")
        living = (entry.get("notice", "") for entry in entries if entry.get("last") == longest.get("last"))
        usual = Counter(living).most_common(1)[0][0]
        dates = None
        for entry in entries:
            last, ends = entry.get("last") or "", longest["last"]
            if entry["id"] in alone or entry["interval"] != longest["interval"] or not str(moment)[:10] < last < ends:
                continue
            if dates is None:
                dates = objects.read(store, longest["object"])["date"]
            extra = dates[dates > np.datetime64(last, "us")]
            if len(extra):
                about = {"last": ends, "rows": entry["rows"] + len(extra), "notice": usual}
                found[entry["id"]] = extra, about
    return found


def _varied(
    store: Path,
    entry: dict[str, Any],
    moment: np.datetime64,
    tail: int,
    seed: int,
    extra: np.ndarray | None = None,
    opening: bool = False,
    aside: bool = False,
    reached: tuple[float, float] | None = None,
) -> dict[str, bytes] | None:
    """Its objects anew, by their key in the entry; None where nothing comes after the moment, or nothing has a date.

    extra: dates on which it goes on after its end. aside: figures that are no bars, such as yields, go either way: they
    may fall where prices rise. What has begun and is not over keeps its open in any case.
    """
    columns = objects.read(store, entry["object"])
    dates = columns.pop("date", None)
    if dates is None or not len(dates) or any(v.dtype.kind != "f" for v in columns.values()):
        return None
    head = first_unknown(dates, entry["interval"], columns, moment)
    if head == len(dates):
        return None
    if extra is not None and (extra := extra[extra > dates[-1]]).size:
        columns = {
            name: np.concatenate([values, np.resize(values[head:], len(extra))]) for name, values in columns.items()
        }
        dates = np.concatenate([dates, extra])
    if aside and "open" not in columns and seed % 2:
        tail = -tail
    later = other_columns(columns, head, tail, seed)
    if DAYS_LATER in columns:
        later[DAYS_LATER] = columns[DAYS_LATER]  # or figures would come out before others here and there
    if "open" in columns and (opening or dates[head] <= moment):
        later = from_the_open(columns, later, head, tail, reached if opening else None)
        moment = max(moment, dates[head])
    found = {"object": objects.arrow_bytes(dates, later)}
    if entry.get("actions") and "close" in columns:
        found["actions"] = _actions(store, entry["actions"], dates, columns["close"], later["close"], moment, seed)
    return found


def _actions(
    store: Path,
    digest: str,
    dates: np.ndarray,
    close: np.ndarray,
    later: np.ndarray,
    moment: np.datetime64,
    seed: int,
) -> bytes:
    """What comes after the moment is on other days, in the same order. Splits keep their ratios, and dividends their
    share of the price that they are paid from: adjusted prices before the moment stay the same, to the last bit, for
    where two averages are equal that decides. What is between the same two bars, which are weeks or have a gap there,
    stays together.
    """
    acted = dict(objects.read(store, digest))
    when = acted.pop("date").copy()
    before = np.searchsorted(dates, when) - 1
    moved = np.flatnonzero((when > moment) & (when <= dates[-1]) & (before >= 0))
    first = max(1, int(np.searchsorted(dates, moment, side="right")))
    bars, among = np.unique(before[moved], return_inverse=True)  # no more than there are days to draw from
    drawn = np.random.default_rng(seed).choice(len(dates) - first, size=len(bars), replace=False)
    days = (np.sort(drawn) + first)[among]
    when[moved] = dates[days]
    dividend, split = acted["dividend"].copy(), acted["split"][moved]
    left = 1.0 - dividend[moved] / (close[before[moved]] / split)  # of the price, as qfp.adjustment has it
    dividend[moved] = (1.0 - left) * (later[days - 1] / split)
    acted["dividend"] = dividend
    order = np.argsort(when, kind="stable")
    return objects.arrow_bytes(when[order], {name: values[order] for name, values in acted.items()})
