"""Quality and refreshes for the people who operate the site: what is held back, what was brought up to date."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from marketdata import refresh
from marketdata.models import QualityIssue, Refresh, RefreshedSeries
from marketdata.provider_admin import NothingByHand


@admin.register(QualityIssue)
class QualityIssueAdmin(NothingByHand):
    """Found by rules; a person says whether it is right as it is. Rows held back come in with the next refresh then."""

    list_display = ["series_id", "kind", "first", "last", "message", "state", "owner", "found"]
    list_filter = ["state", "kind", "found"]
    search_fields = ["series_id", "message"]
    list_select_related = ["owner"]
    date_hierarchy = "found"
    actions = ["dismiss", "open_again"]

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("marketdata.change_qualityissue")

    @admin.action(description="Dismiss: it is right as it is", permissions=["decide"])
    def dismiss(self, request: HttpRequest, issues: QuerySet[QualityIssue]) -> None:
        number = issues.update(state=QualityIssue.State.DISMISSED)
        self.message_user(request, f"{number} dismissed. Rows held back for them come in with the next refresh.")

    @admin.action(description="Open again", permissions=["decide"])
    def open_again(self, request: HttpRequest, issues: QuerySet[QualityIssue]) -> None:
        number = issues.filter(state=QualityIssue.State.DISMISSED).update(state=QualityIssue.State.OPEN)
        self.message_user(request, f"{number} opened again.")


@admin.register(Refresh)
class RefreshAdmin(NothingByHand):
    """Rounds of bringing series up to date. The clock begins them; here one is begun again at once."""

    list_display = ["what", "reason", "status", "progress", "changed", "created", "finished", "message"]
    list_filter = ["status", "what", "created"]
    search_fields = ["what", "message"]
    date_hierarchy = "created"
    fields = ["what", "reason", "status", "progress", "changed", "created", "started", "finished", "message", "table"]
    readonly_fields = ["progress", "table"]
    actions = ["run_now"]

    @admin.display(description="done")
    def progress(self, round_: Refresh) -> str:
        return f"{round_.done} of {round_.total}"

    @admin.display(description="series")
    def table(self, round_: Refresh) -> SafeString:
        rows = ((item.series_id, item.ended or "under way") for item in round_.series.all())
        return format_html("<table>{}</table>", format_html_join("", "<tr><td>{}</td><td>{}</td></tr>", rows))

    def has_run_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("marketdata.add_refresh")

    @admin.action(description="Run now: the same series again", permissions=["run"])
    def run_now(self, request: HttpRequest, rounds: QuerySet[Refresh]) -> None:
        items = RefreshedSeries.objects.filter(refresh__in=rounds)
        wanted = set(items.values_list("series_id", "owner"))
        series = [row for row in refresh.fetched_series() if (row.series_id, row.snapshot.owner_id) in wanted]
        begun = refresh.begin(", ".join(sorted({round_.what for round_ in rounds})), refresh.BY_HAND, series)
        refresh.go_on(begun.pk)
        self.message_user(request, f"Begun: {begun.total} series. This list shows how it goes.", messages.SUCCESS)
