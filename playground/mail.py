"""Where does mail go in development? To the console, and to a file for each message in DATA_DIR/mail, which nobody else
may look into: such mail has links that sign in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.console import EmailBackend as ConsoleBackend
from django.core.mail.backends.filebased import EmailBackend as FileBackend

from playground.paths import make_private


class ConsoleAndFilesBackend(BaseEmailBackend):
    """Django's own console and file backends, one after the other."""

    def __init__(self, fail_silently: bool = False, **options: Any) -> None:
        super().__init__(fail_silently=fail_silently)
        make_private(Path(settings.EMAIL_FILE_PATH))
        self.backends = (
            ConsoleBackend(fail_silently=fail_silently),
            FileBackend(fail_silently=fail_silently),
        )

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        return min(backend.send_messages(email_messages) or 0 for backend in self.backends)
