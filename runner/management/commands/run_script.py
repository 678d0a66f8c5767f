"""Run a file by the very path the site uses and print its events as JSON lines, the last line being the outcome."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from runner.access import Viewer
from runner.ending import request_cancel
from runner.events import follow
from runner.models import ENTRY, Project, Run
from runner.quotas import QuotaExceeded
from runner.starting import BadInput, clean_source, parse_param, start_run

OPERATOR = "operator"


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="a Python file; - reads standard input")
        parser.add_argument("--user", default=OPERATOR, help="run as this user, with this user's plan")
        parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE")
        parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="a shorter time limit than the plan's")
        parser.add_argument("--json", action="store_true", help="JSON lines only (without it, text as it was printed)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            source = clean_source(_read(options["file"]))
            params = dict(_param(text) for text in options["param"])
            run = self._start(options["user"], Path(options["file"]).stem, source, params, options["timeout"])
        except (BadInput, QuotaExceeded) as error:
            raise CommandError(str(error)) from None
        self.printed = 0
        try:
            async_to_sync(self._print_events)(run, options["json"])
        except KeyboardInterrupt:
            request_cancel(run)
            async_to_sync(self._print_events)(run, options["json"])
        run.refresh_from_db()
        self._line({"type": "outcome", **outcome_of(run)}, options["json"])
        sys.exit(0 if run.status == Run.Status.SUCCEEDED else 1)

    def _start(self, username: str, name: str, source: str, params: dict, timeout: float | None) -> Run:
        users = get_user_model().objects
        user = users.filter(username__iexact=username).first()
        if user is None and username == OPERATOR:
            user = users.create_user(username=OPERATOR, email="operator@localhost.invalid")
            user.set_unusable_password()
            user.save(update_fields=["password"])
        if user is None:
            raise CommandError(f"There is no user called {username!r}. Create one, or leave --user out.")
        title = "stdin" if name == "-" else name[:100]
        slug = "script-" + "".join(c if c.isalnum() and c.isascii() else "-" for c in title.lower())[:50]
        project, _ = Project.objects.get_or_create(owner=user, slug=slug, defaults={"title": title})
        project.save_draft(source, project.draft_version)
        return start_run(project, Viewer(user), files={ENTRY: source}, params=params, wall_seconds=timeout)

    async def _print_events(self, run: Run, as_json: bool) -> None:
        async for batch in follow(run.pk, after=self.printed):
            for line in batch:
                self.printed += 1
                if as_json:
                    self._write(line)
                else:
                    self._text(json.loads(line))
            await asyncio.sleep(0)

    def _text(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "stdout":
                self.stdout.write(event["text"], ending="")
            case "stderr":
                self.stderr.write(event["text"], ending="")
            case "package":
                self.stderr.write(event["text"])
            case "display":
                kinds = ", ".join(event.get("data", {}))
                self.stdout.write(event.get("data", {}).get("text/plain") or f"[{kinds}]")
            case "backtest":
                figures = " · ".join(f"{figure['label']} {figure['text']}" for figure in event["figures"])
                self.stdout.write(f"{event['strategy']}: {figures}")

    def _line(self, value: dict[str, Any], as_json: bool) -> None:
        if as_json:
            self._write(json.dumps(value, ensure_ascii=False))
        else:
            self.stderr.write(f"{value['status']}: {value['message']}")

    def _write(self, line: str) -> None:
        # A lone surrogate or an odd terminal encoding must not end the command.
        sys.stdout.buffer.write(line.encode("utf-8", "backslashreplace") + b"\n")
        sys.stdout.buffer.flush()


def outcome_of(run: Run) -> dict[str, Any]:
    return {
        "id": str(run.pk),
        "status": run.status,
        "message": run.message,
        "exit": run.exit,
        "error": run.error,
        "limit": run.limit,
        "url": settings.SITE_URL.rstrip("/") + run.get_absolute_url(),
        "cpu_seconds": run.cpu_seconds,
        "wall_seconds": run.wall_seconds,
        "peak_memory_bytes": run.peak_memory_bytes,
    }


def _read(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is not UTF-8 text (byte {error.start}).") from None


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ArgumentTypeError("must be a number of seconds above 0")
    return value


def _param(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise CommandError(f"--param takes NAME=VALUE, not {text!r}.")
    return name, parse_param(value)
