"""Is rich output drawn, and is hostile output inert? Opened by a second person, clicked everywhere."""

from __future__ import annotations

import json
import re

from playwright.sync_api import expect

from runner.run_views import EVENTS_AT_ONCE
from tests.browser.pages import display
from tests.factories import make_project, make_user

ELSEWHERE = "198.51.100.7"
HOSTILE_MARKUP = [
    "<script>window.QFPXSS=1</script>",
    "<img src=x onerror=window.QFPXSS=1>",
    "<svg/onload=window.QFPXSS=1>",
    "<details open ontoggle=window.QFPXSS=1><summary>x</summary></details>",
    "<a href='jav&#x09;ascript:window.QFPXSS=1'>c</a>",
    f"<a href='http://{ELSEWHERE}/' target=_top>leave</a>",
    f"<svg><a xlink:href='http://{ELSEWHERE}/'><text y=20>leave</text></a></svg>",
    "<div onpointerover=window.QFPXSS=1 style='position:fixed;inset:0'>cover</div>",
    f"<meta http-equiv=refresh content='0;url=http://{ELSEWHERE}/'>",
    f"<base href='http://{ELSEWHERE}/'>",
    f"<form action='http://{ELSEWHERE}/'><button>send</button></form>",
    "<iframe srcdoc='<script>top.QFPXSS=1</script>'></iframe>",
    f"<link rel=stylesheet href='http://{ELSEWHERE}/l.css'>",
    f"<style>:host{{background:u\\72l(http://{ELSEWHERE}/a.png)}} @import 'http://{ELSEWHERE}/b.css';</style>",
    f"<p style=\"background:url('http://{ELSEWHERE}/c.png')\">styled</p>",
    f"<img src='http://{ELSEWHERE}/d.png' srcset='http://{ELSEWHERE}/e.png 2x'>",
    f'<svg><rect fill="url(http://{ELSEWHERE}/f.svg#x)" filter="url(\'http://{ELSEWHERE}/g.svg#x\')"/></svg>',
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=x onerror=window.QFPXSS=1&gt;'>",
]
HOSTILE_TEXTS = [
    "<a href='javascript:window.QFPXSS=1'>x</a>",
    "<img src=x onerror=window.QFPXSS=1>",
    "</text><script>window.QFPXSS=1</script>",
    f"<a href='http://{ELSEWHERE}/' style='position:fixed;inset:0'>x</a>",
]
HOSTILE_FIGURE = {
    "data": [{"type": "scatter", "x": [1, 2], "y": [1, 2], "text": HOSTILE_TEXTS, "hovertemplate": HOSTILE_TEXTS[1]}],
    "layout": {
        "title": {"text": HOSTILE_TEXTS[0]},
        "annotations": [{"x": 1, "y": 1, "text": text, "captureevents": True} for text in HOSTILE_TEXTS],
        "images": [{"source": f"http://{ELSEWHERE}/p.png", "x": 0, "y": 1, "sizex": 1, "sizey": 1}],
    },
    "config": {"plotlyServerURL": f"http://{ELSEWHERE}", "showSendToCloud": True},
}


def test_hostile_output_is_inert_for_a_second_person(open_page, recorded):
    events = [display(html=markup) for markup in HOSTILE_MARKUP]
    events.append(display(plotly=json.dumps(HOSTILE_FIGURE)))
    events.append(display(markdown="[x](javascript:window.QFPXSS=1) ![i](http://198.51.100.7/i.png)"))
    events.append(display(svg="<svg xmlns='http://www.w3.org/2000/svg'><script>top.QFPXSS=1</script></svg>"))
    events.append({"type": "stdout", "text": "<img src=x onerror=window.QFPXSS=1>\n"})
    run = recorded(*events, project=make_project(make_user(), visibility="public"))
    page = open_page()
    requests, dialogs = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(run.get_absolute_url())
    address = page.url
    frame = page.frame_locator("#output-frame")
    expect(frame.locator(".output")).to_have_count(len(events) - 1)
    expect(frame.locator(".js-plotly-plot")).to_have_count(1)
    for output in frame.locator(".output").all():
        output.hover(force=True)
        output.click(force=True)
        output.click(force=True, button="middle")
    assert page.url == address
    assert len(page.context.pages) == 1
    assert not dialogs
    assert not [url for url in requests if ELSEWHERE in url]
    assert [each.evaluate("typeof window.QFPXSS") for each in page.frames] == ["undefined"] * 3
    assert page.frames[2].url.endswith("/frame")


def test_the_frame_cannot_read_or_change_the_page(open_page, recorded):
    run = recorded(display(plain="x"), project=make_project(make_user(), visibility="public"))
    page = open_page()
    page.goto(run.get_absolute_url())
    page.frame_locator("#output-frame").locator("pre").wait_for()
    frame = page.frames[2]
    for attempt in ("parent.document.title", "document.cookie", "localStorage.length", "top.location.href"):
        tried = f"(() => {{ try {{ return String({attempt}); }} catch (error) {{ return error.name; }} }})()"
        assert frame.evaluate(tried) == "SecurityError", attempt


