"""Where do bars lie, and what may whom read? Arrow objects named by their hash, and snapshots that pin them.

The catalogue has a current snapshot that everybody reads. Somebody with series of their own (fetched with their key,
brought along, or chosen from what others share) has a snapshot of their own: the catalogue's and those. A run pins one
snapshot, and a box sees the files of that snapshot alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from qfp import objects, panels
from qfp.data.frames import adjusted_columns

from marketdata import archive, object_storage, snapshot_rows
from marketdata.models import Series, Snapshot

if TYPE_CHECKING:
    import numpy as np

SNAPSHOT_ID = re.compile(r"[0-9a-f]{64}")
# What an entry of a manifest must say, and what may be left out.
REQUIRED = (
    "id",
    "symbol",
    "name",
    "kind",
    "interval",
    "licence",
    "source",
    "columns",
    "rows",
    "first",
    "last",
    "object",
)
OPTIONAL = {
    "aliases": [],
    "unit": "",
    "exchange": "",
    "adjustment": "none",
    "quality": "",
    "survivorship": "unknown",
    "notice": "",
    "actions": None,
    "rights": Series.Rights.REDISTRIBUTE.value,
    "tier": "",
    "provider": "",
    "currency": "",
    "zone": "",
}
# Files that nothing names yet may belong to somebody who is about to name them.
GRACE_SECONDS = 24 * 3600
ARCHIVED = "archived"  # a file in the folder of a snapshot whose objects may lie in the archive alone
LENT = "lent"  # folder: marks at the objects that are there only for some runs, see runner/honesty/varied_data.py
KEPT_SNAPSHOTS = 5  # of the catalogue
_LOCK = 0x5345_5249
_ARCHIVE_LOCK = 0x4152_4348
PATIENCE_SECONDS = 60.0
BRINGING_THREADS = 16


class SnapshotMissing(Exception):
    """The store does not hold this snapshot, or its manifest is not the one its id names."""


class StoreBusy(Exception):
    """The archive found no moment in which nobody writes snapshots."""


# Reading ----------------------------------------------------------------------------------------------------


def current_snapshot_id(user: Any = None) -> str | None:
    """The snapshot that new runs are pinned to; None before the starter data has been loaded.

    user: whose run it is. A guest (None) reads the catalogue; so does everybody without series of their own. When the
    catalogue has changed, a person's own snapshot is made anew over it.
    """
    whose = Q(owner=None) if user is None else Q(owner=None) | Q(owner=user)
    current = {
        owner: (pk, base)
        for owner, pk, base in Snapshot.objects.filter(whose, is_current=True).values_list("owner", "pk", "base")
    }
    catalogue, _ = current.get(None, (None, None))
    if user is None or user.pk not in current:
        return catalogue
    own, base = current[user.pk]
    if base == catalogue:
        return own
    moved = _change(user, lambda held: held, created_for="catalogue")
    return moved.pk if moved else catalogue


def snapshot_folder(store: Path, snapshot: str) -> Path:
    """The folder of a snapshot. Ids that are not hashes are refused: they would be paths of somebody's
    choosing.
    """
    if not SNAPSHOT_ID.fullmatch(snapshot):
        raise SnapshotMissing(f"{snapshot[:80]!r} is not a snapshot id.")
    return store / "snapshots" / snapshot


def _manifest_path(store: Path, snapshot: str) -> Path:
    return snapshot_folder(store, snapshot) / "manifest.json"


def read_manifest(store: Path, snapshot: str, *, with_objects: bool = False) -> dict[str, Any]:
    """The manifest of a snapshot, checked against its id. Raises SnapshotMissing.

    with_objects: its objects will be read as well, so they are taken out of the archive if they are there.
    """
    if store == settings.STORE_DIR and (with_objects or not _manifest_path(store, snapshot).is_file()):
        make_local(snapshot)
    try:
        content = _manifest_path(store, snapshot).read_bytes()
    except OSError:
        raise SnapshotMissing(f"The store holds no snapshot {snapshot[:12]}.") from None
    if hashlib.sha256(content).hexdigest() != snapshot:
        raise SnapshotMissing(f"The manifest of snapshot {snapshot[:12]} has been changed.")
    return json.loads(content)


# Adding and removing ----------------------------------------------------------------------------------------


def put_object(content: bytes, form: str = objects.ARROW) -> str:
    """Keep bytes under their SHA-256, which is returned. add_series() then names them; what nothing names within a day
    is collected.
    """
    digest = objects.put(settings.STORE_DIR, content, form)
    if bucket := object_storage.bucket():
        put_there = bucket.changed(f"objects/{digest}{form}")
        # An old one may be about to be collected; anew, it has its grace.
        if put_there is None or put_there.timestamp() < time.time() - GRACE_SECONDS / 2:
            bucket.put(f"objects/{digest}{form}", content)
    return digest


def put_bars(interval: str, dates: np.ndarray, columns: Mapping[str, np.ndarray]) -> str:
    """Keep bars in the form in which those of their interval are kept."""
    return put_object(*objects.bars_bytes(interval, dates, columns))


def add_series(
    entries: Iterable[Mapping[str, Any]],
    *,
    user: Any = None,
    created_for: str,
    universes: Iterable[Mapping[str, Any]] = (),
) -> Snapshot:
    """A snapshot with these series beside those that were there, which becomes current.

    entries: as they stand in the manifest; REQUIRED says which keys they must have. One with the id of another
      replaces it, and takes over its aliases. Objects must be in the store already.
    user: whose snapshot; None changes the catalogue, which everybody reads.
    created_for: a few words on why, such as "fetch" or "starter".
    universes: to be added in the same way, by name.

    Raises ValueError for an entry that lacks something, and for the catalogue when one may not be redistributed.
    """
    added = [_complete(entry, for_all=user is None) for entry in entries]
    sets = [dict(universe) for universe in universes]

    def change(held: Held) -> Held:
        ids, names = {entry["id"] for entry in added}, {universe["name"] for universe in sets}
        taken = {alias for entry in added for alias in entry["aliases"]}
        series = [
            {**entry, "aliases": [alias for alias in entry["aliases"] if alias not in taken]}
            for entry in held.series
            if entry["id"] not in ids
        ]
        kept = [universe for universe in held.universes if universe["name"] not in names]
        return Held(series + added, kept + sets)

    snapshot = _change(user, change, created_for=created_for)
    assert snapshot is not None  # it holds what was added
    return snapshot


def extend(
    snapshot: str, entry: Mapping[str, Any], *, called: str = "", user: Any = None
) -> tuple[str, dict[str, Any]]:
    """The snapshot that a run reads after a series was fetched for it: what it read until then, unchanged, and this.
    Returns its id, and the entry as it stands there.

    Where the symbol is taken by another series, the new one is called by its id (and by its symbol with another
    interval), so that the same code goes on reading the same bars. called: what it was asked for as, a name of it from
    now on where nothing else has that. It does not become anybody's current snapshot.
    """
    store = settings.STORE_DIR
    manifest: dict[str, Any] = read_manifest(store, snapshot) if snapshot else {"version": 1, "series": []}
    others = [each for each in manifest["series"] if each["id"] != entry["id"]]
    added, symbol = dict(entry), entry["symbol"].casefold()
    if symbol in {each["symbol"].casefold() for each in others}:
        added |= {"symbol": entry["id"], "aliases": [entry["symbol"]]}
    else:
        taken = {alias.casefold() for each in others for alias in [each["symbol"], *each["aliases"]]}
        if symbol in taken:
            added["symbol"] = entry["id"]
        added["aliases"] = [alias for alias in entry["aliases"] if alias.casefold() not in taken]
        if called and called.casefold() not in taken | {added["symbol"].casefold(), added["id"].casefold()}:
            added["aliases"] = sorted({*added["aliases"], called})
    made = {
        "view": f"user-{user.pk}" if user is not None else "catalogue",
        "universes": [],
        **manifest,
        "created_for": "run",
        "own": sorted({*manifest.get("own", []), added["id"]}),
        "series": [*others, added],
    }
    extended = _write(made)
    _publish(extended, read_manifest(store, extended))
    if user is not None:
        Snapshot.objects.get_or_create(
            pk=extended,
            defaults={"created_for": "run", "owner": user, "base": Snapshot.objects.filter(pk=snapshot).first()},
        )
    return extended, added


def remove_series(ids: Iterable[str], *, user: Any = None) -> Snapshot | None:
    """Make a snapshot without these series current; None when a person has none of their own any more. Snapshots that
    runs are pinned to keep them.
    """
    gone = set(ids)
    return _change(
        user,
        lambda held: Held([entry for entry in held.series if entry["id"] not in gone], held.universes),
        created_for="removal",
    )


def take_starter(snapshot: str) -> Snapshot:
    """Make the starter catalogue, which lies in the store, part of the catalogue; what else is in that stays."""
    store = settings.STORE_DIR
    starter = read_manifest(store, snapshot)
    current = Snapshot.objects.filter(owner=None, is_current=True).first()
    held = read_manifest(store, current.pk) if current else {"series": []}
    if current and [entry for entry in held["series"] if _is_starters(entry["id"])] == starter["series"]:
        return current
    if all(_is_starters(entry["id"]) for entry in held["series"]):
        return record_snapshot(store, snapshot)  # the same as on a laptop
    made = _change(
        None,
        lambda held: Held(
            [entry for entry in held.series if not _is_starters(entry["id"])] + starter["series"],
            [each for each in held.universes if not _is_starters(each["name"])] + starter["universes"],
        ),
        created_for="starter",
    )
    assert made is not None
    return made


@transaction.atomic
def record_snapshot(store: Path, snapshot: str, *, owner: Any = None) -> Snapshot:
    """Write rows for a snapshot that lies in the store, and make it current. Doing it twice changes nothing."""
    manifest = read_manifest(store, snapshot)
    _publish(snapshot, manifest)
    whole = [{**OPTIONAL, **entry} for entry in manifest["series"]]
    return snapshot_rows.write(snapshot, {**manifest, "series": whole}, owner)


def _is_starters(name: str) -> bool:
    return name.startswith(("starter/", "synth/"))


@dataclass(frozen=True)
class Held:
    """What the catalogue holds, or what somebody's snapshot holds beside it."""

    series: list[dict[str, Any]]
    universes: list[dict[str, Any]]


