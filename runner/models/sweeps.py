"""What does the site remember of searches over parameters? Sweeps and the combinations they tried."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from runner.models.projects import Project
from runner.models.runs import Run


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
