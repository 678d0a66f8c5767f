"""The page of one backtest of a run, the points of its charts, its files, and its reports."""

from __future__ import annotations

import math
import re
from html import escape
from typing import Any

import numpy as np
import redis
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from qfp.tearsheet import charts, tables
from qfp.tearsheet.charts import KEYS, Chart, points
from qfp.tearsheet.drawing import NARROW, svg
from qfp.tearsheet.hours import breaks

from marketdata.exporting import Download
from runner import claims_box, embeds, exports, private
from runner.access import Viewer, address_hash
from runner.honesty import sending
from runner.models import Backtest, Project, Report
from runner.private import Shown
from runner.reports import making
from runner.reports.at_hand import WAITING, BeingMade, TooMany, Unavailable, count_one, report_for
from runner.reports.documents import parameters_text
from runner.reports.logos import BadLogo
from runner.reports.records import record_of
from runner.run_views import find_run
from runner.sweeps.out_of_sample import out_of_sample

POINTS = 2_000
NARROW_HEIGHT = 255  # a phone's charts are 4 to 3
CLAIMS_CHANGED = "What this result can claim has changed since"
OWN_ENGINE = "qfp"  # others are libraries whose backtests were recorded
# Sentences of the file's own policy aside: whatever is in a file of ours, it is kept, not opened as a page of ours.
FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


def found_backtest(request: HttpRequest, run: Any, position: int) -> tuple[Backtest, Shown]:
    """The backtest, and how much of it this viewer may see."""
    found = find_run(request, run)
    backtest = get_object_or_404(Backtest, run=found, position=position)
    backtest.run = found
    shown = private.shown_to(found, Viewer.of(request))
    if shown.backtest(backtest) is None:
        raise Http404
    return backtest, shown


@never_cache
@require_safe
def backtest_page(request: HttpRequest, run: Any, position: int) -> HttpResponse:
    backtest, shown = found_backtest(request, run, position)
    record = record_of(backtest, shown.all)
    project = backtest.run.project
    can_edit = Project.objects.editable_by(Viewer.of(request)).filter(pk=project.pk).exists()
    if not can_edit:
        sending.send(backtest.run)
    claimed = _claims(backtest)
    return render(
        request,
        "runner/backtest.html",
        {
            "backtest": backtest,
            # Search engines and chats show it without the rest of the page.
            "meta_description": " ".join(
                [
                    *(line for _, line in backtest.standing.notices("Figures")),
                    f"{claimed['claims_summary']['text']}.",
                    backtest.description,
                ]
            ),
            "run": backtest.run,
            "project": project,
            "others": [other for other in shown.backtests(backtest.run) if other.pk != backtest.pk],
            "copied_library": backtest.engine_name if backtest.engine_name != OWN_ENGINE else "",
            "parameters": parameters_text(backtest, shown.all),
            "remarks": backtest.remarked(shown.all),
            "out_of_sample": out_of_sample(backtest, Viewer.of(request)),
            **claimed,
            "charts": [drawn(chart) for chart in charts(record)],
            "tables": [_cells(table) for table in tables(record)],
            "private_note": shown.note,
            "embed": embeds.embed_offered(backtest),
            "exports": list(exports.KINDS) if shown.all else [],
            "can_edit": can_edit,
            "reports": _reports(backtest, shown) if can_edit else [],
        },
    )


@never_cache
@require_safe
def claims(request: HttpRequest, run: Any, position: int) -> HttpResponse:
    """The part of its page that changes while the site makes the run again."""
    backtest, _ = found_backtest(request, run, position)
    return render(request, "runner/_result_claims_anew.html", {"backtest": backtest, **_claims(backtest)})


def _claims(backtest: Backtest) -> dict[str, Any]:
    """claims_due: in how many seconds they may be others; 0 where they stay."""
    lines = claims_box.lines(backtest)
    summary = claims_box.summary(lines, claims_box.checking(backtest))
    return {"claims": lines, "claims_summary": summary, "claims_due": sending.look_again_after(backtest.run)}


def drawn(chart: Chart) -> dict[str, Any]:
    """A chart as runner/_chart.html takes it."""
    narrow = svg(chart, height=NARROW_HEIGHT, sheet=NARROW)
    return {"chart": chart, "svg": mark_safe(svg(chart)), "narrow": mark_safe(narrow), "rows": _rows(chart)}


