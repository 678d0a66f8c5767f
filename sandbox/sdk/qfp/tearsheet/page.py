"""How does a report become one HTML file? Styles, charts and logo inside: it opens with the network off, and prints."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape

from qfp.tearsheet.charts import Chart
from qfp.tearsheet.document import Document
from qfp.tearsheet.drawing import STYLE, svg
from qfp.tearsheet.table import Table

__all__ = ["STATE_WORDS", "html"]

# Whatever the page says of itself, it asks the network for nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
STATE_WORDS = {"green": "\u2713", "amber": "!", "red": "\u2717"}
STATE_NAMES = {"green": "in order", "amber": "doubt", "red": "problem"}

CSS = """
:root{color-scheme:light}*{box-sizing:border-box}
body{margin:0 auto;padding:32px 24px 64px;max-width:960px;background:#fff;color:#14181c;
font:15px/1.5 Inter,system-ui,sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:28px;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:20px;margin:40px 0 12px;border-top:1px solid #d9dde1;padding-top:20px}
h3{font-size:14px;font-weight:600;margin:0 0 4px}a{color:#0b6a66}p{margin:0 0 8px;max-width:76ch;overflow-wrap:anywhere}
header{display:flex;gap:24px;align-items:flex-start;justify-content:space-between}
header img{max-height:64px;max-width:220px}
.notice{margin:8px 0 0;padding:6px 12px;border-left:3px solid #7d4e00;background:#fdf6ea;color:#7d4e00;max-width:none}
.muted,figcaption,.note,caption{color:#59636d;font-size:13px}
dl.about{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:12px 0;font-size:14px}
dl.about dt{color:#59636d}dl.about dd{margin:0;overflow-wrap:anywhere}
dl.head{display:grid;grid-template-columns:repeat(4,1fr);gap:1px;background:#d9dde1;border:1px solid #d9dde1;
border-radius:6px;overflow:hidden;margin:20px 0}
dl.head div{background:#fff;padding:10px 14px}dl.head dt{color:#59636d;font-size:12px}
dl.head dd{margin:0;font-size:20px;font-weight:600}
nav ol{columns:2;padding-left:1.4em;font-size:14px;margin:0}
ul.claims{list-style:none;padding:0;margin:0;border:1px solid #d9dde1;border-radius:6px}
ul.claims li{display:grid;grid-template-columns:20px 190px 1fr;gap:8px;padding:7px 12px}
ul.claims li+li{border-top:1px solid #d9dde1}ul.claims b{font-weight:600}
.green>i{color:#1b6b2f}.amber>i{color:#7d4e00}.red>i{color:#b3261e}ul.claims i{font-style:normal;font-weight:700}
figure{margin:0 0 24px;break-inside:avoid}figure svg{display:block;width:100%;height:auto}
details{font-size:13px}summary{color:#59636d;cursor:pointer}.wrap{overflow-x:auto;max-width:100%}
details .wrap{max-height:320px;overflow:auto}
table{border-collapse:collapse;width:100%;font-size:13px}caption{text-align:left;padding:4px 0}
th,td{padding:4px 8px;text-align:right;white-space:nowrap;border-bottom:1px solid #eceef0}
thead th{color:#59636d;font-weight:600;font-size:12px}th:first-child,td:first-child,.text{text-align:left}
tbody th{font-weight:500}.gain{color:#1a5fc2}.loss{color:#b0480a}
.groups{columns:2;column-gap:32px}.groups table{break-inside:avoid;margin-bottom:16px}
.groups caption{font-weight:600;color:#14181c}
.hash{font-family:ui-monospace,monospace;font-size:12px;overflow-wrap:anywhere}
@media(max-width:640px){body{padding:20px 14px}dl.head{grid-template-columns:1fr 1fr}.groups,nav ol{columns:1}
figure svg{min-width:600px}
ul.claims li{grid-template-columns:20px 1fr}ul.claims li span{grid-column:2}header{flex-direction:column}}
@media print{body{max-width:none;padding:0;font-size:12px}details{display:none}h2{break-after:avoid}}
"""


def html(document: Document) -> str:
    """The whole file as text."""
    title = escape(document.title)
    sections = list(_sections(document))
    contents = "".join(f'<li><a href="#{key}">{escape(name)}</a></li>' for key, name, _ in sections)
    body = "".join(f'<section id="{key}"><h2>{escape(name)}</h2>{inside}</section>' for key, name, inside in sections)
    logo = ""
    if document.logo:
        logo = f'<img alt="Logo" src="data:image/png;base64,{base64.b64encode(document.logo).decode()}">'
    about = "".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in document.about)
    notices = "".join(f'<p class="notice">{escape(line)}</p>' for line in document.notices)
    head = "".join(f"<div><dt>{escape(f['label'])}</dt><dd>{escape(f['text'])}</dd></div>" for f in document.head)
    return (
        f'<!doctype html><html lang="{document.language}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{title}</title><style>{CSS}{STYLE}</style></head><body><header><div><h1>{title}</h1>"
        f'<p class="muted">Backtest of {escape(document.strategy)}</p></div>{logo}</header>{notices}'
        f'<dl class="about">{about}</dl><p>{escape(document.description)}</p><dl class="head">{head}</dl>'
        f'<nav aria-label="Contents"><ol>{contents}</ol></nav><main>{body}</main></body></html>\n'
    )


def _sections(document: Document) -> Iterator[tuple[str, str, str]]:
    """(anchor, heading, HTML) of each part."""
    if document.paragraphs:
        yield "notes", "Notes of the author", "".join(_paragraph(text) for text in document.paragraphs)
    if document.claims:
        yield "claims", f"What this result can claim: {document.claims_summary}", _claims(document)
    yield "charts", "Charts", "".join(_figure(chart) for chart in document.charts)
    for table in document.tables:
        yield table.key, table.title, _table(table)
    yield "figures", "All figures", _groups(document)
    yield "conventions", "How it was run", _conventions(document)


def _paragraph(text: str) -> str:
    return f"<p>{'<br>'.join(escape(line) for line in text.splitlines())}</p>"


def _claims(document: Document) -> str:
    lines = "".join(
        f'<li class="{line["state"]}"><i title="{STATE_NAMES[line["state"]]}">{STATE_WORDS[line["state"]]}</i>'
        f"<b>{escape(line['title'])}</b><span>{escape(line['text'])}</span></li>"
        for line in document.claims
    )
    return f'<ul class="claims">{lines}</ul>'


def _figure(chart: Chart) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in chart.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in chart.rows)
    return (
        f'<figure id="chart-{chart.key}"><h3>{escape(chart.title)}</h3>'
        f'<div class="wrap" tabindex="0">{svg(chart)}</div>'
        f"<figcaption>{escape(chart.sentence)}</figcaption>"
        f"<details><summary>Data table, {len(chart.rows)} rows</summary>"
        f'<div class="wrap" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        "</details></figure>"
    )


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = []
    for row, tones in zip(table.rows, table.tones, strict=True):
        first, *rest = row
        cells = "".join(
            f"<td{f' class={tone}' if tone else ''}>{escape(cell)}</td>"
            for cell, tone in zip(rest, tones[1:], strict=True)
        )
        rows.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    none = f'<tr><td colspan="{len(table.columns)}">None.</td></tr>'
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="wrap" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows) or none}</tbody></table></div>{note}"
    )


def _groups(document: Document) -> str:
    return '<div class="groups">{}</div>'.format(
        "".join(
            f"<table><caption>{escape(group)}</caption><tbody>"
            + "".join(
                f'<tr><th scope="row">{escape(figure["label"])}</th><td>{escape(figure["text"])}</td></tr>'
                for figure in members
            )
            + "</tbody></table>"
            for group, members in document.groups
        )
    )


def _conventions(document: Document) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in document.conventions)
    manifest = f'<p>Manifest of the run, SHA-256: <span class="hash">{escape(document.manifest)}</span></p>'
    link = f'<p>Where it was made: <span class="hash">{escape(document.link)}</span></p>'
    return (
        f"<p>{escape(document.verified_text)}</p><ul>{lines}</ul>"
        f"{manifest if document.manifest else ''}{link if document.link else ''}"
    )
