"""What does the site know of the data that people bring along?"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class Dataset(models.Model):
    """Somebody's own table under a name of its own; code reads it as "mine/name" or, when shared, "user/name"."""

    class Visibility(models.TextChoices):
        PRIVATE = "private", "only me"
        PUBLIC = "public", "everybody"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="datasets")
    name = models.SlugField(max_length=60)
    title = models.CharField(max_length=200, blank=True)
    visibility = models.CharField(max_length=10, choices=Visibility.choices, default=Visibility.PRIVATE)
    may_be_shared = models.BooleanField(
        default=False, help_text="The owner has said that the data is theirs to give; vendors' data never is."
    )
    source = models.CharField(max_length=200, blank=True, help_text="Where its owner says it is from.")
    last_number = models.PositiveIntegerField(
        default=0, help_text="Of the newest version there ever was: no number means two tables."
    )
    deleted = models.DateTimeField(null=True, blank=True, help_text="It can be brought back for some days after.")
    created = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="one_dataset_per_name_and_person")]

    def __str__(self) -> str:
        return self.name


class DatasetVersion(models.Model):
    """One upload of a dataset as it was understood; never changed afterwards."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    filename = models.CharField(max_length=200)
    original_sha256 = models.CharField(max_length=64)
    original_bytes = models.PositiveBigIntegerField()
    original_until = models.DateTimeField(null=True, blank=True, help_text="The file itself is kept until then.")
    object_sha256 = models.CharField(max_length=64)
    object_bytes = models.PositiveBigIntegerField()
    rows = models.PositiveIntegerField()
    columns = models.JSONField(default=list)
    interval = models.CharField(max_length=10, blank=True)
    zone = models.CharField(max_length=60, blank=True)
    first = models.DateTimeField(null=True, blank=True)
    last = models.DateTimeField(null=True, blank=True)
    reading = models.JSONField(default=dict, help_text="How the file was read, as its owner confirmed it.")
    remarks = models.JSONField(default=list, help_text="What was odd, by row, and what was done about it.")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["dataset", "number"], name="one_version_per_number")]

    def __str__(self) -> str:
        return f"{self.dataset} version {self.number}"


class Upload(models.Model):
    """A file on its way: received in pieces, looked at in a box, confirmed by its owner, then a version."""

    class Status(models.TextChoices):
        RECEIVING = "receiving"
        LOOKING = "looking"
        ASKING = "asking"
        READING = "reading"
        DONE = "done"
        REFUSED = "refused"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="uploads")
    dataset_name = models.SlugField(max_length=60)
    filename = models.CharField(max_length=200)
    kind = models.CharField(max_length=20, blank=True)
    size = models.PositiveBigIntegerField()
    received = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.RECEIVING)
    found = models.JSONField(default=dict, help_text="What was detected, and the first rows as they were read.")
    reading = models.JSONField(default=dict, help_text="How its owner wants it read.")
    problem = models.TextField(blank=True)
    version = models.ForeignKey(
        DatasetVersion, null=True, blank=True, on_delete=models.SET_NULL, related_name="uploads"
    )
    created = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created"]

    def __str__(self) -> str:
        return self.filename
