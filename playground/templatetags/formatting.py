"""How are numbers, times and sizes written for people? One filter each, the same on every page.

Every filter answers an en dash for a missing value, so a template never prints "None".
"""

import math
from datetime import date, datetime

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from qfp.figures import signed

register = template.Library()

MISSING = "–"
UNIT_SPACE = "\N{NO-BREAK SPACE}"


def as_number(value: object) -> float | None:
    """The value as a finite float, or None for anything that has no number to show."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def grouped(number: float, digits: int) -> str:
    """1234.5 with 1 digit -> "1 234.5", with all its digits: written as the figures of a backtest are."""
    return signed(number, digits, whole=True)


@register.filter
def number(value: object, digits: int = 0) -> str:
    found = as_number(value)
    return MISSING if found is None else grouped(found, digits)


@register.filter
def percent(value: object, digits: int = 1) -> str:
    """A fraction as a percentage: 0.0512 -> "5.1 %"."""
    found = as_number(value)
    return MISSING if found is None else grouped(found * 100, digits) + UNIT_SPACE + "%"


def signed_percent(value: object, digits: int = 1) -> str:
    """Like percent, with the sign always written: gain and loss are never told by colour alone."""
    found = as_number(value)
    if found is None:
        return MISSING
    text = percent(found, digits)
    return "+" + text if found > 0 and not text.startswith(grouped(0, digits) + UNIT_SPACE) else text


@register.filter
def gain_or_loss(value: object) -> str:
    """The class that colours a signed figure: "gain", "loss", or nothing for zero and missing."""
    found = as_number(value)
    return "" if not found else ("gain" if found > 0 else "loss")


@register.filter
def duration(seconds: object) -> str:
    """Seconds as "350 ms", "1.2 s", "42 s", "3 min 05 s", "2 h 10 min"."""
    found = as_number(seconds)
    if found is None:
        return MISSING
    if found < 0.9995:
        return f"{max(found, 0) * 1000:.0f}{UNIT_SPACE}ms"
    if found < 9.95:
        return f"{found:.1f}{UNIT_SPACE}s"
    whole = round(found)
    if whole < 60:
        return f"{whole}{UNIT_SPACE}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{UNIT_SPACE}min {rest:02d}{UNIT_SPACE}s"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours}{UNIT_SPACE}h {minutes:02d}{UNIT_SPACE}min"


@register.filter
def bytesize(value: object) -> str:
    """Bytes as "812 B", "34 MB", "1.4 GB": powers of 1,000, as the limits are counted."""
    found = as_number(value)
    if found is None:
        return MISSING
    for unit in ("B", "kB", "MB", "GB"):
        if abs(found) < 999.5 or unit == "GB":
            break
        found /= 1000
    digits = 1 if unit != "B" and abs(found) < 10 and round(found, 1) != round(found) else 0
    return f"{grouped(found, digits)}{UNIT_SPACE}{unit}"


def local(moment: datetime) -> datetime:
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment


@register.filter
def isodate(value: date | datetime | None) -> str:
    """2026-11-23: for tables."""
    if value is None:
        return MISSING
    return (local(value) if isinstance(value, datetime) else value).strftime("%Y-%m-%d")


@register.filter
def isotime(value: datetime | None) -> str:
    """2026-11-23 14:05: for tables, in the viewer's zone."""
    return MISSING if value is None else local(value).strftime("%Y-%m-%d %H:%M")


@register.filter
def machine_time(value: datetime | None) -> str:
    """For <time datetime="…">."""
    return "" if value is None else value.isoformat(timespec="seconds")


@register.filter
def prose_date(value: date | datetime | None) -> str:
    """23 Nov 2026: for sentences."""
    if value is None:
        return MISSING
    moment = local(value) if isinstance(value, datetime) else value
    return f"{moment.day} {moment.strftime('%b %Y')}"


def ago(value: datetime | None) -> str:
    """How long ago, in the one unit that says it: "just now", "5 min ago", "yesterday", then the date."""
    if value is None:
        return MISSING
    seconds = (timezone.now() - value).total_seconds()
    if seconds < 45:
        return "just now"
    if seconds < 3570:
        return f"{max(1, round(seconds / 60))} min ago"
    if seconds < 22 * 3600:
        return f"{round(seconds / 3600)} h ago"
    days = (local(timezone.now()).date() - local(value).date()).days
    if days <= 1:
        return "yesterday"
    return f"{days} days ago" if days < 14 else prose_date(value)


@register.filter
def time_ago(value: datetime | None) -> str | SafeString:
    """ago() as an element whose words go on while the page is open (static/js/shared/ago.js)."""
    if value is None:
        return MISSING
    seconds = int((timezone.now() - value).total_seconds())
    return format_html(
        '<time datetime="{}" title="{}" data-ago="{}">{}</time>',
        machine_time(value), isotime(value), seconds, ago(value),
    )  # fmt: skip


@register.filter
def figure_tone(value: object, key: str = "") -> str:
    """The colour class of a key figure: returns and falls have one, ratios and counts have none.

    What is written as 0.0 % has none either.
    """
    found = as_number(value)
    if found is None or abs(found) < 0.0005:
        return ""
    if "return" in key or key in ("cagr", "alpha"):
        return gain_or_loss(value)
    return "loss" if "drawdown" in key and "longest" not in key else ""


@register.filter
def millions(value: object) -> str:
    """Bytes as a bare number of megabytes, for a column whose heading says MB."""
    found = as_number(value)
    return MISSING if found is None else grouped(found / 1_000_000, 0 if found % 1_000_000 == 0 else 1)
