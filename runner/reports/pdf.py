"""How does a report become a PDF? Typst sets it from report.typ; the words and drawings go in as data, never as source.

Needs no browser and no fonts of the system. Nothing of Django's is imported here.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qfp.tearsheet.document import Document
from qfp.tearsheet.drawing import svg

__all__ = ["pdf"]

HERE = Path(__file__).parent
SOURCE = HERE / "report.typ"
FONTS = HERE / "fonts"
CHART_HEIGHT = 180  # four of them on a page
# Columns of words, not figures, besides the first: they stand at the left.
WORDS = {"Dates", "Instrument"}


def pdf(document: Document) -> bytes:
    """The file: vector charts, embedded fonts, tagged, with title, language, contents and page numbers."""
    import typst  # 80 MB of code, which only those need who make one

    return typst.compile(
        str(SOURCE),
        format="pdf",
        root=str(HERE),
        font_paths=[str(FONTS)],
        ignore_system_fonts=True,
        sys_inputs={"report": json.dumps(_as_data(document), ensure_ascii=False)},
        timestamp=datetime.now(UTC).replace(microsecond=0),
    )


def _as_data(document: Document) -> dict[str, Any]:
    return {
        "title": document.title,
        "author": next((text for label, text in document.about if label == "Author"), ""),
        "language": document.language,
        "strategy": document.strategy,
        "description": document.description,
        "about": [list(pair) for pair in document.about],
        "head": [[figure["label"], figure["text"]] for figure in document.head],
        "claims": [{name: line[name] for name in ("state", "title", "text")} for line in document.claims],
        "claims_summary": document.claims_summary,
        "notes": [paragraph.splitlines() for paragraph in document.paragraphs],
        "charts": [
            {"title": chart.title, "sentence": chart.sentence, "svg": svg(chart, alone=True, height=CHART_HEIGHT)}
            for chart in document.charts
        ],
        "tables": [
            {
                "title": table.title,
                "columns": list(table.columns),
                "left": [at for at, name in enumerate(table.columns) if name in WORDS],
                "widths": [2 if name in ("Crisis", "Dates") else 1 for name in table.columns],
                "rows": [
                    [list(pair) for pair in zip(row, tones, strict=True)]
                    for row, tones in zip(table.rows, table.tones, strict=True)
                ],
                "note": table.note,
            }
            for table in document.tables
        ],
        "groups": [
            [group, [[figure["label"], figure["text"]] for figure in members]] for group, members in document.groups
        ],
        "conventions": list(document.conventions),
        "verified_text": document.verified_text,
        "manifest": document.manifest,
        "link": document.link,
        "logo": _framed(document.logo, document.logo_size),
    }  # fmt: skip


def _framed(png: bytes, size: tuple[int, int]) -> str:
    """The picture inside a drawing: data of typst's are text, and a PNG is not."""
    if not png:
        return ""
    width, height = size
    shape, content = f'width="{width}" height="{height}"', base64.b64encode(png).decode()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {shape}>'
        f'<image {shape} href="data:image/png;base64,{content}"/></svg>'
    )
