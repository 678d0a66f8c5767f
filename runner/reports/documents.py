"""What does the report of a stored backtest say? The figures, claims and conventions of its page, to the letter."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.conf import settings
from django.utils import timezone
from qfp.figures import count
from qfp.tearsheet.document import Document, document
from qfp.tearsheet.table import Table

from runner import claims_box
from runner.claims.fields import one_line
from runner.models import Backtest, Run
from runner.reports.records import record_of
from runner.sweeps.results import walk_rows

__all__ = ["document_of", "manifest_bytes", "manifest_hash", "parameters_of", "parameters_text"]

INSTRUMENTS_NAMED = 8
MADE_MEANWHILE = "when this file was made"


def document_of(backtest: Backtest, prices: bool, title: str = "", chosen: str = "", **own: Any) -> Document:
    """prices: whether its reader may see trades and bars. title: by default the project's. chosen: what
    out_of_sample() says of it to its reader.

    own: notes and logo of the author."""
    run, record = backtest.run, record_of(backtest, prices)
    project, standing = run.project, backtest.standing
    lines = claims_box.lines(backtest)
    checking = claims_box.checking(backtest)
    claimed = claims_box.summary(lines, checking and f"{checking} {MADE_MEANWHILE}")
    if checking and claimed["state"] == "red":
        claimed["text"] += f"; {checking[0].lower()}{checking[1:]} {MADE_MEANWHILE}"
    first, last = record.dates[0], record.dates[-1]
    symbols = [*record.symbols[:INSTRUMENTS_NAMED]]
    if len(record.symbols) > len(symbols):
        symbols.append(f"and {len(record.symbols) - len(symbols)} more")
    about = [
        ("Project", f"{project.title}, revision {run.revision.number}"),
        ("Author", project.owner.username if project.owner is not None else "A guest"),
        ("Instruments", ", ".join(symbols)),
        ("Period", f"{_day(first)} to {_day(last)}, {count(len(record.dates))} bars"),
        (
            "Run",
            f"{timezone.localtime(run.queued):%Y-%m-%d %H:%M} UTC, {backtest.engine_name} {backtest.engine_version}",
        ),
    ]
    # Defaults are the program's own text, in which prices could be.
    if told := parameters_text(backtest, prices):
        about.append(("Parameters", told))
    if backtest.snapshot:
        about.append(("Data snapshot", backtest.snapshot))
    return document(
        record,
        title or project.title,
        about,
        # Scores could tell of the prices that they come from.
        first=[_windows(run)] if prices and run.search.get("walk") else [],
        description=" ".join([backtest.description, *backtest.remarked(prices)]),
        conventions=backtest.conventions.get("lines", []),
        notices=[*standing.notices("Figures"), *([("amber", chosen)] if chosen else [])],
        leak=bool(standing.leak),
        verified_text=standing.said,
        claims=lines,
        claims_summary=claimed["text"],
        claims_state=claimed["state"],
        manifest=manifest_hash(run),
        link=settings.SITE_URL + backtest.get_absolute_url(),
        **own,
    )


def parameters_of(backtest: Backtest, prices: bool) -> dict[str, Any]:
    """What its program and its strategy had for their parameters, but for what a walk-forward chose in each window.

    prices: those that could tell of prices, too.
    """
    run = backtest.run
    params = run.all_params | backtest.params if prices else run.changed_params
    chosen = _chosen_in_windows(run)
    return {name: value for name, value in params.items() if name not in chosen}


def parameters_text(backtest: Backtest, prices: bool) -> str:
    """The same as a list of names and values, and which have no one value."""
    told = [f"{name} = {value}" for name, value in parameters_of(backtest, prices).items()]
    if chosen := _chosen_in_windows(backtest.run):
        where = " (see the windows’ table)" if prices else ""
        told.insert(0, f"{' and '.join(chosen)} chosen in each window{where}")
    return one_line(", ".join(told))  # a program says what they are called


def _chosen_in_windows(run: Run) -> list[str]:
    return list(run.search.get("space", ())) if run.search.get("walk") else []


def _windows(run: Run) -> Table:
    """What a walk-forward chose in each window, and what came of it."""
    rows, tones = [], []
    for number, row in enumerate(walk_rows(run), 1):
        train, test = " – ".join(row.train), " – ".join(row.test)
        rows.append((str(number), train, row.chosen, row.score, test, row.outcome, count(row.trials)))
        gain = "" if row.gain is None else "gain" if row.gain else "loss"
        tones.append(("", "", "", "", "", gain, ""))
    columns = ("Window", "Chosen on", "Chosen", "Score then", "Traded", "Return", "Trials")
    note = (
        "“Score then” is in sample: what the chosen values had shown on the bars they were chosen on. The return is "
        "out of sample."
    )
    return Table("windows", "Windows of the walk-forward", columns, rows, tones, note)


def manifest_hash(run: Run) -> str:
    """SHA-256 of the file that the page of the run offers as its manifest; empty before the run has ended."""
    return hashlib.sha256(manifest_bytes(run)).hexdigest() if run.manifest else ""


def manifest_bytes(run: Run) -> bytes:
    return json.dumps(run.manifest, indent=2, sort_keys=True).encode()


def _day(moment: Any) -> str:
    return str(moment)[:10]
