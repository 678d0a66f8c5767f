"""The data pages in Chromium: finding while typing, a chart that fetches finer bars on zoom, and into a project."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from runner.models import Project, Run
from tests.browser.pages import eventually


def open_chart(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator("[data-plotly][data-ready]")).to_have_count(1)


def test_series_are_found_while_typing_kept_ticked_and_compared(page: Page):
    page.goto("/data/")
    page.locator("#q").press_sequentially("apple")
    expect(page.locator("#found-count")).to_contain_text("for “apple”")
    expect(page.locator(".series-table tbody th").first).to_have_text("AAPL")
    assert "q=apple" in page.url
    page.get_by_role("checkbox", name="Compare AAPL", exact=True).check()
    page.locator("#q").fill("")
    page.get_by_label("Indices").check()
    expect(page.locator("#found-count")).to_have_text("2 series")
    page.get_by_label("Indices").uncheck()
    expect(page.get_by_role("checkbox", name="Compare AAPL", exact=True)).to_be_checked()
    page.locator("#q").fill("machines")
    expect(page.locator("#found-count")).to_contain_text("for “machines”")
    page.get_by_role("checkbox", name="Compare IBM").check()
    page.get_by_role("button", name="Compare the ticked").click()
    page.wait_for_url("**/data/compare?*")
    expect(page.locator("#comparison figcaption")).to_contain_text("100 on 1 Mar 2000 became, by 1 Mar 2013: AAPL")
    expect(page.locator("#comparison[data-ready]")).to_have_count(1)
    page.locator(".gloss", has_text="Sharpe").hover()
    expect(page.get_by_text("risk-free rate 0")).to_be_visible()


def test_zoom_fetches_every_bar_and_the_switch_shows_what_was_traded(page: Page):
    open_chart(page, "/data/instruments/AAPL")
    density = page.locator("[data-density]")
    expect(density).to_contain_text("2 bars")
    box = page.locator(".price-chart__plot").bounding_box()
    assert box is not None
    with page.expect_response(lambda response: "from=" in response.url) as answered:
        page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 120)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 130, steps=5)
        page.mouse.up()
    points = answered.value.json()
    assert points["bars_per_point"] == 1 and len(points["dates"]) > 100
    expect(density).to_have_text("")
    assert "from=" in page.url

    page.get_by_role("link", name="All", exact=True).click()
    page.get_by_role("link", name="As traded").click()
    expect(page.locator("[data-sentence]")).to_contain_text("as traded")
    expect(page.locator("[data-sentence]")).to_contain_text("130.31 on 1 Mar 2000")
    assert "adjust=raw" in page.url
    page.get_by_role("button", name="Candles").click()
    expect(page.locator(".price-chart__plot .trace.boxes").first).to_be_attached()
    # Of a zoom and a press right after it the press has the last word, though a zoom waits whether it goes on.
    page.locator(".price-chart__plot").evaluate(
        """plot => {
          plot.emit("plotly_relayout", {"xaxis.range[0]": "2005-01-03", "xaxis.range[1]": "2006-01-03"});
          [...document.querySelectorAll("[data-ranges] a")].find((link) => link.textContent === "1Y").click();
          return new Promise((done) => setTimeout(done, 300));
        }"""
    )
    expect(page.get_by_role("link", name="1Y", exact=True)).to_have_attribute("aria-current", "true")


def test_a_guest_uses_a_series_in_a_project_and_runs_it(page: Page):
    page.goto("/data/instruments/ust")
    page.get_by_role("button", name="Use in a project").click()
    page.wait_for_url("**/g/**")
    expect(page.locator("#run-status .badge")).to_have_text("Succeeded")
    assert 'data.curve("ust")' in Project.objects.get().source
    assert Run.objects.get().status == Run.Status.SUCCEEDED
    frame = page.frame_locator("#output-frame")
    expect(frame.locator(".js-plotly-plot").first).to_be_visible()


def test_without_a_script_everything_is_read_and_searched(open_page: Callable[..., Page]):
    page = open_page(java_script_enabled=False)
    page.goto("/data/")
    page.locator("#q").fill("microsoft")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="MSFT").first.click()
    expect(page.locator("svg.series-chart")).to_be_visible()
    page.get_by_role("link", name="As traded").click()
    expect(page.locator("figcaption")).to_contain_text("as traded")
    page.get_by_role("link", name="1Y", exact=True).click()
    expect(page.locator("figcaption")).to_contain_text("on 1 Mar 2012")


@pytest.mark.parametrize(("width", "colours"), [(360, "light"), (768, "dark")])
def test_nothing_hangs_over_the_edge(open_page: Callable[..., Page], width: int, colours):
    page = open_page(width=width, color_scheme=colours)
    for address in ("/data/?q=e", "/data/instruments/AAPL", "/data/compare?s=AAPL&s=MSFT&s=IBM&s=GOOG"):
        page.goto(address)
        if page.locator("[data-plotly]").count():
            expect(page.locator("[data-plotly][data-ready]")).to_have_count(1)
        assert page.locator("html").evaluate("html => html.scrollWidth - html.clientWidth") <= 0, address
    background = page.locator(".price-chart__plot .bg, .price-chart__plot .main-svg").first
    eventually(page, lambda: bool(re.search(r"rgb", background.evaluate("e => getComputedStyle(e).backgroundColor"))))
    if colours == "dark":
        dark = background.evaluate("e => getComputedStyle(e).backgroundColor")
        assert [int(part) < 60 for part in re.findall(r"\d+", dark)[:3]] == [True] * 3
