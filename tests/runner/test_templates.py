"""The gallery shows the templates that work; one click makes a copy that runs. test_template_runs.py runs them all."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from runner import template_runs
from runner.execution import execute_next
from runner.models import Project, Run
from runner.pictures import chart_svg
from runner.samples import FIRST_SAMPLE, LEVELS, SAMPLES
from tests.factories import make_finished_run, make_user


def test_metadata_of_every_template_is_complete():
    assert len({sample.slug for sample in SAMPLES}) == len(SAMPLES)
    for sample in SAMPLES:
        assert sample.level in LEVELS and sample.tags and sample.sentence.endswith("."), sample.slug
        assert len(sample.sentence) <= 160 and ("# %%" in sample.source or sample is FIRST_SAMPLE)


@pytest.fixture
def published(db):
    """The site's projects of three templates, by slug."""
    owner = template_runs.site_user()
    return {
        sample.slug: template_runs.publish(sample, owner)
        for sample in SAMPLES
        if sample.slug in ("momentum", "heston", "kelly")
    }


def finished(project: Project, status: str, hours_ago: float = 0) -> Run:
    return make_finished_run(project, status=status, finished=timezone.now() - timedelta(hours=hours_ago))


def test_template_that_fails_leaves_the_gallery_until_it_works_again(published, client):
    finished(published["heston"], Run.Status.SUCCEEDED, 48)
    finished(published["heston"], Run.Status.FAILED, 24)
    finished(published["kelly"], Run.Status.FAILED, 24)
    greens = [
        finished(published["kelly"], Run.Status.SUCCEEDED, 1),
        finished(published["momentum"], Run.Status.SUCCEEDED, 24),
    ]
    finished(published["momentum"], Run.Status.CRASHED, 1)  # lost by us, which says nothing about the template
    page = client.get(reverse("runner:templates")).content.decode()
    assert "Heston" not in page and reverse("runner:copy-template", args=["heston"]) not in page
    assert reverse("runner:copy-template", args=["kelly"]) in page
    # What has not run here yet shows what it drew elsewhere.
    pictures = re.findall(r'template-card__picture"[^>]*>(.{0,200})', page)
    assert len(pictures) == len(SAMPLES) - 1 and all(each.startswith("<svg") for each in pictures)
    assert reverse("runner:copy-template", args=["momentum"]) in page
    # Picture and title lead to the run, and to the copy where there is none.
    green = published["kelly"].revisions.last().runs.get(status=Run.Status.SUCCEEDED).get_absolute_url()
    assert f'<h3><a href="{green}">' in page and page.count('for="copy-black-scholes"') == 2
    assert page.count('id="copy-black-scholes"') == 1
    assert page.count('<a class="template-card__picture" href="/r/') == page.count("Works</span>") == 2
    shown = re.findall(r'Works</span> run <time datetime="([\d-]+T\d\d)', page)
    assert sorted(shown) == sorted(f"{green.finished:%Y-%m-%dT%H}" for green in greens)
    finished(published["heston"], Run.Status.SUCCEEDED)
    assert reverse("runner:copy-template", args=["heston"]) in client.get(reverse("runner:templates")).content.decode()


def test_a_template_without_a_backtest_has_its_picture_among_public_projects(published, client):
    finished(published["heston"], Run.Status.SUCCEEDED)
    page = client.get("/explore").content.decode()
    pictures = re.findall(r'template-card__picture"[^>]*>(.{4})', page)
    assert pictures == ["<svg"] * len(published)


def test_staff_get_one_mail_that_names_what_failed(published):
    make_user("operator", is_staff=True)
    make_user("alice")
    finished(published["kelly"], Run.Status.SUCCEEDED)
    assert template_runs.report() == [] and not mail.outbox
    run = finished(published["heston"], Run.Status.TIMED_OUT)
    assert template_runs.report() == [run]
    assert [message.to for message in mail.outbox] == [["operator@example.com"]]
    assert "Heston" in mail.outbox[0].body and "Kelly" not in mail.outbox[0].body


def test_a_run_of_somebody_else_says_nothing_about_a_template(published):
    run = finished(published["kelly"], Run.Status.FAILED)
    Run.objects.filter(pk=run.pk).update(user=make_user())
    assert "kelly" in [card.sample.slug for card in template_runs.shown()]


def test_nightly_run_keeps_the_newest_success_and_forgets_what_is_old(published, services, engine):
    kept, old = finished(published["kelly"], Run.Status.SUCCEEDED, 300), finished(published["kelly"], "failed", 290)
    started = template_runs.start_all()
    assert len(started) == len(SAMPLES) and started[0].project.slug == "momentum"
    assert Run.objects.filter(pk=kept.pk).exists() and not Run.objects.filter(pk=old.pk).exists()
    assert Project.objects.filter(owner__username="playground", visibility="public").count() == len(SAMPLES)


@pytest.mark.parametrize("who", ["guest", "alice"])
def test_one_click_opens_a_copy_that_runs(who, client, services, engine, transactional_db):
    if who == "alice":
        client.force_login(make_user("alice"))
    response = client.post(reverse("runner:copy-template", args=["kelly"]))
    project = Project.objects.get(owner__username="alice") if who == "alice" else Project.objects.get(owner=None)
    assert response.status_code == 303 and response["Location"] == project.edit_url
    sample = next(sample for sample in SAMPLES if sample.slug == "kelly")
    assert project.source == sample.source and "Reference values" not in project.source
    execute_next()
    run = Run.objects.get()
    assert run.status == Run.Status.SUCCEEDED, run.message
    picture = template_runs.Shown(sample, run).picture
    assert picture.startswith("<svg") and "Growth" in picture
    origin = 'from template <a href="/templates/#kelly">How much'
    assert origin in client.get(response["Location"]).content.decode()
    if who == "alice":
        assert origin in client.get(project.base_url).content.decode()


def test_a_guest_may_look_at_several(client, db):
    for sample in SAMPLES[:3]:
        answer = client.post(reverse("runner:copy-template", args=[sample.slug]))
        assert "/g/" in answer["Location"], answer["Location"]
        Run.objects.update(status=Run.Status.SUCCEEDED, finished=timezone.now())
    assert Project.objects.filter(owner=None).count() == 3


def test_a_template_that_is_not_there_cannot_be_copied(client, db):
    assert client.post("/templates/nothing/copy").status_code == 404
    assert client.get("/templates/?tag=nothing").status_code == 200


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)


def test_picture_of_a_hostile_chart_holds_numbers_and_an_escaped_title_only():
    figure = {
        "data": [
            {"type": "scatter", "x": [0, 1, "x' onload='", 3], "y": [1, float("nan"), 5, "</svg><script>"]},
            {"type": "bar", "x": ["<b>", "c", "d"], "y": [1e308, 2, 10**400]},
            "not a trace",
            {"type": "scatter", "y": {"bdata": "AAAA"}},
        ],
        "layout": {"title": {"text": "</title><script>alert(1)</script>"}},
    }
    svg = chart_svg(figure)
    parser = Tags()
    parser.feed(svg)
    assert set(parser.seen) <= {"svg", "title", "line", "path"}
    assert "nan" not in svg and "inf" not in svg and "onload" not in svg
    assert chart_svg({"data": [{"type": "pie", "values": [1]}]}) == "" == chart_svg({"data": None})


def test_logarithmic_chart_leaves_out_what_has_no_logarithm():
    figure = {"data": [{"y": [1, 10, 0, 100]}], "layout": {"yaxis": {"type": "log"}}}
    assert chart_svg(figure).count("L") == 3 and "NaN" not in chart_svg(figure)
