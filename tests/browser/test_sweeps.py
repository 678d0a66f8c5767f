"""From a template to a report: copy, change, sweep from the form, pick the plateau, walk forward."""

from __future__ import annotations

import re
from datetime import timedelta

from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from runner.models import Backtest, Project, Run, Sweep, Trial
from tests.browser.pages import Held, eventually
from tests.factories import make_project, make_run, make_user

# What is in the fields of a part, somebody having used them, once an answer with other hidden values has replaced it.
REPLACED = """() => {
  const choices = "<select name=v><option>a<option>b<option>c</select>".repeat(2);
  const inputs = "<input name=n value=250><input name=t type=hidden value=NOW><input name=k type=checkbox>";
  const fields = inputs + choices;
  const served = (t) => `<div id=made data-live><p id=part>${fields.replace("NOW", t)}</p></div>`;
  const made = new DOMParser().parseFromString(served(1), "text/html").querySelector("#made");
  const [typed, hidden, ticked, one, other] = made.querySelectorAll("[name]");
  [typed.value, ticked.checked, other.value] = ["500", true, "c"];
  document.body.append(made);
  const detail = { target: made, serverResponse: served(2), shouldSwap: true };
  made.dispatchEvent(new CustomEvent("htmx:beforeSwap", { bubbles: true, detail }));
  return [...made.querySelectorAll("[name]")].map((it) => (it.type === "checkbox" ? it.checked : it.value));
}"""
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

    late = Held(page, "**/htmx*")  # what is typed before the page's scripts are there counts as well
    page.get_by_role("link", name="Sweep").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Sweep of")
    values = {"low:fast": 10, "high:fast": 60, "step:fast": 10, "low:slow": 80, "high:slow": 200, "step:slow": 40}
    for field, value in values.items():
        page.locator(f"[name='{field}']").fill(str(value))
    page.get_by_label("Condition").fill("fast < slow / 2")
    late.wait()
    late.release()
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

    # On a phone the link to the sweep is one press away, behind what shows all of them.
    phone.goto(page.url)
    phone.locator("#param-fast").wait_for()
    box = phone.locator("#param-fast").bounding_box()
    more = phone.locator(".params__all")
    assert box["x"] + box["width"] <= more.bounding_box()["x"]
    expect(phone.locator(".params__sweep")).to_be_hidden()
    more.click()
    expect(phone.locator(".params__sweep")).to_be_visible()


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
    expect(rows.locator("tbody tr")).to_have_count(80)
    expect(file).to_be_focused()

    # An answer in which only the form's token is another one replaces nothing, and a press on Stop outlasts any answer.
    stop = page.get_by_role("button", name="Stop")
    stop.evaluate("it => { it.dataset.seen = 'yes'; it.closest('form').target = 'stopped'; }")
    page.evaluate("htmx.ajax('GET', location.href, { source: '#sweep', target: '#sweep', swap: 'outerHTML' })")
    expect(stop).to_have_attribute("data-seen", "yes")
    stop.hover()
    page.mouse.down()
    tried(80, 90)
    expect(rows.locator("tbody tr")).to_have_count(90)
    with page.expect_popup() as stopped:
        page.mouse.up()
    expect(stopped.value.get_by_role("heading", level=1)).to_contain_text("Sweep of")
    stopped.value.close()
    run.refresh_from_db()
    assert run.cancel_requested
    expect(page.locator("#sweep strong").first).to_have_text("90")

    # Once the run has ended no more is asked for; where somebody was choosing, the rest comes as soon as nobody does.
    Backtest.objects.create(
        run=run, position=0, strategy="A", start=now, end=now, cash=1, dates=["2020-01-01"] * 750, equity=[1.0] * 750
    )
    across.focus()
    tried(90, 100)
    Run.objects.filter(pk=run.pk).update(status=Run.Status.SUCCEEDED, finished=timezone.now())
    expect(page.locator("#sweep .badge").first).to_have_text("Succeeded")
    expect(page.locator("#sweep[hx-get]")).to_have_count(0)
    expect(across).to_be_focused()
    page.get_by_label("Choose on, bars").fill("500")
    expect(page.locator(".heat figcaption")).to_contain_text("100 trials")
    expect(across).to_have_value("b")
    expect(page.get_by_label("Choose on, bars")).to_have_value("500")
    assert page.evaluate(REPLACED) == ["500", "2", True, "a", "c"]
