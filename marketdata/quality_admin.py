"""Quality and refreshes for the people who operate the site: what is held back, what was brought up to date."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from marketdata.models import QualityIssue
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
