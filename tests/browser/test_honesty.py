"""A backtest's page says what it can claim, while it runs and after, on a phone, too."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.pages import eventually
from tests.factories import make_project, make_user
from tests.runner.test_honesty import LEAK


def test_a_leak_is_said_on_the_page_of_its_author_and_of_everybody(signed_in, open_page):
    owner = make_user()
    project = make_project(owner, source=LEAK, visibility="public")
    page = signed_in(owner)
    page.goto(project.edit_url)
    page.keyboard.press("Control+Enter")
    box = page.locator(".claims")
    expect(box.locator("summary")).to_contain_text("problem", timeout=60_000)
    box.locator("summary").click()
    expect(box.locator("li")).to_have_count(9)
    expect(box.locator("li").first).to_contain_text("shift(-1)", timeout=60_000)

    visitor = open_page(width=360)
    run = project.revisions.last().runs.first()
    visitor.goto(run.get_absolute_url())
    box = visitor.locator(".claims")
    box.locator("summary").click()
    expect(box.locator("li").first).to_contain_text("Look-ahead")
    eventually(visitor, lambda: visitor.evaluate("document.documentElement.scrollWidth") <= 360)
