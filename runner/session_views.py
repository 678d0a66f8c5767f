"""Pages and actions of a project's live session. For those who may not edit the project it is not there."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from runner import cells, quotas, sandbox_state, sessions
from runner.access import Viewer, address_hash
from runner.hosts import Unanswered
from runner.models import Project, Run, Session
from runner.quotas import QuotaExceeded
from runner.recording import Recording, printed
from runner.starting import BadInput, clean_source, params_from, source_files
from runner.views import SeeOther, find_project, keep_draft, wants_json

PAGE_ROWS = 100
PAGE_COLUMNS = 20
TEXT_EVENTS = 400
MAX_NUMBER = 10**12


def _project(request: HttpRequest, where: dict[str, str]) -> Project:
    return find_project(Project.objects.editable_by(Viewer.of(request)), **where)


# Looking


@never_cache
@require_GET
def session(request: HttpRequest, **where: str) -> HttpResponse:
    """The state of the session as JSON, or its page for browsers without scripts."""
    found = _project(request, where)
    live = sessions.current(found)
    told = sessions.look(live) if live is not None and live.is_alive else {}
    runs = sessions.cells_of(live) if live is not None else []
    state = describe(live, told, runs)
    if wants_json(request):
        return JsonResponse({"session": state, "cells": [describe_cell(run) for run in runs]})
    latest = {run.cell_index: run for run in runs}
    return render(
        request,
        "runner/session.html",
        {
            "project": found,
            "session": state,
            "cells": [
                {"cell": cell, "run": latest.get(cell.index), "text": _printed(latest.get(cell.index))}
                for cell in cells.split(found.source)
                if cell.source.strip()
            ],
            "limits": quotas.limits_in_words(quotas.plan_of(Viewer.of(request))),
        },
    )


def describe(live: Session | None, told: dict[str, Any], runs: list[Run]) -> dict[str, Any] | None:
    """What the page says of a session. told: the engine's word, empty when there is none."""
    if live is None:
        return None
    busy = any(run.status in Run.IN_PROGRESS for run in runs)
    state = "ended" if not live.is_alive else "busy" if busy else "starting" if live.state == "starting" else "idle"
    used = 0.0 if busy else (timezone.now() - live.last_used).total_seconds()
    return {
        "number": live.number,
        "state": state,
        "words": {"ended": "Ended", "busy": "Busy", "starting": "Starting", "idle": "Idle"}[state],
        "why": live.why,
        "started": live.started.isoformat(),
        "idle_left": max(0.0, live.idle_seconds - used),
        "idle_seconds": live.idle_seconds,
        "memory_bytes": told.get("memory_bytes"),
        "silent": told.get("silent", ""),
    }


def describe_cell(run: Run) -> dict[str, Any]:
    return {
        "run": str(run.pk),
        "index": run.cell_index,
        "title": run.cell_title,
        "line": run.cell_line,
        "source": run.cell_source,
        "status": run.status,
        "message": run.message,
        "url": run.get_absolute_url(),
        "socket": run.socket_url,
        "events": run.events_url,
        "input": reverse("runner:send-input", args=[run.pk]),
        "wall_seconds": run.wall_seconds,
    }


def _printed(run: Run | None) -> str:
    if run is None:
        return ""
    return "".join(printed(Recording(run.pk).read(limit=TEXT_EVENTS)))


@never_cache
@require_GET
def variables(request: HttpRequest, **where: str) -> HttpResponse:
    found = _project(request, where)
    context: dict[str, Any] = {"project": found, "url": f"{found.base_url}/session"}
    try:
        context |= sessions.ask(_live(found), "ask", what="variables", question={})
    except Unanswered as refusal:
        context["refusal"] = str(refusal)
    return _fragment(request, "runner/_variables.html", context)


@never_cache
@require_GET
def data(request: HttpRequest, **where: str) -> HttpResponse:
    """Some rows of a table that the session holds; sorting and paging are addresses of this view."""
    found = _project(request, where)
    question: dict[str, Any] = {
        "name": request.GET.get("name", "")[:100],
        "first": _number(request.GET.get("first"), 0),
        "count": PAGE_ROWS,
        "left": _number(request.GET.get("left"), 0),
        "width": PAGE_COLUMNS,
        "descending": request.GET.get("descending") == "1",
    }
    sort = request.GET.get("sort", "")
    if sort.removeprefix("-").isdecimal() and len(sort) < 8:
        question["sort"] = int(sort)
    url = f"{found.base_url}/session"
    context: dict[str, Any] = {"project": found, "url": url, "name": question["name"]}
    try:
        page = sessions.ask(_live(found), "ask", what="page", question=question)
    except Unanswered as refusal:
        context |= {"refusal": str(refusal), "refused": refusal.kind}
    else:
        context |= {"page": page, **_around(page, f"{url}/_data")}
    return _fragment(request, "runner/_data.html", context)


