"""What of a run may others see, when it read series that only its owner may have?

Its code, parameters, figures and equity curve, and which series and snapshot it read. Not what it printed, drew or left
as files, for that may hold rows of them; nor its trades and the line of buy and hold, which are prices of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from marketdata.models import Series
from marketdata.store import SnapshotMissing, read_manifest
from runner.access import Viewer
from runner.models import Project, Run

# What a program cannot write its data into, or, as for backtests, what is drawn of it without prices.
FOR_ALL = {"phase", "package", "param", "backtest", "checks", "finished"}
LINES_FOR_ALL = ("dates", "equity", "drawdown")
NAMED = 3
FAILED = "It failed. The error may quote data of its owner, so it is not shown."


@dataclass(frozen=True)
class Shown:
    """all: whether this viewer may see everything. note: a sentence for the page when others may not, else ""."""

    all: bool
    note: str = ""

    def events(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that this viewer may see, as they may see them."""
        if self.all:
            return events
        return [_without_prices(event) for event in events if event["type"] in FOR_ALL]

    def hide(self, run: Run) -> None:
        """Take from a run that a page is made of what this viewer may not see."""
        if not self.all and run.status == Run.Status.FAILED:
            run.message, run.error = FAILED, None


def shown_to(run: Run, viewer: Viewer) -> Shown:
    """While it goes on, and where nothing tells what it read, it counts as having read all that it could. Ask after
    its events have been read: what it is given on the way is in its snapshot before it can print any.
    """
    if not run.is_finished:
        run.refresh_from_db(fields=["snapshot", "manifest"])
    series = run.manifest.get("data", {}).get("private")
    unknown = series is None
    if series is None:
        series = personal_series(run.snapshot)
    if not series:
        return Shown(True)
    if Project.objects.editable_by(viewer).filter(pk=run.project.pk).exists():
        return Shown(True, "" if unknown else f"{_read(series)} for you alone. Others see its code and figures only.")
    why = "This run may read data" if unknown else _read(series)
    return Shown(
        False,
        f"{why} for its owner alone, so what it printed, its files and its trades are not shown. Run the code with "
        "data of your own.",
    )


@lru_cache(maxsize=256)
def personal_series(snapshot: str) -> tuple[str, ...]:
    """The series of a snapshot that are for one person alone; of one that is not there nobody knows, so it has some."""
    if not snapshot:
        return ()
    try:
        entries = read_manifest(Path(settings.STORE_DIR), snapshot)["series"]
    except SnapshotMissing:
        return ("a snapshot that is gone",)
    return tuple(sorted(entry["id"] for entry in entries if entry.get("rights") == Series.Rights.PERSONAL))


def _read(series: list[str]) -> str:
    more = f" and {len(series) - NAMED} more" if len(series) > NAMED else ""
    return f"This run read {', '.join(series[:NAMED])}{more}, which {'is' if len(series) == 1 else 'are'}"


def _without_prices(event: dict[str, Any]) -> dict[str, Any]:
    if event["type"] == "finished" and event["status"] == Run.Status.FAILED:
        return event | {"message": FAILED, "error": None}
    if event["type"] != "backtest":
        return event
    chart = {name: event["chart"][name] for name in LINES_FOR_ALL if name in event["chart"]}
    tables: dict[str, Any] = {name: {**event[name], "rows": []} for name in ("trades", "holdings") if name in event}
    return event | {"chart": chart} | tables
