"""Which numbers do texts mean? Decimal sign and thousands separator, found or asked about; percent, K, M, brackets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from .delimited import MISSING

DECIMALS = {".": "point (1.5)", ",": "comma (1,5)"}
THOUSANDS = {"": "none", ",": "comma (1,000)", ".": "point (1.000)", " ": "blank (1 000)", "'": "apostrophe (1'000)"}
_BLANKS = "\u00a0\u202f\u2009"
_PLAIN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_SCALES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_SHAPE = re.compile(r"^[-+(]?\s?[$€£¥]?\s?[-+]?(?P<body>\d[\d.,' ]*)(?:[eE][-+]?\d+)?\s?[%KMBTkmbt]?\)?$")
_SAMPLE = 4000


@dataclass
class Parsed:
    values: Any  # numpy float64
    unreadable: Any  # numpy bool
    percent: bool = False
    scaled: bool = False


@dataclass
class Convention:
    """decimal is "" when only the person who sent the file can know it."""

    decimal: str
    thousands: str
    example: str = ""
    seen: dict[str, int] = field(default_factory=dict)


def find_convention(columns: list[Any], delimiter: str) -> Convention:
    """Decimal and thousands sign of a file's texts. columns: Arrow arrays of text that are no dates."""
    decimal_votes = {".": 0, ",": 0}
    thousands_votes = {",": 0, ".": 0, " ": 0, "'": 0}
    open_cases: dict[str, str] = {}
    for cell in _sample(columns):
        match = _SHAPE.match(cell)
        if match is None:
            continue
        body = match.group("body").strip()
        for sign in " '":
            if sign in body:
                thousands_votes[sign] += 1
                body = body.replace(sign, "")
        points, commas = body.count("."), body.count(",")
        if points and commas:
            decimal = max(".,", key=body.rfind)
            decimal_votes[decimal] += 1
            thousands_votes["," if decimal == "." else "."] += 1
        elif points + commas > 1:
            sign = "." if points else ","
            if re.fullmatch(r"\d{1,3}(?:[.,]\d{2,3})*[.,]\d{3}", body):
                thousands_votes[sign] += 1
        elif points + commas == 1:
            sign = "." if points else ","
            if re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", body):
                open_cases.setdefault(sign, cell)
            else:
                decimal_votes[sign] += 1
    return _decide(decimal_votes, thousands_votes, open_cases, delimiter)


def _decide(
    decimal_votes: dict[str, int], thousands_votes: dict[str, int], open_cases: dict[str, str], delimiter: str
) -> Convention:
    blank = max(" '", key=lambda sign: thousands_votes[sign])
    blank = blank if thousands_votes[blank] else ""
    if not any(decimal_votes.values()) and delimiter == ",":
        decimal_votes["."] = 1  # a comma cannot be both
    if not any(decimal_votes.values()):
        for sign, other in ((",", "."), (".", ",")):
            if thousands_votes[sign]:
                decimal_votes[other] = 1
    if any(decimal_votes.values()):
        decimal = max(decimal_votes, key=lambda sign: decimal_votes[sign])
        other = "," if decimal == "." else "."
        grouped = thousands_votes[other] or other in open_cases
        return Convention(decimal, blank or (other if grouped else ""))
    if open_cases:
        return Convention("", blank, next(iter(open_cases.values())))
    return Convention(".", blank)


def _sample(columns: list[Any]) -> list[str]:
    """Cells from all over the file, none twice."""
    import pyarrow.compute as pc

    found: dict[str, None] = {}
    for values in columns:
        step = max(1, len(values) // _SAMPLE)
        for cell in pc.utf8_trim_whitespace(
            values[::1] if step == 1 else values.take(list(range(0, len(values), step)))
        ):
            text = cell.as_py()
            for blank in _BLANKS + "’":
                text = text.replace(blank, "'" if blank == "’" else " ")
            found[text] = None
    return list(found)


def parse(values: Any, decimal: str, thousands: str) -> Parsed:
    """Every text of an Arrow array as a float; NaN where nothing stands or the text is no number."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(values)
    missing = pc.is_in(pc.utf8_lower(text), value_set=pa.array(sorted(MISSING)))
    if decimal == "." and thousands == "":
        plain = text
    else:
        plain = pc.if_else(
            pc.match_substring_regex(text, _allowed(decimal, thousands)), _simplify(text, thousands), "?"
        )
        plain = pc.replace_substring(plain, decimal, ".") if decimal != "." else plain
    good = pc.match_substring_regex(plain, _PLAIN)
    numbers = pc.cast(pc.if_else(good, plain, None), pa.float64())
    result = Parsed(
        np.array(numbers.to_numpy(zero_copy_only=False), dtype=np.float64), np.zeros(len(values), dtype=bool)
    )
    odd = pc.and_(pc.invert(good), pc.invert(missing)).to_numpy(zero_copy_only=False)
    known: dict[str, tuple[float | None, str]] = {}
    for place in np.flatnonzero(odd):
        cell = text[int(place)].as_py()
        if cell not in known:
            known[cell] = _parse_odd(cell, decimal, thousands)
        number, what = known[cell]
        if number is None:
            result.unreadable[place] = True
        else:
            result.values[place] = number
            result.percent = result.percent or what == "percent"
            result.scaled = result.scaled or what == "scaled"
    return result


def _allowed(decimal: str, thousands: str) -> str:
    """Groups of three, or of two before the last one as in India: 1,23 with a thousands comma is no number."""
    dot = re.escape(decimal)
    whole = r"\d+"
    if thousands:
        sign = rf"[ {_BLANKS}]" if thousands == " " else "['’]" if thousands == "'" else re.escape(thousands)
        whole = rf"(?:\d+|\d{{1,3}}(?:{sign}\d{{2,3}})*{sign}\d{{3}})"
    return rf"^[+-]?(?:{whole}(?:{dot}\d*)?|{dot}\d+)(?:[eE][+-]?\d+)?$"


def _simplify(text: Any, thousands: str) -> Any:
    import pyarrow.compute as pc

    if not thousands:
        return text
    for sign in {" ": f" {_BLANKS}", "'": "'’"}.get(thousands, thousands):
        text = pc.replace_substring(text, sign, "")
    return text


def _parse_odd(cell: str, decimal: str, thousands: str) -> tuple[float | None, str]:
    """Numbers with something around them; (None, "") for what is none."""
    low = cell.lower().strip()
    if low.lstrip("+-") in ("inf", "infinity", "∞", "#inf", "1.#inf"):
        return (float("-inf") if low.startswith("-") else float("inf")), ""
    negative = low.startswith("(") and low.endswith(")")
    core = low.strip("()").replace("−", "-").strip()
    core = re.sub(r"[$€£¥]", "", core).strip()
    factor, what = 1.0, ""
    if core.endswith("%"):
        core, factor, what = core[:-1].strip(), 0.01, "percent"
    elif core[-1:] in _SCALES:
        core, factor, what = core[:-1].strip(), _SCALES[core[-1]], "scaled"
    if not re.match(_allowed(decimal, thousands), core):
        return None, ""
    for sign in {" ": f" {_BLANKS}", "'": "'’"}.get(thousands, thousands):
        core = core.replace(sign, "")
    number = float(core.replace(decimal, ".")) * factor
    # 1.28 % is 0.0128 and not 0.012800000000000001.
    return float(f"{-number if negative else number:.15g}"), what
