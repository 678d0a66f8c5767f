"""Free what no run needs: market data that nothing is pinned to any more."""

from __future__ import annotations

from itertools import chain
from typing import Any

from django.core.management.base import BaseCommand

from marketdata import store
from runner.models import Backtest, Run, Session


class Command(BaseCommand):
    help = (
        "Remove snapshots of market data that no run, session or backtest is pinned to, and the objects only they had."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "--keep", type=int, default=store.KEPT_SNAPSHOTS, help="snapshots of the catalogue that stay in any case"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        freed = store.collect_garbage(pinned, keep_last=options["keep"])
        self.stdout.write(f"{freed.snapshots} snapshots and {freed.objects} objects ({freed.bytes:,} bytes) removed.")


def pinned() -> set[str]:
    """The snapshots that runs, sessions and backtests read."""
    return set(
        chain.from_iterable(kind.objects.values_list("snapshot", flat=True) for kind in (Run, Session, Backtest))
    )
