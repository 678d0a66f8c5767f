"""Can this machine run programs in boxes? Tries it, promise by promise: `manage.py check_sandbox [--json]`.

Every backend that SANDBOX_BACKEND names is tried, and boxes with a GPU where GPU_SANDBOX_ENV takes them. With --json
the answer is the report of the one for usual runs; those of the others stand below `others` and `gpu`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from runner.engines import backend_options

MARKS = {True: "kept  ", False: "BROKEN", None: "      "}


class Command(BaseCommand):
    help = "Start boxes as this site would, attack them, and say what holds, what is weaker and what to change."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        usual = settings.SANDBOX_BACKENDS["runs"]
        others = sorted(set(settings.SANDBOX_BACKENDS.values()) - {usual})
        reports = {backend: self._try(backend) for backend in (usual, *others)}
        on_gpu = self._try_gpu()
        every = [*reports.values(), *([on_gpu] if on_gpu else [])]
        if options["json"]:
            self.stdout.write(
                json.dumps(
                    {**reports[usual], "others": {name: reports[name] for name in others}, "gpu": on_gpu}, indent=2
                )
            )
        else:
            for backend, report in reports.items():
                if others:
                    self.stdout.write(f"Boxes made by {backend}:")
                self._tell(report)
            if on_gpu:
                self.stdout.write("Boxes with a GPU:")
                self._tell(on_gpu)
            elif "gpu" in settings.ENGINE_SOCKETS:
                self.stdout.write("Boxes with a GPU were not tried: start a run on one.")
        if not all(report["ok"] for report in every):
            raise SystemExit(1)

    def _try(self, backend: str) -> dict[str, Any]:
        return self._ask("sandbox.host.check", "--env", str(settings.SANDBOX_ENV), *backend_options(backend))

    def _try_gpu(self) -> dict[str, Any] | None:
        """None where there are no runs with one, or where others than nsjail make their boxes."""
        if "gpu" not in settings.ENGINE_SOCKETS or settings.SANDBOX_BACKENDS["gpu"] != "nsjail":
            return None
        return self._ask("sandbox.host.check_device", "--env", str(settings.GPU_SANDBOX_ENV), "--device", "gpu")

    def _ask(self, *words: str) -> dict[str, Any]:
        # A process of its own: the sandbox's host side is no library of the site.
        words = (sys.executable, "-m", *words)
        answer = subprocess.run(words, cwd=settings.BASE_DIR, capture_output=True, text=True)
        try:
            return json.loads(answer.stdout)
        except ValueError:
            raise CommandError(f"The check itself failed: {answer.stderr.strip()[-1000:]}") from None

    def _tell(self, report: dict[str, Any]) -> None:
        for promise in report["promises"]:
            seen = f": {promise['seen']}" if promise["seen"] else ""
            self.stdout.write(f"{MARKS[promise['kept']]}  {promise['name']:<11}  {promise['says']}{seen}")
        for weakness in report["weaknesses"]:
            self.stdout.write(f"weaker  {weakness}")
        if report["first_output_seconds"] is not None:
            self.stdout.write(f"First output of a small program: {report['first_output_seconds'] * 1000:.0f} ms.")
        if report["ok"]:
            self.stdout.write("This machine can run programs in boxes.")
        else:
            self.stdout.write(f"Programs will be refused. {report['reason']}")
