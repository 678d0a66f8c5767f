"""May what was fetched take the place of what is there? New days are joined, looked at, and held back where something
is wrong with them: a person says then whether it is right as it is. Nothing is repaired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from qfp import objects

from marketdata import calendars, issues, quality
from marketdata.joining import Columns, Joined, Verdict, join
from marketdata.providers.description import Actions, Bars
from marketdata.quality import Finding


@dataclass(frozen=True)
class Admission:
    """bars: the whole series as it would be. findings: all that is odd about it. serious: what is new of it, and bad
    enough to hold the new rows back. joined: None where nothing was there before.
    """

    bars: Bars
    findings: list[Finding]
    serious: list[Finding]
    joined: Joined | None

    @property
    def needs_all(self) -> bool:
        """Whether the days in common say that the whole series has to be fetched again. Figures are revised further
        back than those days: joined, some would be from one release and some from another.
        """
        if self.joined is None:
            return False
        revised = self.joined.verdict == Verdict.RESTATED and "open" not in self.bars.columns
        return self.joined.whole or revised

    @property
    def restated(self) -> bool:
        """Whether the provider has changed its history. Prices as traded have no reason to change by a factor."""
        if self.joined is None:
            return False
        raw = not self.bars.adjustment.startswith("adjusted")
        return self.joined.verdict == Verdict.RESTATED or (self.joined.verdict == Verdict.FACTOR and raw)


def weigh(
    series_id: str, owner: Any, held: Mapping[str, Any] | None, bars: Bars, *, all_there_is: bool = False
) -> Admission:
    """held: the entry of the series in what its owner reads; None where it was never fetched.

    all_there_is: these are all bars that the provider gives, even if they begin later than what is held.
    """
    new, new_actions = _columns(bars), _actions(bars)
    if held is None:
        return Admission(bars, _look(bars, new, new_actions), [], None)
    old = objects.read(settings.STORE_DIR, held["object"])
    old_actions = objects.read(settings.STORE_DIR, held["actions"]) if held["actions"] else None
    joined = join(old, old_actions, new, new_actions, all_there_is=all_there_is)
    known = {(finding.kind, finding.first) for finding in _look(bars, old, old_actions)}
    known |= issues.dismissed(series_id, owner)
    findings = _look(bars, joined.columns, joined.actions)
    grave = quality.SERIOUS
    if bars.adjustment.startswith("raw;"):  # no splits come with these prices, so none can be missing
        grave -= {quality.Kind.UNADJUSTED_SPLIT, quality.Kind.UNIT}
    serious = [finding for finding in findings if finding.kind in grave and (finding.kind, finding.first) not in known]
    return Admission(_bars(bars, joined.columns, joined.actions), findings, serious, joined)


def _look(bars: Bars, columns: Columns, actions: Columns | None) -> list[Finding]:
    return quality.check(
        columns,
        kind=bars.kind,
        interval=bars.interval,
        adjustment=bars.adjustment,
        actions=actions,
        calendar=calendars.find(bars.exchange, bars.kind),
    )


def _columns(bars: Bars) -> Columns:
    return {"date": bars.dates, **bars.columns}


def _actions(bars: Bars) -> Columns | None:
    if bars.actions is None:
        return None
    return {"date": bars.actions.dates, "split": bars.actions.split, "dividend": bars.actions.dividend}


def _bars(about: Bars, columns: Columns, actions: Columns | None) -> Bars:
    return replace(
        about,
        dates=columns["date"],
        columns={name: values for name, values in columns.items() if name != "date"},
        actions=Actions(actions["date"], actions["split"], actions["dividend"]) if actions is not None else None,
    )
