"""How does a file come in? Piece by piece onto the disk, looked at in a box, confirmed by its owner, then a version.

receiving -> looking -> asking <-> looking ... -> reading -> done; refused from everywhere. The web process only ever
moves bytes; look() and keep() are called by a worker.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import django_rq
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from marketdata import datasets, store
from marketdata.boxed_reading import NotRead, TryLater, arrow_object, read_in_a_box
from marketdata.datasets import Refusal
from marketdata.models import Dataset, DatasetVersion, Upload
from marketdata.reading.limits import EXTENSIONS, MEGABYTE, MOST_BYTES, OFFERED

logger = logging.getLogger(__name__)

PIECE_BYTES = 1_000_000
MOST_UNFINISHED = 5
JOB_SECONDS = 120
# A worker that has not said anything for so long has died; one that lives does so every few seconds.
LOST_AFTER = timedelta(seconds=30)
MOST_ATTEMPTS = 10
RECEIVING_DAYS, ASKING_DAYS = 1, 7
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
ORIGINALS = "originals"
WORKING = (Upload.Status.LOOKING, Upload.Status.READING)
UNFINISHED = (Upload.Status.RECEIVING, Upload.Status.LOOKING, Upload.Status.ASKING, Upload.Status.READING)


class WrongPlace(Exception):
    """A piece does not go on where the last one ended; `received` says where that was."""

    def __init__(self, received: int) -> None:
        super().__init__(f"The next piece starts at byte {received}.")
        self.received = received


# Receiving --------------------------------------------------------------------------------------------------


def clean_filename(name: str) -> str:
    """What is shown of a file's name; on the disk it has another. "../../etc/x.csv" is x.csv."""
    base = re.split(r"[/\\]", name.replace("%2f", "/").replace("%2F", "/").replace("%5c", "/").replace("%5C", "/"))[-1]
    kept = "".join(letter for letter in base if unicodedata.category(letter)[0] != "C").strip(" .")
    stem, dot, extension = kept.rpartition(".")
    if len(kept) > 100 and dot:
        return stem[: 99 - len(extension[:20])] + "." + extension[:20]
    return kept[:100] or "file"


