"""The manual is searched, read and copied from."""

from __future__ import annotations

from playwright.sync_api import expect


def test_a_search_leads_to_the_section_and_its_code_is_copied(open_page):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto("/docs/")
    page.get_by_role("searchbox", name="Search the manual").fill("random numbers")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Random numbers that can be repeated").click()
    page.wait_for_url("**/docs/parallel#random-numbers-that-can-be-repeated")
    block = page.locator(".code", has_text="terminal_price").first
    block.hover()
    block.get_by_role("button", name="Copy").click()
    expect(block.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == block.locator("pre").inner_text()