def test_a_visitor_reads_on_after_a_page_of_events_that_are_all_withheld(open_page, recorded):
    lines = [{"type": "stdout", "text": f"{number}\n"} for number in range(EVENTS_AT_ONCE)]
    shared = make_project(make_user(), visibility="public")
    run = recorded(*lines, project=shared, manifest={"data": {"private": ["tiingo/1d/VEND"]}})
    page = open_page()
    with page.expect_response(lambda it: it.url.endswith(f"/events?after={EVENTS_AT_ONCE}")) as last:
        page.goto(run.get_absolute_url())
    assert last.value.json()["finished"]


def test_every_kind_is_drawn_in_order(open_page, recorded):
    table = {"columns": [{"name": "close", "kind": "number"}], "rows": [[2.5], [10.25], [1]], "total_rows": 3}
    run = recorded(
        display(plotly={"data": [{"type": "scatter", "y": [1, 3, 2]}], "layout": {}}),
        display(table=table),
        display(html="<p>markup</p>"),
        display(markdown="**bold**"),
        display(json={"a": [1]}),
        project=make_project(make_user(), visibility="public"),
    )
    page = open_page()
    page.goto(run.get_absolute_url())
    frame = page.frame_locator("#output-frame")
    expect(frame.locator(".output:nth-child(1) .js-plotly-plot")).to_have_count(1)
    # A hint below the row of buttons would lie over what the chart has there.
    hint = "button => getComputedStyle(button, '::after').top + getComputedStyle(button).position"
    assert frame.locator(".modebar-btn").first.evaluate(hint) == "0pxstatic"
    cells = frame.locator(".output:nth-child(2) td")
    expect(cells).to_have_text(["2.50", "10.25", "1.00"])
    frame.get_by_role("button", name="close").click()
    expect(cells).to_have_text(["10.25", "2.50", "1.00"])
    expect(frame.locator(".output:nth-child(4) strong")).to_have_text("bold")
    expect(frame.locator(".output:nth-child(5) details").first).to_contain_text("{1}")
    # Between one run and the next the frame is hidden for a moment; what is drawn then is as wide as it is later.
    page.evaluate("""() => {
      const frame = document.querySelector("#output-frame");
      const figure = { data: [{ type: "scatter", y: [1, 2] }], layout: {} };
      const data = { "application/vnd.plotly.v1+json": figure };
      frame.hidden = true;
      frame.contentWindow.postMessage({ qfp: 1, kind: "display", seq: 99, data }, "*");
      return new Promise((done) => setTimeout(done, 500)).then(() => { frame.hidden = false; });
    }""")
    late = frame.locator(".output:nth-child(6) .main-svg").first
    expect(late).to_be_visible()
    assert late.evaluate("svg => svg.clientWidth - svg.closest('.chart').clientWidth") == 0


def test_backtest_of_the_page_shows_figures_chart_and_table(signed_in):
    user = make_user()
    source = (
        "from backtesting import Strategy\nfrom qfp import backtest, data\n"
        "class Hold(Strategy):\n    def init(self): pass\n"
        "    def next(self):\n        if not self.position: self.buy()\n"
        "backtest(Hold, data.prices('AAPL', start='2010-01-01'), cash=10_000)\n"
    )
    project = make_project(user, source=source)
    page = signed_in(user)
    page.goto(project.edit_url)
    page.locator("body[data-ready]").wait_for()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#run-status .badge")).to_have_text("Succeeded")
    expect(page.locator(".backtest .figures dd").first).not_to_be_empty()
    expect(page.locator(".backtest .badge", has_text="Verified")).to_be_visible()
    frame = page.frame_locator("#curve-frame")
    expect(frame.locator(".js-plotly-plot")).to_have_count(1)
    # Axes write numbers as figures do: a real minus sign, and a space before the sign of a percentage.
    expect(frame.locator(".y2tick text").first).to_have_text(re.compile("^\u2212\\d+\u00a0%$"))
    frame.get_by_role("button", name="1Y").click()
    frame.get_by_role("button", name="Log scale").click()
    frame.locator("summary", has_text="Data table").press("Enter")  # where it is, while the chart still grows
    expect(frame.locator("figure.backtest tbody tr").first).to_be_visible()


def test_the_plot_of_backtesting_py_is_drawn(signed_in):
    user = make_user()
    source = (
        "from backtesting import Backtest, Strategy\nfrom backtesting.test import GOOG\n"
        "class Hold(Strategy):\n    def init(self): pass\n"
        "    def next(self):\n        if not self.position: self.buy()\n"
        "bt = Backtest(GOOG[:300], Hold, finalize_trades=True)\nbt.run()\nbt.plot()\n"
    )
    project = make_project(user, source=source)
    page = signed_in(user)
    page.goto(project.edit_url)
    page.locator("body[data-ready]").wait_for()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#run-status .badge")).to_have_text("Succeeded")
    expect(page.frame_locator("#output-frame").locator(".bokeh canvas").first).to_be_visible()