def name_from(filename: str) -> str:
    """A name for code, from the file's: "My Prices (1).csv" -> "my-prices-1"."""
    stem = clean_filename(filename).rpartition(".")[0] or clean_filename(filename)
    plain = unicodedata.normalize("NFKD", stem.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")[:60] or "dataset"


def begin(user: Any, *, name: str, filename: str, size: int, sha256: str = "") -> Upload:
    """An upload that waits for its pieces; the one there was when the same file is sent again. Raises Refusal.

    sha256: of the file; empty where a browser cannot tell. Then nobody knows that it is the same, and it begins anew.
    """
    shown, name = clean_filename(filename), name.strip().lower() or name_from(filename)
    name = name.removeprefix("mine/")
    _check(user, name, shown, size)
    with transaction.atomic():
        datasets.lock(user)
        unfinished = Upload.objects.filter(owner=user, status__in=UNFINISHED)
        same = unfinished.filter(
            status=Upload.Status.RECEIVING, dataset_name=name, filename=shown, size=size, sha256=sha256
        ).first()
        if same is not None and sha256:
            return same
        if same is not None:
            discard(same)
        if unfinished.count() >= MOST_UNFINISHED:
            raise Refusal(f"{MOST_UNFINISHED} uploads are unfinished. Finish or discard one of them first.")
        upload = Upload.objects.create(
            owner=user, dataset_name=name, filename=shown, size=size, sha256=sha256, kind=_kind_by_name(shown)
        )
    path = path_of(upload)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    return upload


def _check(user: Any, name: str, filename: str, size: int) -> None:
    if not NAME.fullmatch(name):
        raise Refusal(
            "A dataset's name has up to 60 small letters, digits, hyphens and underscores, and begins with a letter or "
            "digit, such as gold-prices."
        )
    if not _kind_by_name(filename):
        raise Refusal(f"{filename} is not of a kind that can be read. These are: {OFFERED}.")
    if not 0 < size <= MOST_BYTES:
        raise Refusal(
            f"The file has {size / MEGABYTE:,.1f} MB; {MOST_BYTES // MEGABYTE} MB is the limit. Parquet takes a "
            "fraction of the room of CSV; or split it."
            if size
            else "The file is empty."
        )
    datasets.check_quota(user, name)


def _kind_by_name(filename: str) -> str:
    return EXTENSIONS.get(filename.rpartition(".")[2].lower(), "")


def path_of(upload: Upload) -> Path:
    return settings.UPLOADS_DIR / "incoming" / str(upload.pk)


@transaction.atomic
def append(upload: Upload, offset: int, piece: bytes) -> Upload:
    """Write the piece that begins at this byte; with the last one the file is looked at. Raises WrongPlace, Refusal."""
    upload = Upload.objects.select_for_update().get(pk=upload.pk)
    if upload.status != Upload.Status.RECEIVING:
        raise WrongPlace(upload.received)
    if offset != upload.received or upload.received + len(piece) > upload.size:
        raise WrongPlace(upload.received)
    if not piece or len(piece) > PIECE_BYTES:
        raise Refusal(f"A piece has 1 to {PIECE_BYTES:,} bytes.")
    handle = os.open(path_of(upload), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        written = 0
        while written < len(piece):
            written += os.pwrite(handle, piece[written:], offset + written)
    finally:
        os.close(handle)
    upload.received += len(piece)
    upload.save(update_fields=["received", "changed"])
    if upload.received == upload.size:
        _all_is_here(upload)
    return upload


def _all_is_here(upload: Upload) -> None:
    path = path_of(upload)
    os.truncate(path, upload.size)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if upload.sha256 and upload.sha256 != digest:
        upload.sha256 = digest
        _refuse(upload, "What arrived is not the file that was chosen: it changed on the way. Send it again.")
        return
    upload.sha256 = digest
    newest = DatasetVersion.objects.filter(dataset__owner=upload.owner, dataset__name=upload.dataset_name).first()
    if newest is not None and newest.original_sha256 == digest:
        upload.version = newest
        _refuse(
            upload, f"Version {newest.number} of mine/{upload.dataset_name} is this very file: nothing is new in it."
        )
        return
    upload.status = Upload.Status.LOOKING
    upload.save(update_fields=["status", "sha256", "changed"])
    _send(upload)


def _refuse(upload: Upload, problem: str) -> None:
    upload.status, upload.problem = Upload.Status.REFUSED, problem
    upload.save(update_fields=["status", "problem", "sha256", "version", "changed"])
    path_of(upload).unlink(missing_ok=True)


def discard(upload: Upload) -> None:
    path_of(upload).unlink(missing_ok=True)
    upload.delete()


# Asking -----------------------------------------------------------------------------------------------------


def choose(upload: Upload, choices: dict[str, Any], *, confirm: bool) -> bool:
    """Look again under these choices, or make a version of it. False when the upload has gone on meanwhile."""
    status = Upload.Status.READING if confirm else Upload.Status.LOOKING
    with transaction.atomic():
        changed = Upload.objects.filter(pk=upload.pk, status=Upload.Status.ASKING).update(
            status=status, reading=choices, problem="", changed=timezone.now()
        )
        if changed:
            _send(upload)
    return bool(changed)


def _send(upload: Upload) -> None:
    """Wake a worker once the row is written."""
    key = str(upload.pk)
    transaction.on_commit(
        lambda: django_rq.get_queue("uploads").enqueue(
            "marketdata.uploads.process", key, job_timeout=JOB_SECONDS, result_ttl=60
        )
    )


# In a worker ------------------------------------------------------------------------------------------------


def process(upload_id: UUID | str) -> None:
    """What an upload waits for: to be looked at, or to become a version. Doing it twice changes nothing."""
    upload = Upload.objects.select_related("owner__plan").filter(pk=upload_id, status__in=WORKING).first()
    if upload is None:
        return
    keeping = upload.status == Upload.Status.READING

    def alive() -> None:
        Upload.objects.filter(pk=upload.pk, status=upload.status).update(changed=timezone.now())

    try:
        alive()
        reading = read_in_a_box(
            path_of(upload),
            upload.reading,
            owner=f"user-{upload.owner_id}",
            name=f"upload-{upload.pk}",
            columns=keeping,
            alive=alive,
        )
        alive()
        found = reading.found
        ready = not found["questions"] and not any(remark["level"] == "stop" for remark in found["remarks"])
        if keeping and ready:
            _keep(upload, found, arrow_object(reading))
            return
        _ask(upload, found)
    except FileNotFoundError:
        _settle(upload, "The file is not here any more. Send it again.")
    except (NotRead, Refusal) as refusal:
        _settle(upload, str(refusal))
    except TryLater as reason:
        logger.warning("upload %s: %s", upload.pk, reason)
        # The sweeper sends it again, at its next round.
        Upload.objects.filter(pk=upload.pk, status=upload.status).update(changed=timezone.now() - LOST_AFTER)


def _ask(upload: Upload, found: dict[str, Any]) -> None:
    Upload.objects.filter(pk=upload.pk, status=upload.status).update(
        status=Upload.Status.ASKING, found=found, kind=found["kind"], reading=found["choices"], changed=timezone.now()
    )


def _settle(upload: Upload, problem: str) -> None:
    """Refused; but a choice that led nowhere can be taken back."""
    if upload.found:
        Upload.objects.filter(pk=upload.pk, status=upload.status).update(
            status=Upload.Status.ASKING, problem=problem, changed=timezone.now()
        )
        return
    with transaction.atomic():
        if Upload.objects.select_for_update().filter(pk=upload.pk, status=upload.status).exists():
            _refuse(upload, problem)


def _keep(upload: Upload, found: dict[str, Any], content: bytes) -> None:
    digest = store.put_object(content)
    with transaction.atomic():
        current = Upload.objects.select_for_update().filter(pk=upload.pk, status=Upload.Status.READING).first()
        if current is None:
            return
        version = datasets.add_version(
            upload.owner,
            upload.dataset_name,
            filename=upload.filename,
            original_sha256=upload.sha256,
            original_bytes=upload.size,
            original_until=timezone.now() + timedelta(days=settings.UPLOAD_DAYS),
            object_sha256=digest,
            object_bytes=len(content),
            rows=found["rows"],
            columns=[column["name"] for column in found["columns"]],
            interval=found["interval"],
            zone=found["zone"],
            first=_moment(found["first"]),
            last=_moment(found["last"]),
            reading=found["choices"],
            remarks=found["remarks"],
        )
        current.status, current.version, current.found = Upload.Status.DONE, version, {}
        current.save(update_fields=["status", "version", "found", "changed"])
    original = settings.UPLOADS_DIR / ORIGINALS / upload.sha256
    original.parent.mkdir(parents=True, exist_ok=True)
    path_of(upload).replace(original)


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None


# House-keeping ----------------------------------------------------------------------------------------------


def sweep_uploads() -> int:
    """Send again what a worker lost, forget what nobody came back for, remove originals whose days are over."""
    now = timezone.now()
    send_lost_again()
    stale = Upload.objects.filter(status=Upload.Status.RECEIVING, changed__lt=now - timedelta(days=RECEIVING_DAYS))
    ended = Upload.objects.filter(status__in=(Upload.Status.ASKING, Upload.Status.REFUSED, Upload.Status.DONE))
    removed = 0
    for upload in [*stale, *ended.filter(changed__lt=now - timedelta(days=ASKING_DAYS))]:
        discard(upload)
        removed += 1
    datasets.forget_deleted()
    datasets.forget_unshared()
    kept = set(DatasetVersion.objects.filter(original_until__gt=now).values_list("original_sha256", flat=True))
    known = {str(pk) for pk in Upload.objects.values_list("pk", flat=True)}
    day_old = now.timestamp() - 24 * 3600
    for folder, names in ((ORIGINALS, kept), ("incoming", known)):
        for path in (settings.UPLOADS_DIR / folder).glob("*"):
            if path.stem not in names and path.stat().st_mtime < day_old:
                path.unlink(missing_ok=True)
    return removed


def send_lost_again() -> int:
    """Those that a worker had and does not work on any more; what still waits in the queue is not lost."""
    late = list(Upload.objects.filter(status__in=WORKING, changed__lt=timezone.now() - LOST_AFTER))
    waiting = {job.args[0] for job in django_rq.get_queue("uploads").jobs if job.args} if late else set()
    lost = [upload for upload in late if str(upload.pk) not in waiting]
    for upload in lost:
        _send_again(upload)
    return len(lost)


def _send_again(upload: Upload) -> None:
    """A worker was lost with it, or the engine was away; a file that takes every worker along is given up."""
    attempts = int(upload.reading.get("attempts", 1)) + 1
    if attempts > MOST_ATTEMPTS:
        _settle(upload, "Reading it failed again and again, which may be a fault of ours. Try again later.")
        return
    reading = {**upload.reading, "attempts": attempts}
    Upload.objects.filter(pk=upload.pk).update(changed=timezone.now(), reading=reading)
    _send(upload)


def next_number(user: Any, name: str) -> int:
    """Of the version that this upload would become."""
    dataset = Dataset.objects.filter(owner=user, name=name).first()
    return datasets.next_number(dataset) if dataset else 1


def names_of(user: Any) -> list[str]:
    return list(Dataset.objects.filter(owner=user, deleted=None).values_list("name", flat=True))
