"""Which cells does a file have, and how are they started? A cell runs when the one before it has ended well.

Cells of a session are runs that wait for each other: only the first of those that wait is in a queue.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import redis
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from qfp.cells import FileCell, split
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus

from marketdata.store import current_snapshot_id
from runner import hosts, packages, quotas
from runner.access import Viewer
from runner.ending import end_without_box
from runner.events import Publisher
from runner.models import Project, Run, Session
from runner.starting import JOB_SECONDS, BadInput, owner_key, queue

logger = logging.getLogger(__name__)

MAX_CELLS = 200
JOB = "cell-"  # how the ids of their jobs begin


def chosen(source: str, what: str, line: int) -> list[FileCell]:
    """ "all" cells, the "cell" at a line, or those "above" it. Cells without code are left out."""
    cells = split(source)
    here = max((cell for cell in cells if cell.first <= line), key=lambda cell: cell.index, default=cells[0])
    if what == "cell":
        picked = [here]
    elif what == "above":
        picked = cells[: here.index]
    elif what == "all":
        picked = cells
    else:
        raise BadInput("What is to be run: a cell, the cells above it, or all?")
    picked = [cell for cell in picked if cell.source.strip()]
    if not picked:
        raise BadInput("There is no code above this cell." if what == "above" else "This cell holds no code.")
    if len(picked) > MAX_CELLS:
        raise BadInput(f"More than {MAX_CELLS} cells cannot be run at once.")
    return picked


# Starting


def start_cells(
    project: Project,
    viewer: Viewer,
    *,
    files: dict[str, str],
    cells: list[FileCell],
    params: dict[str, Any] | None = None,
    address_hash: str = "",
) -> list[Run]:
    """Queue these cells in the project's session, which begins with the first of them if there is none.

    Raises quotas.QuotaExceeded, and BadInput for packages that are refused or when the session's machine does not
    answer.
    """
    try:
        packages.check(files)
    except packages.PackageRefused as refusal:
        raise BadInput(refusal.reason) from None
    plan = quotas.plan_of(viewer)
    live = Session.objects.alive().filter(project=project).first()
    if live is not None and live.host and not _answers(live.host):
        raise BadInput(
            f"The machine that holds this session ({live.host}) does not answer. Try again in a moment, or restart "
            "the session."
        )
    with transaction.atomic():
        quotas.hold(viewer, address_hash)
        project.hold()
        session = Session.objects.alive().filter(project=project).first()
        quotas.check_run(viewer, plan, address_hash, session, len(cells))
        if session is None:
            quotas.check_session(viewer, plan, address_hash)
            session = new_session(project, viewer)
        revision = project.make_revision(files, author=viewer.user)
        now = timezone.now()
        Project.objects.filter(pk=project.pk).update(updated=now)
        runs = Run.objects.bulk_create(
            Run(
                revision=revision,
                user=viewer.user,
                owner_key=session.owner_key,
                params=params or {},
                limits=session.limits,
                address_hash="" if viewer.user is not None else address_hash,
                snapshot=session.snapshot,
                session=session,
                cell_index=cell.index,
                cell_title=cell.title,
                cell_line=cell.line,
                cell_source=cell.source,
                queued=now + timedelta(microseconds=place),  # in this order
            )
            for place, cell in enumerate(cells)
        )
        transaction.on_commit(lambda: advance(session))
    return runs


def new_session(project: Project, viewer: Viewer) -> Session:
    plan = quotas.plan_of(viewer)
    last = project.sessions.aggregate(Max("number"))["number__max"] or 0
    return Session.objects.create(
        project=project,
        user=viewer.user,
        number=last + 1,
        owner_key=owner_key(project, viewer.user),
        limits=asdict(quotas.limits_of(plan)),
        snapshot=current_snapshot_id(viewer.user) or "",
        idle_seconds=plan.session_idle_minutes * 60,
    )


def _answers(host: str) -> bool:
    try:
        return hosts.is_listening(host)
    except redis.RedisError:
        return True  # nobody can be asked; the cell waits in the record, as runs do


# One after the other


def next_cell(session: Session) -> Run | None:
    """The first cell that waits, when none is running."""
    if Run.objects.filter(session=session, status=Run.Status.RUNNING).exists():
        return None
    waiting = Run.objects.filter(session=session, status=Run.Status.QUEUED).order_by("queued")
    return waiting.select_related("session").first()


def advance(session: Session) -> None:
    """Put the next cell into its queue; after one that did not end well, none of those that waited for it."""
    head = next_cell(session)
    if head is None:
        return
    before = Run.objects.filter(session=session, finished__gte=head.queued).order_by("-finished").first()
    if before is not None and before.status != Run.Status.SUCCEEDED:
        where = f"“{before.cell_title}”" if before.cell_title else f"cell {(before.cell_index or 0) + 1}"
        end_waiting(session, f"Not run, because {where} before it did not end well.")
    else:
        send(head)


def job_id(run: Run) -> str:
    return f"{JOB}{run.pk}"


def send(run: Run) -> None:
    """Any host may take a session's first cell, and thereby the session; the others go where it is."""
    try:
        Publisher(run.pk).publish({"type": "phase", "phase": "queued", "t": 0.0}, only_first=True)
        here = hosts.queue_of(run.session.host) if run.session and run.session.host else queue()
        here.enqueue(
            "runner.jobs.execute_cell",
            str(run.pk),
            job_id=job_id(run),
            job_timeout=JOB_SECONDS,
            result_ttl=60,
            failure_ttl=24 * 3600,
        )
    except redis.RedisError as error:
        logger.warning("run %s: not queued yet (%s)", run.pk, type(error).__name__)


def is_sent(run: Run) -> bool:
    """Whether a job for it is in a queue, or with a worker."""
    try:
        job = Job.fetch(job_id(run), connection=queue().connection, serializer=queue().serializer)
        status = job.get_status()
    except (NoSuchJobError, InvalidJobOperation):
        return False
    return status in (JobStatus.QUEUED, JobStatus.STARTED, JobStatus.DEFERRED, JobStatus.SCHEDULED)


def end_waiting(session: Session, message: str) -> None:
    """Cells that wait will not run."""
    for run in Run.objects.filter(session=session, status=Run.Status.QUEUED):
        end_without_box(run, Run.Status.CANCELLED, message)
