"""Runs that others see are sent to be examined: which, when, once, and whoever they wait for."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import uuid4

import django_rq
import pytest
from django.conf import settings
from django.utils import timezone

from runner.honesty import companions, held_up, sending
from runner.leftovers import end_lost_runs
from runner.models import Run
from tests.factories import make_finished_run, make_run
from tests.runner.test_races import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def test_files_are_not_read_again_while_they_are_watched_for_another_run(public_run, monkeypatch):
    """It would count as having read them; its end has the examination made."""
    monkeypatch.setattr(held_up, "brought_series", lambda snapshot: ("mine/mood@1",))
    public_run.manifest = {"data": {"private": [], "brought": ["mine/mood@1"]}}
    public_run.save()
    other = make_run(snapshot=public_run.snapshot)
    queue = django_rq.get_queue(sending.QUEUE)

    def said() -> str:
        public_run.refresh_from_db()
        return sending.progress(public_run)

    assert said() == ""
    sending.send(public_run)
    assert said() == "wait for a worker" and len(queue.job_ids) == 1
    companions.examine_next()
    assert public_run.backtests.get().checks == {}
    assert "wait for the end of another run" in said() and sending.claim() is None
    sending.send(public_run)
    assert len(queue.job_ids) == 1, "it has its turn later"
    sending.send_waiting()
    sending.send_waiting()
    assert said() == "wait for a worker" and len(queue.job_ids) == 2, "once"
    assert sending.claim() == public_run and said() == "begin"
    # The other run may end when this one has not been put off yet.
    held_up.wait(public_run.pk)
    sending.send_waiting()
    assert said() == "wait for a worker"
    assert held_up.would_count_for_others(public_run)
    other.delete()
    assert not held_up.would_count_for_others(public_run)
    # The other may end after the first look and before this one is noted as waiting: nobody would send it any more.
    other = make_run(snapshot=public_run.snapshot)
    public_run.backtests.update(orders=[], fills=[])  # so nothing is run

    def wait(run, wait=held_up.wait):
        other.delete()
        wait(run)

    monkeypatch.setattr(held_up, "wait", wait)
    companions.examine(public_run.pk)
    assert "gives no orders" in public_run.backtests.get().checks["companion"]["sentence"]


def test_of_runs_that_begin_to_wait_at_once_none_is_forgotten_or_sent_twice(services, monkeypatch):
    """The latest of too many stay."""
    runs = [uuid4() for _ in range(held_up.MOST)]
    half = len(runs) // 2

    def wait(some):
        for run in some:
            held_up.wait(run)

    at_once(lambda: wait(runs[:half]), lambda: wait(runs[half:]))
    assert sorted(held_up.take()) == sorted(map(str, runs)) and not held_up.take()
    wait([uuid4(), *runs])
    assert all(map(held_up.waits, runs))
    with monkeypatch.context() as later:
        later.setattr(held_up.time, "time", lambda now=time.time: now() + held_up.PATIENCE.total_seconds() + 1)
        assert not any(map(held_up.waits, runs)), "for an hour"
    first, second = at_once(held_up.take, held_up.take)
    assert sorted(first + second) == sorted(map(str, runs))


def test_a_run_that_is_published_while_the_queue_is_away_is_examined_later(client, public_run, monkeypatch):
    """And one whose job was lost afterwards, or whose worker has died."""
    client.force_login(public_run.user)
    queue = django_rq.get_queue(sending.QUEUE)
    with monkeypatch.context() as away:
        away.setitem(settings.RQ_QUEUES[sending.QUEUE], "URL", "redis://127.0.0.1:1/0")
        answer = client.post(f"{public_run.project.base_url}/settings", {"title": "Renamed"}, follow=True)
        assert answer.status_code == 200
    public_run.project.refresh_from_db()
    assert public_run.project.title == "Renamed" and not queue.job_ids
    assert sending.send_missing() == 0, "its job may be on its way"
    asked = timezone.now() - timedelta(minutes=1)
    Run.objects.filter(pk=public_run.pk).update(examination_asked=asked)
    for _ in range(2):
        end_lost_runs()
        assert [job.func_name for job in queue.jobs] == ["runner.jobs.examine_next_run"], "once"
        queue.empty()
    assert sending.claim() == public_run
    assert sending.claim() is None and sending.send_missing() == 0
    died = timezone.now() - sending.PATIENCE - timedelta(minutes=1)
    Run.objects.filter(pk=public_run.pk).update(examination_asked=died, examination_began=died + timedelta(seconds=1))
    assert sending.send_missing() == 1 and sending.claim() == public_run
    # Pages that show it ask again, seldom where no worker comes.
    for minutes, seconds in ((0, 2), (2, 10), (15, 30)):
        public_run.finished = public_run.examination_asked = timezone.now() - timedelta(minutes=minutes)
        assert sending.look_again_after(public_run) == seconds
    public_run.examination_began = timezone.now() - timedelta(minutes=2)
    assert sending.look_again_after(public_run) == 2, "a worker is at it"
    public_run.examination_asked = None
    assert sending.look_again_after(public_run) == 0
    public_run.status, public_run.started = Run.Status.RUNNING, timezone.now()
    assert sending.look_again_after(public_run) == 2, "its own tests go on"


def test_all_runs_that_others_see_are_examined_not_the_last_one_alone(client, public_run):
    project = public_run.project
    owner, where = public_run.user, f"{project.base_url}/settings"
    project.visibility = project.Visibility.PRIVATE
    project.save()
    make_finished_run(project)  # prints something harmless
    make_finished_run(project, status=Run.Status.FAILED)
    asked = lambda: list(Run.objects.filter(examination_asked__isnull=False))  # noqa: E731
    client.force_login(owner)
    client.post(where, {"title": "Mine", "visibility": "private"})
    assert asked() == []
    client.post(where, {"title": "Mine", "visibility": "unlisted", "confirmed": "yes"})
    assert asked() == [public_run]

    Run.objects.update(examination_asked=None)
    client.get(public_run.get_absolute_url())
    assert asked() == []
    client.logout()
    assert client.get(public_run.get_absolute_url()).status_code == 200
    assert asked() == [public_run]
