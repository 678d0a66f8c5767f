"""Sweeps from a form: what to try, how it stands, and what to go on with."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import redis
from django.contrib import messages
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from qfp.figures import count, percent
from qfp.sweeps.plateau import around
from qfp.sweeps.trial import Trial as Tried
from qfp.tearsheet import charts

from marketdata.exporting import safe_cell
from runner import claims_box, packages, private, quotas, sandbox_state
from runner.access import Viewer, address_hash
from runner.claiming import place_in_queue
from runner.defaults import declared_in, with_defaults
from runner.gpu import GpuUnavailable
from runner.models import ENTRY, Project, Revision, Run, Sweep
from runner.opening import SeeOther
from runner.overfitting import window_of
from runner.packages import PackageRefused
from runner.quotas import QuotaExceeded
from runner.recording import Recording
from runner.reports.records import record_of
from runner.result_views import drawn
from runner.run_views import EVENTS_AT_ONCE, find_run
from runner.starting import BadInput, run_again, start_run
from runner.sweeps.choice import doubts, neighbours_in_words
from runner.sweeps.duration import seconds_by_sweep, seconds_of_sweep, walk_ahead
from runner.sweeps.form import METHODS, OBJECTIVES, TYPED, Search, dimensions, read_search, read_walk, space_near
from runner.sweeps.out_of_sample import walked_from
from runner.sweeps.results import FEW, SweepResults, params_text, score_text, value_text, walk_rows
from runner.views import chosen_params, find_project, keep_draft, keep_files

TRIALS_SHOWN = 100
FAILED_SHOWN = 50
WALK_CHARTS = ("equity", "drawdown")  # of a walk-forward's own page; its backtest has all of them
MEDIAN = "Median with neighbours"
MOST_BEFORE = 50  # runs among which a walk-forward's sweep is looked for
PURGE = 5  # bars, as proposed for a walk-forward
FEW_TRIALS = 2_000  # with more, the page of a sweep that goes on is made anew less often
KEPT_SECONDS = 300  # what is shown of as many trials
REFUSALS = (BadInput, QuotaExceeded, PackageRefused, GpuUnavailable)


# The form ------------------------------------------------------------------------------------------------------------


def last_ordinary_run(project: Project) -> Run | None:
    """The latest run that came through and says which parameters there are; none of a sweep."""
    runs = Run.objects.whole().filter(revision__project=project, search={}).exclude(declared_params=[])
    return runs.select_related("revision").order_by("-queued").first()


@never_cache
@require_http_methods(["GET", "POST"])
def sweep_form(request: HttpRequest, **where: str) -> HttpResponse:
    """What to try. Posted with `count` it only says how many combinations that is; with `start` it starts them."""
    viewer = Viewer.of(request)
    found = find_project(Project.objects.editable_by(viewer), **where)
    last = last_ordinary_run(found)
    declared = chosen_params(last) if last else declared_in(found.source)
    refusal = ""
    if request.method == "GET":
        proposed = Search(dimensions(declared))
        form = {f"try:{each.name}": "on" for each in proposed.swept}
        search = read_search(declared, form | _fields(proposed)) if proposed.dimensions else proposed
    else:
        search = read_search(declared, request.POST.dict())
        if "start" in request.POST:
            try:
                return SeeOther(reverse("runner:sweep", args=[_start(request, found, viewer, search).pk]))
            except REFUSALS as error:
                refusal = str(error)
    plan = quotas.plan_of(viewer)
    files = found.draft
    by_sweep = seconds_by_sweep(last, search.number_of_trials)
    context = {
        "project": found,
        "last": last,
        "search": search,
        "refusal": refusal,
        "changed": last is not None and last.revision.source != found.source,
        "methods": [
            {"key": key, "name": name, "does": does, "needs": _needs(files, needed)}
            for key, (name, does, needed) in METHODS.items()
        ],
        "objectives": OBJECTIVES,
        "seconds": by_sweep or seconds_of_sweep(last, search.number_of_trials, plan.cores),
        "by_sweep": by_sweep is not None,
        "plan": plan,
        "limits": quotas.limits_in_words(plan),
    }
    alone = bool(getattr(request, "htmx", False))
    template = "runner/_sweep_count.html" if alone else "runner/sweep_form.html"
    return render(request, template, context | {"alone": alone}, status=422 if refusal else 200)


def _fields(search: Search) -> dict[str, str]:
    """The proposal as a form would send it."""
    return {f"{key}:{each.name}": getattr(each, key) for each in search.dimensions for key in TYPED}


def _needs(files: dict[str, str], needed: tuple[str, ...]) -> str:
    """Packages that a method brings in first, in words; "" where there is nothing to bring."""
    try:
        asked = {one.name for one in packages.check(files)}
    except PackageRefused:
        asked = set()
    return " and ".join(name for name in needed if name not in asked)


def _start(request: HttpRequest, project: Project, viewer: Viewer, search: Search) -> Run:
    plan = search.plan()
    files = dict(project.draft)
    if needed := [name for name in METHODS[search.method][2] if name in _needs(files, METHODS[search.method][2])]:
        files = packages.with_packages(files, needed)
        keep_files(project, files)
    return _begin(request, project, viewer, files, search.given(), plan | {"expected": search.number_of_trials})


def _begin(
    request: HttpRequest,
    project: Project,
    viewer: Viewer,
    files: dict[str, str],
    params: dict[str, Any],
    search: dict[str, Any],
    revision: Revision | None = None,
) -> Run:
    state = sandbox_state.current(quotas.plan_of(viewer).queue)
    if not state.ready:
        raise BadInput(f"Runs are refused: {state.reason}")
    told: dict[str, Any] = {"params": params, "search": search, "revision": revision}
    return start_run(project, viewer, files=files, address_hash=address_hash(request), **told)


# The page ------------------------------------------------------------------------------------------------------------


def _found(request: HttpRequest, run: Any, *, editable: bool = False) -> Run:
    """The run, for those who may see what it read: scores could tell of it."""
    found = find_run(request, run, editable=editable)
    if not private.shown_to(found, Viewer.of(request)).all:
        raise Http404
    return found


def _sweep_of(run: Run, named: str) -> Sweep | None:
    sweeps = run.sweeps.order_by("created", "pk")
    if named.isascii() and named.isdigit():
        return sweeps.filter(pk=int(named[:18])).first()
    return None if run.search.get("walk") else sweeps.last()


@never_cache
@require_GET
def sweep_page(request: HttpRequest, run: Any) -> HttpResponse:
    """A sweep of a run (`sweep` names one where there are several), or the windows of a walk-forward."""
    found = _found(request, run)
    sweep = _sweep_of(found, request.GET.get("sweep", ""))
    viewer = Viewer.of(request)
    live = not found.is_finished
    editable = Project.objects.editable_by(viewer).filter(pk=found.project.pk).exists()
    context: dict[str, Any] = {
        "run": found,
        "project": found.project,
        "live": live,
        "can_edit": editable,
        "joined": found.backtests.order_by("position").first(),
        "query": request.GET.urlencode(),
        "walk": found.search.get("walk"),
        "poll": 2,
        "place": place_in_queue(found.pk) if found.status == Run.Status.QUEUED else 0,
    }
    if found.search.get("walk") and sweep is None:
        context |= {"windows": walk_rows(found), "swept": _swept_before(found) if editable else None}
        if (joined := context["joined"]) is not None:
            joined.run = found
            record, lines = record_of(joined, True), claims_box.lines(joined)
            context |= {
                "charts": [drawn(chart) for key in WALK_CHARTS for chart in charts(record, key)],
                "claims": lines,
                "claims_summary": claims_box.summary(lines, claims_box.checking(joined)),
            }
        template = "runner/_walk.html" if getattr(request, "htmx", False) else "runner/walk.html"
        return render(request, template, context)
    if sweep is not None:
        context |= _shown(request, found, sweep, live)
        if not live and window_of(sweep) is None:
            context["walked"] = walked_from(sweep, found.project, viewer)
        context["doubts"] = doubts(context["results"]["overfitting"], context.get("walked"))
        context["plan"] = quotas.plan_of(viewer)
        context["others"] = [] if found.search else list(found.sweeps.exclude(pk=sweep.pk).order_by("created"))
    elif live:
        context["bringing"] = _brought_now(found)
    context["from_form"] = bool(found.search) and editable
    template = "runner/_sweep.html" if getattr(request, "htmx", False) else "runner/sweep.html"
    return render(request, template, context)


def _brought_now(run: Run) -> str:
    """What is being done about its packages, in words; "" where that is over or none are needed."""
    last = Recording(run.pk).read(limit=EVENTS_AT_ONCE)[-1:]
    return last[0]["text"] if last and last[0]["type"] == "package" else ""


def _shown(request: HttpRequest, run: Run, sweep: Sweep, live: bool) -> dict[str, Any]:
    tried = sweep.trials.count()
    asked = {name: request.GET.get(name, "") for name in ("x", "y", "over", "pick")}
    wanted = hashlib.sha256(json.dumps([asked, run.declared_params]).encode()).hexdigest()
    key = f"sweep-page:{sweep.pk}:{tried}:{live}:{wanted}"
    # Everybody who looks asks every few seconds, and of many trials each answer is work.
    many = tried > FEW
    drawn = None
    with suppress(redis.RedisError):
        drawn = cache.get(key) if many else None
    if drawn is None:
        drawn = _drawn(SweepResults.of(sweep, live), asked, run.declared_params)
        with suppress(redis.RedisError):
            if many:
                cache.set(key, drawn, KEPT_SECONDS)
    bars = _bars(run)
    train, test = max(2, bars // 3), max(1, bars // 9)
    earlier = sweep.trials.exclude(run=run).count()
    return {
        **drawn,
        "sweep": sweep,
        "poll": 2 if tried < FEW_TRIALS else 6,
        "expected": max(run.search.get("expected") or 0, tried),
        "earlier": earlier,
        "interrupted": run.is_finished and run.status != Run.Status.SUCCEEDED,
        "bars": bars,
        "walk_train": train,
        "walk_test": test,
        "walk_purge": PURGE,
        "ahead": walk_ahead(run, tried - earlier, bars, train, test, PURGE) if bars and not live else None,
    }


def _drawn(results: SweepResults, asked: dict[str, str], declared: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page shows of the trials. declared: the parameters of the program."""
    names = results.names
    x = asked["x"] if asked["x"] in names else (names[0] if names else "")
    y = asked["y"] if asked["y"] in names and asked["y"] != x else ""
    y = y or next((name for name in names if name != x), "")
    mean = asked["over"] == "mean"
    number = asked["pick"]
    picked = results.trial(int(number[:9])) if number.isascii() and number.isdigit() else None
    near = results.plateau
    middle = results.trial(near.number) if near is not None else None
    chosen = picked or middle or results.peak
    failed = results.failed
    neighbours, beyond = neighbours_in_words(results, picked, declared)
    return {
        "results": {
            "tried": len(results.tried),
            "failed": len(failed),
            "names": names,
            "objective": results.objective,
            "overfitting": results.overfitting,
        },
        "x": x,
        "y": y,
        "over": "mean" if mean else "best",
        "heat": results.heat(x, y, mean) if x else None,
        "parallel": results.parallel(),
        "histogram": results.histogram(),
        "picked": {"number": picked.number} if picked is not None else None,
        "chosen": {"number": chosen.number} if chosen is not None else None,
        "near": near is not None,
        "neighbours": neighbours,
        "beyond": beyond,
        "choices": _choices(results, middle, picked),
        "rows": [_row(results, each) for each in results.scored[:TRIALS_SHOWN]],
        "more": max(0, len(results.scored) - TRIALS_SHOWN),
        "failed": [(params_text(each.params), each.error) for each in failed[:FAILED_SHOWN]],
        "chosen_text": params_text(chosen.params) if chosen is not None else "",
    }


