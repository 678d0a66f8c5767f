"""No run stays without an end: lost workers, a forgetful queue, expired guests."""

from __future__ import annotations

import json
import zlib
from datetime import timedelta

import django_rq
import pytest
from django.utils import timezone
from rq import SimpleWorker
from rq.cron import CronScheduler
from rq.executions import Execution
from rq.serializers import JSONSerializer

from runner.access import hash_key
from runner.events import Publisher
from runner.leftovers import end_lost_runs, expire_guest_projects
from runner.models import Project, Report, Run
from runner.recording import Recording
from runner.starting import QUEUE
from tests.factories import make_project, make_run
from tests.runner.reported import STORE, claim_of, stored

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("services")]


def test_a_run_whose_worker_died_is_ended_and_says_so():
    ago = timezone.now() - timedelta(minutes=1)
    run = make_run(status=Run.Status.RUNNING, started=ago, lease_expires=ago)
    assert end_lost_runs()[0] == 1
    run.refresh_from_db()
    assert run.status == Run.Status.CRASHED and "Press Run" in run.message
    assert Recording(run.pk).read()[-1]["status"] == "crashed"


def test_a_run_with_a_living_worker_is_left_alone():
    run = make_run(
        status=Run.Status.RUNNING,
        started=timezone.now(),
        lease_expires=timezone.now() + timedelta(seconds=20),
    )
    end_lost_runs()
    run.refresh_from_db()
    assert run.status == Run.Status.RUNNING


@pytest.mark.django_db(transaction=True)
def test_a_run_the_queue_has_forgotten_is_sent_again_once():
    make_run(queued=timezone.now() - timedelta(minutes=1))
    assert end_lost_runs()[1] == 1
    assert end_lost_runs()[1] == 0
    jobs = django_rq.get_queue(QUEUE).jobs
    assert [job.func_name for job in jobs] == ["runner.jobs.execute_next_run"]


@pytest.mark.parametrize(("job", "name", "sent"), [("execute_next_run", None, 0), ("execute_cell", "cell-1", 1)])
@pytest.mark.django_db(transaction=True)
def test_a_job_that_a_worker_has_just_taken_is_not_sent_again_but_a_cell_at_work_is_none(job, name, sent):
    waiting = django_rq.get_queue(QUEUE)
    make_run(queued=timezone.now() - timedelta(minutes=1))
    taken = waiting.enqueue(f"runner.jobs.{job}", QUEUE, job_id=name)
    waiting.remove(taken)
    with waiting.connection.pipeline() as pipeline:
        Execution.create(taken, ttl=60, pipeline=pipeline)
        pipeline.execute()
    assert end_lost_runs()[1] == sent


def test_an_end_that_was_stored_but_not_announced_is_announced():
    ago = timezone.now() - timedelta(minutes=1)
    run = make_run(status=Run.Status.SUCCEEDED, started=ago, finished=ago, message="Finished in 1.0 s.")
    Publisher(run.pk).publish({"type": "stdout", "text": "1", "t": 0.0})
    end_lost_runs()
    last = Recording(run.pk).read()[-1]
    assert (last["type"], last["status"], last["message"]) == ("finished", "succeeded", "Finished in 1.0 s.")
    end_lost_runs()
    assert len(Recording(run.pk).read()) == 2


def test_guests_projects_end_after_their_time():
    old = make_project(guest_hash=hash_key("a"), expires=timezone.now() - timedelta(hours=1))
    young = make_project(guest_hash=hash_key("b"), expires=timezone.now() + timedelta(hours=1))
    assert expire_guest_projects() == 1
    assert list(Project.objects.all()) == [young] and old.pk != young.pk


@pytest.mark.django_db(transaction=True)
def test_the_scheduler_writes_its_jobs_as_json_and_a_worker_does_them():
    connection = django_rq.get_connection("default")
    ago = timezone.now() - timedelta(minutes=1)
    run = make_run(status=Run.Status.RUNNING, started=ago, lease_expires=ago)
    scheduler = CronScheduler(connection=connection)
    scheduler.load_config_from_file("playground.cron")
    for scheduled in scheduler.get_jobs():
        job = scheduled.enqueue(connection)
        assert json.loads(zlib.decompress(connection.hget(job.key, "data")))[0].startswith(("runner.", "marketdata."))
    SimpleWorker(["default"], connection=connection, serializer=JSONSerializer).work(burst=True)
    run.refresh_from_db()
    assert run.status == Run.Status.CRASHED


@pytest.mark.django_db(transaction=True)
def test_a_report_whose_job_was_lost_is_sent_again_once_and_given_up_after_an_hour(settings):
    settings.STORE_DIR = STORE
    ago = timezone.now() - timedelta(minutes=11)
    run = make_run(status=Run.Status.SUCCEEDED, queued=ago, started=ago, finished=ago)
    backtest = stored(run, claim_of("IBM", 40, 20, bars=300))
    waits = {"backtest": backtest, "created": ago}
    lost = Report.objects.create(**waits, state=Report.State.MAKING)
    Report.objects.create(**waits, state=Report.State.DONE)
    Report.objects.create(backtest=backtest)
    end_lost_runs()
    end_lost_runs()
    reports = [job.args for job in django_rq.get_queue("default").jobs if job.func_name == "runner.jobs.make_report"]
    assert reports == [[lost.pk]] or reports == [(lost.pk,)]

    Run.objects.update(finished=ago - timedelta(hours=1))
    Report.objects.filter(pk=lost.pk).update(created=ago - timedelta(hours=1))
    end_lost_runs()
    lost.refresh_from_db()
    assert lost.state == Report.State.FAILED and "Ask again" in lost.step
