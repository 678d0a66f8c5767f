"""What the site remembers of written and executed code: projects, their revisions, runs, backtests and artefacts."""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, models, transaction
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Lower, Now
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.text import slugify

from runner.remarks import remarks
from runner.verdicts import Standing, standing_of

if TYPE_CHECKING:
    from runner.access import Viewer

ENTRY = "main.py"
GPU = "gpu"  # the queue of runs that get one
MAX_SOURCE_BYTES = 512 * 1024
GUEST_DAYS = 7


def new_token() -> str:
    """An unguessable name for a URL: 128 bits."""
    return secrets.token_urlsafe(16)


class ProjectQuerySet(models.QuerySet):
    def owned_by(self, viewer: Viewer) -> ProjectQuerySet:
        """The projects that belong to this account, or to this browser's guest key."""
        mine = Q(pk__in=[])
        if viewer.user is not None:
            mine |= Q(owner=viewer.user)
        if viewer.guest_hash:
            mine |= Q(owner__isnull=True, guest_hash=viewer.guest_hash, expires__gt=timezone.now())
        return self.filter(mine)

    def visible_to(self, viewer: Viewer) -> ProjectQuerySet:
        """What this viewer may open when holding its address. Unlisted ones are not for lists: see listed()."""
        return self.filter(
            Q(visibility__in=[Project.Visibility.PUBLIC, Project.Visibility.UNLISTED])
            | Q(pk__in=self.model.objects.owned_by(viewer).values("pk"))
        )

    def editable_by(self, viewer: Viewer) -> ProjectQuerySet:
        return self.owned_by(viewer)

    def listed(self) -> ProjectQuerySet:
        """What anybody may be shown unasked."""
        return self.filter(visibility=Project.Visibility.PUBLIC, owner__isnull=False)


