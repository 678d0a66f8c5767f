"""Figures of market data in a template: a value in its form, and a word with its definition."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from marketdata.figures import shown_number
from playground.templatetags import formatting
from playground.templatetags.figures import gloss

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


# Where the manual has the formula of a figure of data pages.
FORMULAS = {
    "total_return": "total_return",
    "cagr": "cagr",
    "volatility": "volatility",
    "sharpe": "sharpe",
    "max_drawdown": "max_drawdown",
    "best": "best_return",
    "worst": "worst_return",
    "correlation": "correlation",
}


@register.simple_tag
def term(word: str, definition: str, key: str = "") -> SafeString:
    """A word that tells its definition to whoever points at it, tabs to it or taps it (static/js/shared/gloss.js)."""
    if key in FORMULAS:
        return gloss({"key": FORMULAS[key], "help": definition, "label": word})
    return format_html('<button type="button" class="gloss" data-gloss="{}">{}</button>', definition, word)
