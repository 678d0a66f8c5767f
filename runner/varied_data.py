"""How does a program get other data without knowing it? A snapshot of its own, in which series go on differently after
a day, and members of universes come and leave on others. It is made for one box and taken away afterwards.
"""

from __future__ import annotations

import hashlib
import shutil
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from qfp import objects
from qfp.checking.variations import other_columns, other_stays

from marketdata.store import read_manifest, snapshot_folder

__all__ = ["varied_snapshot"]

INVENTED_SHARES = "synth/us/"  # five hundred of them, varied only where a program can mean them


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
) -> Iterator[str]:
    """The id of a snapshot like this one with other rows after the moment. tail: 1 or -1, where prices go first.

    leave: ids of series that stay as they are and are not even opened, because a box could be watched for it meanwhile.
    """
    manifest = read_manifest(store, snapshot, with_objects=True)
    made: set[str] = set()
    series = []
    for entry in manifest["series"]:
        varied = None
        if entry["id"] not in leave and (all_shares or not entry["id"].startswith(INVENTED_SHARES)):
            varied = _varied(store, entry, moment, tail, zlib.crc32(f"{entry['id']} {seed}".encode()))
        if varied is None:
            series.append(entry)
            continue
        changed = dict(entry)
        for key, content in varied.items():
            digest = hashlib.sha256(content).hexdigest()
            if not objects.object_path(store, digest).exists():
                made.add(digest)
            changed[key] = objects.put(store, content)
        series.append(changed)
    universes = []
    for universe in manifest.get("universes", []):
        members = other_stays(
            universe["members"], str(moment)[:10], tail, zlib.crc32(f"{universe['name']} {seed}".encode())
        )
        kept = {key: value for key, value in universe.items() if key not in ("panel", "panel_dates")}
        universes.append({**kept, "members": members})
    varied_id = objects.write_snapshot(store, {**manifest, "series": series, "universes": universes})
    try:
        yield varied_id
    finally:
        if varied_id != snapshot:
            shutil.rmtree(snapshot_folder(store, varied_id), ignore_errors=True)
            for digest in made:
                objects.object_path(store, digest).unlink(missing_ok=True)


def _varied(store: Path, entry: dict[str, Any], moment: np.datetime64, tail: int, seed: int) -> dict[str, bytes] | None:
    """Its objects anew, by their key in the entry; None where nothing comes after the moment, or nothing has a date."""
    columns = objects.read(store, entry["object"])
    dates = columns.pop("date", None)
    if dates is None or not len(dates) or dates[-1] <= moment or any(v.dtype.kind != "f" for v in columns.values()):
        return None
    head = int(np.searchsorted(dates, moment, side="right"))
    later = other_columns(columns, head, tail, seed)
    found = {"object": objects.arrow_bytes(dates, later)}
    if entry.get("actions") and "close" in columns:
        found["actions"] = _actions(store, entry["actions"], dates, columns["close"], later["close"], moment)
    return found


def _actions(
    store: Path, digest: str, dates: np.ndarray, close: np.ndarray, later: np.ndarray, moment: np.datetime64
) -> bytes:
    """Dividends keep their share of the price they are paid from: adjusted prices before the moment stay the same."""
    acted = dict(objects.read(store, digest))
    when = acted.pop("date")
    before = np.searchsorted(dates, when) - 1
    scale = np.where((when > moment) & (before >= 0), later[before] / close[before], 1.0)
    acted["dividend"] = acted["dividend"] * scale
    return objects.arrow_bytes(when, acted)
