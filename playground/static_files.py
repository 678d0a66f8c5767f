"""Are the hashed static files up to date? Collecting compresses megabytes, so it is done only on a change."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

import django
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

STAMP = ".collected"


def collect_if_changed() -> bool:
    """Collect when a source changed since the last time; return whether that was so."""
    target = Path(settings.STATIC_ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(target.parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = target / STAMP
        wanted = _fingerprint()
        if stamp.exists() and stamp.read_text() == wanted:
            return False
        call_command("collectstatic", interactive=False, verbosity=0, clear=True)
        stamp.write_text(wanted)
        return True
    finally:
        os.close(lock)


def _fingerprint() -> str:
    """Of the path, size and time of every file that would be collected."""
    digest = hashlib.sha256(django.__version__.encode())
    for finder in get_finders():
        for path, storage in finder.list([]):
            seen = Path(storage.path(path)).stat()
            digest.update(f"{path}\0{seen.st_size}\0{seen.st_mtime_ns}\0".encode())
    return digest.hexdigest()
