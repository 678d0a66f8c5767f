"""From a click to a queued run: quota, revision, row, job. Everything that starts a run comes through start_run()."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import django_rq
import redis
import rq
from django.db import transaction
from django.utils import timezone

from accounts.models import Plan
from marketdata.store import current_snapshot_id
from runner import gpu, packages, quotas
from runner.access import Viewer
from runner.events import Publisher
from runner.models import ENTRY, GPU, MAX_SOURCE_BYTES, Project, Revision, Run

logger = logging.getLogger(__name__)

QUEUE = "runs"
# Longer than any run: each has a limit of its own once it is claimed.
JOB_SECONDS = 24 * 3600
MAX_PARAMS = 50
MAX_PARAM_TEXT = 200
_PARAM_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")


class BadInput(Exception):
    """What was sent cannot be run or saved; the text says what to do."""


def clean_source(text: str) -> str:
    """The source as it is stored: newlines as one character; refused when it is too long or holds a NUL."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_SOURCE_BYTES:
        raise BadInput(f"The file is longer than {MAX_SOURCE_BYTES // 1024} KB. Move data out of the code.")
    if "\x00" in text:
        raise BadInput("The file holds a NUL character, which Python cannot read. Remove it, then run again.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise BadInput(
            f"Line {line} holds half of a character (a lone surrogate). Remove it, then run again."
        ) from None
    return text


def params_from(form: Mapping[str, str]) -> dict[str, Any]:
    """The parameters a form carries as `param:<name>` fields; numbers and booleans as such, the rest as text."""
    params: dict[str, Any] = {}
    for field, text in form.items():
        if not field.startswith("param:"):
            continue
        name = field.removeprefix("param:")
        if not _PARAM_NAME.fullmatch(name) or len(text) > MAX_PARAM_TEXT:
            raise BadInput(f"The parameter {name[:60]!r} cannot be passed: its name or value is too long or malformed.")
        if len(params) >= MAX_PARAMS:
            raise BadInput(f"More than {MAX_PARAMS} parameters cannot be passed to one run.")
        params[name] = parse_param(text)
    return params


def parse_param(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for number in (int, float):
        try:
            value = number(text)
        except ValueError:
            continue
        if value == value and abs(value) != float("inf"):
            return value
    return text.replace("\x00", "")


def start_run(
    project: Project,
    viewer: Viewer,
    *,
    files: dict[str, str],
    params: dict[str, Any] | None = None,
    search: dict[str, Any] | None = None,
    address_hash: str = "",
    wall_seconds: float | None = None,
    on_gpu: bool = False,
    revision: Revision | None = None,
) -> Run:
    """Make the revision and the run, and queue it once both are committed.

    Raises quotas.QuotaExceeded when the plan allows no further run now, BadInput for packages that are known to be
    refused, and gpu.GpuUnavailable. search: a sweep or walk-forward (runner.sweeps.form). wall_seconds: a shorter limit
    than the plan's. revision: one whose files these are; none is made, and the latest stays the latest.
    """
    try:
        packages.check(files)
    except packages.PackageRefused as refusal:
        raise BadInput(refusal.reason) from None
    plan = quotas.plan_of(viewer)
    limits = asdict(quotas.limits_of(plan))
    if wall_seconds is not None:
        limits["wall_seconds"] = min(limits["wall_seconds"], wall_seconds)
        limits["cpu_seconds"] = min(limits["cpu_seconds"], wall_seconds)
    if on_gpu:
        gpu.check_there_is_one(plan)
    with transaction.atomic():
        _check(viewer, plan, address_hash, limits, on_gpu)
        if revision is None:
            revision = project.make_revision(files, author=viewer.user)
        Project.objects.filter(pk=project.pk).update(updated=timezone.now())
        return queue_run(
            revision,
            viewer.user,
            params=params or {},
            search=search or {},
            queue=GPU if on_gpu else plan.queue,
            limits=limits,
            address_hash="" if viewer.user is not None else address_hash,
            snapshot=current_snapshot_id(viewer.user) or "",
        )


def run_again(run: Run, viewer: Viewer, *, snapshot: str, address_hash: str = "") -> Run:
    """The same revision, parameters and packages, over this snapshot, as a run of the viewer's. Raises
    quotas.QuotaExceeded, and gpu.GpuUnavailable for a run that had one.
    """
    plan = quotas.plan_of(viewer)
    limits = asdict(quotas.limits_of(plan))
    on_gpu = run.queue == GPU
    if on_gpu:
        gpu.check_there_is_one(plan)
    with transaction.atomic():
        _check(viewer, plan, address_hash, limits, on_gpu)
        return queue_run(
            run.revision,
            viewer.user,
            params=run.params,
            search=run.search,
            queue=GPU if on_gpu else plan.queue,
            limits=limits,
            address_hash="" if viewer.user is not None else address_hash,
            snapshot=snapshot,
            lock=run.lock,
            requirements=run.requirements,
        )


def _check(viewer: Viewer, plan: Plan, address_hash: str, limits: dict[str, Any], on_gpu: bool) -> None:
    """Inside the transaction that makes the run. A GPU run gets no more seconds than are left of the day's."""
    quotas.check_run(viewer, plan, address_hash)
    if on_gpu:
        limits["wall_seconds"] = min(limits["wall_seconds"], gpu.check_seconds(viewer, plan))


def queue_run(revision: Revision, user: Any, **values: Any) -> Run:
    """Make a run that no quota counts against starting (it counts once it exists), and queue it on commit."""
    with transaction.atomic():
        revision.project.hold()
        run = Run.objects.create(revision=revision, user=user, owner_key=owner_key(revision.project, user), **values)
        transaction.on_commit(lambda: enqueue(run))
    return run


def rerun(run: Run) -> Run:
    """The same revision, parameters, limits, snapshot and packages again (staff, from the admin)."""
    kept = ("address_hash", "params", "search", "queue", "limits", "snapshot", "lock", "requirements")
    return queue_run(run.revision, run.user, **{name: getattr(run, name) for name in kept})


def owner_key(project: Project, user: Any) -> str:
    """Whose share of the workers a run uses: an account's, or that of one guest's browser."""
    return f"user-{user.pk}" if user is not None else f"guest-{project.guest_hash[:32]}"


def enqueue(run: Run) -> None:
    """Say that the run waits, to those who watch it and to the workers."""
    Publisher(run.pk).publish({"type": "phase", "phase": "queued", "t": 0.0}, only_first=True)
    wake_a_worker(run.queue)


def wake_a_worker(name: str = QUEUE) -> None:
    """One job for one waiting run; which one it will be is decided by the claim. One job too many does nothing.

    When Redis is away the run stays queued in the record, and the sweeper sends the job.
    """
    try:
        queue(name).enqueue(
            "runner.jobs.execute_next_run", name, job_timeout=JOB_SECONDS, result_ttl=0, failure_ttl=24 * 3600
        )
    except redis.RedisError as error:
        logger.warning("a job was not sent yet (%s)", type(error).__name__)


@lru_cache(maxsize=8)
def queue(name: str = QUEUE) -> rq.Queue:
    """Kept with its connections: making it anew would connect to Redis for every run."""
    return django_rq.get_queue(name)


def source_files(project: Project, source: str) -> dict[str, str]:
    """The project's files with the entry's text replaced by what the editor sent."""
    return {**project.draft, ENTRY: source}


def latest_run(project: Project) -> Run | None:
    return Run.objects.whole().filter(revision__project=project).select_related("revision").order_by("-queued").first()
