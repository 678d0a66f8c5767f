"""Write marketdata/sessions.json anew, from the package exchange_calendars. Done before a release, once a year."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, time
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from marketdata import calendars

FIRST = date(1990, 1, 1)
# Holidays that nobody has announced yet (a day of mourning, an election) are not in it: hence the yearly export.
LAST = date(2030, 12, 31)
WORKED_OUT_HERE = {"TARGET", "FX", "CRYPTO"}


class Command(BaseCommand):
    help = "Write the sessions of the exchanges to marketdata/sessions.json (needs requirements-dev.txt)."

    def handle(self, **options: Any) -> None:
        try:
            import exchange_calendars
        except ImportError:
            raise CommandError("The package exchange_calendars is missing: make setup-tests installs it.") from None
        written = {name: _calendar(name) for name in calendars.NAMES if name not in WORKED_OUT_HERE}
        source = f"exchange_calendars {exchange_calendars.__version__} (Apache-2.0)"
        text = json.dumps({"source": source, "calendars": written}, indent=1, sort_keys=True)
        calendars.SESSIONS.write_text(text + "\n", encoding="utf-8")
        self.stdout.write(f"{len(written)} calendars, {len(text) // 1024} KiB, from {source}.")


def _calendar(name: str) -> dict[str, Any]:
    from exchange_calendars import calendar_utils, get_calendar

    made = calendar_utils.global_calendar_dispatcher._calendar_factories[name]
    low, high = made.bound_min(), made.bound_max()
    first = max(FIRST, low.date()) if low is not None else FIRST
    last = min(LAST, high.date()) if high is not None else LAST
    calendar = get_calendar(name, start=first.isoformat(), end=last.isoformat())
    sessions = {session.date() for session in calendar.sessions}
    every_day = [date.fromordinal(number) for number in range(first.toordinal(), last.toordinal() + 1)]
    usual = {day for day in every_day if calendar.weekmask[day.weekday()] == "1"}
    if odd := sorted(sessions - usual):
        raise CommandError(f"{name} has sessions on weekends ({odd[0]}), which the file has no place for.")
    closes = _hours(calendar.close_times)
    endings = calendar.closes.dt.tz_convert(calendar.tz)
    short = {}
    for session, ending in zip(calendar.sessions, endings, strict=True):
        minute = ending.hour * 60 + ending.minute
        if minute != calendars.minute_on([(date.fromisoformat(since), at) for since, at in closes], session.date()):
            short[session.date().isoformat()] = minute
    return {
        "zone": str(calendar.tz),
        "first": first.isoformat(),
        "last": last.isoformat(),
        "week": calendar.weekmask,
        "opens": _hours(calendar.open_times),
        "closes": closes,
        "closed": _by_year(usual - sessions),
        "short": short,
    }


def _hours(changes: Iterable[tuple[Any, time]]) -> list[tuple[str, int]]:
    return [
        ((date.min if since is None else since.date()).isoformat(), at.hour * 60 + at.minute) for since, at in changes
    ]


def _by_year(days: Iterable[date]) -> dict[str, str]:
    found: dict[str, list[str]] = defaultdict(list)
    for day in sorted(days):
        found[str(day.year)].append(f"{day:%m%d}")
    return {year: " ".join(days) for year, days in found.items()}
