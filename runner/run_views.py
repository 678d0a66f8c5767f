"""Pages and actions of runs: starting and stopping them, what they said, and what they left."""

from __future__ import annotations

from typing import Any

import redis
from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from marketdata.changes import between
from marketdata.store import SnapshotMissing, current_snapshot_id
from runner import embeds, packages, private, quotas, sandbox_state, trials
from runner.access import Viewer, address_hash
from runner.claiming import place_in_queue
from runner.differing import differing
from runner.ending import request_cancel
from runner.events import MOST_LINES, send_line
from runner.gpu import GpuUnavailable
from runner.headlines import headlines
from runner.honesty import sending
from runner.models import ENTRY, GPU, Artefact, Project, Run
from runner.quotas import QuotaExceeded
from runner.recording import Recording, printed
from runner.reports.documents import manifest_bytes
from runner.starting import BadInput, clean_source, latest_run, params_from, run_again, source_files, start_run
from runner.views import SeeOther, chosen_params, find_project, keep_draft, keep_files, recent_runs, wants_json

EVENTS_AT_ONCE = 2000
MAX_INPUT = 10_000


@require_POST
def start(request: HttpRequest, **where: str) -> HttpResponse:
    """Run what the editor holds. The text is kept as the draft even when the run is refused."""
    viewer = Viewer.of(request)
    found = find_project(Project.objects.editable_by(viewer), **where)
    on_gpu = request.POST.get("on") == GPU
    state = sandbox_state.current(GPU if on_gpu else quotas.plan_of(viewer).queue)
    refusal, run, offer, kept_source, offer_cpu = "", None, [], None, False
    try:
        source = clean_source(request.POST.get("source", found.source))
        keep_draft(found, source)
        files = source_files(found, source)
        if install := [name for name in request.POST.get("install", "").split(",") if name]:
            files = packages.with_packages(files, install)
            keep_files(found, files)
            kept_source = files[ENTRY]
        elif "without" not in request.POST:
            offer = packages.offered(found, files)
        params = params_from(request.POST.dict())
        if not state.ready:
            refusal, offer = f"Runs are refused: {state.reason}", []
        elif not offer:
            run = start_run(
                found, viewer, files=files, params=params, address_hash=address_hash(request), on_gpu=on_gpu
            )
    except GpuUnavailable as error:
        refusal, offer, offer_cpu = str(error), [], True
    except (BadInput, QuotaExceeded, packages.PackageRefused) as error:
        refusal, offer = str(error), []
    if not getattr(request, "htmx", False):
        if run is not None:
            return SeeOther(run)
        if offer:
            return SeeOther(f"{found.edit_url}?offer=1")
        messages.error(request, refusal)
        return SeeOther(found.edit_url)
    context = {
        "run": run or latest_run(found),
        "project": found,
        "refusal": refusal,
        "offer_cpu": offer_cpu,
        "offer": offer,
        "kept_source": kept_source,
        "draft_version": found.draft_version,
        "limits": quotas.limits_in_words(quotas.plan_of(viewer)),
        "is_guest": found.is_guest,
        "can_edit": True,
    }
    return render(request, "runner/_run_panel.html", context, status=200 if run else 422)


def find_run(request: HttpRequest, run: Any, *, editable: bool = False) -> Run:
    viewer = Viewer.of(request)
    runs = Run.objects.editable_by(viewer) if editable else Run.objects.visible_to(viewer)
    return get_object_or_404(runs.select_related("revision__project__owner", "user"), pk=run)


@never_cache
@require_GET
def run_page(request: HttpRequest, run: Any) -> HttpResponse:
    found = find_run(request, run)
    viewer = Viewer.of(request)
    recorded = Recording(found.pk).read(limit=EVENTS_AT_ONCE)
    shown = private.shown_to(found, viewer)
    shown.hide(found)
    events = shown.events(recorded)
    can_edit = Project.objects.editable_by(viewer).filter(pk=found.project.pk).exists()
    if not can_edit:
        sending.send(found)
    return render(
        request,
        "runner/run.html",
        {
            "run": found,
            "project": found.project,
            "source": found.revision.source,
            "params": chosen_params(found),
            "has_sweep": shown.all and (bool(found.search) or found.sweeps.exists()),
            "backtests": (backtests := shown.backtests(found)),
            "embed": next(filter(None, map(embeds.embed_offered, backtests)), None),
            "tried": trials.of_project(found.project) if backtests else None,
            "artefacts": found.artefacts.all() if shown.all else [],
            "private_note": shown.note,
            "events_tail": printed(events),
            "packages_told": [e["text"] for e in events if e["type"] == "package"],
            "can_edit": can_edit,
            "can_run_again": can_edit and found.session_id is None and found.user == viewer.user,
            "limits": quotas.limits_in_words(quotas.plan_of(viewer)),
        },
    )


@never_cache
@require_GET
def run_status(request: HttpRequest, run: Any) -> HttpResponse:
    found = find_run(request, run)
    private.shown_to(found, Viewer.of(request)).hide(found)
    editable = Project.objects.editable_by(Viewer.of(request)).filter(pk=found.project.pk).exists()
    context = {"run": found, "project": found.project, "can_edit": editable}
    return render(request, "runner/_run_status.html", context)


@never_cache
@require_GET
def run_claims(request: HttpRequest, run: Any) -> HttpResponse:
    """What each of its backtests can claim by now, for the pane that has shown what it could at the run's end."""
    found = find_run(request, run)
    backtests = private.shown_to(found, Viewer.of(request)).backtests(found)
    tried = trials.of_project(found.project) if backtests else None
    context = {"backtests": backtests, "tried": tried, "due": sending.look_again_after(found) if backtests else 0}
    return render(request, "runner/_run_claims.html", context)


