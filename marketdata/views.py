"""The pages below /data/: the catalogue, an instrument, several beside each other, a universe."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from qfp.tearsheet.hours import breaks, closed_hours

from marketdata import browsing, charts, figures, provider_access, store, universes
from marketdata.browsing import Entry, View, view_of
from marketdata.comparing import DEFINITIONS, MOST_SERIES, Comparison, NotComparable, compare
from marketdata.exporting import Download, safe_cell
from marketdata.figures import BadWindow, Window, window_from
from marketdata.issues import issues_of
from marketdata.searching import question_of
from marketdata.snippets import program_for

PAGE_SIZE = 40
MEMBERS_SHOWN = 100
CSV_ROWS_AT_ONCE = 2_000
JSON_ROWS = 60


def the_view(request: HttpRequest) -> View:
    view = view_of(request.user)
    if view is None:
        raise Http404("No market data has been loaded.")
    return view


def the_entry(request: HttpRequest, name: str) -> tuple[View, Entry]:
    view = the_view(request)
    entry = view.find(name)
    if entry is None:
        raise Http404(f"No series {name[:120]!r}.")
    return view, entry


def described(view: View, entry: Entry) -> dict[str, Any]:
    """A series as the pages name it."""
    return {
        "entry": entry,
        "name": view.name_in_addresses(entry),
        "url": reverse("marketdata:instrument", args=[view.name_in_addresses(entry)]),
        "kind": browsing.KINDS.get(entry["kind"], entry["kind"].capitalize()),
        "interval": browsing.INTERVALS.get(entry["interval"], entry["interval"]),
        "provider": browsing.provider_title(entry) if entry["provider"] else "",
        "licence": browsing.TIERS.get(browsing.licence_of(entry), ""),
        "survivorship": browsing.survivorship_of(entry),
        "synthetic": browsing.is_synthetic(entry),
        "private": entry["id"] in view.own,
        "comparable": "close" in entry["columns"],
        "several": len(view.intervals_of(entry)) > 1,
    }


# The catalogue --------------------------------------------------------------------------------------------------


@never_cache
@require_GET
def catalogue(request: HttpRequest) -> HttpResponse:
    view = view_of(request.user)
    text = question_of(request)
    chosen = {facet.name: request.GET.getlist(facet.name)[:30] for facet in browsing.FACETS}
    found = browsing.search(view, text, chosen) if view else browsing.Found([], [])
    page = Paginator(found.entries, PAGE_SIZE).get_page(request.GET.get("page"))
    kept = [("q", text)] * bool(text) + [(name, value) for name, values in chosen.items() for value in values]
    context = {
        "view": view,
        "text": text,
        "facets": found.facets,
        "narrowed": sum(len(values) for values in chosen.values()),
        "total": len(found.entries),
        "page": page,
        "rows": [described(view, entry) for entry in page] if view else [],
        "query": urlencode(kept),
        "nearest": nearest(view, text) if view and text and not found.entries else [],
        "universes": view.universes if view else [],
        "most_series": MOST_SERIES,
    }
    template = "marketdata/_found.html" if request.htmx else "marketdata/catalogue.html"  # type: ignore[attr-defined]
    return render(request, template, context)


def nearest(view: View, text: str) -> list[dict[str, Any]]:
    """Series whose symbol or alias looks like what was typed."""
    close = difflib.get_close_matches(text.casefold(), list(view.by_name), n=6, cutoff=0.5)
    found = {view.by_name[name]["id"]: view.by_name[name] for name in close}
    return [described(view, entry) for entry in list(found.values())[:3]]


# One series -----------------------------------------------------------------------------------------------------


@never_cache
@require_GET
def instrument(request: HttpRequest, name: str) -> HttpResponse:
    view, entry = the_entry(request, name)
    try:
        window = window_from(request.GET, entry)
    except BadWindow as problem:
        return HttpResponse(str(problem), status=400, content_type="text/plain")
    everything = figures.columns_of(view, entry)
    columns = everything if window.adjust == "all" else figures.columns_of(view, entry, window.adjust)
    lines = figures.drawn(columns, entry, window)
    shown = figures.cut(columns, window)
    actions = figures.marks_of(figures.columns_of(view, entry, "raw")) if figures.can_be_adjusted(entry) else []
    own, states = described(view, entry), provider_access.all_states()
    context = {
        **own,
        "view": view,
        "window": window,
        "svg": _svg(shown, entry, lines, window),
        "sentence": figures.sentence(shown, entry, window.adjust) if lines else "",
        "lines": lines,
        "has_bars": figures.has_bars(entry),
        "figures": figures.key_figures(everything, entry) if lines else [],
        "table": figures.last_rows(shown, entry),
        "actions": actions[::-1],
        "splits": sum(1 for mark in actions if mark["split"] != 1),
        "adjustments": _choices(request, "adjust", [(k, v[1]) for k, v in figures.ADJUSTMENTS.items()], window.adjust)
        if figures.can_be_adjusted(entry)
        else [],
        "ranges": _choices(request, "range", figures.ranges_of(entry), window.chosen) if lines else [],
        "columns": _columns(request, columns, lines),
        "intervals": [described(view, other) for other in view.intervals_of(entry)],
        "universes": view.universes_with(entry),
        "issues": issues_of(entry["id"], entry["object"], request.user)[:20],
        "downloadable": browsing.may_be_downloaded(entry),
        "given_by": browsing.provider_title(entry),
        "could_give": [p for p in browsing.providers_for(entry) if states[p.name].enabled],
        "program": program_for([entry], view),
        "uploaded": browsing.is_upload(entry),
        "removable": removable(view, entry),
        "adjustment": figures.adjustment_in_words(entry),
    }
    return render(request, "marketdata/instrument.html", context)


def removable(view: View, entry: Entry) -> bool:
    """Whether its owner may take it away here. Datasets have a page of their own for that."""
    return entry["id"] in view.own and not browsing.is_upload(entry)


@require_POST
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Take a fetched series out of what this person's new runs read."""
    view, entry = the_entry(request, name)
    if not removable(view, entry):
        raise Http404(f"{name[:120]!r} is not yours to remove.")
    store.remove_series([entry["id"]], user=request.user)
    messages.success(request, f"{entry['symbol']} is removed. Runs that read it keep what they read.")
    return redirect("marketdata:catalogue")


