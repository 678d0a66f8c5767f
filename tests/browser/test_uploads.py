"""A file goes through the wizard in a browser, and code reads it in the next run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django_rq
import pytest
from playwright.sync_api import expect
from rq import Worker

from marketdata.models import DatasetVersion, Upload
from playground import processes
from tests.conftest import _end, _launch, _wait
from tests.factories import make_project, make_user

FIXTURES = Path(__file__).resolve().parent.parent / "data" / "uploads"
SOURCE = 'from qfp import data\n\ntable = data.dataset("mine/xetra")\nprint("last close", table["close"].iloc[-1])\n'


@pytest.fixture
def reader(services: Any, django_db_setup: None) -> Iterator[Any]:
    """A worker of the queue where files that were sent are read."""
    process = _launch("reader", processes.worker_command("uploads"))
    redis = django_rq.get_connection("uploads")
    _wait("reader", process, lambda: any(known.pid == process.pid for known in Worker.all(connection=redis)))
    yield process
    _end(process)


def test_semicolon_and_decimal_comma_file_goes_through_the_wizard_and_into_a_run(signed_in, live_site, reader):
    user = make_user()
    page = signed_in(user)
    page.goto("/data/mine/")
    page.locator("input[name=file]").set_input_files(FIXTURES / "xetra_german.csv")
    page.locator("input[name=name]").fill("xetra")
    page.get_by_role("button", name="Send").click()
    page.wait_for_url("**/data/mine/uploads/**")
    expect(page.get_by_role("heading", name="First rows as they were read")).to_be_visible()
    expect(page.get_by_label("Delimiter")).to_have_value(";")
    expect(page.get_by_label("Decimal sign")).to_have_value(",")
    expect(page.get_by_label("Form of the dates")).to_have_value("%d.%m.%Y")
    expect(page.get_by_role("cell", name="1325.09")).to_be_visible()
    page.get_by_label("Name of Stücke").fill("shares")
    page.get_by_role("button", name="Show the rows again").click()
    expect(page.get_by_role("columnheader", name="shares")).to_be_visible()
    page.get_by_role("button", name="Store as version 1").click()
    expect(page.get_by_text("is stored")).to_be_visible()
    version = DatasetVersion.objects.get(dataset__owner=user)
    assert (version.rows, version.columns) == (30, ["open", "high", "low", "close", "shares"])

    page.goto(make_project(user, source=SOURCE).edit_url)
    page.locator("body[data-ready]").wait_for()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".console__line", has_text="last close")).to_contain_text(re.compile(r"last close 13\d\d\.\d"))


def test_sending_goes_on_after_a_lost_connection_and_a_closed_page(signed_in, live_site, reader):
    user = make_user()
    page = signed_in(user)
    content = b"date,close\n" + b"".join(b"%d-01-02,%d.5\n" % (1800 + n, n) for n in range(200)) + b" \n" * 900_000
    file = {"name": "years.csv", "mimeType": "text/csv", "buffer": content}
    pieces: list[str] = []

    def pass_only_the_first(route, request):
        pieces.append(request.url)
        route.continue_() if len(pieces) == 1 else route.abort()

    page.route("**/pieces?**", pass_only_the_first)
    page.goto("/data/mine/")
    page.locator("input[name=file]").set_input_files(file)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("The connection is lost")).to_be_visible()
    assert Upload.objects.get().received == 1_000_000
    page.goto("/data/mine/")  # closed, and the same file chosen again
    page.unroute_all(behavior="ignoreErrors")
    uploads = "**/data/mine/uploads/**"
    page.route(
        uploads, lambda it: it.fulfill(status=204) if it.request.is_navigation_request() else it.fallback()
    )  # so the page stays as it was left
    page.locator("input[name=file]").set_input_files(file)
    send = page.get_by_role("button", name="Send")
    send.click()
    expect(page.get_by_text("Arrived")).to_be_visible()
    expect(send).to_be_disabled()
    # Whoever comes back to it, as from the browser's memory, can send again.
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    page.unroute(uploads)
    send.click()
    page.wait_for_url(uploads)
    expect(page.get_by_text("200 rows from 1800-01-02")).to_be_visible()


def test_form_sends_a_file_without_javascript(signed_in, live_site, reader):
    page = signed_in(make_user(), java_script_enabled=False, width=360)
    page.goto("/data/mine/")
    page.locator("input[name=file]").set_input_files(FIXTURES / "ambiguous.csv")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("only you can answer")).to_be_visible()  # the page loads itself anew
    page.get_by_label("Form of the dates").select_option("%d/%m/%Y")
    page.get_by_role("button", name="Show the rows again").click()
    expect(page.get_by_role("button", name="Store as version 1")).to_be_visible()
    page.get_by_role("button", name="Store as version 1").click()
    expect(page.get_by_text("is stored")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
