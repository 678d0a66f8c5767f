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
from runner.starting import start_run


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
) -> HttpResponse:
    """Make the project, start it if asked, and go to its editor; back with the reason where a limit forbids it.

    forked_from: a revision of another project; all of its files come along.

    A guest's project and its first run are made together or not at all, so that the limit of runs from one address is
    also one of projects.
    """
    viewer, key = Viewer.of(request), None
    try:
        if viewer.user is None and not viewer.guest_hash:
            key = new_guest_key()
            viewer = Viewer(None, hash_key(key))
        with transaction.atomic():
            quotas.check_project(viewer, quotas.plan_of(viewer))
            if viewer.user is not None:
                made = Project.make(viewer.user, title, source, slug=slug)
            else:
                made = guest_project_of(viewer.guest_hash, title, source, slug)
            if forked_from is not None:
                made.draft, made.forked_from = forked_from.files, forked_from
                made.save(update_fields=["draft", "forked_from"])
            if run and sandbox_state.current(quotas.plan_of(viewer).queue).ready:
                start_run(made, viewer, files=made.draft, address_hash=address_hash(request))
    except QuotaExceeded as refusal:
        sign_up = "" if viewer.user is not None else " With an account, which is free, there is room for more."
        messages.warning(request, f"{refusal}{sign_up}")
        return SeeOther(back)
    response = SeeOther(made.edit_url)
    if key is not None:
        remember_guest(response, key)
    return response
