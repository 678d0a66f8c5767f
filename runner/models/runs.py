"""What does the site remember of executed code? Runs, how they ended, and the files they left."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property

from runner.models.packages import PackageLock
from runner.models.projects import Project, Revision
from runner.models.sessions import Session

if TYPE_CHECKING:
    from runner.access import Viewer

GPU = "gpu"  # the queue of runs that get one


class RunQuerySet(models.QuerySet):
    def visible_to(self, viewer: Viewer) -> RunQuerySet:
        """Runs are seen by whoever sees the project, the cells of its sessions by those only who edit it."""
        return self.filter(
            Q(session__isnull=True, revision__project__in=Project.objects.visible_to(viewer).values("pk"))
            | Q(revision__project__in=Project.objects.editable_by(viewer).values("pk"))
        )

    def whole(self) -> RunQuerySet:
        """Runs of whole programs: what a project shows as its result."""
        return self.filter(session__isnull=True)

    def shown_first(self) -> RunQuerySet:
        """Of those that succeeded, what others are shown of a project comes first: its newest code that has run, as it
        last ran. A run of older code may end later, such as a walk-forward from an earlier sweep.
        """
        return self.whole().filter(status=Run.Status.SUCCEEDED).order_by("-revision__number", "-finished")

    def editable_by(self, viewer: Viewer) -> RunQuerySet:
        return self.filter(revision__project__in=Project.objects.editable_by(viewer).values("pk"))

    def numbered(self) -> RunQuerySet:
        """With `number`, so that a list does not ask for each."""
        until = (
            Run.objects.whole()
            .filter(revision__project=OuterRef("revision__project"), queued__lte=OuterRef("queued"))
            .order_by()
            .values("revision__project")
        )
        return self.annotate(number=Subquery(until.annotate(count=Count("pk")).values("count")))

    def in_progress(self) -> RunQuerySet:
        return self.filter(status__in=[Run.Status.QUEUED, Run.Status.RUNNING])

    def abandoned(self) -> RunQuerySet:
        """Running according to the record, but no worker has renewed its lease. By the database's clock, as leases
        are: those of the machines may differ.
        """
        return self.filter(status=Run.Status.RUNNING, lease_expires__lt=Now())

    def counted_today(self) -> RunQuerySet:
        """Runs of the last 24 hours that count against a quota: our own failures, and the index's, do not."""
        recent = self.filter(queued__gt=timezone.now() - timedelta(days=1))
        return recent.exclude(status=Run.Status.CRASHED).exclude(error__name=Run.INDEX_UNAVAILABLE)


