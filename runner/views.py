"""Pages and actions of projects; those of runs are in run_views.py, of sessions in session_views.py. Views translate:
request in, domain call, response out.
"""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Lower
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from marketdata.browsing import view_of
from marketdata.comparing import MOST_SERIES
from marketdata.snippets import program_for, title_of
from runner import embeds, packages, private, quotas, sandbox_state, sessions, sharing
from runner.access import Viewer, address_hash, remember_guest
from runner.defaults import declared_in, defaults_of
from runner.differing import differing
from runner.forms import UNCONFIRMED, NewProjectForm, ProjectSettingsForm, clean_title
from runner.guests import first_project_of, new_guest_project, project_from_sample
from runner.headlines import headlines
from runner.honesty import sending
from runner.models import ENTRY, Project, Run
from runner.opening import SeeOther, open_copy, start_first_run
from runner.quotas import QuotaExceeded
from runner.reports.documents import parameters_text
from runner.samples import FIRST_SAMPLE, SAMPLES, Sample
from runner.starting import BadInput, clean_source, latest_run, source_files
from runner.sweeps.out_of_sample import out_of_sample

RUNS_SHOWN = 20


# Finding and showing projects ----------------------------------------------------------------------------------


def find_project(projects: QuerySet, user: str = "", slug: str = "", token: str = "") -> Project:
    """The project at /p/<user>/<slug> or /g/<token>, 404 when it is not among these."""
    if token:
        return get_object_or_404(projects.select_related("owner"), token=token, owner__isnull=True)
    # As the indexes have them: of usernames that are lower case, and of slugs in lower case.
    found = projects.select_related("owner").alias(lower_slug=Lower("slug"))
    return get_object_or_404(found, owner__username=user.lower(), lower_slug=slug.lower())


def recent_runs(project: Project) -> list[Run]:
    return list(
        Run.objects.whole()
        .filter(revision__project=project)
        .numbered()
        .select_related("revision__project__owner")
        .order_by("-queued")[:RUNS_SHOWN]
    )


def chosen_params(run: Run | None, source: str | None = None) -> list[dict[str, Any]]:
    """What a run declared with qfp.param, with the values it was given.

    source: the program as it is now; a default that was changed in it since is the value.
    """
    if run is None:
        return []
    found = [{**param, "value": run.params.get(param["name"], param.get("value"))} for param in run.declared_params]
    now = defaults_of(source) if source is not None and source != run.revision.source else {}
    for param in found:
        default = now.get(param["name"], param.get("default"))
        if default != param.get("default"):
            param["value"] = param["default"] = default
    return found


def origin_of(project: Project, viewer: Viewer) -> Project | None:
    """What it was forked from, where this viewer may be shown that unasked."""
    if project.forked_from is None:
        return None
    shown = Project.objects.listed() | Project.objects.owned_by(viewer)
    return shown.select_related("owner").filter(pk=project.forked_from.project_id).first()


def template_of(project: Project) -> Sample | None:
    """The template that it is a copy of, if there still is one."""
    return next((sample for sample in SAMPLES if sample.slug == project.template), None)


def workspace_context(request: HttpRequest, project: Project) -> dict[str, Any]:
    viewer = Viewer.of(request)
    runs = recent_runs(project)
    session = sessions.current(project)
    # A run that failed early may not have come to its parameters; one that succeeded and has none has none.
    ordinary = [run for run in runs if not run.search]
    last_declaring = next((run for run in ordinary if run.declared_params or run.status == Run.Status.SUCCEEDED), None)
    state = sandbox_state.current(quotas.plan_of(viewer).queue)
    base = project.base_url
    return {
        "project": project,
        "source": project.source,
        "draft_version": project.draft_version,
        "run": runs[0] if runs else None,
        "runs": runs,
        "headlines": headlines(runs),
        "differing": differing(runs),
        # Asked for by an answer to Run without JavaScript.
        "offer_on_page": packages.offered(project, project.draft) if "offer" in request.GET else [],
        "params": chosen_params(last_declaring, project.source) if last_declaring else declared_in(project.source),
        "origin": origin_of(project, viewer),
        "template": template_of(project),
        "limits": quotas.limits_in_words(quotas.plan_of(viewer)),
        "offers_gpu": quotas.plan_of(viewer).gpu_seconds_per_day > 0,
        "can_edit": True,
        "sandbox_ready": state.ready,
        "sandbox_reason": state.reason,
        "is_guest": project.is_guest,
        "guest_expires": project.expires,
        "link": "" if project.is_guest else sharing.link_of(project),
        "urls": {name: f"{base}/{name}" for name in ("run", "draft", "save", "settings", "delete", "sweep")}
        | {"runs": f"{base}/_runs", "session": f"{base}/session"},
        "live": session is not None and session.is_alive,
    }


