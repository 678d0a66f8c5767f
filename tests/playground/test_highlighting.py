"""Coloured source is the source: escaped, complete, and plain where it is not Python."""

import html
import re

import pytest

from playground.highlighting import highlight_python

SOURCE = '''\
"""A module."""
# é, ☃ and 𝄞 are wider than a byte
class Momentum(Strategy):
    size = 0.95

    def next(self):
        return f"{self.size:.1f} < \\"x\\"" if True else None
'''


def plain(marked: str) -> str:
    return html.unescape(re.sub(r"</?span[^>]*>", "", marked))


@pytest.mark.parametrize(
    "source",
    [SOURCE, "", "x", "print(1)", "\tif", "def f(:\n", '"""never closed', "a\r\nb = 1\r\n", "x = '\x0c'\n"],
)
def test_no_character_is_lost_or_added(source):
    assert plain(highlight_python(source)) == source


def test_keywords_strings_numbers_and_names_have_their_class():
    marked = highlight_python(SOURCE)
    assert '<span class="k">class</span> <span class="d">Momentum</span>' in marked
    assert '<span class="n">0.95</span>' in marked
    assert '<span class="k">True</span>' in marked
    assert '<span class="c"># é, ☃ and 𝄞 are wider than a byte</span>' in marked


def test_source_cannot_become_markup():
    marked = highlight_python("x = '<script>alert(1)</script>' # <img src=x onerror=alert(1)>\n<b>\n")
    assert "<script" not in marked and "<img" not in marked and "<b>" not in marked
