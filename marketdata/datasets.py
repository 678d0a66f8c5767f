"""What happens to somebody's datasets: versions, the snapshot that code reads them from, sharing, deleting and back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone
from qfp import objects
from qfp.figures import signed

from marketdata import archive, store
from marketdata.models import Dataset, DatasetVersion, Series

# Where everybody's code finds their own. An account of this name would share datasets under the names of others' own.
OWN = "mine"
LICENCES = {True: "its owner's, who shares it", False: "for its owner alone"}
DAYS_TO_COME_BACK = 30


class Refusal(Exception):
    """It is not done; the text says why and what helps."""


# Quota ------------------------------------------------------------------------------------------------------


def usage_of(user: Any) -> dict[str, int]:
    """What the account uses of its plan. Deleted datasets count until they are gone for good."""
    held = DatasetVersion.objects.filter(dataset__owner=user)
    return {
        "bytes": held.aggregate(sum=Sum("object_bytes"))["sum"] or 0,
        "most_bytes": user.plan.dataset_mb * 1_000_000,
        "datasets": Dataset.objects.filter(owner=user).count(),
        "most_datasets": user.plan.max_datasets,
        "most_versions": user.plan.dataset_versions,
    }


def check_quota(user: Any, name: str, more_bytes: int = 0) -> None:
    """Raise Refusal when another version of this dataset, or that much more, is beyond the plan."""
    usage, plan = usage_of(user), user.plan
    if not plan.max_datasets or not plan.dataset_mb:
        raise Refusal(f"Your plan ({plan.name}) has no uploads.")
    dataset = Dataset.objects.filter(owner=user, name=name).first()
    if dataset is None and usage["datasets"] >= plan.max_datasets:
        raise Refusal(
            f"You have {usage['datasets']} datasets, the limit of your plan ({plan.name}). Delete one for good, or "
            "send this file as a new version of one you have."
        )
    if dataset is not None and dataset.deleted:
        raise Refusal(f"mine/{name} is deleted. Bring it back first, or choose another name.")
    if dataset is not None and dataset.versions.count() >= plan.dataset_versions:
        raise Refusal(
            f"mine/{name} has {plan.dataset_versions} versions, the limit of your plan ({plan.name}). Delete an old "
            "one first."
        )
    if usage["bytes"] + more_bytes > usage["most_bytes"]:
        raise Refusal(
            f"Your datasets take {signed(usage['bytes'] / 1e6, 1)} MB"
            + (f" and this one would take {signed(more_bytes / 1e6, 1)} MB" if more_bytes else "")
            + f"; the limit of your plan ({plan.name}) is {signed(plan.dataset_mb, 0)} MB. Delete versions you do not "
            "need."
        )


# Versions ---------------------------------------------------------------------------------------------------


@transaction.atomic
def add_version(user: Any, name: str, **values: Any) -> DatasetVersion:
    """The next version of mine/<name>, which code reads from now on. The object is in the store. Raises Refusal."""
    lock(user)
    check_quota(user, name, values["object_bytes"])
    dataset, _ = Dataset.objects.get_or_create(owner=user, name=name)
    dataset.last_number = next_number(dataset)
    version = DatasetVersion.objects.create(dataset=dataset, number=dataset.last_number, **values)
    dataset.save(update_fields=["last_number", "changed"])
    _offer(dataset)
    return version


def next_number(dataset: Dataset) -> int:
    newest = dataset.versions.first()
    return max(dataset.last_number, newest.number if newest else 0) + 1


def lock(user: Any) -> None:
    """One after the other for the same account, until the transaction ends."""
    get_user_model().objects.select_for_update(no_key=True).get(pk=user.pk)


def _lock_and_reload(dataset: Dataset) -> None:
    """As it is once nobody else changes it. Raises Dataset.DoesNotExist when it has gone meanwhile."""
    lock(dataset.owner)
    dataset.refresh_from_db()


def entry_of(version: DatasetVersion, place: str, newest: bool) -> dict[str, Any]:
    """The version as a snapshot's manifest names it. place: "mine" for its owner, else the owner's username."""
    dataset = version.dataset
    name = f"{place}/{dataset.name}"
    return {
        "id": f"{name}@{version.number}",
        "symbol": f"{name}@{version.number}",
        "aliases": [name] if newest else [],
        "name": dataset.title or dataset.name,
        "kind": "dataset",
        "interval": version.interval or "irregular",
        "zone": version.zone,
        "exchange": "",
        "unit": "",
        "adjustment": "as uploaded",
        "licence": LICENCES[dataset.may_be_shared],
        "rights": Series.Rights.OWN.value if dataset.may_be_shared else Series.Rights.PERSONAL.value,
        "tier": "",
        "provider": "",
        "currency": "",
        "source": dataset.source or f"uploaded as {version.filename}",
        "quality": quality_of(version),
        "survivorship": "unknown",
        "notice": "" if place == OWN else f"Shared by {place}; nobody else has checked it.",
        "columns": version.columns,
        "rows": version.rows,
        "first": version.first.date().isoformat() if version.first else "",
        "last": version.last.date().isoformat() if version.last else "",
        "object": version.object_sha256,
        "actions": None,
    }


def quality_of(version: DatasetVersion) -> str:
    """The remarks that were made when it was read, in one text."""
    return " ".join(
        f"{remark['text']}" + (f" ({remark['count']} rows)" if remark["count"] else "") for remark in version.remarks
    )[:600]


def _offer(dataset: Dataset) -> None:
    """Code reads this dataset as it is now: its owner's, and that of everybody who chose it while it is shared."""
    versions = list(dataset.versions.all())
    shared = is_shared(dataset)
    # Each holds a lock until the end, so always in the same order: two who use each other's would wait for ever.
    for user in sorted([dataset.owner, *_users_of(dataset)], key=lambda user: user.pk):
        if user == dataset.owner:
            _put(user, dataset, OWN, versions if not dataset.deleted else [])
        else:
            _put(user, dataset, dataset.owner.username, versions if shared else [])


