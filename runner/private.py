"""What of a run may others see, when it read series that only its owner may have?

Its code, the parameters it was given, figures and equity curve of backtests that were verified, and which series and
snapshot it read. Nothing that the program could write rows of them into: not what it printed, drew or left as files, no
names and parameters that it declared, no backtest over bars of its own making. Nor its trades and the line of buy and
hold, which are prices of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from qfp.objects import named_objects

from marketdata.models import Series
from marketdata.store import SnapshotMissing, read_manifest
from runner.access import Viewer
from runner.models import Backtest, Project, Run
from runner.verdicts import NOT_VERIFIED

# What a program cannot write its data into, or, as for backtests, what is drawn of it without prices.
FOR_ALL = {"phase", "package", "backtest", "checks", "finished"}
LINES_FOR_ALL = ("dates", "equity", "drawdown", "closed")
UPLOADS = "mine/"  # how the ids of series begin that the reader has brought along
NAMED = 3
STRATEGY = "Backtest"  # for the name that the program gave it
FINDINGS = ("lookahead", "amnesia")  # tests that the box ran and tells of
FINDING = "What was found is shown to its owner alone."
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
        return [_without_prices(event) for event in events if event["type"] in FOR_ALL and _is_verified(event)]

    def hide(self, run: Run) -> None:
        """Take from a run that a page is made of what this viewer may not see."""
        if self.all:
            return
        if run.status == Run.Status.FAILED:
            run.message = FAILED
        run.error = None
        run.declared_params = [{"name": name, "default": value} for name, value in run.params.items()]

    def backtests(self, run: Run) -> list[Backtest]:
        """Those that a page may show, in the run's order."""
        if self.all:
            return list(run.backtests.all())
        return [kept for kept in map(self.backtest, run.backtests.all()) if kept is not None]

    def backtest(self, backtest: Backtest) -> Backtest | None:
        """It without what the program could write into it; None where that would leave nothing to trust."""
        if self.all:
            return backtest
        if not backtest.verified:
            return None
        backtest.strategy, backtest.params = STRATEGY, {}
        backtest.engine_name, backtest.engine_version = "engine not named", ""
        found = {key: backtest.checks[key] | {"sentence": FINDING} for key in FINDINGS if key in backtest.checks}
        backtest.checks = backtest.checks | found
        return backtest


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
        if unknown:
            return Shown(True)
        private = run.project.visibility == Project.Visibility.PRIVATE
        others = f"{'If you share it, others' if private else 'Others'} see its code and figures only."
        return Shown(True, f"{_read(series)} for you alone. {others}")
    why = "This run may read data" if unknown else _read(series)
    return Shown(
        False,
        f"{why} for its owner alone, so what it printed, its files and its trades are not shown. Run the code with "
        "data of your own.",
    )


def personal_series(snapshot: str) -> tuple[str, ...]:
    """The series of a snapshot that are for one person alone; of one that is not there nobody knows, so it has some."""
    try:
        return tuple(sorted(_personal_entries(snapshot)))
    except SnapshotMissing:
        return ("a snapshot that is gone",)


def is_brought(entry: Mapping[str, Any]) -> bool:
    """Whether somebody brought the series along as a file, and nobody else has looked at it: what came later can stand
    in any row of it.
    """
    return entry.get("rights") == Series.Rights.OWN or entry.get("id", "").startswith(UPLOADS)


def _is_personal(entry: Mapping[str, Any]) -> bool:
    return entry.get("rights") == Series.Rights.PERSONAL


def brought_series(snapshot: str) -> tuple[str, ...]:
    """The series of a snapshot that are files which somebody brought along."""
    try:
        return tuple(sorted(_brought_entries(snapshot)))
    except SnapshotMissing:
        return ()


@lru_cache(maxsize=256)
def _personal_entries(snapshot: str) -> dict[str, frozenset[str]]:
    return _objects(snapshot, _is_personal)


@lru_cache(maxsize=256)
def _brought_entries(snapshot: str) -> dict[str, frozenset[str]]:
    return _objects(snapshot, is_brought)


def _objects(snapshot: str, chosen: Callable[[Mapping[str, Any]], bool]) -> dict[str, frozenset[str]]:
    """Their objects by their ids: those with nothing else in them. Raises SnapshotMissing."""
    if not snapshot:
        return {}
    manifest = read_manifest(Path(settings.STORE_DIR), snapshot)
    personal = {entry["id"] for entry in manifest["series"] if chosen(entry)}
    for_all = named_objects({"series": [entry for entry in manifest["series"] if entry["id"] not in personal]})
    found = {
        entry["id"]: {entry["object"], entry["actions"]} - {None, ""}
        for entry in manifest["series"]
        if entry["id"] in personal
    }
    for universe in manifest.get("universes", []):
        for series in personal & {member["series"] for member in universe["members"]} if universe.get("panel") else ():
            found[series].add(universe["panel"])
    return {series: frozenset(names - for_all) for series, names in found.items()}


def watched_objects(snapshot: str) -> list[str]:
    """What the engine is to watch, because opening it is reading a series of personal_series() or brought_series()."""
    try:
        return sorted(frozenset().union(*_personal_entries(snapshot).values(), *_brought_entries(snapshot).values()))
    except SnapshotMissing:
        return []


def opened_series(snapshot: str, ended: dict[str, Any], brought: bool = False) -> set[str]:
    """The personal series that a box has read, or those that somebody brought along, as its host knows: files it
    opened, and whatever it was given since.

    snapshot: of the run, at its end. ended: what the engine said last. Where that does not say, all of them.
    """
    names, mounted = ended.get("opened"), ended.get("snapshot") or ""
    entries, there = (
        (_brought_entries, set(brought_series(snapshot)))
        if brought
        else (_personal_entries, set(personal_series(snapshot)))
    )
    try:
        had, has = entries(mounted), entries(snapshot)
    except SnapshotMissing:
        return there
    if not isinstance(names, list):
        return there | set(had)
    given = {series for series, objects in has.items() if had.get(series) != objects}
    return given | {series for series, objects in had.items() if objects & set(names)}


def _read(series: list[str]) -> str:
    more = f" and {len(series) - NAMED} more" if len(series) > NAMED else ""
    return f"This run read {', '.join(series[:NAMED])}{more}, which {'is' if len(series) == 1 else 'are'}"


def _is_verified(event: dict[str, Any]) -> bool:
    """Not a backtest, or one over bars of ours; of another its prices and the reason of the doubt are the program's."""
    if event["type"] == "checks":
        return not any(line["text"].startswith(NOT_VERIFIED) for line in event["lines"] if line["key"] == "verified")
    return event.get("verified", True)


def _without_prices(event: dict[str, Any]) -> dict[str, Any]:
    if event["type"] == "finished" and event["status"] == Run.Status.FAILED:
        return event | {"message": FAILED, "error": None}
    if event["type"] == "checks":
        return event | {
            "lines": [line | {"text": FINDING} if line["key"] in FINDINGS else line for line in event["lines"]]
        }
    if event["type"] != "backtest":
        return event
    chart = {name: event["chart"][name] for name in LINES_FOR_ALL if name in event["chart"]}
    tables: dict[str, Any] = {name: {**event[name], "rows": []} for name in ("trades", "holdings") if name in event}
    return event | {"strategy": STRATEGY, "params": {}, "chart": chart, "no_trades": ""} | tables
