"""Which series does a snapshot hold? In their order, by the bytes of their bars, or by their ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marketdata.store import read_manifest

__all__ = ["by_id", "by_object", "entries"]


def entries(store: Path, snapshot: str | None, with_objects: bool = False) -> list[dict[str, Any]]:
    """What its manifest says of each; none of no snapshot. Raises SnapshotMissing.

    with_objects: the bars will be read, too.
    """
    return read_manifest(store, snapshot, with_objects=with_objects)["series"] if snapshot else []


def by_object(store: Path, snapshot: str | None, with_objects: bool = False) -> dict[str, dict[str, Any]]:
    """Its entries by the SHA-256 of their bars."""
    return {entry["object"]: entry for entry in entries(store, snapshot, with_objects)}


def by_id(store: Path, snapshot: str | None) -> dict[str, dict[str, Any]]:
    """Its entries by the ids of their series."""
    return {entry["id"]: entry for entry in entries(store, snapshot)}
