"""Pages where one user's work is seen by others."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from community.gallery import public_projects
from runner import claims_box, template_runs
from runner.models import Backtest, Project

PAGE_SIZE = 24
# Of a backtest on a card, whose orders and fills have megabytes.
SHOWN = (
    "run", "position", "strategy", "instruments", "conventions", "chart", "description", "verified", "verified_text",
    "checks",
)  # fmt: skip


def _cards(projects: QuerySet[Project], page_number: str | None):
    page = Paginator(projects, PAGE_SIZE).get_page(page_number)
    backtests = Backtest.objects.only(*SHOWN).in_bulk([project.backtest_id for project in page if project.backtest_id])
    summaries = claims_box.summaries(backtests.values())
    pictures = template_runs.pictures([project for project in page if not project.has_backtest])
    return page, [
        {
            "project": project,
            "backtest": backtests.get(project.backtest_id),
            "summary": summaries.get(project.backtest_id),
            "picture": pictures.get(project.pk, ""),
        }
        for project in page
    ]


@require_GET
def explore(request: HttpRequest) -> HttpResponse:
    page, cards = _cards(public_projects(), request.GET.get("page"))
    return render(request, "community/explore.html", {"page": page, "cards": cards})


@require_GET
def profile(request: HttpRequest, user: str) -> HttpResponse:
    person = get_object_or_404(get_user_model(), username=user.lower(), is_active=True)
    page, cards = _cards(public_projects().filter(owner=person), request.GET.get("page"))
    return render(request, "community/profile.html", {"person": person, "page": page, "cards": cards})
