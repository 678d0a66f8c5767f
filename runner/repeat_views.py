"""Pages about runs as records: whether one comes out the same again, which to compare it with, and what differs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import redis
from django.contrib import messages
from django.db import transaction
from django.db.models import Prefetch, prefetch_related_objects
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from runner import comparing, private, quotas, sharing, trials, verdicts, verifying
from runner.access import Viewer, address_hash
from runner.differing import differing
from runner.headlines import headlines
from runner.models import Backtest, Project, Run
from runner.run_views import find_run

RECENT = 20
MOST_TICKED = 50


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def verification(request: HttpRequest, run: Any) -> HttpResponse:
    """The manifest in short, what making the run again gave, and the button that does it."""
    viewer = Viewer.of(request)
    found = find_run(request, run)
    mine = found.user == viewer.user and Run.objects.editable_by(viewer).filter(pk=found.pk).exists()
    allowed = mine or verifying.is_for_others(found)
    reason = verifying.can_be_verified(found)
    if request.method == "POST":
        if not allowed:
            raise Http404
        if reason:
            messages.error(request, reason)
        else:
            try:
                _have_verified(found, viewer, address_hash(request), mine)
            except quotas.QuotaExceeded as refusal:
                messages.error(request, str(refusal))
            except redis.RedisError:
                messages.error(request, "The site's queue does not answer at the moment. Press again in a minute.")
        return redirect(reverse("runner:verification", args=[found.pk]))
    kept = found.verification
    waiting = verifying.is_waiting(found)
    shown = private.shown_to(found, viewer)
    # That it is the same again is no praise of what it can claim.
    if not waiting:  # rows that may have megabytes are not read for badges
        light = Backtest.objects.defer("orders", "fills", "flows", "trades", "holdings")
        prefetch_related_objects([found], Prefetch("backtests", light))
    backtests = [] if waiting else shown.backtests(found)
    alone = bool(getattr(request, "htmx", False))
    return render(
        request,
        "runner/_verification.html" if alone else "runner/verification.html",
        {
            "run": found,
            "project": found.project,
            "waiting": waiting,
            "under_way": verifying.under_way(found) if waiting else None,
            "answer": kept.get("answer", ""),
            "title": verdicts.ANSWERS.get(kept.get("answer", ""), ""),
            "text": kept.get("text", "") if shown.all else "",
            "at": parse_datetime(kept.get("at", "") or "") if kept.get("at") else None,
            "backtests": backtests,
            "tried": trials.of_project(found.project) if backtests else None,
            "reason": reason,
            "can_verify": allowed and not reason,
            "others": [] if alone else _others(found, viewer),
        },
    )


def _have_verified(run: Run, viewer: Viewer, address: str, mine: bool) -> None:
    """Send it unless it is under way. address: the hashed one of the request. mine: whether it is the viewer's own run.
    Raises QuotaExceeded, and RedisError, with which the run is not left waiting either.
    """
    before = None
    try:
        with transaction.atomic():
            if mine:
                quotas.one_at_a_time(f"verifying-for-{run.owner_key}")
                if any(map(verifying.is_waiting, _same_owners(run))):
                    raise quotas.QuotaExceeded(
                        "One of your runs is being verified. Wait for its answer, then press again."
                    )
            else:
                quotas.hold(viewer, address)
            run.refresh_from_db(fields=["verification"], from_queryset=Run.objects.select_for_update(of=["self"]))
            if verifying.is_waiting(run):
                return
            if not mine:
                quotas.check_verification(viewer, quotas.plan_of(viewer), address, run)
            before = run.verification
            verifying.send(run, by_owner=mine)
    except redis.RedisError:
        if before is not None:  # the job is sent after the commit, which cannot be taken back otherwise
            Run.objects.filter(pk=run.pk, verification__state="waiting").update(verification=before)
        raise


def _same_owners(run: Run) -> Iterable[Run]:
    """Runs that whoever owns this one is having verified, or wanted to."""
    asked = {"verification__state": "waiting", "verification__by_owner": True}
    return Run.objects.filter(owner_key=run.owner_key, **asked).only("verification")


def _others(run: Run, viewer: Viewer) -> list[Run]:
    """Runs of the same project that have ended, to be compared with.

    Whoever is not its owner is told of the run that the project's page shows, and of no other: those from before it was
    shared, with code that is in it no more, open only for whoever was given their addresses.
    """
    runs = Run.objects.visible_to(viewer).whole().filter(revision__project=run.project, finished__isnull=False)
    if not Project.objects.editable_by(viewer).filter(pk=run.project.pk).exists():
        shown = sharing.last_success(run.project)
        runs = runs.filter(pk=shown.pk) if shown is not None else runs.none()
    return list(runs.exclude(pk=run.pk).numbered().select_related("revision").order_by("-queued")[:RECENT])


@never_cache
@require_GET
def choose_compared(request: HttpRequest, run: Any) -> HttpResponse:
    """The other runs of its project, with what tells them apart."""
    viewer = Viewer.of(request)
    found = find_run(request, run)
    private.shown_to(found, viewer).hide(found)
    others = _others(found, viewer)
    for each in others:
        private.shown_to(each, viewer).hide(each)
    mine = Project.objects.editable_by(viewer).filter(pk=found.project.pk).exists()
    context = {
        "run": found,
        "project": found.project,
        "others": others,
        "mine": mine,
        "differing": differing([found, *others]),
    }
    # Whoever may not see everything of a run finds its figures on its page.
    return render(
        request, "runner/compare_choose.html", context | {"headlines": headlines(others) if mine and others else {}}
    )


@never_cache
@require_GET
def compare_two(request: HttpRequest) -> HttpResponse:
    """Two that were ticked in a list, the older one first."""
    try:
        chosen = list(dict.fromkeys(UUID(each) for each in request.GET.getlist("run")[:MOST_TICKED]))
    except ValueError:
        raise Http404("No such run.") from None
    if len(chosen) == 1:
        return redirect("runner:choose-compared", chosen[0])
    if len(chosen) != 2:
        messages.error(request, "Tick two runs, then press Compare.")
        project = find_run(request, chosen[0]).project if chosen else None
        return redirect(project.base_url if project is not None else "runner:dashboard")
    one, other = sorted((find_run(request, each) for each in chosen), key=lambda each: each.queued)
    return redirect("runner:compare", one.pk, other.pk)


@never_cache
@require_GET
def compare(request: HttpRequest, run: Any, other: Any) -> HttpResponse:
    viewer = Viewer.of(request)
    one, two = find_run(request, run), find_run(request, other)
    shown = [private.shown_to(each, viewer) for each in (one, two)]
    for each, run_shown in zip((one, two), shown, strict=True):
        run_shown.hide(each)
    found = comparing.compare(
        one,
        two,
        shown[0].backtests(one),
        shown[1].backtests(two),
        with_trades=all(each.all for each in shown),
        # Snapshots name everything that whoever ran it has, read or not.
        every_series=viewer.user is not None and one.user == two.user == viewer.user,
    )
    return render(
        request,
        "runner/compare.html",
        {
            "one": one,
            "other": two,
            "found": found,
            "private_note": next((each.note for each in shown if not each.all), ""),
        },
    )
