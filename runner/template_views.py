"""The gallery of templates, and the click that makes one of them somebody's own project."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from runner import template_runs
from runner.opening import open_copy
from runner.samples import LEVELS, SAMPLES


@require_safe
def templates(request: HttpRequest) -> HttpResponse:
    tag = request.GET.get("tag", "")
    every = template_runs.shown()
    tags = sorted({name for card in every for name in card.sample.tags})
    cards = [card for card in every if not tag or tag in card.sample.tags]
    levels = [(title, [card for card in cards if card.sample.level == level]) for level, title in LEVELS.items()]
    context = {"levels": [(title, cards) for title, cards in levels if cards], "tags": tags, "chosen": tag}
    return render(request, "runner/templates.html", context)


@require_POST
def copy_template(request: HttpRequest, slug: str) -> HttpResponse:
    sample = next((sample for sample in SAMPLES if sample.slug == slug), None)
    if sample is None:
        raise Http404("No such template.")
    back = reverse("runner:templates")
    return open_copy(request, sample.title, sample.source, sample.slug, back=back, run=True, template=sample.slug)
