"""What goes into the archive, and when? Read archive_data().

Objects that only old snapshots name are kept as zstd Parquet instead of Arrow. A run that is pinned to such a snapshot
has them taken out again, byte by byte (marketdata.store.make_local). Nothing leaves before what took its place lies on
the disk and was read back from there, so a crash at any point costs space alone, until the next night.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from qfp import objects

from marketdata import archive, object_storage, store
from marketdata.models import DatasetVersion, Snapshot

logger = logging.getLogger(__name__)

ORIGINAL_SECONDS = 24 * 3600  # a file just sent may be read again


@dataclass
class Archived:
    """What was done, in bytes of this machine's disk; there: the same in object storage."""

    snapshots: int = 0
    objects: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    there: int = 0
    originals: int = 0

    def __str__(self) -> str:
        saved = self.bytes_before - self.bytes_after
        text = (
            f"{self.snapshots} snapshots, {self.objects} objects and {self.originals} uploaded files archived: "
            f"{self.bytes_before:,} bytes before, {self.bytes_after:,} after, {saved:,} saved."
        )
        return text + (f" {self.there} objects in object storage archived." if self.there else "")


@dataclass(frozen=True)
class Space:
    """Bytes of market data on this machine."""

    objects: int
    archive: int
    originals: int


def archive_data(older_than: timedelta, *, keep_last: int = store.KEPT_SNAPSHOTS) -> Archived:
    """Archive what only snapshots need that nothing has read for so long; current ones and the last of the catalogue
    stay as they are, and so do datasets.
    """
    done, oldest = Archived(), time.time() - older_than.total_seconds()
    kept = set(Snapshot.objects.filter(is_current=True).values_list("pk", flat=True))
    kept |= set(Snapshot.objects.filter(owner=None).order_by("-created").values_list("pk", flat=True)[:keep_last])
    cold: set[str] = set()
    hot = set(DatasetVersion.objects.values_list("object_sha256", flat=True))
    for folder in (settings.STORE_DIR / "snapshots").glob("*"):
        if not (folder / "manifest.json").is_file():
            continue
        named = objects.named_objects(store.read_manifest(settings.STORE_DIR, folder.name))
        with suppress(FileNotFoundError):  # it was collected meanwhile
            if folder.name not in kept and _put_away(folder, oldest, done):
                cold |= named
            else:
                hot |= named
    bucket = object_storage.bucket()
    if bucket is not None:
        _archive_there(bucket, kept, oldest, done)
    for digest in sorted(cold - hot):
        try:
            with suppress(FileNotFoundError):
                _archive_object(digest, bucket, done)
        except archive.Damaged as damage:  # what was written just now; the object stays
            logger.error("archive: %s", damage)
    for path in (settings.UPLOADS_DIR / "originals").glob("*"):
        with suppress(FileNotFoundError):  # its days were over meanwhile
            _compress_original(path, done)
    return done


def space() -> Space:
    """Every object counts once, however many snapshots hold it."""
    local = settings.STORE_DIR
    folders = (local / "objects", local / archive.FOLDER, settings.UPLOADS_DIR / "originals")
    return Space(*map(_size_of, folders))


def _size_of(folder: Path) -> int:
    size = 0
    for path in folder.glob("*"):
        with suppress(FileNotFoundError):  # others work here meanwhile
            size += path.stat().st_size
    return size


# Snapshots and objects here ---------------------------------------------------------------------------------


def _put_away(folder: Path, oldest: float, done: Archived) -> bool:
    """Take its links from a snapshot; False where it was used meanwhile. Its manifest stays."""
    manifest, mark = folder / "manifest.json", folder / store.ARCHIVED
    if manifest.stat().st_mtime >= oldest:
        return False
    if mark.exists() and not (folder / "objects").exists():
        return True
    with store.nothing_is_taken_up():
        new = not mark.exists()
        objects.write_whole(mark, b"")
        # After the mark: whoever uses it now either touched it before this look, or sees the mark.
        if manifest.stat().st_mtime >= oldest or Snapshot.objects.filter(pk=folder.name, is_current=True).exists():
            if new:
                mark.unlink()
            return False
        shutil.rmtree(folder / "objects", ignore_errors=True)
    done.snapshots += new
    return True


