"""Icons are drawings of ours, and every one that a template names exists."""

import re

import pytest
from django.conf import settings
from django.template import Context, Template

from playground.templatetags.icons import ICONS, drawing, icon

TEMPLATES = settings.BASE_DIR / "templates"


def test_every_icon_named_in_a_template_exists():
    named = {
        name
        for path in TEMPLATES.rglob("*.html")
        for name in re.findall(r"{%\s*icon\s+[\"']([a-z0-9-]+)[\"']", path.read_text(encoding="utf-8"))
    }
    assert named and not [name for name in sorted(named) if not (ICONS / f"{name}.svg").is_file()]


def test_an_icon_beside_words_is_hidden_and_one_alone_has_a_name():
    assert 'aria-hidden="true"' in icon("play")
    assert 'aria-label="Stop &lt;now&gt;"' in icon("square", label="Stop <now>")
    assert "icon--20" in Template('{% load icons %}{% icon "play" size=20 %}').render(Context())


@pytest.mark.parametrize("name", ["no-such-icon", "../css/site", "", "a/b"])
def test_other_names_are_refused(name):
    with pytest.raises(KeyError):
        drawing(name)
