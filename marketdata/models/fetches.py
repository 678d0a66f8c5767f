"""What does the site know of providers, of people's keys for them, and of what was fetched?"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q


class Provider(models.Model):
    """Whether a provider may be asked, and how it has been answering. What it can do is code (marketdata.providers)."""

    class Health(models.TextChoices):
        UNKNOWN = "unknown", "not asked yet"
        GOOD = "good", "answers"
        SLOW = "slow", "refuses for now"
        DOWN = "down", "does not answer"

    name = models.CharField(max_length=30, primary_key=True)
    enabled = models.BooleanField(default=True, help_text="Off: nobody's fetch asks it.")
    health = models.CharField(max_length=10, choices=Health.choices, default=Health.UNKNOWN)
    retry_at = models.DateTimeField(null=True, blank=True)
    last_success = models.DateTimeField(null=True, blank=True)
    last_failure = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ProviderAgreement(models.Model):
    """What it takes besides a key: a person accepted the provider's terms, or the operator vouches for them."""

    class Kind(models.TextChoices):
        CONSENT = "consent", "the person has accepted the provider's terms"
        ENTITLEMENT = "entitlement", "the operator has entitled the person"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="provider_agreements")
    provider = models.CharField(max_length=30)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    terms = models.TextField(blank=True, help_text="The words that were accepted, or the contract it rests on.")
    given = models.DateTimeField(auto_now_add=True)
    withdrawn = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["provider", "-given"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "provider", "kind"],
                condition=Q(withdrawn=None),
                name="one_agreement_per_person_provider_and_kind",
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.kind}"


class ProviderCredential(models.Model):
    """Somebody's key for a provider. Only what fetches can read it; people see its last four characters."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="provider_credentials")
    provider = models.CharField(max_length=30)
    ciphertext = models.BinaryField()
    key_version = models.CharField(max_length=16, help_text="Which key of the site encrypted it.")
    last4 = models.CharField(max_length=4, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    last_used = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    revoked = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["provider"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "provider"], condition=Q(revoked=None), name="one_key_per_person_and_provider"
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider} ...{self.last4}"


class CredentialUse(models.Model):
    """One use of a key: when, for what, and how it ended."""

    credential = models.ForeignKey(ProviderCredential, on_delete=models.CASCADE, related_name="uses")
    at = models.DateTimeField(auto_now_add=True)
    purpose = models.CharField(max_length=200)
    run = models.UUIDField(null=True, blank=True)
    outcome = models.CharField(max_length=40, blank=True)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.purpose} {self.outcome}"


class Fetch(models.Model):
    """One series asked of one provider for one person, from being wanted to being stored or refused."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="fetches",
        help_text="Whose key and whose data; empty for the catalogue's own, which may be redistributed.",
    )
    provider = models.CharField(max_length=30)
    symbol = models.CharField(max_length=60)
    interval = models.CharField(max_length=10, default="1d")
    start = models.DateField(null=True, blank=True)
    end = models.DateField(null=True, blank=True)
    run = models.UUIDField(null=True, blank=True, help_text="The run that asked, if one did.")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    progress = models.CharField(max_length=200, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    retry_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=30, blank=True, help_text="The kind of error, such as RateLimited.")
    message = models.TextField(blank=True)
    created = models.DateTimeField(auto_now_add=True)
    started = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)
    series_id = models.CharField(max_length=120, blank=True)
    object_sha256 = models.CharField(max_length=64, blank=True)
    snapshot = models.CharField(max_length=64, blank=True, help_text="The first snapshot that holds it.")

    class Meta:
        ordering = ["-created"]
        verbose_name_plural = "fetches"
        indexes = [models.Index(fields=["finished"])]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "provider", "symbol", "interval"],
                condition=Q(status__in=["queued", "running"]),
                nulls_distinct=False,
                name="one_unfinished_fetch_per_series_and_person",
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.symbol} {self.status}"
