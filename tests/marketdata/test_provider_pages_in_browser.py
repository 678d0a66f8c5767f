"""A key is entered, a series fetched with it and looked at, in Chromium with the site's own worker, on a phone too."""

from __future__ import annotations

import threading

import pytest
from playwright.sync_api import expect

from tests.accounts.people import PASSWORD, make_account
from tests.providers.answers import GOOD


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_enter_a_key_and_fetch_a_series_with_it(open_page, live_site, stand_ins, fetcher, width, scheme):
    make_account("alice")
    page = open_page(width=width, color_scheme=scheme)

    def fits() -> None:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.goto("/login?next=/data/providers/")
    page.get_by_label("Email or username").fill("alice")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/data/providers/")
    fits()
    page.get_by_role("link", name="Tiingo").click()
    page.get_by_role("link", name="Enter your key").click()
    page.get_by_label("Key", exact=True).fill(GOOD)
    page.get_by_role("button", name="Keep this key").click()
    expect(page.get_by_text("Works", exact=True)).to_be_visible(timeout=60_000)  # the page loads itself anew
    fits()
    assert GOOD not in page.content()
    page.get_by_role("link", name="Tiingo").click()
    page.get_by_label("Symbol").fill("APPL")
    page.get_by_role("button", name="Fetch", exact=True).click()
    expect(page.get_by_text("Did you mean AAPL")).to_be_visible(timeout=60_000)
    fits()
    page.get_by_role("link", name="Other providers").click()
    page.get_by_role("link", name="Tiingo").click()
    page.get_by_label("Symbol").fill("AAPL")
    answers = stand_ins.held["api.tiingo.com"] = threading.Event()
    page.get_by_role("button", name="Fetch", exact=True).click()
    expect(page.get_by_text("Asks Tiingo")).to_be_visible()
    answers.set()
    expect(page.get_by_text("Only your own runs read it")).to_be_visible(timeout=60_000)  # without a press
    fits()
    page.get_by_role("link", name="Look at it").click()
    page.wait_for_url("**/data/instruments/tiingo/1d/AAPL")
    expect(page.get_by_text("Only you see it")).to_be_visible()