@transaction.atomic
def _change(user: Any, change: Callable[[Held], Held], *, created_for: str) -> Snapshot | None:
    """One after the other for the same person: both of two fetches that end at once are in the result."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, user.pk % 2**31 if user is not None else 0])
    store = settings.STORE_DIR
    current = Snapshot.objects.filter(owner=user, is_current=True).first()
    manifest = read_manifest(store, current.pk) if current else {"series": []}
    if user is None:
        held = change(Held(manifest["series"], manifest.get("universes", [])))
        made = {"version": 1, "created_for": created_for, "series": held.series, "universes": held.universes}
        return record_snapshot(store, _write(made))
    own, names = set(manifest.get("own", [])), set(manifest.get("own_universes", []))
    held = change(
        Held(
            [entry for entry in manifest["series"] if entry["id"] in own],
            [universe for universe in manifest.get("universes", []) if universe["name"] in names],
        )
    )
    if not held.series:
        Snapshot.objects.filter(owner=user, is_current=True).update(is_current=False)
        Series.objects.filter(snapshot__owner=user).delete()
        return None
    base = current_snapshot_id()
    below = read_manifest(store, base) if base else {"series": []}
    own, names = {entry["id"] for entry in held.series}, {universe["name"] for universe in held.universes}
    made = {
        "version": 1,
        "created_for": created_for,
        # Two people with the same series have two snapshots all the same.
        "view": f"user-{user.pk}",
        "base": base,
        "own": sorted(own),
        "own_universes": sorted(names),
        "series": [entry for entry in below["series"] if entry["id"] not in own] + held.series,
        "universes": [universe for universe in below.get("universes", []) if universe["name"] not in names]
        + held.universes,
    }
    return record_snapshot(store, _write(made), owner=user)


def _write(manifest: dict[str, Any]) -> str:
    """With the panels of its universes, which are made where a member has changed."""
    store = settings.STORE_DIR
    with nothing_is_archived():
        bring(objects.named_objects(manifest))
        universes = panels.derive(
            store, manifest["universes"], manifest["series"], lambda entry: adjusted_columns(store, entry, "all")
        )
        return _link({**manifest, "universes": universes})


def _link(manifest: dict[str, Any]) -> str:
    """The snapshot with all its objects, which are here; one that was in the archive is not any more."""
    snapshot = objects.write_snapshot(settings.STORE_DIR, manifest)
    (snapshot_folder(settings.STORE_DIR, snapshot) / ARCHIVED).unlink(missing_ok=True)
    return snapshot


def _complete(entry: Mapping[str, Any], *, for_all: bool) -> dict[str, Any]:
    if missing := [key for key in REQUIRED if key not in entry]:
        raise ValueError(f"The entry of {entry.get('id', 'a series')} lacks {', '.join(missing)}.")
    whole = {**OPTIONAL, **entry}
    if for_all and whole["rights"] != Series.Rights.REDISTRIBUTE:
        raise ValueError(f"{whole['id']} may not be redistributed, so it cannot go into the catalogue.")
    try:
        bring({whole[key] for key in ("object", "actions") if whole[key]})
    except SnapshotMissing as error:
        raise ValueError(f"{error} put_object() comes first.") from None
    return whole


# The archive and object storage -----------------------------------------------------------------------------


@contextmanager
def nothing_is_archived() -> Iterator[None]:
    """Until it ends, no object leaves a store for the archive."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_ARCHIVE_LOCK])
        yield


