"""A sweep on the site: every trial is kept once, whatever becomes of the worker, and counts for the project."""

from __future__ import annotations

import os
import signal

import pytest

from runner import trials
from runner.models import Run, Sweep, Trial
from runner.recording import Recording
from runner.starting import wake_a_worker
from tests.factories import make_project, make_run
from tests.runner.test_workers import ended, horse_of, running, until, until_it_is_found

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services", "engine")]

SWEEP = """
import time
from qfp import sweep

def tried(a, b):
    time.sleep(0.002)
    if a == 7 and b == 7:
        raise ValueError("this one cannot be")
    return {"sharpe": a * 0.01 - b * 0.001, "returns": [a * 0.001, -b * 0.001] * 16}

found = sweep(tried, {"a": range(50), "b": range(40)}, show=False)
print(len(found), found.resumed, found.best, found.overfitting.configurations)
"""


def printed(run: Run) -> str:
    return "".join(event["text"] for event in Recording(run.pk).read() if event["type"] == "stdout")


def test_a_sweep_of_two_thousand_whose_worker_is_killed_goes_on_and_no_trial_is_lost_or_counted_twice(worker):
    project = make_project(source=SWEEP)
    lost = make_run(project)
    wake_a_worker()
    running(lost)
    until(lambda: Trial.objects.count() >= 50, "the first trials")
    os.kill(horse_of(worker), signal.SIGKILL)
    until_it_is_found(lost)
    before = Trial.objects.count()
    assert 50 <= before < 2_000
    again = make_run(project)
    wake_a_worker()
    assert ended(again).status == Run.Status.SUCCEEDED, again.message
    found = Trial.objects.all()
    assert sorted(found.values_list("number", flat=True)) == list(range(2_000))
    assert len({(one.params["a"], one.params["b"]) for one in found}) == 2_000
    assert printed(again).split() == f"2000 {before} {{'a': 49, 'b': 0}} 1999".split()
    assert found.filter(run=lost).count() == before and Sweep.objects.count() == 1
    assert found.get(params={"a": 7, "b": 7}).error == "ValueError: this one cannot be"
    counted = trials.of_project(project)
    assert counted.count == 2_000 and counted.annual_variance > 0


@pytest.mark.parametrize(
    ("page", "said"), [("sweeps.md", "best of 40 configurations"), ("reproducing.md", "Decided on a bar")]
)
def test_the_manuals_examples_that_need_data_run(worker, page, said):
    from marketdata.store import current_snapshot_id
    from tests.sandbox.test_examples_in_docs import examples

    run = make_run(make_project(source="\n".join(examples(page))), snapshot=current_snapshot_id() or "")
    wake_a_worker()
    assert ended(run).status == Run.Status.SUCCEEDED, (run.message, run.error)
    assert said in printed(run)