@never_cache
@require_GET
def workspace(request: HttpRequest, **where: str) -> HttpResponse:
    viewer = Viewer.of(request)
    if viewer.user is not None and "token" in where:
        # A guest's address goes on working for the account that took the project over.
        adopted = Project.objects.filter(owner=viewer.user, token=where["token"]).select_related("owner").first()
        if adopted is not None:
            return redirect(adopted.edit_url)
    project = find_project(Project.objects.visible_to(viewer), **where)
    if not Project.objects.editable_by(viewer).filter(pk=project.pk).exists():
        return redirect(project)
    return render(request, "runner/workspace.html", workspace_context(request, project))


@never_cache
@require_GET
def project(request: HttpRequest, user: str, slug: str) -> HttpResponse:
    viewer = Viewer.of(request)
    found = find_project(Project.objects.visible_to(viewer), user=user, slug=slug)
    can_edit = Project.objects.editable_by(viewer).filter(pk=found.pk).exists()
    runs = recent_runs(found)
    last_run = sharing.last_success(found)
    changed = last_run is not None and last_run.revision.source != found.source
    shown = private.shown_to(last_run, viewer) if last_run else None
    backtests = shown.backtests(last_run) if shown and last_run else []
    return render(
        request,
        "runner/project.html",
        {
            "project": found,
            # What others read is what was run, not what is being typed.
            "source": found.source if can_edit else last_run.revision.source if last_run else "",
            "last_run": last_run,
            "changed": changed,
            "runs": runs if can_edit else [],
            "headlines": headlines(runs) if can_edit else {},
            "differing": differing(runs) if can_edit else {},
            "can_edit": can_edit,
            "origin": origin_of(found, viewer),
            "template": template_of(found),
            "packages": packages.shown(
                found.draft if can_edit else last_run.revision.files if last_run else {},
                last_run.lock if last_run else None,
            ),
            "requirements": found.draft.get(packages.FIELD, ""),
            "link": sharing.link_of(found),
            "backtest": backtests[0] if backtests else None,
            "out_of_sample": out_of_sample(backtests[0], viewer) if backtests else None,
            # Of that run; the code beside it has its own.
            "parameters": parameters_text(backtests[0], shown.all) if shown and backtests else "",
        },
    )


@never_cache
@login_required
@require_GET
def dashboard(request: HttpRequest) -> HttpResponse:
    viewer = Viewer.of(request)
    runs_of_project = Run.objects.whole().filter(revision__project=OuterRef("pk")).order_by("-queued")
    projects = (
        Project.objects.filter(owner=request.user)
        .select_related("owner")
        .annotate(last_run_id=Subquery(runs_of_project.values("pk")[:1]))
        .order_by("-updated")
    )
    page = Paginator(projects, 20).get_page(request.GET.get("page"))
    last_runs = Run.objects.in_bulk([project.last_run_id for project in page if project.last_run_id])
    runs = list(
        Run.objects.whole()
        .filter(user=request.user)
        .numbered()
        .select_related("revision__project__owner")
        .order_by("-queued")[:RUNS_SHOWN]
    )
    return render(
        request,
        "runner/dashboard.html",
        {
            "page": page,
            "projects": [
                {
                    "title": project.title,
                    "url": project.base_url,
                    "edit_url": project.edit_url,
                    "visibility": project.visibility,
                    "visibility_text": project.get_visibility_display(),
                    "updated": project.updated,
                    "last_run": last_runs.get(project.last_run_id),
                }
                for project in page
            ],
            "runs": runs,
            "headlines": headlines([*runs, *last_runs.values()]),
            "differing": differing(runs),
            "usage": quotas.usage_of(viewer),
            "samples": SAMPLES,
        },
    )


# Making and changing projects ----------------------------------------------------------------------------------


