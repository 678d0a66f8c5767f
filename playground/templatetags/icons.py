"""How does a template draw an icon? {% icon "play" %} puts the Lucide drawing into the page.

An icon beside words is decoration and hidden from screen readers; one that stands alone gets its words
by {% icon "play" label="Run" %}. The drawings are files of static/icons, each read once.
"""

from functools import cache
from pathlib import Path

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

ICONS = Path(__file__).resolve().parents[2] / "static" / "icons"


@cache
def drawing(name: str) -> str:
    """The shapes inside the icon's <svg>. KeyError for a name that static/icons does not have."""
    if not name.replace("-", "").isalnum():
        raise KeyError(name)
    try:
        svg = (ICONS / f"{name}.svg").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise KeyError(f"no icon {name!r}: add it to static/icons/names.txt and run npm run build") from None
    return svg[svg.index(">") + 1 : svg.rindex("</svg>")].strip()


@register.simple_tag
def icon(name: str, label: str = "", size: int = 16) -> SafeString:
    words = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    modifier = " icon--20" if size == 20 else ""
    # The name is a file of ours and the label is escaped: nothing of a user's is trusted here.
    return mark_safe(
        f'<svg class="icon{modifier}" {words} viewBox="0 0 24 24" fill="none" stroke="currentColor" '
        f'stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round">{drawing(name)}</svg>'
    )
