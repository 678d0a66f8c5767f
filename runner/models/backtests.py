"""What does the site remember of backtests? Their figures, what else a run tried, and the reports asked for."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.urls import reverse
from django.utils import timezone

from runner.models.projects import Project, Revision
from runner.models.runs import Run
from runner.remarks import remarks
from runner.verdicts import Standing, made_up, standing_of

SAID = ("lines", "survivorship", "unlogged", "sample")  # among conventions: what is said about them, not what they are


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
    no_trades = models.CharField(max_length=400, blank=True, help_text="Why there are none, where that is known.")
    verified = models.BooleanField(default=False)
    verified_text = models.TextField(blank=True)
    trial = models.CharField(max_length=64, blank=True, db_index=True, help_text="SHA-256 of what was tried.")
    checks = models.JSONField(
        default=dict, help_text="Findings of the tests of honesty: each with state, sentence and what it rests on."
    )
    same = models.CharField(
        max_length=64, blank=True, help_text="What copies of it share; empty until the site has made it again."
    )
    sides = models.JSONField(default=dict, blank=True, help_text="What it held of each instrument, and from when on.")

    class Meta:
        ordering = ["run", "position"]
        constraints = [models.UniqueConstraint(fields=["run", "position"], name="backtest_position_unique")]
        indexes = [models.Index(fields=["same"], condition=~models.Q(same=""), name="backtest_by_same")]

    def __str__(self) -> str:
        return f"{self.strategy} in {self.run_id}"

    def get_absolute_url(self) -> str:
        return reverse("runner:backtest", args=[self.run_id, self.position])

    @property
    def standing(self) -> Standing:
        """Whether it was verified, and whether it was found to use the future."""
        return standing_of(self)

    @property
    def rules(self) -> dict[str, Any]:
        """Its conventions, without what is said about them."""
        return {name: value for name, value in self.conventions.items() if name not in SAID}

    @property
    def synthetic(self) -> str:
        """That a model made its bars, in a sentence; "" where none did."""
        return made_up(self.instruments)

    @property
    def remarks(self) -> list[str]:
        """Refused orders and instruments that ended, a sentence each."""
        return remarks(self.orders, self.flows, self.instruments, self.dates)

    def remarked(self, prices: bool) -> list[str]:
        """The remarks, and why there are no trades. prices: whether its reader may see those that the reason names."""
        why = [f"The strategy made no trade. {self.no_trades}"] if prices and self.no_trades and not self.fills else []
        return [*self.remarks, *why]


class Attempt(models.Model):
    """What a run tried in a backtest beyond those that are recorded: it counts, though nothing else of it is kept."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="attempts")
    trial = models.CharField(max_length=64, db_index=True, help_text="SHA-256 of what was tried, as of a backtest.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "trial"], name="attempt_unique")]

    def __str__(self) -> str:
        return f"{self.trial[:8]} in {self.run_id}"


class TradedAlike(models.Model):
    """A revision, and those of its author's other projects of which runs have traded nearly the same before it.

    others: besides revisions, where runs of its own are not compared with all others as yet, 0 and each of these runs
    by the number of its first backtest below 0; see runner/likeness/compared.py.
    """

    one = models.OneToOneField(Revision, on_delete=models.CASCADE, related_name="traded_alike")
    others = ArrayField(models.BigIntegerField(), default=list, help_text="Of revisions, some of which may be gone.")

    class Meta:
        indexes = [GinIndex(fields=["others"], name="traded_alike_others")]

    def __str__(self) -> str:
        return f"{self.one_id} and {len(self.others)} others"


class PastTrial(models.Model):
    """What was tried in a project that has been deleted: it counts where its code is tried again, and in its forks."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    shape = models.CharField(max_length=64, blank=True, help_text="SHA-256 of its code without literals and names.")
    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, null=True, related_name="past_trials", help_text="A fork of the deleted one."
    )
    trial = models.CharField(max_length=64, help_text="SHA-256 of what was tried.")

    class Meta:
        indexes = [models.Index(fields=["owner", "shape"], name="past_trial_by_shape")]

    def __str__(self) -> str:
        return self.trial[:8]


class PastProgram(models.Model):
    """What a program of a deleted project has run, or one of its runs has traded: it is the same as others that did so,
    or did a part of it or more.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    shape = models.CharField(max_length=64, help_text="SHA-256 of its code without literals and names.")
    strategies = models.JSONField(help_text="SHA-256 of each of its strategies, or of what each has traded, sorted.")

    def __str__(self) -> str:
        return self.shape[:8]


class FoundLeak(models.Model):
    """A backtest that was found to use the future: so does every one that is the same, also when it is gone."""

    same = models.CharField(max_length=64, unique=True, help_text="SHA-256 of its code, series, orders and fills.")
    bar = models.PositiveIntegerField(help_text="The first one that was decided otherwise.")
    found = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.same[:8]} on bar {self.bar}"


class Report(models.Model):
    """A report of a backtest that somebody asked for, with notes and a logo of their own, made in the background.

    step: of one that is done the claims that it was made with, see making.claims_of(). created: when that was.
    """

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