def _put(user: Any, dataset: Dataset, place: str, versions: list[DatasetVersion]) -> None:
    entries = [entry_of(version, place, newest=place_in_list == 0) for place_in_list, version in enumerate(versions)]
    wanted = {entry["id"] for entry in entries}
    gone = [each for each in _series_ids(user, f"{place}/{dataset.name}") if each not in wanted]
    if gone:
        store.remove_series(gone, user=user)
    if entries:
        store.add_series(entries, user=user, created_for="dataset")


def _series_ids(user: Any, name: str) -> list[str]:
    current = Series.objects.filter(snapshot__owner=user, snapshot__is_current=True)
    return list(current.filter(series_id__startswith=f"{name}@").values_list("series_id", flat=True))


@transaction.atomic
def delete_version(version: DatasetVersion) -> None:
    """For good, which makes room; runs that read it keep their bytes. Raises Refusal for the only one."""
    dataset = version.dataset
    lock(dataset.owner)
    if dataset.versions.count() == 1:
        raise Refusal("It is the only version. Delete the dataset instead.")
    version.delete()
    _offer(dataset)


# Deleting and back ------------------------------------------------------------------------------------------


@transaction.atomic
def delete(dataset: Dataset) -> None:
    """Code does not find it any more; it can be brought back for some days."""
    _lock_and_reload(dataset)
    dataset.deleted = timezone.now()
    dataset.save(update_fields=["deleted", "changed"])
    _offer(dataset)


@transaction.atomic
def bring_back(dataset: Dataset) -> None:
    _lock_and_reload(dataset)
    dataset.deleted = None
    dataset.save(update_fields=["deleted", "changed"])
    _offer(dataset)


@transaction.atomic
def delete_for_good(dataset: Dataset) -> None:
    _lock_and_reload(dataset)
    dataset.deleted = dataset.deleted or timezone.now()
    _offer(dataset)
    dataset.delete()


def forget_deleted() -> int:
    """Those whose days to come back are over."""
    late = Dataset.objects.filter(deleted__lt=timezone.now() - timedelta(days=DAYS_TO_COME_BACK))
    found = list(late.select_related("owner"))
    for dataset in found:
        delete_for_good(dataset)
    return len(found)


# Sharing ----------------------------------------------------------------------------------------------------


