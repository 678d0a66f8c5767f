"""What does the site remember of the packages that runs had? The lock that each was installed from."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class PackageLock(models.Model):
    """The exact files of the packages a run had beside those of every box. The same text is the same layer."""

    sha256 = models.CharField(max_length=64, primary_key=True, help_text="Of the text; the name of the layer.")
    text = models.TextField(help_text="Names, versions, files and hashes: the layer can be made again from it.")
    base = models.CharField(max_length=64, help_text="SHA-256 of the pins of what every box had then.")
    created = models.DateTimeField(default=timezone.now, editable=False)
    used = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created"]

    def __str__(self) -> str:
        return ", ".join(f"{name} {version}" for name, version in self.packages)

    @property
    def packages(self) -> list[tuple[str, str]]:
        """(name, version) of everything in it."""
        pins = [line.partition(" ")[0] for line in self.text.splitlines() if not line.startswith("#")]
        return [(name, version) for name, _, version in (pin.partition("==") for pin in pins)]