def _choices(request: HttpRequest, name: str, options: Sequence[tuple[str, str]], chosen: str) -> list[dict[str, Any]]:
    """Links that change one value of the address and keep the others, so that the page works without a script."""
    found = []
    for value, label in options:
        query = request.GET.copy()
        query[name] = value
        if name == "range":
            query.pop("from", None)
            query.pop("to", None)
        found.append({"value": value, "label": label, "query": query.urlencode(), "chosen": value == chosen})
    return found


def _columns(request: HttpRequest, columns: dict[str, Any], lines: Sequence[str]) -> list[dict[str, Any]]:
    """Links that add a line or take one out, where there are several columns to choose from."""
    names = figures.drawable(columns)
    if len(names) < 2 or "close" in names:
        return []
    found = []
    for name in names:
        query = request.GET.copy()
        query.setlist("c", [n for n in names if (n in lines) != (n == name)])
        full = len(lines) >= figures.MOST_COLUMNS and name not in lines
        last = list(lines) == [name]
        found.append({"name": name, "chosen": name in lines, "query": "" if full or last else query.urlencode()})
    return found


def _svg(columns: dict[str, Any], entry: Entry, lines: Sequence[str], window: Window) -> Any:
    if not lines:
        return ""
    points = figures.points_of(columns, entry, lines, charts.MOST_DRAWN)
    return charts.series_svg(
        figures.shown_dates(points["date"], entry),
        [(name, figures.numbers(points[name])) for name in lines],
        title=figures.sentence(columns, entry, window.adjust),
        volume=figures.numbers(points["volume"]) if "volume" in points else None,
        marks=figures.marks_of(columns),
    )


@never_cache
@require_GET
def bars(request: HttpRequest, name: str) -> HttpResponse:
    """The points of a chart as JSON: at most 2,000 of a stretch, with its sentence and its newest rows."""
    view, entry = the_entry(request, name)
    try:
        window = window_from(request.GET, entry)
    except BadWindow as problem:
        return JsonResponse({"message": str(problem)}, status=400)
    columns = figures.columns_of(view, entry, window.adjust)
    lines = figures.drawn(columns, entry, window)
    shown = figures.cut(columns, window)
    points = figures.points_of(shown, entry, lines)
    answer = {
        "dates": figures.shown_dates(points["date"], entry),
        "columns": {n: figures.numbers(points[n]) for n in points if n not in ("date", "bars_per_point")},
        "marks": figures.marks_of(shown),
        "closed": breaks(closed_hours(shown["date"])),
        "bars": len(shown["date"]),
        "bars_per_point": points["bars_per_point"],
        "sentence": figures.sentence(shown, entry, window.adjust),
        "table": figures.last_rows(shown, entry, JSON_ROWS),
    }
    return JsonResponse(answer, json_dumps_params={"separators": (",", ":"), "ensure_ascii": False})