def _choices(results: SweepResults, middle: Any, picked: Any) -> dict[str, Any]:
    """Plateau, peak and what was picked, side by side."""
    offered = ("Plateau", middle), ("Single best", results.peak), ("Picked", picked)
    columns = [(name, trial) for name, trial in offered if trial]
    regions = [around(results.tried, trial.number, results.maximize) for _, trial in columns]
    rows = [(name, [value_text(trial.params.get(name)) for _, trial in columns]) for name in results.names]
    rows.append((results.objective, [_row(results, trial)["score"] for _, trial in columns]))
    rows.append((MEDIAN, [score_text(near.median) if near else "–" for near in regions]))
    return {"columns": [name for name, _ in columns], "rows": rows}


def _row(results: SweepResults, trial: Any) -> dict[str, Any]:
    return {
        "number": trial.number,
        "values": [value_text(trial.params.get(name)) for name in results.names],
        "score": score_text(trial.score),
        "trades": _figure(trial, "trades", count),
        "drawdown": _figure(trial, "max_drawdown", percent),
    }


def _figure(trial: Tried, name: str, form: Callable[[float], str]) -> str:
    value = trial.figures.get(name, math.nan)
    return form(value) if math.isfinite(value) else "–"


def _bars(run: Run) -> int:
    """Of the backtest of the program that a sweep ends with; 0 before it is there."""
    joined = run.backtests.order_by("position").last()
    return len(joined.dates) if joined is not None else 0


