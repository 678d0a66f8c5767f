"""What do tests with a browser write and wait for?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page

POLL_MILLISECONDS = 50


def display(**bundle: Any) -> dict[str, Any]:
    """A display event; the mime type's slashes and dots are written as in display(html="<b>x</b>")."""
    mimes = {
        "html": "text/html",
        "markdown": "text/markdown",
        "svg": "image/svg+xml",
        "plotly": "application/vnd.plotly.v1+json",
        "table": "application/vnd.qfp.table+json",
        "json": "application/json",
        "plain": "text/plain",
    }
    return {"type": "display", "data": {mimes[name]: value for name, value in bundle.items()}, "metadata": {}}


def eventually(page: Page, question: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until the answer is yes. (A string to evaluate in the page would need a weaker policy.)"""
    for _ in range(int(seconds * 1000 / POLL_MILLISECONDS)):
        if question():
            return
        page.wait_for_timeout(POLL_MILLISECONDS)
    raise AssertionError(f"still not so after {seconds:g} s")
