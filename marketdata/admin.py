"""The catalogue for the people who operate the site; what a snapshot holds is a fact of its files."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from marketdata import provider_admin, quality_admin, refresh  # noqa: F401  they register their own
from marketdata.models import Instrument, Series, Snapshot
from marketdata.provider_admin import NothingByHand


@admin.register(Instrument)
class InstrumentAdmin(admin.ModelAdmin):
    list_display = ["symbol", "name", "kind", "exchange", "number_of_series"]
    list_filter = ["kind", "exchange"]
    search_fields = ["symbol", "name", "aliases"]

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).annotate(series_count=Count("series"))

    @admin.display(description="series", ordering="series_count")
    def number_of_series(self, instrument: Any) -> str:
        address = reverse("admin:marketdata_series_changelist")
        return format_html(
            '<a href="{}?instrument__id__exact={}">{}</a>', address, instrument.pk, instrument.series_count
        )


@admin.register(Series)
class SeriesAdmin(NothingByHand):
    list_display = [
        "series_id",
        "instrument",
        "interval",
        "first",
        "last",
        "rows",
        "licence",
        "survivorship",
        "snapshot",
    ]
    list_filter = ["snapshot__is_current", "interval", "instrument__kind", "licence", "snapshot"]
    search_fields = ["series_id", "instrument__symbol", "instrument__name", "source", "object_sha256"]
    list_select_related = ["instrument", "snapshot"]
    date_hierarchy = "last"
    actions = ["refresh_now"]

    def has_refresh_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("marketdata.add_refresh")

    @admin.action(description="Fetch the new days now", permissions=["refresh"])
    def refresh_now(self, request: HttpRequest, series: QuerySet[Series]) -> None:
        wanted = refresh.fetched_series().filter(pk__in=series)
        begun = refresh.begin(", ".join(row.series_id for row in wanted) or "nothing", refresh.BY_HAND, wanted)
        refresh.go_on(begun.pk)
        self.message_user(request, f"Begun: {begun.total} series that a provider gives. Refreshes show how it goes.")


@admin.register(Snapshot)
class SnapshotAdmin(NothingByHand):
    list_display = ["id", "created_for", "created", "is_current", "number_of_series"]
    list_filter = ["is_current", "created_for"]
    search_fields = ["id"]
    date_hierarchy = "created"

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).annotate(series_count=Count("series"))

    @admin.display(description="series", ordering="series_count")
    def number_of_series(self, snapshot: Any) -> str:
        address = reverse("admin:marketdata_series_changelist")
        return format_html('<a href="{}?snapshot__id__exact={}">{}</a>', address, snapshot.pk, snapshot.series_count)
