"""A copy of somebody's shared project: the code that its page shows becomes a project of one's own."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from runner import sharing
from runner.access import Viewer
from runner.models import Project
from runner.opening import open_copy
from runner.views import find_project


@require_POST
def copy_project(request: HttpRequest, user: str, slug: str) -> HttpResponse:
    """A guest's is run at once, as in the first minute."""
    found = find_project(Project.objects.visible_to(Viewer.of(request)), user=user, slug=slug)
    revision = sharing.shown_revision(found)
    if revision is None:
        raise Http404("Nothing of it has run yet.")
    return open_copy(
        request,
        found.title,
        revision.source,
        found.slug,
        back=found.base_url,
        run=not request.user.is_authenticated,
        forked_from=revision,
    )
