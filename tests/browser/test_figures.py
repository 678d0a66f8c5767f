"""Every figure explains itself: by pointer, by keyboard and by touch."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from playwright.sync_api import expect

from runner.events import Publisher
from runner.figures import GROUPS, figures
from runner.models import Run
from tests.factories import make_project, make_run, make_user

KEYS = [each.key for group in GROUPS.values() for each in group]

# Figures of which not all stands in one line of their cell.
BROKEN = """[...document.querySelectorAll('.figures dd')].filter((dd) => {
  const range = document.createRange();
  range.selectNodeContents(dd);
  const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
  return lines.size > 1 || range.getBoundingClientRect().right > dd.parentElement.getBoundingClientRect().right;
}).map((dd) => dd.textContent)"""


def backtest_event(shown: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "backtest",
        "backtest": 1,
        "strategy": "Crossing",
        "params": {},
        "verified": True,
        "verified_text": "Verified.",
        "figures": shown,
        "chart": {"dates": [], "equity": [], "drawdown": []},
        "trades": {"columns": [], "rows": [], "total": 1},
        "conventions": ["Orders fill at the next open."],
        "description": "",
    }


def test_the_name_of_a_figure_opens_its_definition_by_hover_focus_and_touch(recorded, open_page):
    long = {"total_return": 10.8321, "buy_and_hold": 123_456.789, "cagr": 2.97e7, "sharpe": -123_456.78}
    shown = figures(dict.fromkeys(KEYS, 0.125) | long)
    run = recorded(backtest_event(shown), project=make_project(make_user(), visibility="public"))
    page = open_page()
    page.goto(run.get_absolute_url())
    for width in (1110, 1280, 1920):  # a number stands in one line, and in its own cell
        page.set_viewport_size({"width": width, "height": 800})
        expect(page.locator(".figures dd").nth(2)).to_have_text("2.97 billion %")
        assert page.evaluate(BROKEN) == [], width
    page.set_viewport_size({"width": 1280, "height": 800})
    note = page.locator("#gloss-note")
    sharpe = page.locator(".figures .gloss", has_text="Sharpe")
    sharpe.hover()
    expect(note).to_contain_text("Mean return over its deviation")
    note.hover()  # it stays while it is read
    expect(note.get_by_role("link", name="Formula: Sharpe")).to_have_attribute("href", "/docs/metrics#sharpe")
    page.mouse.move(5, 5)
    expect(note).to_be_hidden()

    # All of them wait in the table, by group; the keyboard reaches each.
    page.get_by_text("All figures").click()
    expect(page.locator(".figure-groups .gloss")).to_have_count(len(KEYS))
    expect(page.locator(".figure-groups caption")).to_have_text(list(GROUPS))
    page.locator(".figure-groups .gloss", has_text="Max drawdown").focus()
    page.keyboard.press("Tab")
    average = page.locator(".figure-groups .gloss", has_text="Average drawdown")
    expect(average).to_be_focused()
    expect(note).to_contain_text("Mean depth of the separate falls")
    expect(average).to_have_attribute("aria-describedby", "gloss-text")
    page.keyboard.press("Enter")
    expect(note.get_by_role("link")).to_be_focused()
    page.keyboard.press("Escape")
    expect(note).to_be_hidden()
    expect(average).to_be_focused()
    # What the focus itself has scrolled to is explained, too.
    before, last = page.locator(".figure-groups .gloss").nth(-2), page.locator(".figure-groups .gloss").last
    before.evaluate("it => it.focus({ preventScroll: true })")
    expect(last).not_to_be_in_viewport()
    page.keyboard.press("Tab")
    expect(last).to_be_in_viewport()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(note).to_be_visible()
    expect(last).to_have_attribute("aria-describedby", "gloss-text")
    under = note.bounding_box()["y"] - last.bounding_box()["y"]
    assert -note.bounding_box()["height"] - 12 < under < 60, "beside the word"
    last.evaluate("it => { for (let each = it; each; each = each.parentElement) each.scrollTop = 0; }")
    expect(last).not_to_be_in_viewport()
    expect(note).to_be_hidden()

    phone = open_page(width=360, has_touch=True, is_mobile=True)
    phone.goto(run.get_absolute_url())
    assert phone.evaluate(BROKEN) == []
    phone.locator(".figures .gloss", has_text="CAGR").tap()
    expect(phone.locator("#gloss-note")).to_contain_text("Growth a year")
    inside = phone.locator("#gloss-note").bounding_box()
    assert inside and inside["x"] >= 0 and inside["x"] + inside["width"] <= 360
    phone.locator(".figures .gloss", has_text="CAGR").tap()
    expect(phone.locator("#gloss-note")).to_be_hidden()


def test_verified_does_not_stand_alone_while_its_tests_are_to_come(signed_in):
    user = make_user()
    now = timezone.now()
    live = {"status": Run.Status.RUNNING, "started": now, "lease_expires": now + timedelta(hours=1)}
    run = make_run(make_project(user), **live)
    publisher = Publisher(run.pk)
    publisher.publish({"type": "phase", "phase": "running", "t": 0.0})
    publisher.publish({"t": 0.1, **backtest_event(figures({"sharpe": 1.0}))})
    page = signed_in(user)
    page.goto(run.project.edit_url)
    badges = page.locator(".backtest__head .badge")
    expect(badges).to_have_text(["Verified", "Being checked"])
    summary = {"state": "amber", "text": "1 doubt"}
    publisher.publish({"t": 0.2, "type": "checks", "backtest": 1, "lines": [], "summary": summary})
    expect(badges).to_have_text(["Verified", "1 doubt"])
