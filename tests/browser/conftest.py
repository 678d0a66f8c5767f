"""What do the tests with a browser share? Signed-in people, and runs whose events are already recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Page

# Models are imported inside the fixtures: this file is read before Django is set up.


@pytest.fixture
def signed_in(open_page: Callable[..., Page], live_site: Any) -> Callable[..., Page]:
    """A page of this user, by the session cookie: signed_in(user, width=360)."""

    def new(user: Any, **options: Any) -> Page:
        client = Client()
        client.force_login(user, backend="accounts.backends.AccountBackend")
        page = open_page(**options)
        page.context.add_cookies(
            [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_site.url}]
        )
        return page

    return new


@pytest.fixture
def recorded(live_site: Any) -> Callable[..., Any]:
    """A finished run with these events, as the engine would have sent them."""

    from runner.events import Publisher
    from tests.factories import make_finished_run, make_project, make_user

    def make(*events: dict[str, Any], project: Any = None, **values: Any) -> Any:
        run = make_finished_run(project or make_project(make_user()), **values)
        publisher = Publisher(run.pk)
        publisher.publish({"type": "phase", "phase": "running", "t": 0.0})
        publisher.publish(*({"t": 0.1, **event} for event in events))
        publisher.publish({"type": "finished", "status": run.status, "message": run.message, "t": 1.0})
        return run

    return make
