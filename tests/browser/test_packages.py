"""Is a missing package offered where one writes, and is one click enough?"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from runner.models import Project, Run
from tests.browser.pages import eventually
from tests.browser.test_workspace import open_editor
from tests.factories import make_project, make_user


@pytest.fixture
def index(package_index):
    package_index.add_package("offered-thing", {"offered_thing.py": "answer = 42\n"})
    return package_index


SOURCE = "import offered_thing\nprint('it is', offered_thing.answer)\n"


def test_one_click_installs_and_runs(signed_in, index):
    page, project = open_editor(signed_in, SOURCE)
    page.locator(".monaco-editor").first.wait_for()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#offer")).to_contain_text("offered-thing is not installed (main.py, line 1")
    assert Run.objects.count() == 0
    page.get_by_role("button", name="Install and run").click()
    expect(page.locator(".console__line", has_text="it is 42")).to_have_count(1, timeout=60_000)
    expect(page.locator(".console__line", has_text="Downloading offered-thing 1.0")).to_have_count(1)
    expect(page.locator("#run-status .badge")).to_have_text("Succeeded")
    expect(page.locator("#offer")).to_have_count(0)
    expect(page.locator(".monaco-editor .view-line").first).to_have_text("# requirements: offered-thing")
    expect(page.locator("#stale")).to_be_hidden()
    expect(page.locator("#save-state")).to_contain_text("Saved")
    assert Project.objects.get(pk=project.pk).source == "# requirements: offered-thing\n" + SOURCE
    page.keyboard.press("Control+Enter")
    eventually(page, lambda: Run.objects.filter(status=Run.Status.SUCCEEDED).count() == 2)


def test_running_without_it_says_what_is_missing(signed_in, index):
    page, _ = open_editor(signed_in, SOURCE)
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Run without").click()
    expect(page.locator("#run-status .badge")).to_have_text("Failed")
    expect(page.locator("#run-status")).to_contain_text("No package called 'offered_thing'")
    expect(page.locator("#offer")).to_have_count(0)


def test_a_refused_package_is_named_with_the_cause(signed_in, index):
    page, _ = open_editor(signed_in, "# requirements: qfp-no-such-thing\nprint(1)\n")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#run-status .badge")).to_have_text("Failed")
    expect(page.locator("#run-status")).to_contain_text("No package called qfp-no-such-thing in the index")


def test_the_offer_works_without_a_script_and_on_a_phone(signed_in, index):
    user = make_user()
    project = make_project(user, source=SOURCE)
    page = signed_in(user, java_script_enabled=False, width=360, height=740)
    page.goto(project.edit_url)
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("button", name="Install and run").click()
    page.wait_for_url("**/r/**")
    eventually(page, lambda: Run.objects.get().is_finished, seconds=60)  # its page loads itself anew
    expect(page.locator("#console")).to_contain_text("it is 42")
    expect(page.locator("#console")).to_contain_text("Resolving")
