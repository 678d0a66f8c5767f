"""What is said of a backtest once the site has made its run again on data that it has changed itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.models import Backtest

__all__ = [
    "DRAWN", "OF_THE_SITE", "box_line", "choice", "dates", "dates_failed", "dates_unseen", "finding", "has_seen",
    "is_leak", "numbers", "numbers_unseen", "splits", "splits_unseen", "suspicion", "taken_back",
]  # fmt: skip

OF_THE_SITE = ("companion", "dates", "numbers", "splits")  # names of findings that it alone makes
UNCOMPARED = "The site could not compare it on data of its own"
DRAWN = (
    "the same data gave other decisions: random numbers without a seed, or the time of day. Only what was decided "
    "alike each time was compared"
)
# When data were not changed, where the time for a run was over.
WHEN = {
    "opened": "when a trade began",
    "held": "while a trade was held",
    "closed": "when a trade ended",
    "gained": "when the account gained",
    "alike": "on any day",
    "entered": "right after an open that began a trade",
    "left": "right after an open that ended one",
}


def choice(backtest: Backtest, bar: int, held: bool, left: Sequence[str] = ()) -> dict[str, Any]:
    """What is said where a sweep may have chosen otherwise on other data. held: whether it was seen to decide the same
    with what its sweeps had given. left: ways to draw a day, of cuts.WAYS, for which there was no time.
    """
    date = backtest.dates[bar][:10]
    changed = f"where the site had changed later data, what it did on {date} changed with them"
    if held:
        said = f"A sweep chose the values from all of the data: {changed}."
    else:
        said = f"Look-ahead and the choice of a sweep could not be told apart: {changed}."
    sentence = f"{said} Run these values by themselves to have them tested for look-ahead.{_no_time(left)}"
    told = {"state": "amber", "sentence": sentence}
    chosen = {"state": "chosen" if held else "unclear", "bar": bar, "date": date}
    return {"companion": told, "lookahead": told | {"evidence": "site", "found": chosen} | _under(backtest)}


def suspicion(backtest: Backtest, bar: int, why: str) -> dict[str, Any]:
    """What is said where it decided otherwise on changed data, and it could not be seen whether that was chance."""
    date = backtest.dates[bar][:10]
    sentence = (
        f"Where the site had changed later data, what it did on {date} changed with them. Whether that is look-ahead "
        f"or chance could not be confirmed: {why}."
    )
    told = {"state": "amber", "sentence": sentence}
    if is_leak(box_line(backtest)):
        return {"companion": told}
    found = {"state": "unconfirmed", "bar": bar, "date": date}
    return {"companion": told, "lookahead": told | {"evidence": "site", "found": found} | _under(backtest)}


def finding(
    backtest: Backtest,
    bar: int | None,
    tried: int,
    doubt: str,
    left: Sequence[str] = (),
    held: tuple[int, int] = (0, 0),
) -> dict[str, Any]:
    """The line of the companion, and that of the look-ahead test where the site knows more than the box said.

    left: as of choice(). held: of the bars at whose open it was filled, those of which only the close could be changed,
    and all.
    """
    before = box_line(backtest)
    if bar is not None:
        date = backtest.dates[bar][:10]
        sentence = f"Look-ahead: the site has changed later data, and what it did on {date} changed with them."
        red = {
            "state": "red",
            "sentence": sentence,
            "evidence": "site",
            "found": {"state": "leak", "bar": bar, "date": date},
        } | _under(backtest)
        return {"companion": {"state": "red", "sentence": sentence}, "lookahead": before if is_leak(before) else red}
    if doubt:
        sentence = f"{UNCOMPARED}: {doubt}."
        return {"companion": {"state": "amber", "sentence": sentence}}
    times = "once" if tried == 1 else f"{tried} times"
    sentence = f"The site has made it again {times} on data that it had changed: the same decisions until then."
    sentence += _no_time(left)
    if held[0] > held[1] / 2:
        sentence += (
            f" On {held[0]} of the {held[1]} bars at whose open its trades began or ended it could not be tested "
            "whether it knew their high and low: its limits and stops filled in nearly all of their range."
        )
        return {"companion": {"state": "amber", "sentence": sentence}}
    found = {"companion": {"state": "green", "sentence": sentence}}
    if _is_lost(backtest) or before.get("found", {}).get("state") in ("clean", "partly", "untested"):
        found["lookahead"] = (
            before
            | {
                "state": "green",
                "evidence": "site",
                "sentence": f"No look-ahead found. {sentence}",
            }
            | _under(backtest)
        )
    return found


def dates(backtest: Backtest, bar: int | None) -> dict[str, Any]:
    """What is said once the run was made again where the same things happen on dates 28 years apart."""
    again = "The site has made it again on the same prices with dates 28 years apart"
    if bar is None:
        return {"dates": {"state": "grey", "sentence": f"{again}: the same decisions.", "same": True}}
    date = backtest.dates[bar][:10]
    sentence = (
        f"{again}, and it decided otherwise, first on {date}. Days of meetings and holidays do that, and the end of "
        "training; other days are a memory of history."
    )
    return {"dates": {"state": "amber", "sentence": sentence, "bar": bar, "date": date}}


def dates_unseen(reason: str) -> dict[str, Any]:
    """What is said where the site could not tell what the program decides on other dates, and why."""
    sentence = f"What it decides on other dates the site could not see: {reason}."
    return {"dates": {"state": "grey", "sentence": sentence}}


def dates_failed() -> dict[str, Any]:
    """What is said where the program ends with an error on other dates."""
    sentence = (
        "The site has made it again on the same prices with dates 28 years apart, and there the program ended with an "
        "error, so nothing was compared. Programs that ask for days by name do that, as in start= and end=: leave them "
        "out or count bars, as in bars[-1000:], and this is tested, too."
    )
    return {"dates": {"state": "grey", "sentence": sentence}}


def numbers() -> dict[str, Any]:
    """What is said where it gives its orders on the same numbers of bars, whatever prices do."""
    sentence = (
        "The site has made it again on other prices, and where bars begin some later: it gives the same orders on the "
        "same numbers of bars. A table of what happened does that, and so do random numbers with a seed."
    )
    return {"numbers": {"state": "amber", "sentence": sentence}}


def numbers_unseen(reason: str) -> dict[str, Any]:
    """What is said where orders are the same whatever prices do, and whether by their numbers could not be told."""
    sentence = (
        "The site has made it again on other prices, and it gives the same orders; whether it reads them from a table "
        f"by the number of the bar the site could not see: {reason}."
    )
    return {"numbers": {"state": "grey", "sentence": sentence}}


def splits(backtest: Backtest, bar: int | None, ended: bool = True) -> dict[str, Any]:
    """What is said where it decided otherwise with other splits after a day, and nothing else changed. bar: None where
    it was another backtest altogether. ended: whether the program ended well.
    """
    other = "made other backtests" if ended else "ended with an error"
    date = "" if bar is None else backtest.dates[bar][:10]
    sentence = (
        "Levels of adjusted prices tell of later splits and dividends: the site has made it again with other splits "
        "later, which change earlier prices by a factor, and it "
        f"{f'decided otherwise, first on {date}' if date else other}. A rule about the level of "
        "prices belongs on prices as they were traded (adjust=None)."
    )
    return {"splits": {"state": "amber", "sentence": sentence, "bar": bar, "date": date}}


def splits_unseen(reason: str) -> dict[str, Any]:
    """What is said where the site could not tell whether it hangs on the level of adjusted prices, and why."""
    sentence = f"Whether it hangs on the level of adjusted prices the site could not see: {reason}."
    return {"splits": {"state": "grey", "sentence": sentence}}


def box_line(backtest: Backtest) -> dict[str, Any]:
    """What the look-ahead test in the program's own box has found, also where the site has found something else."""
    told: dict[str, Any] = backtest.checks.get("lookahead", {})
    return told if told.get("evidence") != "site" else told.get("box", {})