@contextmanager
def nothing_is_taken_up() -> Iterator[None]:
    """Until it ends, no snapshot is written, and none comes out of the archive. Raises StoreBusy."""
    gives_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            # Not by waiting in the line: everybody who comes later would wait behind us.
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_ARCHIVE_LOCK])
            if cursor.fetchone()[0]:
                yield
                return
        if time.monotonic() > gives_up:
            raise StoreBusy("Somebody has been writing to the store all the time. What is left is archived next time.")
        time.sleep(0.1)


def make_local(snapshot: str) -> None:
    """Bring a snapshot that is to be read: out of the archive, or from object storage, if there is one and this machine
    lacks it. Raises SnapshotMissing when it is not there either, StorageUnreachable when nobody can say.
    """
    bucket, store = object_storage.bucket(), settings.STORE_DIR
    path = _manifest_path(store, snapshot)
    # First, so that whoever is about to archive it sees that it is used.
    with suppress(OSError):
        os.utime(path)
    if path.is_file() and not (path.parent / ARCHIVED).exists():
        return
    if path.is_file():
        manifest = read_manifest(store, snapshot)
    elif bucket is not None:
        manifest = manifest_there(bucket, snapshot)
    else:
        return
    with nothing_is_archived():
        bring(objects.named_objects(manifest))
        _link(manifest)


