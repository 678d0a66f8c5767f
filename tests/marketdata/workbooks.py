"""Small .xlsx files made by hand, honest and hostile: a workbook is a zip archive of XML."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

_TYPES = """<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="xml" ContentType="application/xml"/>
<Override PartName="/xl/workbook.xml"
 ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>
<Override PartName="/xl/worksheets/sheet1.xml"
 ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>"""
_RELATIONS = """<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="r1" Target="{target}"
 Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}"/></Relationships>"""
_WORKBOOK = """<?xml version="1.0"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"
 xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>
<sheet name="Prices" sheetId="1" r:id="r1"/></sheets></workbook>"""
_SHEET = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'
)


def workbook(rows: list[list[str | float]], parts: Mapping[str, str] | None = None, sheet: str = "") -> bytes:
    """A workbook with one sheet; `parts` are further or other files of the archive, `sheet` other XML of it."""
    lines = []
    for number, row in enumerate(rows, 1):
        cells = []
        for place, value in enumerate(row):
            name = f"{chr(65 + place)}{number}"
            if isinstance(value, str):
                cells.append(f'<c r="{name}" t="inlineStr"><is><t>{value}</t></is></c>')
            else:
                cells.append(f'<c r="{name}"><v>{value}</v></c>')
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    files = {
        "[Content_Types].xml": _TYPES,
        "_rels/.rels": _RELATIONS.format(kind="officeDocument", target="xl/workbook.xml"),
        "xl/workbook.xml": _WORKBOOK,
        "xl/_rels/workbook.xml.rels": _RELATIONS.format(kind="worksheet", target="worksheets/sheet1.xml"),
        "xl/worksheets/sheet1.xml": sheet or _SHEET.format("".join(lines)),
        **(parts or {}),
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


# The second format of cells is a date.
STYLES = """<?xml version="1.0"?><styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">
<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>"""


def dated(rows: list[tuple[int, float]]) -> bytes:
    """A workbook whose first column holds dates as Excel does: days since 1900, formatted as a date."""
    names = '<row r="1">' + "".join(
        f'<c r="{place}1" t="inlineStr"><is><t>{name}</t></is></c>' for place, name in (("A", "Date"), ("B", "Close"))
    )
    lines = "".join(
        f'<row r="{n}"><c r="A{n}" s="1"><v>{day}</v></c><c r="B{n}"><v>{close}</v></c></row>'
        for n, (day, close) in enumerate(rows, 2)
    )
    return workbook([], {"xl/styles.xml": STYLES}, _SHEET.format(f"{names}</row>{lines}"))


def bomb() -> bytes:
    """About 13 KB that become 3 MB of cells, on which a reader would spend many seconds."""
    return workbook([], sheet=_SHEET.format("<row><c><v>1</v></c></row>" * 115_000))