class Project(models.Model):
    """A user's named files; `main.py` is the entry. A guest's project has no owner but a guest key."""

    class Visibility(models.TextChoices):
        PRIVATE = "private", "Private"
        UNLISTED = "unlisted", "Anyone with the link"
        PUBLIC = "public", "Public"

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="projects"
    )
    guest_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the key in the guest's cookie.")
    token = models.CharField(max_length=32, unique=True, default=new_token, editable=False)
    slug = models.SlugField(max_length=60)
    title = models.CharField(max_length=120)
    visibility = models.CharField(max_length=10, choices=Visibility.choices, default=Visibility.PRIVATE)
    forked_from = models.ForeignKey("Revision", on_delete=models.SET_NULL, null=True, blank=True, related_name="forks")
    draft = models.JSONField(default=dict, help_text="Path to text; what the editor shows, saved as one types.")
    draft_version = models.PositiveIntegerField(default=1)
    draft_saved = models.DateTimeField(default=timezone.now)
    created = models.DateTimeField(default=timezone.now, editable=False)
    updated = models.DateTimeField(default=timezone.now, db_index=True)
    expires = models.DateTimeField(null=True, blank=True, help_text="Guests' projects only.")

    objects = ProjectQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint("owner", Lower("slug"), name="project_slug_unique_per_owner"),
            models.CheckConstraint(
                condition=Q(owner__isnull=False) | ~Q(guest_hash=""), name="project_has_owner_or_guest"
            ),
        ]
        ordering = ["-updated"]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return self.base_url

    @property
    def is_guest(self) -> bool:
        return self.owner_id is None

    @property
    def source(self) -> str:
        return self.draft.get(ENTRY, "")

    @property
    def base_url(self) -> str:
        if self.is_guest:
            return f"/g/{self.token}"
        return f"/p/{self.owner.username}/{self.slug}"

    @property
    def edit_url(self) -> str:
        return self.base_url if self.is_guest else f"{self.base_url}/edit"

    @classmethod
    def free_slug(cls, owner: Any, title: str) -> str:
        """A slug made of the title that this owner does not use yet. Inside the transaction that takes it: two that
        ask at once get theirs one after the other.
        """
        get_user_model().objects.select_for_update(no_key=True).filter(pk=owner.pk).first()
        base = slugify(title)[:50] or "project"
        taken = set(cls.objects.filter(owner=owner, slug__istartswith=base).values_list(Lower("slug"), flat=True))
        slug, number = base, 2
        while slug in taken:
            slug, number = f"{base}-{number}", number + 1
        return slug

    @classmethod
    def make(cls, owner: Any, title: str, source: str, slug: str = "") -> Project:
        """A project of this owner with a slug of its own, made of `slug` or else of the title."""
        with transaction.atomic():
            free = cls.free_slug(owner, slug or title)
            return cls.objects.create(owner=owner, slug=free, title=title, draft={ENTRY: source})

    def hold(self) -> None:
        """Inside a transaction: nobody deletes it before that ends. Raises DoesNotExist when somebody has."""
        if Project.objects.select_for_update().filter(pk=self.pk).values_list("pk").first() is None:
            raise Project.DoesNotExist("This project has been deleted.")

    def remove(self) -> None:
        """Delete it with its runs. A worker that still runs one of them finds the row gone, and ends the box; one that
        stores something while we look is why there is another try.
        """
        for tries_left in (3, 2, 1, 0):
            try:
                with transaction.atomic():
                    found = Project.objects.select_for_update().filter(pk=self.pk).first()
                    if found is not None:
                        found.delete()
                return
            except IntegrityError:
                if not tries_left:
                    raise

    def save_draft(self, source: str, version: int) -> bool:
        """Store the editor's text if nobody has stored another one since `version`; False when somebody has."""
        now = timezone.now()
        values = {
            "draft": {**self.draft, ENTRY: source},
            "draft_version": version + 1,
            "draft_saved": now,
            "updated": now,
        }
        if not Project.objects.filter(pk=self.pk, draft_version=version).update(**values):
            self._look_again(list(values))
            return False
        for name, value in values.items():
            setattr(self, name, value)
        return True

    def save_file(self, path: str, text: str) -> None:
        """Store another file than the entry; an empty one is removed. Whatever else was saved meanwhile stays."""
        changed = 0
        while not changed:
            draft = {name: body for name, body in self.draft.items() if name != path}
            if text.strip():
                draft[path] = text
            changed = Project.objects.filter(pk=self.pk, draft_version=self.draft_version).update(
                draft=draft, draft_version=self.draft_version + 1, updated=timezone.now()
            )
            self._look_again(["draft", "draft_version", "updated"])

    def _look_again(self, fields: list[str]) -> None:
        self.refresh_from_db(fields=fields)

    def make_revision(self, files: dict[str, str], author: Any, name: str = "") -> Revision:
        """The immutable record of these files; saving unchanged files returns the latest revision."""
        digest = digest_of_files(files)
        with transaction.atomic(savepoint=False):
            # The lock gives revisions of one project their numbers one after the other.
            self.hold()
            latest = self.revisions.order_by("-number").first()
            if latest and latest.sha256 == digest:
                if name and latest.name != name:
                    latest.name = name
                    latest.save(update_fields=["name"])
                return latest
            number = latest.number + 1 if latest else 1
            return self.revisions.create(number=number, files=files, sha256=digest, author=author, name=name)


