"""Free what no run needs: market data that nothing is pinned to any more."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from marketdata import garbage, store
from runner.leftovers import pinned_snapshots


class Command(BaseCommand):
    help = (
        "Remove snapshots of market data that no run, session or backtest is pinned to, and the objects only they had."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "--keep", type=int, default=store.KEPT_SNAPSHOTS, help="snapshots of the catalogue that stay in any case"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        freed = garbage.collect_garbage(pinned_snapshots, keep_last=options["keep"])
        self.stdout.write(f"{freed.snapshots} snapshots and {freed.objects} objects ({freed.bytes:,} bytes) removed.")
