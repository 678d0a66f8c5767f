"""Home, theme, error pages and the styleguide, as a browser gets them."""

import gzip
import re

import pytest
from django.conf import settings
from django.test import Client, override_settings
from django.urls import reverse

from accounts.models import Plan, User

pytestmark = pytest.mark.django_db

DIST = settings.BASE_DIR / "static" / "dist"


@pytest.fixture
def staff_client(client):
    client.force_login(
        User.objects.create_user("operator", "operator@example.org", "a long pass phrase", is_staff=True)
    )
    return client


def test_home_is_light_and_needs_no_script_to_be_read(client):
    response = client.get("/")
    page = response.content
    assert response.status_code == 200
    weight = len(gzip.compress(page)) + len(gzip.compress((DIST / "site.css").read_bytes()))
    assert weight <= 60 * 1024
    scripts = re.findall(rb"<script[^>]*>", page)
    assert scripts and all(b'type="module"' in script and b"src=" in script for script in scripts)
    for heavy in (b"monaco", b"plotly", b"htmx.js", b"editor.js"):
        assert heavy not in page.lower()


def test_home_has_one_primary_button_and_it_posts_to_try(client):
    page = client.get("/").content.decode()
    main = page[page.index("<main") : page.index("</main>")]
    assert main.count("button--primary") == 1
    form = re.search(r'<form method="post" action="/try">.*?</form>', main, re.DOTALL)
    assert form and "csrfmiddlewaretoken" in form[0] and "Run this strategy" in form[0]


def test_home_states_the_guest_limits_of_the_plan(client):
    Plan.objects.filter(is_for_guests=True).update(cpu_seconds=17, memory_mb=333, runs_per_day=21)
    page = client.get("/").content.decode()
    assert "17 s of processor time" in page and "333 MB" in page and "21 runs a day" in page


@pytest.mark.parametrize("name", ["auto", "light", "dark", "contrast"])
def test_theme_is_chosen_without_script_and_comes_back_to_the_page(client, name):
    response = client.post(reverse("playground:choose-theme"), {"theme": name, "next": "/docs/limits"})
    assert (response.status_code, response["Location"]) == (302, "/docs/limits")
    assert f'data-theme="{name}"' in client.get("/").content.decode()


def test_theme_answers_a_script_in_json_and_keeps_the_other_choice(client):
    client.post("/theme", {"gains": "red-up"})
    response = client.post("/theme", {"theme": "dark"}, headers={"Accept": "application/json"})
    assert response.json() == {"theme": "dark"}
    assert 'data-theme="dark" data-gains="red-up"' in client.get("/").content.decode()


@pytest.mark.parametrize("target", ["https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)", ""])
def test_theme_never_leads_to_another_site(client, target):
    assert client.post("/theme", {"theme": "dark", "next": target})["Location"] == "/"


def test_unknown_theme_is_refused_and_an_old_cookie_is_ignored(client):
    assert client.post("/theme", {"theme": "pink"}).status_code == 400
    client.cookies["theme"] = '"><script>'
    assert 'data-theme="auto"' in client.get("/").content.decode()


def test_choosing_a_theme_needs_the_token_and_get_is_not_allowed(client):
    assert Client(enforce_csrf_checks=True).post("/theme", {"theme": "dark"}).status_code == 403
    assert client.get("/theme").status_code == 405


def test_styleguide_is_for_staff_and_shows_every_run_status(client, staff_client):
    page = staff_client.get("/styleguide/").content.decode()
    for status in (
        "queued",
        "running",
        "succeeded",
        "failed",
        "timed_out",
        "out_of_memory",
        "output_exceeded",
        "disk_full",
        "cancelled",
        "crashed",
    ):
        assert f"badge--{status}" in page
    assert Client().get("/styleguide/").status_code == 302


def test_not_found_says_what_to_do(client):
    response = client.get("/no/such/page")
    assert response.status_code == 404
    assert "There is no page here that you can open" in response.content.decode()


@override_settings(CSRF_FAILURE_VIEW="playground.views.csrf_failure")
def test_an_expired_form_is_explained(client):
    response = Client(enforce_csrf_checks=True).post("/theme", {"theme": "dark"})
    assert response.status_code == 403
    assert "This form had expired" in response.content.decode()


def test_error_page_needs_no_context(client):
    from django.template.loader import get_template

    page = get_template("500.html").render()
    assert "Something broke on our side" in page and "<script" not in page