def taken_back(backtest: Backtest, found: dict[str, Any]) -> dict[str, Any]:
    """The line of the look-ahead test once an earlier one of the site's does not hold any more: what the box has said,
    or where that was not kept what is found now; {} where the box has said nothing. found: as finding() says it.
    """
    return found["companion"] | {"evidence": "site"} if _is_lost(backtest) else box_line(backtest)


def _is_lost(backtest: Backtest) -> bool:
    """Whether the site once put its own in the place of what the box had said and kept nothing of that."""
    told = backtest.checks.get("lookahead", {})
    return told.get("evidence") == "site" and "box" not in told


def has_seen(backtest: Backtest) -> bool:
    """Whether an earlier examination has said more of it than why nothing could be compared."""
    told = backtest.checks.get("companion", {}).get("sentence", "")
    why = told.startswith(UNCOMPARED) and DRAWN not in told
    return any(name in backtest.checks for name in OF_THE_SITE if name != "companion" or not why)


def _under(backtest: Backtest) -> dict[str, Any]:
    """What goes on saying so, once what the site has said does not hold any more; {} in it where nothing did."""
    return {"box": box_line(backtest)}


def is_leak(finding: dict[str, Any]) -> bool:
    return finding.get("found", {}).get("state") == "leak"


def _no_time(left: Sequence[str]) -> str:
    """What was not looked at, as a further sentence; "" for nothing."""
    if not left:
        return ""
    *words, last = [WHEN[way] for way in left]
    return f" There was no time left to change data {', '.join(words)}{' and ' if words else ''}{last}."
