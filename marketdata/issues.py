"""Which findings are known of a series, and which has somebody looked at? Findings of marketdata.quality as rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from qfp import objects

from marketdata import quality, store
from marketdata.models import QualityIssue, Snapshot
from marketdata.quality import Finding, Kind

State = QualityIssue.State


def issues_of(series_id: str, object_sha256: str = "", user: Any = None) -> QuerySet[QualityIssue]:
    """What the page of a series tells, the latest first: what is odd about this object, which rows are held back, and
    how its provider has changed its history. Without what was dismissed.

    object_sha256: the one that the reader's snapshot names. user: the reader, None for a guest.
    """
    whose = Q(owner=None) if user is None or not user.pk else Q(owner=None) | Q(owner=user)
    shown = Q(state=State.QUARANTINED) | Q(kind=Kind.RESTATEMENT)
    if object_sha256:
        shown |= Q(object_sha256=object_sha256)
    return QualityIssue.objects.filter(whose, shown, series_id=series_id).exclude(state=State.DISMISSED)


def sentences(found: Iterable[Finding]) -> str:
    """Findings as the words on quality that stand in a manifest."""
    return " ".join(finding.message for finding in found)


def dismissed(series_id: str, owner: Any) -> set[tuple[str, Any]]:
    """(kind, first day) of what somebody has looked at and found right as it is."""
    rows = QualityIssue.objects.filter(owner=owner, series_id=series_id, state=State.DISMISSED)
    return set(rows.values_list("kind", "first"))


@transaction.atomic
def record(
    series_id: str, object_sha256: str, found: Iterable[Finding], *, owner: Any = None, held_back: bool = False
) -> int:
    """Keep what a check of the whole object has found, each once; how many are new.

    What was found before and is there no more goes, and what was dismissed stays so. held_back: the object is one
    that did not take the place of the series; findings of the one in place and of the one held back leave each other
    alone.
    """
    known = {
        (issue.kind, issue.first): issue
        for issue in QualityIssue.objects.select_for_update().filter(owner=owner, series_id=series_id)
        if issue.kind != Kind.RESTATEMENT
    }
    new, still = 0, set()
    for finding in found:
        key = (str(finding.kind), finding.first)
        issue = known.get(key) or QualityIssue(
            owner=owner, series_id=series_id, kind=finding.kind, first=finding.first, state=State.OPEN
        )
        new += issue.pk is None
        if issue.state != State.DISMISSED:
            issue.state = State.QUARANTINED if held_back else State.OPEN
        issue.object_sha256, issue.last, issue.message = object_sha256, finding.last, finding.message
        issue.save()
        still.add(key)
    for key, issue in known.items():
        outdated = State.QUARANTINED if held_back else State.OPEN
        if key not in still and issue.state == outdated:
            issue.delete()
    return new


def nothing_is_held_back(series_id: str, *, owner: Any = None) -> None:
    """Newer rows have taken their place: those that were held back before are history."""
    QualityIssue.objects.filter(owner=owner, series_id=series_id, state=State.QUARANTINED).delete()


def record_restatement(series_id: str, object_sha256: str, days: list[Any], message: str, *, owner: Any = None) -> None:
    """The provider's history has changed; this object is the series as it is now."""
    QualityIssue.objects.get_or_create(
        owner=owner,
        series_id=series_id,
        object_sha256=object_sha256,
        kind=Kind.RESTATEMENT,
        first=days[0],
        defaults={"last": days[-1], "message": message},
    )


def check_snapshot(user: Any = None) -> dict[str, list[Finding]]:
    """Look at every series of the catalogue, or at those that are a person's own, and keep what was found.

    Returns the findings by series, for those that have any.
    """
    current = Snapshot.objects.filter(owner=user, is_current=True).first()
    if current is None:
        return {}
    manifest = store.read_manifest(settings.STORE_DIR, current.pk)
    folder = store.snapshot_folder(settings.STORE_DIR, current.pk)
    own = set(manifest.get("own", []))
    noted = set(QualityIssue.objects.filter(owner=user).values_list("series_id", flat=True))
    told: dict[str, list[Finding]] = {}
    for entry in manifest["series"]:
        if user is not None and (entry["id"] not in own or entry["kind"] == "dataset"):
            continue
        if found := check_entry(entry, folder):
            told[entry["id"]] = found
        if found or entry["id"] in noted:
            record(entry["id"], entry["object"], found, owner=user)
    return told


def check_entry(entry: Mapping[str, Any], folder: Any) -> list[Finding]:
    return quality.check_entry(entry, lambda name: objects.read(folder, name))
