"""Which pages belong to no other app? The home page, the manual, the theme choice, the styleguide."""

from __future__ import annotations

import sys
from typing import Any

from django.contrib.admin.views.decorators import staff_member_required
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from accounts.models import Plan
from marketdata.searching import question_of
from playground import docs, docs_search, specimens
from playground.context_processors import GAINS, THEMES
from runner import showcase
from runner.access import Viewer
from runner.api.access import refuse
from runner.guests import first_project_of
from runner.quotas import plan_of
from runner.samples import FIRST_SAMPLE

YEAR_SECONDS = 365 * 24 * 3600


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    found = showcase.find()
    own = first_project_of(Viewer.of(request))
    changed = own if own is not None and own.source != FIRST_SAMPLE.source else None
    context = {"showcase": found, "guest_plan": Plan.objects.for_guests(), "changed": changed, "sample": FIRST_SAMPLE}
    if found is None:
        context |= _waiting()
    return render(request, "playground/home.html", context)


@never_cache
@require_GET
def showcase_state(request: HttpRequest) -> HttpResponse:
    """How far the first sample's run is; the page loads itself anew once its result is there."""
    if showcase.find() is not None:
        return HttpResponse(status=204)
    return render(request, "playground/_showcase_state.html", _waiting())


def _waiting() -> dict[str, Any]:
    return {"coming": showcase.coming(), "sample_code": FIRST_SAMPLE.source}


@require_POST
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Remember how this browser wants the site to look; a form without script comes back to its page."""
    chosen = {
        name: request.POST[name]
        for name, choices in (("theme", THEMES), ("gains", GAINS))
        if request.POST.get(name) in choices
    }
    if not chosen:
        return HttpResponse("Choose one of: " + ", ".join([*THEMES, *GAINS]), status=400, content_type="text/plain")
    target = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        target = "/"
    response = JsonResponse(chosen) if request.headers.get("Accept") == "application/json" else redirect(target)
    for name, value in chosen.items():
        # Not HttpOnly: it is no secret, and scripts may read it. Lax is enough: it changes colours only.
        response.set_cookie(name, value, max_age=YEAR_SECONDS, samesite="Lax", secure=request.is_secure())
    return response


@require_GET
def docs_page(request: HttpRequest, page: str = "index") -> HttpResponse:
    slug = page.rstrip("/")
    if not slug:
        return redirect("playground:docs")
    if slug != page or (slug == "index" and request.path.endswith("/index")):
        return redirect(docs.url_of(slug), permanent=True)
    found = docs.find_page(slug, plan_of(Viewer.of(request)))
    if found is None:
        raise Http404(f"No page {slug!r} in the manual.")
    return render(request, "playground/docs.html", {"docs_page": found, "sections": docs.navigation()})


@require_GET
def search_docs(request: HttpRequest) -> HttpResponse:
    question = question_of(request)
    found = docs_search.search(question)
    context = {
        "question": question,
        "found": found,
        "most": docs_search.MOST_FOUND,
        "nearest": docs_search.nearest(question) if question and not found else None,
    }
    return render(request, "playground/docs_search.html", {**context, "sections": docs.navigation()})


@staff_member_required
@require_GET
def styleguide(request: HttpRequest) -> HttpResponse:
    """Every component in every state, in the current theme."""
    return render(request, "playground/styleguide.html", specimens.context())


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The form's token was missing or old: say what to do, not what a token is."""
    return render(request, "playground/csrf_failure.html", {"came_from": request.path}, status=403)


def server_error(request: HttpRequest) -> HttpResponse:
    """503 while the database or Redis is away, which passes; 500 for what is a mistake of ours."""
    away = isinstance(sys.exc_info()[1], (OperationalError, InterfaceError, RedisConnectionError, RedisTimeoutError))
    if request.path.startswith("/api/"):
        if not away:
            return refuse(500, "fault", "Something broke on our side, and it was recorded. Try again later.")
        return refuse(503, "unavailable", "The site's database or queue does not answer. Try again in ten seconds.", 10)
    if not away:
        return HttpResponse(render_to_string("500.html"), status=500)
    return HttpResponse(render_to_string("503.html"), status=503, headers={"Retry-After": "10"})
