"""What does the store hold that nothing needs any more? Read collect_garbage()."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from qfp import objects

from marketdata import archive, object_storage, store
from marketdata.models import DatasetVersion, Snapshot
from sandbox.protocol import TABLES


@dataclass(frozen=True)
class Collected:
    """What was removed because nothing needs it."""

    snapshots: int
    objects: int
    bytes: int


def collect_garbage(
    pinned: Callable[[], set[str]], *, keep_last: int = store.KEPT_SNAPSHOTS, grace_seconds: float = store.GRACE_SECONDS
) -> Collected:
    """Remove snapshots that nothing is pinned to, and objects that no snapshot and no dataset names.

    pinned: asked for the ids that runs, sessions and backtests hold. Current snapshots, the catalogue's last so many,
      and whatever is younger than grace_seconds stay.
    """
    here: Path = settings.STORE_DIR
    # In this order: a run that is pinned while we look is pinned to one that was current before.
    keep = set(Snapshot.objects.filter(is_current=True).values_list("pk", flat=True))
    keep |= set(Snapshot.objects.filter(owner=None).order_by("-created").values_list("pk", flat=True)[:keep_last])
    keep |= pinned()
    oldest = time.time() - grace_seconds
    removed = 0
    for folder in (here / "snapshots").glob("*"):
        if folder.name not in keep and folder.stat().st_mtime < oldest:
            Snapshot.objects.filter(pk=folder.name).delete()
            (folder / "manifest.json").unlink(missing_ok=True)  # first: without it nobody takes the rest for whole
            shutil.rmtree(folder)
            removed += 1
    for folder in [*(here / TABLES).glob("*"), *(here / store.LENT).glob("*/")]:  # of a repeat whose worker died
        with suppress(FileNotFoundError):  # one that ends takes its own away
            if not (here / "snapshots" / folder.name).exists() and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder)
    datasets = set(DatasetVersion.objects.values_list("object_sha256", flat=True))
    needed = set(datasets)
    for folder in (here / "snapshots").glob("*"):
        if (folder / "manifest.json").is_file():
            needed |= objects.named_objects(store.read_manifest(here, folder.name))
    held = [path for path in (here / "objects").glob("*") if path.suffix in objects.FORMS]
    freed = size = 0
    for path in [*held, *(here / archive.FOLDER).glob("*.parquet")]:
        if path.stem in needed:
            continue
        with suppress(FileNotFoundError):  # it went into the archive meanwhile
            found = path.stat()
            if found.st_mtime < oldest:
                path.unlink()
                freed, size = freed + 1, size + found.st_size
    if bucket := object_storage.bucket():
        _collect_there(bucket, keep, datasets, oldest)
    return Collected(removed, freed, size)


def _collect_there(bucket: object_storage.Bucket, keep: set[str], needed: set[str], oldest: float) -> None:
    """The same in object storage, where machines find what they lack."""
    for name, put_there in bucket.names("snapshots").items():
        snapshot = name.split("/")[1]
        if snapshot in keep or put_there.timestamp() >= oldest:
            needed = needed | objects.named_objects(store.manifest_there(bucket, snapshot))
        else:
            Snapshot.objects.filter(pk=snapshot).delete()
            bucket.delete(name)
    for name, put_there in (bucket.names("objects") | bucket.names(archive.FOLDER)).items():
        if Path(name).stem not in needed and put_there.timestamp() < oldest:
            bucket.delete(name)
