"""Projects, runs and backtests for the people who operate the site."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from runner import sessions
from runner.ending import request_cancel
from runner.models import Artefact, Backtest, PackageLock, Project, Revision, Run, Session
from runner.past_trials import delete_one_by_one
from runner.starting import rerun, wake_a_worker


def link(instance, text: str | None = None) -> str:
    """A link to another row's admin page."""
    if instance is None:
        return "–"
    meta = instance._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[instance.pk])
    return format_html('<a href="{}">{}</a>', url, text or str(instance))


class ReadOnlyInline(admin.TabularInline):
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj=None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj=None) -> bool:
        return False


class RevisionInline(ReadOnlyInline):
    model = Revision
    fields = ["number", "name", "author", "created"]


class BacktestInline(ReadOnlyInline):
    model = Backtest
    fields = ["position", "strategy", "verified", "description"]


class ArtefactInline(ReadOnlyInline):
    model = Artefact
    fields = ["name", "size", "sha256"]


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):
    list_display = ["title", "owner_link", "visibility", "updated", "expires", "runs_link"]
    list_filter = ["visibility", ("owner", admin.EmptyFieldListFilter), "updated"]
    list_select_related = ["owner"]
    search_fields = ["title", "slug", "token", "owner__username", "owner__email"]
    readonly_fields = ["token", "guest_hash", "created", "draft_version", "draft_saved", "runs_link"]
    raw_id_fields = ["owner", "forked_from"]
    date_hierarchy = "created"
    inlines = [RevisionInline]

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Project]) -> None:
        delete_one_by_one(queryset)

    @admin.display(description="owner", ordering="owner__username")
    def owner_link(self, project: Project) -> str:
        return link(project.owner)

    @admin.display(description="runs")
    def runs_link(self, project: Project) -> str:
        url = reverse("admin:runner_run_changelist")
        return format_html('<a href="{}?revision__project__id__exact={}">runs</a>', url, project.pk)


@admin.register(Revision)
class RevisionAdmin(admin.ModelAdmin):
    list_display = ["project", "number", "name", "author", "created", "sha256"]
    list_select_related = ["project", "author"]
    search_fields = ["project__title", "project__owner__username", "sha256", "name"]
    raw_id_fields = ["project", "author"]
    readonly_fields = ["files", "sha256", "number", "created"]


@admin.register(Run)
class RunAdmin(admin.ModelAdmin):
    list_display = [
        "id",
        "status",
        "project_link",
        "user_link",
        "queued",
        "wall_seconds",
        "cpu_seconds",
        "memory",
    ]
    list_filter = ["status", "queued", ("session", admin.EmptyFieldListFilter), "revision__project__visibility"]
    list_select_related = ["revision__project__owner", "user"]
    search_fields = ["id", "revision__project__title", "user__username", "user__email", "address_hash"]
    date_hierarchy = "queued"
    inlines = [BacktestInline, ArtefactInline]
    actions = ["requeue", "cancel"]
    readonly_fields = [field.name for field in Run._meta.fields if field.name not in ("revision", "user")] + [
        "project_link",
        "user_link",
        "page_link",
    ]
    raw_id_fields = ["revision", "user", "session"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        return super().get_queryset(request).defer("manifest", "declared_params", "limits")

    @admin.display(description="project")
    def project_link(self, run: Run) -> str:
        return link(run.project)

    @admin.display(description="user", ordering="user__username")
    def user_link(self, run: Run) -> str:
        return link(run.user)

    @admin.display(description="page")
    def page_link(self, run: Run) -> str:
        return format_html('<a href="{}">{}</a>', run.get_absolute_url(), run.get_absolute_url())

    @admin.display(description="memory", ordering="peak_memory_bytes")
    def memory(self, run: Run) -> str:
        return "–" if run.peak_memory_bytes is None else f"{run.peak_memory_bytes / 1e6:.0f} MB"

    @admin.action(description="Queue again (a finished run as a new run)")
    def requeue(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        made, sent = 0, 0
        for run in runs.select_related("revision__project", "user"):
            if run.is_finished:
                rerun(run)
                made += 1
            elif run.status == Run.Status.QUEUED:
                wake_a_worker(run.queue)
                sent += 1
        self.message_user(request, f"{made} new runs were queued, {sent} waiting ones sent to the workers again.")

    @admin.action(description="Cancel")
    def cancel(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        in_progress = runs.in_progress()
        count = in_progress.count()
        for run in in_progress:
            request_cancel(run)
        self.message_user(request, f"{count} runs were asked to stop.")


@admin.register(PackageLock)
class PackageLockAdmin(admin.ModelAdmin):
    list_display = ["short", "packages_text", "created", "used"]
    search_fields = ["sha256", "text"]
    date_hierarchy = "created"
    readonly_fields = [field.name for field in PackageLock._meta.fields]

    @admin.display(description="lock", ordering="sha256")
    def short(self, lock: PackageLock) -> str:
        return lock.sha256[:12]

    @admin.display(description="packages")
    def packages_text(self, lock: PackageLock) -> str:
        return str(lock)[:200]

    def has_add_permission(self, request: HttpRequest, obj=None) -> bool:
        return False


@admin.register(Backtest)
class BacktestAdmin(admin.ModelAdmin):
    list_display = ["strategy", "run_link", "start", "end", "verified", "engine_name", "engine_version"]
    list_filter = ["verified", "engine_name", "engine_version"]
    search_fields = ["strategy", "run__id", "run__user__username"]
    raw_id_fields = ["run"]
    readonly_fields = [field.name for field in Backtest._meta.fields if field.name != "run"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Backtest]:
        return (
            super()
            .get_queryset(request)
            .select_related("run")
            .defer("fills", "trades", "dates", "equity", "chart", "sides")
        )

    @admin.display(description="run")
    def run_link(self, backtest: Backtest) -> str:
        return link(backtest.run, str(backtest.run_id))


@admin.register(Session)
class SessionAdmin(admin.ModelAdmin):
    list_display = ["project", "number", "user", "host", "state", "started", "last_used", "ended", "why"]
    list_filter = ["state", "host", "started"]
    list_select_related = ["project", "user"]
    search_fields = ["id", "project__title", "user__username", "host"]
    raw_id_fields = ["project", "user"]
    readonly_fields = [field.name for field in Session._meta.fields if field.name not in ("project", "user")]
    date_hierarchy = "started"
    actions = ["end"]

    @admin.action(description="End")
    def end(self, request: HttpRequest, chosen: QuerySet[Session]) -> None:
        for session in chosen.filter(pk__in=Session.objects.alive()):
            sessions.close(session, "It was ended by the people who operate the site.")
        self.message_user(request, f"{chosen.count()} sessions ended.")


@admin.register(Artefact)
class ArtefactAdmin(admin.ModelAdmin):
    list_display = ["name", "size", "run"]
    search_fields = ["name", "run__id", "sha256"]
    list_select_related = ["run"]
    raw_id_fields = ["run"]