class Run(models.Model):
    """One execution of a revision, from the click to the stored output."""

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"
        TIMED_OUT = "timed_out", "Timed out"
        OUT_OF_MEMORY = "out_of_memory", "Out of memory"
        OUTPUT_EXCEEDED = "output_exceeded", "Too much output"
        DISK_FULL = "disk_full", "Disk full"
        CANCELLED = "cancelled", "Stopped"
        CRASHED = "crashed", "Lost by us"

    IN_PROGRESS = (Status.QUEUED, Status.RUNNING)
    # Names in `error` of runs that ended before they had a box.
    PACKAGE_REFUSED, INDEX_UNAVAILABLE = "PackageRefused", "IndexUnavailable"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="runs")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="runs"
    )
    address_hash = models.CharField(
        max_length=64,
        blank=True,
        db_index=True,
        help_text="Keyed hash of a guest's network address, for its quota.",
    )
    owner_key = models.CharField(
        max_length=40, blank=True, help_text="The account or the guest's browser whose share of the workers it uses."
    )
    params = models.JSONField(default=dict, blank=True)
    search = models.JSONField(
        default=dict, blank=True, help_text="The sweep or walk-forward over its parameters; empty for an ordinary run."
    )
    declared_params = models.JSONField(default=list, blank=True, help_text="What the code declared with qfp.param.")
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.QUEUED)
    message = models.TextField(blank=True, help_text="One sentence: how it ended, with the limit and its figure.")
    error = models.JSONField(null=True, blank=True, help_text="Name, message and line of the user's exception.")
    limit = models.JSONField(null=True, blank=True, help_text="Name and value of the limit that ended the run.")
    exit = models.JSONField(null=True, blank=True, help_text="Exit code and signal of the user's program.")
    limits = models.JSONField(default=dict)
    queued = models.DateTimeField(default=timezone.now, editable=False, db_index=True)
    started = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)
    first_output = models.DateTimeField(null=True, blank=True)
    lease_expires = models.DateTimeField(null=True, blank=True)
    cancel_requested = models.DateTimeField(null=True, blank=True)
    queue = models.CharField(max_length=20, default="runs")
    cpu_seconds = models.FloatField(null=True, blank=True)
    gpu_seconds = models.FloatField(
        null=True, blank=True, help_text="While the run had a GPU, whatever it did with it."
    )
    wall_seconds = models.FloatField(null=True, blank=True)
    peak_memory_bytes = models.BigIntegerField(null=True, blank=True)
    snapshot = models.CharField(max_length=64, blank=True)
    environment = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the lock of what every box has.")
    lock = models.ForeignKey(
        PackageLock,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="runs",
        help_text="The packages this run had beside those.",
    )
    requirements = models.CharField(
        max_length=64, blank=True, db_index=True, help_text="SHA-256 of what the code asked for; finds its lock again."
    )
    manifest = models.JSONField(default=dict, blank=True)
    verification = models.JSONField(default=dict, blank=True, help_text="What making it again gave, and when.")
    examination_asked = models.DateTimeField(
        null=True, blank=True, help_text="Since when it waits to be made again on data of the site's own, or is."
    )
    examination_began = models.DateTimeField(null=True, blank=True, help_text="When a worker last took it for that.")
    session = models.ForeignKey(Session, on_delete=models.CASCADE, null=True, blank=True, related_name="cells")
    cell_index = models.PositiveIntegerField(
        null=True, blank=True, help_text="Of a session's cell: from 0, in the file."
    )
    cell_title = models.CharField(max_length=200, blank=True)
    cell_line = models.PositiveIntegerField(null=True, blank=True, help_text="Of the file, where the cell begins.")
    cell_source = models.TextField(blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-queued"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running"], finished__isnull=True)
                | (~Q(status__in=["queued", "running"]) & Q(finished__isnull=False)),
                name="run_finished_iff_final",
            ),
        ]
        indexes = [
            models.Index(fields=["status", "queued"], name="run_by_status"),
            models.Index(fields=["revision", "-queued"], name="run_by_revision"),
            models.Index(fields=["user", "-queued"], name="run_by_user"),
            # A claim asks what was started lately; what waits and what runs stands in run_by_status.
            models.Index(fields=["started"], name="run_started", condition=Q(started__isnull=False)),
            models.Index(
                fields=["examination_asked"],
                name="run_to_be_examined",
                condition=Q(examination_asked__isnull=False),
            ),
            models.Index(
                fields=["examination_began"],
                name="run_examined",
                condition=Q(examination_began__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.get_status_display()})"

    def get_absolute_url(self) -> str:
        return reverse("runner:run", args=[self.pk])

    @property
    def project(self) -> Project:
        return self.revision.project

    @cached_property
    def number(self) -> int:
        """1 for the first run of the project, by when they were asked for; cells of sessions are not counted."""
        return Run.objects.whole().filter(revision__project=self.project, queued__lte=self.queued).count()

    @property
    def name(self) -> str:
        """What people call it: Run 12."""
        return f"Run {self.number}" if self.session_id is None else "Cell"

    @property
    def is_finished(self) -> bool:
        return self.status not in self.IN_PROGRESS

    @property
    def changed_params(self) -> dict[str, Any]:
        """The parameters this run was given that differ from what the code declares as default."""
        defaults = {param["name"]: param.get("default") for param in self.declared_params}
        return {name: value for name, value in self.params.items() if name in defaults and defaults[name] != value}

    @property
    def all_params(self) -> dict[str, Any]:
        """What the code declares, with the values that the program had at last: those it was given, those that its
        sweep chose, or the defaults.
        """
        return {
            param["name"]: self.params.get(param["name"], param.get("value", param.get("default")))
            for param in self.declared_params
        }

    @property
    def socket_url(self) -> str:
        return f"/ws/r/{self.pk}"

    @property
    def events_url(self) -> str:
        return reverse("runner:run-events", args=[self.pk])


class Artefact(models.Model):
    """A file the run left in its working directory."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="artefacts")
    name = models.CharField(max_length=255)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        ordering = ["run", "name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("runner:artefact", args=[self.run_id, self.pk])
