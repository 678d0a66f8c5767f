"""Do the account pages work in a real browser: without scripts, on a phone, and through another site and back?"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest
from django.conf import settings

from tests.accounts.oauth_server import CLIENT_ID, CLIENT_SECRET, OAuthServer, Person
from tests.surroundings import free_port

pytestmark = pytest.mark.browser
PASSWORD = "a quiet harbour 91"


def test_signing_up_out_and_in_without_scripts_on_a_phone(open_page):
    page = open_page(width=360, java_script_enabled=False)
    page.goto("/register")
    page.get_by_label("Email").fill("ada@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    page.wait_for_url("**/dashboard")
    page.goto("/account/profile")
    assert page.get_by_label("Username").input_value() == "ada"
    page.goto("/logout")
    page.locator("main").get_by_role("button", name="Sign out").click()
    page.goto("/login")
    page.get_by_label("Email or username").fill("ada")
    page.get_by_label("Password").fill("a wrong harbour")
    page.locator("main").get_by_role("button", name="Sign in").click()
    assert "do not match" in page.get_by_role("alert").inner_text()
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/dashboard")


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_no_page_is_wider_than_a_phone(open_page, color_scheme):
    page = open_page(width=360, color_scheme=color_scheme)
    page.goto("/register")
    page.get_by_label("Email").fill(f"{color_scheme}@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Sign up").click()
    page.wait_for_url("**/dashboard")
    for path in ("profile", "email", "security", "sessions", "password", "2fa", "2fa/activate", "delete"):
        page.goto(f"/account/{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        heights = page.locator("main :is(.button, input:not([type=hidden]))").evaluate_all(
            "elements => elements.map(element => element.getBoundingClientRect().height)"
        )
        assert all(height >= 44 for height in heights), f"{path}: {heights}"


@pytest.fixture
def oauth_server() -> Iterator[OAuthServer]:
    server = OAuthServer()
    yield server
    server.close()


@pytest.fixture
def site_with_providers(live_site, oauth_server) -> Iterator[str]:
    """A second web server on the same database, set up by environment as an operator would."""
    from playground import processes

    port = free_port()
    names = {
        "PORT": str(port),
        "WEB_WORKERS": "1",
        "GOOGLE_CLIENT_ID": CLIENT_ID,
        "GOOGLE_CLIENT_SECRET": CLIENT_SECRET,
        "GOOGLE_OAUTH_BASE": oauth_server.base,
        "GITHUB_CLIENT_ID": CLIENT_ID,
        "GITHUB_CLIENT_SECRET": CLIENT_SECRET,
        "GITHUB_OAUTH_BASE": oauth_server.base,
    }
    here, there = f"{settings.HOST}:{settings.PORT}", f"{settings.HOST}:{port}"
    command = [there if part == here else part for part in processes.web_command()]
    process = processes.start(command, environment=os.environ | names, output=subprocess.DEVNULL)
    while True:
        assert process.poll() is None, "the web server ended"
        with socket.socket() as probe:
            if probe.connect_ex((settings.HOST, port)) == 0:
                break
    yield f"http://{there}"
    process.terminate()
    process.wait(20)


@pytest.mark.parametrize("provider", ["Google", "GitHub"])
def test_a_provider_signs_in_through_its_own_site(site_with_providers, oauth_server, open_page, provider):
    """The policy on forms lets the browser go there and nowhere else; open_page fails on any violation."""
    oauth_server.person = Person(email=f"{provider.lower()}@example.com")
    page = open_page()
    page.goto(f"{site_with_providers}/login")
    page.get_by_role("button", name=f"Continue with {provider}").click()
    page.wait_for_url("**/dashboard")
    page.goto(f"{site_with_providers}/account/security")
    assert f"{provider}:" in page.locator("main").inner_text()
