"""Who was in a universe on a day, and how did its number change?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from qfp.figures import count

Universe = Mapping[str, Any]


def members_on(universe: Universe, day: date) -> list[Mapping[str, Any]]:
    """The members of that day: from the day they entered to their last day, as in qfp.data.universe()."""
    text = day.isoformat()
    return [m for m in universe["members"] if _entered(m) <= text and (not m["left"] or text <= m["left"][:10])]


def _entered(member: Mapping[str, Any]) -> str:
    return (member["entered"] or "")[:10]


def span(universe: Universe) -> tuple[str, str]:
    """First and last day on which something changed; empty texts where membership has no dates."""
    days = sorted(
        moment[:10] for member in universe["members"] for moment in (member["entered"], member["left"]) if moment
    )
    return (days[0], days[-1]) if days else ("", "")


def counts(universe: Universe) -> tuple[list[str], list[int]]:
    """(days on which the number of members changed, the number from that day on)."""
    changes: dict[str, int] = {}
    for member in universe["members"]:
        changes[_entered(member)] = changes.get(_entered(member), 0) + 1
        if member["left"]:
            after = (date.fromisoformat(member["left"][:10]) + timedelta(days=1)).isoformat()
            changes[after] = changes.get(after, 0) - 1
    days, totals, total = [], [], 0
    for day in sorted(changes):
        total += changes[day]
        days.append(day)
        totals.append(total)
    return days, totals


def sentence(universe: Universe, today: Sequence[Mapping[str, Any]], day: date) -> str:
    members = universe["members"]
    gone = sum(1 for member in members if member["left"])
    text = f"{count(len(today))} of {count(len(members))} names were in it on {day.day} {day:%b %Y}"
    if gone:
        return f"{text}; {count(gone)} left and {'stays' if gone == 1 else 'stay'} listed with the dates."
    return f"{text}." if universe["survivorship"] == "free" else f"{text}; none ever left, so it holds survivors only."
