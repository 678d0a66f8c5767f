"""Packages on the site: offered before a run, brought in as its first phase, recorded, kept for a later run."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connection

from accounts.models import Plan
from runner import packages, quotas
from runner.access import Viewer
from runner.claiming import claim
from runner.ending import request_cancel
from runner.execution import Execution, execute_next
from runner.models import ENTRY, PackageLock, Project, Run
from runner.recording import Recording
from runner.starting import BadInput, rerun, start_run
from tests.factories import make_project, make_run, make_user

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run_project(engine):
    """Run the project's draft by the worker's own path and return the finished Run."""

    def run_it(project: Project) -> Run:
        project.refresh_from_db()
        return finished(make_run(project))

    return run_it


def finished(run: Run) -> Run:
    execute_next()
    run.refresh_from_db()
    return run


def told(run: Run) -> list[str]:
    return [event["text"] for event in Recording(run.pk).read() if event["type"] == "package"]


def text_of(run: Run) -> str:
    return "".join(event["text"] for event in Recording(run.pk).read() if event["type"] == "stdout")


SOURCE = "# requirements: honest-thing\nimport honest\nprint(honest.answer)\n"


@pytest.fixture
def index(package_index):
    package_index.add_package("helper-thing", {"helper_thing.py": "y = 2\n"})
    package_index.add_package(
        "honest-thing", {"honest.py": "import helper_thing\nanswer = 40 + helper_thing.y\n"}, requires=("helper-thing",)
    )
    return package_index


# A run with packages


def test_a_run_brings_its_packages_first_and_tells_each_step(run_project, index):
    run = run_project(make_project(source=SOURCE))
    assert (run.status, text_of(run)) == (Run.Status.SUCCEEDED, "42\n")
    steps = told(run)
    assert steps[0] == "Resolving"
    assert any(step.startswith("Downloading helper-thing 1.0 (") for step in steps)
    phases = [event["phase"] for event in Recording(run.pk).read() if event["type"] == "phase"]
    assert phases == ["starting", "packages", "starting", "running"]
    assert run.lock.packages == [("helper-thing", "1.0"), ("honest-thing", "1.0")]
    manifest = run.manifest["environment"]
    assert manifest["lock_sha256"] == run.environment and manifest["packages_sha256"] == run.lock.sha256
    assert any("honest_thing-1.0-py3-none-any.whl" in line for line in manifest["packages"])


def test_the_second_run_of_a_lock_goes_straight_on(run_project, index):
    project = make_project(source=SOURCE)
    first = run_project(project)
    asked = len(index.asked)
    index.answer = "error"
    second = run_project(project)
    assert second.status == Run.Status.SUCCEEDED
    assert told(second) == []
    assert second.lock == first.lock and len(index.asked) == asked


def test_a_project_keeps_its_versions_and_an_old_run_its_lock(run_project, index):
    project = make_project(source=SOURCE.replace("honest-thing", "honest-thing, helper-thing"))
    first = run_project(project)
    index.add_package("helper-thing", {"helper_thing.py": "y = 3\n"}, versions=("2.0",))
    PackageLock.objects.update(created="2020-01-01T00:00:00Z")
    assert text_of(run_project(project)) == "42\n"
    Project.objects.filter(pk=project.pk).update(
        draft={ENTRY: project.source.replace("helper-thing", "helper-thing>=2")}
    )
    for path in (packages._page_cache()).rglob("*.json"):
        path.unlink()
    newer = run_project(project)
    assert text_of(newer) == "43\n"
    again = finished(rerun(first))
    assert (text_of(again), again.lock) == ("42\n", first.lock)


def test_two_spellings_of_one_wish_share_the_lock_and_each_finds_it_again(run_project, index):
    first = run_project(make_project(source=SOURCE))
    other = make_project(source=SOURCE.replace("honest-thing", "honest-thing>=0.1"))
    second = run_project(other)
    assert second.lock == first.lock and "Resolving" in told(second)
    assert told(run_project(other)) == []
    third = run_project(make_project(source=SOURCE.replace("honest-thing", "Honest_Thing")))
    assert third.lock == first.lock and told(third) == []


def test_a_layer_that_was_collected_is_made_again_from_the_lock(run_project, index, settings):
    project = make_project(source=SOURCE)
    first = run_project(project)
    settings.LAYERS_GB = 0
    assert first.lock.sha256 in packages.collect_layers()
    assert PackageLock.objects.filter(pk=first.lock.pk).exists()
    again = run_project(project)
    assert again.lock == first.lock, again.message
    assert "Resolving" not in told(again)
    assert text_of(again) == "42\n", again.message


def test_what_no_run_names_is_collected_with_its_lock(run_project, index, settings):
    project = make_project(source=SOURCE)
    lock = run_project(project).lock
    project.delete()
    PackageLock.objects.update(used="2020-01-01T00:00:00Z")
    packages.collect_layers()
    assert not PackageLock.objects.filter(pk=lock.pk).exists()


def test_a_plain_run_has_no_lock_and_no_phase_for_packages(run_project, package_index):
    run = run_project(make_project(source="# requirements: numpy, pandas>=2\nprint(1)"))
    assert run.status == Run.Status.SUCCEEDED and run.lock is None
    assert told(run) == [] and package_index.asked == []
    assert run.manifest["environment"]["packages_sha256"] is None


# Failure


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        ("qfp-no-such-package-zz9", "No package called qfp-no-such-package-zz9"),
        ("pandsa", "Did you mean pandas?"),
        ("honest-thing>=7", "honest-thing cannot be installed"),
        ("honest-thing @ https://example.org/x.whl", "by name, not from an address"),
    ],
)
def test_a_refused_package_fails_the_run_and_names_package_and_cause(run_project, index, requirement, words):
    run = run_project(make_project(source=f"# requirements: {requirement}\nprint('never')"))
    assert run.status == Run.Status.FAILED
    assert words in run.message
    assert run.error["name"] == Run.PACKAGE_REFUSED
    assert text_of(run) == "" and run.lock is None


def test_a_wheel_that_would_write_elsewhere_fails_the_run(run_project, package_index):
    package_index.add_package("sly-thing", {"../../../sly.py": "evil"})
    run = run_project(make_project(source="# requirements: sly-thing\nprint('never')"))
    assert run.status == Run.Status.FAILED and "written elsewhere" in run.message


def test_a_source_distribution_is_built_in_a_box_of_the_site(run_project, package_index):
    from tests.sandbox.index_server import make_sdist

    setup = "from setuptools import setup\nsetup(name='old-thing', version='1.0', py_modules=['old_thing'])\n"
    for version in ("0.1", "0.2", "1.0"):
        package_index.add("old-thing", make_sdist("old-thing", version, {"setup.py": setup, "old_thing.py": "x = 7\n"}))
    run = run_project(make_project(source="# requirements: old-thing --sdist\nimport old_thing\nprint(old_thing.x)\n"))
    assert text_of(run) == "7\n", run.message
    assert "Building old-thing 1.0 from source" in told(run)


def test_an_index_that_fails_fails_the_run_and_does_not_count(run_project, package_index, settings):
    package_index.answer = "error"
    project = make_project(source=SOURCE)
    run = run_project(project)
    assert run.status == Run.Status.FAILED and "package index answered with an error (500)" in run.message
    owned = Run.objects.filter(user=project.owner)
    assert owned.counted_today().count() == 0
    make_run(project, status=Run.Status.QUEUED)
    assert owned.counted_today().count() == 1  # runs without an error count


def test_stop_ends_a_run_while_its_packages_come(engine, package_index):
    package_index.add_package("slow-thing", {"slow.bin": bytes(range(256)) * 8})
    run = make_run(make_project(source="# requirements: slow-thing\nprint('never')"))
    package_index.on_download = lambda _name: setattr(package_index, "answer", "silence") or time.sleep(30)

    def work() -> None:
        # Not execute_next(): its time limit is a signal, which only a main thread can wait for.
        try:
            Execution(claim()).go()
        finally:
            connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    while not any(step.startswith("Downloading") for step in told(run)):
        assert worker.is_alive()
        time.sleep(0.05)
    run.refresh_from_db()
    assert run.lease_expires is not None
    request_cancel(run)
    worker.join(60)
    assert not worker.is_alive()
    run.refresh_from_db()
    assert run.status == Run.Status.CANCELLED and run.message.startswith("Stopped after")
    assert not packages.Layers(packages.Path(packages.settings.LAYERS_DIR)).is_built(run.lock.sha256)


# The offer


@pytest.fixture
def project(client):
    project = make_project(source="import honest_thing\n")
    client.force_login(project.owner)
    return project


HTMX = {"HX-Request": "true"}


def test_a_missing_package_is_offered_and_one_click_installs_it(client, project, engine):
    source = "import polars as pl\nimport numpy\nprint(1)\n"
    answer = client.post(f"{project.base_url}/run", {"source": source}, headers=HTMX)
    text = answer.content.decode()
    assert answer.status_code == 422 and Run.objects.count() == 0
    assert "polars</strong> is not installed" in text and "main.py, line 1" in text
    assert 'name="install" value="polars"' in text
    answer = client.post(f"{project.base_url}/run", {"source": source, "install": "polars"}, headers=HTMX)
    assert answer.status_code == 200
    changed = "# requirements: polars\n" + source
    assert Run.objects.get().revision.files == {ENTRY: changed}
    project.refresh_from_db()
    assert project.source == changed
    assert 'id="kept-source"' in answer.content.decode()


def test_without_javascript_the_offer_is_on_the_page_and_the_button_posts_the_form(client, project, engine):
    answer = client.post(f"{project.base_url}/run", {"source": "import polars\n"})
    assert answer.status_code == 303 and answer["Location"] == f"{project.edit_url}?offer=1"
    page = client.get(answer["Location"]).content.decode()
    assert 'form="run-form" name="install" value="polars"' in page
    answer = client.post(f"{project.base_url}/run", {"source": "import polars\n", "install": "polars"})
    assert answer["Location"] == f"/r/{Run.objects.get().pk}"


def test_the_offer_can_be_declined(client, project, engine):
    client.post(f"{project.base_url}/run", {"source": "import polars\n", "without": "1"}, headers=HTMX)
    assert Run.objects.get().revision.source == "import polars\n"


def test_an_offer_goes_into_the_list_where_the_project_has_one(client, project, engine):
    Project.objects.filter(pk=project.pk).update(draft={ENTRY: "import polars", "requirements.txt": "arch\n"})
    client.post(f"{project.base_url}/run", {"source": "import polars", "install": "polars"}, headers=HTMX)
    assert Run.objects.get().revision.files == {ENTRY: "import polars", "requirements.txt": "arch\npolars\n"}


@pytest.mark.parametrize(
    "source",
    [
        "import pandsa",
        "import münchen",
        "import yfinance",
        "import alpha_vantage",
        "import sklearn, PIL, qfp",
        "try:\n    import polars\nexcept ImportError: pass",
    ],
)
def test_names_that_would_be_refused_are_not_offered(client, project, engine, source):
    assert client.post(f"{project.base_url}/run", {"source": source}, headers=HTMX).status_code == 200


def test_what_a_layer_holds_by_another_name_is_not_offered(run_project, index):
    project = make_project(source=SOURCE)
    assert [one.module for one in packages.offered(project, project.draft)] == ["honest"]
    run_project(project)
    assert packages.offered(project, project.draft) == []


@pytest.mark.parametrize("name", ["pandsa", "polars; import os", "polars==1", "-r x", "../x"])
def test_what_is_posted_as_an_answer_must_be_a_name(client, project, engine, name):
    answer = client.post(f"{project.base_url}/run", {"source": "x = 1", "install": name}, headers=HTMX)
    assert answer.status_code == 422 and Run.objects.count() == 0
    project.refresh_from_db()
    assert project.source == "x = 1"


def test_a_requirement_that_is_none_is_refused_before_there_is_a_run(client, project, engine):
    source = "# requirements: git+https://example.org/x\n"
    answer = client.post(f"{project.base_url}/run", {"source": source}, headers=HTMX)
    assert answer.status_code == 422 and "not from version control" in answer.content.decode()
    assert Run.objects.count() == 0


def test_a_site_that_installs_no_packages_says_so(settings, engine):
    settings.PACKAGES = False
    user = make_user()
    project = make_project(user)
    assert packages.offered(project, {ENTRY: "import polars"}) == []
    with pytest.raises(BadInput, match="this site installs no packages"):
        start_run(project, Viewer(user), files={ENTRY: "# requirements: polars"})
    assert start_run(project, Viewer(user), files={ENTRY: "# requirements: numpy"}).lock is None


# Pages


def test_the_list_of_requirements_is_edited_in_the_settings(client, project):
    values = {"title": "Mine", "requirements": "arch>=7\r\npolars\r\n"}
    assert client.post(f"{project.base_url}/settings", values).status_code == 303
    project.refresh_from_db()
    assert project.draft["requirements.txt"] == "arch>=7\npolars\n" and project.source == "import honest_thing\n"
    page = client.get(project.base_url).content.decode()
    assert "arch&gt;=7" in page
    answer = client.post(f"{project.base_url}/settings", {"requirements": "./here"}, follow=True)
    assert "by name, not from a file" in answer.content.decode()
    client.post(f"{project.base_url}/settings", {"title": "Renamed"})
    project.refresh_from_db()
    assert project.draft["requirements.txt"] == "arch>=7\npolars\n" and project.title == "Renamed"
    client.post(f"{project.base_url}/settings", {"requirements": " "})
    project.refresh_from_db()
    assert list(project.draft) == [ENTRY]


def test_a_project_shows_its_packages_with_their_versions(client, run_project, index):
    project = make_project(source=SOURCE, visibility=Project.Visibility.PUBLIC)
    run_project(project)
    page = client.get(project.base_url).content.decode()
    assert "honest-thing" in page and "needed by another" in page and ">1.0<" in page


def test_quotas_still_count_a_run_whose_package_was_refused(run_project, index):
    project = make_project(source="# requirements: qfp-no-such\n")
    run_project(project)
    Plan.objects.filter(pk=project.owner.plan.pk).update(runs_per_day=1)
    viewer = Viewer(type(project.owner).objects.get(pk=project.owner.pk))
    with pytest.raises(quotas.QuotaExceeded):
        start_run(project, viewer, files={ENTRY: "print(1)"})
