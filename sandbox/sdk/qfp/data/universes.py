"""Who belonged to a set of instruments, and when?"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from qfp.data import catalogue
from qfp.data.days import Day, moment_of
from qfp.data.errors import NoData, SurvivorshipWarning, UnknownSymbol

if TYPE_CHECKING:
    import pandas as pd


def universe(name: str, asof: Day = None) -> list[str]:
    """Who belongs to a set of instruments, as a list of names for prices() and panel().

    name: such as "synth/us500".
    asof: the members on that day. None gives all that ever were members, in the order in which they came: right for
      loading prices, wrong for choosing among them, because nobody knew then who would join later.

    Warns with SurvivorshipWarning when the set was chosen with hindsight. Raises UnknownSymbol with the nearest names,
    and NoData when it had no members on that day.
    """
    found = _universe(name)
    if found["survivorship"] != "free":
        known = (
            "was chosen with hindsight" if found["survivorship"] == "biased" else "may have been chosen with hindsight"
        )
        warnings.warn(
            f"{found['name']} {known} (survivorship: {found['survivorship']}), so results on it look better than they "
            f"could have been. {found['notice']}",
            SurvivorshipWarning,
            stacklevel=2,
        )
    listed = found["members"]
    if asof is not None:
        day = str(moment_of(asof, "asof").astype("datetime64[D]"))
        listed = [
            member
            for member in listed
            if (member["entered"] or day) <= day and (member["left"] is None or day <= member["left"])
        ]
        if not listed:
            raise NoData(f"{found['name']} had no members on {day}.")
    by_name = catalogue.current().by_name
    return list(
        dict.fromkeys(
            member["symbol"]
            if by_name.get(member["symbol"].casefold(), {}).get("id") == member["series"]
            else member["series"]
            for member in listed
        )
    )


def members(name: str) -> pd.DataFrame:
    """The whole membership of a universe: a row per stay, with symbol, series, entered and left (its first and last
    day; NaT where it was there from the beginning, or still is). Raises UnknownSymbol.
    """
    import pandas as pd

    frame = pd.DataFrame(_universe(name)["members"], columns=["symbol", "series", "entered", "left"])
    return frame.assign(entered=pd.to_datetime(frame["entered"]), left=pd.to_datetime(frame["left"]))


def _universe(name: str) -> dict[str, Any]:
    known = catalogue.current().universes
    if isinstance(name, str) and (found := known.get(name.strip().casefold())):
        return found
    import difflib

    raise UnknownSymbol(str(name), difflib.get_close_matches(str(name), [u["name"] for u in known.values()], 3, 0.0))