@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def new_project(request: HttpRequest) -> HttpResponse:
    form = NewProjectForm(request.POST or None, initial={"sample": request.GET.get("sample", "")})
    if request.method == "POST" and form.is_valid():
        viewer = Viewer.of(request)
        sample = next((s for s in SAMPLES if s.slug == form.cleaned_data["sample"]), None)
        try:
            with transaction.atomic():
                quotas.check_project(viewer, quotas.plan_of(viewer))
                source, template = (sample.source, sample.slug) if sample else ("", "")
                made = Project.make(request.user, form.cleaned_data["title"], source, template=template)
            return SeeOther(made.edit_url)
        except QuotaExceeded as refusal:
            form.add_error(None, str(refusal))
    status = 422 if form.errors else 200
    return render(request, "runner/project_form.html", {"form": form, "samples": SAMPLES}, status=status)


@require_POST
def new_with_data(request: HttpRequest) -> HttpResponse:
    """A project whose program reads the named series ("use in a project"); a guest's is run at once, as in the first
    minute.
    """
    view = view_of(request.user)
    named = request.POST.getlist("s")[:MOST_SERIES]
    entries = [entry for name in named if (entry := view.find(name)) is not None] if view else []
    if view is None or not entries or len(entries) < len(named):
        raise Http404("No such series.")
    title, source = clean_title(title_of(entries))[:120], program_for(entries, view)
    back = reverse("marketdata:instrument", args=[view.name_in_addresses(entries[0])])
    return open_copy(
        request, title, source, slugify(title)[:50] or "data", back=back, run=not request.user.is_authenticated
    )


@require_POST
def save_draft(request: HttpRequest, **where: str) -> HttpResponse:
    found = find_project(Project.objects.editable_by(Viewer.of(request)), **where)
    try:
        source = clean_source(request.POST.get("source", ""))
        version = int(request.POST.get("version", ""))
    except BadInput as error:
        return JsonResponse({"saved": False, "message": str(error)}, status=422)
    except ValueError:
        return JsonResponse({"saved": False, "message": "The draft's version is missing; reload the page."}, status=422)
    if found.save_draft(source, version):
        saved_at = found.draft_saved.isoformat()
        return JsonResponse({"saved": True, "version": found.draft_version, "saved_at": saved_at})
    return JsonResponse(
        {
            "saved": False,
            "version": found.draft_version,
            "source": found.source,
            "message": "This file was changed in another window. Keep your text, or load the other one.",
        },
        status=409,
    )


@require_POST
def save_revision(request: HttpRequest, **where: str) -> HttpResponse:
    viewer = Viewer.of(request)
    found = find_project(Project.objects.editable_by(viewer), **where)
    try:
        source = clean_source(request.POST.get("source", ""))
    except BadInput as error:
        return _refused(request, found, str(error))
    keep_draft(found, source)
    before = found.revisions.count()
    name = " ".join(request.POST.get("name", "").replace("\x00", "").split())[:120]
    revision = found.make_revision(source_files(found, source), author=viewer.user, name=name)
    if wants_json(request):
        unchanged = found.revisions.count() == before
        return JsonResponse({"revision": revision.number, "unchanged": unchanged, "version": found.draft_version})
    return SeeOther(found.edit_url)


def keep_draft(found: Project, source: str) -> None:
    """What is run or saved is also the draft: the newest text wins, the one before it stays in the revisions."""
    if found.source != source:
        while not found.save_draft(source, found.draft_version):
            pass


def keep_files(found: Project, files: dict[str, str]) -> None:
    """The same for what a choice of packages changed: the entry, or the list of requirements."""
    keep_draft(found, files[ENTRY])
    if files.get(packages.FIELD, "") != found.draft.get(packages.FIELD, ""):
        found.save_file(packages.FIELD, files[packages.FIELD])


