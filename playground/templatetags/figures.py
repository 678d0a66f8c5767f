"""Figures of a backtest in a template: each name with its definition, and all of them by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from qfp.tearsheet.terms import definition

from runner.figures import grouped

register = template.Library()


@register.simple_tag
def gloss(figure: Mapping[str, Any]) -> SafeString:
    """The name of a figure; static/js/shared/gloss.js shows its definition to whoever points, tabs or taps."""
    anchor = figure.get("anchor") or f"/docs/metrics#{figure['key']}"
    return format_html(
        '<a class="gloss" href="{}" data-gloss="{}">{}</a>', anchor, figure.get("help", ""), figure["label"]
    )


@register.simple_tag
def heading(name: str) -> SafeString | str:
    """A heading of a table: one that not everybody knows with its definition, a figure's with that figure's."""
    known = definition(name)
    return gloss({"label": name, "help": known[0], "anchor": known[1]}) if known else name


@register.filter
def by_group(figures: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """[(group, its figures)] in the order of the table."""
    return grouped(figures)
