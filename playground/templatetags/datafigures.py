"""Figures of market data in a template: a value in its form, and a word with its definition."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from marketdata.figures import shown_number
from playground.templatetags import formatting

register = template.Library()


@register.filter
def shown(value: object, form: str) -> str:
    """A figure as its form wants it: "number", "ratio", "percent", "fall" or "signed"."""
    if form == "number":
        found = formatting.as_number(value)
        return formatting.MISSING if found is None else shown_number(found)
    if form == "ratio":
        return formatting.number(value, 2)
    return formatting.signed_percent(value) if form == "signed" else formatting.percent(value)


@register.filter
def tone(value: object, form: str) -> str:
    """The class that colours a return or a fall; ratios and levels have none."""
    return formatting.gain_or_loss(value) if form in ("signed", "fall") else ""


@register.filter
def trimmed(value: float) -> str:
    """0.5 as 0.5 and 2.0 as 2: cash of dividends and ratios of splits."""
    return f"{value:.6g}"


@register.simple_tag
def term(word: str, definition: str) -> SafeString:
    """A word that tells its definition to whoever points at it, tabs to it or listens to the page."""
    return format_html(
        '<span class="term" tabindex="0">{}<span class="term__help" role="note">{}</span></span>', word, definition
    )
