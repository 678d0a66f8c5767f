"""A backtest's page says what it can claim, while it runs and after, on a phone, too."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from playground import processes
from runner import claims_box, verifying
from runner.access import Viewer
from runner.honesty import companions, sending, site_findings
from runner.models import ENTRY, Backtest, Run
from runner.starting import start_run
from tests.browser.pages import Held, eventually
from tests.conftest import _end, _launch
from tests.factories import make_project, make_user
from tests.runner.test_honesty import HONEST, LEAK
from tests.runner.test_repeating import PROGRAM


def test_a_leak_is_said_on_the_page_of_its_author_and_of_everybody(signed_in, open_page):
    owner = make_user()
    project = make_project(owner, source=LEAK, visibility="public")
    page = signed_in(owner)
    page.goto(project.edit_url)
    page.keyboard.press("Control+Enter")
    box = page.locator(".claims")
    expect(box.locator("summary")).to_contain_text("problem", timeout=60_000)
    expect(box).to_have_attribute("open", "")
    badges = page.locator(".backtest__head .badge")
    expect(badges.first).to_have_text("Look-ahead", timeout=60_000)
    # Its profit is none, and that its numbers were replayed is no praise.
    muted = page.evaluate("getComputedStyle(document.body).color"), page.locator(".backtest dt").first
    tones = page.locator(".backtest .figures .gain").evaluate_all(
        "all => all.map((each) => getComputedStyle(each).color)"
    )
    assert tones and set(tones) == {muted[0]}
    praise = badges.filter(has_text="Verified").evaluate("(each) => getComputedStyle(each).color")
    assert praise == muted[1].evaluate("(each) => getComputedStyle(each).color")
    expect(page.locator(".backtest .leak")).to_contain_text("shift(-1)")
    expect(box.locator("li")).to_have_count(9)
    expect(box.locator("li").first).to_contain_text("shift(-1)", timeout=60_000)

    visitor = open_page(width=360)
    run = project.revisions.last().runs.first()
    visitor.goto(run.get_absolute_url())
    box = visitor.locator(".claims")
    expect(box.locator("li").first).to_contain_text("Look-ahead")
    expect(box.locator("li").first).to_be_visible()
    expect(visitor.locator(".backtest__head .badge").first).to_have_text("Look-ahead")
    eventually(visitor, lambda: visitor.evaluate("document.documentElement.scrollWidth") <= 360)


@pytest.fixture
def verifier(services, django_db_setup, engine):
    process = _launch("verifier", processes.worker_command(verifying.QUEUE))
    yield
    _end(process)


def test_verify_is_pressed_answered_and_led_on_to_a_comparison(signed_in, verifier):
    owner = make_user()
    project = make_project(owner, source=PROGRAM)
    for days in (20, 30):
        run = start_run(project, Viewer(owner), files={ENTRY: PROGRAM}, params={"days": days})
    page = signed_in(owner)
    page.goto(run.get_absolute_url())
    eventually(page, lambda: Run.objects.filter(status=Run.Status.SUCCEEDED).count() == 2, seconds=60)
    page.get_by_role("link", name="Manifest").click()
    page.get_by_role("button", name="Verify").click()
    expect(page.locator('[data-answer="exact"]')).to_be_visible(timeout=60_000)  # the page looks by itself
    page.goto(run.backtests.get().get_absolute_url())
    expect(page.locator("#claims")).to_contain_text("Made again on")
    page.go_back()
    page.get_by_role("link", name="Run 1, revision 1").click()
    expect(page.get_by_role("heading", name="Two runs compared")).to_be_visible()
    expect(page.locator("main")).to_contain_text("days")
    expect(page.locator("main")).to_contain_text("Run 2, revision 1")


def test_the_pane_says_what_the_page_of_the_result_says_while_it_is_checked_and_after(signed_in, open_page, engine):
    owner = make_user()
    project = make_project(owner, source=HONEST, visibility="public")
    pane, page = signed_in(owner), open_page()
    pane.goto(project.edit_url)
    pane.keyboard.press("Control+Enter")
    in_pane = pane.locator(".backtest__head .badge--sum")
    expect(in_pane).to_be_visible(timeout=60_000)
    eventually(pane, lambda: Run.objects.filter(status=Run.Status.SUCCEEDED).exists(), seconds=60)
    first = Backtest.objects.get()
    page.goto(first.get_absolute_url())
    on_page = page.locator("#result-badges .result-claims__sum")
    eventually(pane, lambda: in_pane.inner_text() == on_page.inner_text())
    assert sending.claim() == first.run and companions._claim(first)
    for done in (0, 3):
        companions._tell_progress(first, done, 5)
        for badge in (in_pane, on_page, page.locator("#claims .badge")):
            expect(badge).to_have_text(f"Checking: {done} of 5 done")
    # A leak that is found meanwhile is said with the figures, and their gains are none any more.
    own = first.checks["lookahead"]
    first.refresh_from_db()
    first.checks["lookahead"] = {"state": "red", "sentence": "It knew Friday on Thursday."}
    first.save()
    expect(page.locator("#head-figures .leak")).to_have_text("It knew Friday on Thursday.")
    expect(page.locator("#result-badges")).to_contain_text("Look-ahead")
    colours = "all => all.map((each) => getComputedStyle(each).color)"
    tones = page.locator(".figure-groups .gain, #head-figures .gain").evaluate_all(colours)
    assert tones and set(tones) == set(page.locator("body").evaluate_all(colours))
    first.checks |= {"lookahead": own} | site_findings.finding(first, None, 0, "on other data it does not end well")
    first.save()
    said = claims_box.summary(claims_box.lines(first))["text"]
    assert "doubt" in said
    for badge in (in_pane, on_page, page.locator("#claims .badge")):
        expect(badge).to_have_text(said)
    expect(page.locator("#claims[hx-get]")).to_have_count(0)  # nothing is to come
    expect(page.locator("#head-figures .leak")).to_have_count(0)  # what was taken back is
    pane.reload()
    expect(in_pane).to_have_text(said)
    # Its page has room with all that stands at the top for whoever is signed in, beside a scrollbar of 15 pixels, too.
    pane.goto(first.get_absolute_url())
    for width in (345, 320):
        pane.set_viewport_size({"width": width, "height": 740})
        assert pane.evaluate("document.documentElement.scrollWidth") <= width
        assert pane.locator(".avatar").bounding_box()["x"] + 24 <= width
    # Of two answers on their way to the pane the one that was asked for last has the last word.
    pane.set_viewport_size({"width": 1280, "height": 800})
    held = Held(pane, "**/_claims")
    pane.goto(project.edit_url)
    held.wait()
    held.pass_others()
    first.checks["lookahead"] = {"state": "red", "sentence": "It knew Friday on Thursday."}
    first.save()
    pane.get_by_label("Who can see it").select_option("private")
    leak = pane.locator(".backtest .leak")
    expect(leak).to_have_text("It knew Friday on Thursday.")
    held.release()
    expect(leak).to_have_text("It knew Friday on Thursday.")
