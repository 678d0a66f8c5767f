"""Coloured source in a template: {{ source|python }}."""

from django import template
from django.utils.safestring import SafeString

from playground.highlighting import highlight_python

register = template.Library()


@register.filter
def python(source: str) -> SafeString:
    return highlight_python(source)
