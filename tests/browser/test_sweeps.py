"""From a template to a report: copy, change, sweep from the form, pick the plateau, walk forward."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from runner.models import Project, Trial
from tests.browser.pages import eventually
from tests.factories import make_user

FINISHED = re.compile("Succeeded|Failed|Lost|Timed")


def test_template_copy_change_sweep_plateau_walk_forward_report(signed_in, live_site, open_page):
    user = make_user()
    page = signed_in(user)
    page.goto("/templates/")
    page.locator("form[action$='/sma-crossover/copy'] button").click()
    page.wait_for_url("**/edit")
    expect(page.locator("#run-status .badge")).to_have_text(FINISHED, timeout=60_000)
    page.locator("body[data-ready]").wait_for()
    page.locator("#editor").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("\n# mine")
    project = Project.objects.get()
    eventually(page, lambda: Project.objects.get().source.endswith("# mine"))

    page.get_by_role("link", name="Sweep").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Sweep of")
    values = {"low:fast": 10, "high:fast": 60, "step:fast": 10, "low:slow": 80, "high:slow": 200, "step:slow": 40}
    for field, value in values.items():
        page.locator(f"[name='{field}']").fill(str(value))
    page.get_by_label("Condition").fill("fast < slow / 2")
    expect(page.locator("#sweep-count strong")).to_have_text("20 trials")
    page.get_by_role("button", name="Start the sweep").click()
    page.wait_for_url("**/sweep")
    expect(page.locator("#sweep .badge").first).to_have_text(FINISHED, timeout=60_000)
    expect(page.locator("#sweep .badge").first).to_have_text("Succeeded")
    assert Trial.objects.count() == 20
    page.locator("td.heat__plateau a").click()
    expect(page.locator("#choice-title")).to_contain_text("Picked: fast")
    picked = page.locator("#choice-title").inner_text().removeprefix("Picked: ")

    phone = signed_in(user, width=360, has_touch=True, is_mobile=True, bypass_csp=True, color_scheme="dark")
    phone.goto(page.url)
    wide = (
        "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 360"
        " && !e.closest('.table-wrap, .heat__wrap, svg')).map(e => e.outerHTML.slice(0, 90))"
    )
    assert phone.evaluate(wide) == []
    assert phone.evaluate("document.documentElement.scrollWidth") == 360

    page.get_by_role("link", name="Walk-forward from here").click()
    page.get_by_label("Values").select_option("yes")
    page.get_by_role("button", name="Start the walk-forward").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Walk-forward of")
    expect(page.locator("#walk .badge").first).to_have_text(FINISHED, timeout=90_000)
    expect(page.locator("#walk .badge").first).to_have_text("Succeeded")
    expect(page.locator("#walk [aria-labelledby=windows-title] tbody tr")).to_have_count(6)
    expect(page.locator("#walk [data-chart]")).to_have_count(2)
    expect(page.locator("#walk [data-chart] figcaption").first).to_contain_text("Buy and hold: first")
    phone.goto(page.url)
    assert phone.evaluate(wide) == []
    with page.expect_download() as report:
        page.get_by_role("link", name="Report as PDF").click()
    assert report.value.path().read_bytes().startswith(b"%PDF")

    # The values go into the code, and the panel beside Run shows them.
    page.go_back()
    page.get_by_role("button", name="Use these values").click()
    page.wait_for_url("**/edit")
    project.refresh_from_db()
    fast, slow = re.findall(r"\d+", picked)
    assert f'param("fast", {fast},' in project.source and f'param("slow", {slow},' in project.source
    assert project.source.endswith("# mine")
    expect(page.locator("#param-fast")).to_have_value(fast)

    # On a phone the link to the sweep stands beside them, not above.
    phone.goto(page.url)
    phone.locator("#param-fast").wait_for()
    box = phone.locator("#param-fast").bounding_box()
    assert box["x"] + box["width"] <= phone.locator(".params__sweep").bounding_box()["x"]