@never_cache
@require_GET
def trials_csv(request: HttpRequest, run: Any, sweep: int) -> HttpResponse:
    found = _found(request, run)
    named = found.sweeps.filter(pk=sweep).first()
    if named is None:
        raise Http404
    results = SweepResults.of(named, live=True)
    figures = list(dict.fromkeys(name for each in results.tried for name in each.figures))
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="trials-{named.pk}.csv"'
    writer = csv.writer(response)
    writer.writerow(["trial", *map(_plain, results.names), "score", *map(_plain, figures), "error"])
    for each in results.tried:
        values = [_plain(each.params.get(name)) for name in results.names]
        kept = [_number(each.figures.get(name)) for name in figures]
        writer.writerow([each.number, *values, _number(each.score), *kept, _plain(each.error)])
    return response


def _plain(value: Any) -> Any:
    return safe_cell(value) if isinstance(value, str) else value


def _number(value: Any) -> Any:
    return "" if value is None or value != value else value


# What to go on with --------------------------------------------------------------------------------------------------


def _picked(request: HttpRequest, run: Run) -> dict[str, Any]:
    """The parameters of the trial that was chosen. Raises Http404."""
    sweep, number = request.POST.get("sweep", ""), request.POST.get("trial", "")
    if not (sweep.isascii() and sweep.isdigit() and number.isascii() and number.isdigit()):
        raise Http404
    found = run.sweeps.filter(pk=int(sweep[:18])).first()
    trial = found.trials.filter(number=int(number[:9])).first() if found is not None else None
    if trial is None:
        raise Http404
    return trial.params


