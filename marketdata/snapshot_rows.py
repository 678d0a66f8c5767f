"""What does the database know of a snapshot? Rows of what the current ones hold, for lists and searches."""

from __future__ import annotations

from typing import Any

from qfp import objects

from marketdata.models import Instrument, Series, Snapshot, Universe


def write(snapshot: str, manifest: dict[str, Any], owner: Any) -> Snapshot:
    """The row of a snapshot, which becomes its owner's current one, and rows of its series. Inside a transaction.

    Rows of series are kept for current snapshots; what an older one holds is in its manifest. Those of somebody's own
    snapshot are what it has beside the catalogue's. manifest: with whole entries.
    """
    row, _ = Snapshot.objects.get_or_create(
        pk=snapshot,
        defaults={
            "created_for": manifest["created_for"],
            "owner": owner,
            "base": Snapshot.objects.filter(pk=manifest.get("base")).first(),
        },
    )
    entries, universes = manifest["series"], manifest.get("universes", [])
    if owner is not None:
        entries = [entry for entry in entries if entry["id"] in manifest["own"]]
        universes = [universe for universe in universes if universe["name"] in manifest["own_universes"]]
    instruments = _instruments(entries, owner)
    Series.objects.filter(snapshot=row).delete()
    Series.objects.bulk_create(
        [_series_row(row, entry, instruments[entry["symbol"]]) for entry in entries], batch_size=500
    )
    Universe.objects.filter(snapshot=row).delete()
    Universe.objects.bulk_create([_universe_row(row, universe) for universe in universes])
    if not row.is_current:
        before = Snapshot.objects.filter(is_current=True, owner=owner)
        Series.objects.filter(snapshot__in=before).delete()
        Universe.objects.filter(snapshot__in=before).delete()
        before.update(is_current=False)
        row.is_current = True
        row.save(update_fields=["is_current"])
    return row


def _instruments(entries: list[dict[str, Any]], owner: Any) -> dict[str, Instrument]:
    """Rows by symbol, made or brought up to date. Where several series have one symbol, the first says what it is
    called: the one that wins when code asks for the symbol.
    """
    named: dict[str, dict[str, Any]] = {}
    for entry in sorted(entries, key=objects.rank, reverse=True):
        named.setdefault(entry["symbol"], entry)
    described = ("name", "kind", "exchange", "aliases")
    Instrument.objects.bulk_create(
        [
            Instrument(owner=owner, symbol=symbol, **{key: entry[key] for key in described})
            for symbol, entry in named.items()
        ],
        batch_size=500,
        update_conflicts=True,
        unique_fields=["owner", "symbol"],
        update_fields=described,
    )
    return {row.symbol: row for row in Instrument.objects.filter(owner=owner, symbol__in=list(named))}


def _series_row(snapshot: Snapshot, entry: dict[str, Any], instrument: Instrument) -> Series:
    same = ("interval", "unit", "columns", "rows", "adjustment", "licence", "rights", "tier", "provider")
    said = ("source", "quality", "survivorship", "notice")
    return Series(
        snapshot=snapshot,
        instrument=instrument,
        series_id=entry["id"],
        object_sha256=entry["object"],
        actions_sha256=entry["actions"] or "",
        first=entry["first"][:10],
        last=entry["last"][:10],
        **{key: entry[key] for key in (*same, *said)},
    )


def _universe_row(snapshot: Snapshot, universe: dict[str, Any]) -> Universe:
    members = universe["members"]
    return Universe(
        snapshot=snapshot,
        **{key: universe[key] for key in ("name", "title", "survivorship", "notice")},
        members=len(members),
        first=min((member["entered"] for member in members if member["entered"]), default=None),
        last=max((member["left"] for member in members if member["left"]), default=None),
    )