def _around(page: dict[str, Any], url: str) -> dict[str, Any]:
    """The addresses beside a page of a table."""
    now = {"name": page["name"], "first": page["first"], "left": page["left"]}
    if page["sort"] is not None:
        now |= {"sort": page["sort"], "descending": int(page["descending"])}

    def to(**changed: Any) -> str:
        return f"{url}?{urlencode(now | changed)}"

    shown = len(page["rows"])
    index = page["index_columns"]
    width = len(page["columns"]) - index
    last_page = max(0, (page["total_rows"] - 1) // PAGE_ROWS * PAGE_ROWS)
    heads = []
    for place, column in enumerate(page["columns"]):
        number = -1 if place < index else page["left"] + place - index
        mine = page["sort"] == number
        heads.append(
            {
                "name": column["name"] or ("index" if place < index else ""),
                "kind": column["kind"],
                "url": to(sort=number, descending=int(mine and not page["descending"]), first=0),
                "sorted": ("descending" if page["descending"] else "ascending") if mine else "",
            }
        )
    return {
        "heads": heads,
        "rows": [
            [
                (_shown(value), _in_full(value), column["kind"])
                for value, column in zip(row, page["columns"], strict=True)
            ]
            for row in page["rows"]
        ],
        "from_row": page["first"] + 1 if shown else 0,
        "to_row": page["first"] + shown,
        "from_column": page["left"] + 1 if width else 0,
        "to_column": page["left"] + width,
        "first_url": to(first=0) if page["first"] else "",
        "previous_url": to(first=max(0, page["first"] - PAGE_ROWS)) if page["first"] else "",
        "next_url": to(first=page["first"] + shown) if page["first"] + shown < page["total_rows"] else "",
        "last_url": to(first=last_page) if page["first"] + shown < page["total_rows"] else "",
        "left_url": to(left=max(0, page["left"] - PAGE_COLUMNS)) if page["left"] else "",
        "right_url": to(left=page["left"] + width) if page["left"] + width < page["total_columns"] else "",
    }


def _shown(value: Any) -> Any:
    """A figure as people read it."""
    return f"{value:.8g}" if isinstance(value, float) else value


def _in_full(value: Any) -> str:
    """Of a figure that is not shown in full, what it is."""
    return repr(value) if isinstance(value, float) and float(_shown(value)) != value else ""


def _live(found: Project) -> Session:
    live = sessions.current(found)
    if live is None:
        raise Unanswered("gone", "There is no session yet. Run a cell to start one.")
    return live


def _number(text: str | None, otherwise: int) -> int:
    return min(MAX_NUMBER, int(text)) if text and text.isdecimal() and len(text) < 16 else otherwise


def _fragment(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """A piece of the workspace, or a small page around it for browsers without scripts."""
    if not getattr(request, "htmx", False):
        context, template = {**context, "fragment": template}, "runner/session_look.html"
    return render(request, template, context, status=409 if "refusal" in context else 200)


# Doing


@require_POST
def run_cells(request: HttpRequest, **where: str) -> HttpResponse:
    """Run a cell, those above it, or all; the text is kept as the draft even when nothing is run."""
    viewer = Viewer.of(request)
    found = _project(request, where)
    refusal, started = "", []
    try:
        source = clean_source(request.POST.get("source", found.source))
        keep_draft(found, source)
        picked = cells.chosen(source, request.POST.get("what", ""), max(1, _number(request.POST.get("line"), 1)))
        params = params_from(request.POST.dict())
        state = sandbox_state.current()
        if not state.ready:
            refusal = f"Runs are refused: {state.reason}"
        else:
            started = cells.start_cells(
                found,
                viewer,
                files=source_files(found, source),
                cells=picked,
                params=params,
                address_hash=address_hash(request),
            )
    except (BadInput, QuotaExceeded) as error:
        refusal = str(error)
    if wants_json(request):
        body = {"message": refusal, "version": found.draft_version, "cells": [describe_cell(run) for run in started]}
        return JsonResponse(body, status=422 if refusal else 200)
    if refusal:
        messages.error(request, refusal)
    return SeeOther(f"{found.base_url}/session")


@require_POST
def act(request: HttpRequest, action: str, **where: str) -> HttpResponse:
    """Interrupt, restart, keep or close the session."""
    found = _project(request, where)
    live = sessions.current(found)
    said = ""
    if action not in ("interrupt", "restart", "keep", "close"):
        raise Http404
    if live is None or not live.is_alive:
        said = "There is no live session. Run a cell to start one."
    elif action == "interrupt":
        sessions.interrupt(live)
    elif action == "keep":
        try:
            sessions.ask(live, "keep")
        except Unanswered as refusal:
            said = str(refusal)
    elif action == "restart":
        sessions.close(live, "It was restarted. The next cell begins with no variables.")
    else:
        sessions.close(live, "It was ended by you.")
    if wants_json(request):
        return JsonResponse({"message": said}, status=409 if said else 200)
    if said:
        messages.warning(request, said)
    return SeeOther(f"{found.base_url}/session")
