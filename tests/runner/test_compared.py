"""Is every run compared with what its author's others have traded, whatever is lost, fails or comes between?"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import django_rq
import pytest
from django.core import signing
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from runner import jobs, leftovers
from runner.access import GUEST_COOKIE, hash_key
from runner.data_questions import DataQuestions
from runner.events import Publisher
from runner.guests import adopt_guest_projects
from runner.intake import Intake
from runner.likeness import compared, traded
from runner.models import Backtest, Project, Run, TradedAlike
from tests.factories import make_finished_run, make_project, make_user
from tests.runner.reported import STORE, claim_of
from tests.runner.trading import count, found_beside, ids, line_of, made, traded_by


@pytest.mark.django_db
def test_what_a_guest_has_traded_is_compared_when_it_gets_an_owner(settings, rf):
    settings.STORE_DIR = STORE
    author = make_user()
    made(alice := make_project(author, "a()"), (20, 20))
    run = run_of_a_guest()
    guest = run.revision.project
    traded_by(run, (20, 20))
    assert count(guest) == 1
    with CaptureQueriesContext(connection) as asked:
        assert sign_in(rf, author) == 1
    assert not any("held" in query["sql"] for query in asked), "whoever signs in does not wait for it"
    backtest = run.backtests.get()
    assert count(guest) == 1 and "is still being compared" in line_of(backtest)
    jobs.compare_trades()
    assert count(guest) == 2 and "is still being compared" not in line_of(backtest)
    assert TradedAlike.objects.get().others == list(ids(alice)), "nothing is open any more"


@pytest.mark.parametrize("traded_before", [True, False])
@pytest.mark.django_db
def test_what_a_guest_trades_who_signs_in_meanwhile_is_compared_when_the_run_ends(settings, rf, traded_before):
    settings.STORE_DIR = STORE
    author = make_user()
    made(make_project(author, "a()"), (20, 20))
    run = run_of_a_guest()
    intake = Intake(run, Publisher(run.pk), DataQuestions(run))
    if not traded_before:
        assert sign_in(rf, author) == 1
    intake.take({"type": "backtest", "number": 0, "claim": claim_of("IBM", 20, 20, bars=600)})
    if traded_before:
        assert sign_in(rf, author) == 1
    intake.take({"type": "examining"})
    guest = Project.objects.get(pk=run.revision.project_id)
    assert run.revision.project.owner is None, "what the worker holds is older"
    assert count(guest) == 2 and not compared.is_counting(guest)


def run_of_a_guest() -> Run:
    guest = make_project(guest_hash=hash_key("key"), draft={"main.py": "class C: pass"})
    run = make_finished_run()
    run.revision = guest.make_revision(guest.draft, author=None)
    run.save()
    return Run.objects.select_related("revision__project").get(pk=run.pk)


def sign_in(rf, author) -> int:
    """How many projects get an owner."""
    request = rf.get("/")
    request.user = author
    request.COOKIES[GUEST_COOKIE] = signing.dumps("key", salt="runner.guest")
    return adopt_guest_projects(request, author)


@pytest.mark.django_db
def test_no_more_is_compared_at_once_than_there_is_room_for_and_jobs_compare_the_others_whatever_is_lost(
    services, settings, monkeypatch, django_capture_on_commit_callbacks
):
    settings.STORE_DIR = STORE
    author = make_user()
    projects = [make_project(author, text) for text in ("a()", "class C: pass", "def f(): pass")]
    for project in projects:
        made(project, (20, 20))
    first, second, third = projects
    monkeypatch.setattr(compared, "MOST_WORK", traded.PAIR + 80)  # what one pair takes; the latest is the first
    monkeypatch.setattr(compared, "MOST_WORK_LATER", 1)  # a job compares with one all the same
    last = make_project(author, "b = 1")
    with django_capture_on_commit_callbacks() as sent:
        result = made(last, (20, 20))
    assert found_beside(last) == {third.pk} and len(sent) == 1, "a job is asked for, and then lost"
    assert "is still being compared" in line_of(result)
    queue = django_rq.get_queue("default")
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            leftovers.end_lost_runs()
    (job,) = [name for name in queue.job_ids if name.startswith(compared.JOB)]
    queue.remove(job)
    failing = compared._settle
    monkeypatch.setattr(compared, "_settle", None)
    with pytest.raises(TypeError):
        jobs.compare_trades()  # its worker dies before anything is kept
    monkeypatch.setattr(compared, "_settle", failing)
    for found in ({third.pk, second.pk}, {third.pk, second.pk, first.pk}):
        assert compared.is_counting(last)
        jobs.compare_trades()
        assert found_beside(last) == found
    assert not compared.is_counting(last) and not compared.send_missing()
    jobs.compare_trades()  # one too many
    assert "is still being compared" not in line_of(result) and compared.NEXT not in result.sides
    assert TradedAlike.objects.count() == 3, "a row for each revision, and each pair is kept by its later one"
    assert traded.pairs_of(second) == {
        (each, other) for other, each in traded.pairs_of(last) | traded.pairs_of(third) if each in ids(second)
    } | {(each, other) for each in ids(second) for other in ids(first)}


@pytest.mark.django_db
def test_however_many_runs_its_author_has_one_is_compared_with_all_of_them(settings, monkeypatch):
    settings.STORE_DIR = STORE
    monkeypatch.setattr(traded, "MOST_OTHERS", 2)
    author = make_user()
    projects = [make_project(author, f"f{number}()") for number in range(4)]
    for project, turns in zip(projects, ((20, 20), (10, 30), (2, 3), (9, 9)), strict=True):
        made(project, turns)
    damaged = Backtest.objects.filter(run__revision__project=projects[1])
    damaged.update(sides={**damaged.get().sides, "held": {"starter/us/1d/IBM": [[0, "x"]]}})
    result = made(last := make_project(author, "class C: pass"), (20, 20))
    assert "starter/us/1d/IBM" in result.sides["held"] and found_beside(last) == set()
    for _ in range(2):  # the one before it was left, too
        jobs.compare_trades()
    assert found_beside(last) == {projects[0].pk} and not compared.is_counting(last), "the damaged one is left out"
    TradedAlike.objects.all().delete()
    jobs.compare_trades(str(result.run_id))  # as an earlier release has sent it
    jobs.compare_trades()
    assert found_beside(last) == {projects[0].pk} and not compared.is_counting(last)


@pytest.mark.parametrize(("pieces", "begins"), [(2, 0), (3, 0), (2, 1)])
@pytest.mark.django_db
def test_where_another_worker_was_quicker_what_it_has_left_counts(settings, monkeypatch, pieces, begins):
    """Of three pieces the first one, or the next, takes so long that others do so many meanwhile."""
    settings.STORE_DIR = STORE
    author = make_user()
    projects = [make_project(author, f"f{number}()") for number in range(3)]
    for project in projects:
        made(project, (20, 20))
    result = made(last := make_project(author, "class C: pass"), (20, 20))
    TradedAlike.objects.all().delete()
    monkeypatch.setattr(compared, "MOST_WORK_LATER", 1)
    compared.compare_later(Run.objects.filter(pk=result.run_id))
    for _ in range(begins):
        jobs.compare_trades()
    compare_with_some = compared.compare_with_some

    def slowly(*given, **options):
        monkeypatch.setattr(compared, "compare_with_some", compare_with_some)
        told = compare_with_some(*given, **options)
        for _ in range(pieces):
            jobs.compare_trades()
        told.found.add(10**9)  # what it alone has seen is kept, too
        return told

    monkeypatch.setattr(compared, "compare_with_some", slowly)
    jobs.compare_trades()
    row = TradedAlike.objects.get(one__project=last)
    assert 10**9 in row.others
    assert Backtest.objects.get(pk=result.pk).sides.get(compared.NEXT, 0) == (
        Backtest.objects.get(run__revision__project=projects[0]).pk if pieces + begins < 3 else 0
    )
    assert compared.is_counting(last) == (pieces + begins < 3)


@pytest.mark.django_db
def test_one_job_waits_at_most_and_authors_take_turns(settings, django_capture_on_commit_callbacks):
    settings.STORE_DIR = STORE
    alice, bob = make_user(), make_user()
    made(many := make_project(alice, "a()"), (20, 20))
    several = [TradedAlike(one=many.make_revision({"main.py": f"{n}"}, None), others=[-(10**9), 0]) for n in range(9)]
    TradedAlike.objects.bulk_create(several)
    made(make_project(bob, "a()"), (20, 20))
    result = made(few := make_project(bob, "class C: pass"), (20, 20))
    queue = django_rq.get_queue("default")
    for _ in range(3):
        with django_capture_on_commit_callbacks(execute=True):
            compared.compare_later(Run.objects.filter(pk=result.run_id))
    assert queue.count == 1
    for is_counting in (True, False):
        assert compared.is_counting(few)
        with django_capture_on_commit_callbacks(execute=True):
            jobs.compare_trades()
        assert compared.is_counting(few) == is_counting and queue.count == 1
    queue.empty()
    with django_capture_on_commit_callbacks(execute=True):
        jobs.compare_trades()
    assert queue.count == 1 and compared.is_counting(many), "and it goes on"
    # Where one author's cannot be compared, the other one's are.
    TradedAlike.objects.filter(one__project=many).delete()
    compared.compare_later(Run.objects.all())
    Backtest.objects.filter(run__revision__project=few).update(sides={"held": {"starter/us/1d/IBM": 0}})
    for _ in range(2):
        with suppress(TypeError):
            jobs.compare_trades()
    assert compared.is_counting(few) and not compared.is_counting(many)


@pytest.mark.django_db
def test_where_comparing_fails_at_the_end_of_a_run_a_job_does_it(settings, monkeypatch):
    settings.STORE_DIR = STORE
    author = make_user()
    made(first := make_project(author, "a()"), (20, 20))
    monkeypatch.setattr(compared, "MOST_WORK", None)
    made(second := make_project(author, "class C: pass"), (20, 20))
    assert compared.is_counting(second)
    jobs.compare_trades()
    assert found_beside(second) == {first.pk} and not compared.is_counting(second)


@pytest.mark.django_db
def test_what_a_run_traded_before_it_was_lost_is_compared(services, settings, monkeypatch):
    settings.STORE_DIR = STORE
    author = make_user()
    made(first := make_project(author, "a()"), (20, 20))
    second = make_project(author, "class C: pass")
    run = make_finished_run(second)
    intake = Intake(run, Publisher(run.pk), DataQuestions(run))
    intake.take({"type": "backtest", "number": 0, "claim": claim_of("IBM", 20, 20, bars=600)})
    lost = {"status": Run.Status.RUNNING, "finished": None, "lease_expires": timezone.now() - timedelta(minutes=5)}
    Run.objects.filter(pk=run.pk).update(**lost)
    with monkeypatch.context() as broken:
        broken.setattr(compared, "MOST_ALIKE", None)
        assert leftovers.end_lost_runs()[0] == 1, "whatever fails, the run ends"
    Run.objects.filter(pk=run.pk).update(**lost)
    assert leftovers.end_lost_runs()[0] == 1
    jobs.compare_trades()
    assert found_beside(second) == {first.pk}
