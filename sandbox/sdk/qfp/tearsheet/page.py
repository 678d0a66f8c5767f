"""How does a report become one HTML file? Styles, charts and logo inside: it opens with the network off, and prints."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from qfp.figures import GROUPS
from qfp.tearsheet.charts import Chart
from qfp.tearsheet.document import Document
from qfp.tearsheet.drawing import NARROW, STYLE, coloured, svg
from qfp.tearsheet.states import STATES
from qfp.tearsheet.table import Table
from qfp.tearsheet.terms import definition

__all__ = ["html"]

# Whatever the page says of itself, it asks the network for nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
NAMED_FIRST = ("Instruments", "Period")

CSS = """
:root{color-scheme:light;--page:#fff;--text:#14181c;--muted:#59636d;--line:#d9dde1;--link:#0b6a66;--gain:#1a5fc2;
--loss:#b0480a;--green:#1b6b2f;--amber:#7d4e00;--red:#b3261e;--warned:#fdf6ea;--wrong:#fdeeec;--edge:rgb(20 24 28/.2)}
*{box-sizing:border-box}
body{margin:0 auto;padding:32px 24px 64px;max-width:960px;background:var(--page);color:var(--text);
font:15px/1.5 Inter,system-ui,sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:28px;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:20px;margin:40px 0 12px;border-top:1px solid var(--line);padding-top:20px}
h3{font-size:14px;font-weight:600;margin:0 0 4px}a{color:var(--link)}
p{margin:0 0 8px;max-width:76ch;overflow-wrap:anywhere}
header{display:flex;gap:24px;align-items:flex-start;justify-content:space-between}
header img{max-height:64px;max-width:220px}
.notice{margin:8px 0 0;padding:6px 12px;border-left:3px solid;max-width:none;background:var(--warned);
color:var(--amber)}
.notice.red{background:var(--wrong);color:var(--red)}
.muted,figcaption,.note,caption{color:var(--muted);font-size:13px}
dl.about{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:2px 16px;margin:32px 0 12px;font-size:14px}
dl.about dt{color:var(--muted)}dl.about dd{margin:0;overflow-wrap:anywhere}
dl.head{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:1px;background:var(--line);
border:1px solid var(--line);border-radius:6px;overflow:hidden;margin:20px 0}
dl.head div{background:var(--page);padding:10px 14px}dl.head dt{color:var(--muted);font-size:12px}
dl.head dd{margin:0;font-size:20px;font-weight:600;overflow-wrap:anywhere}
a.term{color:inherit;text-decoration:underline dotted;text-underline-offset:.22em}
.verdict{display:inline-block;margin:8px 0 0;padding:2px 10px;border:1px solid;border-radius:6px;font-weight:600;
text-decoration:none}
nav ol{columns:2;padding-left:1.4em;font-size:14px;margin:0}
ul.claims{list-style:none;padding:0;margin:0;border:1px solid var(--line);border-radius:6px}
ul.claims li{display:grid;grid-template-columns:20px 190px minmax(0,1fr);gap:8px;padding:7px 12px}
ul.claims li+li{border-top:1px solid var(--line)}ul.claims b{font-weight:600}ul.claims span{overflow-wrap:anywhere}
.green>i,.verdict.green{color:var(--green)}.amber>i,.verdict.amber{color:var(--amber)}
.red>i,.verdict.red{color:var(--red)}
.blue>i,.verdict.blue{color:var(--gain)}.grey>i,.verdict.grey{color:var(--muted)}
ul.claims i{font-style:normal;font-weight:700}
figure{margin:0 0 24px;break-inside:avoid}figure svg{display:block;width:100%;height:auto}figure .narrow{display:none}
details{font-size:13px}summary{color:var(--muted);cursor:pointer}
.wrap{overflow-x:auto;max-width:100%;background:
linear-gradient(to right,var(--page) 30%,transparent) left/32px 100% no-repeat local,
linear-gradient(to left,var(--page) 30%,transparent) right/32px 100% no-repeat local,
linear-gradient(to right,var(--edge),transparent) left/10px 100% no-repeat,
linear-gradient(to left,var(--edge),transparent) right/10px 100% no-repeat}
details .wrap{max-height:320px;overflow:auto}
table{border-collapse:collapse;width:100%;font-size:13px}caption{text-align:left;padding:4px 0}
th,td{padding:4px 8px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
thead th{color:var(--muted);font-weight:600;font-size:12px}th:first-child,td:first-child,.text{text-align:left}
tbody th{font-weight:500}.gain{color:var(--gain)}.loss{color:var(--loss)}
.groups{columns:2;column-gap:32px}.groups table{break-inside:avoid;margin-bottom:16px}
.groups td{white-space:normal;overflow-wrap:anywhere}
.groups caption{font-weight:600;color:var(--text)}
dl.terms{display:grid;grid-template-columns:200px minmax(0,1fr);gap:4px 16px;font-size:13px;margin:0}
dl.terms dt{font-weight:500}dl.terms dd{margin:0;color:var(--muted)}dl.terms :target{outline:2px solid var(--link)}
.hash{font-family:ui-monospace,monospace;font-size:12px;overflow-wrap:anywhere}
@media(max-width:640px){body{padding:20px 14px}dl.head{grid-template-columns:1fr 1fr}.groups,nav ol{columns:1}
dl.terms{grid-template-columns:minmax(0,1fr);gap:0}dl.terms dd{margin-bottom:8px}
ul.claims li{grid-template-columns:20px minmax(0,1fr)}ul.claims li span{grid-column:2}header{flex-direction:column}}
@media screen and (max-width:640px){figure .wide{display:none}figure .narrow{display:block}
.wrap tbody th,.wrap thead th:first-child{position:sticky;left:0;max-width:110px;white-space:normal;
background:var(--page);box-shadow:inset -1px 0 var(--line)}.wrap tbody th.date{white-space:nowrap}}
@media print{body{max-width:none;padding:0;font-size:12px}details{display:none}h2{break-after:avoid}
.wrap{background:none}}
"""
# On paper it stays light.
DARK = (
    "@media screen and (prefers-color-scheme:dark){:root{color-scheme:dark;--page:#0e1113;--text:#e4e8eb;"
    "--muted:#9ba6af;--line:#2b3238;--link:#4cc2b4;--gain:#6cabff;--loss:#f39a58;--green:#6fcf86;--amber:#e0b040;"
    "--red:#ff8b82;--warned:#241d0c;--wrong:#2a1513;--edge:rgb(0 0 0/.8)}.ts-text{fill:#9ba6af}.ts-grid{stroke:#2b3238}"
    + coloured({"main": "#6cabff", "benchmark": "#8a949d", "fall": "#f39a58", "up": "#6cabff", "down": "#f39a58"})
    + "}"
)


def html(document: Document) -> str:
    """The whole file as text."""
    title = escape(document.title)
    sections = list(_sections(document))
    contents = "".join(f'<li><a href="#{key}">{escape(name)}</a></li>' for key, name, _ in sections)
    parts = {key: f'<section id="{key}"><h2>{escape(name)}</h2>{inside}</section>' for key, name, inside in sections}
    body = "".join(part for key, part in parts.items() if key != "claims")
    logo = ""
    if document.logo:
        logo = f'<img alt="Logo" src="data:image/png;base64,{base64.b64encode(document.logo).decode()}">'
    about = "".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in document.about)
    about_it = dict(document.about)
    what = ", ".join([f"Backtest of {document.strategy}", *(about_it[n] for n in NAMED_FIRST if n in about_it)])
    notices = "".join(f'<p class="notice {state}">{escape(line)}</p>' for state, line in document.notices)
    head = "".join(f"<div><dt>{_term(f)}</dt><dd{_full(f)}>{escape(f['text'])}</dd></div>" for f in document.head)
    verdict = ""
    if document.claims:
        said = f"{STATES[document.worst].sign} {document.claims_summary}"
        verdict = f'<a class="verdict {document.worst}" href="#claims">{escape(said)}</a>'
        verdict += f' <span class="muted">{escape(document.fine)}</span>' if document.fine else ""
    return (
        f'<!doctype html><html lang="{document.language}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{title}</title><style>{CSS}{STYLE}{DARK}</style></head><body><header><div><h1>{title}</h1>"
        f'<p class="muted">{escape(what)}</p>{verdict}</div>{logo}</header>{notices}<main>'
        # What one comes for is first; what may be thought of it is next.
        f'<dl class="head">{head}</dl><p>{escape(document.description)}</p>{_figure(document.charts[0])}'
        f'{parts.get("claims", "")}<dl class="about">{about}</dl><nav aria-label="Contents"><ol>{contents}</ol></nav>'
        f"{body}</main></body></html>\n"
    )


def _sections(document: Document) -> Iterator[tuple[str, str, str]]:
    """(anchor, heading, HTML) of each part below the first chart."""
    if document.claims:
        yield "claims", f"What this result can claim: {document.claims_summary}", _claims(document)
    if document.paragraphs:
        yield "notes", "Notes of the author", "".join(_paragraph(text) for text in document.paragraphs)
    yield "charts", "Charts", "".join(map(_figure, document.charts[1:]))
    for table in document.tables:
        yield table.key, table.title, _table(table)
    yield "figures", "All figures", _groups(document)
    yield "terms", "What the figures mean", _terms(document)
    yield "conventions", "How it was run", _conventions(document)


def _paragraph(text: str) -> str:
    return f"<p>{'<br>'.join(escape(line) for line in text.splitlines())}</p>"


def _claims(document: Document) -> str:
    lines = "".join(
        f'<li class="{line["state"]}"><i title="{STATES[line["state"]].word}">{STATES[line["state"]].sign}</i>'
        f"<b>{escape(line['title'])}</b><span>{escape(line['text'])}</span></li>"
        for line in document.claims
    )
    return f'<ul class="claims">{lines}</ul>'


def _figure(chart: Chart) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in chart.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in chart.rows)
    return (
        f'<figure id="chart-{chart.key}"><h3>{escape(chart.title)}</h3>'
        f'<div class="wide">{svg(chart)}</div><div class="narrow">{svg(chart, sheet=NARROW)}</div>'
        f"<figcaption>{escape(chart.sentence)}</figcaption>"
        f"<details><summary>Data table, {len(chart.rows)} rows</summary>"
        f'<div class="wrap" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        "</details></figure>"
    )


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{_heading(name)}</th>' for name in table.columns)
    rows = []
    for row, tones in zip(table.rows, table.tones, strict=True):
        first, *rest = row
        cells = "".join(
            f"<td{f' class={tone}' if tone else ''}>{escape(cell)}</td>"
            for cell, tone in zip(rest, tones[1:], strict=True)
        )
        date = ' class="date"' if first[:1].isdigit() else ""  # or a year: it is not broken where it is narrow
        rows.append(f'<tr><th scope="row"{date}>{_heading(first)}</th>{cells}</tr>')
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
                f'<tr><th scope="row">{_term(figure)}</th><td{_full(figure)}>{escape(figure["text"])}</td></tr>'
                for figure in members
            )
            + "</tbody></table>"
            for group, members in document.groups
        )
    )


def _term(figure: Mapping[str, Any]) -> str:
    """The name of a figure, which leads to its definition: pointed at or tapped, without a script."""
    help_ = escape(figure.get("help", ""))
    return f'<a class="term" href="#term-{escape(figure["key"])}" title="{help_}">{escape(figure["label"])}</a>'


def _heading(name: str) -> str:
    """The heading of a column or row of a table, as a figure's name."""
    known = definition(name)
    return _term({"key": _key(name), "help": known[0], "label": name}) if known else escape(name)


def _key(name: str) -> str:
    """Where its definition stands: that of a figure once, wherever its name is."""
    figures = (each.key for group in GROUPS.values() for each in group if each.label == name)
    return next(figures, None) or "-".join(
        "".join(letter if letter.isalnum() else " " for letter in name.lower()).split()
    )


def _full(figure: Mapping[str, Any]) -> str:
    """All digits of what is written shorter."""
    return f' title="{escape(figure["full"])}"' if figure.get("full") else ""


def _terms(document: Document) -> str:
    meant = {
        figure["key"]: (figure["label"], figure.get("help", "")) for _, members in document.groups for figure in members
    }
    for table in document.tables:
        for name in (*table.columns, *(row[0] for row in table.rows)):
            if known := definition(name):
                meant.setdefault(_key(name), (name, known[0]))
    pairs = "".join(
        f'<dt id="term-{escape(key)}">{escape(label)}</dt><dd>{escape(help_)}</dd>'
        for key, (label, help_) in meant.items()
    )
    return f'<dl class="terms">{pairs}</dl>'


def _conventions(document: Document) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in document.conventions)
    manifest = f'<p>Manifest of the run, SHA-256: <span class="hash">{escape(document.manifest)}</span></p>'
    link = f'<p>Where it was made: <span class="hash">{escape(document.link)}</span></p>'
    return (
        f"<p>{escape(document.verified_text)}</p><ul>{lines}</ul>"
        f"{manifest if document.manifest else ''}{link if document.link else ''}"
    )