@never_cache
@require_GET
def download(request: HttpRequest, name: str) -> HttpResponse:
    """The series as CSV, where its rights allow the site to hand it out."""
    view, entry = the_entry(request, name)
    if not browsing.may_be_downloaded(entry):
        message = "The terms of this series do not allow the site to hand it out as a file. Your runs can read it."
        return HttpResponse(message, status=403, content_type="text/plain")
    try:
        window = window_from(request.GET, entry)
    except BadWindow as problem:
        return HttpResponse(str(problem), status=400, content_type="text/plain")
    columns = figures.cut(figures.columns_of(view, entry, window.adjust), window)
    response = Download(_csv_lines(columns, entry), content_type="text/csv; charset=utf-8")
    how = f"-{window.adjust}" if figures.can_be_adjusted(entry) else ""
    safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in entry["symbol"])
    response["Content-Disposition"] = f'attachment; filename="{safe}-{entry["interval"]}{how}.csv"'
    return response


class _Echo:
    def write(self, line: str) -> str:
        return line


def _csv_lines(columns: dict[str, Any], entry: Entry) -> Iterator[str]:
    """A header, then rows in pieces. Spreadsheets run cells that begin like a formula, so such text gets a quote."""
    writer = csv.writer(_Echo(), lineterminator="\r\n")
    names = [name for name in columns if name != "date"]
    yield writer.writerow(["date", *map(safe_cell, names)])
    for low in range(0, len(columns["date"]), CSV_ROWS_AT_ONCE):
        piece = slice(low, low + CSV_ROWS_AT_ONCE)
        cells = [columns[name][piece].tolist() for name in names]
        dates = figures.shown_dates(columns["date"][piece], entry)
        if figures.is_intraday(entry):
            dates = [f"{moment.replace(' ', 'T')}Z" for moment in dates]
        yield "".join(
            writer.writerow([day, *("" if v != v else safe_cell(v) if isinstance(v, str) else v for v in row)])
            for day, *row in zip(dates, *cells, strict=True)
        )


# Several series -------------------------------------------------------------------------------------------------


@never_cache
@require_GET
def comparison(request: HttpRequest) -> HttpResponse:
    view = the_view(request)
    names = list(dict.fromkeys(part.strip() for s in request.GET.getlist("s") for part in s.split(",") if part.strip()))
    entries, unknown = [], []
    for name in names[:MOST_SERIES]:
        entry = view.find(name[:120])
        if entry is None:
            unknown.append({"name": name[:120], "nearest": nearest(view, name[:120])})
        elif entry not in entries:
            entries.append(entry)
    problem, found = "", None
    if len(names) > MOST_SERIES:
        problem = f"At most {MOST_SERIES} series fit beside each other; the first {MOST_SERIES} are shown."
    window = None
    if entries:
        try:
            window = window_from(request.GET, max(entries, key=lambda entry: entry["last"] or ""))
            found = compare(view, entries, window) if len(entries) > 1 else None
        except (BadWindow, NotComparable) as refusal:
            problem = str(refusal)
    context = {
        "view": view,
        "problem": problem,
        "unknown": unknown,
        "series": [
            {
                **described(view, e),
                "without": _query(request, [view.name_in_addresses(o) for o in entries if o is not e]),
            }
            for e in entries
        ],
        "found": found,
        "start": request.GET.get("from", ""),
        "end": request.GET.get("to", ""),
        "most_series": MOST_SERIES,
        "suggestions": [described(view, entry) for entry in view.entries if "close" in entry["columns"]][:400],
        **(_compared(found, view) if found else {}),
    }
    return render(request, "marketdata/compare.html", context)


def _query(request: HttpRequest, names: Sequence[str]) -> str:
    kept = [(name, value) for name in ("from", "to") if (value := request.GET.get(name))]
    return urlencode([*(("s", name) for name in names), *kept])


