"""What is wrong with a series, and which refreshes have looked?"""

from __future__ import annotations

from django.conf import settings
from django.db import models

from marketdata.models.fetches import Fetch


class QualityIssue(models.Model):
    """Something that a check found in a series, told and never silently repaired."""

    class State(models.TextChoices):
        OPEN = "open"
        QUARANTINED = "quarantined", "the new rows are held back"
        DISMISSED = "dismissed", "looked at, and right as it is"

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="quality_issues",
        help_text="Whose own series it is; empty for the catalogue's.",
    )
    series_id = models.CharField(max_length=120, db_index=True)
    object_sha256 = models.CharField(max_length=64)
    kind = models.CharField(max_length=40)
    first = models.DateField(null=True, blank=True)
    last = models.DateField(null=True, blank=True)
    message = models.TextField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.OPEN)
    found = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-found"]
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "series_id", "object_sha256", "kind", "first"],
                nulls_distinct=False,
                name="an_issue_is_told_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.series_id}: {self.message}"


class Refresh(models.Model):
    """One round of bringing series up to date: when, what for, and what came of it."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    what = models.CharField(max_length=120, help_text="A series, a provider or a calendar.")
    reason = models.CharField(max_length=60)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    created = models.DateTimeField(auto_now_add=True)
    started = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    message = models.TextField(blank=True)

    class Meta:
        ordering = ["-created"]
        verbose_name_plural = "refreshes"

    def __str__(self) -> str:
        return f"{self.what} {self.status}"


class RefreshedSeries(models.Model):
    """A series that a round wants, and how it ended."""

    refresh = models.ForeignKey(Refresh, on_delete=models.CASCADE, related_name="series")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="Whose it is; empty for the catalogue's.",
    )
    series_id = models.CharField(max_length=120)
    provider = models.CharField(max_length=30)
    symbol = models.CharField(max_length=60)
    interval = models.CharField(max_length=10)
    start = models.DateField(help_text="The first day that is asked for; some that are there, to be compared.")
    object_sha256 = models.CharField(max_length=64, help_text="What it was before the round.")
    fetch = models.ForeignKey(Fetch, null=True, blank=True, on_delete=models.SET_NULL, related_name="refreshed")
    not_before = models.DateTimeField(null=True, blank=True, help_text="When its key has an allowance again.")
    ended = models.TextField(blank=True)

    class Meta:
        ordering = ["pk"]
        verbose_name_plural = "refreshed series"

    def __str__(self) -> str:
        return self.series_id
