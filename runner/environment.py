"""Which packages does every box have? The hash of their lock, by which runs say what they ran with."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from runner.models import GPU

__all__ = ["environment_lock"]


@lru_cache(maxsize=4)
def environment_lock(queue: str = "runs") -> str:
    """SHA-256 of the package lock the box's environment was made from; of what is installed where GPU runs have one."""
    if queue == GPU and settings.GPU_SANDBOX_ENV is not None:
        installed = sorted(
            each.name for each in settings.GPU_SANDBOX_ENV.glob("lib/python3*/site-packages/*.dist-info")
        )
        return hashlib.sha256("\n".join(installed).encode()).hexdigest()
    return hashlib.sha256((Path(settings.BASE_DIR) / "sandbox" / "requirements.txt").read_bytes()).hexdigest()
