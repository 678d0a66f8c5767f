"""Become the web server, with the options the supervisor starts it with. For containers and service managers."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand

from playground.processes import web_command


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        command = web_command()
        os.execv(command[0], command)  # noqa: S606  (no shell is wanted)