def is_shared(dataset: Dataset) -> bool:
    return dataset.visibility == Dataset.Visibility.PUBLIC and dataset.may_be_shared and not dataset.deleted


def shared_datasets() -> QuerySet[Dataset]:
    return Dataset.objects.filter(
        visibility=Dataset.Visibility.PUBLIC, may_be_shared=True, deleted=None, versions__isnull=False
    ).distinct()


@transaction.atomic
def describe(dataset: Dataset, *, title: str, source: str, may_be_shared: bool, shared: bool) -> None:
    """What its owner says of it. Raises Refusal when it is to be shared without being theirs to give."""
    _lock_and_reload(dataset)
    if shared and not may_be_shared:
        raise Refusal(
            "Only what is yours to give can be shared: made by you, or under a licence that allows it. What a vendor "
            "sold or lent to you is not."
        )
    dataset.title, dataset.source, dataset.may_be_shared = title, source, may_be_shared
    dataset.visibility = Dataset.Visibility.PUBLIC if shared else Dataset.Visibility.PRIVATE
    dataset.save(update_fields=["title", "source", "may_be_shared", "visibility", "changed"])
    _offer(dataset)


def is_used_by(user: Any, dataset: Dataset) -> bool:
    return bool(_series_ids(user, f"{dataset.owner.username}/{dataset.name}"))


@transaction.atomic
def use(user: Any, dataset: Dataset) -> None:
    """Code of this person finds another's shared dataset as "<owner>/<name>". Raises Refusal."""
    if not is_shared(dataset) or dataset.owner.username == OWN:
        raise Refusal("It is not shared any more.")
    _put(user, dataset, dataset.owner.username, list(dataset.versions.all()))


@transaction.atomic
def leave(user: Any, dataset: Dataset) -> None:
    if dataset.owner.username == OWN:
        return
    _put(user, dataset, dataset.owner.username, [])


def _users_of(dataset: Dataset) -> Iterable[Any]:
    """Everybody else whose snapshot holds it."""
    if dataset.owner.username == OWN:
        return []
    name = f"{dataset.owner.username}/{dataset.name}@"
    found = Series.objects.filter(
        series_id__startswith=name, snapshot__is_current=True, snapshot__owner__isnull=False
    ).exclude(snapshot__owner=dataset.owner)
    users = get_user_model().objects.filter(pk__in=found.values("snapshot__owner"))
    return list(users)


def object_of(version: DatasetVersion) -> Path | None:
    """The path of the table itself, brought from object storage if need be; None when it is not in the store."""
    path = objects.object_path(settings.STORE_DIR, version.object_sha256)
    snapshot = store.current_snapshot_id(version.dataset.owner)
    if not path.is_file() and snapshot is not None:
        store.make_local(snapshot)
    return path if path.is_file() else None


def original_of(version: DatasetVersion) -> Path | None:
    """Where the file that was sent lies, which may be compressed by now; None when its days are over."""
    if not version.original_until or version.original_until <= timezone.now():
        return None
    path = settings.UPLOADS_DIR / "originals" / version.original_sha256
    return next((each for each in (path, path.with_suffix(archive.COMPRESSED)) if each.is_file()), None)


def open_original(version: DatasetVersion) -> BinaryIO | None:
    """Its bytes as they were sent; None when its days are over."""
    path = original_of(version)
    if path is None:
        return None
    return archive.open_compressed(path) if path.suffix == archive.COMPRESSED else path.open("rb")


def forget_unshared() -> int:
    """Take from everybody's snapshots what its owner, or an account that is gone, does not share any more."""
    # By content, not by name: an account may have another name by now, and its readers keep what they chose.
    shared = set(DatasetVersion.objects.filter(dataset__in=shared_datasets()).values_list("object_sha256", flat=True))
    theirs = Series.objects.filter(
        instrument__kind="dataset", snapshot__is_current=True, snapshot__owner__isnull=False
    ).exclude(series_id__startswith=f"{OWN}/")
    gone = [
        (row.snapshot.owner, row.series_id)
        for row in theirs.select_related("snapshot__owner")
        if row.object_sha256 not in shared
    ]
    for user, series in gone:
        store.remove_series([series], user=user)
    return len(gone)