def digest_of_files(files: dict[str, str]) -> str:
    """SHA-256 over the paths and texts in path order."""
    canonical = json.dumps(files, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


class Revision(models.Model):
    """One immutable state of a project's files."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    files = models.JSONField()
    sha256 = models.CharField(max_length=64)
    name = models.CharField(max_length=120, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="revision_number_unique")]
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"{self.project} · revision {self.number}"

    @property
    def source(self) -> str:
        return self.files.get(ENTRY, "")


class PackageLock(models.Model):
    """The exact files of the packages a run had beside those of every box. The same text is the same layer."""

    sha256 = models.CharField(max_length=64, primary_key=True, help_text="Of the text; the name of the layer.")
    text = models.TextField(help_text="Names, versions, files and hashes: the layer can be made again from it.")
    base = models.CharField(max_length=64, help_text="SHA-256 of the pins of what every box had then.")
    created = models.DateTimeField(default=timezone.now, editable=False)
    used = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created"]

    def __str__(self) -> str:
        return ", ".join(f"{name} {version}" for name, version in self.packages)

    @property
    def packages(self) -> list[tuple[str, str]]:
        """(name, version) of everything in it."""
        pins = [line.partition(" ")[0] for line in self.text.splitlines() if not line.startswith("#")]
        return [(name, version) for name, _, version in (pin.partition("==") for pin in pins)]


class SessionQuerySet(models.QuerySet):
    def editable_by(self, viewer: Viewer) -> SessionQuerySet:
        return self.filter(project__in=Project.objects.editable_by(viewer).values("pk"))

    def alive(self) -> SessionQuerySet:
        return self.exclude(state=Session.State.ENDED)


class Session(models.Model):
    """A live interpreter of a project, held by the engine of one host. Its cells are runs."""

    class State(models.TextChoices):
        STARTING = "starting", "Starting"
        OPEN = "open", "Open"
        ENDED = "ended", "Ended"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="sessions")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="live_sessions"
    )
    number = models.PositiveIntegerField(help_text="1 for the project's first; another number is another interpreter.")
    owner_key = models.CharField(max_length=80, help_text="Who it belongs to, in the engine's words.")
    host = models.CharField(max_length=100, blank=True, help_text="Whose engine holds it; empty until it is opened.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.STARTING)
    limits = models.JSONField(default=dict)
    snapshot = models.CharField(max_length=64, blank=True)
    lock = models.ForeignKey(
        PackageLock,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="sessions",
        help_text="The packages it was started with.",
    )
    started = models.DateTimeField(default=timezone.now, editable=False)
    last_used = models.DateTimeField(default=timezone.now)
    idle_seconds = models.PositiveIntegerField(help_text="It ends after this long without use.")
    ended = models.DateTimeField(null=True, blank=True)
    why = models.TextField(blank=True, help_text="One sentence: why it ended.")

    objects = SessionQuerySet.as_manager()

    class Meta:
        ordering = ["-started"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="session_number_unique"),
            models.UniqueConstraint(
                fields=["project"], condition=~Q(state="ended"), name="one_live_session_of_a_project"
            ),
        ]

    def __str__(self) -> str:
        return f"session {self.number} of {self.project_id}"

    @property
    def is_alive(self) -> bool:
        return self.state != self.State.ENDED


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
    def socket_url(self) -> str:
        return f"/ws/r/{self.pk}"

    @property
    def events_url(self) -> str:
        return reverse("runner:run-events", args=[self.pk])


class Backtest(models.Model):
    """A backtest a run claimed, checked and recomputed by us. Figures on every surface come from this row."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="backtests")
    position = models.PositiveIntegerField(help_text="Order of appearance within the run, from 0.")
    strategy = models.CharField(max_length=120)
    params = models.JSONField(default=dict)
    instruments = models.JSONField(default=list)
    start = models.DateTimeField()
    end = models.DateTimeField()
    cash = models.FloatField()
    conventions = models.JSONField(default=dict)
    engine_name = models.CharField(max_length=60)
    engine_version = models.CharField(max_length=30)
    snapshot = models.CharField(max_length=64, blank=True)
    fills = models.JSONField(default=list)
    flows = models.JSONField(default=list, help_text="Dividends, splits, interest, borrowing fees, delistings, by bar.")
    orders = models.JSONField(default=list, help_text="What was decided, by the bar that decided, oldest first.")
    trades = models.JSONField(default=list)
    holdings = models.JSONField(default=list, help_text="What is held at the end, where there are many instruments.")
    dates = models.JSONField(default=list)
    equity = models.JSONField(default=list)
    metrics = models.JSONField(default=dict)
    figures = models.JSONField(default=list)
    chart = models.JSONField(default=dict)
    description = models.TextField(blank=True)
    verified = models.BooleanField(default=False)
    verified_text = models.TextField(blank=True)
    trial = models.CharField(max_length=64, blank=True, db_index=True, help_text="SHA-256 of what was tried.")
    checks = models.JSONField(
        default=dict, help_text="Findings of the tests of honesty: each with state, sentence and what it rests on."
    )

    class Meta:
        ordering = ["run", "position"]
        constraints = [models.UniqueConstraint(fields=["run", "position"], name="backtest_position_unique")]

    def __str__(self) -> str:
        return f"{self.strategy} in {self.run_id}"

    def get_absolute_url(self) -> str:
        return reverse("runner:backtest", args=[self.run_id, self.position])

    @property
    def standing(self) -> Standing:
        """Whether it was verified, and whether it was found to use the future."""
        return standing_of(self)

    @property
    def remarks(self) -> list[str]:
        """Refused orders and instruments that ended, a sentence each."""
        return remarks(self.orders, self.flows, self.instruments, self.dates)


class Report(models.Model):
    """A report of a backtest that somebody asked for, with notes and a logo of their own, made in the background."""

    class Form(models.TextChoices):
        PDF = "pdf", "PDF"
        HTML = "html", "HTML"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        MAKING = "making", "Being made"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    backtest = models.ForeignKey(Backtest, on_delete=models.CASCADE, related_name="reports")
    form = models.CharField(max_length=4, choices=Form.choices, default=Form.PDF)
    title = models.CharField(max_length=120, blank=True)
    notes = models.TextField(blank=True)
    logo = models.BinaryField(blank=True, default=b"", help_text="A PNG that we made of what was uploaded.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    step = models.CharField(max_length=60, blank=True, help_text="What is being done now, in words.")
    content = models.BinaryField(null=True, blank=True)
    created = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created"]

    def __str__(self) -> str:
        return f"{self.get_form_display()} of {self.backtest_id}"

    def get_absolute_url(self) -> str:
        return reverse("runner:report", args=[self.backtest.run_id, self.backtest.position, self.pk])


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


class Attempt(models.Model):
    """What a run tried in a backtest beyond those that are recorded: it counts, though nothing else of it is kept."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="attempts")
    trial = models.CharField(max_length=64, db_index=True, help_text="SHA-256 of what was tried, as of a backtest.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "trial"], name="attempt_unique")]

    def __str__(self) -> str:
        return f"{self.trial[:8]} in {self.run_id}"


class Sweep(models.Model):
    """A search over combinations of parameters by a project's code; the same one asked for again goes on."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="sweeps")
    key = models.CharField(max_length=64, help_text="SHA-256 of the code and of everything that decides its trials.")
    about = models.JSONField(default=dict, help_text="Target, space, method, objective, seed, as the program said.")
    runs = models.ManyToManyField(Run, related_name="sweeps", help_text="That have asked for it.")
    overfitting = models.JSONField(default=dict, help_text="Its probability, and over how many trials it was computed.")
    created = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created"]
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="sweep_key_unique")]

    def __str__(self) -> str:
        return f"sweep of {self.about.get('target', '')} in {self.project_id}"


class Trial(models.Model):
    """One combination that a sweep tried, as its box told it. The same combination is one trial of its sweep."""

    sweep = models.ForeignKey(Sweep, on_delete=models.CASCADE, related_name="trials")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="trials", help_text="That tried it first.")
    key = models.CharField(max_length=64, db_index=True, help_text="SHA-256 of what was tried, in any sweep.")
    number = models.PositiveIntegerField()
    params = models.JSONField(default=dict)
    score = models.FloatField(null=True, blank=True)
    figures = models.JSONField(default=dict)
    error = models.CharField(max_length=300, blank=True)
    blocks = models.CharField(max_length=400, blank=True, help_text="Sums of its returns, for the overfitting test.")
    length = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["sweep", "number"]
        constraints = [models.UniqueConstraint(fields=["sweep", "key"], name="trial_key_unique")]

    def __str__(self) -> str:
        return f"trial {self.number} of sweep {self.sweep_id}"