def _rows(chart: Chart) -> SafeString:
    """The body of a chart's table. A template takes longer for a thousand rows than for all else on the page."""
    return mark_safe(
        "".join(
            f'<tr><td class="date">{escape(first)}</td>'
            + "".join(f'<td class="number">{escape(cell)}</td>' for cell in rest)
            + "</tr>"
            for first, *rest in chart.rows
        )
    )


def _cells(table: Any) -> dict[str, Any]:
    rows = [list(zip(row, tones, strict=True)) for row, tones in zip(table.rows, table.tones, strict=True)]
    return {"key": table.key, "title": table.title, "columns": table.columns, "rows": rows, "note": table.note}


# Points of a chart --------------------------------------------------------------------------------------------


@never_cache
@require_safe
def chart_points(request: HttpRequest, run: Any, position: int, key: str) -> JsonResponse:
    """At most POINTS of each trace, between the dates `from` and `to` if there are any; extremes are kept."""
    backtest, shown = found_backtest(request, run, position)
    if key not in KEYS:
        raise Http404
    found = charts(record_of(backtest, shown.all), key)
    if not found:
        raise Http404
    try:
        start, stop = (_moment(request.GET.get(name, "")) for name in ("from", "to"))
    except ValueError:
        return JsonResponse({"message": "from and to are ISO dates, such as 2020-03-01."}, status=400)
    chart = found[0]
    traces = [_trace(chart, trace, at) for trace, at in points(chart, POINTS, start, stop)]
    body = {
        "key": chart.key,
        "title": chart.title,
        "form": chart.form,
        "x_form": chart.x_form,
        "x_title": chart.x_title,
        "level": chart.level,
        "logarithmic": chart.logarithmic,
        "sentence": chart.sentence,
        "closed": breaks(chart.closed.within(*_seconds(start, stop))),
        "traces": traces,
    }
    return JsonResponse(body, json_dumps_params={"ensure_ascii": False, "separators": (",", ":")})


def _moment(text: str) -> np.datetime64 | None:
    if not text:
        return None
    if not re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?", text):
        raise ValueError(text)
    return np.datetime64(text.replace(" ", "T"), "us")


def _seconds(start: np.datetime64 | None, stop: np.datetime64 | None) -> tuple[float, float]:
    """A stretch as seconds since 1970, open where it has no end."""
    first, last = (None if at is None else float(at.astype("datetime64[s]").astype(float)) for at in (start, stop))
    return -math.inf if first is None else first, math.inf if last is None else last


def _trace(chart: Chart, trace: Any, at: list[int]) -> dict[str, Any]:
    x, y = trace.x[at], trace.y[at]
    whole_days = chart.x_form == "date" and bool((x == x.astype("datetime64[D]")).all())
    return {
        "name": trace.name,
        "role": trace.role,
        "mode": trace.mode,
        "total": len(trace.x),
        "x": np.datetime_as_string(x, unit="D" if whole_days else "s").tolist()
        if chart.x_form == "date"
        else np.round(x, 8).tolist(),
        "y": [None if np.isnan(value) else round(float(value), 8) for value in y],  # None: a gap in the line
    }


# Files ------------------------------------------------------------------------------------------------------


