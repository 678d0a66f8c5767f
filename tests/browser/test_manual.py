"""The manual is searched, read and copied from, in the theme that was chosen."""

from __future__ import annotations

import os
import signal

from playwright.sync_api import expect

from sandbox.host import processes as process_table
from tests.browser.pages import eventually


def test_a_search_leads_to_the_section_and_its_code_is_copied(open_page):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto("/docs/")
    page.get_by_role("searchbox", name="Search the manual").fill("random numbers")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Random numbers that can be repeated").click()
    page.wait_for_url("**/docs/parallel#random-numbers-that-can-be-repeated")
    block = page.locator(".code", has_text="terminal_price").first
    block.hover()
    page.clock.install()
    for _ in range(2):
        block.locator("[data-copy-code]").click()
        expect(block.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == block.locator("pre").inner_text()
    page.clock.run_for(5_000)
    expect(block.locator("[data-copy-code]")).to_have_text("Copy")


def test_a_theme_is_kept_though_its_page_is_left_before_the_server_answers(open_page, live_site):
    page = open_page()
    page.goto("/docs/limits")
    web = [live_site.web.pid, *process_table.descendants(live_site.web.pid)]
    dark = page.locator("[data-theme-form] button[value=dark]").last
    try:
        for pid in web:
            os.kill(pid, signal.SIGSTOP)
        with page.expect_request("**/theme"):
            dark.evaluate("button => button.click()")
        page.goto("about:blank")
    finally:
        for pid in web:
            os.kill(pid, signal.SIGCONT)
    eventually(page, lambda: any(each["name"] == "theme" for each in page.context.cookies()))
    page.goto("/docs/limits")
    assert page.locator("html").get_attribute("data-theme") == "dark"