def manifest_there(bucket: object_storage.Bucket, snapshot: str) -> dict[str, Any]:
    try:
        content = bucket.get(f"snapshots/{snapshot}/manifest.json")
    except FileNotFoundError:
        raise SnapshotMissing(f"The store holds no snapshot {snapshot[:12]}.") from None
    if hashlib.sha256(content).hexdigest() != snapshot:
        raise SnapshotMissing(f"The manifest of snapshot {snapshot[:12]} has been changed.")
    return json.loads(content)


def bring(digests: set[str]) -> None:
    """Objects that do not lie here, out of the archive or from object storage. Raises SnapshotMissing for one that is
    nowhere, or that is not what its name says.
    """
    bucket, store = object_storage.bucket(), settings.STORE_DIR
    lacking = [digest for digest in sorted(digests) if not objects.object_path(store, digest).is_file()]
    if lacking:
        with ThreadPoolExecutor(BRINGING_THREADS if bucket else 1) as pool:
            list(pool.map(lambda digest: _bring_one(store, bucket, digest), lacking))


def _bring_one(store: Path, bucket: object_storage.Bucket | None, digest: str) -> None:
    try:
        content, form = archive.read_local(store, digest), objects.ARROW
        if content is None and bucket is not None:
            content, form = _object_there(bucket, digest)
    except archive.Damaged as error:
        raise SnapshotMissing(str(error)) from error
    if content is None:
        raise SnapshotMissing(f"The store holds no object {digest}.")
    objects.put(store, content, form)


def _object_there(bucket: object_storage.Bucket, digest: str) -> tuple[bytes | None, str]:
    for form in objects.FORMS:
        with suppress(FileNotFoundError):
            content = bucket.get(f"objects/{digest}{form}")
            if hashlib.sha256(content).hexdigest() != digest:
                raise SnapshotMissing(f"Object {digest[:12]} in the storage is not what its name says.")
            return content, form
    with suppress(FileNotFoundError):
        return archive.unpack(bucket.get(archive.place(digest)), digest), objects.ARROW
    return None, ""


def _publish(snapshot: str, manifest: dict[str, Any]) -> None:
    """Put a snapshot of this machine into object storage, its manifest last: what has one is whole."""
    bucket, store = object_storage.bucket(), settings.STORE_DIR
    if bucket is None or bucket.changed(f"snapshots/{snapshot}/manifest.json"):
        return
    there = bucket.names("objects")
    paths = [objects.object_path(store, digest) for digest in objects.named_objects(manifest)]

    def put(path: Path) -> None:
        bucket.put(f"objects/{path.name}", path.read_bytes())

    with ThreadPoolExecutor(BRINGING_THREADS) as pool:
        list(pool.map(put, [path for path in paths if f"objects/{path.name}" not in there]))
    bucket.put(f"snapshots/{snapshot}/manifest.json", (snapshot_folder(store, snapshot) / "manifest.json").read_bytes())
