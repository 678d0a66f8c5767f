"""When is which exchange open? Sessions and closing times from a compact file, so that nothing heavy is imported.

`sessions.json` is written by `manage.py export_calendars` from the package exchange_calendars, which only that command
and the tests import. Foreign exchange (five days) and crypto (seven) follow from the week alone, and the days of the
euro's payment system from its rule.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

SESSIONS = Path(__file__).with_name("sessions.json")
MONDAY_TO_FRIDAY = "1111100"
EVERY_DAY = "1111111"

# How providers and manifests spell exchanges. Those of one country that share holidays and hours share a calendar.
NAMES = {
    "XNYS": "US NYSE XNAS NASDAQ NMS NGM NCM NYQ ASE AMEX ARCX ARCA PCX BATS BZX PNK OTC SNP DJI NIM",
    "XLON": "LSE GB LON",
    "XETR": "XETRA GER DE XFRA FRA",
    "XPAR": "PAR FR EURONEXT",
    "XAMS": "AMS NL",
    "XBRU": "BRU BE",
    "XLIS": "LIS PT",
    "XMIL": "MIL IT",
    "XMAD": "MAD MCE ES",
    "XSWX": "EBS SIX VTX CH",
    "XSTO": "STO SE",
    "XCSE": "CPH DK",
    "XHEL": "HEL FI",
    "XOSL": "OSL NO",
    "XTSE": "TSX TOR CA",
    "XTKS": "TSE TYO JPX JP",
    "XHKG": "HKEX HKG HK",
    "XSHG": "SSE SHH SHZ XSHE CN",
    "XKRX": "KSC KOE KR",
    "XBOM": "NSE NSI BSE XNSE IN",
    "XASX": "ASX AU",
    "XSES": "SES SG",
    "BVMF": "SAO B3 BR",
    "XMEX": "MEX MX",
    "TARGET": "ECB",
    "FX": "CCY FOREX",
    "CRYPTO": "BINANCE COINBASE KRAKEN CCC",
}
_SPELLED = {word: name for name, words in NAMES.items() for word in [name, *words.split()]}
_BY_KIND = {"crypto": "CRYPTO", "fx": "FX"}


@dataclass(frozen=True)
class Calendar:
    """The sessions of an exchange and when they end, on its own clock.

    first, last: what is known; nothing is said about days outside.
    opens, closes: (from that day on, minute of the day), the earliest first; 1440 is midnight at the end of the day.
    """

    name: str
    zone: str
    first: date
    last: date
    week: str = MONDAY_TO_FRIDAY
    opens: tuple[tuple[date, int], ...] = ((date.min, 0),)
    closes: tuple[tuple[date, int], ...] = ((date.min, 1440),)
    closed: np.ndarray = field(default_factory=lambda: np.array([], "datetime64[D]"), repr=False, compare=False)
    short: dict[date, int] = field(default_factory=dict, repr=False, compare=False)

    def sessions(self, first: date, last: date) -> np.ndarray:
        """The trading days from first to last, both included, as far as they are known: datetime64[D]."""
        low, high = max(first, self.first), min(last, self.last)
        if low > high:
            return np.array([], "datetime64[D]")
        days = np.arange(np.datetime64(low), np.datetime64(high) + 1)
        return days[self.open_on(days)]

    def open_on(self, days: np.ndarray) -> np.ndarray:
        """Which of these days (datetime64[D]) are sessions, as booleans."""
        return np.is_busday(days, weekmask=self.week, holidays=self.closed)

    def knows(self, days: np.ndarray) -> np.ndarray:
        return (days >= np.datetime64(self.first)) & (days <= np.datetime64(self.last))

    def opening(self, day: date) -> datetime:
        """When the session of this day begins, in UTC."""
        return self._at(day, minute_on(self.opens, day))

    def closing(self, day: date) -> datetime:
        """When the session of this day ends, in UTC; earlier on half days."""
        return self._at(day, self.short.get(day, minute_on(self.closes, day)))

    def last_closed(self, now: datetime) -> date | None:
        """The latest session that has ended. After the last day that is known, holidays count as sessions: asking for
        one in vain is better than never asking.
        """
        today = np.datetime64(now.astimezone(ZoneInfo(self.zone)).date())
        days = np.arange(today - 30, today + 1)
        for day in reversed(days[self.open_on(days)].tolist()):
            if self.closing(day) <= now:
                return day
        return None

    def sessions_before(self, day: date, count: int) -> date:
        """The day that lies this many sessions before; where nothing is known, by the days of the week."""
        known = self.sessions(day - timedelta(days=2 * count + 30), day - timedelta(days=1))
        if len(known) >= count:
            return known[-count].item()
        return np.busday_offset(np.datetime64(day), -count, roll="backward", weekmask=self.week).item()

    def _at(self, day: date, minute: int) -> datetime:
        clock = datetime.combine(day, time(), ZoneInfo(self.zone)) + timedelta(minutes=minute)
        return clock.astimezone(UTC)


def minute_on(hours: Sequence[tuple[date, int]], day: date) -> int:
    """The minute that counts on a day, from (since when, minute)."""
    return [minute for since, minute in hours if since <= day][-1]


def find(exchange: str, kind: str = "") -> Calendar | None:
    """The calendar of a series by its exchange, else by its kind; None where there is none, as for most figures of
    the economy.
    """
    name = _SPELLED.get(exchange.strip().upper()) or _BY_KIND.get(kind)
    return every().get(name) if name else None


@cache
def every() -> dict[str, Calendar]:
    stored = json.loads(SESSIONS.read_text(encoding="utf-8"))["calendars"]
    calendars = [_read(name, written) for name, written in stored.items()]
    return {calendar.name: calendar for calendar in [*calendars, FX, CRYPTO, _target()]}


def _read(name: str, written: dict) -> Calendar:
    return Calendar(
        name=name,
        zone=written["zone"],
        first=date.fromisoformat(written["first"]),
        last=date.fromisoformat(written["last"]),
        week=written["week"],
        opens=tuple((date.fromisoformat(since), minute) for since, minute in written["opens"]),
        closes=tuple((date.fromisoformat(since), minute) for since, minute in written["closes"]),
        closed=_days(written["closed"]),
        short={date.fromisoformat(day): minute for day, minute in written["short"].items()},
    )


def _days(by_year: dict[str, str]) -> np.ndarray:
    """{"2024": "0101 1225"} -> two days."""
    return np.array(
        [f"{year}-{day[:2]}-{day[2:]}" for year, days in by_year.items() for day in days.split()], "datetime64[D]"
    )


# A day of the currency market ends at five in the afternoon in New York.
FX = Calendar("FX", "America/New_York", date(1971, 1, 1), date(2099, 12, 31), closes=((date.min, 17 * 60),))
CRYPTO = Calendar("CRYPTO", "UTC", date(2009, 1, 3), date(2099, 12, 31), week=EVERY_DAY)


def _target() -> Calendar:
    """Days of the euro's payment system, on which the ECB publishes rates at about four in the afternoon.

    Closed since 2002 on New Year, Good Friday, Easter Monday, Labour Day and both days of Christmas (European Central
    Bank, "Long-term calendar for TARGET closing days", 14 December 2000).
    """
    from dateutil.easter import easter

    first, last = date(2002, 1, 1), date(2099, 12, 31)
    closed = []
    for year in range(first.year, last.year + 1):
        sunday = easter(year)
        closed += [date(year, 1, 1), sunday - timedelta(days=2), sunday + timedelta(days=1)]
        closed += [date(year, 5, 1), date(year, 12, 25), date(year, 12, 26)]
    return Calendar(
        "TARGET",
        "Europe/Berlin",
        first,
        last,
        closes=((date.min, 16 * 60),),
        closed=np.array(closed, "datetime64[D]"),
    )
