"""Where does a message lead that says what to do? Its words become a link to the page of ours that does it. And what
do lists show of one? `{{ run.message|in_short }}`.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from django import template
from django.http import HttpRequest
from django.template import Context
from django.urls import reverse
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from runner.access import Viewer
from runner.guests import existing_guest_project
from runner.outcomes import in_short

register = template.Library()
register.filter("in_short", in_short)


def _register(request: HttpRequest) -> str:
    """It leads back to where the message is read, and of all that is about a guest's project into that."""
    match = request.resolver_match
    token = match.kwargs.get("token") if match is not None else None
    back = reverse("runner:guest-workspace", args=[token]) if token else request.get_full_path()
    return f"{reverse('account_signup')}?next={quote(back)}"


def _projects(request: HttpRequest) -> str:
    """Of a guest, who has no list of them, the latest."""
    viewer = Viewer.of(request)
    if viewer.user is not None:
        return reverse("runner:dashboard")
    latest = existing_guest_project(viewer)
    return latest.edit_url if latest is not None else ""


PLACES: dict[str, Callable[[HttpRequest], str]] = {
    r"Sign up\b": _register,
    r"Delete (?:one|[0-9]+) to make another\b": _projects,
}


@register.simple_tag(takes_context=True)
def leading(context: Context, message: Any) -> SafeString:
    """The message, escaped, with the first of each of these words as a link; what is HTML already stays as it is."""
    told = str(message)
    if isinstance(told, SafeString):
        return told
    text: str = escape(told)
    for words, place in PLACES.items():
        if (found := re.search(words, text)) and (address := place(context["request"])):
            link = format_html('<a href="{}">{}</a>', address, found[0])
            text = text[: found.start()] + link + text[found.end() :]
    return mark_safe(text)  # escaped above
