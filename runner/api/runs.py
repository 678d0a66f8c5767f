"""What can another program start and stop? Runs of its owner's projects, as they are saved, with other parameters."""

from __future__ import annotations

import json
import math
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from runner import quotas, sandbox_state
from runner.access import Viewer
from runner.api.access import answer, refuse, runs
from runner.defaults import names_of
from runner.ending import request_cancel
from runner.models import Project, Run
from runner.quotas import QuotaExceeded
from runner.run_views import find_run
from runner.starting import BadInput, params_from, start_run
from runner.views import find_project

__all__ = ["cancel", "start"]

UNCHECKED = "Which parameters the program has is known once it has run; those that it does not have change nothing."
BODY = 'Send nothing, or a JSON object such as {"params": {"fast": 20}}.'


@runs
def start(request: HttpRequest, user: str, slug: str) -> HttpResponseBase:
    """The project's files as they are in the editor. What is missing in its packages is not brought in."""
    viewer = Viewer.of(request)
    found = find_project(Project.objects.editable_by(viewer), user=user, slug=slug)
    state = sandbox_state.current(quotas.plan_of(viewer).queue)
    if not state.ready:
        return refuse(503, "runs_refused", f"Runs are refused: {state.reason}", 60)
    try:
        params = _params(request.body)
        known = _known_params(found)
        _refuse_unknown(params, known)
        run = start_run(found, viewer, files=dict(found.draft), params=params)
    except RequestDataTooBig:
        return refuse(413, "too_long", BODY)
    except BadInput as refusal:
        return refuse(422, "bad_input", str(refusal))
    except QuotaExceeded as refusal:
        return refuse(429, "limit_reached", str(refusal))
    unchecked = {"note": UNCHECKED} if params and known is None else {}
    response = answer(_told(run) | unchecked, 202)
    response["Location"] = _url(run)
    return response


@runs
def cancel(request: HttpRequest, run: Any) -> HttpResponseBase:
    found = find_run(request, run, editable=True)
    request_cancel(found)
    found.refresh_from_db()
    return answer(_told(found))


def _params(body: bytes) -> dict[str, Any]:
    """Of the kinds they have in JSON; what names and sizes there may be is as in a form. Raises BadInput."""
    try:
        sent = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise BadInput(BODY) from None
    params = sent.get("params", {}) if isinstance(sent, dict) else None
    if not isinstance(params, dict) or set(sent) - {"params"}:
        raise BadInput(BODY)
    fields = {}
    for name, value in params.items():
        if not _could_be_typed(value):
            raise BadInput(f"The parameter {name[:60]!r} has to be a number, a text, true or false.")
        fields[f"param:{name}"] = json.dumps(value) if isinstance(value, bool) else str(value)
    return {name: _without_nulls(params[name]) for name in params_from(fields)}


def _known_params(project: Project) -> set[str] | None:
    """By its files, and by its last run where that ran the same ones; None where neither tells."""
    written = names_of(project.draft)
    runs = Run.objects.whole().filter(revision__project=project, search={}, status=Run.Status.SUCCEEDED)
    last = runs.select_related("revision").order_by("-queued").first()
    if last is None or last.revision.files != project.draft:
        return written
    return {param["name"] for param in last.declared_params} | (written or set())


def _refuse_unknown(params: dict[str, Any], known: set[str] | None) -> None:
    unknown = sorted(set(params) - known) if known is not None else []
    if not unknown:
        return
    has = f"Its parameters: {', '.join(sorted(known or ()))}." if known else "It has no parameters."
    what = f"parameter{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}"
    raise BadInput(f"The program has no {what}. {has}")


def _without_nulls(value: Any) -> Any:
    return value.replace("\x00", "") if isinstance(value, str) else value


def _could_be_typed(value: Any) -> bool:
    """Into a form. JSON can also hold lists, half of a character, and numbers beyond all bounds."""
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _told(run: Run) -> dict[str, Any]:
    return {"id": str(run.pk), "status": run.status, "url": _url(run), "page": run.get_absolute_url()}


def _url(run: Run) -> str:
    return reverse("runner:api-run", args=[run.pk])