def _archive_object(digest: str, bucket: object_storage.Bucket | None, done: Archived) -> None:
    path = objects.object_path(settings.STORE_DIR, digest, objects.ARROW)
    try:
        before = path.stat()
    except FileNotFoundError:
        return  # archived before, or minutes, which are Parquet
    if not _is_idle(before):
        return
    if bucket is not None:
        if not any(bucket.changed(name) for name in (archive.place(digest), f"objects/{path.name}")):
            return
        after = 0  # this machine is a cache of what lies there
    else:
        packed = _packed(digest, path)
        if packed is None:
            return
        after = packed
    with store.nothing_is_taken_up():
        if not _is_idle(path.stat()):
            return
        path.unlink()
    done.objects += 1
    done.bytes_before += before.st_size
    done.bytes_after += after


def _is_idle(found: os.stat_result) -> bool:
    """Whether no snapshot holds a link to it, and nobody has put it there or taken it out lately."""
    return found.st_nlink == 1 and found.st_mtime < time.time() - store.GRACE_SECONDS


def _packed(digest: str, path: Path) -> int | None:
    """The bytes that it takes in the archive, where it lies then for certain; None where it stays as it is."""
    target = settings.STORE_DIR / archive.place(digest)
    with suppress(archive.Damaged):
        if archive.read_local(settings.STORE_DIR, digest) is not None:
            return target.stat().st_size
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest or (packed := archive.pack(content)) is None:
        return None
    _write_for_certain(target, packed)
    archive.read_local(settings.STORE_DIR, digest)
    return len(packed)


def _write_for_certain(path: Path, content: bytes) -> None:
    """Also when the power goes off the moment after."""
    objects.write_whole(path, content, 0o600)
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# Object storage ---------------------------------------------------------------------------------------------


def _archive_there(bucket: object_storage.Bucket, kept: set[str], oldest: float, done: Archived) -> None:
    """The same in object storage, which holds the snapshots of all machines."""
    hot, cold = set(DatasetVersion.objects.values_list("object_sha256", flat=True)), set()
    for name, put_there in bucket.names("snapshots").items():
        snapshot = name.split("/")[1]
        named = objects.named_objects(store.manifest_there(bucket, snapshot))
        if snapshot in kept or put_there.timestamp() >= oldest:
            hot |= named
        else:
            cold |= named
    there, packed = bucket.names("objects"), bucket.names(archive.FOLDER)
    lately = time.time() - store.GRACE_SECONDS
    for digest in sorted(cold - hot):
        name = f"objects/{digest}{objects.ARROW}"
        if name not in there or there[name].timestamp() >= lately:
            continue
        place = archive.place(digest)
        if place not in packed:
            content = bucket.get(name)
            if hashlib.sha256(content).hexdigest() != digest or (made := archive.pack(content)) is None:
                continue
            bucket.put(place, made)
        try:
            archive.unpack(bucket.get(place), digest)
        except archive.Damaged:
            bucket.delete(place)
            continue
        bucket.delete(name)
        done.there += 1


# Uploaded files ---------------------------------------------------------------------------------------------


def _compress_original(path: Path, done: Archived) -> None:
    """As it was sent, in zstd; one that it makes no smaller stays as it is."""
    if path.suffix or path.stat().st_mtime >= time.time() - ORIGINAL_SECONDS:
        return
    content = path.read_bytes()
    packed = archive.compress(content)
    if len(packed) >= len(content) or hashlib.sha256(content).hexdigest() != path.name:
        return
    target = path.with_suffix(archive.COMPRESSED)
    _write_for_certain(target, packed)
    if archive.open_compressed(target).read() != content:
        target.unlink()
        return
    path.unlink()
    done.originals += 1
    done.bytes_before += len(content)
    done.bytes_after += len(packed)
