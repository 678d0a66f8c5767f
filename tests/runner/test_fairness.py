"""Nobody waits behind another one's backlog, and every waiting run is started exactly once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from playground import processes
from runner.access import Viewer
from runner.claiming import claim, place_in_queue, places_in_queue
from runner.ending import request_cancel
from runner.execution import execute_next
from runner.honesty import sending
from runner.leftovers import end_lost_runs
from runner.models import ENTRY, Project, Run
from runner.starting import queue, start_run, wake_a_worker
from tests.conftest import _end, _launch
from tests.factories import make_finished_run, make_project, make_run, make_user
from tests.runner.test_races import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services")]


def backlog(project: Project, count: int, seconds_ago: float = 60) -> list[Run]:
    """Runs that wait, the first for longest."""
    begun = timezone.now() - timedelta(seconds=seconds_ago)
    return [make_run(project, queued=begun + timedelta(milliseconds=n)) for n in range(count)]


def in_order_of_claim() -> list[Run]:
    found = []
    while run := claim():
        found.append(run)
    return found


def test_a_single_run_stands_before_the_second_one_of_a_backlog():
    many, one = make_project(), make_project()
    first, *others = backlog(many, 5)
    single = make_run(one)
    assert [place_in_queue(run.pk) for run in (first, single, *others)] == [1, 2, 3, 4, 5, 6]
    assert in_order_of_claim() == [first, single, *others]


def test_the_places_shown_are_the_order_of_the_claims():
    projects = [make_project() for _ in range(3)]
    waiting = [run for project, count in zip(projects, (4, 2, 3), strict=True) for run in backlog(project, count)]
    places = places_in_queue()
    shown = sorted(waiting, key=lambda run: places[run.pk])
    assert in_order_of_claim() == shown


def test_who_was_started_lately_waits_for_who_was_not():
    busy, idle = make_project(), make_project()
    now = timezone.now()
    make_run(busy, status=Run.Status.SUCCEEDED, started=now, finished=now, message="Finished.")
    second = make_run(busy, queued=now - timedelta(seconds=30))
    first = make_run(idle, queued=now)
    assert in_order_of_claim() == [first, second]


def test_many_browsers_at_one_address_are_many_users_until_somebody_else_comes():
    browsers = [make_project(guest_hash=f"{n:064x}") for n in range(3)]
    guests = []
    for number, project in enumerate(browsers):
        revision = project.make_revision(project.draft, author=None)
        guests.append(
            Run.objects.create(
                revision=revision,
                address_hash="a" * 64,
                owner_key=f"guest-{number}",
                limits={},
                queued=timezone.now() - timedelta(seconds=30 - number),
            )
        )
    now = timezone.now()
    busy = make_project()
    make_run(busy, status=Run.Status.SUCCEEDED, started=now, finished=now, message="Finished.", address_hash="a" * 64)
    again, other = make_run(busy, address_hash="a" * 64), make_run()
    # An account that has had a run lately is not behind all of them, wherever it is.
    assert in_order_of_claim() == [guests[0], other, guests[1], again, *guests[2:]]


def test_a_cancelled_run_is_passed_over_and_its_job_does_nothing():
    cancelled, kept = backlog(make_project(), 2)
    request_cancel(cancelled)
    assert in_order_of_claim() == [kept]
    execute_next()
    cancelled.refresh_from_db()
    assert cancelled.status == Run.Status.CANCELLED


def test_workers_that_look_at_the_same_moment_never_take_the_same_run():
    runs = [run for number in range(5) for run in backlog(make_project(), 6, seconds_ago=60 - number)]
    taken: list[Run] = []

    def work() -> None:
        try:
            while run := claim():
                taken.append(run)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert Counter(run.pk for run in taken) == Counter(run.pk for run in runs)
    # Nor did two of them take two from the same owner, as the oldest waits: all owners had about the same all the time.
    begun = list(Run.objects.order_by("started").values_list("owner_key", flat=True))
    for number in range(10, 30):
        had = Counter(begun[:number])
        assert len(had) == 5 and max(had.values()) - min(had.values()) <= 2


def test_lost_jobs_are_sent_again_as_many_as_runs_wait():
    backlog(make_project(), 3)
    wake_a_worker()
    assert end_lost_runs()[1] == 2
    assert queue().count == 3
    assert end_lost_runs()[1] == 0


def test_everybodys_runs_end_once_and_a_late_single_run_is_not_kept_waiting(worker, engine):
    """The real path with two workers: six people with eight runs each, and one who comes when all of them wait."""
    second = _launch("worker", processes.worker_command("runs"))
    try:
        people = [make_user(username=f"many{number}") for number in range(6)]
        plan = people[0].plan
        type(plan).objects.filter(pk=plan.pk).update(concurrent_runs=20, runs_per_day=1000)
        late = make_user(username="late")
        runs = []
        with transaction.atomic():  # all of them wait before the first is begun
            for person in people:
                person.refresh_from_db()
                project = make_project(person)
                # Long enough that each has three left when the late one comes.
                runs += [start(project, f"import time; time.sleep(0.2); print({number})") for number in range(8)]
        late.refresh_from_db()
        single = start(make_project(late), "print('late')")
        wake_a_worker()  # delivered twice
        runs.append(single)
        deadline = time.monotonic() + 120
        while Run.objects.in_progress().exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert Counter(Run.objects.values_list("status", flat=True)) == {Run.Status.SUCCEEDED: len(runs)}
        single.refresh_from_db()
        for person in people:
            third = Run.objects.filter(user=person, started__gt=single.queued).order_by("started")[2]
            assert single.started < third.started
    finally:
        _end(second)


def start(project: Project, source: str) -> Run:
    return start_run(project, Viewer(project.owner), files={ENTRY: source})


def test_nobody_waits_for_the_examinations_of_one_author():
    many, one = make_user(), make_user()
    asked = timezone.now() - timedelta(minutes=5)
    runs = []
    for number, author in enumerate([many, many, many, many, one, one]):
        shown = make_project(author, visibility="public")
        runs.append(make_finished_run(shown, examination_asked=asked + timedelta(seconds=number)))
    assert [sending.claim() for _ in range(7)] == [*(runs[at] for at in (0, 4, 1, 5, 2, 3)), None]
    # Two who look at the same moment do not get the same one.
    Run.objects.update(examination_asked=timezone.now())
    first, second = at_once(*[lambda: [sending.claim().pk for _ in range(3)]] * 2)
    assert sorted(first + second) == sorted(run.pk for run in runs)
