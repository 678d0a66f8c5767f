"""Where do bars lie, and which snapshot do new runs read? The folder of Arrow objects, and the rows that name
them.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from django.db import transaction

from marketdata.models import Instrument, Series, Snapshot

SNAPSHOT_ID = re.compile(r"[0-9a-f]{64}")


class SnapshotMissing(Exception):
    """The store does not hold this snapshot, or its manifest is not the one its id names."""


def current_snapshot_id() -> str | None:
    """The snapshot that new runs are pinned to; None before the starter data has been loaded."""
    return Snapshot.objects.filter(is_current=True, owner=None).values_list("pk", flat=True).first()


def snapshot_folder(store: Path, snapshot: str) -> Path:
    """The folder of a snapshot. Ids that are not hashes are refused: they would be paths of somebody's
    choosing.
    """
    if not SNAPSHOT_ID.fullmatch(snapshot):
        raise SnapshotMissing(f"{snapshot[:80]!r} is not a snapshot id.")
    return store / "snapshots" / snapshot


def read_manifest(store: Path, snapshot: str) -> dict[str, Any]:
    """The manifest of a snapshot, checked against its id. Raises SnapshotMissing."""
    try:
        content = (snapshot_folder(store, snapshot) / "manifest.json").read_bytes()
    except OSError:
        raise SnapshotMissing(f"The store holds no snapshot {snapshot[:12]}.") from None
    if hashlib.sha256(content).hexdigest() != snapshot:
        raise SnapshotMissing(f"The manifest of snapshot {snapshot[:12]} has been changed.")
    return json.loads(content)


@transaction.atomic
def record_snapshot(store: Path, snapshot: str, *, make_current: bool = True) -> Snapshot:
    """Write rows for a snapshot that lies in the store. Doing it twice changes nothing."""
    manifest = read_manifest(store, snapshot)
    row, _ = Snapshot.objects.get_or_create(pk=snapshot, defaults={"created_for": manifest["created_for"]})
    for entry in manifest["series"]:
        instrument, _ = Instrument.objects.update_or_create(
            symbol=entry["symbol"],
            defaults={key: entry[key] for key in ("name", "kind", "exchange", "aliases")},
        )
        Series.objects.update_or_create(
            snapshot=row,
            series_id=entry["id"],
            defaults={
                "instrument": instrument,
                "object_sha256": entry["object"],
                "actions_sha256": entry["actions"] or "",
                **{
                    key: entry[key]
                    for key in (
                        "interval",
                        "unit",
                        "columns",
                        "rows",
                        "first",
                        "last",
                        "adjustment",
                        "licence",
                    )
                },
                **{key: entry[key] for key in ("source", "quality", "survivorship", "notice")},
            },
        )
    if make_current and not row.is_current:
        Snapshot.objects.filter(is_current=True, owner=None).update(is_current=False)
        row.is_current = True
        row.save(update_fields=["is_current"])
    return row
