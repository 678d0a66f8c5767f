"""What did the tests find, in a sentence? The same on the site, in reports and on a laptop."""

from __future__ import annotations

from typing import Any

from qfp.checking.advice import advice

__all__ = ["DOUBTS", "QUOTES_NOTHING", "amnesia_sentence", "sentence"]

DOUBTS = ("prices", "boundary", "days", "numbers", "table")  # what may be remembered honestly
# Reasons that the tests give in words of their own, without anything of the program or its data.
QUOTES_NOTHING = frozenset(
    {
        "the program around it is tested at its end",
        "only the strategy can be run again here",
        "there are too few bars",
        "it knows the future",
        "time ran out, as when the site is busy. Run it again for the whole test",
        "the same bars gave other decisions: random numbers without a seed, or something outside the bars",
        "run twice it gave other decisions: random numbers without a seed, or the time of day",
        "it looks up other data, which stay on their dates and prices",
        "its orders are looked up in a table by the number of the bar",
        "its orders follow random numbers with a seed, whatever the bars",
        "its weights, dates or members are a table by date",
        "its bars have no dates that could be moved",
        "the limits of the run left no time for it",
        "a copy of the program cannot be made on this system",
    }
)


def sentence(found: dict[str, Any]) -> str:
    """Of the look-ahead test."""
    match found.get("state"):
        case "clean":
            return f"No look-ahead found: {_tried(found)} left every earlier decision as it was."
        case "leak":
            where = f": {found['expression']}" if found.get("expression") else ""
            line = f" (line {found['line']})" if found.get("line") else ""
            more = f" {advice(found['expression'])}." if found.get("expression") else ""
            return f"Look-ahead: the decision of {_when(found)} changes when later data change{where}{line}.{more}"
        case "partly":
            return f"No look-ahead found in the strategy ({_tried(found)}); {found.get('why')}."
        case "files":
            name = found.get("name") or "a table"
            return (
                f"No look-ahead found: {_tried(found)} left every earlier decision as it was. But it reads {name}, "
                "which came with a package and not from the site: what that knows of later days was not varied."
            )
        case "chosen":
            return (
                f"Parameters were chosen with the whole period: {found.get('why')}. Choose them on earlier data than "
                "those that are traded."
            )
    return f"Look-ahead could not be tested: {found.get('why') or 'it was not looked at'}."


def amnesia_sentence(found: dict[str, Any]) -> str:
    match found.get("state"):
        case "clean":
            names = " Names were not changed: the program names its instruments." if found.get("named") else ""
            return f"It decides the same with other dates and on another level of prices{_within(found)}.{names}"
        case "remembers" if found.get("what") == "dates":
            return f"It decides otherwise when the same prices have other dates, first on {_when(found)}."
        case "remembers" if found.get("what") == "boundary":
            day = f", {found['day']}" if found.get("day") else ""
            return (
                f"It names one date{day}, and decides otherwise when the same prices have other dates. As the end of "
                "training that is no memory of history; as a day to buy or sell it is."
            )
        case "remembers" if found.get("what") == "days":
            return (
                f"It names {found.get('count', 'a few')} days, and decides otherwise when the same prices have other "
                "dates. Days of meetings or reports are known before; others are a memory of history."
            )
        case "remembers" if found.get("what") == "numbers":
            return (
                "Started some bars later, it orders on the same numbers of bars. A table of what happened "
                "does that; so do signals that were made before, and random numbers with a seed."
            )
        case "remembers" if found.get("what") == "table":
            return (
                f"Its code holds {found.get('count', 'many')} numbers or days, in tables, texts or names"
                f"{_place(found)}. What happened can be written down so; "
                "settings and models that were trained before can, too."
            )
        case "remembers" if found.get("what") == "names":
            return f"It decides otherwise when the instruments have other names, first on {_when(found)}."
        case "remembers":
            return (
                f"It depends on the level of the prices, such as a fixed amount of currency, first on {_when(found)}."
            )
    return f"Memory of history could not be tested: {found.get('why') or 'it was not looked at'}."


def _when(found: dict[str, Any]) -> str:
    return found.get("date") or f"bar {found.get('bar', '?')}"


def _place(found: dict[str, Any]) -> str:
    return f" ({found['place']})" if found.get("place") else ""


def _within(found: dict[str, Any]) -> str:
    """Where there was no time for all bars."""
    return f" in the first {found['bars']} bars" if found.get("bars") else ""


def _tried(found: dict[str, Any]) -> str:
    parts = []
    if found.get("cuts"):
        parts.append(f"{found['cuts']} {'cut' if found['cuts'] == 1 else 'cuts'}")
    if found.get("tails"):
        parts.append(f"{found['tails']} other {'course' if found['tails'] == 1 else 'courses'} of prices")
    if parts:
        parts[-1] += _within(found)
    if found.get("programs"):
        parts.append(f"{found['programs']} {'run' if found['programs'] == 1 else 'runs'} of the whole program")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts) or "what was tried"
