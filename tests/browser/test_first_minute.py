"""The first minute in an empty profile, and output that outlives browsers and web servers."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from runner.models import Project, Run
from tests.browser.pages import eventually
from tests.factories import PASSWORD, make_project, make_user


def numbers_in_console(page: Page) -> list[int]:
    text = page.locator("#pane-console").inner_text()
    return [int(found) for found in re.findall(r"^line (\d+)$", text, re.MULTILINE)]


def test_two_clicks_to_a_second_backtest_and_sign_up_keeps_both(page: Page, live_site):
    page.goto(live_site.url)
    page.get_by_role("button", name="Run this strategy").click()
    page.wait_for_url("**/g/**")
    expect(page.locator("#run-status .badge")).to_have_text("Succeeded")
    expect(page.locator(".backtest .badge--verified")).to_contain_text("Verified")
    expect(page.locator(".backtest dt").first).to_have_text("Total return")
    frame = page.frame_locator("#curve-frame")
    expect(frame.locator(".js-plotly-plot").first).to_be_visible()

    page.get_by_role("button", name="Change lookback").click()
    expect(page.locator("#runs li")).to_have_count(2)
    expect(page.locator("#run-status .badge")).to_have_text("Succeeded")
    assert sorted(run.params.get("lookback", 60) for run in Run.objects.all()) == [20, 60]

    page.locator("a[href^='/register']").first.click()
    page.locator("input[name=email]").fill("new.quant@example.com")
    page.locator("input[name=password1]").fill(PASSWORD)
    page.locator("input[name=password1]").press("Enter")
    page.wait_for_url(lambda url: "/register" not in url)
    project = Project.objects.get()
    assert project.owner is not None and project.owner.email == "new.quant@example.com"
    assert Run.objects.filter(user=project.owner).count() == 2
    page.goto(live_site.url + project.edit_url)
    expect(page.locator("#runs li")).to_have_count(2)


def test_output_is_complete_after_the_browser_left_and_the_web_server_restarted(signed_in, live_site):
    user = make_user()
    source = "import time\nfor number in range(1, 13):\n    print('line', number, flush=True)\n    time.sleep(1)\n"
    project = make_project(user, source=source)
    page = signed_in(user)
    page.goto(project.edit_url)
    page.locator("body[data-ready]").wait_for()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".console__line", has_text="line 2")).to_have_count(1)
    page.context.close()

    live_site.restart_web()
    elsewhere = signed_in(user)
    elsewhere.goto(project.edit_url)
    eventually(elsewhere, lambda: len(numbers_in_console(elsewhere)) >= 3)
    seen = numbers_in_console(elsewhere)
    assert seen == list(range(1, len(seen) + 1))
    # A web server that goes away under an open page: the page says so, comes back by itself, misses nothing.
    live_site.restart_web()
    expect(elsewhere.locator("#run-status .badge")).to_have_text("Succeeded", timeout=40_000)
    eventually(elsewhere, lambda: numbers_in_console(elsewhere) == list(range(1, 13)))
