"""What does the site remember of live interpreters? Whose they are, where they are held, and why they ended."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from runner.models.packages import PackageLock
from runner.models.projects import Project

if TYPE_CHECKING:
    from runner.access import Viewer


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
