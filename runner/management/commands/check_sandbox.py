"""Can this machine run programs in boxes? Tries it, promise by promise: `manage.py check_sandbox [--json]`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    help = "Start a box on this machine, attack it, and say what holds, what is weaker and what to change."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        # A process of its own: the sandbox's host side is no library of the site.
        words = [sys.executable, "-m", "sandbox.host.check", "--env", str(settings.SANDBOX_ENV)]
        answer = subprocess.run(words, cwd=settings.BASE_DIR, capture_output=True, text=True)
        try:
            report = json.loads(answer.stdout)
        except ValueError:
            raise CommandError(f"The check itself failed: {answer.stderr.strip()[-1000:]}") from None
        if options["json"]:
            self.stdout.write(answer.stdout)
        else:
            self._tell(report)
        if not report["ok"]:
            raise SystemExit(1)

    def _tell(self, report: dict[str, Any]) -> None:
        for promise in report["promises"]:
            mark = "kept  " if promise["kept"] else "BROKEN"
            seen = f": {promise['seen']}" if promise["seen"] else ""
            self.stdout.write(f"{mark}  {promise['name']:<11}  {promise['says']}{seen}")
        for weakness in report["weaknesses"]:
            self.stdout.write(f"weaker  {weakness}")
        if report["first_output_seconds"] is not None:
            self.stdout.write(f"First output of a small program: {report['first_output_seconds'] * 1000:.0f} ms.")
        if report["ok"]:
            self.stdout.write("This machine can run programs in boxes.")
        else:
            self.stdout.write(f"Programs will be refused. {report['reason']}")
