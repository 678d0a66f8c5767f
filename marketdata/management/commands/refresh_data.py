"""Bring series of providers up to date now, in this process."""

from __future__ import annotations

import argparse
import time
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from marketdata import fetching, refresh
from marketdata.models import Refresh


class Command(BaseCommand):
    help = "Fetch the new days of the catalogue's series that a provider gives, or with --user of somebody's own."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("symbol", nargs="*", help="symbols or series, such as EURUSD; all without one")
        parser.add_argument("--user", help="this person's own series, with their keys")

    def handle(self, *, symbol: list[str], user: str | None = None, **options: Any) -> None:
        owner = None
        if user:
            try:
                owner = get_user_model().objects.get_by_natural_key(user)
            except get_user_model().DoesNotExist:
                raise CommandError(f"There is nobody called {user!r}.") from None
        series = refresh.fetched_series().filter(snapshot__owner=owner)
        for name in symbol:
            if not series.filter(Q(series_id=name) | Q(instrument__symbol__iexact=name)).exists():
                raise CommandError(f"No provider has given a series {name!r} here, so there is nothing to refresh.")
        if symbol:
            wanted = Q(series_id__in=symbol)
            for name in symbol:
                wanted |= Q(instrument__symbol__iexact=name)
            series = series.filter(wanted)
        round_ = refresh.begin(", ".join(symbol) or "everything", refresh.BY_HAND, series)
        shown: set[int] = set()
        while True:
            round_ = refresh.go_on(round_.pk)
            for item in round_.series.exclude(ended="").exclude(pk__in=shown):
                shown.add(item.pk)
                self.stdout.write(f"{len(shown)} of {round_.total}  {item.series_id}: {item.ended}")
            if round_.status != Refresh.Status.RUNNING:
                break
            under_way = round_.series.filter(ended="", fetch__isnull=False)
            for item in under_way:
                fetching.perform(str(item.fetch_id))  # unless a worker was quicker
            if under_way.exists():
                time.sleep(0.05)
        self.stdout.write(round_.message)
