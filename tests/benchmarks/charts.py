"""How long until a chart of a long backtest is drawn? In a real browser, from the request for its points, which the
page sends when the chart comes near, to the moment it stands there. Charts that come near together wait for each other.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from dataclasses import fields
from typing import Any

import numpy as np

from tests.benchmarks.report import Report

POINTS = 25_000
ROUNDS = 3
TARGETS = {f"chart of {POINTS} points drawn, slowest": 1_000.0}

NOTE = """
window.drawn = {};
new MutationObserver((changes) => {
  for (const { target } of changes) window.drawn[target.dataset.chart] ??= performance.now();
}).observe(document, { attributes: true, subtree: true, attributeFilter: ["data-ready"] });
"""
TIMES = """
performance.getEntriesByType("resource")
  .map((entry) => ({ entry, at: window.drawn[new URL(entry.name).pathname] }))
  .filter(({ at }) => at)
  .map(({ entry, at }) => ({ answered: entry.responseEnd - entry.startTime, drawn: at - entry.startTime }))
"""


def measure(report: Report, url: str, project: Any) -> None:
    from playwright.sync_api import sync_playwright

    from playground.prepare import find_chromium

    program = find_chromium()
    if program is None:
        raise SystemExit("The charts are drawn by Chromium. Install it with:  apt install chromium")
    address = url + _backtest(project).get_absolute_url()
    drawn: list[float] = []
    answered: list[float] = []
    with sync_playwright() as playwright:
        own = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=[*own, "--disable-dev-shm-usage"])
        for _ in range(ROUNDS):
            # Playwright reads an expression by eval(), which our policy forbids.
            for times in _times(browser.new_context(bypass_csp=True).new_page(), address):
                drawn.append(times["drawn"])
                answered.append(times["answered"])
        browser.close()
    report.add_spread(f"chart of {POINTS} points answered", answered, "ms")
    report.add_spread(f"chart of {POINTS} points drawn", drawn, "ms")
    report.add(f"chart of {POINTS} points drawn, slowest", max(drawn), "ms", len(drawn))


def _times(page: Any, address: str) -> list[dict[str, float]]:
    """For each chart of the page, milliseconds from the request for its points to their arrival and to its drawing."""
    page.add_init_script(NOTE)
    page.goto(address)
    for chart in page.locator("[data-chart]").all():
        chart.scroll_into_view_if_needed()
        chart.locator("xpath=self::*[@data-ready]").wait_for(timeout=60_000)
    found = page.evaluate(TIMES)
    if len(found) != 9:
        raise SystemExit(f"The page has {len(found)} charts instead of nine.")
    return found


def _backtest(project: Any) -> Any:
    """A verified backtest over so many daily bars, of a public project."""
    import pandas as pd
    from django.conf import settings
    from qfp import backtest, objects
    from qfp.backtesting import Strategy

    from runner.backtests import CheckedBacktest, check_claim
    from runner.models import Backtest, Project
    from tests.factories import make_finished_run

    close = 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0.0002, 0.01, POINTS)))
    columns = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": np.ones(POINTS)}
    days = np.datetime64("1926-01-02") + np.arange(POINTS)
    digest = objects.put(settings.STORE_DIR, objects.arrow_bytes(days, columns))
    entry = {"id": "benchmark/1d/LONG", "symbol": "LONG", "object": digest, "columns": list(columns), "actions": None,
             "interval": "1d", "kind": "equity", "survivorship": "free: made for this"}  # fmt: skip
    snapshot = objects.write_snapshot(settings.STORE_DIR, {"version": 1, "series": [entry], "universes": []})
    frame = pd.DataFrame(columns, pd.DatetimeIndex(days))
    frame.attrs = {"symbol": "LONG", "series": entry["id"], "object": digest, "adjust": "split", "snapshot": snapshot}

    class Turns(Strategy):
        def init(self) -> None:
            pass

        def next(self) -> None:
            if len(self.data) % 60 == 20:
                self.buy(size=0.5)
            elif len(self.data) % 60 == 50:
                self.position.close()

    with contextlib.redirect_stdout(io.StringIO()):
        claim = json.loads(json.dumps(backtest(Turns, frame, cash=1_000_000).claim))
    checked = check_claim(claim, settings.STORE_DIR)
    if not checked.verified:
        raise SystemExit(checked.verified_text)
    project.visibility = Project.Visibility.PUBLIC
    project.save()
    known = {field.name for field in Backtest._meta.get_fields()}
    values = {each.name: getattr(checked, each.name) for each in fields(CheckedBacktest) if each.name in known}
    run = make_finished_run(project, manifest={"data": {"private": []}})
    return Backtest.objects.create(run=run, position=0, **values | {"snapshot": snapshot})
