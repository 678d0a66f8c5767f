"""Where does mail go in development? To the console, and to a file for each message in DATA_DIR/mail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.console import EmailBackend as ConsoleBackend
from django.core.mail.backends.filebased import EmailBackend as FileBackend


class ConsoleAndFilesBackend(BaseEmailBackend):
    """Django's own console and file backends, one after the other."""

    def __init__(self, fail_silently: bool = False, **options: Any) -> None:
        super().__init__(fail_silently=fail_silently)
        self.backends = (
            ConsoleBackend(fail_silently=fail_silently),
            FileBackend(fail_silently=fail_silently),
        )

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        return min(backend.send_messages(email_messages) or 0 for backend in self.backends)