def _compared(found: Comparison, view: View) -> dict[str, Any]:
    names = found.names
    chart = found.chart()
    correlations = [[{"value": value, "level": _level(value)} for value in row] for row in found.correlations()]
    return {
        "sentence": found.sentence(),
        "chart": chart,
        "svg": charts.series_svg(
            chart["dates"], [(line["name"], line["values"]) for line in chart["lines"]], title=found.sentence()
        ),
        "definitions": [
            {"label": label, "form": form, "help": text, "key": key} for key, (label, form, text) in DEFINITIONS.items()
        ],
        "measured": [
            {
                "name": name,
                "number": number,
                "cells": [(row[key], form, key) for key, (_, form, _) in DEFINITIONS.items()],
            }
            for number, (name, row) in enumerate(zip(names, found.figures(), strict=True), 1)
        ],
        "correlations": list(zip(names, correlations, strict=True)),
        "years": found.by_year(),
        "notes": [entry["symbol"] for entry in found.not_investable()],
        "biased": [e["symbol"] for e in found.entries if browsing.survivorship_of(e) == "biased"],
        "first_day": figures.prose_day(found.dates[0]),
        "last_day": figures.prose_day(found.dates[-1]),
        "program": program_for(found.entries, view),
    }


def _level(value: float) -> str:
    """A step of the colour scale: p5 is a correlation of 0.8 to 1, n1 one of 0 to -0.2."""
    if value != value:
        return ""
    return ("p" if value >= 0 else "n") + str(min(5, int(abs(value) * 5) + 1))


# Universes ------------------------------------------------------------------------------------------------------


@never_cache
@require_GET
def universe_list(request: HttpRequest) -> HttpResponse:
    view = the_view(request)
    rows = []
    for universe in view.universes:
        first, last = universes.span(universe)
        rows.append({"universe": universe, "first": first, "last": last})
    return render(request, "marketdata/universes.html", {"view": view, "rows": rows})


@never_cache
@require_GET
def universe(request: HttpRequest, name: str) -> HttpResponse:
    view = the_view(request)
    found = view.universe(name)
    if found is None:
        raise Http404(f"No universe {name[:120]!r}.")
    first, last = universes.span(found)
    ends = [e["last"] for m in found["members"] if (e := view.find(m["series"])) and e["last"]]
    last_day = max([*ends, last][:], default="") if ends or last else date.today().isoformat()
    asked, problem = request.GET.get("asof", ""), ""
    try:
        day = date.fromisoformat(asked or last_day[:10])
    except ValueError:
        day, problem = date.fromisoformat(last_day[:10]), f"{asked[:40]!r} is no date. Write it like 2010-01-31."
    inside = universes.members_on(found, day)
    everybody = request.GET.get("show") == "all"
    listed = list(found["members"]) if everybody else inside
    page = Paginator(listed, MEMBERS_SHOWN).get_page(request.GET.get("page"))
    days, totals = universes.counts(found)
    if days and days[-1] < last_day[:10]:
        days, totals = [*days, last_day[:10]], [*totals, totals[-1]]
    text = universes.sentence(found, inside, day)
    context = {
        "view": view,
        "universe": found,
        "day": day,
        "problem": problem,
        "first": first,
        "last": last_day[:10],
        "inside": len(inside),
        "everybody": everybody,
        "page": page,
        "rows": [
            {**member, "known": known, "name": view.name_in_addresses(known) if known else ""}
            for member in page
            for known in [view.find(member["series"])]
        ],
        "sentence": text,
        "svg": charts.series_svg(*_evenly(days, totals), title=text, steps=True, height=220) if first else "",
        "query": urlencode([("asof", day.isoformat()), *([("show", "all")] if everybody else [])]),
    }
    return render(request, "marketdata/universe.html", context)


def _evenly(days: Sequence[str], totals: Sequence[int]) -> tuple[list[str], list[charts.Line]]:
    """The number of members at even distances of time, as the axis of a chart is even."""
    ordinals = [date.fromisoformat(day).toordinal() for day in days if day]
    totals = list(totals)[len(days) - len(ordinals) :]
    if len(ordinals) < 2:
        return [], []
    wanted = min(400, ordinals[-1] - ordinals[0] + 1)
    dates, values, at = [], [], 0
    for step in range(wanted):
        moment = ordinals[0] + round((ordinals[-1] - ordinals[0]) * step / (wanted - 1))
        while at + 1 < len(ordinals) and ordinals[at + 1] <= moment:
            at += 1
        dates.append(date.fromordinal(moment).isoformat())
        values.append(float(totals[at]))
    return dates, [("members", values)]