@require_POST
def change_settings(request: HttpRequest, **where: str) -> HttpResponse:
    found = find_project(Project.objects.editable_by(Viewer.of(request)), **where)
    form = ProjectSettingsForm(
        {
            "title": request.POST.get("title", found.title),
            "visibility": request.POST.get("visibility", found.visibility),
            "requirements": request.POST.get("requirements", found.draft.get(packages.FIELD, "")),
        },
        instance=found,
    )
    if not form.is_valid():
        text = " ".join(error for errors in form.errors.values() for error in errors)
        unconfirmed = form.has_error("visibility", UNCONFIRMED)
        return _refused(request, found, text, {"confirm": reverse("account_email")} if unconfirmed else {})
    values = dict(form.cleaned_data)
    before = Project.objects.get(pk=found.pk)  # the form has written what was asked for into the other
    if sharing.is_wider(before, values["visibility"]) and "confirmed" not in request.POST:
        return _ask_before_sharing(request, before, form)
    # Only these: the draft may have been saved in between by the editor.
    requirements = values.pop("requirements")
    Project.objects.filter(pk=found.pk).update(updated=timezone.now(), **values)
    if requirements != found.draft.get(packages.FIELD, ""):
        found.save_file(packages.FIELD, requirements)
    sending.send_all(found)
    moved = before.visibility != found.visibility
    told = sharing.who_sees(found) if moved else ""
    if wants_json(request):
        return JsonResponse({"title": found.title, "visibility": found.visibility, "who": told})
    back = _back_to(request, found)
    if told and found.visibility != Project.Visibility.PRIVATE:
        undo = "To take it back, choose “Private” in its settings."
        told = f"{told} The link: {sharing.link_of(found)} {undo}"
    if told or back != found.edit_url:
        messages.success(request, told or "The settings are saved.")
    return SeeOther(back)


def _back_to(request: HttpRequest, found: Project) -> str:
    """Where its settings were changed: on its own page or, without scripts, in the editor."""
    return found.base_url if request.POST.get("back") == "page" else found.edit_url


def _ask_before_sharing(request: HttpRequest, project: Project, form: ProjectSettingsForm) -> HttpResponse:
    """What would become visible, in a page or for a dialog of the editor; nothing is changed as yet."""
    wanted = Project.Visibility(form.cleaned_data["visibility"])
    public = wanted == Project.Visibility.PUBLIC
    heading = f"Make “{project.title}” public?" if public else f"Share “{project.title}” with anyone who has the link?"
    lines = sharing.what_others_see(project, wanted)
    embed = embeds.embed_of_project(project)
    if wants_json(request):
        share = {"heading": heading, "lines": lines, "embed": embed.code if embed else ""}
        return JsonResponse({"saved": False, "share": share})
    context = {"project": project, "heading": heading, "lines": lines, "embed": embed}
    context["fields"] = [*form.cleaned_data.items(), ("back", request.POST.get("back", ""))]
    context["back"] = _back_to(request, project)
    return render(request, "runner/project_share.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
def delete_project(request: HttpRequest, **where: str) -> HttpResponse:
    found = find_project(Project.objects.editable_by(Viewer.of(request)), **where)
    if request.method == "GET":
        return render(request, "runner/project_confirm_delete.html", {"project": found})
    found.remove()
    messages.success(request, f"“{found.title}” was deleted with its runs.")
    return SeeOther("runner:dashboard" if request.user.is_authenticated else "playground:home")


def wants_json(request: HttpRequest) -> bool:
    return request.accepts("application/json") and "application/json" in request.headers.get("Accept", "")


def _refused(request: HttpRequest, found: Project, text: str, more: dict[str, str] | None = None) -> HttpResponse:
    if wants_json(request):
        return JsonResponse({"saved": False, "message": text, **(more or {})}, status=422)
    messages.error(request, text)
    return SeeOther(found.edit_url)


# The first minute ----------------------------------------------------------------------------------------------


@never_cache
@require_http_methods(["GET", "POST"])
def try_sample(request: HttpRequest) -> HttpResponse:
    """A project from the first sample, its first run started at once: for a visitor, or in the account of a user."""
    if request.method == "GET":
        return SeeOther("playground:home")
    viewer = Viewer.of(request)
    found, key = first_project_of(viewer), None
    if found is None and viewer.user is not None:
        try:
            with transaction.atomic():
                quotas.check_project(viewer, quotas.plan_of(viewer))
                found = project_from_sample(viewer.user, FIRST_SAMPLE)
        except QuotaExceeded as refusal:
            messages.error(request, str(refusal))
            return SeeOther("runner:dashboard")
    if found is None:
        try:
            quotas.check_guest_project(quotas.plan_of(viewer), address_hash(request))
        except QuotaExceeded as refusal:
            messages.warning(request, str(refusal))
            return SeeOther("playground:home")
        found, key = new_guest_project()
        viewer = Viewer(None, found.guest_hash)
    latest = latest_run(found)
    if latest is None or latest.is_finished:
        start_first_run(request, found, viewer)
    response = SeeOther(found.edit_url)
    if key is not None:
        remember_guest(response, key)
    return response
