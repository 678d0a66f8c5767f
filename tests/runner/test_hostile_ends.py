"""A run ends, counts and gives its place back, whatever its box sent."""

from __future__ import annotations

import pytest

from playground.mail import ConsoleAndFilesBackend
from runner.execution import UNSTORABLE, Execution
from runner.models import Run
from runner.recording import Recording
from tests.factories import make_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services")]


@pytest.fixture
def execution():
    return Execution(make_run(status=Run.Status.RUNNING))


@pytest.mark.parametrize("sent", ["\x00", "\ud800"])
def test_a_run_whose_end_cannot_be_stored_ends_as_its_own_fault(execution, sent):
    execution._finish({"outcome": "succeeded", "exit": {"code": sent}, "cpu_seconds": 1.5})
    run = Run.objects.get(pk=execution.run.pk)
    assert (run.status, run.message, run.cpu_seconds) == (Run.Status.FAILED, UNSTORABLE, 1.5)
    assert Run.objects.counted_today().filter(pk=run.pk).exists()
    assert Recording(run.pk).read()[-1]["message"] == UNSTORABLE


def test_a_message_that_breaks_its_reader_is_left_out_and_the_run_goes_on(execution):
    execution._handle(None, {"type": "artefact", "name": "x", "content_base64": "a", "t": 0.0})
    execution._handle(None, {"type": "stdout", "text": "still here", "t": 0.0})
    assert [event["type"] for event in Recording(execution.run.pk).read()] == ["notice", "stdout"]


def test_what_runs_and_mails_leave_is_closed_to_other_accounts_of_the_machine(settings, tmp_path):
    settings.RUNS_DIR, settings.EMAIL_FILE_PATH = tmp_path / "runs", tmp_path / "mail"
    Recording("0" * 32).append(["{}"])
    ConsoleAndFilesBackend()
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("runs", "mail")] == [0o700, 0o700]