@require_POST
def use_values(request: HttpRequest, run: Any) -> HttpResponse:
    """Write the values into the program as defaults of its parameters: a revision, and the draft before it is one."""
    viewer = Viewer.of(request)
    found = _found(request, run, editable=True)
    if not found.search:
        raise Http404
    values = _picked(request, found) | found.params
    project = found.project
    project.make_revision(project.draft, author=viewer.user)
    text, missing = with_defaults(project.source, values)
    # What was neither tried nor set to another value need not be written, so it may be any expression.
    defaults = {param["name"]: param.get("default") for param in found.declared_params}
    missing = [name for name in missing if name not in found.params or found.params[name] != defaults.get(name)]
    back = f"{reverse('runner:sweep', args=[found.pk])}?pick={request.POST['trial']}"
    if missing:
        messages.error(
            request,
            f"Nothing was changed: the code does not give {', '.join(missing)} as a plain value in param(). Set it "
            "there by hand.",
        )
        return SeeOther(back)
    keep_draft(project, text)
    revision = project.make_revision({**project.draft, ENTRY: text}, viewer.user, name="Values of a sweep")
    messages.success(
        request, f"Revision {revision.number} has these values: {params_text(values)}. The one before it is kept."
    )
    return SeeOther(project.edit_url)


def _swept_before(run: Run) -> Run | None:
    """The sweep that a walk-forward was begun from: the latest before it of the same code and names, of the same
    values where there is one.
    """
    space = run.search.get("space", {})
    before = Run.objects.filter(revision=run.revision, search__walk__isnull=True, queued__lt=run.queued)
    latest = before.exclude(search={}).only("search").order_by("-queued")[:MOST_BEFORE]
    found = [each for each in latest if each.search.get("space", {}).keys() == space.keys()]
    return next((each for each in found if each.search.get("space", {}) == space), next(iter(found), None))


@require_POST
def walk_forward(request: HttpRequest, run: Any) -> HttpResponse:
    """The same program and space, chosen on one stretch and traded on the next."""
    viewer = Viewer.of(request)
    found = _found(request, run, editable=True)
    bars = _bars(found)
    if not found.search or not bars:
        raise Http404
    picked = _picked(request, found)
    back = f"{reverse('runner:sweep', args=[found.pk])}?pick={request.POST['trial']}#walk"
    try:
        walk = read_walk(request.POST.dict(), bars)
        search = {key: value for key, value in found.search.items() if key not in ("expected", "walk")}
        if request.POST.get("near"):
            search["space"] = space_near(search["space"], picked)
        files, search = found.revision.files, search | {"walk": walk}
        # The sweep's own revision: what has been written since, such as its values, stays the latest.
        started = _begin(request, found.project, viewer, files, found.params, search, found.revision)
    except REFUSALS as error:
        messages.error(request, str(error))
        return SeeOther(back)
    return SeeOther(reverse("runner:sweep", args=[started.pk]))


@require_POST
def go_on(request: HttpRequest, run: Any) -> HttpResponse:
    """After an interruption: the same again over the same data, after the last trial that was recorded."""
    viewer = Viewer.of(request)
    found = _found(request, run, editable=True)
    # A snapshot holds what its owner fetched: nobody else's run is made again over it.
    if not found.search or not found.is_finished or found.user != viewer.user:
        raise Http404
    try:
        again = run_again(found, viewer, snapshot=found.snapshot, address_hash=address_hash(request))
    except REFUSALS as error:
        messages.error(request, str(error))
        return SeeOther(reverse("runner:sweep", args=[found.pk]))
    return SeeOther(reverse("runner:sweep", args=[again.pk]))
