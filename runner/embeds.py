"""A result in somebody else's page: /embed/r/<run> is what stands there, /oembed tells other sites how to place it.

Who reads it there is nobody to us: no cookie is read (playground/middleware.py), no script runs, and everybody sees
what a stranger would see of the result, with all that it can claim.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from html import escape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID
from xml.etree import ElementTree

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import Resolver404, resolve, reverse
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.http import require_safe

from runner import claims_box, private, sharing
from runner.access import Viewer
from runner.charts import equity_curve
from runner.claims.fields import one_line
from runner.honesty import sending
from runner.models import Backtest, Project, Run
from runner.private import Shown
from runner.reports.documents import parameters_text
from runner.sweeps.out_of_sample import out_of_sample

__all__ = ["Embed", "embed", "embed_of_project", "embed_offered", "oembed"]

STRANGER = Viewer()
THEMES = ("auto", "light", "dark")
HEADLINES = 8
POINTS = 400
WIDTH = 720  # pixels
# Lines over the width whose highest is high enough for all of an ordinary result, its notes and some lines that come
# later: (pixels at no width, pixels less for one of width).
HEIGHTS = ((1660.0, 0.0), (3140.0, 2.06), (4740.0, 6.5))
SANDBOX = "allow-popups allow-popups-to-escape-sandbox"  # its links open pages of their own
PROVIDER = "Quant Finance Playground"
# For how long other sites may keep the answer; what is in the frame they ask for each time.
CACHE_SECONDS = 300
FRAMED = ("runner:run", "runner:backtest", "runner:embed")


@dataclass(frozen=True)
class Embed:
    """The frame with one backtest, for whoever places it into a page."""

    backtest: Backtest
    title: str
    theme: str = "auto"

    @cached_property
    def address(self) -> str:
        chosen = {} if self.theme == "auto" else {"theme": self.theme}
        query = urlencode({"backtest": self.backtest.position, **chosen})
        return f"{settings.SITE_URL}{reverse('runner:embed', args=[self.backtest.run_id])}?{query}"

    def frame(self, width: int, height: int, style: str = "max-width:100%") -> str:
        """Its HTML as text: a page that shows it escapes it once more."""
        return (
            f'<iframe src="{escape(self.address)}" title="{escape(self.title)}" width="{width}" height="{height}" '
            f'sandbox="{SANDBOX}" loading="lazy" style="border:0;{style}"></iframe>'
        )

    @property
    def code(self) -> str:
        """The frame in a box of its own, as wide as its place: narrow ones are higher, and no script can tell them."""
        lines = ", ".join(f"{at:g}px - {100 * less:g}cqw" if less else f"{at:g}px" for at, less in HEIGHTS)
        frame = self.frame(WIDTH, height_for(WIDTH), f"width:100%;height:max({lines})")
        return f'<div style="container-type:inline-size;max-width:{WIDTH}px">{frame}</div>'

    @property
    def discovery(self) -> list[tuple[str, str]]:
        """Type and address of each form in which oembed() tells of it."""
        page = f"{settings.SITE_URL}{self.backtest.get_absolute_url()}"
        where = f"{settings.SITE_URL}{reverse('runner:oembed')}"
        types = {"json": "application/json+oembed", "xml": "text/xml+oembed"}
        return [(type_, f"{where}?{urlencode({'url': page, 'format': form})}") for form, type_ in types.items()]


def height_for(width: int) -> int:
    """Pixels, of a frame of this width."""
    return math.ceil(max(at - less * width for at, less in HEIGHTS))


def embed_offered(backtest: Backtest) -> Embed | None:
    """None where its page is not for everybody who has the address."""
    run = backtest.run
    if run.session_id is not None or run.project.visibility == Project.Visibility.PRIVATE:
        return None
    return _embed_of(backtest, private.shown_to(run, STRANGER))


def embed_of_project(project: Project) -> Embed | None:
    """The result that others are shown of it, or would be."""
    run = sharing.last_success(project)
    if run is None:
        return None
    shown = private.shown_to(run, STRANGER)
    backtest = _first(run, shown)
    return _embed_of(backtest, shown) if backtest is not None else None


def _embed_of(backtest: Backtest, shown: Shown) -> Embed | None:
    if not shown.all and not backtest.verified:
        return None
    strategy = backtest.strategy if shown.all else private.STRATEGY
    return Embed(backtest, one_line(f"{strategy}: {backtest.run.project.title}"))


def _first(run: Run, shown: Shown, position: int | None = None) -> Backtest | None:
    """The one at this position, or the first, of those that others may see; a backtest has megabytes."""
    found = run.backtests.all() if shown.all else run.backtests.filter(verified=True)
    return (found if position is None else found.filter(position=position)).first()


def _found(run: UUID | str, position: int | None) -> tuple[Backtest, Shown]:
    visible = Run.objects.visible_to(STRANGER).select_related("revision__project__owner")
    found = get_object_or_404(visible, pk=run)
    shown = private.shown_to(found, STRANGER)
    backtest = _first(found, shown, position)
    if backtest is None:
        raise Http404
    return backtest, shown


def _position(given: Mapping[str, Any]) -> int | None:
    """What `backtest` of an address says; None where it says nothing."""
    text = given.get("backtest", "")
    if text and not re.fullmatch("[0-9]{1,9}", text):
        raise Http404
    return int(text) if text else None


def _theme(given: Mapping[str, Any]) -> str:
    return given.get("theme", "") if given.get("theme", "") in THEMES else THEMES[0]


# The frame ---------------------------------------------------------------------------------------------------


@never_cache
@require_safe
@xframe_options_exempt
def embed(request: HttpRequest, run: Any) -> HttpResponse:
    """One page with its styles inside: it asks for nothing else, and any site may frame it."""
    styles, policy = _styles()
    context: dict[str, Any] = {"styles": styles, "theme": _theme(request.GET), "site": settings.SITE_URL}
    status = 200
    try:
        backtest, shown = _found(run, _position(request.GET))
        context |= _shown_there(backtest, shown)
        sending.send(backtest.run)
    except Http404:
        # A page of its own: browsers show nothing of one that may not be framed.
        status = 404
    response = HttpResponse(render_to_string("runner/embed.html", context), status=status)
    response["Content-Security-Policy"] = policy
    response["Referrer-Policy"] = "no-referrer"
    return response


def _shown_there(backtest: Backtest, shown: Shown) -> dict[str, Any]:
    """The strings of its page."""
    shown.backtest(backtest)
    lines = claims_box.lines(backtest)
    return {
        "backtest": backtest,
        "project": backtest.run.project,
        "run": backtest.run,
        "page": settings.SITE_URL + backtest.get_absolute_url(),
        "figures": backtest.figures[:HEADLINES],
        "curve": equity_curve(backtest, POINTS),
        "parameters": parameters_text(backtest, shown.all),
        "remarks": backtest.remarked(shown.all),
        "out_of_sample": out_of_sample(backtest, Viewer(None)),
        "private_note": shown.note,
        "claims": lines,
        "claims_summary": claims_box.summary(lines, claims_box.checking(backtest)),
    }


@lru_cache(maxsize=1)
def _styles() -> tuple[str, str]:
    """What the build made of static/css/embed.css, and the policy that lets nothing but it in."""
    text = (settings.BASE_DIR / "static" / "dist" / "embed.css").read_text(encoding="utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    policy = [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors *",
        f"sandbox {SANDBOX}",
    ]
    return mark_safe(text), "; ".join(policy)  # a file of ours


# oEmbed 1.0 (oembed.com) ----------------------------------------------------------------------------------------


@never_cache
@require_safe
def oembed(request: HttpRequest) -> HttpResponse:
    form = request.GET.get("format", "json")
    if form not in ("json", "xml"):
        return _refused(501, "format is json or xml.")
    address = request.GET.get("url", "")
    if not address:
        return _refused(400, "url is the address of a run or of a backtest of this site.")
    try:
        most_wide, most_high = (_most(request.GET.get(name, "")) for name in ("maxwidth", "maxheight"))
    except ValueError:
        return _refused(400, "maxwidth and maxheight are whole numbers of pixels, from 1.")
    try:
        frame = _framed(request, address)
    except Http404:
        return _refused(404, "There is no public result at this address.")
    width = min(WIDTH, most_wide or WIDTH)
    height = height_for(width)
    answer = _told(frame, width, min(height, most_high or height))
    if form == "json":
        return JsonResponse(answer, json_dumps_params={"ensure_ascii": False})
    root = ElementTree.Element("oembed")
    for name, value in answer.items():
        ElementTree.SubElement(root, name).text = str(value)
    xml = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return HttpResponse(xml, content_type="text/xml; charset=utf-8")


def _refused(status: int, text: str) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")


def _most(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch("0*[1-9][0-9]{0,5}", text):
        raise ValueError(text)
    return int(text)


def _framed(request: HttpRequest, address: str) -> Embed:
    """The frame for a page of ours at this address. Raises Http404."""
    try:
        parts = urlsplit(address)
        ours = parts.netloc.lower() in (urlsplit(settings.SITE_URL).netloc.lower(), request.get_host().lower())
        match = resolve(parts.path)
    except (ValueError, Resolver404):
        raise Http404 from None
    if parts.scheme not in ("http", "https") or not ours or match.view_name not in FRAMED:
        raise Http404
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    backtest, shown = _found(match.kwargs["run"], match.kwargs.get("position", _position(asked)))
    frame = _embed_of(backtest, shown)
    if frame is None:
        raise Http404
    return Embed(backtest, frame.title, _theme(asked))


def _told(frame: Embed, width: int, height: int) -> dict[str, Any]:
    owner = frame.backtest.run.project.owner
    author = {}
    if owner is not None:
        profile = reverse("community:profile", args=[owner.username])
        author = {"author_name": one_line(owner.get_full_name()), "author_url": settings.SITE_URL + profile}
    return {
        "version": "1.0",
        "type": "rich",
        "title": frame.title,
        **author,
        "provider_name": PROVIDER,
        "provider_url": settings.SITE_URL,
        "cache_age": CACHE_SECONDS,
        "html": frame.code if (width, height) == (WIDTH, height_for(WIDTH)) else frame.frame(width, height),
        "width": width,
        "height": height,
    }
