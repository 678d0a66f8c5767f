"""From a template to a report: copy, change, sweep from the form, pick the plateau, walk forward."""

from __future__ import annotations

import re
from datetime import timedelta

from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from runner.models import Project, Run, Sweep, Trial
from tests.browser.pages import eventually
from tests.factories import make_project, make_run, make_user

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


def test_of_a_live_sweep_only_what_has_changed_is_drawn_anew(signed_in):
    user = make_user()
    now = timezone.now()
    live = {"status": Run.Status.RUNNING, "started": now, "lease_expires": now + timedelta(hours=1)}
    run = make_run(make_project(user), **live, search={"space": {}, "method": "grid", "expected": 100})
    sweep = Sweep.objects.create(project=run.project, key="live", about={"objective": "sharpe"})
    sweep.runs.add(run)

    def tried(first: int, end: int) -> None:
        told = {"sweep": sweep, "run": run}
        numbers = range(first, end)
        Trial.objects.bulk_create(
            Trial(key=str(n), number=n, params={"a": n % 10, "b": n // 10}, score=n / 100, **told) for n in numbers
        )

    tried(0, 60)
    page = signed_in(user)
    page.goto(reverse("runner:sweep", args=[run.pk]))
    across, rows = page.get_by_label("Across"), page.locator(".sweep-trials")
    rows.evaluate("it => it.scrollTo(0, 300)")
    across.focus()
    across.select_option("b")
    tried(60, 70)
    expect(page.locator("#sweep strong").first).to_have_text("70")
    expect(rows.locator("tbody tr")).to_have_count(70)
    assert rows.evaluate("it => it.scrollTop") == 300
    expect(across).to_be_focused()
    expect(across).to_have_value("b")
    # What waited for the choice comes once the keyboard has gone on, which then keeps its place.
    file = page.get_by_role("link", name="CSV of all")
    file.focus()
    expect(page.locator(".heat figcaption")).to_contain_text("70 trials")
    expect(across).to_have_value("b")
    tried(70, 80)
    Run.objects.filter(pk=run.pk).update(status=Run.Status.SUCCEEDED, finished=timezone.now())
    expect(page.locator("#sweep .badge").first).to_have_text("Succeeded")
    expect(rows.locator("tbody tr")).to_have_count(80)
    expect(file).to_be_focused()
    expect(page.locator("#sweep[hx-get]")).to_have_count(0)
