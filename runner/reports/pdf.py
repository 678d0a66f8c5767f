"""How does a report become a PDF? Typst sets it from report.typ; the words and drawings go in as data, never as source.

Needs no browser. Fonts of the system are looked at only for scripts that ours do not have. Nothing of Django's is
imported here.
"""

from __future__ import annotations

import json
import os
import re
from binascii import b2a_base64  # of base64, which takes longer to load
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from qfp.tearsheet.charts import Chart
from qfp.tearsheet.document import Document
from qfp.tearsheet.drawing import NARROW, WIDE, svg
from qfp.tearsheet.states import STATES
from qfp.tearsheet.tables import Table

__all__ = ["pdf"]

# Not by pathlib, whose loading alone would be a thirtieth of a report's time in a new process.
HERE = __file__.rpartition("/")[0]
SOURCE, FONTS = f"{HERE}/report.typ", f"{HERE}/fonts"
FIRST_HEIGHT, CHART_HEIGHT = 170, 150  # of the chart on the first page, and of the others
# Charts that have a line of the page for themselves; others stand two beside each other.
ALONE = ("equity", "drawdown", "trades")
# Columns of words and dates, not figures, besides the first: they stand at the left.
WORDS = {"Dates", "Chosen on", "Chosen", "Traded", "Instrument", "Exit", "Peak", "Trough", "Recovered"}
DIGITS = str.maketrans("123456789", "0" * 9)
LONGEST = 20  # cells of a column that are measured
UNBROKEN = 24  # letters of one word that fit into a line at any size


def pdf(document: Document) -> bytes:
    """The file: vector charts, embedded fonts, tagged, with title, language, contents and page numbers."""
    # The pages of one report are few; what more threads cost is more than they give back.
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    import typst  # 80 MB of code, which only those need who make one

    report = json.dumps(_as_data(document), ensure_ascii=False)
    return typst.compile(
        SOURCE,
        format="pdf",
        root=HERE,
        font_paths=_fonts(_has_other_scripts(report)),
        sys_inputs={"report": report},
        timestamp=datetime.now(UTC).replace(microsecond=0),
    )


@cache
def _fonts(of_the_machine: bool) -> Any:
    """Ours, and those of the machine, which takes longer to look through than all else."""
    import typst

    return typst.Fonts(include_system_fonts=of_the_machine, font_paths=[FONTS])


def _has_other_scripts(text: str) -> bool:
    """Whether any letter is beyond Latin, Greek, Cyrillic, punctuation and signs, which our own fonts have."""
    return any("\u0530" <= letter <= "\u1dff" or letter >= "\u2e80" for letter in set(text))


def _as_data(document: Document) -> dict[str, Any]:
    return {
        "title": document.title,
        "headline": _pieces(document.title),
        "author": next((text for label, text in document.about if label == "Author"), ""),
        "language": document.language,
        "strategy": document.strategy,
        "description": document.description,
        "notices": [[state, _pieces(line)] for state, line in document.notices],
        "about": [[label, _pieces(text)] for label, text in document.about],
        "head": [[figure["label"], figure["text"]] for figure in document.head],
        "claims": [{name: line[name] for name in ("state", "title", "text")} for line in document.claims],
        "claims_summary": document.claims_summary,
        "worst": document.worst,
        "fine": document.fine,
        "states": STATES,
        "notes": [[_pieces(line) for line in paragraph.splitlines()] for paragraph in document.paragraphs],
        "charts": _beside(document.charts),
        "tables": [_sheet(table) for table in document.tables],
        "groups": [
            [group, [[figure["label"], _pieces(figure["text"])] for figure in members]]
            for group, members in document.groups
        ],
        "conventions": list(document.conventions),
        "verified_text": document.verified_text,
        "manifest": document.manifest,
        "link": document.link,
        "parts": 3 + len(document.tables) + bool(document.claims) + bool(document.paragraphs),
        "logo": _framed(document.logo, document.logo_size),
    }


def _beside(charts: Sequence[Chart]) -> list[list[dict[str, str]]]:
    """Lines of one chart or of two, in their order but for one that waits for its neighbour."""
    lines: list[list[Chart]] = []
    waiting: list[Chart] = []
    for chart in charts:
        if chart.key in ALONE:
            lines.append([chart])
        elif waiting:
            lines.append([waiting.pop(), chart])
        else:
            waiting.append(chart)
    return [
        [
            {
                "title": chart.title,
                "sentence": chart.sentence,
                "svg": svg(
                    chart,
                    alone=True,
                    height=CHART_HEIGHT if number else FIRST_HEIGHT,
                    sheet=NARROW if len(line) > 1 else WIDE,
                ),
            }
            for chart in line
        ]
        for number, line in enumerate([*lines, *([waiting] if waiting else [])])
    ]


def _sheet(table: Table) -> dict[str, Any]:
    """A table. longest: of each column the cells of most letters, after whose widths it is set; digits are as wide as
    each other, so one of those that differ in digits alone does for all.
    """
    columns = zip(*table.rows, strict=True) if table.rows else [()] * len(table.columns)
    longest = [
        sorted(dict.fromkeys(cell.translate(DIGITS) for cell in column), key=len, reverse=True)[:LONGEST]
        for column in columns
    ]
    return {
        "title": table.title,
        "columns": list(table.columns),
        "left": [at for at, name in enumerate(table.columns) if name in WORDS],
        "longest": longest,
        "small": len(table.columns) > 10,
        "rows": [
            [list(pair) for pair in zip(row, tones, strict=True)]
            for row, tones in zip(table.rows, table.tones, strict=True)
        ],
        "note": table.note,
        "last": table.key == "trade_list",
    }


def _pieces(text: str) -> list[str]:
    """The text, cut where a line may end within a long word. A character that says so would get into copied text."""
    return re.sub(rf"\S{{{UNBROKEN}}}(?=\S)", lambda found: found[0] + "\n", text.replace("\n", " ")).split("\n")


def _framed(png: bytes, size: tuple[int, int]) -> str:
    """The picture inside a drawing: data of typst's are text, and a PNG is not."""
    if not png:
        return ""
    width, height = size
    shape, content = f'width="{width}" height="{height}"', b2a_base64(png, newline=False).decode()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {shape}>'
        f'<image {shape} href="data:image/png;base64,{content}"/></svg>'
    )