@never_cache
@require_safe
def export(request: HttpRequest, run: Any, position: int, kind: str, form: str) -> HttpResponseBase:
    """Equity, trades, orders or fills, for those who may see them."""
    backtest, shown = found_backtest(request, run, position)
    if not shown.all:
        raise Http404
    pieces = exports.csv_pieces if form == "csv" else exports.parquet_pieces
    content_type = "text/csv; charset=utf-8" if form == "csv" else "application/vnd.apache.parquet"
    response = Download(pieces(backtest, kind), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{_file_name(backtest)}-{kind}.{form}"'
    return response


def _file_name(backtest: Backtest) -> str:
    """Letters and digits only: it stands in a header."""
    name = re.sub(r"[^a-z0-9]+", "-", f"{backtest.run.project.slug}-{backtest.strategy}".lower()).strip("-")
    return name[:80] or "backtest"


@never_cache
@require_safe
def report_now(request: HttpRequest, run: Any, position: int, form: str) -> HttpResponse:
    """The report as this viewer may have it, made while they wait: a tenth of a second."""
    backtest, shown = found_backtest(request, run, position)
    context: dict[str, Any] = {"backtest": backtest}
    try:
        return file_of(backtest, form, report_for(backtest, shown, form, Viewer.of(request), address_hash(request)))
    except BeingMade as made:
        status, context = 202, context | {"heading": "Your report is being made", "text": str(made), "again": True}
    except TooMany as refusal:
        status, context = 429, context | {"heading": "Too many reports", "text": str(refusal)}
    except Unavailable as refusal:
        status, context = 503, context | {"heading": "No report at the moment", "text": str(refusal)}
    return render(request, "runner/report_waits.html", context, status=status)


def file_of(backtest: Backtest, form: str, content: bytes) -> HttpResponse:
    content_type = "application/pdf" if form == Report.Form.PDF else "text/html; charset=utf-8"
    response = HttpResponse(content, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{_file_name(backtest)}.{form}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = FILE_POLICY
    return response


# Reports with notes and a logo -----------------------------------------------------------------------------------


@require_POST
def make_report(request: HttpRequest, run: Any, position: int) -> HttpResponse:
    """Ask for a report with the author's own title, notes and logo; it is made in the background."""
    find_run(request, run, editable=True)
    backtest, shown = found_backtest(request, run, position)
    refusal, report = "", None
    form = request.POST.get("format", Report.Form.PDF)
    logo = request.FILES.get("logo")
    try:
        count_one(Viewer.of(request), address_hash(request))
        report = making.ask(
            backtest,
            form=form,
            title=request.POST.get("title", ""),
            notes=request.POST.get("notes", ""),
            logo=logo.read(1 + making.MAX_LOGO_BYTES) if logo is not None else b"",
        )
    except (BadLogo, making.Refused, TooMany) as problem:
        refusal = str(problem)
    except redis.RedisError:
        refusal = "The site's queue does not answer at the moment. Ask again in a minute."
    if not getattr(request, "htmx", False) and report is not None:
        return redirect(f"{backtest.get_absolute_url()}#reports")
    context = {"backtest": backtest, "reports": _reports(backtest, shown), "refusal": refusal}
    return render(request, "runner/_reports.html", context, status=422 if refusal else 200)


@never_cache
@require_safe
def report_list(request: HttpRequest, run: Any, position: int) -> HttpResponse:
    """How far the reports are."""
    backtest, shown = found_backtest(request, run, position)
    return render(request, "runner/_reports.html", {"backtest": backtest, "reports": _reports(backtest, shown)})


def _reports(backtest: Backtest, shown: Shown) -> list[dict[str, Any]]:
    """The latest, and whether each that is done still says what can be claimed."""
    reports = list(backtest.reports.defer("content", "logo")[:10]) if shown.all else []
    claims = making.claims_of(backtest) if any(each.state == Report.State.DONE for each in reports) else ""
    return [{"report": each, "is_current": each.step == claims} for each in reports]


@never_cache
@require_safe
def report(request: HttpRequest, run: Any, position: int, report: int) -> HttpResponse:
    """The file, if it says what can be claimed now; otherwise it is made anew, and what was made before stays here."""
    backtest, shown = found_backtest(request, run, position)
    found = get_object_or_404(Report, pk=report, backtest=backtest)
    # It was made with everything that its author may see.
    if not shown.all:
        raise Http404
    if found.state == Report.State.DONE and found.content is not None and found.step == making.claims_of(backtest):
        return file_of(backtest, found.form, bytes(found.content))
    try:
        making.make_anew(found)
    except redis.RedisError:
        found.state, found.step = Report.State.FAILED, "The site's queue does not answer at the moment."
    old = found.content is not None
    if found.state == Report.State.FAILED:
        text = f"{CLAIMS_CHANGED}, so what was made before is not handed out. {found.step}" if old else found.step
        status, context = 503, {"heading": "No report at the moment", "text": text}
    else:
        step = found.step if found.state == Report.State.MAKING else WAITING
        text = f"{CLAIMS_CHANGED}; it is being made anew. {step}" if old else step
        status, context = 202, {"heading": "The report is being made", "text": text, "again": True}
    return render(request, "runner/report_waits.html", {"backtest": backtest, **context}, status=status)
