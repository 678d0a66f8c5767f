"""The page of a backtest draws and zooms its charts, tells them in words, fits a phone; its HTML file opens offline."""

from __future__ import annotations

import functools
import re
import secrets
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from runner.models import Project, Report
from runner.reports import making
from tests.browser.pages import Held, eventually
from tests.factories import make_finished_run, make_project, make_user
from tests.runner.reported import claim_of, stored
from tests.runner.test_reports import picture


def test_charts_draw_zoom_and_are_told_and_files_are_made_that_need_no_network(
    open_page, signed_in, live_site, tmp_path
):
    user = make_user()
    project = make_project(user, visibility=Project.Visibility.PUBLIC)
    run = make_finished_run(project, manifest={"data": {"private": []}})
    backtest = stored(run, claim_of("SPX", 40, 20, bars=4_000))
    page = open_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.goto(backtest.get_absolute_url())
    charts = page.locator("[data-chart]")
    expect(charts).to_have_count(9)
    for chart in charts.all():
        chart.scroll_into_view_if_needed()
        expect(chart).to_have_attribute("data-ready", "")
        expect(chart.locator(".result-chart__plot")).to_have_attribute(
            "aria-label", chart.locator("h2").inner_text() + ". " + chart.locator("figcaption").inner_text()
        )
    equity = charts.first
    assert "first 100" in equity.locator("figcaption").inner_text()

    # Pointing at it tells the date and the value.
    plot = equity.locator(".nsewdrag").first
    plot.scroll_into_view_if_needed()
    plot.hover(position={"x": 150, "y": 60})
    told = equity.locator(".hoverlayer")
    expect(told).to_contain_text(re.compile(r"\d{4}"))
    expect(told).to_contain_text("Equity")

    # Dragging fetches that stretch, and one press brings all back.
    equity.scroll_into_view_if_needed()
    box = equity.locator(".nsewdrag").first.bounding_box()
    with page.expect_response(lambda answer: "charts/equity?from=" in answer.url) as zoomed:
        page.mouse.move(box["x"] + 200, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + 500, box["y"] + 45, steps=4)
        page.mouse.up()
    first = zoomed.value.json()["traces"][0]
    assert 10 < len(first["x"]) < first["total"] / 2
    equity.get_by_role("button", name="Log scale").click()
    expect(equity.get_by_role("button", name="Log scale")).to_have_attribute("aria-pressed", "true")
    equity.get_by_role("button", name="Whole period").click()
    expect(equity.get_by_role("button", name="Whole period")).to_be_hidden()

    # The table is reached by the keyboard.
    equity.locator("summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    region = equity.get_by_role("region")
    expect(region).to_be_focused()
    assert region.locator("tbody tr").count() > 100
    assert not errors

    # Playwright reads an expression by eval(), which our policy forbids.
    phone = open_page(width=360, has_touch=True, is_mobile=True, bypass_csp=True)
    phone.goto(backtest.get_absolute_url())
    wide = phone.evaluate(
        "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 360"
        " && !e.closest('.table-wrap')).map(e => e.outerHTML.slice(0, 90))"
    )
    assert wide == []
    # What a row is about stays in sight while its figures are scrolled.
    crises = phone.locator("section[aria-labelledby=crises-title] .table-wrap")
    crises.evaluate("wrap => wrap.scrollLeft = 300")
    name = crises.locator("tbody th").first
    assert name.bounding_box()["x"] >= crises.bounding_box()["x"]
    assert pieces(phone.locator("section[aria-labelledby=trade_list-title] tbody th").first) == 1

    with page.expect_download() as download:
        page.get_by_role("link", name="HTML").click()
    file = Path(tmp_path / "report.html")
    download.value.save_as(file)
    asked: list[str] = []
    offline = open_page()
    offline.context.set_offline(True)
    offline.on("request", lambda request: asked.append(request.url))
    offline.goto(file.as_uri())
    expect(offline.locator("figure svg:visible")).to_have_count(9)
    assert asked == [file.as_uri()]
    # It is read on phones at night, and printed on white paper: drawings of a phone's width, in letters of one size.
    ground = "getComputedStyle(document.body).backgroundColor"
    offline.emulate_media(color_scheme="dark")
    assert offline.evaluate(ground) != "rgb(255, 255, 255)"
    offline.emulate_media(media="print", color_scheme="dark")
    assert offline.evaluate(ground) == "rgb(255, 255, 255)"
    offline.emulate_media(media="screen")
    offline.set_viewport_size({"width": 360, "height": 740})
    drawings = offline.locator("figure svg:visible")
    expect(drawings).to_have_count(9)
    assert all(each.bounding_box()["width"] <= 332 for each in drawings.all())
    assert offline.locator("figure text:visible").first.bounding_box()["height"] > 10
    assert offline.evaluate("document.documentElement.scrollWidth") == 360
    assert pieces(offline.locator("#trade_list tbody th").first) == 1

    # Its author gives it notes and a logo: both are in the file.
    mine = signed_in(user)
    mine.goto(backtest.get_absolute_url())
    mine.locator("[name=notes]").fill("Held for too long.")
    mine.locator("[name=logo]").set_input_files({"name": "l.png", "mimeType": "image/png", "buffer": picture(60, 20)})
    looks: list[Route] = []
    mine.route("**/_reports", lambda it: looks.append(it), times=1)
    mine.get_by_role("button", name="Make a PDF").click()
    # The second is asked for while the word that the first, the only one, is made is on its way.
    eventually(mine, lambda: bool(looks))
    making.make(Report.objects.get().pk)  # the worker here takes runs only
    made = looks[0].fetch()
    held = Held(mine, "**/reports")
    mine.get_by_role("button", name="Make an HTML file").click()
    held.wait()
    looks[0].fulfill(response=made)
    held.release()
    expect(mine.locator("#report-list li")).to_have_count(2)
    making.make(Report.objects.latest("created").pk)
    ready = mine.locator("#report-list a[download]")
    expect(ready).to_have_count(2)
    files = []
    for link in ready.all():
        with mine.expect_download() as download:
            link.click()
        files.append(download.value.path().read_bytes())
    own = next(content.decode() for content in files if not content.startswith(b"%PDF"))
    assert "Held for too long." in own and "data:image/png;base64," in own
    assert sum(content.startswith(b"%PDF") for content in files) == 1


@pytest.fixture
def elsewhere(tmp_path):
    """A page of another site: elsewhere(html) gives its address."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
    server = ThreadingHTTPServer(("localhost", 0), handler)  # the site is 127.0.0.1: cookies know them apart
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def made(html: str) -> str:
        # A name of its own: the server tells changes to the second, so a second page of one second would be the first.
        page = folder / f"page-{secrets.token_hex(4)}.html"
        page.write_text(f"<!doctype html><meta charset=utf-8><link rel=icon href=data:,><title>Elsewhere</title>{html}")
        return f"http://localhost:{server.server_port}/{page.name}"

    yield made
    server.shutdown()
    server.server_close()


def test_a_page_of_another_site_shows_a_result_with_its_claims_and_learns_nothing(
    signed_in, live_site, elsewhere, complaints
):
    user = make_user()
    project = make_project(user, title="Held & sold", visibility=Project.Visibility.PUBLIC)
    backtest = stored(
        make_finished_run(project, manifest={"data": {"private": []}}), claim_of("SPX", 40, 20, bars=4_000)
    )
    page = signed_in(user, width=800, height=1100)
    page.goto(backtest.get_absolute_url())
    page.get_by_role("link", name="Embed", exact=True).click()
    field = page.get_by_label("HTML code")
    expect(field).to_be_in_viewport()
    code = field.input_value()

    page.goto("about:blank")  # so that nothing is still on its way for the page that is left
    asked: list = []
    spoken: list[str] = []
    page.on("request", lambda request: asked.append(request))
    page.on("console", lambda message: spoken.append(message.text))
    page.goto(elsewhere(code))
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Held & sold")).to_be_visible()
    expect(frame.locator(".result-claims__line")).to_have_count(9)
    expect(frame.locator("svg.equity-chart")).to_be_visible()
    inside = [request for request in asked if request.url.startswith(live_site.url)]
    (only,) = inside  # neither script nor style nor picture nor font
    assert "cookie" not in only.all_headers() and "set-cookie" not in only.response().all_headers()
    assert len(only.response().body()) < 150_000
    with page.context.expect_page() as opened:
        frame.get_by_role("link", name="Charts, tables and code of this result").click()
    expect(opened.value).to_have_url(f"{live_site.url}{backtest.get_absolute_url()}")
    # On a phone it is narrower, and as high as that asks for: nothing of it has to be scrolled to.
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(elsewhere(code))
    expect(frame.locator(".result-claims__line")).to_have_count(9)
    held = page.frames[1]
    measured = "(it => [it.scrollWidth, innerWidth, it.scrollHeight, innerHeight])(document.documentElement)"
    width, own_width, height, own_height = held.evaluate(measured)
    assert width == own_width <= 360 and height == own_height
    page.set_viewport_size({"width": 800, "height": 1100})
    assert not spoken, spoken
    # Whatever stood in it, no script would run and nothing of its site is within reach.
    assert held.evaluate("origin") == "null"
    held.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'ran = true'}))")
    assert held.evaluate("typeof ran") == "undefined"
    eventually(page, lambda: bool(spoken))
    assert "sandboxed" in spoken.pop()
    complaints.texts.clear()

    Project.objects.filter(pk=project.pk).update(visibility=Project.Visibility.PRIVATE)
    page.goto(elsewhere(code))
    expect(frame.get_by_role("heading", name="No public result")).to_be_visible()

    # Sharing it again hands out the same code.
    page.goto(project.edit_url)
    page.get_by_label("Who can see it").select_option("unlisted")
    dialog = page.locator("#share-dialog")
    expect(dialog.get_by_label("HTML code")).to_have_value(code)
    dialog.get_by_role("button", name="Share it").click()
    shared = page.locator("#shared-dialog")
    expect(shared).to_contain_text("whoever has its link sees it")
    expect(shared.get_by_label("Link to hand on")).to_have_value(f"{live_site.url}{project.base_url}")
    shared.get_by_role("button", name="Make it private").click()
    expect(page.locator(".toast")).to_contain_text("only you see it")
    expect(page.get_by_label("Who can see it")).to_have_value("private")
    page.get_by_label("Who can see it").select_option("unlisted")
    dialog.get_by_role("button", name="Share it").click()
    shared.get_by_role("button", name="Done").click()
    page.goto(elsewhere(code))
    expect(frame.get_by_role("heading", name="Held & sold")).to_be_visible()


def pieces(place) -> int:
    """How many lines its words are broken into."""
    script = "it => { const r = document.createRange(); r.selectNodeContents(it); return r.getClientRects().length; }"
    return place.evaluate(script)