@never_cache
@require_GET
def run_events(request: HttpRequest, run: Any) -> HttpResponse:
    """The stored events after a number: for polling where sockets are blocked, and for "load all"."""
    found = find_run(request, run)
    try:
        after = min(10**9, max(0, int(request.GET.get("after", 0))))
        limit = min(EVENTS_AT_ONCE, max(1, int(request.GET.get("limit", EVENTS_AT_ONCE))))
    except ValueError:
        return JsonResponse({"message": "after and limit are whole numbers."}, status=400)
    recording = Recording(found.pk)
    is_written = recording.path.exists()  # asked first: a run is stored as over before its last events are
    events = recording.read(after=after, limit=limit)
    last = events[-1]["seq"] if events else after
    never_told = found.is_finished and not events and not is_written
    finished = bool(events and events[-1]["type"] == "finished") or never_told
    shown = private.shown_to(found, Viewer.of(request))
    return JsonResponse(
        {
            "events": shown.events(events),
            "withheld": "" if shown.all else shown.note,
            "last": last,
            "finished": finished,
            "queue": place_in_queue(found.pk) if found.status == Run.Status.QUEUED else 0,
        }
    )


@require_POST
def cancel(request: HttpRequest, run: Any) -> HttpResponse:
    found = find_run(request, run, editable=True)
    request_cancel(found)
    found.refresh_from_db()
    if getattr(request, "htmx", False):
        context = {"run": found, "project": found.project, "can_edit": True}
        return render(request, "runner/_run_status.html", context)
    if wants_json(request):
        return JsonResponse({"status": found.status})
    # Who stops a sweep on its page goes on from there.
    return SeeOther(reverse("runner:sweep", args=[found.pk]) if request.POST.get("back") == "sweep" else found)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def again(request: HttpRequest, run: Any) -> HttpResponse:
    """What changed in the data since a run, and the choice between the same and the latest."""
    viewer = Viewer.of(request)
    found = find_run(request, run, editable=True)
    # A snapshot holds what its owner fetched: nobody else's run is made again over it.
    if found.session_id is not None or found.user != viewer.user:
        raise Http404
    latest, changes, missing, refusal = current_snapshot_id(viewer.user) or "", None, "", ""
    try:
        if found.snapshot and latest:
            changes = between(found.snapshot, latest)
    except SnapshotMissing:
        missing = "The data of this run is not kept any more."
    if request.method == "POST":
        same = request.POST.get("data") == "same"
        try:
            if same and missing:
                raise BadInput(missing)
            snapshot = found.snapshot if same else latest
            return SeeOther(run_again(found, viewer, snapshot=snapshot, address_hash=address_hash(request)))
        except (BadInput, QuotaExceeded, GpuUnavailable) as error:
            refusal = str(error)
    context = {"run": found, "project": found.project, "changes": changes, "missing": missing, "refusal": refusal}
    return render(request, "runner/run_again.html", context, status=422 if refusal else 200)


@require_POST
def send_input(request: HttpRequest, run: Any) -> HttpResponse:
    """A line for the program that waits in input(), or will."""
    found = find_run(request, run, editable=True)
    text = request.POST.get("text", "").replace("\r", "").replace("\n", " ")
    if len(text) > MAX_INPUT:
        return JsonResponse({"message": f"A line of at most {MAX_INPUT:,} characters can be sent."}, status=422)
    if found.status != Run.Status.RUNNING:
        return JsonResponse({"message": "This run is not waiting for input any more."}, status=409)
    try:
        sent = send_line(found.pk, text)
    except redis.RedisError:
        return JsonResponse({"message": "The line was not delivered. Send it again in a moment."}, status=503)
    if not sent:
        return JsonResponse({"message": f"{MOST_LINES} lines wait until the program asks for them."}, status=429)
    return JsonResponse({"sent": True}) if wants_json(request) else SeeOther(found)


@never_cache
@require_GET
def run_list(request: HttpRequest, **where: str) -> HttpResponse:
    found = find_project(Project.objects.editable_by(Viewer.of(request)), **where)
    runs = recent_runs(found)
    context = {"project": found, "runs": runs, "headlines": headlines(runs), "differing": differing(runs)}
    return render(request, "runner/_runs.html", context)


@never_cache
@require_GET
def artefact(request: HttpRequest, run: Any, artefact: int) -> FileResponse:
    """A file the run left: always a download, whatever it claims to be."""
    found = find_run(request, run)
    stored = get_object_or_404(Artefact, pk=artefact, run=found)
    if not private.shown_to(found, Viewer.of(request)).all:
        raise Http404
    try:
        content = Recording(found.pk).artefact_path(stored.sha256).open("rb")  # closed by the response
    except FileNotFoundError:
        raise Http404 from None
    response = FileResponse(
        content,
        as_attachment=True,
        filename=stored.name.rpartition("/")[2],
        content_type="application/octet-stream",
    )
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


@never_cache
@require_GET
def manifest(request: HttpRequest, run: Any) -> HttpResponse:
    found = find_run(request, run)
    return HttpResponse(manifest_bytes(found), content_type="application/json")


@require_GET
@xframe_options_exempt
def frame(request: HttpRequest) -> HttpResponse:
    """The document in which rich output is drawn: opaque origin, its own policy, nothing of any run in it."""
    response = render(request, "runner/frame.html")
    # 'self' means nothing to an opaque origin, so our static files are named by address.
    here = f"{request.scheme}://{request.get_host()}/static/"
    response["Content-Security-Policy"] = "; ".join(
        [
            "default-src 'none'",
            f"script-src {here}",
            f"style-src {here} 'unsafe-inline'",
            f"font-src {here} data:",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'self'",
            "sandbox allow-scripts",
        ]
    )
    response["Referrer-Policy"] = "no-referrer"
    return response
