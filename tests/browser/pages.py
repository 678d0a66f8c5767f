"""What do tests with a browser write and wait for?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import APIResponse, Page, Route

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


def eventually(page: Page, question: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until the answer is yes. (A string to evaluate in the page would need a weaker policy.)"""
    for _ in range(int(seconds * 1000 / POLL_MILLISECONDS)):
        if question():
            return
        page.wait_for_timeout(POLL_MILLISECONDS)
    raise AssertionError(f"still not so after {seconds:g} s")


class Held:
    """The server's answers to requests of this kind stay on their way until they are let go; later ones do not."""

    def __init__(self, page: Page, url: Any) -> None:
        self.page = page
        self.answers: list[tuple[Route, APIResponse]] = []
        self._holds = True
        page.route(url, self._take)

    def _take(self, route: Route) -> None:
        if not self._holds:
            route.fallback()
            return
        answer = route.fetch()
        if self._holds:
            self.answers.append((route, answer))
        else:  # the others were let go while it was fetched
            route.fulfill(response=answer)

    def wait(self) -> None:
        """Until the first has its answer."""
        eventually(self.page, lambda: bool(self.answers))

    def pass_others(self) -> None:
        self._holds = False

    def release(self) -> None:
        """The page has acted on all of them when this returns."""
        self._holds = False
        for route, answer in self.answers:
            with self.page.expect_event("requestfinished", lambda request, of=route.request: request == of):
                route.fulfill(response=answer)
        self.page.evaluate("new Promise((done) => setTimeout(done, 50))")
