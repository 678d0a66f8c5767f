"""A result in pages of other sites, as a browser draws it."""

from __future__ import annotations

import pytest

from runner import embeds
from tests.factories import make_finished_run, make_project, make_user
from tests.runner.reported import STORE, claim_of, stored


@pytest.mark.parametrize("width", [360, 720])
def test_the_frame_ends_with_its_footer_and_has_no_bar_to_scroll(open_page, settings, width):
    settings.STORE_DIR = STORE
    run = make_finished_run(make_project(make_user(), visibility="public"), manifest={"version": 1})
    stored(run, claim_of("IBM", 40, 20, bars=300))
    height = embeds.height_for(width)
    page = open_page(width=width, height=height)
    page.goto(f"/embed/r/{run.pk}")
    footer = page.locator("footer").bounding_box()
    assert height - 20 <= footer["y"] + footer["height"] <= height
    assert page.evaluate("document.documentElement.scrollHeight") == height
    page.goto("/embed/r/00000000-0000-0000-0000-000000000000")
    assert page.locator("footer").bounding_box()["y"] < 200
