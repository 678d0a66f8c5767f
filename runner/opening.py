"""From a program the site offers to somebody's own project: for an account, or for a visitor's browser."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url

from runner import quotas, sandbox_state
from runner.access import Viewer, address_hash, hash_key, new_guest_key, remember_guest
from runner.guests import guest_project_of
from runner.models import Project, Revision
from runner.quotas import QuotaExceeded
from runner.starting import BadInput, start_run


class SeeOther(HttpResponseRedirect):
    """After a form: go and look there (303), so that reloading the page sends nothing again."""

    status_code = 303

    def __init__(self, to: Any) -> None:
        super().__init__(resolve_url(to))


def open_copy(
    request: HttpRequest,
    title: str,
    source: str,
    slug: str,
    *,
    back: str,
    run: bool,
    forked_from: Revision | None = None,
    template: str = "",
) -> HttpResponse:
    """Make the project, start it if asked, and go to its editor; back with the reason where a limit forbids it. Where
    only the run is refused, the project is there without.

    forked_from: a revision of another project; all of its files come along. template: slug of the one it is a copy of.
    """
    viewer, key = Viewer.of(request), None
    try:
        if viewer.user is None and not viewer.guest_hash:
            key = new_guest_key()
            viewer = Viewer(None, hash_key(key))
        with transaction.atomic():
            quotas.check_project(viewer, quotas.plan_of(viewer))
            if viewer.user is not None:
                made = Project.make(viewer.user, title, source, slug=slug, template=template)
            else:
                made = guest_project_of(viewer.guest_hash, title, source, slug, template=template)
            if forked_from is not None:
                made.draft, made.forked_from = forked_from.files, forked_from
                made.save(update_fields=["draft", "forked_from"])
            if viewer.user is None:
                quotas.check_guest_project(quotas.plan_of(viewer), address_hash(request))
    except QuotaExceeded as refusal:
        messages.warning(request, str(refusal))
        return SeeOther(back)
    if run:
        start_first_run(request, made, viewer)
    response = SeeOther(made.edit_url)
    if key is not None:
        remember_guest(response, key)
    return response


def start_first_run(request: HttpRequest, made: Project, viewer: Viewer) -> None:
    """Where the sandbox works and nothing forbids it, which its page is told otherwise."""
    try:
        if sandbox_state.current(quotas.plan_of(viewer).queue).ready:
            start_run(made, viewer, files=made.draft, address_hash=address_hash(request))
    except (BadInput, QuotaExceeded) as refusal:
        messages.warning(request, f"The project is open, but was not run: {refusal}")
