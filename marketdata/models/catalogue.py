"""What does the site know of instruments, their series and the snapshots that pin them? Bars themselves are
files.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class Instrument(models.Model):
    """Something with a price or a value: a share, an index, a rate, a set of factors."""

    class Kind(models.TextChoices):
        EQUITY = "equity"
        INDEX = "index"
        VOLATILITY = "volatility"
        COMMODITY = "commodity"
        CREDIT = "credit"
        CURVE = "curve"
        FACTORS = "factors"
        MACRO = "macro"
        FX = "fx"
        CRYPTO = "crypto"
        OPTIONS = "options"
        DATASET = "dataset"

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="instruments",
        help_text="Whose own it is; empty for those of the catalogue.",
    )
    symbol = models.CharField(max_length=120)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    exchange = models.CharField(max_length=30, blank=True)
    aliases = models.JSONField(default=list, blank=True, help_text="Other names that find it.")

    class Meta:
        ordering = ["symbol"]
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "symbol"], nulls_distinct=False, name="one_instrument_per_symbol_and_owner"
            )
        ]

    def __str__(self) -> str:
        return self.symbol


class Snapshot(models.Model):
    """A manifest of series and the objects that hold them; its id is the SHA-256 of the manifest's bytes."""

    id = models.CharField(max_length=64, primary_key=True)
    created_for = models.CharField(max_length=60)
    created = models.DateTimeField(auto_now_add=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="snapshots",
        help_text="It holds series that only this person may read; empty for the catalogue that everybody reads.",
    )
    base = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The catalogue's snapshot that somebody's own one was made over.",
    )
    is_current = models.BooleanField(default=False, help_text="New runs (of its owner, if it has one) read this one.")

    class Meta:
        ordering = ["-created"]
        constraints = [
            models.UniqueConstraint(
                fields=["owner"], condition=Q(is_current=True), nulls_distinct=False, name="one_current_snapshot_each"
            )
        ]

    def __str__(self) -> str:
        return self.id[:12]


class Series(models.Model):
    """One interval of an instrument as a snapshot holds it: which object, how many rows, what may be done
    with it.
    """

    class Rights(models.TextChoices):
        REDISTRIBUTE = "redistribute", "may be shown, shared and downloaded"
        PERSONAL = "personal", "for its owner alone, under the provider's terms"
        OWN = "own", "its owner's; shared as its owner decides"

    snapshot = models.ForeignKey(Snapshot, on_delete=models.CASCADE, related_name="series")
    # Restricted, not protected: an account takes its instruments and its series along together.
    instrument = models.ForeignKey(Instrument, on_delete=models.RESTRICT, related_name="series")
    series_id = models.CharField(max_length=120, help_text="The name in the manifest, such as starter/us/1d/AAPL.")
    interval = models.CharField(max_length=10)
    unit = models.CharField(max_length=60, blank=True)
    columns = models.JSONField(default=list)
    rows = models.PositiveIntegerField()
    first = models.DateField()
    last = models.DateField()
    object_sha256 = models.CharField(max_length=64)
    actions_sha256 = models.CharField(max_length=64, blank=True, help_text="Splits and dividends, if there are any.")
    adjustment = models.CharField(max_length=60)
    licence = models.CharField(max_length=200)
    rights = models.CharField(max_length=20, choices=Rights.choices, default=Rights.REDISTRIBUTE)
    tier = models.CharField(
        max_length=1, blank=True, help_text="A public domain, B open, C for education, S synthetic."
    )
    provider = models.CharField(max_length=30, blank=True)
    source = models.CharField(max_length=200)
    quality = models.TextField(blank=True)
    survivorship = models.CharField(max_length=120, blank=True)
    notice = models.TextField(blank=True)

    class Meta:
        ordering = ["series_id"]
        verbose_name_plural = "series"
        constraints = [
            models.UniqueConstraint(fields=["snapshot", "series_id"], name="one_series_per_name_in_a_snapshot")
        ]

    def __str__(self) -> str:
        return self.series_id


class Universe(models.Model):
    """A named set of instruments whose members come and go, as a snapshot holds it."""

    snapshot = models.ForeignKey(Snapshot, on_delete=models.CASCADE, related_name="universes")
    name = models.CharField(max_length=120, help_text="Such as starter/sp500_20.")
    title = models.CharField(max_length=200)
    survivorship = models.CharField(max_length=20, choices=[(word, word) for word in ("free", "biased", "unknown")])
    notice = models.TextField(blank=True)
    members = models.PositiveIntegerField()
    first = models.DateField(null=True)
    last = models.DateField(null=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["snapshot", "name"], name="one_universe_per_name_in_a_snapshot")]

    def __str__(self) -> str:
        return self.name
